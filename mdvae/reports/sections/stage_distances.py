"""Distances of what one stage and two generate, drawn by cell."""

from mdvae.reports.base import Picture, Section, View
from mdvae.reports.distances import MOST_CELLS, draw_by_cell
from mdvae.reports.plotting import first_of
from mdvae.reports.staging import staged_cells
from mdvae.stages.measures import SOURCES


def _pictures(view: View) -> list[Picture]:
    names = list(dict.fromkeys(row["cell"] for row in view.generated))
    more = first_of(len(names), MOST_CELLS, "cells")
    title = f"Distances of generated samples from held-out ones{more}"
    cells = {name: staged_cells(view)[name] for name in names[:MOST_CELLS]}
    return [Picture("generated.png", title, draw_by_cell(view, cells, SOURCES))]


SECTION = Section(
    order=56,
    applies=lambda view: view.is_second and bool(view.generated),
    pictures=_pictures,
)
