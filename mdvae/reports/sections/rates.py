"""Rates in log gamma: ladders of held levels, and the loss slope along training."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis import theory
from mdvae.analysis.estimates import settled_lines
from mdvae.analysis.rates import fit_slope, trajectory_rates
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    LINES,
    MARKERS,
    MAX_COLUMNS,
    colours_of,
    family_of,
    family_title,
    first_of,
    legend_below,
    say_why,
)
from mdvae.reports.sections.dimensions import fraction_text
from mdvae.reports.tables import Column, Table, fixed, plain, symbol
from mdvae.settings.grid import Cell
from mdvae.store.rundir import Row

# Least logged steps, and least stretch of log gamma (nats), for one point of a local slope.
LOCAL, LOCAL_SPAN = 9, 0.3
LOGGED = ("log_gamma", "nelbo", "recon")
# How far from the theorem's 1 an exponent is 1 to the decimals shown.
EXACT = 0.0005


def ladder_columns() -> list[Column]:
    """The columns of the table of ladders."""

    def shown(name: str, decimals: int) -> Callable[[Mapping[str, Any]], str]:
        def text(row: Mapping[str, Any]) -> str:
            value, low, high = (row[name], row[f"{name}_low"], row[f"{name}_high"])
            if row["window_low"] is None:
                return "no window"
            if value is None or math.isnan(value):
                return "–"
            if low is None or math.isnan(low):  # of a single seed
                return fixed(value, decimals)
            return f"{fixed(value, decimals)} [{fixed(low, decimals)}, {fixed(high, decimals)}]"

        return text

    def window(row: Mapping[str, Any]) -> str:
        none = row["window_low"] is None
        return "none" if none else f"{row['window_low']:g} to {row['window_high']:g}"

    def whole(name: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda row: "–" if row[name] is None else f"{row[name]:g}"

    sizes = [Column(*symbol(name), whole(name)) for name in ("kappa", "d", "r", "t")]
    return [
        *sizes,
        plain("seeds", lambda row: f"{row['seeds']} of {row['seeds'] + row['left_out']}"),
        Column("window (log γ)", r"window ($\log\gamma$)", window),
        Column("slope of 2 nelbo", r"slope of $2\,$nelbo", shown("nelbo", 2)),
        plain("theory", whole("theory")),
        Column("r̂ (loss slope)", r"$\hat r$ (loss slope)", shown("r_hat_slope", 2)),
        Column("r̂ (Recon/γ)", r"$\hat r$ (Recon/$\gamma$)", shown("r_hat_recon", 2)),
        Column("slope of log Recon (1)", r"slope of $\log$ Recon (1)", shown("recon", 3)),
        plain("of active variances (1)", shown("active", 2)),
        plain("of inactive ones (0)", shown("inactive", 3)),
    ]


def _tables(view: View) -> list[Table]:
    if not view.ladders:
        return []
    caption = f"{view.run.config.name}: rates in log gamma with 95 % intervals over seeds."
    return [Table(ladder_columns(), view.ladders, caption, latex=True, printed=True)]


def _sentences(view: View) -> list[str]:
    started = {cell.name for cells in view.starts.values() for cell in cells}
    found: dict[tuple[str, int], Row] = {}
    for row in view.run.results:
        # The levels of a ladder share one estimate, which counts once.
        if theory.in_theorem(view.cells[row["cell"]]) and row["cell"] not in started:
            name: str = row["cell"]
            found[view.ladder_of.get(name, name), row["seed"]] = row
    counted = [row for row in found.values() if row.get("r_hat_slope") is not None]
    lines = []
    if counted:
        hits = sum(
            round(row["r_hat_slope"]) == theory.dimension(view.cells[row["cell"]])
            for row in counted
        )
        what = "ladders and seeds" if view.ladders else "runs"
        lines.append(
            "Under the theorems, r̂ from the loss slope rounds to r - t (r of a VAE) in"
            f" {fraction_text(hits, len(counted))}; {len(found) - len(counted)} of {len(found)}"
            f" {what} have no valid window."
        )
    lines += _exponents(view.ladders)
    dropped = set(view.ladder_of.values()) - {row["ladder"] for row in view.ladders}
    if dropped:
        lines.append(f"Ladders without a whole seed, left out: {', '.join(sorted(dropped))}.")
    return lines


def _exponents(rows: Sequence[Row]) -> list[str]:
    """How far the exponent of Recon is from the theorem's 1, over all ladders with a window."""
    exponents = [row["recon"] for row in rows if row["window_low"] is not None]
    if not exponents:
        return []
    below = sum(exponent < 1 - EXACT for exponent in exponents)
    ends = dict.fromkeys(f"{exponent:.3f}" for exponent in (min(exponents), max(exponents)))
    line = (
        f"In their windows Recon goes as gamma to the {' to '.join(ends)}, below 1 in {below} of"
        f" {len(exponents)} ladders"
    )
    if below:
        line += ": the network has an error of its own, which does not fall with gamma"
        if any(row["seeds"] > 1 for row in rows):
            line += "; intervals of r̂ reach to what is left without it"
    return [f"{line}."]


def _families(view: View) -> dict[object, list[Cell]]:
    """Cells of a learned gamma and a known truth, by what they share beside r."""
    found: dict[object, list[Cell]] = {}
    for cell in view.run.cells:
        if cell.value("log_gamma") is None and theory.dimension(cell) is not None:
            found.setdefault(family_of(cell), []).append(cell)
    return found


def _pictures(view: View) -> list[Picture]:
    found = []
    if any(row["dimension"] is not None for row in view.ladders):
        found.append(Picture("rates.png", "Rates in log γ", _draw_ladders(view)))
    families = _families(view)
    if view.run.metrics and families:
        title = "Loss against log γ over training, and its slope"
        title += first_of(len(families), MAX_COLUMNS, "kinds of cells")
        shown = list(families.values())[:MAX_COLUMNS]
        found.append(Picture("slopes.png", title, _draw_trajectories(view, shown)))
    return found


def _two_rows(titles: Sequence[str]) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(2.8 * len(titles) + 0.8, 5.0), layout="constrained")
    panels = figure.subplots(2, len(titles), squeeze=False, sharex="col")
    for column, title in enumerate(titles):
        panels[0, column].set_title(title)
        panels[1, column].set_xlabel("log γ (nats)")
    panels[0, 0].set_ylabel("2 nelbo (2x nats)")
    return figure, panels


def _symbol(view: View) -> str:
    """What the dimension to be found is called."""
    name = "r - t" if any(map(theory.spares_told, view.run.cells)) else "r"
    return f"mean {name}" if any(len(cell.parts) > 1 for cell in view.run.cells) else name


def _draw_ladders(view: View) -> Figure:
    """2 nelbo and Recon / gamma against the held log gamma; the selected window is drawn thick."""
    run, families = view.run, theory.ladders(view.run.cells)
    sound = {
        (row["cell"], row["seed"]): (row["nelbo"], row["recon"])
        for row in run.results
        if row["status"] == "ok"
    }
    columns: dict[str, list[Row]] = {}
    for row in view.ladders:
        if row["dimension"] is not None:
            columns.setdefault(f"κ = {row['kappa']}, d = {row['d']}", []).append(row)
    shown = dict(list(columns.items())[:MAX_COLUMNS])
    dimensions = sorted({row["dimension"] for rows in shown.values() for row in rows})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    figure, panels = _two_rows(list(shown))
    for column, rows in enumerate(shown.values()):
        for row in rows:
            members = families[row["ladder"]]
            levels = np.array([view.cells[name].value("log_gamma") for name in members], float)
            whole = [seed for seed in run.seeds if all((name, seed) in sound for name in members)]
            values = np.array([[sound[name, seed] for name in members] for seed in whole])
            low, high = row["window_low"], row["window_high"]
            inside = (levels >= low) & (levels <= high) if low is not None else levels > np.inf
            style = {
                "color": colours[row["dimension"]],
                "marker": MARKERS[dimensions.index(row["dimension"]) % len(MARKERS)],
            }
            for axes, series in (
                (panels[0, column], 2.0 * values[:, :, 0]),
                (panels[1, column], values[:, :, 1] / np.exp(levels)),
            ):
                middle = series.mean(axis=0)
                spread = np.ptp(series, axis=0) / 2
                label = f"{_symbol(view)} = {row['dimension']:g}"
                axes.errorbar(
                    levels, middle, spread, **style, linewidth=0.8, markersize=4, label=label
                )
                axes.plot(
                    levels[inside], middle[inside], color=style["color"], linewidth=3, alpha=0.5
                )
            panels[1, column].axhline(
                row["dimension"], color=style["color"], linestyle=":", linewidth=0.9
            )
    for axes in panels[1]:
        axes.set_ylim(0, 1.8 * max(dimensions))
    panels[1, 0].set_ylabel(f"Recon / γ (dotted: {_symbol(view)})")
    legend_below(figure, panels[0], numbered=True)
    return figure


def _draw_trajectories(view: View, shown: Sequence[Sequence[Cell]]) -> Figure:
    """2 nelbo against the learned log gamma over training, and the dimension its slope implies."""
    run = view.run
    dimension = {cell.name: theory.dimension(cell) or 0.0 for cells in shown for cell in cells}
    dimensions = sorted(set(dimension.values()))
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    figure, panels = _two_rows([family_title(cells[0]) for cells in shown])
    logged: dict[tuple[str, int], list[Row]] = {}
    for line in settled_lines(run.metrics, run.cells, run.config.steps):
        logged.setdefault((line["cell"], line["seed"]), []).append(line)
    for column, cells in enumerate(shown):
        why = "no loss with all of the KL logged"
        for cell in cells:
            mine = dimension[cell.name]
            style = {
                "color": colours[mine],
                "linestyle": LINES[dimensions.index(mine) % len(LINES)],
                "linewidth": 1.0,
            }
            for seed in run.seeds:
                lines = logged.get((cell.name, seed), [])
                log_gamma, nelbo, recon = (
                    np.array([line[name] for line in lines], float) for name in LOGGED
                )
                label = f"{_symbol(view)} = {mine:g}"
                panels[0, column].plot(log_gamma, 2.0 * nelbo, **style, label=label)
                if lines and why:
                    why = "gamma had not settled, or moved too little since"
                first = trajectory_rates(log_gamma, nelbo, recon, cell.sizes.d).first
                if first is None:
                    continue
                points = _local_slopes(log_gamma[first:], 2.0 * nelbo[first:], cell.sizes.d)
                if points:
                    why = ""
                    panels[1, column].plot(*np.array(points).T, **style, marker=".", markersize=4)
            panels[1, column].axhline(mine, color=colours[mine], linestyle=":", linewidth=0.9)
        if why:
            say_why(panels[1, column], why)
    for axes in panels[1]:
        axes.set_ylim(0, 1.8 * max(dimensions))
    panels[1, 0].set_ylabel(f"d - local slope (dotted: {_symbol(view)})")
    legend_below(figure, panels[0], numbered=True)
    return figure


def _local_slopes(x: np.ndarray, y: np.ndarray, d: int) -> list[tuple[float, float]]:
    """d minus the slope of y over stretches of x that are long enough to have one."""
    points, start = [], 0
    for end in range(LOCAL, len(x) + 1):
        stretch = slice(start, end)
        if np.ptp(x[stretch]) >= LOCAL_SPAN and end - start >= LOCAL:
            points.append((float(x[stretch].mean()), float(d - fit_slope(x[stretch], y[stretch]))))
            start = end
    return points


def _applies(view: View) -> bool:
    return any("r_hat_slope" in row for row in view.run.results) or any(
        all(name in line for name in LOGGED) for line in view.run.metrics[:1]
    )


SECTION = Section(
    order=50, applies=_applies, tables=_tables, sentences=_sentences, pictures=_pictures
)
