"""Samples and codes of a plain sweep's models, measured at its end, and by reports later."""

import shutil
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from conftest import tiny_dict
from runs import SMALL, run_report, run_sweep

import mdvae
from mdvae.analysis import generation
from mdvae.analysis.distances import energy_distance, mmd
from mdvae.analysis.frechet import frechet_interval
from mdvae.analysis.generation import CODES, MODEL, RECONSTRUCTION, SOURCES
from mdvae.analysis.measuring import DRAWS, GENERATED, TRUTH, extractors_of
from mdvae.networks.base import Full
from mdvae.reports.report import with_analysis
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.store.posteriors import draw_latents, draw_posterior
from mdvae.store.rundir import read_config, read_csv, write_analysis, write_config

MEASURES = ("energy distance", "MMD", "Fréchet distance")
CELL = "kappa4-d5-r2"
COMPARED = ("--config.analysis.compare=True", "--config.analysis.generated=200")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A sweep whose samples are compared, which nobody changes."""
    path = tmp_path_factory.mktemp("generation") / "run"
    assert run_sweep(SMALL, path, *COMPARED) == 0
    return path


@pytest.fixture
def copied(path, tmp_path):
    return shutil.copytree(path, tmp_path / "run")


def test_every_source_of_every_run_is_measured(path):
    rows = read_csv(path / GENERATED)
    assert {(row["cell"], row["seed"], row["source"], row["measure"]) for row in rows} == {
        (CELL, seed, source, measure)
        for seed in (0, 1)
        for source in SOURCES
        for measure in MEASURES
    }
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] == 200 for row in rows)
    energy = {
        (row["source"], row["seed"]): row for row in rows if row["measure"] == "energy distance"
    }
    for seed in (0, 1):
        # A model of 120 steps is far from the data; the data are not from themselves.
        truth = energy[TRUTH, seed]
        assert truth["low"] < 0.0 < truth["high"]
        assert energy[MODEL, seed]["value"] > 5 * abs(truth["value"])


def test_distances_are_those_of_samples_of_the_models(path):
    """Of the data's own law, three sets that share no sample."""
    run = mdvae.load_run(path)
    x = run.samples(CELL, 1, 600)
    reference, given, other = x[:200], x[200:400], x[400:]
    mean, logvar = run.encode(CELL, 1, given)
    z = draw_latents(mean, np.exp(0.5 * logvar), 1, 0)
    samples = {
        MODEL: run.generate(CELL, 1, 200),
        RECONSTRUCTION: run.decode(CELL, 1, z),
        TRUTH: other,
    }
    rows = read_csv(path / GENERATED)
    for source, found in samples.items():
        for measure, distance in zip(
            MEASURES, (energy_distance, mmd, frechet_interval), strict=True
        ):
            wanted = distance(reference, found, 0, np.random.default_rng(0)).value
            (row,) = (
                r for r in rows if (r["source"], r["measure"], r["seed"]) == (source, measure, 1)
            )
            assert row["value"] == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    # With draws of its own, the first of those that a generator of the seed gives.
    (own,) = np.random.default_rng(1).spawn(1)
    first = energy_distance(reference, samples[MODEL], DRAWS, own)
    (row,) = (r for r in rows if (r["source"], r["measure"], r["seed"]) == (MODEL, MEASURES[0], 1))
    assert (row["low"], row["high"]) == pytest.approx((first.low, first.high), rel=1e-4)


def test_codes_are_posterior_means_over_active_latents_and_all(path):
    run = mdvae.load_run(path)
    rows = {(row["seed"], row["over"]): row for row in read_csv(path / CODES)}
    assert set(rows) == {(seed, over) for seed in (0, 1) for over in ("active", "all")}
    for seed in (0, 1):
        codes, _ = run.encode(CELL, seed, run.samples(CELL, seed, 600)[200:400])
        active = run.spectrum(CELL, seed) < 0.05
        for over, chosen in (("active", active), ("all", np.ones(4, bool))):
            row = rows[seed, over]
            assert (row["latents"], row["n"]) == (chosen.sum(), 200)
            if chosen.sum() > 1:
                covariance = np.cov(codes[:, chosen].T)
                pairs = covariance[np.triu_indices(chosen.sum(), 1)]
                assert row["mean_cov"] == pytest.approx(pairs.mean(), rel=1e-4, abs=1e-7)
                assert row["mean_abs_cov"] == pytest.approx(np.abs(pairs).mean(), rel=1e-4)
                assert row["low"] <= row["mean_abs_cov"] <= row["high"]
            else:
                assert row["mean_abs_cov"] is None


def test_a_measured_run_is_not_measured_again(copied, capsys):
    before = {name: (copied / name).read_bytes() for name in (GENERATED, CODES)}
    assert run_sweep(SMALL, copied, *COMPARED) == 0
    assert "measuring" not in capsys.readouterr().out
    # One that is missing is, and it alone.
    lines = before[GENERATED].decode().splitlines(keepends=True)
    (copied / GENERATED).write_text("".join(lines[:10]))
    assert run_sweep(SMALL, copied, *COMPARED) == 0
    assert "measuring, 1 of 1: kappa4-d5-r2, seed 1" in capsys.readouterr().out
    assert {name: (copied / name).read_bytes() for name in before} == before


def test_other_settings_are_measured_again(copied, capsys):
    before = (copied / GENERATED).read_bytes()
    # Counting again, which is no part of this, would compile an evaluation.
    with mock.patch(
        "mdvae.report.analyse_again", lambda path, config, _: write_analysis(path, config)
    ):
        assert run_report(copied, "--ad_threshold=0.9") == 0
    assert (copied / GENERATED).read_bytes() == before
    (active, *_) = read_csv(copied / CODES)
    assert active["measured_with"] == "200 samples, active below 0.9"
    ratios = mdvae.load_run(copied).spectrum(CELL, 0)
    assert active["latents"] == (ratios < 0.9).sum()
    assert run_report(copied, "--generated=150") == 0
    assert "measuring, 2 of 2" in capsys.readouterr().out
    assert {row["n"] for name in (GENERATED, CODES) for row in read_csv(copied / name)} == {150}
    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(
        ConfigError, match=r"has no checkpoint of kappa4-d5-r2, seed 0, which is to be"
    ):
        run_report(copied, "--generated=140")


def test_a_finished_sweep_is_compared_by_a_report(path, copied):
    """As if the settings had not been there when it was trained."""
    config = read_config(copied)
    write_config(copied, with_analysis(config, {"compare": False, "generated": 10_000}))
    for name in (GENERATED, CODES):
        (copied / name).unlink()
    with pytest.raises(ConfigError, match=r"--generated: has no effect .* give --compare=True as"):
        run_report(copied, "--generated=200")
    results = (copied / "results.csv").read_bytes()
    assert run_report(copied, "--compare=True", "--generated=200") == 0
    assert (copied / "results.csv").read_bytes() == results
    assert read_config(copied) == config
    for name in (GENERATED, CODES):
        assert (copied / name).read_bytes() == (path / name).read_bytes()


def test_sequences_are_refused_before_anything_is_trained():
    grid = {"kappa": (2,), "d": (5,), "r": (2,)}
    config = tiny_dict(grid, data="sequences", networks="lstm", past=0)
    config.analysis.compare = True
    with pytest.raises(ConfigError, match=r"analysis\.compare: True is not usable with kappa2-d5"):
        generation.check_comparable(resolve(config))
    config.analysis.compare = False
    generation.check_comparable(resolve(config))


def test_images_that_nothing_compares_have_codes_alone(copied, capsys):
    (copied / GENERATED).unlink()
    (copied / CODES).unlink()
    with mock.patch.object(generation, "extractors_of", return_value=()):
        generation.measure_run(copied)
        assert "2 of 2" in capsys.readouterr().out
        generation.measure_run(copied)
        assert capsys.readouterr().out == ""
    assert not (copied / GENERATED).exists()
    assert len(read_csv(copied / CODES)) == 4


def test_what_images_are_compared_by(capsys):
    def cell(dataset, shape=(8, 8, 1)):
        return SimpleNamespace(
            sizes=SimpleNamespace(shape=shape), data=SimpleNamespace(dataset=dataset, kind="images")
        )

    assert extractors_of(cell("file", ()), "") is None
    assert extractors_of(cell("none_of_mine"), "") == ()
    assert extractors_of(cell("none_of_mine"), "") == ()
    # Said once.
    assert capsys.readouterr().out.count("warning: nothing to compare images by (") == 1
    assert [each.name for each in extractors_of(cell("mnist"), "")] == ["FCD"]


class Deterministic:
    """An encoder without noise, that is told a condition: z = 2 x + c."""

    seed = 3

    def __init__(self, cell):
        self.cell = cell

    def encode(self, x, c=None):
        mean = 2 * x + c
        return mean, np.full_like(mean, -np.inf)

    def decode(self, z, c=None):
        return (z - c) / 2

    def generate(self, n, c=None):
        return np.zeros((n, 3)) + c


def test_codes_without_variance_are_reconstructed_as_they_are(tiny):
    """And a model that is told something is told what belongs to the held-out samples."""
    grid = {"kappa": (3,), "d": (3,), "r": (2,), "t": (1,)}
    (cell,) = make_cells(tiny(grid, model="cvae"))
    rows = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60.0)[:, None]
    run = SimpleNamespace(batch=lambda *_: rows, model=lambda *_: Deterministic(cell))
    reference, samples = generation.sources_of(run, cell, 0, 20)
    np.testing.assert_array_equal(reference, rows[0][:20])
    np.testing.assert_allclose(samples[RECONSTRUCTION], rows[0][20:40])
    np.testing.assert_array_equal(samples[MODEL], np.tile(rows[1][20:40], 3))
    np.testing.assert_array_equal(samples[TRUTH], rows[0][40:])
    (blind, _) = make_cells(tiny())
    told = SimpleNamespace(batch=lambda *_: rows)
    assert generation.held_out(told, blind, 0, 20).told is None


def test_held_out_rows_of_a_file_are_reference_and_given(tiny):
    """There are no others: as many as there are, and training rows as the source "data"."""
    (cell,) = make_cells(tiny({"kappa": (2,)}, data="images", n_eval=80.0, n_train=64))
    labels = np.eye(10)[np.arange(80) % 10]
    run = SimpleNamespace(
        batch=lambda *_: (np.arange(80.0), labels),
        samples=lambda cell, seed, n, split: np.arange(1000.0, 1000.0 + n),
    )
    found = generation.held_out(run, cell, 0, 500)
    np.testing.assert_array_equal(found.reference, np.arange(80.0))
    np.testing.assert_array_equal(found.given, found.reference)
    np.testing.assert_array_equal(found.other, np.arange(1000.0, 1080.0))
    assert found.told is None  # a VAE, which ignores labels


def test_a_full_covariance_is_drawn_from_whole(tiny):
    fields = {"covariance": "full", "n_eval": 80.0, "n_train": 64}
    (cell,) = make_cells(tiny({"kappa": (2,)}, data="images", networks="resnet", **fields))
    factor = np.array([[1.0, 0.0], [0.9, 0.1]])

    def posterior(x, c):
        return Full(np.tile([[5.0], [7.0]], len(x)), np.repeat(factor[:, :, None], len(x), axis=2))

    model = SimpleNamespace(cell=cell, seed=0, posterior=posterior)
    z = draw_posterior(model, np.zeros((2_500, 1)))
    assert z.shape == (2_500, 2)
    np.testing.assert_allclose(z.mean(axis=0), [5.0, 7.0], atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), factor @ factor.T, atol=0.1)
    run = SimpleNamespace(mean_spectra={(cell.name, 0): np.array([0.01, 0.9])})
    # Its ratios are of eigenvectors, not of latents.
    assert generation.active_latents(run, cell, 0).all()
