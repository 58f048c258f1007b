"""Active dimensions from a spectrum: the ratios of encoder to prior variance, one per latent.

A ratio near 0 is a latent that carries information, one near 1 a latent left at the prior.
"""

from typing import NamedTuple

import numpy as np

COUNT_DRAWS = 200


class Gap(NamedTuple):
    """The largest gap of a spectrum.

    Attributes:
        ad: active dimensions below the gap, or None where no gap is wide enough.
        low, high: the thresholds between which the count by threshold is constant at the gap.
        width: log(high / low), nats.
    """

    ad: int | None
    low: float
    high: float
    width: float


def active_dimensions(ratios: np.ndarray, threshold: float) -> int:
    """Counts ratios below a threshold (CVAE-dims, appendix B, with 0.05).

    Args:
        ratios: [kappa].
    """
    return int(np.sum(np.asarray(ratios) < threshold))


def threshold_curve(ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Active dimensions as a function of the threshold.

    Returns:
        The ends of the intervals on which the count is constant, ascending and ending at the
        prior's own level 1, [kappa + 1]; and the count just above each but the last, [kappa].
    """
    edges = np.append(np.sort(np.minimum(np.asarray(ratios, np.float64), 1.0)), 1.0)
    return edges, np.arange(1, len(edges))


def largest_gap(ratios: np.ndarray, min_gap: float) -> Gap:
    """Active dimensions by the largest gap of the sorted log ratios.

    The prior's own level, 1, is the spectrum's top, so that a model which uses all its latents
    is seen as such. Equally, this is the widest interval of thresholds (in logs) on which
    `threshold_curve` is constant.

    Args:
        ratios: [kappa], positive.
        min_gap: least width in nats; below it there is no gap.
    """
    edges, counts = threshold_curve(ratios)
    if not np.all(np.isfinite(edges)) or edges[0] <= 0.0:
        return Gap(None, float("nan"), float("nan"), float("nan"))
    widths = np.diff(np.log(edges))
    best = int(np.argmax(widths))
    width = float(widths[best])
    ad = int(counts[best]) if width >= min_gap else None
    return Gap(ad, float(edges[best]), float(edges[best + 1]), width)


def count_intervals(
    ratio_blocks: np.ndarray, threshold: float, min_gap: float
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """95 % bootstrap intervals of both counts over evaluation samples.

    Args:
        ratio_blocks: [kappa, blocks], ratios averaged over blocks of the samples.

    Returns:
        Lowest and highest count by the threshold, and by the gap rule (None where most draws
        have no gap).
    """
    generator = np.random.default_rng(0)
    n_blocks = ratio_blocks.shape[1]
    picks = generator.integers(n_blocks, size=(COUNT_DRAWS, n_blocks))
    drawn = ratio_blocks[:, picks].mean(axis=2).T
    counts = [active_dimensions(ratios, threshold) for ratios in drawn]
    gaps = [gap for ratios in drawn if (gap := largest_gap(ratios, min_gap).ad) is not None]
    enough = len(gaps) > COUNT_DRAWS / 2
    return _ends(counts), _ends(gaps) if enough else None


def _ends(counts: list[int]) -> tuple[int, int]:
    low, high = np.quantile(counts, (0.025, 0.975), method="nearest")
    return int(low), int(high)
