"""A run that diverges: frozen at its step, said, and started again where that is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import SMALL, lines_of, results_of, run_report, run_sweep

import mdvae
from mdvae import cli
from mdvae.engine import jobs
from mdvae.methods.base import make_method
from mdvae.store import rundir

# Two cells of one program, of two seeds each; the second is the one that is made to diverge.
FLAGS = ("--config.grid.log_gamma_init=(0.0,-1.0)", "--config.log_every=20")
SOUND, BAD = "kappa4-d5-r2-log_gamma_init=0", "kappa4-d5-r2-log_gamma_init=-1"
STEPS, SAVED = 120, 60


def poisoned(at, until=0.0):
    """`make_method`, whose step `at` (from 1) is not finite for one cell at rates above `until`."""

    def make(group, steps):
        method = make_method(group, steps)

        def step(state, batch, noise, numbers):
            after, info = method.step(state, batch, noise, numbers)
            bad = (state.step == at - 1) & (numbers["log_gamma_init"] < -0.5)
            bad &= numbers["learning_rate"] > until
            params = jax.tree.map(lambda leaf: jnp.where(bad, jnp.nan, leaf), after.params)
            info = {name: jnp.where(bad, jnp.inf, value) for name, value in info.items()}
            return after._replace(params=params), info

        return method._replace(step=step)

    return make


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "w"
    assert run_sweep(SMALL, path, *FLAGS) == 0
    return path


def assert_others_undisturbed(path, undisturbed):
    whole, found = mdvae.load_run(undisturbed), mdvae.load_run(path)
    assert lines_of(path, SOUND) == lines_of(undisturbed, SOUND)
    for seed in (0, 1):
        row, expected = results_of(path)[SOUND, seed], results_of(undisturbed)[SOUND, seed]
        assert {name: row[name] for name in expected} == expected
        params = found.params(SOUND, seed), whole.params(SOUND, seed)
        jax.tree.map(np.testing.assert_array_equal, *params)


LONG = pytest.mark.long


@pytest.mark.parametrize("at", [50, pytest.param(1, marks=LONG), pytest.param(STEPS, marks=LONG)])
def test_it_is_frozen_and_the_others_are_not_disturbed(
    tmp_path, undisturbed, monkeypatch, capsys, at
):
    path = tmp_path / "w"
    monkeypatch.setattr(jobs, "make_method", poisoned(at))
    assert run_sweep(SMALL, path, *FLAGS) == cli.DIVERGED == 3
    assert_others_undisturbed(path, undisturbed)
    for line in lines_of(path, BAD):
        assert (line["nelbo"] is None) == (line["step"] >= at)
    for seed in (0, 1):
        steps = [line["step"] for line in lines_of(path, BAD) if line["seed"] == seed]
        assert steps == list(range(20, STEPS + 1, 20))
    assert {results_of(path)[BAD, seed]["status"] for seed in (0, 1)} == {"diverged"}
    assert {results_of(path)[BAD, seed]["steps"] for seed in (0, 1)} == {at}
    manifest = rundir.read_manifest(path)
    assert [run["steps"] for run in manifest["runs"] if run["status"] == "diverged"] == [at, at]
    out, err = capsys.readouterr()
    assert f"warning: {BAD}, seed 1: diverged at step {at:,}, its loss is not finite" in out
    assert "2 of 4 runs diverged and are in no mean" in err
    assert f"({'at step ' + format(at, ',')})" in (path / "report.md").read_text()
    # A finished directory says so again, unless it does not matter.
    assert run_sweep(SMALL, path, *FLAGS) == cli.DIVERGED
    assert run_sweep(SMALL, path, *FLAGS, "--allow_diverged") == 0


@pytest.mark.long
def test_resumed_it_stays_frozen(tmp_path, monkeypatch):
    """Its steps are not taken from where it stood."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    monkeypatch.setattr(jobs, "make_method", poisoned(50))
    assert run_sweep(SMALL, once, *FLAGS) == cli.DIVERGED
    save = jobs.Trainer.evaluate
    monkeypatch.setattr(jobs.Trainer, "evaluate", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_sweep(SMALL, twice, *FLAGS)
    monkeypatch.setattr(jobs.Trainer, "evaluate", save)
    assert run_sweep(SMALL, twice, *FLAGS) == cli.DIVERGED
    for name in (rundir.METRICS, rundir.RESULTS, rundir.SPECTRA):
        assert (once / name).read_bytes() == (twice / name).read_bytes()


@pytest.mark.parametrize(("at", "start"), [(90, SAVED), pytest.param(50, 0, marks=LONG)])
def test_it_is_started_again(tmp_path, undisturbed, monkeypatch, capsys, at, start):
    """From its last sound checkpoint, with a lower rate, and its lines are there once."""
    path = tmp_path / "w"
    rate = mdvae.load_run(undisturbed).config.optimiser.learning_rate
    monkeypatch.setattr(jobs, "make_method", poisoned(at, 0.5 * rate))
    assert run_sweep(SMALL, path, *FLAGS, "--config.restarts=1") == 0
    assert_others_undisturbed(path, undisturbed)
    before, after = lines_of(undisturbed, BAD), lines_of(path, BAD)
    assert [(row["step"], row["seed"]) for row in after] == [
        (row["step"], row["seed"]) for row in before
    ]
    kept = [row for row in before if row["step"] <= start]
    assert after[: len(kept)] == kept
    assert all(a != b for a, b in zip(before[len(kept) :], after[len(kept) :], strict=True))
    for seed in (0, 1):
        row = results_of(path)[BAD, seed]
        assert (row["status"], row["steps"]) == ("ok", STEPS)
        assert (row["restarts"], row["restarted_from"], row["rate"]) == (1, start, 0.3)
        assert results_of(path)[SOUND, seed]["restarts"] is None
        params = mdvae.load_run(path).params(BAD, seed)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert "warning: " in (text := capsys.readouterr().out)
    assert f"{BAD}, seed 0: starting again from step {start} with 0.3 of its learning" in text
    assert run_report("--verify", path) == 0
    capsys.readouterr()
    assert run_sweep(SMALL, path, *FLAGS, "--config.restarts=1") == 0
    assert f"{path}: finished; reporting" in capsys.readouterr().out
    # Counted again, it is still told how it came about.
    results = results_of(path)
    assert run_report("--ad_threshold=0.2", path) == 0
    assert results_of(path)[BAD, 0]["restarted_from"] == start
    assert results_of(path)[BAD, 0]["nelbo"] == results[BAD, 0]["nelbo"]


@pytest.mark.long
def test_it_is_started_again_in_a_finished_directory_and_no_more_often_than_asked(
    tmp_path, undisturbed, monkeypatch
):
    path = tmp_path / "w"
    monkeypatch.setattr(jobs, "make_method", poisoned(90))
    assert run_sweep(SMALL, path, *FLAGS) == cli.DIVERGED
    assert run_sweep(SMALL, path, *FLAGS, "--config.restarts=2") == cli.DIVERGED
    assert_others_undisturbed(path, undisturbed)
    (record, *_) = [run for run in rundir.read_manifest(path)["runs"] if run["cell"] == BAD]
    assert (record["restarts"], record["status"], record["steps"]) == (2, "diverged", 90)
    assert record["rate"] == pytest.approx(0.09)
