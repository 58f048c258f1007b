"""The figures of an estimate: its ladder, spectra, second opinions and classes."""

import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis.dims import log_odds
from mdvae.analysis.neighbours import Opinion
from mdvae.estimation.answer import Estimate, is_of_x
from mdvae.estimation.classes import TOGETHER
from mdvae.estimation.folder import FIGURES
from mdvae.estimation.model_figures import draw_latents, draw_residuals, look_at
from mdvae.reports.plotting import (
    LINES,
    STYLE,
    colours_of,
    legend_below,
    plain_text,
    say_why,
)
from mdvae.store.loading import load_run

DPI = 120
# Nats between rungs from which on differences of one nat would not be seen.
WIDE_NELBO = 50.0
# Largest over least opinion from which on an axis is logarithmic.
WIDE_OPINIONS = 20.0
# Ticks of a scale of log odds.
LEVELS = (1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999, 0.9999)
# Markers and colours of an estimate and of its chosen model.
OURS, OTHERS = colours_of(2)
BAND = "0.88"


def _shows_interval(axes: Axes, estimate: Estimate, along: str) -> None:
    """The dimension and its interval as a line and a band."""
    band, line = (axes.axvspan, axes.axvline) if along == "x" else (axes.axhspan, axes.axhline)
    band(estimate.low, estimate.high, color=BAND, zorder=0, label="its interval")
    line(estimate.dimension, color="black", linewidth=1, zorder=1, label="dimension found")


def _plot_nelbo(axes: Axes, estimate: Estimate) -> None:
    """Held-out nelbo of each seed and its median over them, by rung."""
    values = [np.array(rung.nelbo, np.float64) for rung in estimate.rungs]
    sound = [
        (rung.kappa, v[np.isfinite(v)]) for rung, v in zip(estimate.rungs, values, strict=True)
    ]
    sound = [(kappa, v) for kappa, v in sound if len(v)]
    lost = [
        rung.kappa
        for rung, v in zip(estimate.rungs, values, strict=True)
        if not np.all(np.isfinite(v))
    ]
    if lost:
        axes.plot(
            lost, [0.97] * len(lost), "kx", transform=axes.get_xaxis_transform(), label="diverged"
        )
    if not sound:
        say_why(axes, "no run has a finite loss")
        return
    medians = np.array([np.median(v) for _, v in sound])
    every = np.concatenate([v for _, v in sound])
    wide = np.ptp(every) > WIDE_NELBO
    base = medians.min() if wide else 0.0
    kappas = [kappa for kappa, _ in sound]
    axes.plot(kappas, medians - base, "-", color=OURS, label="median over seeds")
    for i, (kappa, v) in enumerate(sound):
        name = None if i else "a seed"
        axes.plot([kappa] * len(v), v - base, "o", color=OTHERS, markersize=4, label=name)
    axes.set_ylabel("held-out nelbo, nats")
    if wide:
        axes.set_yscale("symlog", linthresh=1.0, linscale=0.6)
        axes.set_ylabel(f"held-out nelbo above {base:.4g}, nats\n(logarithmic beyond 1 nat)")


def _plot_counts(axes: Axes, estimate: Estimate) -> None:
    """Active dimensions of each seed by both rules, and the dimension with its interval."""
    kappas = [rung.kappa for rung in estimate.rungs]
    _shows_interval(axes, estimate, "y")
    axes.plot([0, kappas[-1]], [0, kappas[-1]], ":", color="0.5", label="AD = κ")
    apart = 0.014 * kappas[-1]
    for rule, shift, fill, name, marker in (
        ("ad", -apart, OURS, "AD (gap)", "o"),
        ("ad_paper", apart, "white", "AD (0.05)", "s"),
    ):
        points = [
            (rung.kappa + shift, count)
            for rung in estimate.rungs
            for count in getattr(rung, rule)
            if count is not None
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(
                x, y, marker, color=OURS, markerfacecolor=fill, markersize=5, ls="none", label=name
            )
    counts = [ad for rung in estimate.rungs for ad in (*rung.ad, *rung.ad_paper) if ad is not None]
    top = max([*counts, estimate.high, estimate.dimension, 1])
    axes.set_ylim(-0.03 * top, 1.15 * top)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("active dimensions")


def draw_ladder(estimate: Estimate) -> Figure:
    """Losses and active dimensions against kappa."""
    figure = Figure(figsize=(7.6, 3.5), layout="constrained")
    panels = list(figure.subplots(1, 2))
    for axes, plot in zip(panels, (_plot_nelbo, _plot_counts), strict=True):
        name = f"chosen κ = {estimate.kappa}"
        axes.axvline(estimate.kappa, color="0.35", linestyle="--", linewidth=1, label=name)
        plot(axes, estimate)
        axes.set_xlabel("κ, latents of a model")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, panels)
    return figure


def draw_spectra(estimate: Estimate) -> Figure:
    """Sorted variance ratios of one seed of each rung, the chosen rung's emphasised."""
    run = load_run(estimate.workdir / estimate.ladder)
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axes = figure.subplots()
    cells = sorted(run.cells, key=lambda cell: cell.sizes.kappa)
    for i, (cell, colour) in enumerate(zip(cells, colours_of(len(cells)), strict=True)):
        ratios = np.sort(run.spectrum(cell, estimate.seed).astype(np.float64))
        mine = cell.sizes.kappa == estimate.kappa
        look: dict[str, Any] = {"color": "black", "linewidth": 2.2, "marker": "o", "zorder": 3}
        if not mine:
            look = {
                "color": colour,
                "linewidth": 1,
                "marker": ".",
                "linestyle": LINES[i % len(LINES)],
            }
        axes.plot(
            np.arange(1, len(ratios) + 1),
            log_odds(np.clip(ratios, 1e-12, 1.0 - 1e-6)),
            markersize=4,
            label=f"κ = {cell.sizes.kappa}" + (" (chosen)" if mine else ""),
            **look,
        )
    axes.axvline(estimate.dimension + 0.5, color="0.35", linestyle="--", linewidth=1)
    axes.annotate(
        f" dimension {estimate.dimension}",
        (estimate.dimension + 0.5, 1.0),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=8,
    )
    levels = np.array(LEVELS)
    low, high = axes.get_ylim()
    shown = [level for level in levels if low <= log_odds(level) <= high]
    axes.set_yticks([float(log_odds(level)) for level in shown], [f"{v:g}" for v in shown])
    axes.set_ylim(low, high + 0.08 * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("latent, in order of its ratio")
    axes.set_ylabel("variance of the encoder over the prior's\n(scale of log odds)")
    legend_below(figure, [axes])
    return figure


def _point(axes: Axes, place: float, each: Opinion, **look: Any) -> None:
    """A value and its interval, from left to right."""
    ends = np.nan_to_num([[each.value - each.low], [each.high - each.value]])
    axes.errorbar(
        [each.value],
        [place],
        xerr=np.maximum(ends, 0.0),
        ls="none",
        capsize=3,
        markersize=5,
        **look,
    )


def draw_estimates(estimate: Estimate) -> Figure:
    """All opinions with their intervals, beside the dimension and its own."""
    told = estimate.estimates
    figure = Figure(figsize=(6.2, 0.28 * len(told) + 1.5), layout="constrained")
    axes = figure.subplots()
    _shows_interval(axes, estimate, "x")
    places = np.arange(len(told))[::-1]
    for place, each in zip(places, told, strict=True):
        if np.isfinite(each.value):
            _point(axes, place, each, color=OURS, marker="o")
        else:
            axes.annotate(
                "no answer",
                (0.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                color="0.5",
                fontsize=8,
            )
    names = [f"{each.name}, of x alone" if is_of_x(each) else each.name for each in told]
    axes.set_yticks(places, [plain_text(name) for name in names])
    for label, each in zip(axes.get_yticklabels(), told, strict=True):
        label.set_color("black" if np.isfinite(each.value) else "0.5")
    axes.set_ylim(-0.7, len(told) - 0.3)
    known = [v for v in (each.value for each in told) if np.isfinite(v) and v > 0]
    known += [max(estimate.dimension, 1)]
    if max(known) > WIDE_OPINIONS * min(known):
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(left=0.0)
        axes.set_xlabel("dimension (logarithmic beyond 1; 95 % intervals)")
    else:
        axes.set_xlabel("dimension (95 % intervals)")
    legend_below(figure, [axes])
    return figure


def draw_classes(estimate: Estimate) -> Figure:
    """Dimensions of classes with their intervals: each apart, and in the CVAE of all."""
    shown = list(estimate.by_class.items())
    figure = Figure(figsize=(6.2, 0.34 * len(shown) + 1.7), layout="constrained")
    axes = figure.subplots()
    axes.axvline(estimate.dimension, color="black", linewidth=1, label="all rows")
    places = np.arange(len(shown))[::-1]
    for place, (_, each) in zip(places, shown, strict=True):
        apart = Opinion("apart", each.dimension, each.low, each.high, "")
        both = [(0.14, apart, {"color": OURS, "marker": "o"}, "by itself")]
        look: dict[str, Any] = {"color": OTHERS, "marker": "s", "markerfacecolor": "white"}
        both += [
            (-0.14, one, look, "in the CVAE of all classes")
            for one in each.estimates
            if one.name == TOGETHER and np.isfinite(one.value)
        ]
        for shift, one, style, name in both:
            _point(axes, place + shift, one, label=name, **style)
        if not each.confident:
            axes.annotate(
                "doubtful ", (1, place), xycoords=("axes fraction", "data"), ha="right",
                va="center", fontsize=7, color="0.4",
            )  # fmt: skip
    axes.set_yticks(places, [plain_text(name) for name, _ in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("dimension (with its interval)")
    axes.set_title("dimension by class", fontsize=9)
    legend_below(figure, [axes])
    return figure


def _pictures(estimate: Estimate) -> list[tuple[str, Callable[[], Figure]]]:
    """Names of files, and what draws them."""
    seen = cache(lambda: look_at(estimate))
    found: list[tuple[str, Callable[[], Figure]]] = [
        ("ladder.png", lambda: draw_ladder(estimate)),
        ("estimates.png", lambda: draw_estimates(estimate)),
    ]
    if (estimate.workdir / estimate.ladder).is_dir():
        found += [
            ("spectra.png", lambda: draw_spectra(estimate)),
            ("residuals.png", lambda: draw_residuals(seen())),
            ("latents.png", lambda: draw_latents(seen())),
        ]
    if estimate.by_class:
        found.append(("classes.png", lambda: draw_classes(estimate)))
    return found


def draw(estimate: Estimate) -> list[Path]:
    """Draws the figures of an estimate into its folder; one that fails is told of and left out.

    Returns:
        The files that were written. Without its models there are fewer.
    """
    folder = estimate.workdir / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    with mpl.rc_context({**STYLE, "savefig.dpi": DPI}), warnings.catch_warnings():
        # Names of the user's own may have letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph")
        for name, make in _pictures(estimate):
            # The estimate stands without its pictures, whatever is wrong with one.
            try:
                make().savefig(folder / name)
            except Exception as error:
                print(f"warning: {name} could not be drawn ({error})", file=sys.stderr)
            else:
                files.append(folder / name)
    return files
