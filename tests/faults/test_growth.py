"""A run directory grows: more seeds, cells or steps, and what was trained stays as it is."""

import json
import shutil

import numpy as np
import pytest
from runs import SMALL, copy_of, finished_run, killed_at_checkpoint, run_report, run_sweep

import mdvae
from mdvae.settings.fields import ConfigError
from mdvae.store import rundir

CONSTANT = ("--config.optimiser.schedule=constant", "--config.log_every=30")
SLICE = "checkpoints/group0-slice0"


@pytest.fixture
def small(tmp_path):
    return copy_of(SMALL, tmp_path / "small")


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def rows_of(path, name=rundir.RESULTS):
    return {(row["cell"], row["seed"]): row for row in rundir.read_csv(path / name)}


def assert_grown(path, whole):
    """What was there is, bit for bit, and lines of metrics come once; nothing is wrong."""
    old, new = rows_of(whole), rows_of(path)
    for key, row in old.items():
        assert {name: new[key][name] for name in row} == row
    assert contents(path / SLICE) == contents(whole / SLICE)
    lines = (path / rundir.METRICS).read_text().splitlines()
    assert (whole / rundir.METRICS).read_text().splitlines() == lines[: len(old) * 3]
    assert len({(row["cell"], row["seed"], row["step"]) for row in map(json.loads, lines)}) == len(
        lines
    )
    assert run_report("--verify", path) == 0
    assert rundir.read_manifest(path)["status"] == "done"


def test_seeds(small):
    """The second half of an ensemble, by a program of its own."""
    assert run_sweep(SMALL, small, "--config.seeds=3", "--extend") == 0
    assert_grown(small, finished_run(SMALL)[0])
    assert list(rows_of(small)) == [("kappa4-d5-r2", seed) for seed in range(3)]


@pytest.mark.long
def test_seeds_and_cells(small, tmp_path, capsys):
    """As if they had been asked for at once."""
    grown = ("--config.seeds=3", "--config.grid.kappa=(4,3)")
    with pytest.raises(ConfigError, match=r"grid: .*seeds: 2 -> 3.* or the same values, or --ext"):
        run_sweep(SMALL, small, *grown)
    assert run_sweep(SMALL, small, *grown, "--extend") == 0
    assert_grown(small, finished_run(SMALL)[0])
    assert run_sweep(SMALL, tmp_path / "at_once", *grown) == 0
    at_once, found = rows_of(tmp_path / "at_once"), rows_of(small)
    assert list(found) == list(at_once)
    for key, row in at_once.items():
        assert found[key]["ad"] == row["ad"]
        assert found[key]["nelbo"] == pytest.approx(row["nelbo"], rel=1e-4)
    run = mdvae.load_run(small)
    x = run.samples("kappa3-d5-r2", 2, n=50)
    again = run.nelbo("kappa3-d5-r2", 2, x)
    assert again.shape == (50,)
    assert np.isfinite(again).all()
    # The new config is the directory's own, and it is finished.
    capsys.readouterr()
    assert run_sweep(SMALL, small, *grown) == 0
    assert "finished; reporting" in capsys.readouterr().out
    assert run_report("--ad_threshold=0.2", small) == 0
    assert rows_of(small).keys() == at_once.keys()


@pytest.mark.long
def test_killed_while_it_grows(small):
    """Before its first checkpoint, and after: the same command goes on, --extend or not."""
    grown = ("--config.seeds=3", "--config.seed=0")
    with killed_at_checkpoint(1):
        run_sweep(SMALL, small, *grown, "--extend")
    assert len(rows_of(small)) == 2
    with killed_at_checkpoint(2):
        run_sweep(SMALL, small, *grown)
    assert run_sweep(SMALL, small, *grown, "--extend") == 0
    assert_grown(small, finished_run(SMALL)[0])
    assert list(rows_of(small)) == [("kappa4-d5-r2", seed) for seed in range(3)]


@pytest.mark.long
def test_steps_of_a_rate_that_does_not_know_the_end(tmp_path):
    """Bit for bit what as many steps at once are."""
    longer, path = tmp_path / "longer", tmp_path / "w"
    assert run_sweep(SMALL, path, *CONSTANT) == 0
    assert run_sweep(SMALL, path, *CONSTANT, "--config.steps=180", "--extend") == 0
    assert run_sweep(SMALL, longer, *CONSTANT, "--config.steps=180") == 0
    for name in (rundir.RESULTS, rundir.METRICS, rundir.SPECTRA, rundir.BLOCKS):
        assert (path / name).read_bytes() == (longer / name).read_bytes()
    assert {row["steps"] for row in rows_of(path).values()} == {180}
    assert run_report("--verify", path) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config.seeds=1"], "seeds: 0 to 1 are not all in 0 to 0"),
        (["--config.seed=1"], "seeds: 0 to 1 are not all in 1 to 2"),
        (["--config.grid.kappa=(3,)"], "grid: kappa4-d5-r2 is not in it any more"),
        (["--config.networks.hidden=(9,)"], r"networks.hidden: \(8,\) -> \(9,\)"),
        (["--config.steps=60"], "steps: 60 are less than 120"),
        (["--config.steps=240"], "steps: optimiser.schedule = 'one_cycle' is paced by them"),
    ],
)
def test_what_it_cannot_grow_into(flags, said):
    whole, _ = finished_run(SMALL)
    before = contents(whole)
    with pytest.raises(ConfigError, match=rf"cannot grow \({said}.*\); give another --workdir"):
        run_sweep(SMALL, whole, *flags, "--extend")
    assert contents(whole) == before


def test_nothing_to_do(small, capsys):
    shutil.rmtree(small / "checkpoints")  # a finished one needs none
    assert run_sweep(SMALL, small, "--extend") == 0
    assert "finished; reporting" in capsys.readouterr().out
