"""Held-out scores in the lines of metrics: what they are, and that they disturb nothing."""

import jax
import numpy as np
import pytest
from runs import SMALL, finished_run, lines_of, run_sweep

import mdvae
from mdvae.engine import runner
from mdvae.engine.trainer import Trainer
from mdvae.store import rundir

# Lines at 40, 80 and 120; checkpoints at 60 and 120.
SCORED = ("--config.eval_every=80",)
NAMES = ("eval_kl", "eval_nelbo", "eval_ratio", "eval_recon")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run directory with held-out scores; otherwise that of `finished_run(SMALL)`."""
    path = tmp_path_factory.mktemp("scored") / "w"
    assert run_sweep(SMALL, path, *SCORED) == 0
    return path


def test_lines_have_scores_at_multiples_and_at_the_end(scored):
    lines = lines_of(scored)
    assert len(lines) == 6
    for line in lines:
        assert list(line)[:7] == ["cell", "seed", "step", "nelbo", "recon", "kl", "log_gamma"]
        assert tuple(line)[7:] == (NAMES if line["step"] in (80, 120) else ())


def test_the_last_score_is_that_of_the_results(scored):
    """All 200 evaluation samples are held out here."""
    last = [line for line in lines_of(scored) if line["step"] == 120]
    results = mdvae.load_run(scored).results
    for line, row in zip(last, results, strict=True):
        assert (line["cell"], line["seed"]) == (row["cell"], row["seed"])
        for name in ("nelbo", "recon", "kl"):
            assert line[f"eval_{name}"] == pytest.approx(row[name], rel=1e-5)


def test_scores_change_no_number_of_training(scored):
    plain, _ = finished_run(SMALL)
    for name in (rundir.RESULTS, rundir.SPECTRA, rundir.BLOCKS, rundir.SAMPLE_COUNTS):
        assert (scored / name).read_bytes() == (plain / name).read_bytes()
    trained = [
        {name: value for name, value in line.items() if name not in NAMES}
        for line in lines_of(scored)
    ]
    assert trained == lines_of(plain)


@pytest.mark.parametrize("killed_at", [pytest.param(1, marks=pytest.mark.long), 2])
def test_killed_and_resumed_has_the_same_lines(scored, tmp_path, monkeypatch, killed_at):
    """Killed before a checkpoint, after lines that the resumed run must write again."""
    saves, save = [], runner.checkpoint.save

    def killed(*args):
        saves.append(args)
        if len(saves) == killed_at:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(runner.checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(SMALL, tmp_path / "w", *SCORED)
    monkeypatch.setattr(runner.checkpoint, "save", save)
    assert run_sweep(SMALL, tmp_path / "w", *SCORED) == 0
    for name in (rundir.METRICS, rundir.RESULTS):
        assert (tmp_path / "w" / name).read_bytes() == (scored / name).read_bytes()


def test_slices_share_one_program_and_change_no_score(tmp_path):
    """Four seeds in two slices, whose last lines are what their own results say."""
    compiled = []

    def listen(event, _, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(details.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        flags = ("--config.seeds=4", "--config.memory_gib=1e-5", "--config.eval_every=40")
        assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(rundir.read_manifest(tmp_path / "w")["slices"]) == 2
    # One for the scores on the way, one for the evaluation at the end; and one makes the samples.
    assert sum("score_runs" in name for name in compiled) == 2
    assert sum("hold_out" in name for name in compiled) == 1
    last = {line["seed"]: line for line in lines_of(tmp_path / "w") if line["step"] == 120}
    assert len(last) == 4
    for row in mdvae.load_run(tmp_path / "w").results:
        assert last[row["seed"]]["eval_nelbo"] == pytest.approx(row["nelbo"], rel=1e-5)


def test_a_held_out_loss_that_is_not_finite_gives_no_run_up(tmp_path, monkeypatch):
    score = Trainer.score

    def infinite(*args):
        return {name: np.full_like(values, np.inf) for name, values in score(*args).items()}

    monkeypatch.setattr(Trainer, "score", infinite)
    assert run_sweep(SMALL, tmp_path / "w", "--config.eval_every=40") == 0
    assert [line["step"] for line in lines_of(tmp_path / "w") if line["seed"] == 0] == [40, 80, 120]
    assert all(line["eval_nelbo"] is None for line in lines_of(tmp_path / "w"))
    assert {row["status"] for row in mdvae.load_run(tmp_path / "w").results} == {"ok"}
