"""What a section of a report is, and what all sections look at.

A section is a file in `sections`, which ends in `SECTION = Section(...)`; it appears in the report
of a run that it applies to.
"""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from matplotlib.figure import Figure

from mdvae.analysis import generation, theory
from mdvae.analysis.measuring import GENERATED
from mdvae.analysis.summary import ladder_rows, summarise, summarise_parts
from mdvae.reports.generated import codes_rows, generated_rows
from mdvae.reports.tables import Table
from mdvae.settings.grid import Cell
from mdvae.settings.registry import METHODS
from mdvae.stages import measures
from mdvae.stages.plan import LATENTS
from mdvae.store.loading import LoadedRun
from mdvae.store.rundir import Row, read_csv


class View:
    """A run directory with the statistics that sections share, each computed once.

    Attributes:
        run: the opened run directory.
        shown: the cell of which details are shown.
    """

    def __init__(self, run: LoadedRun, cell: str | None = None):
        """Opens a view.

        Args:
            cell: name of the cell to show; by default a telling one.
        """
        self.run = run
        self.shown = run.cell(cell) if cell else _telling_cell(run)

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of summary.csv, one per cell."""
        return summarise(self.run)

    @cached_property
    def lines(self) -> list[Row]:
        """Lines of metrics for curves over seeds; see `carried`."""
        return carried(self.run)

    @cached_property
    def by_part(self) -> list[Row]:
        """The rows of part_summary.csv, one per cell and part of its data."""
        return summarise_parts(self.run)

    @cached_property
    def ladders(self) -> list[Row]:
        """The rows of rates.csv, one per ladder of held log gammas."""
        return ladder_rows(self.run)

    @cached_property
    def generated(self) -> list[Row]:
        """The rows of generated_summary.csv, one per cell and measure."""
        rows = read_csv(self.run.path / GENERATED)
        return generated_rows(rows, measures.SOURCES if self.is_second else generation.SOURCES)

    @cached_property
    def codes(self) -> list[Row]:
        """The rows of codes_summary.csv, one per cell and the latents that it is over."""
        return codes_rows(read_csv(self.run.path / generation.CODES))

    @property
    def is_second(self) -> bool:
        """Whether the run is a second stage, of the latents of another one."""
        return self.run.config.data.kind == LATENTS

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by name."""
        return {cell.name: cell for cell in self.run.cells}

    @cached_property
    def ladder_of(self) -> dict[str, str]:
        """The ladder of each cell that is on one."""
        ladders = theory.ladders(self.run.cells)
        return {name: ladder for ladder, names in ladders.items() for name in names}

    @cached_property
    def starts(self) -> dict[str, list[Cell]]:
        """Cells of data of one part that differ in the initial log gamma alone."""
        families = theory.start_families(self.run.cells)
        return {name: cells for name, cells in families.items() if len(cells[0].parts) == 1}

    @cached_property
    def counted(self) -> list[Cell]:
        """Cells whose active dimensions answer to their manifold.

        At a held gamma of a ladder their number is a matter of the level, bad starts are there to
        fail, data of several parts have a number for each, and some methods count none.
        """
        uncounted = {row["cell"] for row in self.run.results if row.get("ad_threshold") is None}
        started = {cell.name for cells in self.starts.values() for cell in cells}
        return [
            cell
            for cell in self.run.cells
            if cell.name not in {*self.ladder_of, *started, *uncounted} and len(cell.parts) == 1
        ]

    @cached_property
    def ratio(self) -> str:
        """What the ratios are by which latents are counted, in words."""
        counting = {name for name, _ in self.run.spectra}
        cells = [cell for cell in self.run.cells if cell.name in counting] or self.run.cells
        return " or ".join(dict.fromkeys(METHODS.find(c.method.kind).ratio for c in cells))

    @property
    def has_counts(self) -> bool:
        """Whether the method counts active dimensions."""
        return any("ad" in row for row in self.run.results)

    @property
    def threshold(self) -> str:
        """The threshold of the first rule, for texts."""
        return f"{self.run.config.analysis.ad_threshold:g}"


def carried(run: LoadedRun) -> list[Row]:
    """Lines of metrics; of a run that was done early the last one stands at later steps, too.

    Otherwise means over seeds would be over those that are left.
    """
    sound = [row for row in run.results if row["status"] == "ok"]
    early = {(row["cell"], row["seed"]) for row in sound if row["steps"] < run.config.steps}
    if not early:
        return run.metrics
    last = {(line["cell"], line["seed"]): line for line in run.metrics}
    # What a line at a step has: with or without held-out scores.
    names_at = {line["step"]: line.keys() for line in run.metrics}
    more = []
    for line in (last[key] for key in last if key in early):
        for step in (step for step in names_at if step > line["step"]):
            kept = {name: value for name, value in line.items() if name in names_at[step]}
            more.append({**kept, "step": step})
    return [*run.metrics, *more]


class Picture(NamedTuple):
    """A figure with its file name and title."""

    file: str
    title: str
    figure: Figure


def _nothing(view: View) -> list:
    return []


class Section(NamedTuple):
    """A section of a report.

    Attributes:
        order: of sections in a report.
        applies: whether a run has what the section shows.
        tables, sentences, pictures: what it shows.
    """

    order: int
    applies: Callable[[View], bool]
    tables: Callable[[View], list[Table]] = _nothing
    sentences: Callable[[View], list[str]] = _nothing
    pictures: Callable[[View], list[Picture]] = _nothing


def all_sections() -> list[Section]:
    """The sections of all files in `sections`, in order."""
    package = importlib.import_module("mdvae.reports.sections")
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return sorted((module.SECTION for module in modules), key=lambda section: section.order)


def _telling_cell(run: LoadedRun) -> Cell:
    """The cell to show where none is named: done, under Theorem 1, gamma learned or least, last."""
    done = {name for name, _ in run.spectra}

    def rank(item: tuple[int, Cell]) -> tuple[bool, bool, bool, float, int]:
        place, cell = item
        level = cell.value("log_gamma")
        level = float("-inf") if level is None else level
        return cell.name in done, len(cell.parts) == 1, theory.in_theorem(cell), -level, place

    return max(enumerate(run.cells), key=rank)[1]
