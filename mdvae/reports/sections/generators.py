"""What generates best: models of several kinds, and second stages, side by side at each kappa.

Of sweeps of several methods, or with second stages, whose samples are compared. LMGAE's Table 1 has
the published FIDs of such systems.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mdvae.analysis.generation import MODEL
from mdvae.analysis.measuring import GENERATED
from mdvae.analysis.summary import published_rows
from mdvae.reports.base import Section, View
from mdvae.reports.distances import HOW_MEASURED
from mdvae.reports.generated import (
    OF_CLASSIFIER,
    Found,
    found_text,
    is_distance,
    measure_text,
    source_of,
)
from mdvae.reports.staging import staged_cells
from mdvae.reports.tables import Table, plain, symbol
from mdvae.settings.grid import Cell, format_axis
from mdvae.stages.measures import TWO
from mdvae.store.loading import load_run
from mdvae.store.rundir import Row, read_csv

TABLE = "lmgae_fid"
# Measures beside which a published FID may stand.
FRECHET = (OF_CLASSIFIER, "FID")
# The published row that answers to a system: (method, whether there is a second stage).
PUBLISHED = {
    ("lmgae", False): "lmgae",
    ("wae", False): "wae_gan",
    ("vae", False): "vae_learned_variance",
    ("vae", True): "two_stage_vae",
}


class System(NamedTuple):
    """A kind of model at each kappa.

    Attributes:
        point: what its cells share, without kappa and what all systems share.
        stage: name of the second stage; "" of a model by itself.
        method: kind of its method.
        dataset: of images; "" of other data.
        found: by measure and kappa.
    """

    point: tuple[tuple[str, Any], ...]
    stage: str
    method: str
    dataset: str
    found: dict[str, dict[int, Found]]


def _system_of(cell: Cell, stage: str) -> System:
    point = tuple(pair for pair in cell.point if pair[0] != "kappa")
    return System(point, stage, cell.method.kind, str(cell.value("dataset") or ""), {})


def _collect(
    systems: dict[Any, System], rows: list[Row], cells: Mapping[str, Cell], source: str, stage: str
) -> None:
    """Adds the values of one source of samples, by cell.

    Args:
        rows: of a summary of distances.
        cells: by the names in it; of a second stage those of the first.
    """
    for row in rows:
        cell = cells[row["cell"]]
        new = _system_of(cell, stage)
        found = systems.setdefault((new.point, stage), new).found
        value = source_of(row, source)
        if is_distance(row["measure"]) and value.n:
            found.setdefault(row["measure"], {})[cell.sizes.kappa] = value


def _measured_with(path: Path) -> set[str]:
    """The settings with which the distances in a run directory were measured, if any were."""
    return {str(row.get("measured_with") or "") for row in read_csv(path / GENERATED)}


def systems_of(view: View) -> list[System]:
    """All kinds of models of a sweep, and of its second stages that were measured alike."""
    systems: dict[Any, System] = {}
    _collect(systems, view.generated, view.cells, MODEL, "")
    own = _measured_with(view.run.path)
    for stage in view.run.config.stages:
        folder = view.run.path / stage
        if _measured_with(folder) == own:
            second = View(load_run(folder))
            _collect(systems, second.generated, staged_cells(second), TWO, stage)
    return list(systems.values())


def _applies(view: View) -> bool:
    if view.is_second or not view.generated:
        return False
    return len({(system.method, system.stage) for system in systems_of(view)}) > 1


def _label(system: System, systems: list[System]) -> str:
    """A system's method, its second stage, and what tells it apart from others of the same."""
    points = [
        dict(each.point)
        for each in systems
        if (each.method, each.stage) == (system.method, system.stage)
    ]
    texts = [
        f"{symbol(axis)[0]} = {format_axis(value)}"
        for axis, value in system.point
        if {format_axis(point[axis]) if axis in point else None for point in points}
        != {format_axis(value)}
    ]
    name = f"{system.method} with stage {system.stage}" if system.stage else system.method
    return ", ".join([name, *texts])


def _tables(view: View) -> list[Table]:
    systems = systems_of(view)
    kappas = sorted({k for each in systems for found in each.found.values() for k in found})
    rows: list[Row] = [
        {
            "label": _label(system, systems),
            "measure": measure,
            "published": _published(view, system) if measure in FRECHET else "",
            **{str(kappa): found_text(value) for kappa, value in found.items()},
        }
        for measure in dict.fromkeys(m for each in systems for m in each.found)
        for system in systems
        if (found := system.found.get(measure, {}))
    ]
    columns = [
        plain("system", lambda row: row["label"]),
        plain("measure", lambda row: measure_text(row["measure"])),
        *(plain(f"κ = {k}", lambda row, k=k: row.get(str(k), "–")) for k in kappas),
    ]
    if any(row["published"] for row in rows):
        columns.append(plain("published FID", lambda row: row["published"] or "–"))
    caption = f"{view.run.config.name}: what generates best at each κ; {HOW_MEASURED}"
    return [Table(columns, rows, caption, latex=True, printed=True)]


def _published(view: View, system: System) -> str:
    """The published FID of a system on its data set, as text; "" where there is none."""
    name = PUBLISHED.get((system.method, bool(system.stage)))
    if dict(system.point).get("log_gamma") is not None:
        name = "vae_fixed_variance"
    if view.run.config.analysis.published != TABLE:
        return ""
    rows = [row for row in published_rows(TABLE) if row["system"] == name]
    value = rows[0].get(system.dataset) if rows else None
    return "" if value is None else f"{value:g}"


def _sentences(view: View) -> list[str]:
    own, lines = _measured_with(view.run.path), []
    for stage in view.run.config.stages:
        found = _measured_with(view.run.path / stage)
        if not found:
            lines.append(f"What stage {stage} generates was not measured when this was written.")
        elif found != own:
            lines.append(
                f"Stage {stage} is not beside the others: it was measured with"
                f" {'; '.join(sorted(found))}, and they with {'; '.join(sorted(own))}."
            )
    return lines


SECTION = Section(order=14, applies=_applies, tables=_tables, sentences=_sentences)
