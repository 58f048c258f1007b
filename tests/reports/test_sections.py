"""Reports on invented results: what each section says where runs have found what is expected."""

import csv
import re
from unittest import mock

import matplotlib as mpl
import pytest
from conftest import tiny_dict
from invented import invented_run
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from runs import CONFIGS, run_report

import mdvae
from mdvae import cli
from mdvae.reports.base import View
from mdvae.reports.plotting import STYLE, legend_below
from mdvae.reports.sections import spectra
from mdvae.settings.config import resolve
from mdvae.store import rundir

FILES = CONFIGS.parents[1] / "configs"
SIZES = {"kappa": (4,), "d": (6,), "r": (2,)}


def reported(path, figures=True):
    """The figures and the text of a new report."""
    assert run_report(path, figures=figures) == 0
    return {file.name for file in path.glob("figures/*")}, (path / "report.md").read_text()


def main_table(text):
    """The first table of a report: its rows, by title of the column."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[field.strip() for field in line.split("|")[1:-1]] for line in lines]
    end = next((i for i, line in enumerate(lines) if i > 1 and "---" in line), len(lines) + 1)
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2 : end - 1]]


def rates_of(path):
    with open(path / "rates.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_the_last_run(path):
    """A run directory whose last run is not there yet can be reported on, figures built too."""
    with open(path / "results.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    for file in path.glob("*.csv"):
        lines = file.read_text().splitlines(keepends=True)
        start = f"{last['cell']},{last['seed']},"
        file.write_text("".join(line for line in lines if not line.startswith(start)))
    with mock.patch("mdvae.reports.report._save", lambda _, file: file.write_bytes(b"")):
        figures, text = reported(path)
    assert all((path / "figures" / name).read_bytes() == b"" for name in figures)
    assert "Not finished: 1 runs have no results yet" in text


def test_an_axis_beyond_the_sizes_has_a_column_of_its_name(tmp_path):
    grid = {**SIZES, "learning_rate": (0.001, 0.01), "log_gamma_init": (-1.0, 0.0)}
    path = invented_run(resolve(tiny_dict(grid)), tmp_path / "w")
    figures, text = reported(path)
    rows = main_table(text)
    assert list(rows[0])[:6] == ["κ", "d", "r", "initial log γ", "learning rate", "AD (0.05)"]
    assert {(row["learning rate"], row["initial log γ"]) for row in rows} == {
        (rate, start) for rate in ("0.001", "0.01") for start in ("-1", "0")
    }
    assert not re.search(r"\|\s*else\s*\|", text)
    assert "learning_rate is 0.001, 0.01" in text
    assert "learning rate" in (path / "report.tex").read_text()
    assert "ad_against_start.png" in figures


def test_groups_are_told_by_what_they_do_not_share(tmp_path):
    """A choice that makes a program of its own is a column, and each group has its costs."""
    path = invented_run(resolve(tiny_dict({**SIZES, "hidden": ((8,), (4, 4))})), tmp_path / "w")
    _, text = reported(path, figures=False)
    assert [row["hidden"] for row in main_table(text)] == ["8", "4x4"]
    for hidden in ("8", "4x4"):
        assert re.search(rf"\|\s*hidden = {hidden}\s*\|\s*2\s*\|\s*1\s*\|\s*0.50\s*\|", text)


def test_report_says_what_was_found(tmp_path):
    config = resolve(tiny_dict({"kappa": (2, 4), "d": (6,), "r": (3,)}))
    _, text = reported(invented_run(config, tmp_path / "w"))
    for rule in ("0.05", "gap"):
        assert f"κ < r (too few latents), AD = κ by the {rule} rule in 2 of 2 (100 %" in text
        assert f"r < d and κ ≥ r (Theorem 1), AD = r by the {rule} rule in 2 of 2 (100 %" in text
    by_kappa = {row["κ"]: row for row in main_table(text)}
    assert by_kappa["2"]["AD (0.05)"].startswith("2.0")
    assert by_kappa["4"]["AD (gap)"].startswith("3.0")
    assert by_kappa["4"]["AD (gap) as expected"] == "2/2"


def test_the_cell_that_is_shown_can_be_chosen(tmp_path):
    config = resolve(tiny_dict({"kappa": (4,), "d": (6,), "r": (2, 3)}))
    path = invented_run(config, tmp_path / "w")
    for cell in ("kappa4-d6-r2", "kappa4-d6-r3"):
        assert run_report(f"--cell={cell}", path) == 0
        text = (path / "report.md").read_text()
        assert f"Encoder over prior variance by latent, {cell}, seed 0: {cell[-1]} below" in text


def said_in(figure):
    """What stands in the panels of a figure as text."""
    return {text.get_text() for axes in figure.axes for text in axes.texts} - {"×"}


@pytest.fixture
def drawn(monkeypatch):
    """The figures of a report by file name, which are not rendered."""
    figures = {}

    def keep(figure, file):
        figures[file.name] = figure

    monkeypatch.setattr("mdvae.reports.report._save", keep)
    return figures


def without_numbers(path, *names):
    """Takes the numbers of some columns away, as where no loss was finite."""
    for file in path.glob("*.csv"):
        with open(file, newline="") as opened:
            rows = list(csv.DictReader(opened))
        for row in rows:
            row |= {name: "" for name in names if name in row}
        rundir.write_csv(file, rows)


def test_a_panel_with_nothing_to_draw_says_why(tmp_path, drawn):
    grid = {**SIZES, "log_gamma_init": (-1.0, 0.0)}
    path = invented_run(resolve(tiny_dict(grid)), tmp_path / "w")
    figures = ("spectra.png", "thresholds.png", "variances.png", "training.png")
    assert run_report(path, figures=True) == 0
    assert [said_in(drawn[name]) for name in (*figures, "ad_against_start.png")] == [set()] * 5
    without_numbers(path, "ratio")
    lines = [{**line, "nelbo": float("nan")} for line in rundir.read_metrics(path)]
    (path / rundir.METRICS).unlink()
    rundir.append_metrics(path, lines)
    with open(path / "results.csv", newline="") as opened:
        rows = [{**row, "status": "diverged"} for row in csv.DictReader(opened)]
    rundir.write_csv(path / "results.csv", rows)
    assert run_report(path, figures=True) == 0
    for name in (*figures, "ad_against_start.png"):
        assert said_in(drawn[name]) == {"no finite values"}
    # Of the two rows of panels that of gamma is as it was.
    assert [len(axes.texts) for axes in drawn["training.png"].axes] == [1, 1, 0, 0]


def test_a_panel_of_what_is_not_done_yet_says_so(tmp_path, drawn):
    grid = {**SIZES, "d": (6, 8), "log_gamma_init": (-1.0, 0.0)}
    path = invented_run(resolve(tiny_dict(grid)), tmp_path / "w")
    for file in [*path.glob("*.csv"), path / "metrics.jsonl"]:
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if "-d8-" not in line))
    assert run_report(path, figures=True) == 0
    for name, why in (
        ("spectra.png", "no seed is done yet"),
        ("thresholds.png", "no seed is done yet"),
        ("ad_against_start.png", "no run is done yet"),
        ("training.png", "nothing logged yet"),
    ):
        assert said_in(drawn[name]) == {why}


IMAGES = {"data": "images", "n_train": 0, "n_eval": 0}


@pytest.mark.parametrize("n_panels", [1, 2])
@pytest.mark.parametrize(
    ("grid", "fields", "expected"),
    [({**SIZES, "r": (2, 3)}, {}, ["expected AD"]), ({"kappa": (4, 12)}, IMAGES, [])],
)
def test_what_panels_of_spectra_share_is_said_within_the_figure(
    tmp_path, grid, fields, expected, n_panels
):
    """However few panels there are; and only of lines that are drawn."""
    few = {axis: values[:n_panels] for axis, values in grid.items()}
    path = invented_run(resolve(tiny_dict(few, **fields)), tmp_path / "w")
    with mpl.rc_context(STYLE):
        pictures = spectra.SECTION.pictures(View(mdvae.load_run(path)))
        figures = {picture.file: picture.figure for picture in pictures}
        for file, in_use in (("spectra.png", "threshold 0.05"), ("thresholds.png", "in use: 0.05")):
            figure = figures[file]
            figure.draw_without_rendering()
            (legend,) = figure.legends
            assert [text.get_text() for text in legend.get_texts()] == [in_use, *expected]
            assert len([axes for axes in figure.axes if axes.get_visible()]) == n_panels
            for each in (legend, *figure.texts):
                box = each.get_window_extent()
                assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_a_legend_of_many_axes_is_within_the_figure():
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axes = figure.subplots()
    named = ", ".join(f"axis_{i}\u00a0=\u00a0value_{i}" for i in range(9))
    for label in ("short", named):
        axes.plot([0, 1], [0, 1], label=label)
    with mpl.rc_context(STYLE):
        legend_below(figure, [axes])
        figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [" ".join(text.get_text().split("\n")) for text in legend.get_texts()] == [
        "short",
        named,
    ]
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_small_ratios_keep_their_digits(tmp_path):
    path = invented_run(resolve(tiny_dict(SIZES)), tmp_path / "w")
    values = iter((2.149e-5, 0.0123456, 0.98765, 0.0, *[0.5] * 4))
    with open(path / "spectra.csv", newline="") as opened:
        rows = [{**row, "ratio": next(values)} for row in csv.DictReader(opened)]
    rundir.write_csv(path / "spectra.csv", rows)
    _, text = reported(path, figures=False)
    assert re.search(r"\| +\*\*2\.1e-5\*\* \| +\*\*0\.0123\*\* \| +0\.9877 \| +\*\*0\*\* \|", text)


def invented(name, path, **axes):
    """A run directory of a config file in which two seeds have found what theory expects.

    Args:
        axes: values of axes instead of the file's, or None for a grid that is left out.
    """
    config = cli.load_config(str(FILES / f"{name}.py"))
    config.update({"seeds": 2})
    config.grid = ConfigDict({**config.grid.to_dict(), **axes})
    with config.unlocked():
        for axis in [axis for axis, values in axes.items() if values is None]:
            del config.grid[axis]
    return invented_run(resolve(config), path)


def test_report_of_table5(tmp_path):
    path = invented("table5", tmp_path / "w")
    figures, text = reported(path)
    run = mdvae.load_run(path)
    assert len(run.parts) == 2 * 2 * 5  # runs, with and without attention, classes
    for cell in run.cells:
        mine = [row["fraction"] for row in run.counts if row["cell"] == cell.name]
        assert sum(mine) == pytest.approx(2 * 5.0, rel=1e-5)
    assert "parts.png" in figures
    for attention in (True, False):
        assert f"attention={attention}: AD by the 0.05 rule is as expected in 10 of 10" in text
    without_the_last_run(path)


def test_report_of_table6(tmp_path):
    path = invented("table6", tmp_path / "w", attention=(True,))
    figures, _ = reported(path)
    assert {(row["part"], row["expected_ad"]) for row in mdvae.load_run(path).parts} == {
        (t, 12 - t) for t in (2, 4, 6, 8, 10)
    }
    assert "parts.png" in figures
    without_the_last_run(path)


def test_report_of_table7(tmp_path):
    _, text = reported(invented("table7", tmp_path / "w"), figures=False)
    assert text.count("from initial log γ = -20, -10, 0, 10, 20, AD (0.05) is") == 6
    assert text.count("AD (0.05) is 5.0, 5.0, 5.0, 5.0, 5.0 and AD (gap)") == 4
    assert text.count("AD (0.05) is 10.0, 10.0, 10.0, 10.0, 10.0 and AD (gap)") == 2
    assert text.count("from initial log γ = 0, 20, AD (0.05) is") == 3
    assert "AD = r - t by" not in text  # bad starts say nothing on the theorem


def test_figures_of_table7(tmp_path):
    few = {"published_vae": None, "published_cvae": None, "ours_cvae": None}
    path = invented("table7", tmp_path / "w", **few)
    figures, _ = reported(path)
    assert {"ad_against_start.png"} <= figures
    without_the_last_run(path)


def test_report_of_theorem2(tmp_path):
    path = invented("theorem2", tmp_path / "w", t=(2, 5), log_gamma=(-8.0, -7.0, -6.0, -5.0))
    figures, _ = reported(path)
    assert "rates.png" in figures
    rates = rates_of(path)
    # Theorem 2: d - r + t, with d = 20 and r = 6.
    assert [float(row["theory"]) for row in rates] == [16.0, 19.0]
    assert [float(row["nelbo"]) for row in rates] == pytest.approx([16, 19], abs=0.1)
    assert [float(row["r_hat_slope"]) for row in rates] == pytest.approx([4, 1], abs=0.1)
    assert [float(row["r_hat_recon"]) for row in rates] == pytest.approx([4, 1], abs=0.1)
    without_the_last_run(path)


def test_what_gamma_resolves_stands_beside_what_was_found(tmp_path):
    path = invented_run(resolve(tiny_dict({"kappa": (6,), "d": (8,), "r": (3,)})), tmp_path / "w")
    _, text = reported(path, figures=False)
    section = text[text.index("What gamma resolves") :]
    (row,) = main_table(section)[:1]
    assert row["dimensions of x to be found"] == "3"
    assert row["resolved, mean over samples"] == "2.75"
    assert row["samples with all of them"] == "75 %"
    assert row["AD (gap)"] == "3.0"
    for each in mdvae.load_run(path).results:
        assert (each["resolvable"], each["resolvable_share"]) == (2.75, 0.75)
        assert each["resolvable_ad"] == 3 - each["seed"] % 2


def test_the_threshold_is_told_from_what_gamma_allows_it(tmp_path):
    """Runs of odd seeds have a direction that is flat at some samples."""
    draft = tiny_dict({"kappa": (2, 6), "d": (8,), "r": (3,)})
    draft.seed, draft.seeds = 5, 3
    path = invented_run(resolve(draft), tmp_path / "w")
    _, text = reported(path, figures=False)
    section = text[text.index("What gamma resolves") :]
    rows = main_table(section)[:2]
    assert [row["AD (0.05) that γ allows"] for row in rows] == ["–", "2.3"]
    assert [row["AD (0.05)"] for row in rows] == ["2.0", "3.0"]
    # Those with too few latents are under no theorem.
    words = "γ allows AD (0.05) all dimensions in 1 of 3 runs; it is as expected in 1 of these"
    assert f"{words}, and in 2 of the 2 others." in text


def test_what_gamma_allows_is_not_told_of_results_without_it(tmp_path):
    path = invented_run(resolve(tiny_dict({"kappa": (6,), "d": (8,), "r": (3,)})), tmp_path / "w")
    table = rundir.read_csv(path / "results.csv")
    older = [{k: v for k, v in row.items() if k != "resolvable_ad"} for row in table]
    rundir.write_csv(path / "results.csv", older)
    _, text = reported(path, figures=False)
    assert "What gamma resolves" in text
    assert "γ allows" not in text
    assert "gamma allows" not in text


def test_what_gamma_allows_is_told_of_each_part_of_the_data(tmp_path):
    draft = tiny_dict({"kappa": (6,), "d": (8,), "r": (3,)}, data="union")
    draft.seed, draft.seeds = 0, 2
    path = invented_run(resolve(draft), tmp_path / "w")
    _, text = reported(path, figures=False)
    rows = main_table(text[text.index("What gamma resolves") :])[:3]
    assert [row["dimensions of x to be found"] for row in rows] == ["1", "2", "3"]
    assert [row["AD (0.05) that γ allows"] for row in rows] == ["0.5", "1.5", "2.5"]


def test_held_gammas_are_in_no_count_of_what_gamma_allows(tmp_path):
    grid = {"kappa": (4,), "d": (6,), "r": (2,), "log_gamma": (-2.0, -4.0)}
    path = invented_run(resolve(tiny_dict(grid)), tmp_path / "w")
    _, text = reported(path, figures=False)
    assert "AD (0.05) that γ allows" in text
    assert "γ allows AD" not in text


def test_means_over_some_of_the_runs_say_so(tmp_path):
    """One of two runs diverged: it is in no mean, and every mean says that it is of one."""
    path = invented_run(resolve(tiny_dict(SIZES)), tmp_path / "w")
    lines = (path / "results.csv").read_text().splitlines(keepends=True)
    (path / "results.csv").write_text("".join([*lines[:-1], lines[-1].replace("ok", "diverged")]))
    _, text = reported(path)
    (row,) = main_table(text)
    assert row["AD (0.05)"] == row["AD (gap)"] == "2.0 (1 of 2)"
    means = [value for name, value in row.items() if re.match("AD .*[^d]$|-ELBO|KL|Recon|γ", name)]
    assert len(means) == 6
    assert all(value.endswith(" (1 of 2)") for value in means)
    assert row["AD (gap) as expected"] == "1/2"
