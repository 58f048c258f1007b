"""The figure of the benchmark of known truths."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.benchmark.truth_tables import OURS, estimate_of, estimators
from mdvae.reports.plotting import STYLE
from mdvae.store.rundir import Row

# Beside ours: names without case, with marker, grey and place above the case's line.
PEERS = {"twonn": ("^", "0.35", 0.26), "mle": ("s", "0.6", -0.26)}
TICKS = (-100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100)


def _peers(names: Sequence[str]) -> dict[str, str]:
    """Which estimator is which peer: the first whose name begins with it."""
    found: dict[str, str] = {}
    for name in names:
        letters = "".join(filter(str.isalnum, name.lower()))
        for peer in PEERS:
            if name != OURS and letters.startswith(peer):
                found.setdefault(peer, name)
    return found


def draw_truth(rows: Sequence[Row], file: Path) -> None:
    """Estimate less truth by case: ours with its interval, TwoNN's and MLE's; a line at the truth.

    Args:
        rows: of truth.csv, at least one; cases stand from above in their order.
        file: the PNG that is written.
    """
    cases = {row["case"]: row["truth"] for row in rows}
    peers = _peers(estimators(rows))
    draws = sorted({row["draw"] for row in rows})
    # Draws of a case lie side by side, within the place of their estimator.
    middle = (len(draws) - 1) / 2
    shift = {draw: 0.09 * (1 - i / middle) if middle else 0.0 for i, draw in enumerate(draws)}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.3 * len(cases) + 1.5), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="black", linewidth=0.8, zorder=1, label="truth")
        place = {case: len(cases) - 1 - i for i, case in enumerate(cases)}
        height = np.array([place[row["case"]] + shift[row["draw"]] for row in rows])
        truth = np.array([row["truth"] for row in rows], float)
        for peer, name in peers.items():
            marker, grey, above = PEERS[peer]
            found = np.array([estimate_of(row, name) for row in rows])
            found[~np.isfinite(found)] = np.nan
            axes.plot(found - truth, height + above, marker, color=grey, markersize=4, label=name)
        ours = np.array([row["dimension"] for row in rows], float)
        ends = np.array([[_end(row, "low"), _end(row, "high")] for row in rows])
        # Drawn as a line of its own: the interval may lie beside the rounded answer.
        axes.hlines(height, *(ends - truth[:, None]).T, color="black", linewidth=1.2)
        doubts = np.array([bool(row["doubts"]) for row in rows])
        for doubted, face, words in ((False, "black", ""), (True, "white", ", in doubt")):
            kept = doubts == doubted
            if kept.any():
                axes.plot(
                    (ours - truth)[kept],
                    height[kept],
                    "o",
                    color="black",
                    markerfacecolor=face,
                    markersize=4.5,
                    label=f"{OURS}, with its interval{words}",
                )
        _finish(axes, cases)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        figure.savefig(file)


def _end(row: Row, name: str) -> float:
    """An end of our interval; our answer where it gives none."""
    value = row.get(name)
    return float(row["dimension"] if value is None else value)


def _finish(axes: Axes, cases: dict[str, int]) -> None:
    """Scales and labels, when all is drawn."""
    names = [f"{case} ({truth})" for case, truth in cases.items()]
    axes.set_yticks(range(len(cases))[::-1], names, fontsize=8)
    axes.set_ylim(-0.6, len(cases) - 0.4)
    low, high = axes.dataLim.intervalx
    low, high = min(1.2 * low, -1.5), max(1.2 * high, 1.5)
    axes.set_xscale("symlog", linthresh=1, linscale=0.8)
    axes.set_xlim(low, high)
    shown = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:+d}" if tick else "0" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("estimate less truth (linear between -1 and +1, logarithmic beyond)")
