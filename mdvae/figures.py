"""Figures of a run directory: learned dimensions, spectra, training curves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from mdvae.analysis.dims import threshold_curve
from mdvae.figures_conditional import MAX_PARTED, draw_parts, draw_samples
from mdvae.figures_dims import draw_against_r, draw_starts, has_starts, series_of
from mdvae.figures_rates import MAX_COLUMNS, draw_ladders, draw_trajectories, draw_variances
from mdvae.grid import Cell, Part
from mdvae.loading import LoadedRun
from mdvae.plotting import (
    LINES,
    MARKERS,
    MAX_PANELS,
    STYLE,
    colours_of,
    family_of,
    family_title,
    full_title,
    legend_below,
    make_panels,
)
from mdvae.rundir import Row


def _parted(run: LoadedRun) -> list[tuple[Cell, Part]]:
    """Each part of each cell's data."""
    return [(cell, part) for cell in run.cells for part in cell.parts]


def _seed_lines(run: LoadedRun, cell: Cell, part: Part) -> Iterator[tuple[np.ndarray, Any]]:
    """The finite spectra of a part of a cell's data, with a colour by seed."""
    for seed, colour in zip(run.seeds, colours_of(len(run.seeds)), strict=True):
        if (cell.name, seed) in run.spectra:
            ratios = run.spectrum(cell, seed, part.value)
            if np.all(np.isfinite(ratios)):
                yield ratios, colour


def _part_title(cell: Cell, part: Part) -> str:
    name = f"class {part.value}" if cell.data == "union" else f"t = {part.value}"
    return full_title(cell, name if len(cell.parts) > 1 else "")


def _spectra(run: LoadedRun) -> Figure:
    """Sorted variance ratios of each cell, a line per seed."""
    shown, threshold = _parted(run)[:MAX_PANELS], run.config.ad_threshold
    figure, panels = make_panels(len(shown), 2.1, 1.9, 5, sharey=True)
    panels[0].set_yscale("log")
    for i, (axes, (cell, part)) in enumerate(zip(panels, shown, strict=True)):
        for ratios, colour in _seed_lines(run, cell, part):
            latents = np.arange(1, len(ratios) + 1)
            axes.plot(latents, np.sort(ratios), ".-", color=colour, linewidth=0.8, markersize=4)
        axes.axhline(threshold, color="tab:red", linestyle="--", linewidth=0.8)
        axes.axvline(part.expected_ad + 0.5, color="0.4", linestyle=":", linewidth=1.0)
        axes.set_title(_part_title(cell, part), fontsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 5 == 0:
            axes.set_ylabel("variance ratio")
    handles = [
        Line2D([], [], color="tab:red", linestyle="--", label=f"threshold {threshold:g}"),
        Line2D([], [], color="0.4", linestyle=":", label="expected number of active ones"),
    ]
    figure.supxlabel("latent, sorted (a line per seed; ratio of encoder to prior variance)", size=9)
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _thresholds(run: LoadedRun) -> Figure:
    """AD as a function of the threshold, a line per seed; flat where the threshold is no matter."""
    shown = _parted(run)[:MAX_PANELS]
    highest = max(part.expected_ad for _, part in shown)
    figure, panels = make_panels(len(shown), 2.1, 1.9, 5, sharex=True)
    panels[0].set_xscale("log")
    for i, (axes, (cell, part)) in enumerate(zip(panels, shown, strict=True)):
        for ratios, colour in _seed_lines(run, cell, part):
            edges, counts = threshold_curve(ratios)
            axes.step(edges, [*counts, counts[-1]], where="post", color=colour, linewidth=0.8)
        axes.axvline(run.config.ad_threshold, color="tab:red", linestyle="--", linewidth=0.8)
        axes.axhline(part.expected_ad, color="0.4", linestyle=":", linewidth=1.0)
        # Just under the prior's own level all latents count, which would flatten all else.
        axes.set_ylim(0, min(cell.kappa, 2 * highest) + 0.5)
        axes.set_title(_part_title(cell, part), fontsize=7)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 5 == 0:
            axes.set_ylabel("AD")
    figure.supxlabel(
        "threshold (dashed: the one in use; dotted: expected AD; a line per seed)", size=9
    )
    return figure


def _training(run: LoadedRun) -> Figure:
    """nelbo and gamma over training: columns by kappa and d, lines by r, bands over seeds."""
    families: dict[object, list[Cell]] = {}
    for cell in run.cells:
        families.setdefault(family_of(cell), []).append(cell)
    shown = list(families.values())[:MAX_COLUMNS]
    dimensions = sorted({cell.r for cells in shown for cell in cells})
    colours = dict(zip(dimensions, colours_of(len(dimensions)), strict=True))
    figure = Figure(figsize=(2.6 * len(shown) + 0.8, 4.6), layout="constrained")
    panels = figure.subplots(2, len(shown), squeeze=False, sharex=True)
    for column, cells in enumerate(shown):
        for cell in cells:
            lines = [row for row in run.metrics if row["cell"] == cell.name]
            steps = sorted({row["step"] for row in lines})
            by_step = {step: [row for row in lines if row["step"] == step] for step in steps}
            line = LINES[dimensions.index(cell.r) % len(LINES)]
            for axes, name, change in (
                (panels[0, column], "nelbo", lambda v: v),
                (panels[1, column], "log_gamma", np.exp),
            ):
                values = [
                    [row[name] for row in by_step[step] if row[name] is not None] or [np.nan]
                    for step in steps
                ]
                middle = change(np.array([np.median(v) for v in values]))
                low = change(np.array([np.min(v) for v in values]))
                high = change(np.array([np.max(v) for v in values]))
                axes.plot(
                    steps, middle, color=colours[cell.r], linestyle=line, label=f"r = {cell.r}"
                )
                axes.fill_between(steps, low, high, color=colours[cell.r], alpha=0.15, linewidth=0)
        panels[0, column].set_title(family_title(cells[0]), fontsize=9)
        finite = [line for line in panels[1, column].lines if np.any(np.isfinite(line.get_ydata()))]
        panels[1, column].set_yscale("log" if finite else "linear")
        panels[1, column].set_xlabel("step")
        panels[1, column].xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[0, 0].set_ylabel("nelbo (nats)\nmedian and range over seeds")
    panels[1, 0].set_ylabel("γ")
    legend_below(figure, panels[0], numbered=True)
    return figure


def draw_all(
    run: LoadedRun,
    rows: Sequence[Row],
    by_part: Sequence[Row],
    ladders: Sequence[Row],
    cell: Cell,
    folder: Path,
) -> list[tuple[str, str]]:
    """Draws what the run directory has data for.

    Args:
        rows: the summary.
        by_part: the summary by part of the data, if there are any.
        ladders: rates of ladders of held log gammas, if any.
        cell: whose variances are drawn as a heat map.
        folder: where the PNGs go.

    Returns:
        File name and title of each figure.
    """
    folder.mkdir(exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        if run.results:
            if series_of(run):
                drawn.append(
                    ("ad_against_r.png", "Learned AD against r", draw_against_r(run, rows))
                )
            if has_starts(run):
                title = "Learned AD against the initial log γ"
                drawn.append(("ad_against_start.png", title, draw_starts(run, rows)))
            if by_part:
                drawn.append(("parts.png", "AD by part of the data", draw_parts(run, by_part)))
            drawn.append(("spectra.png", "Spectra of the encoder variances", _spectra(run)))
            drawn.append(("thresholds.png", "AD as a function of the threshold", _thresholds(run)))
            title = f"Encoder variances of {cell.name}"
            seen = any((cell.name, seed) in run.spectra for seed in run.seeds)
            if seen and len(cell.parts) == 1:
                drawn.append(("variances.png", title, draw_variances(run, cell)))
        if ladders:
            drawn.append(("rates.png", "Rates in log γ", draw_ladders(run, ladders)))
        if run.metrics:
            drawn.append(("training.png", "nelbo and γ over training", _training(run)))
            if any(each.log_gamma is None for each in run.cells):
                title = "Loss against log γ over training, and its slope"
                drawn.append(("slopes.png", title, draw_trajectories(run)))
        samples = draw_samples(run)
        if samples is not None:
            drawn.append(("samples.png", "Data and samples of the model", samples))
        for file, _, figure in drawn:
            figure.savefig(folder / file)
    families = len({family_of(cell) for cell in run.cells})
    shown = {
        "spectra.png": (MAX_PANELS, len(_parted(run)), "cells"),
        "thresholds.png": (MAX_PANELS, len(_parted(run)), "cells"),
        "parts.png": (MAX_PARTED, sum(len(cell.parts) > 1 for cell in run.cells), "cells"),
        "training.png": (MAX_COLUMNS, families, "kinds of cells"),
        "slopes.png": (MAX_COLUMNS, families, "kinds of cells"),
        "ad_against_r.png": (len(MARKERS), len(series_of(run)), "kinds of cells"),
    }

    def cut(file: str) -> str:
        most, total, what = shown.get(file, (1, 1, ""))
        return f" (the first {most} of {total} {what})" if total > most else ""

    return [(file, title + cut(file)) for file, title, _ in drawn]
