"""What is known of a table: the models of its ladder, and what neighbours see."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdvae.analysis.dims import largest_gap
from mdvae.analysis.statistics import NAN
from mdvae.settings.grid import Cell
from mdvae.store.loading import LoadedRun

# Begins the note of an opinion that is not of what is left once something is given.
OF_X = "of x alone, whatever is given"
# Nats per latent by which models may differ and still be as good.
AS_GOOD = 0.01


class Rung(NamedTuple):
    """What the models of one kappa show; a number for each seed.

    Attributes:
        nelbo: on held-out samples, nats.
        ad, ad_paper: active dimensions by the largest gap and by the threshold.
        gamma: the variance of what is left, per column.
        codes, codes_low, codes_high: dimension of the codes of active latents by their nearest
            neighbours, calibrated, with its 95 % interval; nan without active latents.
        moving: whether counts still changed over the last part of training.
    """

    kappa: int
    nelbo: tuple[float, ...]
    ad: tuple[int | None, ...]
    ad_paper: tuple[int | None, ...]
    gamma: tuple[float, ...]
    codes: tuple[float, ...]
    codes_low: tuple[float, ...]
    codes_high: tuple[float, ...]
    moving: tuple[bool, ...]


class Evidence(NamedTuple):
    """All that is known of a table.

    Attributes:
        n, d: rows and columns.
        span: principal components that are not nothing: the dimension of the linear span.
        rungs: by kappa, ascending.
        raw: dimension by nearest neighbours as they are.
        neighbours, neighbours_low, neighbours_high: the same, calibrated, and its 95 % interval.
        far: as raw, over wider neighbourhoods (MLE of 100 neighbours).
        local: dimension by local principal components.
        gaussian: held-out negative log density of a normal law of the training rows, nats; nan
            where it has none.
        spacing: median distance to the nearest neighbour.
        thin, thick: dimensions near the rows where they are fewest and most, by neighbours.
        told: whether models were told something of each row, and what is left is asked for.
        on_grid: whether rows are too regular for their two nearest neighbours to say anything.
        settled: whether the chosen rung counted as many before the last part of training, and a
            shorter one came to the same answer.
    """

    n: int
    d: int
    span: int
    rungs: tuple[Rung, ...]
    raw: float
    neighbours: float
    neighbours_low: float
    neighbours_high: float
    far: float
    local: float
    gaussian: float
    spacing: float
    thin: float
    thick: float
    told: bool
    on_grid: bool
    settled: bool


def median(values: Sequence[float | int | None]) -> float:
    """Of the values that there are; nan where there are none."""
    known = [float(value) for value in values if value is not None and np.isfinite(value)]
    return float(np.median(known)) if known else NAN


def rung_at(rungs: Sequence[Rung], kappa: int) -> Rung:
    """The rung of a kappa."""
    return next(rung for rung in rungs if rung.kappa == kappa)


def best_seed(rung: Rung, first: int) -> int:
    """The seed of least held-out nelbo in a rung whose seeds count from `first`."""
    losses = [loss if np.isfinite(loss) else np.inf for loss in rung.nelbo]
    return first + int(np.argmin(losses))


def cell_at(run: LoadedRun, kappa: int) -> Cell:
    """The cell of a kappa in a ladder."""
    return next(cell for cell in run.cells if cell.sizes.kappa == kappa)


def active_latents(run: LoadedRun, cell: str | Cell, seed: int) -> np.ndarray:
    """Places of a model's active latents by the largest gap, [active], those of least ratio first.

    None where there is no clear gap.
    """
    ratios = run.spectrum(cell, seed)
    return np.argsort(ratios)[: largest_gap(ratios, run.config.analysis.ad_min_gap).ad or 0]


def best_rung(rungs: Sequence[Rung]) -> Rung:
    """The rung of least held-out nelbo; of those that are as good, the one of least kappa.

    As good is what the spread over seeds, or a hundredth of a nat per latent, cannot tell apart.
    """
    finite = [rung for rung in rungs if np.isfinite(median(rung.nelbo))]
    if not finite:
        return rungs[0]
    best = min(finite, key=lambda rung: median(rung.nelbo))
    spread = float(np.ptp([v for v in best.nelbo if np.isfinite(v)])) / 2
    level = median(best.nelbo) + max(spread, AS_GOOD * best.kappa)
    return min((r for r in finite if median(r.nelbo) <= level), key=lambda rung: rung.kappa)
