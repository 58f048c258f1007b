"""Tables in text: cells behind one another, with commas, semicolons or tabs between them.

A line of names may come first. Numbers go straight into one array, so that a file takes little more
memory than its values do; text is kept of the columns alone that are asked for.
"""

import array
import csv
import itertools
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.data.files import CHUNK, check_memory
from mdvae.data.intake_words import clean, column_names, quoted, refuse
from mdvae.settings.fields import ConfigError
from mdvae.settings.words import counted

MISSING = ("", "na", "n/a", "nan", "null")
DELIMITERS = ("\t", ";", ",")
# Lines that tell which delimiter a file has.
SNIFFED = 20
AS_TEXT = "save it again as text in UTF-8, with a comma between cells"


class Text(NamedTuple):
    """A table in a text file.

    Attributes:
        columns: their names.
        values: [n, d], nan where a cell is missing and in columns of words.
        words: cells of the columns that were asked for, by place of the column.
        notes: what was taken for granted.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    words: dict[int, list[str]]
    notes: tuple[str, ...]


def is_missing(cell: str) -> bool:
    """Whether nothing is known of a cell."""
    return cell.strip().lower() in MISSING


def number_of(cell: str) -> float | None:
    """The number that a cell has, nan where it is missing; None where it is text."""
    if is_missing(cell):
        return math.nan
    # Python takes "1_2" for a number, which it is in no table.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _delimiter(path: Path) -> str:
    """What stands between cells: what splits the first lines into equally many, two or more."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = list(itertools.islice(file, SNIFFED))
    for delimiter in DELIMITERS:
        widths = set()
        try:
            for row in _reader(lines, delimiter):
                widths |= {len(row)} if row else set()
        except csv.Error:  # of a cell that goes on behind these lines
            pass
        if len(widths) == 1 and min(widths) > 1:
            return delimiter
    first = next((line for line in lines if line.strip()), "")
    return max(reversed(DELIMITERS), key=first.count)


def _reader(lines, delimiter: str):
    return csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of each line, with the number of the line, from 1 on.

    Empty lines are left out, but between others of a single column, where they are missing cells.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader, width, empty = _reader(file, delimiter), 0, []
        for row in reader:
            if len(row) <= 1 and not "".join(row).strip():
                empty.append(reader.line_num)
                continue
            if width == 1:
                yield from ((line, [""]) for line in empty)
            empty, width = [], len(row)
            yield reader.line_num, row


def _is_head(first: list[str], second: list[str]) -> tuple[bool, bool]:
    """Whether the first line has names; and whether some of these are numbers."""
    texts = [number_of(cell) is None for cell in first]
    if any(texts) and all(map(_may_be_name, first)):
        # A word above a word may be one of the values, where there is nothing else.
        return len(first) > 1 or not second or number_of(second[0]) is not None, False
    cells = [cell.strip() for cell in first]
    counts = [str(j) for j in range(len(cells))]
    # As they are written for tables without names, with or without a column of row numbers.
    numbered = len(cells) > 2 and cells in (counts, ["", *counts[:-1]])
    above = len(first) == len(second) and any(
        text and number_of(cell) is not None for text, cell in zip(texts, second, strict=True)
    )
    return numbered or above, True


def _may_be_name(cell: str) -> bool:
    """Whether a cell is no number; it may be empty above row numbers, and "NA" may be sodium."""
    return number_of(cell) is None or is_missing(cell)


def _refuse_text(subject: str, name: str, cell: str, line: int) -> ConfigError:
    """The error for a cell without a number in a column of numbers."""
    digits = cell.strip().replace(",", ".", 1)
    right = (
        "write numbers with a decimal point"
        if cell.count(",") == 1 and number_of(digits) is not None
        else f"leave it out, or give it with --labels={name}"
    )
    what = f"column {quoted(name)} holds text ({quoted(cell)} in line {line})"
    field, _, file = subject.partition(": ")
    if field != "FILE":
        return refuse(subject, f"holds text ({quoted(cell)} in line {line})", "give numbers")
    return ConfigError(f"{field}: in {file} {what}; {right}")


def read_text(path: Path, subject: str, wanted: Collection[str] = ()) -> Text:
    """The table in a file of text.

    Args:
        subject: how messages begin, as "FILE: x.csv".
        wanted: names of columns that may hold words.

    Raises:
        ConfigError: one line on what is wrong with the file.
        Exception: where it is damaged; any of the csv module and of decoding.
    """
    rows = _rows(path, _delimiter(path))
    first = next(rows, None)
    if first is None:
        raise refuse(subject, "is empty", "it must hold a table")
    second = next(rows, None)
    width = len(first[1])
    head, mixed = _is_head(first[1], second[1] if second else [])
    names = column_names([cell.lstrip("\ufeff# ") for cell in first[1]] if head else None, width)
    notes = ()
    if head and mixed:
        notes = ("the first line was taken for the names of columns, although it holds numbers",)
    start = [second] if head else [first, second]

    values = array.array("d")
    words: dict[int, list[str]] = {j: [] for j, name in enumerate(names) if name in wanted}
    checked = CHUNK
    for line, row in itertools.chain((each for each in start if each), rows):
        if len(row) != width:
            what = f"has {counted(len(row), 'cell')} in line {line} and {width} in line {first[0]}"
            raise refuse(subject, what, "each line must have as many cells")
        for j, kept in words.items():
            kept.append(clean(row[j]))
            row[j] = "nan"
        try:
            if "_" in "".join(row):
                raise ValueError
            values.fromlist(list(map(float, row)))
        except ValueError:
            for j, cell in enumerate(row):
                number = number_of(cell)
                if number is None:
                    raise _refuse_text(subject, names[j], cell, line) from None
                values.append(number)
        if len(values) >= checked:
            # An own copy, and what the networks are given.
            check_memory(path, 12 * len(values), "rows", subject.partition(":")[0])
            checked += CHUNK
    table = np.frombuffer(values, np.float64) if values else np.zeros(0)
    return Text(names, table.reshape(-1, width), words, notes)


def read_words(path: Path, subject: str, n: int) -> list[str]:
    """The n words of a file of text with a single column, below its name if it has one.

    Raises:
        ConfigError: where it has more columns.
        Exception: where it is damaged; any of the csv module and of decoding.
    """
    words = []
    for line, row in _rows(path, "\t" if path.suffix.lower() == ".tsv" else ","):
        if len(row) != 1:
            right = "it must have one column"
            raise refuse(subject, f"has {len(row)} columns in line {line}", right)
        words.append(clean(row[0]))
    # A name stands there once; a first label that returns is one.
    is_name = len(words) == n + 1 and words[0] not in words[1:]
    is_name = is_name and (number_of(words[0]) is None or words[0] == "0")
    return words[1:] if is_name else words


def typed(words: list[str]) -> np.ndarray | list[str | None]:
    """Labels as numbers where all are, else as text; None where one is missing."""
    numbers = [number_of(word) for word in words]
    if all(number is not None for number in numbers):
        return np.array(numbers, np.float64)
    return [None if is_missing(word) else word for word in words]
