"""Active dimensions while runs train, where scores on held-out samples were logged."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mdvae.analysis.dims import active_dimensions, largest_gap
from mdvae.data.base import EPOCH
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    LINES,
    MAX_COLUMNS,
    colours_of,
    family_of,
    first_of,
    legend_below,
)
from mdvae.settings.grid import Cell, name_of
from mdvae.settings.registry import DATA
from mdvae.store.rundir import RATIOS, Row


def counts_while_training(view: View, cell: Cell) -> dict[int, dict[str, list[int]]]:
    """By step, the counts of active dimensions by both rules, a value per seed that has one."""
    analysis = view.run.config.analysis
    found: dict[int, dict[str, list[int]]] = {}
    for line in view.lines:
        ratios = line.get(RATIOS)
        if line["cell"] != cell.name or not ratios or None in ratios:
            continue
        at_step = found.setdefault(line["step"], {"ad": [], "ad_gap": []})
        at_step["ad"].append(active_dimensions(np.array(ratios), analysis.ad_threshold))
        gap = largest_gap(np.array(ratios), analysis.ad_min_gap).ad
        at_step["ad_gap"] += [] if gap is None else [gap]
    return found


def steps_of_epoch(view: View, cell: Cell) -> int:
    """Steps of an epoch of a cell's data; 1 where its samples come in no epochs."""
    kind = DATA.find(cell.data.kind)
    n_train, _ = kind.samples(cell.data)
    return n_train // cell.batch_size if kind.order_of(cell.data) == EPOCH else 1


def _families(view: View) -> dict[object, list[Cell]]:
    """Cells that differ in kappa alone."""
    logged = {line["cell"] for line in view.run.metrics if line.get(RATIOS)}
    families: dict[object, list[Cell]] = {}
    for cell in view.run.cells:
        if cell.name in logged:
            families.setdefault(family_of(cell, ("kappa",)), []).append(cell)
    return families


def _pictures(view: View) -> list[Picture]:
    families = _families(view)
    title = "AD over training" + first_of(len(families), MAX_COLUMNS, "kinds of cells")
    return [Picture("growth.png", title, _draw(view, list(families.values())[:MAX_COLUMNS]))]


def _draw(view: View, families: list[list[Cell]]) -> Figure:
    """A panel per kind of cell, a colour per kappa, a line style per rule; medians over seeds."""
    figure = Figure(figsize=(3.0 * len(families) + 0.8, 3.8), layout="constrained")
    panels = list(figure.subplots(1, len(families), squeeze=False, sharey=True).flat)
    kappas = sorted({cell.sizes.kappa for cells in families for cell in cells})
    colours = dict(zip(kappas, colours_of(len(kappas)), strict=True))
    threshold = view.run.config.analysis.ad_threshold
    for axes, cells in zip(panels, families, strict=True):
        for cell in cells:
            found, per_epoch = counts_while_training(view, cell), steps_of_epoch(view, cell)
            for rule, line, word in zip(
                ("ad", "ad_gap"), LINES, (f"{threshold:g}", "gap"), strict=False
            ):
                steps = [step for step in sorted(found) if found[step][rule]]
                places = [step / per_epoch for step in steps]
                middle = [float(np.median(found[step][rule])) for step in steps]
                label = f"κ = {cell.sizes.kappa}, AD ({word})"
                axes.plot(places, middle, line, color=colours[cell.sizes.kappa], label=label)
        rest = [pair for pair in cells[0].point if pair[0] != "kappa"]
        axes.set_title(name_of(rest) if rest else f"d = {cells[0].sizes.d}", fontsize=9)
        axes.set_xlabel("step" if steps_of_epoch(view, cells[0]) == 1 else "epoch")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    # Last: panels share the axis, and what is set on one ends its growth with the others.
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("active dimensions\n(held out, median over seeds)")
    legend_below(figure, panels)
    return figure


def _applies(view: View) -> bool:
    return view.has_counts and any(has_ratios(line) for line in view.run.metrics)


def has_ratios(line: Row) -> bool:
    """Whether a line of metrics has the ratios by latent."""
    return bool(line.get(RATIOS))


SECTION = Section(order=72, applies=_applies, pictures=_pictures)
