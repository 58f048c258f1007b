"""Reports on second stages: tables of invented distances, and pictures of a tiny trained run."""

import math
import re
import shutil
from typing import Any
from unittest import mock

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import run_report, run_sweep

import mdvae
from mdvae.analysis.measuring import GENERATED, TRUTH
from mdvae.reports.base import View
from mdvae.reports.generated import (
    found_text,
    generated_rows,
    log_distance,
    paired_ratio,
    ratio_of,
    source_of,
    spectra_of,
)
from mdvae.reports.sections.stage_images import moved_images, sample_rows
from mdvae.reports.sections.stage_published import published_ratio
from mdvae.reports.sections.stage_training import over_seeds
from mdvae.reports.sections.stages import comparison, ratio_text
from mdvae.reports.staging import label_of, staged_cells
from mdvae.settings.config import default_stage, resolve
from mdvae.stages.measures import AGGREGATE, ONE, SINGULAR, SOURCES, TWO
from mdvae.stages.pipeline import load_stages
from mdvae.stages.plan import stage_config
from mdvae.store import rundir

PICTURES = {
    "generated.png",
    "singular_values.png",
    "first_stage_gamma.png",
    "stage_samples.png",
    "latent_noise.png",
}


def row(source, value, half, *, cell="a", seed=0, measure="FCD", n=300):
    """A row of generated.csv with an interval of so much to either side."""
    told = {"cell": cell, "seed": seed, "source": source, "measure": measure, "n": n}
    return {**told, "value": value, "low": value - half, "high": value + half}


def invented_stages(path, grid, seeds=2, published="", **fields):
    """Two stages of invented results, without distances; the second's directory."""
    config: Any = tiny_dict(grid, seeds=seeds, **fields)
    second = config.stages.second = default_stage()
    second.analysis.published = published
    second.batch_size = 50
    config = resolve(config)
    invented_run(config, path)
    return invented_run(stage_config(config, "second", path), path / "second")


def cells_of(path):
    return [cell.name for cell in mdvae.load_run(path).cells]


def tables_of(text):
    """The tables of a report: the rows of each, by title of the column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        titles, _, *lines = [
            [field.strip() for field in line.split("|")[1:-1]] for line in block.splitlines()
        ]
        found.append([dict(zip(titles, line, strict=True)) for line in lines])
    return found


def test_values_of_several_seeds_are_means_with_intervals_over_these():
    rows = [row(ONE, 10.0, 1.0), row(ONE, 14.0, 3.0, seed=1)]
    (found,) = generated_rows(rows)
    one = source_of(found, ONE)
    # Student's t of one degree of freedom; the mean's deviation is 2.
    half = 2.0 * math.tan(0.475 * math.pi)
    assert one.mean == 12.0
    assert one.low == pytest.approx(12.0 - half, rel=1e-6)
    assert one.high == pytest.approx(12.0 + half, rel=1e-6)
    assert (one.spread, one.n) == (2.0, 2)
    assert found_text(one) == "12.0 ± 25 (± 2.0)"
    assert math.isnan(source_of(found, TWO).mean)
    assert found_text(source_of(found, TWO)) == "–"


def test_one_seed_has_the_interval_of_its_bootstrap():
    (found,) = generated_rows([row(TWO, 10.0, 1.5)])
    two = source_of(found, TWO)
    assert (two.low, two.high, two.spread) == (8.5, 11.5, 1.5)
    assert found_text(two) == "10.0 (± 1.5)"


def test_ratios_are_paired_by_seed():
    one = {0: row(ONE, 10.0, 1.0), 1: row(ONE, 20.0, 1.0), 2: row(ONE, 5.0, 1.0)}
    two = {0: row(TWO, 3.0, 1.0), 1: row(TWO, 8.0, 1.0)}
    found = paired_ratio(one, two)
    assert found.mean == pytest.approx((0.3 + 0.4) / 2)
    half = 0.05 * math.tan(0.475 * math.pi)
    assert found.high - found.mean == pytest.approx(half, rel=1e-6)
    alone = paired_ratio({0: one[0]}, {0: two[0]})
    assert alone[:1] + alone[2:] == pytest.approx((0.3, 2.0 / 11.0, 4.0 / 9.0, 1))
    assert ratio_text(alone) == "0.300 [0.18, 0.44]"
    # A second stage as good as can be may be below 0 by chance.
    below = paired_ratio({0: one[0]}, {0: row(TWO, -1.0, 2.0)})
    assert (below.low, below.high) == pytest.approx((-3.0 / 9.0, 1.0 / 9.0))


def test_a_ratio_to_nothing_is_none():
    one = {0: row(ONE, 10.0, 1.0), 1: row(ONE, 0.5, 0.5)}
    two = {0: row(TWO, 3.0, 1.0), 1: row(TWO, 0.1, 0.5)}
    assert paired_ratio(one, two).n == 0
    assert ratio_text(paired_ratio(one, two)) == "–"
    assert paired_ratio({0: one[0]}, {1: two[1]}).n == 0


def told(measure, pairs):
    """What is said of one seed of cells with these values of one stage and of two."""
    rows = []
    for place, (one, two) in enumerate(pairs):
        rows += [
            row(ONE, *one, cell=str(place), measure=measure),
            row(TWO, *two, cell=str(place), measure=measure),
        ]
    return comparison(measure, generated_rows(rows))


def test_what_is_said_of_distances():
    pairs = [((10, 1), (4, 0.5)), ((10, 1), (4.9, 2)), ((10, 3), (8, 3)), ((1, 2), (0.5, 1))]
    assert told("energy distance", pairs) == (
        "energy distance: two stages are below one stage in 4 of 4 cells, with intervals apart in"
        " 2, by the bootstraps' intervals of every seed in 2; at most half of it in 2, by the whole"
        " interval of the ratio in 1; in 1 of 4 cells the bootstrap's interval of one stage"
        " contains 0, and a ratio to it would say nothing."
    )
    assert told("FCD", [((10, 1), (12, 1))]) == (
        "FCD (no FID): two stages are below one stage in 0 of 1 cell, with intervals apart in 0, by"
        " the bootstraps' intervals of every seed in 0; at most half of it in 0, by the whole"
        " interval of the ratio in 0."
    )
    assert told("KID", [((1, 2), (2, 1))]).endswith("every seed in 0; in 1 of 1 cell the"
        " bootstrap's interval of one stage contains 0, and a ratio to it would say nothing."
    )  # fmt: skip
    assert told("recall", [((0.2, 0.1), (0.5, 0.1)), ((0.2, 0.1), (0.1, 0.1))]) == (
        "recall: two stages have more than one stage in 1 of 2 cells, with intervals apart in 1, by"
        " the bootstraps' intervals of every seed in 1."
    )


def test_singular_values_are_compared_place_by_place():
    assert log_distance(np.array([2.0, 0.5]), np.ones(2)) == pytest.approx(math.log(2.0))
    assert math.isnan(log_distance(np.ones(2), np.ones(3)))
    rows = [
        {"cell": "a", "seed": seed, "source": source, "place": place, "value": value}
        for source, by_seed in (
            ("first stage", ([4.0, 2.0], [2.0, 1.0])),
            ("second stage", ([1.0, 1.0], [1.0, 1.0])),
            ("normal", ([1.0, 1.0], [1.0, 1.0])),
        )
        for seed, values in enumerate(by_seed)
        for place, value in enumerate(values, 1)
    ]
    found = spectra_of(rows)["a"]
    assert found.values["first stage"].tolist() == [3.0, 1.5]
    assert found.apart["first stage"].mean == pytest.approx(math.log(2.0))  # of 1.5 and 0.5 log 2
    assert found.apart["second stage"].mean == 0.0


def test_gamma_and_the_error_are_of_one_coordinate():
    lines = [
        {"step": 10, "recon": 8.0, "log_gamma": 0.0},
        {"step": 10, "recon": 4.0, "log_gamma": math.log(3.0)},
        {"step": 20, "recon": None, "log_gamma": 0.0},
    ]
    steps, gammas, errors = over_seeds(lines, 4)
    assert steps == [10]
    np.testing.assert_allclose(gammas, [[2.0, 1.0, 3.0]])
    np.testing.assert_allclose(errors, [[1.5, 1.0, 2.0]])


def test_a_second_stage_without_distances_says_how_to_get_them(tmp_path):
    path = invented_stages(tmp_path / "w", {"kappa": (4,), "d": (6,), "r": (2,)})
    manifest = rundir.read_manifest(path)
    rundir.write_manifest(path, {**manifest, "command": "python -m mdvae.sweep --config a.py"})
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert (
        "What this second stage generates is not measured yet; run the command of the sweep again:"
        " python -m mdvae.sweep --config a.py\n"
    ) in text
    assert "two stages / one" not in text
    assert "The first stage has a report of its own, ../report.md" in text
    assert not (path / "generated_summary.csv").exists()
    # Of one run of two.
    (cell,) = cells_of(path)
    rundir.write_csv(path / GENERATED, [row(ONE, 2.0, 1.0, cell=cell)])
    assert run_report(path) == 0
    assert "1 of 2 runs are not measured yet" in (path / "report.md").read_text()


def test_tables_have_what_was_measured(tmp_path):
    """Two cells, two seeds: by hand, in markdown, CSV and LaTeX; and none in the first's report."""
    path = invented_stages(tmp_path / "w", {"kappa": (4, 5), "d": (6,), "r": (2,)})
    values = {ONE: 8.0, TWO: 2.0, AGGREGATE: 1.0, TRUTH: 0.0}
    rows = [
        row(source, values[source] + seed, 0.5, cell=cell, seed=seed, measure="energy distance")
        for cell in cells_of(path)
        for seed in (0, 1)
        for source in SOURCES
    ]
    rundir.write_csv(path / GENERATED, rows)
    assert run_report(path, figures=False) == 0
    text = (path / "report.md").read_text()
    table = tables_of(text)[0]
    assert [line["κ"] for line in table] == ["4", "5"]
    for line in table:
        assert (line["d"], line["r"], line["seeds"]) == ("6", "2", "2")
        assert line[ONE] == "8.50 ± 6.4 (± 0.50)"
        assert line[TWO] == "2.50 ± 6.4 (± 0.50)"
        assert line[AGGREGATE] == "1.50 ± 6.4 (± 0.50)"
        assert line[TRUTH] == "0.500 ± 6.4 (± 0.50)"
        assert line["two stages / one"] == "0.292 [-0.24, 0.82]"  # of 2 / 8 and 3 / 9
    assert "in 2 of 2 cells, with intervals apart in 0, by the bootstraps' intervals of" in text
    assert "two stages / one" in (path / "report.tex").read_text()
    summary = rundir.read_csv(path / "generated_summary.csv")
    assert [ratio_of(line).mean for line in summary] == pytest.approx(2 * [7 / 24])
    assert [line["clearly_better"] for line in summary] == [2, 2]
    first = path.parent
    assert run_report(first) == 0
    assert "two stages / one" not in (first / "report.md").read_text()
    assert not (first / "generated_summary.csv").exists()


def test_published_numbers_stand_beside_another_distance(tmp_path):
    grid = {
        "learned": {"dataset": ("mnist",), "kappa": (8,), "gamma": ("closed",)},
        "held": {"dataset": ("mnist",), "kappa": (8,), "log_gamma": (0.0,)},
    }
    kinds = {"data": "images", "networks": "resnet", "n_eval": 0.0, "n_train": 0}
    path = invented_stages(tmp_path / "w", grid, seeds=1, published="two_stage_fid", **kinds)
    held, learned = cells_of(path)
    rows = [
        row(source, value, 1.0, cell=cell)
        for cell, pair in ((learned, (40.0, 10.0)), (held, (80.0, 60.0)))
        for source, value in zip((ONE, TWO), pair, strict=True)
    ]
    rundir.write_csv(path / GENERATED, rows)
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    (table,) = [each for each in tables_of(text) if "mnist, published FID" in each[0]]
    assert [line["mnist, published FID"] for line in table] == [
        "52 ± 0.6",
        "54.5 ± 1",
        "12.6 ± 1.5",
        "10",
    ]
    assert [line["mnist, FCD (no FID) here"] for line in table] == ["80.0", "40.0", "10.0", "–"]
    assert (
        "mnist, γ learned: two stages over one 0.250 [0.22, 0.28] by FCD (no FID); published 0.23 ±"
        " 0.03 by FID, another distance."
    ) in text
    published = [
        {"model": "vae_learned_gamma", "x": 10.0, "x_sd": 0.3},
        {"model": "two_stage_vae", "x": 5.0, "x_sd": 0.2},
    ]
    assert published_ratio(published, "x") == pytest.approx((0.5, 0.5 * 0.05))
    assert run_report("--published=", path) == 0
    assert "published FID" not in (path / "report.md").read_text()


def test_cells_are_called_as_the_first_stage_calls_them(tmp_path):
    path = invented_stages(tmp_path / "w", {"kappa": (4, 5), "d": (6,), "r": (2,)})
    view = View(mdvae.load_run(path))
    cells = staged_cells(view)
    assert list(cells) == cells_of(path)
    assert [label_of(cell, cells) for cell in cells.values()] == ["κ = 4", "κ = 5"]
    assert [cell.sizes.d for cell in cells.values()] == [6, 6]
    shutil.move(path, tmp_path / "alone")
    shutil.rmtree(path.parent)
    assert run_report(tmp_path / "alone") == 0
    text = (tmp_path / "alone" / "report.md").read_text()
    assert "There are no pictures of the first stage: data.first: " in text


# Networks of vectors take images too, and compile in a tenth of the time.
CONFIG = """
from ml_collections import ConfigDict
from mdvae.settings.config import default_config, default_stage


def get_config():
    config = default_config(data="images")
    config.grid = ConfigDict({"dataset": ("mnist_sample",), "kappa": (3,)})
    config.seeds = 1
    config.steps = 20
    config.batch_size = 32
    config.log_every = config.save_every = 10
    config.data.n_train = 64
    config.data.n_eval = 80
    config.method.gamma = "closed"
    config.networks.hidden = (8,)
    config.networks.encoder_input = "raw"
    second = config.stages.second = default_stage()
    second.networks.hidden = (8,)
    second.steps = 20
    second.batch_size = 32
    second.log_every = second.save_every = 10
    return config
"""


def invented_distances(stages, cell, seed):
    """Rows as `measured` returns them, of images, without the features of any."""
    return [
        row(source, value, 1.0, cell=cell, seed=seed, measure=measure, n=80)
        for measure in ("FCD", "recall")
        for source, value in zip(SOURCES, (9.0, 3.0, 2.0, 1.5), strict=True)
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A second stage on images, of one run of a few steps."""
    folder = tmp_path_factory.mktemp("stages")
    config = folder / "config.py"
    config.write_text(CONFIG)
    with mock.patch("mdvae.stages.measures.measured", invented_distances):
        assert run_sweep(str(config), folder / "run") == 0
    return folder / "run" / "second"


@pytest.mark.long
def test_a_trained_second_stage_has_pictures(trained):
    before = {file: file.stat().st_mtime_ns for file in trained.glob("checkpoints/*/*")}
    assert run_report(trained, figures=True) == 0
    assert {file.name for file in (trained / "figures").glob("*.png")} >= PICTURES
    assert {file: file.stat().st_mtime_ns for file in trained.glob("checkpoints/*/*")} == before
    text = (trained / "report.md").read_text()
    assert [line["measure"] for line in tables_of(text)[0]] == ["FCD (no FID)", "recall"]
    assert "80 samples of each source" in text
    assert len(mdvae.load_run(trained).results) == 1
    assert (trained / SINGULAR).is_file()


@pytest.mark.long
def test_rows_of_samples_are_what_the_models_say(trained):
    stages = load_stages(trained)
    (name,) = cells_of(trained)
    models = stages.pair(name, 0)
    pair = mock.Mock(models=models, seed=0)
    found = sample_rows(stages, pair)
    assert found.shape == (4, 10, 28, 28, 1)
    held_out, labels = stages.first.batch(models.first.cell, 0, 64)
    real = [np.abs(held_out - image).max(axis=(1, 2, 3)).argmin() for image in found[0]]
    assert labels is not None
    assert labels[real].argmax(axis=1).tolist() == list(range(10))
    np.testing.assert_allclose(found[1], models.reconstruct(held_out[real]), atol=1e-5)
    np.testing.assert_allclose(found[3], models.generate(10), atol=1e-5)
    assert not np.allclose(found[2], found[3], atol=1e-3)


@pytest.mark.long
def test_noise_is_along_one_latent_of_a_row(trained):
    stages = load_stages(trained)
    (name,) = cells_of(trained)
    model = stages.pair(name, 0).first
    x, _ = stages.first.batch(model.cell, 0, 64)
    found = moved_images(model, x, 0)
    mean, logvar = model.encode(x)
    variances = np.exp(logvar).mean(axis=0)
    order = np.argsort(variances)
    np.testing.assert_allclose(found.variances, variances[order], rtol=1e-5)
    assert found.images.shape == (3, 15, 28, 28, 1)
    noise = np.random.default_rng(0).standard_normal(15)
    for place, latent in enumerate(order):
        z = np.repeat(mean[:1], 15, axis=0)
        z[:, latent] += noise
        np.testing.assert_allclose(found.images[place], model.decode(z), atol=1e-5)
