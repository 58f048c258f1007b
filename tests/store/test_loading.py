"""`load_run` on what a sweep left: models at their true shapes, whatever else is damaged."""

import shutil
import sys

import jax
import numpy as np
import pytest
from runs import SMALL, TINY, copy_of, finished_run

import mdvae
from mdvae.store import checkpoint


def test_notebook_use_of_a_run():
    path, _ = finished_run(TINY)
    run = mdvae.load_run(str(path))
    cell = run.cell("kappa4-d6-r2")
    assert [c.name for c in run.cells][:2] == ["kappa2-d6-r3", "kappa4-d3-r2"]
    params = run.params(cell, 1)
    assert params["encoder"]["Linear_0"]["kernel"].shape == (6, 8)
    assert params["decoder"]["mean"]["kernel"].shape == (8, 6)
    x = run.samples(cell, 1, run.config.data.n_eval)
    assert x.shape == (500, 6)
    mean, logvar = run.encode(cell, 1, x)
    assert mean.shape == logvar.shape == (500, 4)
    # Re-applying the encoder to the evaluation samples gives the recorded spectrum.
    np.testing.assert_allclose(np.exp(logvar).mean(axis=0), run.spectrum(cell, 1), rtol=1e-4)
    z = mean + np.exp(logvar / 2) * np.random.default_rng(0).normal(size=mean.shape)
    recon = ((run.decode(cell, 1, z) - x) ** 2).sum(axis=1).mean()
    (row,) = [row for row in run.results if (row["cell"], row["seed"]) == (cell.name, 1)]
    assert recon == pytest.approx(row["recon"], rel=0.05)
    assert run.params(cell, 1)["log_gamma"] == pytest.approx(np.log(row["gamma"]), rel=1e-5)
    with pytest.raises(KeyError, match="not in this run; cells: kappa2-d6-r3, kappa4-d3-r2"):
        run.cell("kappa9")
    with pytest.raises(ValueError, match=r"must be \(n, 6\)"):
        run.encode(cell, 1, x[:, :5])


def test_a_seed_that_a_run_has_not_is_refused_with_those_that_it_has():
    run = mdvae.load_run(finished_run(TINY)[0])
    cell = run.cells[0]
    for look_up in (run.model, run.params, run.stats, run.spectrum, run.batch, run.samples):
        with pytest.raises(KeyError) as caught:
            look_up(cell, 7)
        assert caught.value.args == ("seed 7: not in this run; seeds: 0, 1",)
        with pytest.raises(KeyError) as caught:
            look_up("kappa9", 0)
        assert caught.value.args[0].startswith("cell 'kappa9': not in this run; cells: kappa2-d6-")
    assert not run.is_saved(cell, 7)


def test_what_is_not_there_yet_is_said_with_what_is(tmp_path):
    path = copy_of(SMALL, tmp_path / "small")
    lines = (path / "spectra.csv").read_text().splitlines(keepends=True)
    (path / "spectra.csv").write_text(
        "".join(line for line in lines if not line.startswith("kappa4-d5-r2,1,"))
    )
    shutil.rmtree(path / "checkpoints")
    run = mdvae.load_run(path)
    assert run.spectrum("kappa4-d5-r2", 0).shape == (4,)
    with pytest.raises(KeyError, match="seed 1: no results yet; seeds that have: 0"):
        run.spectrum("kappa4-d5-r2", 1)
    with pytest.raises(KeyError, match="cell kappa4-d5-r2, seed 0: no checkpoint yet"):
        run.model("kappa4-d5-r2", 0)


def test_a_run_says_what_it_is(tmp_path):
    path = copy_of(SMALL, tmp_path / "small")
    assert repr(mdvae.load_run(path)) == (
        f"LoadedRun('{path}': 1 cells x 2 seeds, 2 of 2 runs done)"
    )
    (path / "results.csv").unlink()
    assert "0 of 2 runs done" in repr(mdvae.load_run(path))


class Frames:
    """What pandas is asked for."""

    @staticmethod
    def DataFrame(rows):
        return "frame", rows


def test_tables_as_frames(monkeypatch):
    run = mdvae.load_run(finished_run(SMALL)[0])
    monkeypatch.setitem(sys.modules, "pandas", Frames)
    assert run.frame() == ("frame", run.results)
    for name in ("results", "summary", "parts", "counts", "metrics"):
        assert run.frame(name) == ("frame", getattr(run, name))
    assert len(run.frame("metrics")[1]) == 2 * 3
    with pytest.raises(
        ValueError, match="name: 'spectra' is not usable; it must be one of results"
    ):
        run.frame("spectra")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas, which is not installed; pip install") as e:
        run.frame()
    assert "\n" not in str(e.value)


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    run = mdvae.load_run(finished_run(SMALL)[0])
    frame = run.frame("summary")
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(run.summary[0])
    assert frame["ad_mean"].tolist() == [row["ad_mean"] for row in run.summary]


def test_models_are_read_without_what_only_training_needs(tmp_path):
    """The state of the optimiser is gone, of all checkpoints; a resumed sweep could not go on."""
    path, whole = copy_of(SMALL, tmp_path / "small"), mdvae.load_run(finished_run(SMALL)[0])
    folders = list(path.glob(f"checkpoints/*/*/{checkpoint.TRAINING}"))
    assert len(folders) == 2
    for folder in folders:
        shutil.rmtree(folder)
    run = mdvae.load_run(path)
    (cell,) = run.cells
    for seed in run.seeds:
        assert run.is_saved(cell, seed)
        for found, expected in (
            (run.params(cell, seed), whole.params(cell, seed)),
            (run.stats(cell, seed), whole.stats(cell, seed)),
        ):
            jax.tree.map(np.testing.assert_array_equal, found, expected)
    # The models are what is read, those of the newest checkpoint that has them.
    shutil.rmtree(next(path.glob(f"checkpoints/*/120/{checkpoint.MODEL}")))
    newest = whole.params(cell, 0)["encoder"]["Linear_0"]["kernel"]
    earlier = mdvae.load_run(path).params(cell, 0)["encoder"]["Linear_0"]["kernel"]
    assert earlier.shape == newest.shape
    assert not np.array_equal(earlier, newest)
    shutil.rmtree(path / "checkpoints")
    assert not mdvae.load_run(path).is_saved(cell, 0)
