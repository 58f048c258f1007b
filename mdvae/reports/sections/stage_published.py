"""The published FID of one stage and two (TwoStage, Table 1) beside the distances found here."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mdvae.analysis.summary import published_rows
from mdvae.reports.base import Section, View
from mdvae.reports.generated import OF_CLASSIFIER, measure_text, ratio_of, source_of
from mdvae.reports.sections.stages import ratio_text
from mdvae.reports.staging import staged_cells
from mdvae.reports.tables import Column, Table, number, plain
from mdvae.settings.grid import Cell
from mdvae.stages.measures import ONE, TWO
from mdvae.store.rundir import Row

TABLE = "two_stage_fid"
# Distances that may stand beside the published ones.
MEASURES = (OF_CLASSIFIER, "FID")


class Published(NamedTuple):
    """What a published row is of: its name here, and the source and cells that answer to it."""

    words: str
    source: str = ""
    answers: Callable[[Cell], bool] = lambda cell: False


def _is_learned(cell: Cell) -> bool:
    return cell.value("log_gamma") is None


def _is_held(cell: Cell) -> bool:
    return cell.value("log_gamma") == 0.0


ROWS = {
    "vae_fixed_gamma": Published("one stage, γ = 1", ONE, _is_held),
    "vae_learned_gamma": Published("one stage, γ learned", ONE, _is_learned),
    "two_stage_vae": Published("two stages, γ learned", TWO, _is_learned),
    "best_gan_default": Published("best GAN, default settings"),
}


def _datasets(view: View) -> list[str]:
    """The data sets of the run of which there are published numbers."""
    if view.run.config.analysis.published != TABLE:
        return []
    known = published_rows(TABLE)[0]
    found = dict.fromkeys(cell.value("dataset") for cell in staged_cells(view).values())
    return [name for name in found if name in known]


def published_ratio(rows: Sequence[Row], dataset: str) -> tuple[float, float]:
    """The published FID of two stages over that of one with gamma learned, and its deviation.

    The deviation is by the first order, of independent means.
    """
    of_model = {row["model"]: row for row in rows}
    one, two = of_model["vae_learned_gamma"], of_model["two_stage_vae"]
    ratio = two[dataset] / one[dataset]
    shares = [row[f"{dataset}_sd"] / row[dataset] for row in (one, two)]
    return ratio, ratio * float(np.hypot(*shares))


def _own(view: View, row: Row, dataset: str, measure: str) -> str:
    """What was found here for a published row, of all cells that it is of."""
    published, cells = ROWS[row["model"]], staged_cells(view)
    found = [
        number(source_of(own, published.source).mean)
        for own in view.generated
        if own["measure"] == measure
        and cells[own["cell"]].value("dataset") == dataset
        and published.answers(cells[own["cell"]])
    ]
    return ", ".join(found) or "–"


def _published(row: Row, dataset: str) -> str:
    sd = row[f"{dataset}_sd"]
    return f"{row[dataset]:g}" + ("" if sd is None else f" ± {sd:g}")


def _tables(view: View) -> list[Table]:
    measured = {row["measure"] for row in view.generated}
    columns = [plain("", lambda row: ROWS[row["model"]].words)]

    def own(dataset: str, measure: str) -> Column:
        title = f"{dataset}, {measure_text(measure)} here"
        return plain(title, lambda row: _own(view, dict(row), dataset, measure))

    for name in _datasets(view):
        title = f"{name}, published FID"
        columns.append(plain(title, lambda row, name=name: _published(dict(row), name)))
        columns += [own(name, measure) for measure in MEASURES if measure in measured]
    caption = (
        f"{view.run.config.name}: published FID (TwoStage, Table 1; mean and deviation of 10"
        " trials) beside the distances found here. FCD is another distance: its level says nothing"
        " beside an FID, only ratios do."
    )
    return [Table(columns, published_rows(TABLE), caption, latex=True)]


def _sentences(view: View) -> list[str]:
    cells, lines = staged_cells(view), []
    for name in _datasets(view):
        ratio, deviation = published_ratio(published_rows(TABLE), name)
        own = [
            f"{ratio_text(ratio_of(row))} by {measure_text(row['measure'])}"
            for row in view.generated
            if row["measure"] in MEASURES
            and cells[row["cell"]].value("dataset") == name
            and _is_learned(cells[row["cell"]])
            and ratio_of(row).n
        ]
        lines.append(
            f"{name}, γ learned: two stages over one {', '.join(own) or '–'}; published"
            f" {ratio:.2f} ± {deviation:.2f} by FID, another distance."
        )
    return lines


SECTION = Section(
    order=7,
    applies=lambda view: view.is_second and bool(view.generated) and bool(_datasets(view)),
    tables=_tables,
    sentences=_sentences,
)
