"""AD against kappa, where cells differ in kappa alone.

As kappa grows AD follows it until the latents are enough, and then stays (Table 2 of CVAE-dims,
Figure 5 of LMGAE). Data of a known dimension are shown from three values of kappa on.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis import theory
from mdvae.analysis.statistics import mean_interval
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MAX_PANELS,
    first_of,
    full_title,
    legend_below,
    make_panels,
    mark_kappas,
    plot_ad,
    say_why,
)
from mdvae.reports.sections.dimensions import FEWEST, RULES, fraction_text
from mdvae.reports.tables import interval_text, number, with_interval
from mdvae.settings.grid import Cell, families
from mdvae.store.rundir import Row

# Distance between the rules' markers over the range of kappa.
APART = 0.03


def _families(view: View) -> dict[str, list[Cell]]:
    """Cells that differ in kappa alone, of methods that count; gamma learned if there is one."""
    uncounted = {row["cell"] for row in view.run.results if row.get("ad_threshold") is None}
    counted = [cell for cell in view.run.cells if cell.name not in uncounted]
    return {
        name: cells
        for name, cells in families(counted, "kappa").items()
        if cells[0].value("log_gamma") is None
        and (theory.manifold_dimension(cells[0]) is None or _is_telling(cells))
    }


def _is_known(cell: Cell) -> bool:
    """Whether all latents of a cell's model answer to one known dimension."""
    has_truth = theory.manifold_dimension(cell) is not None
    return has_truth and len(cell.parts) == 1 and not cell.is_told


def _is_telling(cells: Sequence[Cell]) -> bool:
    """Whether cells of a known dimension have values of kappa enough to be drawn against it."""
    return _is_known(cells[0]) and len(cells) >= FEWEST


def title_of(cell: Cell) -> str:
    """What cells of all kappa share, on lines that fit over a narrow panel."""
    # Titles begin with kappa.
    return full_title(cell).partition(", ")[2]


def counts_over_parts(row: Row) -> Row:
    """A row of the summary in which "ad" is the mean over parts of the data where there are more.

    Such a row has no AD of its own, for a part has a number for itself.
    """
    if row["parts"] == 1:
        return row
    words = ("mean", "sd", "low", "high", "n")
    own = {f"{rule}_{word}": row[f"{rule}_of_parts_{word}"] for rule, _ in RULES for word in words}
    return {**row, **own}


def _rows(view: View, cells: Sequence[Cell]) -> list[Row]:
    by_name = {row["cell"]: row for row in view.rows}
    return [counts_over_parts(by_name[cell.name]) for cell in cells]


def _counts(view: View, cell: Cell, rule: str) -> dict[int, float | None]:
    """AD of a cell's sound runs, by seed."""
    name = rule if len(cell.parts) == 1 else f"{rule}_of_parts"
    mine = [r for r in view.run.results if r["cell"] == cell.name and r["status"] == "ok"]
    return {row["seed"]: row.get(name) for row in mine}


def difference(view: View, before: Cell, last: Cell, rule: str) -> str:
    """How much AD is more in the second of two cells, over seeds that have both."""
    ends = _counts(view, before, rule), _counts(view, last, rule)
    pairs = [(ends[0][seed], ends[1][seed]) for seed in ends[0] if seed in ends[1]]
    found = mean_interval([b - a for a, b in pairs if a is not None and b is not None])
    return interval_text(found, 1)


def _sentences(view: View) -> list[str]:
    lines = []
    for name, cells in _families(view).items():
        pairs = zip(cells, _rows(view, cells), strict=True)
        done = [(cell, row) for cell, row in pairs if row["runs"]]
        if len(done) < 2:
            continue
        kappas = ", ".join(str(cell.sizes.kappa) for cell, _ in done)
        published = [number(row["paper_ad"], 1) for _, row in done]
        paper = f" (published {', '.join(published)})" if set(published) != {number(None)} else ""
        means = [
            f"AD {label} {', '.join(with_interval(row, rule, 1) for _, row in done)}"
            for rule, label in (("ad", f"({view.threshold})"), ("ad_gap", "(gap)"))
        ]
        before, last = done[-2][0], done[-1][0]
        grown = [difference(view, before, last, rule) for rule, _ in RULES]
        # Where nothing but kappa varies there is no name.
        of = f"{name}: " if dict(last.point).keys() - {"kappa"} else ""
        lines.append(
            f"{of}{'for' if of else 'For'} κ = {kappas} {' and '.join(means)}{paper}; of the last"
            f" {last.sizes.kappa - before.sizes.kappa} latents {grown[0]} become active"
            f" ({grown[1]} by the gap)."
        )
        lines += [f"{of}{line}" for line in _against_truth(view, cells)]
    return lines


def _against_truth(view: View, cells: Sequence[Cell]) -> list[str]:
    """How many runs have the dimension of their data, at least as many latents or fewer given."""
    if not _is_known(cells[0]):
        return []
    r, lines = theory.manifold_dimension(cells[0]) or 0, []
    kappa_of = {cell.name: cell.sizes.kappa for cell in cells}
    # One that diverged has no count, and is not right.
    runs = [row for row in view.run.results if row["cell"] in kappa_of]
    enough = [row for row in runs if kappa_of[row["cell"]] >= r]
    few = [row for row in runs if kappa_of[row["cell"]] < r]
    for rule, label in zip(("ad", "ad_gap"), (f"AD ({view.threshold})", "AD (gap)"), strict=True):
        said = []
        if enough:
            counts = [row[rule] for row in enough if row["status"] == "ok"]
            near = sum(count is not None and abs(count - r) <= 1 for count in counts)
            exact = sum(count == r for count in counts)
            said.append(
                f"within 1 of r = {r} in {fraction_text(near, len(enough))} of runs with κ ≥ r,"
                f" r itself in {exact}"
            )
        if few:
            full = sum(row[rule] == kappa_of[row["cell"]] for row in few)
            said.append(f"all of κ in {full} of {len(few)} runs with κ < r = {r}")
        if said:
            lines.append(f"{label} is {'; and '.join(said)}.")
    return lines


def _pictures(view: View) -> list[Picture]:
    found = list(_families(view).values())
    title = "AD against κ" + first_of(len(found), MAX_PANELS, "kinds of cells")
    return [Picture("saturation.png", title, _draw(view, found[:MAX_PANELS]))]


def _draw(view: View, found: Sequence[list[Cell]]) -> Figure:
    """AD and its interval over seeds against kappa: a panel per kind of cell."""
    figure, panels = make_panels(len(found), 2.9, 2.8, 3, sharey=True)
    for i, (axes, cells) in enumerate(zip(panels, found, strict=True)):
        rows = _rows(view, cells)
        kappas = np.array([cell.sizes.kappa for cell in cells], float)
        axes.plot([0, kappas[-1]], [0, kappas[-1]], ":", color="0.5", label="AD = κ")
        if _is_known(cells[0]):
            r = theory.manifold_dimension(cells[0]) or 0
            axes.axhline(r, color="0.5", linestyle="--", linewidth=1.0, label="AD = r")
        threshold = view.run.config.analysis.ad_threshold
        plot_ad(axes, kappas, rows, threshold, apart=APART * kappas[-1])
        if not any(row["runs"] for row in rows):
            say_why(axes, "no run is done yet")
        axes.set_title(title_of(cells[0]), fontsize=7)
        mark_kappas(axes, kappas)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 3 == 0:
            over = ", mean over parts" if len(cells[0].parts) > 1 else ""
            axes.set_ylabel(f"active dimensions{over}\n(mean and 95 % interval)")
    # Intervals of few seeds, and the line AD = κ, may be far above what was found.
    means = [
        row[f"{rule}_mean"] for cells in found for row in _rows(view, cells) for rule, _ in RULES
    ]
    means += [theory.manifold_dimension(cells[0]) for cells in found if _is_known(cells[0])]
    top = max([mean for mean in means if mean is not None and np.isfinite(mean)], default=1.0)
    panels[0].set_ylim(0, 1.3 * max(top, 1.0))
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=12,
    applies=lambda view: view.has_counts and bool(_families(view)),
    sentences=_sentences,
    pictures=_pictures,
)
