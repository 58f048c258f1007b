"""Figures of the polarised regime: ratios of all latents, and densities of one of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.analysis.generation import held_out
from mdvae.analysis.polarised import CLASSES, UNCLEAR
from mdvae.analysis.regime import latents_of
from mdvae.reports.base import View
from mdvae.reports.imaging import saved_seed
from mdvae.reports.plotting import (
    MARKERS,
    colours_of,
    full_title,
    legend_above,
    make_panels,
    say_why,
)
from mdvae.reports.tables import number
from mdvae.settings.grid import Cell
from mdvae.store.rundir import Row

MOST_PANELS = 12
# Of the published figures.
BINS, EXAMPLES = 13, 10_000
LOOKS = dict(zip(CLASSES, zip(colours_of(3), MARKERS, strict=False), strict=False))
LOOKS[UNCLEAR] = ("0.5", "x")


def draw_ratios(view: View, runs: Mapping[str, Mapping[int, Sequence[Row]]]) -> Figure:
    """A panel per cell: a bar over the middle 90 % of the samples for each latent."""
    names = list(runs)[:MOST_PANELS]
    settings: Any = view.run.config.analysis
    figure, panels = make_panels(len(names), 2.7, 2.4, 4, sharey=True)
    for axes, name in zip(panels, names, strict=True):
        rows = sorted(runs[name][min(runs[name])], key=lambda row: row["ratio"])
        for regime, (colour, marker) in LOOKS.items():
            own = [(place, row) for place, row in enumerate(rows, 1) if row["regime"] == regime]
            if not own:
                continue
            ratios = np.array([row["ratio"] for _, row in own])
            reach = np.array(
                [
                    [row["ratio"] - row["ratio_low"] for _, row in own],
                    [row["ratio_high"] - row["ratio"] for _, row in own],
                ]
            )
            axes.errorbar(
                [place for place, _ in own],
                ratios,
                reach.clip(0.0),
                color=colour,
                marker=marker,
                markersize=4,
                linestyle="none",
                elinewidth=1.0,
                label=regime,
            )
        for level in (settings.active_below, settings.passive_from):
            axes.axhline(level, color="0.5", linestyle=":", linewidth=1.0)
        axes.set_yscale("log")
        axes.set_title(full_title(view.cells[name]), fontsize=7)
        axes.set_xlabel("latent, by its median")
    panels[0].set_ylabel("σ / σ†: median and\nmiddle 90 % of samples")
    legend_above(figure, panels)
    return figure


def _telling(rows: Sequence[Row], regime: str) -> int | None:
    """The latent whose median ratio is in the middle of its class."""
    own = sorted((row["ratio"], row["latent"]) for row in rows if row["regime"] == regime)
    return own[len(own) // 2][1] if own else None


def draw_densities(view: View, cell: Cell, runs: Mapping[int, Sequence[Row]]) -> Figure | None:
    """A row per class: densities of mu, of sigma and sigma+, of z and z+, and of z and mu."""
    seed = saved_seed(view, cell)
    if seed is None or seed not in runs:
        return None
    found = held_out(view.run, cell, seed, EXAMPLES)
    latents = latents_of(view.run.model(cell, seed), found.given, found.told)
    chosen = {regime: _telling(runs[seed], regime) for regime in CLASSES}
    kept = {regime: j for regime, j in chosen.items() if j is not None}
    if not kept:
        return None
    figure = Figure(figsize=(10.5, 2.2 * len(kept) + 0.5), layout="constrained")
    panels = figure.subplots(len(kept), 4, squeeze=False)
    generator = np.random.default_rng(seed)
    for across, (regime, j) in zip(panels, kept.items(), strict=True):
        own = latents.of(j)
        noise = generator.standard_normal((2, len(own.mean)))
        z, prior_z = own.mean + own.sd * noise[0], own.prior_mean + own.prior_sd * noise[1]
        for axes, drawn in zip(
            across,
            (
                {"μ": own.mean},
                {"σ": own.sd, "σ†": own.prior_sd},
                {"z": z, "z†": prior_z},
                {"z": z, "μ": own.mean},
            ),
            strict=True,
        ):
            _densities(axes, drawn)
        across[0].set_ylabel(f"{regime}, latent {j}\ndensity")
    return figure


def _densities(axes: Axes, drawn: Mapping[str, np.ndarray]) -> None:
    """Histograms of one or two things over the same bins, with a legend of their names."""
    every = np.concatenate(list(drawn.values()))
    if np.ptp(every) == 0.0:
        say_why(axes, f"{', '.join(drawn)}: all {number(float(every[0]))}")
        return
    edges = np.linspace(every.min(), every.max(), BINS + 1)
    for (name, values), (colour, style) in zip(
        drawn.items(), (("tab:blue", "-"), ("tab:orange", "--")), strict=False
    ):
        heights, _ = np.histogram(values, edges, density=True)
        axes.stairs(heights, edges, color=colour, linestyle=style, linewidth=1.4, label=name)
    axes.legend(fontsize=7)
    axes.tick_params(labelsize=7)
