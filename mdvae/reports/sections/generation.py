"""What models generate against held-out data, and their codes: distances cell by cell, over kappa.

Of sweeps that are no second stage, where `analysis.compare` is set. LMGAE draws the distance of
generated samples over kappa (Figure 3), and reports covariances of codes (Table 2).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.analysis import theory
from mdvae.analysis.generation import CODES, MODEL, RECONSTRUCTION, SOURCES, is_compared
from mdvae.analysis.measuring import GENERATED, TRUTH
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.distances import (
    HOW_MEASURED,
    MOST_CELLS,
    by_measure,
    draw_by_cell,
    ends_of,
    missing_lines,
    reading_text,
    set_scale,
    source_columns,
)
from mdvae.reports.generated import (
    Found,
    found_text,
    is_distance,
    measure_text,
    source_of,
)
from mdvae.reports.plotting import (
    MARKERS,
    colours_of,
    first_of,
    legend_below,
    make_panels,
    mark_kappas,
)
from mdvae.reports.staging import label_of
from mdvae.reports.tables import Column, Table, axis_columns, number, plain
from mdvae.settings.grid import Cell, families
from mdvae.store.rundir import Row, read_csv

PICTURE = "distances.png"
# Between the markers of two lines, over the range of kappa.
APART = 0.012


def _applies(view: View) -> bool:
    asked = is_compared(view.run.config)
    return not view.is_second and bool(asked or view.generated or view.codes)


def _lines(view: View) -> dict[str, list[Cell]]:
    """Measured cells that differ in kappa alone, by ascending kappa, by what they share."""
    measured = {row["cell"] for row in view.generated}
    found = families([cell for cell in view.run.cells if cell.name in measured], "kappa")
    shared = {
        name: dataclasses.replace(
            cells[0], point=tuple(pair for pair in cells[0].point if pair[0] != "kappa")
        )
        for name, cells in found.items()
    }
    several = len(found) > 1
    return {
        label_of(shared[name], shared) if several else "": cells for name, cells in found.items()
    }


def _tables(view: View) -> list[Table]:
    name, cells = view.run.config.name, view.cells
    tables = []
    if view.generated:
        columns = [
            *axis_columns(cells, view.generated),
            *source_columns(SOURCES),
            plain("seeds", lambda row: str(row["runs"])),
        ]
        caption = f"{name}: distances of samples from held-out ones; {HOW_MEASURED}"
        tables.append(Table(columns, by_measure(view.generated), caption, latex=True, printed=True))
    if view.codes:
        columns = [*axis_columns(cells, view.codes), *_code_columns()]
        caption = (
            f"{name}: off-diagonal covariance of the codes of held-out samples (posterior means),"
            " the mean over pairs of latents of its absolute value and of itself; mean and 95 %"
            " interval over seeds, in brackets half of the bootstrap's interval, mean over seeds."
        )
        tables.append(Table(columns, view.codes, caption, latex=True))
    return tables


def _code_columns() -> list[Column]:
    def absolute(row: Mapping[str, Any]) -> str:
        return found_text(Found(*(row[f"mean_abs_cov_{word}"] for word in Found._fields)))

    def signed(row: Mapping[str, Any]) -> str:
        half = (row["mean_cov_high"] - row["mean_cov_low"]) / 2
        text = number(row["mean_cov_mean"])
        return text + (f" ± {number(half, 2)}" if np.isfinite(half) else "")

    return [
        plain("over", lambda row: row["over"]),
        plain("latents", lambda row: number(row["latents"])),
        Column("mean abs. cov", r"mean $|\mathrm{cov}|$", absolute),
        Column("mean cov", r"mean $\mathrm{cov}$", signed),
        plain("seeds", lambda row: str(row["runs"])),
    ]


def _sentences(view: View) -> list[str]:
    # Codes come last, and there are some of images that nothing compares.
    lines = missing_lines(view, read_csv(view.run.path / CODES), "What these models generate is")
    if view.generated:
        lines.append(
            f"{reading_text(view)} The model's are from its prior; reconstructions are of held-out"
            " samples, through draws of their posteriors: what the model would generate if the"
            " aggregate posterior were its prior; the data are other samples of themselves, the"
            " least that can be told apart. The Fréchet distance is larger of fewer samples."
        )
    elif view.codes:
        lines.append(
            "Samples are not compared: there is no classifier of these images. analysis.inception"
            " may name the weights of Inception."
        )
    by_seed = read_csv(view.run.path / GENERATED)
    lines += [least_over_kappa(label, cells, by_seed) for label, cells in _lines(view).items()]
    return [line for line in lines if line]


def least_over_kappa(label: str, cells: Sequence[Cell], rows: Sequence[Row]) -> str:
    """At which kappa the model is closest to the data, in one line; "" of no seed with all kappas.

    Args:
        label: what the cells share, where others do not.
        cells: that differ in kappa alone.
        rows: of generated.csv.
    """
    kappa_of = {cell.name: cell.sizes.kappa for cell in cells}
    values: dict[str, dict[int, dict[int, float]]] = {}
    for row in rows:
        kappa, value = kappa_of.get(row["cell"]), row["value"]
        if row["source"] != MODEL or not is_distance(row["measure"]):
            continue
        if kappa is not None and value is not None:
            of_seed = values.setdefault(row["measure"], {}).setdefault(row["seed"], {})
            of_seed[kappa] = value
    found = []
    for measure, by_seed in values.items():
        full = [own for own in by_seed.values() if len(own) == len(cells)]
        if full:
            best = min(kappa_of.values(), key=lambda kappa: sum(own[kappa] for own in full))
            agree = sum(min(own, key=own.__getitem__) == best for own in full)
            found.append(f"{best} by {measure_text(measure)} (in {agree} of {len(full)} seeds)")
    if not found:
        return ""
    r = theory.manifold_dimension(cells[0])
    return (
        f"{f'{label}: of' if label else 'Of'} κ = {', '.join(map(str, kappa_of.values()))} the"
        f" model's mean distance from the data is least at κ = {', '.join(found)}"
        f"{'' if r is None else f'; r = {r}'}."
    )


def _pictures(view: View) -> list[Picture]:
    if not view.generated:
        return []
    lines = _lines(view)
    if lines:
        more = first_of(len(lines), len(MARKERS), "kinds of cells")
        title = f"Distances of samples from held-out ones against κ{more}"
        drawn = dict(list(lines.items())[: len(MARKERS)])
        return [Picture(PICTURE, title, _draw(view, drawn))]
    names = list(dict.fromkeys(row["cell"] for row in view.generated))
    more = first_of(len(names), MOST_CELLS, "cells")
    title = f"Distances of samples from held-out ones{more}"
    cells = {name: view.cells[name] for name in names[:MOST_CELLS]}
    return [Picture(PICTURE, title, draw_by_cell(view, cells, SOURCES))]


def _draw(view: View, lines: Mapping[str, list[Cell]]) -> Figure:
    """A panel per measure: distances against kappa, a colour per kind of cell."""
    measures = list(dict.fromkeys(row["measure"] for row in view.generated))
    figure, panels = make_panels(len(measures), 3.3, 2.9, 2 if len(measures) == 4 else 3)
    kappas = sorted({cell.sizes.kappa for cells in lines.values() for cell in cells})
    apart = APART * (kappas[-1] - kappas[0])
    shown = {cell.name for cells in lines.values() for cell in cells}
    by_seed = [row for row in read_csv(view.run.path / GENERATED) if row["cell"] in shown]
    looks: list[Any] = list(zip(colours_of(len(lines)), MARKERS, strict=False))
    for axes, measure in zip(panels, measures, strict=True):
        rows = {row["cell"]: row for row in view.generated if row["measure"] == measure}
        own = [row for row in by_seed if row["measure"] == measure]
        for k, ((label, cells), look) in enumerate(zip(lines.items(), looks, strict=True)):
            here = [cell for cell in cells if cell.name in rows]
            shift = apart * (k - (len(lines) - 1) / 2)
            _draw_line(axes, label, here, rows, [r for r in own if r["cell"] in rows], look, shift)
        for r in sorted({theory.manifold_dimension(cells[0]) or 0 for cells in lines.values()}):
            if r:
                axes.axvline(r, color="0.5", linestyle=":", linewidth=1.0, label="κ = r")
        _explain(axes, looks[0][0] if len(lines) == 1 else "0.4")
        set_scale(axes, "y", measure, own)
        axes.set_title(measure_text(measure), fontsize=9)
        mark_kappas(axes, kappas)
    panels[0].set_ylabel("mean and 95 % interval\n(small dots: seeds)")
    legend_below(figure, panels)
    return figure


def _draw_line(
    axes: Axes,
    label: str,
    cells: Sequence[Cell],
    rows: Mapping[str, Row],
    by_seed: Sequence[Row],
    look: tuple[Any, str],
    shift: float,
) -> None:
    """One kind of cell: the model, its reconstructions, and a band about the data's own distance.

    The band is as wide as the bootstrap's interval.

    Args:
        label: what it is, where there are several kinds.
        rows: of the summary, by cell; of one measure, as all here.
        by_seed: of generated.csv.
        look: colour and marker.
        shift: of the model's markers along kappa.
    """
    colour, marker = look
    kappas = np.array([cell.sizes.kappa for cell in cells], float)
    found = {source: [source_of(rows[c.name], source) for c in cells] for source in SOURCES}
    means, reach = ends_of(found[MODEL])
    # The line by itself, as legends put lines before bars.
    axes.plot(
        kappas + shift, means, color=colour, marker=marker, linewidth=1.4, label=label or MODEL
    )
    bars: Any = {"color": colour, "elinewidth": 1.0, "capsize": 2}
    axes.errorbar(kappas + shift, means, yerr=reach, linestyle="none", **bars)
    seeds = {cell.name: kappa for cell, kappa in zip(cells, kappas + shift, strict=True)}
    dots = [r for r in by_seed if r["source"] == MODEL and r["cell"] in seeds]
    if any(each.n > 1 for each in found[MODEL]):
        axes.plot(
            [seeds[row["cell"]] for row in dots],
            [row["value"] for row in dots],
            ".",
            color=colour,
            markersize=3,
            zorder=3,
        )
    axes.plot(kappas, ends_of(found[RECONSTRUCTION])[0], "--", color=colour, linewidth=1.0)
    centre, spread = (
        np.array([getattr(each, word) for each in found[TRUTH]], float)
        for word in ("mean", "spread")
    )
    axes.fill_between(
        kappas, centre - spread, centre + spread, color=colour, alpha=0.18, linewidth=0
    )


def _explain(axes: Axes, colour: Any) -> None:
    """Gives the legend what dashes, bands and dots are."""
    axes.plot([], [], "--", color=colour, linewidth=1.0, label=RECONSTRUCTION)
    axes.fill_between([], [], [], color=colour, alpha=0.18, linewidth=0, label="data against data")


SECTION = Section(
    order=13,
    applies=_applies,
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
