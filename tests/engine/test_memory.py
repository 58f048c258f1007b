"""What a device needs, against what the compiler asks for, and the slices that this makes."""

import pytest
from slices import set_up

from mdvae.engine.costs import score_bytes
from mdvae.engine.memory import LEAST_PIECE, bytes_per_device, needs, place_runs

GRID = {"kappa": (3, 5), "d": (6, 4), "r": (2,)}


def test_fewest_slices_that_fit(tiny):
    made = set_up(tiny(GRID, seeds=6))
    group, method, (placement,) = made.group, made.method, made.placements
    runs = placement.slots[: placement.n_runs]
    need = needs(group, method, 200)
    # Two devices: 12 runs of 3 seeds on each, on the two data sets that d makes of a seed.
    whole_need = bytes_per_device(group, need, 12, 6, 3, 200)
    plan = place_runs(group, method, runs, 2, 10 * whole_need)
    assert len(plan.placements) == 1
    assert plan.need == whole_need
    assert plan.piece == 200
    exact = place_runs(group, method, runs, 2, whole_need)
    assert len(exact.placements) == 1
    some = place_runs(group, method, runs, 2, whole_need // 2)
    assert 1 < len(some.placements) < 12
    assert some.need <= whole_need // 2
    least = place_runs(group, method, runs, 2, 1)
    assert least.need > 1
    assert len(least.placements) == 12
    for each in (plan, some, least):
        placed = [run for slots, n_runs in each.placements for run in slots[:n_runs]]
        assert placed == list(runs)


def test_evaluation_is_cut_where_it_needs_the_most(tiny):
    """Half the budget is for an evaluation, and pieces need not be smaller than a step."""
    grid = {"kappa": (3,), "d": (6,), "r": (2,)}
    made = set_up(tiny(grid, n_eval=4_000, batch_size=20))
    group, method, (placement,) = made.group, made.method, made.placements
    at_once = score_bytes(group, 4_000)
    for budget, piece in ((2 * at_once, 4_000), (at_once, 2_000), (1, LEAST_PIECE - 6)):
        plan = place_runs(group, method, placement.slots, 2, budget)
        assert plan.piece == piece
        assert needs(group, method, plan.piece).score == score_bytes(group, piece)
    # A step on so many samples takes as much as an evaluation on all: nothing is won by pieces.
    made = set_up(tiny(grid, n_eval=300, batch_size=400))
    assert place_runs(made.group, made.method, made.placements[0].slots, 2, 1).piece == 300


@pytest.mark.parametrize(("evaluation", "piece"), [("running", 200), ("batch", 400)])
def test_samples_that_depend_on_each_other_are_evaluated_at_once(tiny, evaluation, piece):
    fields = {"channels": 1, "dense": 2, "n_train": 400, "n_eval": 400, "evaluation": evaluation}
    made = set_up(tiny({"kappa": (2,)}, data="images", networks="resnet", seeds=1, **fields))
    plan = place_runs(made.group, made.method, made.placements[0].slots, 2, 1)
    assert plan.piece == piece


def test_a_longer_data_set_and_more_runs_need_more(tiny):
    made = set_up(tiny(GRID))
    need = needs(made.group, made.method, 200)
    base = bytes_per_device(made.group, need, 4, 2, 1, 200)
    for counts in ((5, 2, 1, 200), (4, 3, 1, 200), (4, 2, 2, 200), (4, 2, 1, 201)):
        assert bytes_per_device(made.group, need, *counts) > base
    longer = set_up(tiny(GRID, n_train=800))
    more = needs(longer.group, longer.method, 200)
    assert more.data - need.data == 400 * 6 * 4
    assert more.making > need.making
    assert (more.state, more.step, more.score) == (need.state, need.step, need.score)


@pytest.mark.parametrize("as_loop", [pytest.param(True, marks=pytest.mark.long), False])
@pytest.mark.usefixtures("optimised")
def test_memory_estimate_covers_what_the_compiler_asks_for(tiny, monkeypatch, as_loop):
    for module in ("ensemble", "chunks", "memory"):
        monkeypatch.setattr(f"mdvae.engine.{module}.looped", lambda group=None: as_loop)
    fields = {"n_train": 20_000, "n_eval": 5_000, "batch_size": 5_000, "hidden": (32,)}
    made = set_up(tiny(GRID, seeds=3, **fields), n_devices=1)
    trainer, (placement,) = made.trainer, made.placements
    loaded = trainer.load(placement)
    state = trainer.from_host(loaded, trainer.template(loaded))
    # As it is compiled for a sweep: optimisation and fusion decide what is in memory at once.
    lowered = trainer._chunk.lower(state, loaded.data, loaded.per_run, loaded.seeds, 0, 1)
    memory = lowered.compile({"xla_cpu_use_fusion_emitters": True}).memory_analysis()
    needed = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    n_runs, n_data, n_seeds = len(placement.slots), len(loaded.data["x"]), len(loaded.seeds)
    assert (n_runs, n_data, n_seeds) == (12, 6, 3)
    need = needs(made.group, made.method, 5_000)
    estimate = bytes_per_device(made.group, need, n_runs, n_data, n_seeds, 5_000)
    assert needed <= estimate <= 6 * needed
