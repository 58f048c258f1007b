"""Rates of Theorem 1 of CVAE-dims: slopes in log gamma, and the dimension that they imply.

For gamma -> 0 a global optimum has 2 nelbo = (d - r) log gamma + O(1), Recon = O(gamma) with
Recon / gamma -> r, active variances O(gamma), inactive ones O(1). Finite networks bend these at
both ends: above, where gamma exceeds what some dimensions vary, these are not yet worth a latent;
below, where the network's own error does not fall with gamma any more. Both flatten Recon, so the
valid window shows in Recon alone, without knowing r: it is where Recon is proportional to gamma.

All functions take NumPy arrays. Levels are log gammas.
"""

from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.stats

from mdvae.analysis.dims import largest_gap

MIN_LEVELS = 3
# How far from 1 the exponent of Recon may be between two neighbouring levels of a window.
EXPONENT_TOLERANCE = 0.15
# How closely gamma must follow its optimum, Recon / d, for a trajectory to count.
SETTLED_TOLERANCE = 0.05
SMOOTHED = 9
# Least change of log gamma (nats) along a settled trajectory from which a slope is read.
MIN_SPAN = 0.25
DRAWS = 500
PIECES = 10
QUANTILES = (0.025, 0.975)
NAN = float("nan")


class Estimate(NamedTuple):
    """A value with a 95 % interval from a bootstrap; nan where unknown."""

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
        window: the valid levels, or None where there are too few; then all estimates are nan.
        nelbo: slope of 2 nelbo; theory d - r.
        recon: slope of log Recon; theory 1.
        active, inactive: slopes of the mean log variance ratio; theory 1 and 0.
        r_hat_slope: d - nelbo.
        r_hat_recon: mean of Recon / gamma.
    """

    window: Window | None
    nelbo: Estimate
    recon: Estimate
    active: Estimate
    inactive: Estimate
    r_hat_slope: Estimate
    r_hat_recon: Estimate


class TrajectoryRates(NamedTuple):
    """The loss slope along training with a learned, falling gamma.

    Attributes:
        first: index of the first step of the settled end, or None where there is none.
        span: change of log gamma over it.
        r_hat: d minus the slope of 2 nelbo in log gamma over it; its interval is from a bootstrap
            of contiguous pieces of the trajectory.
    """

    first: int | None
    span: float
    r_hat: Estimate


def fit_slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares slope of y against x, over the last axis of y.

    Args:
        x: [levels].
        y: [..., levels].
    """
    centred = x - x.mean()
    return (y * centred).sum(axis=-1) / (centred**2).sum()


def _student(n_seeds: int) -> float:
    return float(scipy.stats.t.ppf(QUANTILES[1], n_seeds - 1))


def _exponent(levels: np.ndarray, log_recon_SL: np.ndarray) -> tuple[float, float]:
    """Slope of log Recon over some levels: mean over seeds, and half of its 95 % interval."""
    slopes = fit_slope(levels, log_recon_SL)
    n_seeds = len(slopes)
    if n_seeds == 1:
        return float(slopes[0]), 0.0
    half = _student(n_seeds) * slopes.std(ddof=1) / n_seeds**0.5
    return float(slopes.mean()), float(half)


def select_window(levels: np.ndarray, log_recon_SL: np.ndarray) -> Window | None:
    """Where Recon is proportional to gamma, as the theorem has it.

    A candidate is at least `MIN_LEVELS` neighbouring levels between which all local exponents
    d log Recon / d log gamma are within `EXPONENT_TOLERANCE` of 1.

    Args:
        levels: [levels], ascending.
        log_recon_SL: [seeds, levels], log of the mean reconstruction error.

    Returns:
        The longest candidate over which the exponent cannot be told from 1 (its 95 % interval
        over seeds contains 1), at the smallest gammas if there are several; otherwise the
        candidate whose exponent is closest to 1; None where there is no candidate.
    """
    exponents = np.diff(log_recon_SL.mean(axis=0)) / np.diff(levels)
    good = np.abs(exponents - 1.0) <= EXPONENT_TOLERANCE
    candidates = [
        Window(first, last)
        for first in range(len(levels))
        for last in range(first + MIN_LEVELS - 1, len(levels))
        if np.all(good[first:last])
    ]

    def distance(window: Window) -> tuple[float, float]:
        part = slice(window.first, window.last + 1)
        exponent, half = _exponent(levels[part], log_recon_SL[:, part])
        return abs(exponent - 1.0), half

    proportional = [window for window in candidates if np.subtract(*distance(window)) <= 0]
    if proportional:
        return max(proportional, key=lambda window: (window.last - window.first, -window.first))
    return min(candidates, key=lambda window: distance(window)[0], default=None)


def split_variances(ratios_LK: np.ndarray, min_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean log variance ratio of the active and of the inactive latents at each level.

    Active are those below the largest gap; nan where there is none, or none inactive.
    """
    active, inactive = [], []
    for ratios_K in ratios_LK:
        ad = largest_gap(ratios_K, min_gap).ad or 0
        logs = np.sort(np.log(ratios_K))
        active.append(logs[:ad].mean() if ad else NAN)
        inactive.append(logs[ad:].mean() if ad < len(logs) else NAN)
    return np.array(active), np.array(inactive)


def _estimate(value: float, draws: np.ndarray, n_seeds: int = 1) -> Estimate:
    """A value with the interval that its bootstrap draws imply.

    Draws of few seeds spread too little, by sqrt((n - 1) / n), and their percentiles know nothing
    of the heavy tails of so small a sample: with three seeds the percentile interval is almost
    three times too narrow. Over seeds, the draws' standard deviation is therefore corrected and
    taken with Student's quantile (Hesterberg, 2015, section 4.2, has the same factors).
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) < 2 or not np.isfinite(value):
        return Estimate(float(value), NAN, NAN)
    if n_seeds == 1:
        low, high = np.quantile(finite, QUANTILES)
    else:
        half = _student(n_seeds) * finite.std() * (n_seeds / (n_seeds - 1)) ** 0.5
        low, high = value - half, value + half
    return Estimate(float(value), float(low), float(high))


def _bootstrap(values_SLB: np.ndarray, statistic, generator: np.random.Generator) -> Estimate:
    """Bootstrap over seeds, and over blocks of samples within a seed (the same at all levels)."""
    n_seeds, _, n_blocks = values_SLB.shape
    draws = []
    for _ in range(DRAWS):
        seeds = generator.integers(n_seeds, size=n_seeds)
        blocks = generator.integers(n_blocks, size=(n_seeds, n_blocks))
        drawn = np.take_along_axis(values_SLB[seeds], blocks[:, None, :], axis=2)
        draws.append(statistic(drawn.mean(axis=2)))
    return _estimate(statistic(values_SLB.mean(axis=2)), np.array(draws), n_seeds)


def ladder_rates(
    levels: np.ndarray,
    nelbo_SLB: np.ndarray,
    recon_SLB: np.ndarray,
    ratios_SLK: np.ndarray,
    d: int,
    min_gap: float,
) -> LadderRates:
    """Rates and dimensions from a ladder.

    Args:
        levels: [levels] log gammas, ascending.
        nelbo_SLB: nats, [seeds, levels, blocks of evaluation samples].
        recon_SLB: squared error, the same shape.
        ratios_SLK: encoder over prior variance, [seeds, levels, kappa].
        d: width of the data.
        min_gap: see `dims.largest_gap`.
    """
    window = select_window(levels, np.log(recon_SLB.mean(axis=2)))
    if window is None:
        return LadderRates(None, *(UNKNOWN,) * 6)
    generator = np.random.default_rng(0)
    part = slice(window.first, window.last + 1)
    inside = levels[part]

    def slope(values_SL: np.ndarray) -> float:
        return float(fit_slope(inside, values_SL).mean())

    def split(index: int) -> Estimate:
        logs = np.array([split_variances(rows[part], min_gap)[index] for rows in ratios_SLK])
        slopes = fit_slope(inside, logs)
        slopes = slopes[np.isfinite(slopes)]
        if len(slopes) == 0:
            return UNKNOWN
        if len(slopes) == 1:
            return Estimate(float(slopes[0]), NAN, NAN)
        picks = generator.integers(len(slopes), size=(DRAWS, len(slopes)))
        return _estimate(slopes.mean(), slopes[picks].mean(axis=1), len(slopes))

    nelbo = _bootstrap(nelbo_SLB[:, part], lambda v: slope(2.0 * v), generator)
    scaled = recon_SLB[:, part] / np.exp(inside)[:, None]
    return LadderRates(
        window=window,
        nelbo=nelbo,
        recon=_bootstrap(recon_SLB[:, part], lambda v: slope(np.log(v)), generator),
        active=split(0),
        inactive=split(1),
        r_hat_slope=Estimate(d - nelbo.value, d - nelbo.high, d - nelbo.low),
        r_hat_recon=_bootstrap(scaled, lambda v: float(v.mean()), generator),
    )


def trajectory_rates(
    log_gamma: np.ndarray, nelbo: np.ndarray, recon: np.ndarray, d: int
) -> TrajectoryRates:
    """The loss slope along one ordinary training run.

    While gamma is learned, its optimum given the rest is Recon / d, and Recon / gamma says nothing
    about r. But once gamma follows its optimum, 2 nelbo moves along (d - r) log gamma as the
    network goes on improving; so the settled end of training is one more ladder.

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
        return TrajectoryRates(None, 0.0, UNKNOWN)
    x, y = log_gamma[first:], 2.0 * nelbo[first:]
    span = float(np.ptp(x))
    if not span >= MIN_SPAN:
        return TrajectoryRates(None, span, UNKNOWN)
    pieces = np.array_split(np.arange(len(x)), min(PIECES, len(x)))
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        picks = generator.integers(len(pieces), size=len(pieces))
        index = np.concatenate([pieces[pick] for pick in picks])
        draws.append(d - fit_slope(x[index], y[index]) if np.ptp(x[index]) > 0 else NAN)
    r_hat = float(d - fit_slope(x, y))
    return TrajectoryRates(first, span, _estimate(r_hat, np.array(draws)))
