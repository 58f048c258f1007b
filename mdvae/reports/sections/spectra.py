"""Spectra: the ratios by which latents are counted, such as encoder over prior variance."""

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis import theory
from mdvae.analysis.dims import threshold_curve
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MAX_PANELS,
    colours_of,
    first_of,
    full_title,
    legend_above,
    make_panels,
    say_why,
)
from mdvae.reports.tables import Table, number, plain
from mdvae.settings.grid import Cell, Part
from mdvae.settings.registry import DATA, METHODS
from mdvae.store.loading import LoadedRun

MATRIX_COLUMNS = 5
# What is smaller would have less than two digits among four decimals.
LEAST_IN_DECIMALS = 1e-3
# Lines of the threshold and of what theory expects.
IN_USE: dict[str, Any] = {"color": "tab:red", "linestyle": "--", "linewidth": 0.8}
EXPECTED: dict[str, Any] = {
    "color": "0.4",
    "linestyle": ":",
    "linewidth": 1.0,
    "label": "expected AD",
}


def _tables(view: View) -> list[Table]:
    """The ratios of one run, active ones bold (as CVAE-dims, Tables 10 and 11)."""
    run, cell = view.run, view.shown
    seeds = [seed for seed in run.seeds if (cell.name, seed) in run.spectra]
    if not seeds or len(cell.parts) > 1:
        return []
    ratios = run.spectrum(cell, seeds[0])
    active = ratios < run.config.analysis.ad_threshold
    texts = [
        f"**{_ratio(ratio)}**" if on else _ratio(ratio)
        for ratio, on in zip(ratios, active, strict=True)
    ]
    width = min(MATRIX_COLUMNS, len(texts))
    texts += [""] * (-len(texts) % width)
    rows = [{str(k): texts[i + k] for k in range(width)} for i in range(0, len(texts), width)]
    columns = [plain("", lambda row, k=k: row[str(k)]) for k in range(width)]
    caption = (
        f"{_ratio_of(cell)} by latent, {cell.name}, seed {seeds[0]}: {int(active.sum())} below"
        f" {view.threshold} (bold)"
    )
    return [Table(columns, rows, caption)]


def _ratio_of(cell: Cell) -> str:
    """What a cell's ratios are, at the head of a sentence."""
    words = METHODS.find(cell.method.kind).ratio
    return words[0].upper() + words[1:]


def _ratio(ratio: float) -> str:
    """A ratio to four decimals, a smaller one to two digits, as 2.1e-5."""
    return f"{ratio:.4f}" if ratio >= LEAST_IN_DECIMALS else number(ratio, 2)


def _parted(run: LoadedRun) -> list[tuple[Cell, Part]]:
    """Each part of each cell's data, of methods that count latents."""
    uncounted = {row["cell"] for row in run.results if row.get("ad_threshold") is None}
    return [(cell, part) for cell in run.cells if cell.name not in uncounted for part in cell.parts]


def _seed_lines(run: LoadedRun, cell: Cell, part: Part) -> Iterator[tuple[np.ndarray, object]]:
    """The finite spectra of a part of a cell's data, with a colour by seed."""
    for seed, colour in zip(run.seeds, colours_of(len(run.seeds)), strict=True):
        if (cell.name, seed) in run.spectra:
            ratios = run.spectrum(cell, seed, part.value)
            if np.all(np.isfinite(ratios)):
                yield ratios, colour


def _say_if_none(axes: Axes, run: LoadedRun, cell: Cell, n_drawn: int) -> None:
    """Says in the panel of a cell why no seed of it is drawn."""
    if n_drawn == 0:
        done = any((cell.name, seed) in run.spectra for seed in run.seeds)
        say_why(axes, "no finite values" if done else "no seed is done yet")


def _title(cell: Cell, part: Part) -> str:
    name = f"{DATA.find(cell.data.kind).part_name} {part.value}"
    return full_title(cell, name if len(cell.parts) > 1 else "")


def _pictures(view: View) -> list[Picture]:
    more = first_of(len(_parted(view.run)), MAX_PANELS, "cells")
    found = [
        Picture("spectra.png", f"Spectra: {view.ratio}{more}", _draw_spectra(view)),
        Picture("thresholds.png", "AD as a function of the threshold" + more, _draw_curves(view)),
    ]
    cell = view.shown
    if len(cell.parts) == 1 and any((cell.name, s) in view.run.spectra for s in view.run.seeds):
        title = f"{_ratio_of(cell)} by latent and seed, {cell.name}"
        found.append(Picture("variances.png", title, _draw_heat_map(view)))
    return found


def _draw_spectra(view: View) -> Figure:
    """Sorted ratios of each cell, a line per seed."""
    shown, threshold = _parted(view.run)[:MAX_PANELS], view.run.config.analysis.ad_threshold
    figure, panels = make_panels(len(shown), 2.1, 2.1, 5, sharey=True)
    panels[0].set_yscale("log")
    for i, (axes, (cell, part)) in enumerate(zip(panels, shown, strict=True)):
        drawn = list(_seed_lines(view.run, cell, part))
        _say_if_none(axes, view.run, cell, len(drawn))
        for ratios, colour in drawn:
            latents = np.arange(1, len(ratios) + 1)
            axes.plot(latents, np.sort(ratios), ".-", color=colour, linewidth=0.8, markersize=4)
        axes.axhline(threshold, **IN_USE, label=f"threshold {threshold:g}")
        expected = theory.expected_of_part(cell, part)
        if expected is not None:
            axes.axvline(expected + 0.5, **EXPECTED)
        axes.set_title(_title(cell, part), fontsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 5 == 0:
            axes.set_ylabel(view.ratio.replace(" or ", "\nor "))
    figure.supxlabel("latent, sorted (a line per seed)", size=9)
    legend_above(figure, panels)
    return figure


def _draw_curves(view: View) -> Figure:
    """AD as a function of the threshold, a line per seed; flat where the threshold is no matter."""
    shown = _parted(view.run)[:MAX_PANELS]
    highest = max([theory.expected_of_part(*each) or 0 for each in shown])
    figure, panels = make_panels(len(shown), 2.1, 2.1, 5, sharex=True)
    panels[0].set_xscale("log")
    for i, (axes, (cell, part)) in enumerate(zip(panels, shown, strict=True)):
        drawn = list(_seed_lines(view.run, cell, part))
        _say_if_none(axes, view.run, cell, len(drawn))
        for ratios, colour in drawn:
            edges, counts = threshold_curve(ratios)
            axes.step(edges, [*counts, counts[-1]], where="post", color=colour, linewidth=0.8)
        threshold = view.run.config.analysis.ad_threshold
        axes.axvline(threshold, **IN_USE, label=f"in use: {threshold:g}")
        expected = theory.expected_of_part(cell, part)
        if expected is not None:
            axes.axhline(expected, **EXPECTED)
        # Just under the prior's own level all latents count, which would flatten all else.
        axes.set_ylim(0, (min(cell.sizes.kappa, 2 * highest) or cell.sizes.kappa) + 0.5)
        axes.set_title(_title(cell, part), fontsize=7)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if i % 5 == 0:
            axes.set_ylabel("AD")
    figure.supxlabel("threshold (a line per seed)", size=9)
    legend_above(figure, panels)
    return figure


def _draw_heat_map(view: View) -> Figure:
    """Ratios of a cell as a heat map: a row per seed, a column per latent."""
    run, cell = view.run, view.shown
    seeds = [seed for seed in run.seeds if (cell.name, seed) in run.spectra]
    ratios = np.array([run.spectrum(cell, seed) for seed in seeds])
    finite = ratios[np.isfinite(ratios) & (ratios > 0)]
    least = float(finite.min()) if finite.size else 0.1
    kappa = cell.sizes.kappa
    figure = Figure(figsize=(1.6 + 0.3 * kappa, 1.4 + 0.32 * len(seeds)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(
        np.clip(ratios, least, 1.0),
        norm=LogNorm(min(least, 0.1), 1.0),
        cmap=mpl.colormaps["cividis"],
        aspect="auto",
    )
    threshold = run.config.analysis.ad_threshold
    for row, column in np.argwhere(ratios < threshold):
        axes.text(column, row, "×", ha="center", va="center", color="white", fontsize=8)
    if not finite.size:
        say_why(axes, "no finite values")
    axes.grid(visible=False)
    axes.set_xticks(range(kappa), [str(k + 1) for k in range(kappa)], fontsize=7)
    axes.set_yticks(range(len(seeds)), [str(seed) for seed in seeds])
    axes.set_xlabel(f"latent (×: ratio below {threshold:g})")
    axes.set_ylabel("seed")
    axes.set_title(full_title(cell), fontsize=9)
    figure.colorbar(image, ax=axes, label=METHODS.find(cell.method.kind).ratio)
    return figure


SECTION = Section(
    order=60, applies=lambda view: bool(view.run.spectra), tables=_tables, pictures=_pictures
)
