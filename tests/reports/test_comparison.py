"""Run directories side by side: what they share, what they do not, and where that is written."""

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import run_report

import mdvae
from mdvae.settings.config import resolve

SIZES = {"kappa": (4,), "d": (6,), "r": (2, 3)}


def made(path, grid=None, **fields):
    return invented_run(resolve(tiny_dict(grid or SIZES, **fields)), path)


def tables_of(text):
    """The tables of a text, each as rows by title of the column."""
    tables, lines = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([field.strip() for field in line.split("|")[1:-1]])
        elif lines:
            tables.append([dict(zip(lines[0], row, strict=True)) for row in lines[2:]])
            lines = []
    return tables


def test_shared_cells_stand_side_by_side_and_differing_settings_below(tmp_path, capsys):
    a = made(tmp_path / "a", {**SIZES, "kappa": (2, 4)})
    b = made(tmp_path / "b", {**SIZES, "d": (6, 8)}, hidden=(16,), ad_threshold=1e-3)
    assert run_report(a, b) == 0
    text = (a / "comparison-with-b.md").read_text()
    assert text.rstrip() in capsys.readouterr().out
    cells, settings = tables_of(text)
    assert [(row["κ"], row["d"], row["r"]) for row in cells] == [("4", "6", "2"), ("4", "6", "3")]
    by_letter = {run: mdvae.load_run(path) for run, path in (("A", a), ("B", b))}
    for row in cells:
        name = f"kappa4-d6-r{row['r']}"
        for letter, threshold, right in (("A", "0.05", "2/2"), ("B", "0.001", "0/2")):
            (summary,) = [s for s in by_letter[letter].summary if s["cell"] == name]
            mean = f"{summary['ad_mean']:.1f} ± 0.0"
            assert row[f"{letter}: AD ({threshold})"] == mean
            assert row[f"{letter}: AD ({threshold}) as expected"] == right
            assert row[f"{letter}: AD (gap) as expected"] == "2/2"
            assert row[f"{letter}: nelbo (nats)"].startswith(f"{summary['nelbo_mean']:.1f} ± ")
            assert row[f"{letter}: Recon"].startswith("0.0149")
    assert "Not shared: 2 in A alone; 2 in B alone." in text
    assert {row["field"]: (row["A"], row["B"]) for row in settings} == {
        "grid.kappa": ("(2, 4)", "(4,)"),
        "grid.d": ("(6,)", "(6, 8)"),
        "networks.hidden": ("(8,)", "(16,)"),
        "analysis.ad_threshold": ("0.05", "0.001"),
    }
    assert not list(b.glob("comparison*"))


def test_without_a_truth_nothing_is_expected(tmp_path):
    """Of tables; what is found of a file is no setting, but that it is another file is."""
    generator, fields = np.random.default_rng(0), {"networks.output": "linear", "n_eval": 40}
    paths = []
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", generator.normal(size=(200, 5)))
        more = {"data.path": str(tmp_path / f"{name}.npy"), **fields}
        paths.append(made(tmp_path / name, {"kappa": (3,)}, data="array", **more))
    assert run_report(*paths) == 0
    text = (paths[0] / "comparison-with-b.md").read_text()
    ((row,), settings) = tables_of(text)
    assert not any("expected" in title for title in row)
    assert {each["field"] for each in settings} == {"data.path", "data.content"}


def test_another_comparison_is_not_overwritten(tmp_path):
    a, b, other = (made(tmp_path / name) for name in ("a", "b", "there/b"))
    theirs = a / "comparison-with-b-2.md"
    theirs.write_text("mine")
    for paths in ((a, b), (a, other), (a, b)):
        assert run_report(*paths) == 0
    assert theirs.read_text() == "mine"
    found = {file.name: file.read_text().splitlines()[0] for file in a.glob("comparison*")}
    assert found == {
        "comparison-with-b.md": f"# Comparison of A: {a}, B: {b}",
        "comparison-with-b-2.md": "mine",
        "comparison-with-b-3.md": f"# Comparison of A: {a}, B: {other}",
    }
    assert "All settings are the same." in (a / "comparison-with-b.md").read_text()


def test_a_directory_is_not_compared_with_itself(tmp_path):
    path = made(tmp_path / "a")
    assert run_report(path, tmp_path / "." / "a") == 0
    assert not list(path.glob("comparison*"))


def test_directories_without_a_common_cell(tmp_path):
    a, b = made(tmp_path / "a"), made(tmp_path / "b", {**SIZES, "kappa": (5,)})
    assert run_report(a, b) == 0
    text = (a / "comparison-with-b.md").read_text()
    assert "No two of the directories have a cell of the same name." in text
    assert [row["field"] for row in tables_of(text)[0]] == ["grid.kappa"]


def test_more_than_two_and_parts_of_the_data(tmp_path):
    """Classes are compared one by one; a cell that one of three lacks has dashes there."""
    union = {"kappa": (4,), "d": (6,), "r": (2,)}
    fields = {"data": "union", "model": "cvae"}
    names = ("a", "b", "c", "d")
    paths = [made(tmp_path / name, union, **fields) for name in names[:2]]
    paths += [made(tmp_path / "c", {**union, "r": (2, 3)}, **fields), made(tmp_path / "d")]
    assert run_report(*paths) == 0
    text = (paths[0] / "comparison-with-b-and-c-and-1-more.md").read_text()
    cells, _ = tables_of(text)
    assert [(row["r"], row["part"]) for row in cells] == [("2", "1"), ("2", "2")]
    assert [row["C: AD (gap)"] for row in cells] == ["1.0 ± 0.0", "2.0 ± 0.0"]
    assert [row["D: AD (gap)"] for row in cells] == ["–", "–"]
    assert "Not shared: 3 in C alone; 2 in D alone." in text


@pytest.mark.parametrize("missing", ["results.csv", "metrics.jsonl"])
def test_an_unfinished_run_is_compared_as_far_as_it_is(tmp_path, missing):
    a, b = made(tmp_path / "a"), made(tmp_path / "b")
    (b / missing).unlink()
    assert run_report(a, b) == 0
    cells, *_ = tables_of((a / "comparison-with-b.md").read_text())
    assert len(cells) == 2
    assert (cells[0]["B: AD (gap)"] == "–") == (missing == "results.csv")
