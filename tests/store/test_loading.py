"""`load_run` on what a sweep left: models at their true shapes, whatever else is damaged."""

import shutil

import jax
import numpy as np
import pytest
from runs import SMALL, TINY, copy_of, finished_run

import mdvae
from mdvae.store import checkpoint

pytestmark = pytest.mark.usefixtures("quick_compilation")


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
    with pytest.raises(KeyError, match="nothing saved yet"):
        run.params(cell, 7)
    with pytest.raises(ValueError, match=r"must be \(n, 6\)"):
        run.encode(cell, 1, x[:, :5])


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
