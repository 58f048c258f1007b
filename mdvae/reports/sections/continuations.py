"""Sequences that trained models draw from a prefix, beside those that really followed it."""

import dataclasses
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis.autocorrelation import Autocorrelation, autocorrelation
from mdvae.data.sequences import autocorrelation as of_process
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MAX_COLUMNS,
    colours_of,
    first_of,
    full_title,
    legend_below,
    make_panels,
)
from mdvae.reports.tables import fixed
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell
from mdvae.settings.registry import DATA

# Stretches of held-out series of which each is continued, how long, and how far apart points are
# compared.
STRETCHES, POINTS, LAGS = 100, 60, 10
# Continuations of one prefix in a picture, and how many of its points.
FANNED, SHOWN, DRAWN = 400, 20, 3


class Drawn(NamedTuple):
    """What a model has drawn, and what is compared with it.

    Attributes:
        real, drawn: autocorrelations of held-out stretches and of continuations of their prefixes.
        scale: standard deviation of drawn points over that of real ones.
        prefix, after: the entry of most variance, of one series, [points].
        fan: continuations of that prefix, [draws, points].
    """

    real: Autocorrelation
    drawn: Autocorrelation
    scale: float
    prefix: np.ndarray
    after: np.ndarray
    fan: np.ndarray


def _cells(view: View) -> list[Cell]:
    """Cells of sequences with a trained model, whose gamma is learned."""
    seed = view.run.config.seed
    sound = [row for row in view.run.results if row["status"] == "ok"]
    done = {row["cell"] for row in sound if row["seed"] == seed}
    return [
        cell
        for cell in view.run.cells
        if cell.sizes.points
        and cell.name in done
        and cell.value("log_gamma") is None
        and view.run.is_saved(cell, seed)
    ]


def _length(cell: Cell) -> int:
    """Points of the stretches that are compared: as many as wanted, or as the data have in a row.

    0 where these are too few for more than a prefix.
    """
    own, kind = cell.data, DATA.find(cell.data.kind)
    known = cell.sizes.past + cell.sizes.points - 1
    longest = getattr(own, "points", None)
    length = min(POINTS + known, longest) if longest else POINTS + known
    while length > known + 2:
        if kind.samples(dataclasses.replace(own, length=length, past=0))[1] > 0:
            return length
        length //= 2  # no held-out part is as long
    return 0


def drawn_of(view: View, cell: Cell) -> Drawn | None:
    """Continuations by the model of the first seed; None where the data are too short, or gone."""
    run, seed, length = view.run, view.run.config.seed, _length(cell)
    if not length:
        return None
    known = cell.sizes.past + cell.sizes.points - 1
    try:
        real = run.stretches(cell, seed, length, STRETCHES)
    except ConfigError:  # the file of a user's own data is elsewhere
        return None
    prefixes, after = real[:, :known], real[:, known:]
    model = run.model(cell, seed)
    past = prefixes if known else None
    continued = model.roll_out(length - known, len(real), past, noise=True)
    lags, entry = min(LAGS, length - known - 1), int(np.argmax(real.std(axis=(0, 1))))
    shown = min(SHOWN, length - known)
    first = prefixes[:1] if known else None
    return Drawn(
        autocorrelation(after, lags),
        autocorrelation(continued, lags),
        float(np.std(continued - continued.mean((0, 1))) / np.std(after - after.mean((0, 1)))),
        prefixes[0, :, entry],
        after[0, :shown, entry],
        model.roll_out(shown, FANNED, first, noise=True, draw=1)[:, :, entry],
    )


@lru_cache(maxsize=1)
def _all(view: View) -> dict[str, Drawn]:
    """What each cell's model has drawn; sentences and pictures are of the same."""
    found = {cell.name: drawn_of(view, cell) for cell in _cells(view)[:MAX_COLUMNS]}
    return {name: drawn for name, drawn in found.items() if drawn is not None}


def _sentences(view: View) -> list[str]:
    lines = []
    for name, drawn in _all(view).items():
        inside = (drawn.drawn.low <= drawn.real.high) & (drawn.drawn.high >= drawn.real.low)
        line = (
            f"Continued ({name}): points vary by {fixed(drawn.scale, 2)} of the held-out ones;"
            f" autocorrelation at lag 1 {_with_ends(drawn.drawn)}, held-out"
            f" {_with_ends(drawn.real)}"
        )
        if np.isfinite(drawn.real.low).all():
            hits = int(inside[1:].sum())
            line += f"; intervals overlap at {hits} of {len(inside) - 1} lags"
        lines.append(f"{line}.")
    return lines


def _with_ends(found: Autocorrelation) -> str:
    ends = f" [{found.low[1]:.3f}, {found.high[1]:.3f}]" if np.isfinite(found.low[1]) else ""
    return f"{found.values[1]:.3f}{ends}"


def _pictures(view: View) -> list[Picture]:
    found, total = _all(view), len(_cells(view))
    if not found:
        return []
    cells = [cell for cell in _cells(view) if cell.name in found]
    drawn = [found[cell.name] for cell in cells]
    rest = first_of(total, MAX_COLUMNS, "cells")
    return [
        Picture("continuations.png", f"A held-out series continued{rest}", _draw(cells, drawn)),
        Picture("autocorrelation.png", f"Autocorrelation{rest}", _draw_lags(cells, drawn)),
    ]


def _draw(cells: list[Cell], found: list[Drawn]) -> Figure:
    """One column of a series, what followed it, and what models say may follow."""
    figure, panels = make_panels(len(found), 3.2, 2.6, 2, sharey=True)
    dark, light = colours_of(2)
    for axes, cell, drawn in zip(panels, cells, found, strict=True):
        known = len(drawn.prefix)
        before, after = np.arange(1 - known, 1), np.arange(1, len(drawn.after) + 1)
        low, high = np.quantile(drawn.fan, (0.05, 0.95), axis=0)
        axes.fill_between(after, low, high, color=light, alpha=0.35, label="90 % of draws")
        for i in range(DRAWN):
            axes.plot(
                after, drawn.fan[i], color=light, linewidth=0.8, label="draws" if i == 0 else None
            )
        axes.plot(before, drawn.prefix, "o-", color=dark, markersize=3, label="given")
        axes.plot(after, drawn.after, "k.--", markersize=4, linewidth=0.8, label="real")
        axes.set_title(full_title(cell), fontsize=7)
        axes.set_xlabel("points from the last given one")
    panels[0].set_ylabel("one entry of x")
    legend_below(figure, panels)
    return figure


def _draw_lags(cells: list[Cell], found: list[Drawn]) -> Figure:
    """Autocorrelations of held-out series and of continuations, and of the process if known."""
    figure, panels = make_panels(len(found), 3.2, 2.6, 2, sharey=True)
    dark, light = colours_of(2)
    for axes, cell, drawn in zip(panels, cells, found, strict=True):
        lags = np.arange(len(drawn.real.values))
        if cell.value("ar") is not None and not cell.value("sigma"):
            truth = of_process(cell.value("ar"), cell.value("ma"), len(lags) - 1)
            axes.plot(lags, truth, ":", color="0.4", label="the process's")
        for mine, colour, marker, shift, label in (
            (drawn.real, dark, "o", -0.12, "held-out series"),
            (drawn.drawn, light, "s", 0.12, "drawn by the model"),
        ):
            half = np.nan_to_num(mine.high - mine.values)
            style = {"color": colour, "marker": marker, "markersize": 4, "linestyle": "none"}
            axes.errorbar(lags + shift, mine.values, half, **style, capsize=2, label=label)
        axes.set_title(full_title(cell), fontsize=7)
        axes.set_xlabel("lag (points)")
    panels[0].set_ylabel("autocorrelation (95 % intervals)")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=85,
    applies=lambda view: bool(_cells(view)),
    sentences=_sentences,
    pictures=_pictures,
)
