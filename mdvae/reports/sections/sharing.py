"""Theorem 3 of CVAE-dims: sequential models whose prior is their encoder, beside separate ones.

With shared weights the loss is bounded below; with separate ones it falls as (d - r) log gamma.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis import theory
from mdvae.analysis.rates import fit_slope
from mdvae.analysis.statistics import mean_interval
from mdvae.methods.objective import to_paper_units
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MARKERS,
    MAX_PANELS,
    colours_of,
    first_of,
    full_title,
    legend_below,
    make_panels,
)
from mdvae.reports.tables import Column, Table, interval_text, number, plain, symbol
from mdvae.settings.grid import Cell, families, name_of
from mdvae.store.rundir import Row

# The least levels of a ladder, over which the slope of the loss at small gamma is taken.
LEAST = 3
WORDS = {True: "shared", False: "separate"}


def _pairs(view: View) -> dict[str, tuple[Cell, Cell]]:
    """Cells with shared weights and with separate ones, and else alike, by the name of all else."""
    found = {}
    for name, cells in families(view.run.cells, "prior").items():
        by_prior = {cell.value("prior"): cell for cell in cells}
        if {"shared", "learned"} <= by_prior.keys():
            found[name] = by_prior["shared"], by_prior["learned"]
    return found


def _sound(view: View, cell: Cell) -> dict[int, Row]:
    rows = [row for row in view.run.results if row["cell"] == cell.name and row["status"] == "ok"]
    return {row["seed"]: row for row in rows}


def _row(view: View, shared: Cell, separate: Cell) -> Row:
    """How two cells differ, over the seeds that both have."""
    both = [_sound(view, cell) for cell in (shared, separate)]
    seeds = sorted(both[0].keys() & both[1].keys())
    pairs = [(both[0][seed], both[1][seed]) for seed in seeds]
    more = [to_paper_units(a["nelbo"] - b["nelbo"]) for a, b in pairs]
    ratios = [np.log(a["recon"] / b["recon"]) for a, b in pairs]
    row: Row = {
        "cell": shared,
        "seeds": len(seeds),
        "more": mean_interval(more),
        "ratio": mean_interval(ratios),
        "least_gamma": min((a["gamma"] for a, _ in pairs), default=None),
        "gamma": mean_interval([b["gamma"] for _, b in pairs]).mean,
    }
    for name, place in (("shared", 0), ("separate", 1)):
        values = [to_paper_units(pair[place]["nelbo"]) for pair in pairs]
        row[name] = mean_interval(values)
    return row


def _times(row: Mapping[str, Any]) -> str:
    """A geometric mean with its interval."""
    found = row["ratio"]
    text = number(float(np.exp(found.mean)))
    if np.isfinite(found.low):
        text += f" [{number(float(np.exp(found.low)))}, {number(float(np.exp(found.high)))}]"
    return text


def _learned(view: View) -> list[Row]:
    """The rows of pairs whose gamma is learned, of which both have runs."""
    rows = [
        _row(view, *pair) for pair in _pairs(view).values() if pair[0].value("log_gamma") is None
    ]
    return [row for row in rows if row["seeds"]]


def _tables(view: View) -> list[Table]:
    rows = _learned(view)
    tables = []
    if rows:
        axes = [axis for axis in dict(rows[0]["cell"].point) if axis != "prior"]

        def value(axis: str) -> Column:
            return Column(*symbol(axis), lambda row: str(dict(row["cell"].point).get(axis, "–")))

        columns = [
            *map(value, axes),
            plain("seeds", lambda row: str(row["seeds"])),
            plain("2 nelbo, shared", lambda row: interval_text(row["shared"], 1)),
            plain("2 nelbo, separate", lambda row: interval_text(row["separate"], 1)),
            plain("difference", lambda row: interval_text(row["more"], 1)),
            plain("Recon, shared / separate", _times),
            plain("least γ, shared", lambda row: number(row["least_gamma"])),
            plain("γ, separate", lambda row: number(row["gamma"])),
        ]
        caption = (
            f"{view.run.config.name}: prior and encoder with shared weights against separate ones,"
            " mean and 95 % interval over seeds of both; losses (2x nats) of one predicted point."
        )
        tables.append(Table(columns, rows, caption, printed=True))
    slopes = _slopes(view)
    if slopes:
        columns = [
            plain("model", lambda row: row["name"]),
            plain("weights", lambda row: row["weights"]),
            plain("seeds", lambda row: str(row["slope"].n)),
            plain("levels of log γ", lambda row: f"{row['first']:g} to {row['last']:g}"),
            plain("slope of 2 nelbo", lambda row: interval_text(row["slope"], 2)),
            plain("theory", lambda row: row["theory"]),
        ]
        caption = (
            f"{view.run.config.name}: slope of the loss in log γ at the {LEAST} least levels at"
            " which it was held, mean and 95 % interval over seeds."
        )
        tables.append(Table(columns, slopes, caption, printed=True))
    return tables


def _ladders(view: View) -> dict[str, dict[bool, list[Cell]]]:
    """Ladders of held log gammas, by what they share and by whether weights are shared."""
    found: dict[str, dict[bool, list[Cell]]] = {}
    for shared, separate in _pairs(view).values():
        if shared.value("log_gamma") is None:
            continue
        rest = name_of(each for each in shared.point if each[0] not in ("log_gamma", "prior"))
        pair = found.setdefault(rest, {True: [], False: []})
        pair[True].append(shared)
        pair[False].append(separate)
    return {name: pair for name, pair in found.items() if len(pair[True]) >= LEAST}


def _curve(view: View, cells: Sequence[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """Levels, ascending, and 2 nelbo [seeds, levels] of the seeds that have all."""
    cells = sorted(cells, key=lambda cell: cell.value("log_gamma"))
    found = [_sound(view, cell) for cell in cells]
    seeds = [seed for seed in view.run.seeds if all(seed in rows for rows in found)]
    values = [[to_paper_units(rows[seed]["nelbo"]) for rows in found] for seed in seeds]
    levels = np.array([cell.value("log_gamma") for cell in cells], float)
    return levels, np.array(values).reshape(len(seeds), len(cells))


def _expected(cell: Cell) -> str:
    """The slope of 2 nelbo in log gamma, as far as a theorem says."""
    if theory.is_bounded(cell):
        return "0 or below"
    left = theory.dimension(cell)
    return "–" if left is None else f"{cell.sizes.d - left:g}"


def _slopes(view: View) -> list[Row]:
    rows: list[Row] = []
    for name, pair in _ladders(view).items():
        for is_shared, cells in pair.items():
            levels, curves = _curve(view, cells)
            slopes = [float(fit_slope(levels[:LEAST], curve[:LEAST])) for curve in curves]
            rows.append(
                {
                    "name": name,
                    "weights": WORDS[is_shared],
                    "slope": mean_interval(slopes),
                    "first": levels[0],
                    "last": levels[LEAST - 1],
                    "theory": _expected(cells[0]),
                }
            )
    return [row for row in rows if row["slope"].n]


def _sentences(view: View) -> list[str]:
    lines = []
    for row in _learned(view):
        axes = dict(row["cell"].point)
        where = ", ".join(f"{symbol(k)[0]} = {v}" for k, v in axes.items() if k != "prior")
        lines.append(
            f"Shared weights ({where}): 2 nelbo less that of separate ones is"
            f" {interval_text(row['more'], 1)}, Recon {_times(row)} times theirs; γ ends at"
            f" {number(row['least_gamma'])} or above with {row['seeds']} seeds."
        )
    return lines


def _pictures(view: View) -> list[Picture]:
    found = _ladders(view)
    if not found:
        return []
    title = "Loss against held log γ" + first_of(len(found), MAX_PANELS, "kinds of cells")
    return [Picture("sharing.png", title, _draw(view, list(found.values())[:MAX_PANELS]))]


def _draw(view: View, found: Sequence[dict[bool, list[Cell]]]) -> Figure:
    """2 nelbo against the held log gamma, shared and separate: a panel per kind of cell."""
    figure, panels = make_panels(len(found), 4.2, 3.2, 2)
    colours = colours_of(2)
    for axes, pair in zip(panels, found, strict=True):
        for is_shared, cells in pair.items():
            levels, curves = _curve(view, cells)
            if not len(curves):
                continue
            middle, spread = curves.mean(axis=0), np.ptp(curves, axis=0) / 2
            style = {"color": colours[int(is_shared)], "marker": MARKERS[int(is_shared)]}
            label = f"{WORDS[is_shared]} weights (mean and half range)"
            axes.errorbar(levels, middle, spread, **style, markersize=4, capsize=2, label=label)
            left = theory.dimension(cells[0])
            if not is_shared and left is not None:
                slope = cells[0].sizes.d - left
                line = middle[LEAST - 1] + slope * (levels - levels[LEAST - 1])
                axes.plot(levels, line, ":", color="0.4", label=f"slope d - r = {slope:g}")
        but = ("log_gamma", "prior")
        axes.set_title(full_title(pair[True][0], but=but), fontsize=8)
        axes.set_xlabel("held log γ (nats)")
        axes.set_ylabel("2 nelbo of a point (2x nats)")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=45,
    applies=lambda view: bool(_pairs(view)) and any("nelbo" in row for row in view.run.results),
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
