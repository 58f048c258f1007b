"""Runs that are done before their last step: the rule, and that it is a matter of the run alone."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import (
    SMALL,
    as_one_batch,
    killed_at_checkpoint,
    lines_of,
    results_of,
    run_report,
    run_sweep,
)

import mdvae
from mdvae import cli
from mdvae.analysis.dims import log_odds
from mdvae.cli import load_config
from mdvae.engine import done, jobs
from mdvae.methods.base import make_method
from mdvae.reports.base import carried
from mdvae.settings.config import default_stage, differences, resolve
from mdvae.settings.fields import ConfigError
from mdvae.stages.latents import hash_of
from mdvae.stages.plan import stages_of
from mdvae.store import rundir

STEPS = 120
# Of two cells one learns nothing and has settled once that can be seen: at step 60, when it has
# looked at 30 to 60; it then takes 30 steps more. The other moves to the end.
STILL, MOVING = (f"kappa4-d5-r2-learning_rate={rate}" for rate in ("1e-09", "0.02"))
WATCHED = (
    "--config.log_every=10",
    "--config.eval_every=10",
    "--config.done_nats=0.01",
    "--config.done_share=0.5",
)
BOTH = ("--config.grid.learning_rate=(1e-9,0.02)", *WATCHED)


def line(step, log_gamma, ratios, seed=0):
    return {
        "cell": "c",
        "seed": seed,
        "step": step,
        "log_gamma": log_gamma,
        "eval_ratio": ratios,
    }


def settled_at(lines, warmup=0.3, **changes):
    """The ends that a run has after some lines of its metrics."""
    fields = {"steps": 1_000, "eval_every": 50, "done_nats": 0.5, "done_share": 0.3} | changes
    cell = SimpleNamespace(name="c", value={"warmup": warmup, "schedule": "one_cycle"}.get)
    run = SimpleNamespace(cell=cell, seed=0)
    ends = done.no_ends(1_000, 1)
    done.Watch(SimpleNamespace(**fields), [run]).see(lines, ends)
    return int(ends[done.SETTLED][0]), int(ends[done.END][0])


def still():
    """Lines of a run that stands still from step 200 on."""
    return [line(step, -1.0 - min(step, 200) / 50, [0.01, 0.999]) for step in range(50, 1_001, 50)]


def test_a_run_settles_once_nothing_has_moved_and_ends_a_share_later():
    """At 350 it looks back to 245, three looks; 105 steps on, by fifties, is 500."""
    assert settled_at(still()) == (350, 500)
    assert settled_at(still(), done_share=0.1) == (1_000, 1_000)  # two looks in a tenth
    assert settled_at(still(), steps=400) == (350, 400)
    assert settled_at(still(), warmup=0.7) == (700, 950)  # the rate rises up to then


def test_what_moves_has_not_settled():
    for name, moving in (
        ("log_gamma", lambda step: -step / 100),
        ("eval_ratio", lambda step: [0.01 * np.exp(-step / 100), 0.99]),
        ("eval_ratio", lambda step: [0.01, 0.8 * np.exp(-step / 100)]),
    ):
        lines = [{**each, name: moving(each["step"])} for each in still()]
        assert settled_at(lines) == (1_000, 1_000), name


def test_a_latent_at_the_prior_may_wander_there():
    lines = [{**each, "eval_ratio": [0.01, 0.92 + 0.2 * (i % 2)]} for i, each in enumerate(still())]
    assert settled_at(lines) == (350, 500)


@pytest.mark.parametrize("value", [None, float("nan"), 0.0])
def test_what_is_not_finite_has_not_settled(value):
    assert settled_at([{**each, "eval_ratio": [value, 0.99]} for each in still()])[1] == 1_000
    assert settled_at([{**each, "log_gamma": None} for each in still()])[1] == 1_000


def test_lines_of_other_runs_and_those_without_scores_are_passed_over():
    others = [line(step, 0.0, [0.5, 0.5], seed=1) for step in range(50, 1_001, 50)]
    plain = [{"cell": "c", "seed": 0, "step": 25, "log_gamma": 5.0}]
    assert settled_at(plain + others + still()) == (350, 500)


def test_places_are_the_log_odds_by_which_latents_are_counted():
    ratios = np.array([1e-4, 0.3, 0.9])
    look = done.look_at(line(10, -2.0, [*ratios, 1.2]))
    np.testing.assert_allclose(look.places, [-2.0, *log_odds(ratios), np.log(9.0)], rtol=1e-12)


def test_the_rate_falls_to_zero_along_half_a_cosine():
    ends = {done.SETTLED: jnp.int32(100), done.END: jnp.int32(140)}
    left = [float(done.rate_left(jnp.int32(step), ends)) for step in (0, 99, 100, 110, 120, 140)]
    np.testing.assert_allclose(
        left, [1, 1, 1, 0.5 + 0.5 * np.cos(np.pi / 4), 0.5, 0], rtol=1e-6, atol=1e-7
    )
    never = {done.SETTLED: jnp.int32(100), done.END: jnp.int32(100)}
    assert float(done.rate_left(jnp.int32(99), never)) == 1.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    path = tmp_path_factory.mktemp("watched") / "w"
    assert run_sweep(SMALL, path, *BOTH) == 0
    return path


def test_a_run_that_has_settled_ends_and_the_other_goes_on(watched):
    for (cell, _), row in results_of(watched).items():
        assert (row["status"], row["steps"]) == ("ok", 90 if cell == STILL else STEPS)
    assert [each["step"] for each in lines_of(watched, STILL)][-2:] == [90, 90]
    assert [each["step"] for each in lines_of(watched, MOVING)][-1] == STEPS
    # The last line is that of the model which is evaluated.
    last, row = lines_of(watched, STILL)[-1], results_of(watched)[STILL, 1]
    assert last["eval_nelbo"] == pytest.approx(row["nelbo"], rel=1e-5)
    report = (watched / "report.md").read_text()
    assert "Of 4 runs 2 were done before step 120, at step 90: nothing had moved by more" in report
    assert "12% of all steps were not taken." in report


def test_others_are_not_touched(watched, tmp_path):
    """Where the other cell is alone it is the same; and so is the one that has settled."""
    for cell, rate in ((STILL, "1e-9"), (MOVING, "0.02")):
        path = tmp_path / rate
        assert run_sweep(SMALL, path, f"--config.grid.learning_rate=({rate},)", *WATCHED) == 0
        assert lines_of(path, cell) == lines_of(watched, cell)
        whole, alone = mdvae.load_run(watched), mdvae.load_run(path)
        for seed in (0, 1):
            mine, theirs = (run.model(cell=cell, seed=seed) for run in (alone, whole))
            jax.tree.map(np.testing.assert_array_equal, mine.params, theirs.params)


def test_a_run_that_never_settles_is_the_same_as_an_unwatched_one(watched, tmp_path):
    flags = ("--config.grid.learning_rate=(1e-9,0.02)", *WATCHED[:2])
    assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    for mine, plain in zip(
        lines_of(watched, MOVING), lines_of(tmp_path / "w", MOVING), strict=True
    ):
        for name in ("nelbo", "log_gamma", "eval_nelbo"):
            assert mine[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("saving", [1, 2, 3])
def test_killed_and_resumed_ends_where_it_would_have(watched, tmp_path, saving):
    """Killed before it has settled, as it ends, and after that."""
    flags = (*BOTH, "--config.save_every=40")
    with killed_at_checkpoint(saving):
        run_sweep(SMALL, tmp_path / "w", *flags)
    assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    for name in (rundir.METRICS, rundir.RESULTS, rundir.SPECTRA):
        assert (tmp_path / "w" / name).read_bytes() == (watched / name).read_bytes()


def test_a_sweep_all_of_which_is_done_ends_early_and_can_be_counted_again(tmp_path, capsys):
    flags = ("--config.grid.learning_rate=(1e-9,)", *WATCHED)
    assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    manifest = rundir.read_manifest(tmp_path / "w")
    assert [each["step"] for each in manifest["slices"]] == [90]
    assert manifest["status"] == "done"
    assert run_report("--verify", tmp_path / "w") == 0
    before = (tmp_path / "w" / rundir.RESULTS).read_bytes()
    again = ("--config.analysis.ad_threshold=0.2",)
    assert run_sweep(SMALL, tmp_path / "w", *flags, *again) == 0
    rows = results_of(tmp_path / "w").values()
    assert [(row["status"], row["steps"]) for row in rows] == [("ok", 90)] * 2
    assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    assert (tmp_path / "w" / rundir.RESULTS).read_bytes() == before


@pytest.mark.parametrize("is_killed", [False, True])
def test_where_runs_are_no_loop_those_that_are_done_make_room(
    watched, tmp_path, monkeypatch, capsys, is_killed
):
    """Half of a slice is done at step 90: it is set apart, and the rest is trained without it."""
    as_one_batch(monkeypatch)
    path = tmp_path / "w"
    if is_killed:  # as it saves for the last time
        with killed_at_checkpoint(5):
            run_sweep(SMALL, path, *BOTH, "--devices=1")
    assert run_sweep(SMALL, path, *BOTH, "--devices=1") == 0
    assert "half of its runs are at their end; going on with the others" in capsys.readouterr().out
    slices = rundir.read_manifest(path)["slices"]
    assert [each["status"] for each in slices] == ["replaced", "done", "done"]
    assert [{cell for cell, _ in each["runs"]} for each in slices[1:]] == [{STILL}, {MOVING}]
    assert [each["step"] for each in slices] == [90, 90, STEPS]
    found = results_of(path)
    for key, row in results_of(watched).items():
        assert (found[key]["status"], found[key]["steps"]) == (row["status"], row["steps"])
        assert found[key]["nelbo"] == pytest.approx(row["nelbo"], rel=1e-3, abs=1e-3)
    assert run_report("--verify", path) == 0


def test_one_that_diverges_is_told_from_one_that_is_done(tmp_path):
    """At 1e9 the loss is soon not finite."""
    flags = ("--config.grid.learning_rate=(1e-9,1e9)", *WATCHED)
    assert run_sweep(SMALL, tmp_path / "w", *flags) == cli.DIVERGED
    found = {cell: row for (cell, _), row in results_of(tmp_path / "w").items()}
    assert (found[STILL]["status"], found[STILL]["steps"]) == ("ok", 90)
    (bad,) = (row for cell, row in found.items() if cell != STILL)
    assert bad["status"] == "diverged"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--config.done_nats=-1"],
            "done_nats: -1.0 is not usable; it must be a number, 0 or more",
        ),
        (["--config.done_nats=1"], "done_nats: 1 is not usable without held-out scores; set eval_"),
        (
            ["--config.eval_every=80", "--config.done_nats=1"],
            "done_nats: 1 has no effect with eval_every = 80, by which 0.3 of 120 steps never",
        ),
        (["--config.done_share=1"], "done_share: 1.0 is not usable; it must be a fraction between"),
        (
            [*WATCHED, "--config.method.kl_warmup=0.5"],
            "done_nats: 0.01 is not usable, for method.kl_warmup changes the loss as steps go by",
        ),
        (
            [
                *WATCHED,
                "--config.method.kind=wae",
                "--config.method.log_gamma_init=0",
                "--config.networks.heads=point",
                "--config.batch_size=56",
            ],
            "done_nats: 0.01 has no effect on method 'wae', whose encoder has no variances",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, flags, words):
    with pytest.raises(SystemExit) as error:
        cli.run_command(lambda argv: run_sweep(SMALL, tmp_path / "w", *flags))
    assert error.value.code == cli.USER_ERROR
    assert words in capsys.readouterr().err


def test_more_steps_are_refused(watched, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.run_command(
            lambda argv: run_sweep(
                SMALL,
                watched,
                *BOTH,
                "--config.optimiser.schedule=constant",
                "--config.steps=240",
                "--extend",
            )
        )
    assert "steps: done_nats = 0.01 is paced by them" in capsys.readouterr().err


def test_curves_over_seeds_keep_runs_that_are_done(watched):
    run = mdvae.load_run(watched)
    found = [line for line in carried(run) if line["cell"] == STILL and line["seed"] == 0]
    assert [line["step"] for line in found] == list(range(10, 121, 10))
    for line in found[9:]:
        assert line == {**found[8], "step": line["step"]}
    moving = [line for line in carried(run) if line["cell"] == MOVING]
    assert moving == lines_of(watched, MOVING)


def test_a_stage_is_checked_before_the_first_sweep_is_trained(tmp_path):
    config = load_config(SMALL)
    config.stages.second = default_stage()
    config.stages.second.update({"batch_size": 50, "eval_every": 500, "done_nats": 0.1})
    config.stages.second.method.kl_warmup = 0.5
    found = resolve(config)
    rundir.write_config(tmp_path, found)
    with pytest.raises(ConfigError, match=r"stages\.second\.done_nats: 0\.1 is not usable, for me"):
        stages_of(found, tmp_path)


def test_watching_changes_what_decides_numbers():
    """Not where nothing is watched: sweeps of an older version keep their name."""
    config = resolve(load_config(SMALL))
    assert hash_of(config) == hash_of(dataclasses.replace(config, eval_every=40, log_every=20))
    assert hash_of(config) == hash_of(dataclasses.replace(config, done_share=0.4))
    watched = dataclasses.replace(config, eval_every=40, done_nats=0.1)
    others = [{"log_every": 20}, {"eval_every": 80}, {"done_share": 0.4}, {"done_nats": 0.0}]
    names = [hash_of(dataclasses.replace(watched, **other)) for other in others]
    assert len({hash_of(watched), *names}) == 5
    moved = differences(watched, dataclasses.replace(watched, log_every=20))
    assert moved == ["log_every: 40 -> 20"]
    assert differences(config, dataclasses.replace(config, log_every=20)) == []


def poisoned(at, rate):
    """`make_method`, whose step `at` (from 1) is not finite at rates whose peak is above `rate`."""

    def make(group, steps):
        method = make_method(group, steps)

        def step(state, batch, noise, numbers):
            after, info = method.step(state, batch, noise, numbers)
            bad = (state.step == at - 1) & (numbers["learning_rate"] > rate)
            return after, {name: jnp.where(bad, jnp.inf, value) for name, value in info.items()}

        return method._replace(step=step)

    return make


def test_one_set_apart_that_diverged_starts_again_from_where_it_was_sound(tmp_path, monkeypatch):
    """It diverges after the checkpoint at 10, which goes along with it."""
    as_one_batch(monkeypatch)
    monkeypatch.setattr(jobs, "make_method", poisoned(at=15, rate=0.5))
    flags = ("--config.grid.learning_rate=(0.02,1.0)", "--config.save_every=10", *WATCHED)
    flags = (*flags, "--config.keep_checkpoints=20", "--config.restarts=1", "--devices=1")
    run_sweep(SMALL, tmp_path / "w", *flags)
    runs = rundir.read_manifest(tmp_path / "w")["runs"]
    assert {each.get("restarted_from") for each in runs if each["cell"].endswith("=1")} == {10}
