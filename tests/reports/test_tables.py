"""Tables: statistics, numbers as text, published values."""

import pytest

from mdvae.analysis.summary import published_rows
from mdvae.reports.tables import (
    Column,
    axis_columns,
    digits_text,
    latex_table,
    markdown_table,
    mean_text,
    number,
    with_digits,
    with_interval,
)
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.625e-5, "1.62e-5"),
        (0.0474, "0.0474"),
        (12.345, "12.3"),
        (0, "0"),
        (None, "–"),
        (7, "7.00"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("found", "interval", "mean", "digits"),
    [
        (5, "2.0 ± 0.5", "2.0", "2.00 ± 0.50"),
        (2, "2.0 ± 0.5 (2 of 5)", "2.0 (2 of 5)", "2.00 ± 0.50 (2 of 5)"),
    ],
)
def test_a_mean_says_of_how_many_runs_it_is(found, interval, mean, digits):
    row = {"runs": 5, "ad_mean": 2.0, "ad_low": 1.5, "ad_high": 2.5, "ad_n": found}
    assert with_interval(row, "ad", 1) == interval
    assert mean_text(row, "ad") == mean
    assert with_digits(row, "ad") == digits
    assert digits_text(row, "ad") == digits.replace(" ± 0.50", "")
    nothing = {"runs": 5, "ad_mean": None, "ad_low": None, "ad_high": None, "ad_n": 0}
    assert with_interval(nothing, "ad", 1) == mean_text(nothing, "ad") == "–"
    one = {**row, "ad_low": float("nan"), "ad_high": float("nan"), "ad_n": 1}
    assert with_interval(one, "ad", 1) == "2.0 (1 of 5)"


def test_tables_hold_the_same_cells():
    columns = [
        Column("a", "$a$", lambda row: str(row["a"])),
        Column("b_c", "$b$", lambda row: f"{row['b']} ± 1"),
    ]
    rows = [{"a": 1, "b": 20}, {"a": 10, "b": 3}]
    lines = markdown_table(columns, rows).splitlines()
    assert lines[0].split("|")[1:3] == ["  a ", "    b_c "]
    assert len({len(line) for line in lines}) == 1
    latex = latex_table(columns, rows, "95 % of_things")
    assert r"1 & 20 $\pm$ 1 \\" in latex
    assert r"\caption{95 \% of\_things}" in latex


def test_unknown_published_table():
    assert published_rows("") == []
    with pytest.raises(ConfigError, match="no table 'table0'"):
        published_rows("table0")


def test_a_column_for_each_axis_that_tells_cells_apart(tiny):
    axes = {"kappa": (3,), "d": (6,), "r": (2,)}
    grid = {
        "noisy": {**axes, "sigma": (0.1, 0.2)},
        "starts": {**axes, "log_gamma_init": (-1.0,), "hidden": ((8, 4),)},
    }
    cells = {cell.name: cell for cell in make_cells(tiny(grid))}
    rows = [{"cell": name} for name in cells]
    columns = axis_columns(cells, rows)
    assert [column.title for column in columns] == [
        "κ",
        "d",
        "r",
        "σ",
        "initial log γ",
        "hidden",
    ]
    table = markdown_table(columns, rows)
    assert "0.2" in table
    assert "8x4" in table
    # One cell alone is told from no other.
    assert [column.title for column in axis_columns(cells, rows[:1])] == ["κ", "d", "r"]
