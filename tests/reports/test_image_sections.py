"""Reports on runs of images: what they draw of a tiny trained run, and say of invented ones."""

import re
from unittest import mock

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import run_report, run_sweep

import mdvae
from mdvae.analysis.jacobian import Codes
from mdvae.analysis.summary import published_rows
from mdvae.networks.convolutions import by_compiler
from mdvae.reports.base import View
from mdvae.reports.imaging import (
    Shown,
    balanced,
    chosen,
    directions,
    evaluated,
    moved_along,
    ratios_of_points,
)
from mdvae.reports.mosaics import GAP, mosaic
from mdvae.reports.sections.growth import counts_while_training, steps_of_epoch
from mdvae.reports.sections.images import SECTION, _rows_of, image_variances, traverse
from mdvae.settings.config import resolve
from mdvae.store import rundir

# Networks of vectors take images too, and compile in a tenth of the time.
CONFIG = """
from ml_collections import ConfigDict
from mdvae.settings.config import default_config


def get_config():
    config = default_config(data="images")
    config.grid = ConfigDict({"dataset": ("mnist_sample",), "kappa": (3,)})
    config.seeds = 1
    config.epochs = 2
    config.batch_size = 32
    config.log_every = 1
    config.save_every = config.eval_every = 2
    config.data.n_train = 64
    config.data.n_eval = 80
    config.method.model = "cvae"
    config.method.gamma = "closed"
    config.networks.hidden = (8,)
    config.networks.encoder_input = "raw"
    return config
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one cell of four steps, and its report with figures."""
    folder = tmp_path_factory.mktemp("images")
    config = folder / "config.py"
    config.write_text(CONFIG)
    assert run_sweep(str(config), folder / "run", figures=True) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def view(trained):
    return View(mdvae.load_run(trained))


def test_a_trained_run_has_pictures_of_its_images(trained):
    names = {file.name for file in (trained / "figures").glob("*.png")}
    assert names >= {
        "reconstructions.png",
        "image_samples.png",
        "traversals.png",
        "variance_histogram.png",
        "identity.png",
        "growth.png",
    }
    assert not names & {"saturation.png", "parts.png", "published_spectrum.png"}
    text = (trained / "report.md").read_text()
    assert "4 steps of 32 samples (2 epochs)" in text
    assert "- γ: the least of the loss of each batch" in text
    assert "gamma closed" in text
    (row,) = [line for line in text.splitlines() if re.match(r"\|\s+3 \|\s+0 \|\s+64 \|", line)]
    assert row.count("|") == 9


def test_counts_while_training_are_those_of_the_lines(view):
    (cell,) = view.run.cells
    found = counts_while_training(view, cell)
    assert sorted(found) == [2, 4]
    lines = {line["step"]: line for line in view.run.metrics}
    assert "eval_ratio" not in lines[1]
    for step, counts in found.items():
        ratios = np.array(lines[step]["eval_ratio"])
        assert ratios.shape == (3,)
        assert counts["ad"] == [np.sum(ratios < 0.05)]
    assert steps_of_epoch(view, cell) == 2


def test_the_slope_of_the_loss_is_not_read_off_images(trained):
    (row,) = mdvae.load_run(trained).results
    assert row["r_hat_slope"] is None
    assert "slope" not in row["warnings"]
    assert "r̂" not in (trained / "report.md").read_text()


def test_a_traversal_goes_through_the_code_of_one_image(view):
    (shown,) = chosen(view)
    x, c = evaluated(view, shown)
    assert c is not None
    with by_compiler():
        found = traverse(view, shown)
        mean, logvar = shown.model.encode(x, c)
        order = np.argsort(np.exp(logvar).mean(axis=0))
        ends = mean[:1] + np.concatenate([np.zeros((1, 3)), 2.0 * np.eye(3)[order]])
        own, *moved = shown.model.decode(ends, np.repeat(c[:1], 4, axis=0))
    assert found.images.shape == (3, 11, 28, 28, 1)
    assert found.left_out == (0, 0)
    assert np.all(np.diff(found.ratios) >= 0)
    for row, end in zip(found.images, moved, strict=True):
        np.testing.assert_allclose(row[5], own, atol=1e-5)
        np.testing.assert_allclose(row[-1], end, atol=1e-5)
    np.testing.assert_allclose(np.exp(logvar).mean(axis=0)[order], found.ratios, rtol=1e-5)
    variances = image_variances(found.images)
    assert variances[0] == pytest.approx(np.var(found.images[0], axis=0).mean(), rel=1e-5)
    assert image_variances(np.ones((2, 4, 3, 3, 1))).tolist() == [0.0, 0.0]


def test_no_traversal_is_seen_by_its_own_statistics(view, monkeypatch):
    monkeypatch.setattr("mdvae.reports.sections.images.depends_on_others", lambda cell: True)
    names = [picture.file for picture in SECTION.pictures(view)]
    assert names == ["reconstructions.png", "image_samples.png"]


def test_rows_of_a_traversal_are_few_and_have_the_ends():
    few = np.array([0.01, 0.02, 0.9])
    assert _rows_of(few, 0.05).tolist() == [0, 1, 2]
    ratios = np.concatenate([np.linspace(0.001, 0.04, 20), np.linspace(0.9, 1.0, 44)])
    rows = _rows_of(ratios, 0.05)
    assert len(rows) == 12
    assert np.sum(ratios[rows] < 0.05) == 9
    assert {0, 19, 20, 63} <= set(rows)
    assert len(_rows_of(np.full(40, 0.99), 0.05)) == 12


def test_images_are_laid_out_as_they_are_numbered():
    images = np.arange(6.0).reshape(2, 3, 1, 1, 1) / 10 * np.ones((1, 1, 4, 5, 1))
    whole = mosaic(images)
    assert whole.shape == (2 * (4 + GAP) - GAP, 3 * (5 + GAP) - GAP, 1)
    assert whole[0, 0] == 0.0
    assert whole[0, 5 + GAP] == 0.1
    assert whole[4 + GAP, 0] == 0.3
    assert whole[4, 0] == 1.0


def test_images_are_of_all_classes():
    labels = np.array([1, 1, 1, 0, 1, 2, 0])
    assert balanced(labels, 3).tolist() == [3, 0, 5]
    assert balanced(labels, 5).tolist() == [3, 6, 0, 1, 5]


@pytest.fixture
def quick_figures(monkeypatch):
    """Figures are made, and their files, but nothing is rendered."""
    monkeypatch.setattr("mdvae.reports.report._save", lambda _, file: file.write_bytes(b""))


def images_run(path, grid, **fields):
    config = {"data": "images", "networks": "resnet", "n_eval": 0.0, "n_train": 0, **fields}
    return invented_run(resolve(tiny_dict(grid, **config)), path)


def counted(path, counts):
    """Writes other numbers of active dimensions into a run's results: (cell, seed) -> AD."""
    rows = rundir.read_csv(path / "results.csv")
    for row in rows:
        found = counts(row)
        names = [name for name in ("ad", "ad_gap") if row[name] is not None] or [
            "ad_of_parts",
            "ad_gap_of_parts",
        ]
        row |= dict.fromkeys(names, found)
    rundir.write_csv(path / "results.csv", rows)


def test_saturation_is_told_beside_the_published_numbers(tmp_path, quick_figures):
    grid = {"kappa": (5, 16, 32), "dataset": ("mnist",)}
    path = images_run(tmp_path / "w", grid, published="table2")
    counted(path, lambda row: {5: 5, 16: 11, 32: 13 + row["seed"]}[row["kappa"]])
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    assert (
        "dataset=mnist: for κ = 5, 16, 32 AD (0.05) 5.0 ± 0.0, 11.0 ± 0.0, 13.5 ± 6.4 and AD (gap)"
        " 5.0 ± 0.0, 11.0 ± 0.0, 13.5 ± 6.4 (published 5, 1e1, 1e1)"
    ).replace("1e1, 1e1", "12, 13") in text
    assert "of the last 16 latents 2.5 ± 6.4 become active (2.5 ± 6.4 by the gap)" in text
    assert (path / "figures" / "saturation.png").exists()
    # Data with a truth have sentences of their own.
    other = invented_run(
        resolve(tiny_dict({"kappa": (3, 5), "d": (6,), "r": (2,)})), tmp_path / "o"
    )
    assert run_report(other, figures=True) == 0
    assert not (other / "figures" / "saturation.png").exists()


def test_classes_are_averaged_and_models_compared(tmp_path, quick_figures):
    grid = {"kappa": (32,), "dataset": ("mnist",), "model": ("vae", "cvae")}
    path = images_run(tmp_path / "w", grid, published="table4", by_class=True)
    counted(path, lambda row: 12.2 + row["seed"] + 1.5 * (row["cell"].endswith("=vae")))
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    assert (
        "averaged over classes AD (0.05) is 14.2 ± 6.4 (VAE) and 12.7 ± 6.4 (CVAE), a difference of"
        " -1.5 ± 0.0"
    ) in text
    titles, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "AD (0.05), mean over classes" in titles
    assert [len(row.split("|")) for row in rows[:2]] == 2 * [len(titles.split("|"))]
    assert "12.7 ± 6.4" in rows[1]
    assert "-1489.4" in rows[1]
    assert "-1489.4" not in rows[0]
    assert "w, by part" not in (path / "report.tex").read_text()


def test_the_published_spectrum_stands_beside_ours(tmp_path, quick_figures):
    ratios = np.array([row["ratio"] for row in published_rows("table11")])
    assert len(ratios) == 32
    assert np.sum(ratios < 0.05) == 12
    grid = {"kappa": (16, 32), "dataset": ("mnist", "fashion_mnist"), "model": ("vae", "cvae")}
    path = images_run(tmp_path / "w", grid)
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    (line,) = [each for each in text.splitlines() if "Table 11, one run" in each]
    assert "kappa32-dataset=mnist-model=cvae" in line
    assert "has 12 active, ratios 2.44e-4 to 6.13e-3; the others 0.926 to 0.986" in line
    assert "ours (2 seeds) have 1 active" in line
    assert (path / "figures" / "published_spectrum.png").exists()


def test_directions_of_a_full_covariance_are_eigenvectors_of_its_mean(monkeypatch):
    """In units of the prior at the first image, whose scale then stretches each of them."""
    rng = np.random.default_rng(0)
    covariance = np.stack([factor @ factor.T for factor in rng.normal(size=(5, 4, 4))])
    found = Codes(rng.normal(size=(5, 4)), covariance, rng.uniform(0.5, 2.0, (5, 4)))
    monkeypatch.setattr("mdvae.reports.imaging.codes", lambda *_: found)
    model = mock.Mock()
    model.cell.value.side_effect = {"covariance": "full"}.get
    made = directions(model, np.zeros((5, 2, 2, 1)))
    np.testing.assert_array_equal(made.code, found.mean[0])
    assert np.all(np.diff(made.ratios) > 0)
    for ratio, step in zip(made.ratios, made.steps, strict=True):
        unit = step / found.scale[0]
        np.testing.assert_allclose(covariance.mean(axis=0) @ unit, ratio * unit, atol=1e-12)
        assert np.linalg.norm(unit) == pytest.approx(1.0)

    model.decode.side_effect = lambda z, c: z + (0.0 if c is None else c.sum(axis=1)[:, None])
    images = moved_along(model, made, np.array([3, 1]), np.array([-1.0, 0.0, 2.0]))
    assert images.shape == (2, 3, 4)
    np.testing.assert_allclose(images[1, 2], found.mean[0] + 2.0 * made.steps[1])
    told = moved_along(model, made, np.array([3]), np.array([0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(told[0, 0], found.mean[0] + 1.0)


def test_latents_without_a_variance_are_in_the_order_of_their_masks(tmp_path, monkeypatch):
    both = {"method": ("lmgae", "wae"), "dataset": ("mnist",), "kappa": (3,)}
    vae = {"method": ("vae",), "dataset": ("mnist",), "kappa": (3,)}
    own = {"method": "lmgae", "optimiser": "rmsprop", "networks": "mlp", "batch_size": 56}
    path = images_run(tmp_path / "w", {"critics": both, "vae": vae}, **own)
    view = View(mdvae.load_run(path))
    lmgae, _, plain = (
        ratios_of_points(view, Shown(cell, 0, mock.Mock())) for cell in view.run.cells
    )
    np.testing.assert_array_equal(lmgae, view.run.mean_spectra[view.run.cells[0].name, 0])
    assert plain is None
    # A wae has no ratios, though they were invented here.
    view.run.__dict__["mean_spectra"] = {}
    assert ratios_of_points(view, Shown(view.run.cells[1], 0, mock.Mock())).tolist() == [0, 0, 0]

    found = Codes(np.ones((5, 3)), np.zeros((5, 3, 3)), np.ones((5, 3)))
    monkeypatch.setattr("mdvae.reports.imaging.codes", lambda *_: found)
    model = mock.Mock()
    model.cell.value.return_value = None
    made = directions(model, np.zeros((5, 2, 2, 1)), given=np.array([0.9, 0.1, 0.5]))
    assert made.ratios.tolist() == [0.1, 0.5, 0.9]
    np.testing.assert_array_equal(made.steps, np.eye(3)[[1, 2, 0]])
