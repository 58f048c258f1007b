"""Rates of Theorem 1 of CVAE-dims: slopes in log gamma, and the dimension that they imply.

For gamma -> 0 a global optimum has 2 nelbo = (d - r) log gamma + O(1), Recon = O(gamma) with
Recon / gamma -> r, active variances O(gamma), inactive ones O(1). Finite networks bend these at
both ends: above, where gamma exceeds what some dimensions vary, these are not yet worth a latent;
below, where the network's own error does not fall with gamma any more. Both flatten Recon, so the
valid window shows in Recon alone, without knowing r: it is where Recon is nearly proportional to
gamma.

How nearly is a fixed tolerance, not a test: a test accepts what too few seeds cannot refute. The
exponent is reported as it is. What is left of its deviation from 1 is no noise; see `_with_error`.

All functions take NumPy arrays. Levels are log gammas.
"""

from typing import NamedTuple

import numpy as np
import scipy.ndimage

from mdvae.analysis.dims import largest_gap
from mdvae.analysis.statistics import NAN, mean_interval

MIN_LEVELS = 3
# Least width of a window, nats of log gamma.
MIN_WIDTH = 1.0
# How far from 1 the exponent of Recon may be between neighbouring levels, and over a window.
LOCAL_TOLERANCE = 0.15
TOTAL_TOLERANCE = 0.05
# How closely gamma must follow its optimum, Recon / d, for a trajectory to count.
SETTLED_TOLERANCE = 0.05
SMOOTHED = 9
# Least change of log gamma (nats) along a settled trajectory from which a slope is read.
MIN_SPAN = 0.25


class Estimate(NamedTuple):
    """A value with a 95 % interval over seeds; nan where unknown, as an interval of one seed is."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(NAN, NAN, NAN)


class Window(NamedTuple):
    """Levels first to last (both included) of an ascending ladder."""

    first: int
    last: int


class LadderRates(NamedTuple):
    """Rates over a ladder of held log gammas.

    Attributes:
        window: the valid levels, or None where there are none; then all estimates are nan.
        nelbo: slope of 2 nelbo; theory d - r.
        recon: slope of log Recon, the exponent; theory 1.
        active, inactive: slopes of the mean log variance ratio; theory 1 and 0.
        r_hat_slope: d - nelbo.
        r_hat_recon: mean of Recon / gamma.
        slopes_S, recons_S: r_hat_slope and r_hat_recon of each seed, in the window of all.
    """

    window: Window | None
    nelbo: Estimate
    recon: Estimate
    active: Estimate
    inactive: Estimate
    r_hat_slope: Estimate
    r_hat_recon: Estimate
    slopes_S: np.ndarray
    recons_S: np.ndarray


class TrajectoryRates(NamedTuple):
    """The loss slope along training with a learned, falling gamma.

    Attributes:
        first: index of the first step of the settled end, or None where there is none.
        r_hat: d minus the slope of 2 nelbo in log gamma over it; nan where there is none.
    """

    first: int | None
    r_hat: float


def fit_slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of y against x, over the last axis of y.

    Args:
        x: [levels].
        y: [..., levels].
    """
    centred = x - x.mean()
    return (y * centred).sum(axis=-1) / (centred**2).sum()


def select_window(levels: np.ndarray, log_recon_SL: np.ndarray) -> Window | None:
    """Where Recon is proportional to gamma up to fixed tolerances, as the theorem has it.

    Args:
        levels: [levels], ascending.
        log_recon_SL: [seeds, levels], log of the mean reconstruction error; one window is chosen
            for all seeds, from their mean.

    Returns:
        The longest run of neighbouring levels, `MIN_LEVELS` or more over `MIN_WIDTH` or more,
        between which all local exponents d log Recon / d log gamma are within `LOCAL_TOLERANCE`
        of 1, and whose own exponent is within `TOTAL_TOLERANCE` of 1; that at the smallest gammas
        if there are several; None where there is none.
    """
    mean_L = log_recon_SL.mean(axis=0)
    good = np.abs(np.diff(mean_L) / np.diff(levels) - 1.0) <= LOCAL_TOLERANCE

    def is_valid(first: int, last: int) -> bool:
        part = slice(first, last + 1)
        wide = levels[last] - levels[first] >= MIN_WIDTH - 1e-9
        if not (wide and np.all(good[first:last])):
            return False
        return bool(abs(fit_slope(levels[part], mean_L[part]) - 1.0) <= TOTAL_TOLERANCE)

    valid = [
        Window(first, last)
        for first in range(len(levels))
        for last in range(first + MIN_LEVELS - 1, len(levels))
        if is_valid(first, last)
    ]
    return max(valid, key=lambda each: (each.last - each.first, -each.first), default=None)


def split_variances(ratios_LK: np.ndarray, min_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log variance ratio of the active and of the inactive latents at each level.

    Active are those below the largest gap; nan where there is no gap, or no latent of the kind.
    """
    active, inactive = [], []
    for ratios_K in ratios_LK:
        ad = largest_gap(ratios_K, min_gap).ad
        logs = np.sort(np.log(ratios_K))
        active.append(logs[:ad].mean() if ad else NAN)
        inactive.append(NAN if ad is None or ad == len(logs) else logs[ad:].mean())
    return np.array(active), np.array(inactive)


def _over_seeds(values_S: np.ndarray) -> Estimate:
    """Mean and interval by Student's t of one value a seed; unknown where any seed has none."""
    if not np.all(np.isfinite(values_S)):
        return UNKNOWN
    found = mean_interval(values_S.tolist())
    return Estimate(found.mean, found.low, found.high)


def _with_error(values_S: np.ndarray, corrected_S: np.ndarray) -> Estimate:
    """A mean whose interval allows for the network's own error, which no number of seeds reduces.

    An error that does not fall with gamma makes every seed's estimate too large. The interval
    therefore reaches over that of the corrected estimates too, in which such an error is fitted.
    """
    plain, corrected = _over_seeds(values_S), _over_seeds(corrected_S)
    low, high = min(plain.low, corrected.low), max(plain.high, corrected.high)
    return Estimate(plain.value, low, high)


def ladder_rates(
    levels: np.ndarray,
    nelbo_SL: np.ndarray,
    recon_SL: np.ndarray,
    ratios_SLK: np.ndarray,
    d: int,
    min_gap: float,
) -> LadderRates:
    """Rates and dimensions from a ladder.

    Args:
        levels: [levels] log gammas, ascending.
        nelbo_SL: nats, [seeds, levels].
        recon_SL: squared error, the same shape.
        ratios_SLK: encoder over prior variance, [seeds, levels, kappa].
        d: width of the data.
        min_gap: see `dims.largest_gap`.
    """
    window = select_window(levels, np.log(recon_SL))
    if window is None:
        none_S = np.full(len(recon_SL), NAN)
        unknown = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
        return LadderRates(None, *unknown, none_S, none_S)
    part = slice(window.first, window.last + 1)
    inside = levels[part]
    recon_SL, nelbo_SL = recon_SL[:, part], nelbo_SL[:, part]
    scaled_SL = recon_SL / np.exp(inside)
    # Recon / gamma = r + error / gamma.
    inverse = np.exp(-inside)
    error_S = fit_slope(inverse, scaled_SL)
    excess_SL = error_S[:, None] * inverse
    slopes_S = fit_slope(inside, 2.0 * nelbo_SL)
    split = [split_variances(rows[part], min_gap) for rows in ratios_SLK]
    active_S, inactive_S = (
        fit_slope(inside, np.array([each[k] for each in split])) for k in range(2)
    )
    # At an optimum d(2 nelbo) / d log gamma = d - Recon / gamma, the error included.
    nelbo = _with_error(slopes_S, slopes_S + excess_SL.mean(axis=1))
    recons_S = scaled_SL.mean(axis=1)
    return LadderRates(
        window=window,
        nelbo=nelbo,
        recon=_over_seeds(fit_slope(inside, np.log(recon_SL))),
        active=_over_seeds(active_S),
        inactive=_over_seeds(inactive_S),
        r_hat_slope=Estimate(d - nelbo.value, d - nelbo.high, d - nelbo.low),
        r_hat_recon=_with_error(recons_S, recons_S - excess_SL.mean(axis=1)),
        slopes_S=d - slopes_S,
        recons_S=recons_S,
    )


def trajectory_rates(
    log_gamma: np.ndarray, nelbo: np.ndarray, recon: np.ndarray, d: int
) -> TrajectoryRates:
    """The loss slope along one ordinary training run, a heuristic without an interval.

    While gamma is learned, its optimum given the rest is Recon / d, and Recon / gamma says nothing
    about r. But once gamma follows its optimum, 2 nelbo moves along (d - r) log gamma as the
    network goes on improving; so the settled end of training is one more ladder. How the network
    improves is not random over its steps, and no bootstrap of them gives an interval that covers.

    Args:
        log_gamma, nelbo, recon: [steps], as logged; nats, squared error.
        d: width of the data.
    """
    ratio = recon / (d * np.exp(log_gamma))
    # The median over neighbours: gamma trembles at large learning rates without having left.
    smooth = scipy.ndimage.median_filter(ratio, size=SMOOTHED, mode="nearest")
    off = np.abs(smooth - 1.0) > SETTLED_TOLERANCE
    first = int(np.flatnonzero(off)[-1]) + 1 if np.any(off) else 0
    if len(log_gamma) - first < MIN_LEVELS:
        return TrajectoryRates(None, NAN)
    x, y = log_gamma[first:], 2.0 * nelbo[first:]
    if not np.ptp(x) >= MIN_SPAN:
        return TrajectoryRates(None, NAN)
    return TrajectoryRates(first, float(d - fit_slope(x, y)))
