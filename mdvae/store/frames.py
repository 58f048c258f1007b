"""Rows of a run directory as data frames, where pandas is installed."""

import importlib
from collections.abc import Sequence
from typing import Any

from mdvae.store.rundir import Row

# The tables of a run that there is a frame of.
NAMES = ("results", "summary", "parts", "counts", "metrics")


def frame_of(name: str, tables: dict[str, Sequence[Row]]) -> Any:
    """A table as a `pandas.DataFrame`, a column per key and a line per row.

    Args:
        tables: rows by name.

    Raises:
        ValueError: where there is no such table.
        ImportError: where pandas is not installed.
    """
    if name not in tables:
        raise ValueError(f"name: {name!r} is not usable; it must be one of {', '.join(tables)}")
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            "frame() needs pandas, which is not installed; pip install pandas, or the extra"
            " `notebooks` of mdvae"
        ) from error
    return pandas.DataFrame(list(tables[name]))
