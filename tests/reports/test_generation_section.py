"""Reports on what plain sweeps generate: tables, sentences and figures of invented distances."""

import re

import pytest
from conftest import tiny_dict
from invented import invented_run
from matplotlib.figure import Figure
from runs import run_report

import mdvae
from mdvae.analysis.generation import CODES, MODEL, RECONSTRUCTION, SOURCES
from mdvae.analysis.measuring import GENERATED, TRUTH
from mdvae.reports.base import View
from mdvae.reports.distances import set_scale
from mdvae.reports.generated import codes_rows, generated_rows, source_of
from mdvae.reports.sections.generation import least_over_kappa
from mdvae.settings.config import resolve
from mdvae.store import rundir

GRID = {"kappa": (2, 4, 8), "d": (9,), "r": (2, 4)}
VALUES = {MODEL: 0.5, RECONSTRUCTION: 0.2, TRUTH: 0.0}


def row(cell, seed, source, value, measure="energy distance"):
    """A row of generated.csv with an interval of 0.1 to either side."""
    told = {"cell": cell, "seed": seed, "source": source, "measure": measure, "n": 300}
    return {**told, "value": value, "low": value - 0.1, "high": value + 0.1}


def code(cell, seed, over, latents, value):
    told = {"cell": cell, "seed": seed, "over": over, "latents": latents, "n": 300}
    value = {"mean_abs_cov": value, "low": value - 0.01, "high": value + 0.01, "mean_cov": -value}
    return {**told, **value}


def invented(path, grid=None, seeds=2, compare=True, **fields):
    config = tiny_dict(grid or GRID, seeds=seeds, **fields)
    config.analysis.compare = compare
    return invented_run(resolve(config), path)


def measured(path, measures=("energy distance", "MMD")):
    """Distances that are least where kappa is r, of the second seed a little more."""
    run = mdvae.load_run(path)
    rows = [
        row(cell.name, seed, source, value + 0.1 * seed + abs(cell.sizes.kappa - cell.sizes.r), m)
        for cell in run.cells
        for seed in run.seeds
        for m in measures
        for source, value in VALUES.items()
    ]
    rundir.write_csv(path / GENERATED, rows)
    codes = [
        code(cell.name, seed, over, latents, 0.03 + 0.01 * seed)
        for cell in run.cells
        for seed in run.seeds
        for over, latents in (("active", 2 + seed), ("all", cell.sizes.kappa))
    ]
    rundir.write_csv(path / CODES, codes)
    return path


def tables_of(text):
    """The tables of a report: the rows of each, by title of the column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        titles, _, *lines = [
            [field.strip() for field in line.split("|")[1:-1]] for line in block.splitlines()
        ]
        found.append([dict(zip(titles, line, strict=True)) for line in lines])
    return found


def test_tables_have_all_sources_and_codes(tmp_path):
    path = measured(invented(tmp_path / "w"))
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    (table,) = [each for each in tables_of(text) if RECONSTRUCTION in each[0]]
    assert [line["measure"] for line in table] == 6 * ["energy distance"] + 6 * ["MMD"]
    (line,) = [
        each for each in table if (each["κ"], each["r"], each["measure"]) == ("4", "4", "MMD")
    ]
    # Of 0.5 and 0.6: Student's t of one degree of freedom, half a difference of 0.1.
    assert line[MODEL] == "0.550 ± 0.64 (± 0.10)"
    assert line[RECONSTRUCTION] == "0.250 ± 0.64 (± 0.10)"
    assert line[TRUTH] == "0.0500 ± 0.64 (± 0.10)"
    assert line["seeds"] == "2"
    (codes,) = [each for each in tables_of(text) if "mean abs. cov" in each[0]]
    assert len(codes) == 12
    (line,) = [
        each for each in codes if (each["κ"], each["r"], each["over"]) == ("8", "2", "active")
    ]
    assert line["latents"] == "2.50"
    assert line["mean abs. cov"] == "0.0350 ± 0.064 (± 0.010)"
    assert line["mean cov"] == "-0.0350 ± 0.064"
    latex = (path / "report.tex").read_text()
    assert "reconstruction" in latex
    assert r"mean $|\mathrm{cov}|$" in latex
    summary = rundir.read_csv(path / "generated_summary.csv")
    assert not any("ratio" in name or "better" in name for name in summary[0])
    assert {f"{source}_mean" for source in SOURCES} <= set(summary[0])
    assert len(rundir.read_csv(path / "codes_summary.csv")) == 12
    assert "Generated: 300 samples of each source" in text
    assert "not measured yet" not in text
    assert (path / "figures" / "distances.png").is_file()
    assert "Distances of samples from held-out ones against κ" in text


def test_where_the_model_is_closest_is_said_of_each_line(tmp_path):
    path = measured(invented(tmp_path / "w"))
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    for r in (2, 4):
        assert (
            f"r = {r}: of κ = 2, 4, 8 the model's mean distance from the data is least at κ = {r}"
            f" by energy distance (in 2 of 2 seeds), {r} by MMD (in 2 of 2 seeds); r = {r}.\n"
        ) in text


def test_seeds_may_disagree_and_shares_are_no_distances(tmp_path):
    run = mdvae.load_run(invented(tmp_path / "w", {"kappa": (2, 4), "d": (9,), "r": (2,)}, seeds=3))
    names = [cell.name for cell in run.cells]
    values = {0: (1.0, 2.0), 1: (3.0, 2.0), 2: (1.0, 2.5)}
    rows = [
        row(name, seed, MODEL, value, measure)
        for seed, pair in values.items()
        for name, value in zip(names, pair, strict=True)
        for measure in ("FCD", "recall")
    ]
    assert least_over_kappa("", run.cells, rows) == (
        "Of κ = 2, 4 the model's mean distance from the data is least at κ = 2 by FCD (no FID) (in"
        " 2 of 3 seeds); r = 2."
    )
    # A seed that lacks a kappa is not asked, and nothing is said of none.
    assert "(in 1 of 2 seeds)" in least_over_kappa("", run.cells, rows[:-2])
    assert least_over_kappa("", run.cells, rows[:2]) == ""


def test_without_an_axis_kappa_cells_are_drawn_side_by_side(tmp_path):
    path = measured(invented(tmp_path / "w", {"kappa": (4,), "d": (9,), "r": (2, 4)}))
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    assert "![Distances of samples from held-out ones](figures/distances.png)" in text
    assert "is least at" not in text


@pytest.mark.parametrize("largest", [0.009, 0.3, 40.0])
def test_an_axis_about_zero_labels_nothing_within_what_is_linear(largest):
    """Where labels would stand upon each other; and enough of what is beyond."""
    axes = Figure().subplots()
    rows = [row("a", 0, MODEL, largest), row("a", 0, TRUTH, 0.0005)]
    rows[0] |= {"low": largest, "high": largest}
    rows[1] |= {"low": -0.0011, "high": 0.002}
    set_scale(axes, "y", "MMD", rows)
    assert axes.get_yscale() == "symlog"
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low < tick < high]
    assert 0.0 in ticks
    assert all(tick == 0.0 or abs(tick) >= 0.0011 for tick in ticks)
    assert max(ticks) > 0.1 * largest


def test_what_is_not_measured_is_said(tmp_path):
    grid = {"kappa": (4,), "d": (9,), "r": (2,)}
    path = invented(tmp_path / "w", grid)
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert "What these models generate is not measured yet; run the command of the sweep" in text
    measured(path)
    for name in (GENERATED, CODES):
        rows = rundir.read_csv(path / name)
        rundir.write_csv(path / name, [each for each in rows if each["seed"] == 0])
    assert run_report(path) == 0
    assert "1 of 2 runs are not measured yet" in (path / "report.md").read_text()
    (measured(path) / GENERATED).unlink()
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert "Samples are not compared: there is no classifier of these images." in text
    assert "not measured yet" not in text


def test_nothing_is_said_where_nothing_is_compared(tmp_path):
    path = invented(tmp_path / "w", compare=False)
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert "not measured yet" not in text
    assert "mean abs. cov" not in text
    assert not (path / "generated_summary.csv").exists()
    view = View(mdvae.load_run(path))
    assert (view.generated, view.codes) == ([], [])


def test_summaries_by_hand():
    rows = [row("a", seed, MODEL, value) for seed, value in enumerate((1.0, 2.0, 6.0))]
    (found,) = generated_rows(rows, SOURCES)
    model = source_of(found, MODEL)
    assert (model.mean, model.n, found["runs"], found["n"]) == (3.0, 3, 3, 300)
    assert model.spread == pytest.approx(0.1)
    # One seed of two has no pairs of active latents.
    codes = [code("a", 0, "active", 3, 0.05), code("a", 1, "active", 1, float("nan"))]
    (found,) = codes_rows(codes)
    assert (found["latents"], found["runs"], found["mean_abs_cov_n"]) == (2.0, 2, 1)
    assert (found["mean_abs_cov_mean"], found["mean_cov_mean"]) == (0.05, -0.05)
