"""Lines of metrics of the runs of a slice."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from mdvae.settings.grid import Cell, Run
from mdvae.store.rundir import HELD_OUT

Means = dict[str, np.ndarray]


def lines_of(
    runs: Sequence[Run], means: Means, scores: Means, step: int, over: Collection[int]
) -> list[dict[str, Any]]:
    """The lines of a step.

    Args:
        means: over the steps since the last line, [runs].
        scores: on held-out samples; {} where none are due.
        over: runs that have had their last line.
    """
    scores = {HELD_OUT + name: values for name, values in scores.items()}
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "step": step,
            **{name: _plain(run.cell, values[i]) for name, values in (means | scores).items()},
        }
        for i, run in enumerate(runs)
        if i not in over
    ]


def _plain(cell: Cell, value: Any) -> float | list[float | None]:
    """A mean for a line of metrics; of those by latent a list, without padding."""
    if np.ndim(value) == 0:
        return float(value)
    own = [float(each) for each in value[: cell.sizes.kappa]]
    return [each if np.isfinite(each) else None for each in own]


def median_of(means: Means) -> str:
    """The median over runs of what is logged first."""
    name, values = next(iter(means.items()))
    finite = values[np.isfinite(values)]
    return f"median {name} " + (f"{np.median(finite):.2f}" if finite.size else "not finite")
