"""Figures of rates in log gamma and of encoder variances."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mdvae.analysis.estimates import ladder_families
from mdvae.analysis.rates import fit_slope, trajectory_rates
from mdvae.grid import Cell
from mdvae.loading import LoadedRun
from mdvae.plotting import (
    LINES,
    MARKERS,
    colours_of,
    family_of,
    family_title,
    full_title,
    legend_below,
)
from mdvae.rundir import Row

MAX_COLUMNS = 6
# Least logged steps, and least stretch of log gamma (nats), for one point of a local slope.
LOCAL, LOCAL_SPAN = 9, 0.3


def _two_rows(titles: Sequence[str]) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(2.8 * len(titles) + 0.8, 5.0), layout="constrained")
    panels = figure.subplots(2, len(titles), squeeze=False, sharex="col")
    for column, title in enumerate(titles):
        panels[0, column].set_title(title)
        panels[1, column].set_xlabel("log γ (nats)")
    panels[0, 0].set_ylabel("2 nelbo (2x nats)")
    return figure, panels


def _symbol(run: LoadedRun) -> str:
    """What the dimension to be found is called."""
    symbol = "r - t" if any(cell.model == "cvae" for cell in run.cells) else "r"
    return f"mean {symbol}" if any(len(cell.parts) > 1 for cell in run.cells) else symbol


def draw_ladders(run: LoadedRun, ladders: Sequence[Row]) -> Figure:
    """2 nelbo and Recon / gamma against the held log gamma; the selected window is drawn thick."""
    cells = {cell.name: cell for cell in run.cells}
    families = ladder_families(run.results)
    columns: dict[str, list[Row]] = {}
    for row in ladders:
        first = cells[families[row["ladder"]][0]]
        columns.setdefault(f"κ = {first.kappa}, d = {first.d}", []).append(row)
    shown = dict(list(columns.items())[:MAX_COLUMNS])
    dimensions = sorted({row["dimension"] for rows in shown.values() for row in rows})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    figure, panels = _two_rows(list(shown))
    for column, rows in enumerate(shown.values()):
        for row in rows:
            members = families[row["ladder"]]
            levels = np.array([cells[name].log_gamma for name in members], float)
            whole = [
                seed
                for seed in run.seeds
                if all(
                    (name, seed) in run.blocks and np.all(np.isfinite(run.blocks[name, seed]))
                    for name in members
                )
            ]
            blocks = np.array([[run.blocks[name, seed] for name in members] for seed in whole])
            values = blocks.mean(axis=3)
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
                label = f"{_symbol(run)} = {row['dimension']:g}"
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
    panels[1, 0].set_ylabel(f"Recon / γ (dotted: {_symbol(run)})")
    legend_below(figure, panels[0], numbered=True)
    return figure


def draw_trajectories(run: LoadedRun) -> Figure:
    """2 nelbo against the learned log gamma over training, and the dimension its slope implies."""
    columns: dict[object, list[Cell]] = {}
    for cell in run.cells:
        if cell.log_gamma is None:
            columns.setdefault(family_of(cell), []).append(cell)
    shown = list(columns.values())[:MAX_COLUMNS]
    dimensions = sorted({cell.dimension for cells in shown for cell in cells})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    figure, panels = _two_rows([family_title(cells[0]) for cells in shown])
    logged: dict[tuple[str, int], list[Row]] = {}
    for line in run.nelbo_metrics:
        logged.setdefault((line["cell"], line["seed"]), []).append(line)
    for column, cells in enumerate(shown):
        for cell in cells:
            style = {
                "color": colours[cell.dimension],
                "linestyle": LINES[dimensions.index(cell.dimension) % len(LINES)],
                "linewidth": 1.0,
            }
            for seed in run.seeds:
                lines = logged.get((cell.name, seed), [])
                log_gamma, nelbo, recon = (
                    np.array([line[name] for line in lines], float)
                    for name in ("log_gamma", "nelbo", "recon")
                )
                panels[0, column].plot(
                    log_gamma, 2.0 * nelbo, **style, label=f"{_symbol(run)} = {cell.dimension:g}"
                )
                first = trajectory_rates(log_gamma, nelbo, recon, cell.d).first
                if first is None:
                    continue
                points = _local_slopes(log_gamma[first:], 2.0 * nelbo[first:], cell.d)
                if points:
                    panels[1, column].plot(*np.array(points).T, **style, marker=".", markersize=4)
            panels[1, column].axhline(
                cell.dimension, color=colours[cell.dimension], linestyle=":", linewidth=0.9
            )
    for axes in panels[1]:
        axes.set_ylim(0, 1.8 * max(dimensions))
    panels[1, 0].set_ylabel(f"d - local slope (dotted: {_symbol(run)})")
    legend_below(figure, panels[0], numbered=True)
    return figure


def _local_slopes(x: np.ndarray, y: np.ndarray, d: int) -> list[tuple[float, float]]:
    """d minus the slope of y over stretches of x that are long enough to have one."""
    points, start = [], 0
    for end in range(LOCAL, len(x) + 1):
        part = slice(start, end)
        if np.ptp(x[part]) >= LOCAL_SPAN and end - start >= LOCAL:
            points.append((float(x[part].mean()), float(d - fit_slope(x[part], y[part]))))
            start = end
    return points


def draw_variances(run: LoadedRun, cell: Cell) -> Figure:
    """Variance ratios of a cell as a heat map: a row per seed, a column per latent."""
    seeds = [seed for seed in run.seeds if (cell.name, seed) in run.spectra]
    ratios = np.array([run.spectrum(cell, seed) for seed in seeds])
    finite = ratios[np.isfinite(ratios) & (ratios > 0)]
    least = float(finite.min()) if finite.size else 0.1
    figure = Figure(figsize=(1.6 + 0.3 * cell.kappa, 1.4 + 0.32 * len(seeds)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        np.clip(ratios, least, 1.0),
        norm=LogNorm(min(least, 0.1), 1.0),
        cmap=mpl.colormaps["cividis"],
        aspect="auto",
    )
    for row, column in np.argwhere(ratios < run.config.ad_threshold):
        axes.text(column, row, "×", ha="center", va="center", color="white", fontsize=8)
    axes.grid(visible=False)
    axes.set_xticks(range(cell.kappa), [str(k + 1) for k in range(cell.kappa)], fontsize=7)
    axes.set_yticks(range(len(seeds)), [str(seed) for seed in seeds])
    axes.set_xlabel(f"latent (×: ratio below {run.config.ad_threshold:g})")
    axes.set_ylabel("seed")
    axes.set_title(full_title(cell), fontsize=9)
    figure.colorbar(image, ax=axes, label="variance ratio")
    return figure
