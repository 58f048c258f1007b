"""What sections on second stages share: both stages opened, and what their cells are called."""

import dataclasses
from functools import lru_cache
from typing import NamedTuple

from mdvae.reports.base import View
from mdvae.reports.tables import symbol
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, format_axis
from mdvae.stages.pipeline import Stages, load_stages


class Opened(NamedTuple):
    """Both stages, or why they are not there."""

    stages: Stages | None
    why: str = ""


@lru_cache(maxsize=1)
def opened(view: View) -> Opened:
    """The stages of a second stage's run directory."""
    try:
        return Opened(load_stages(view.run.path))
    except ConfigError as error:
        return Opened(None, str(error))


def staged_cells(view: View) -> dict[str, Cell]:
    """By the name of each cell of a second stage, the cell of the first that it is of.

    Its point has what the second stage varies as well, as "second ...". Where the first stage is
    not there, the second's own cells stand for them.
    """
    stages = opened(view).stages
    if stages is None:
        return view.cells
    found = {}
    for name, cell in view.cells.items():
        first = stages.first.cell(cell.data.cell)
        more = tuple(
            (f"second_{axis}", value)
            for axis, value in cell.point
            if axis != "cell" and not (axis == "kappa" and value == first.sizes.kappa)
        )
        found[name] = dataclasses.replace(first, name=name, point=(*first.point, *more))
    return found


def label_of(cell: Cell, others: dict[str, Cell]) -> str:
    """What tells a cell apart from others, as text on one line; all that it is of a single one."""
    point = dict(cell.point)
    texts = {axis: format_axis(value) for axis, value in point.items()}
    if len(others) > 1:
        points = [dict(each.point) for each in others.values()]
        texts = {
            axis: text
            for axis, text in texts.items()
            if {format_axis(each[axis]) if axis in each else None for each in points} != {text}
        }
    return ", ".join(f"{symbol(axis)[0]} = {text}" for axis, text in texts.items())
