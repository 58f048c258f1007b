"""The figure of how much training the right answer takes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdvae.benchmark.answer_tables import OUTSIDE, RULES, budgets_of, cells_of, rule_name, shares_of
from mdvae.reports.plotting import STYLE, colours_of
from mdvae.store.rundir import Row

# By rule: marker and line.
LOOKS = {"ad": ("s", "--"), "ad_gap": ("o", "-")}


def draw_answer(rows: Sequence[Row], file: Path) -> None:
    """Right runs over samples, by rule with intervals; then the same by cell and budget.

    Args:
        rows: of answer.csv, at least one.
        file: the PNG that is written.
    """
    cells, budgets = cells_of(rows), budgets_of(rows)
    widths = [4.0, *(1.2 + 0.55 * len(budgets) for _ in RULES)]
    height = max(3.4, 0.24 * len(cells) + 1.2)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(sum(widths) + 1.2, height), layout="constrained")
        first, *others = figure.subplots(1, 1 + len(RULES), width_ratios=widths)
        _curves(first, rows, {row["steps"]: row["samples"] for row in rows})
        for axes, rule in zip(others, RULES, strict=True):
            _squares(axes, rows, rule, labelled=axes is others[0])
        if any(not row["in_theorem"] for row in rows):
            figure.supxlabel(OUTSIDE.replace("\\", ""), fontsize=7)
        figure.savefig(file)


def _curves(axes: Axes, rows: Sequence[Row], samples: dict[int, int]) -> None:
    """The fraction of right runs against samples a run."""
    for rule, colour in zip(RULES, colours_of(len(RULES)), strict=True):
        shares = {k: share for k, share in shares_of(rows, rule).items() if share.fraction.n}
        x = np.array([samples[steps] for steps in shares]) / 1e6
        y = np.array([share.fraction.mean for share in shares.values()])
        low = np.array([share.fraction.low for share in shares.values()])
        high = np.array([share.fraction.high for share in shares.values()])
        marker, line = LOOKS[rule]
        axes.plot(
            x, y, line, marker=marker, markersize=4, color=colour, label=rule_name(rows, rule)
        )
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    ticks = [value / 1e6 for value in sorted(set(samples.values()))]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("million samples a run")
    axes.set_ylabel("fraction of runs with the expected AD\n(95 % interval)")
    axes.legend(loc="lower right")


def _squares(axes: Axes, rows: Sequence[Row], rule: str, labelled: bool) -> None:
    """How many runs of each cell are right at each budget."""
    cells, budgets = cells_of(rows), budgets_of(rows)
    hits = np.array([[by[steps][rule] for steps in budgets] for by in cells.values()])
    runs = np.array([[by[steps]["runs"] for steps in budgets] for by in cells.values()])
    part = hits / runs
    axes.imshow(part, cmap="Greys", vmin=0.0, vmax=1.25, aspect="auto")
    for i, j in np.ndindex(*part.shape):
        colour = "white" if part[i, j] > 0.6 else "black"
        text = f"{hits[i, j]}/{runs[i, j]}"
        axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
    axes.grid(False)
    last = [by[budgets[-1]] for by in cells.values()]
    names = [row["cell"] + ("" if row["in_theorem"] else "*") for row in last]
    axes.set_yticks(range(len(cells)), names if labelled else [""] * len(names), fontsize=7)
    samples = {row["steps"]: row["samples"] for row in rows}
    words = [f"{samples[steps] / 1e6:.3g}" for steps in budgets]
    axes.set_xticks(range(len(budgets)), words)
    axes.tick_params(length=0)
    axes.set_xlabel("million samples a run")
    axes.set_title(f"runs as expected by {rule_name(rows, rule)}", fontsize=9)
