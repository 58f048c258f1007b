"""Tables: statistics, numbers as text, published values."""

import pytest

from mdvae.config import ConfigError
from mdvae.summary import published_rows
from mdvae.tables import Column, latex_table, markdown_table, number


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


def test_tables_hold_the_same_cells():
    columns = [
        Column("a", "$a$", lambda row: str(row["a"])),
        Column("b_c", "$b$", lambda row: f"{row['b']} ± 1"),
    ]
    rows = [{"a": 1, "b": 20}, {"a": 10, "b": 3}]
    lines = markdown_table(columns, rows).splitlines()
    assert lines[0].split("|")[1:3] == ["  a ", "    b_c "]
    assert len({len(line) for line in lines}) == 1
    latex = latex_table(columns, rows, "of_things")
    assert r"1 & 20 $\pm$ 1 \\" in latex
    assert r"\caption{of\_things}" in latex


def test_unknown_published_table():
    assert published_rows("") == []
    with pytest.raises(ConfigError, match="no table 'table0'"):
        published_rows("table0")
