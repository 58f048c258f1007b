"""Means with intervals over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special

CONFIDENCE = 0.95
NAN = float("nan")


class Interval(NamedTuple):
    """A mean over seeds; what cannot be known from so few values is nan.

    Attributes:
        mean, sd: of the values, sd with n - 1.
        low, high: 95 % interval of the mean, by Student's t.
        n: how many values there are.
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int


def student_factor(freedom: int) -> float:
    """What a standard error is multiplied by for a 95 % interval, by Student's t."""
    return float(scipy.special.stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def mean_interval(values: Sequence[float | None]) -> Interval:
    """Mean, standard deviation and 95 % interval; values that are not finite are left out."""
    kept = np.array([value for value in values if value is not None], np.float64)
    kept = kept[np.isfinite(kept)]
    if len(kept) == 0:
        return Interval(NAN, NAN, NAN, NAN, 0)
    mean = float(kept.mean())
    if len(kept) == 1:
        return Interval(mean, NAN, NAN, NAN, 1)
    sd = float(kept.std(ddof=1))
    half = student_factor(len(kept) - 1) * sd / len(kept) ** 0.5
    return Interval(mean, sd, mean - half, mean + half, len(kept))


def fraction_interval(successes: int, total: int) -> Interval:
    """A fraction and its 95 % Wilson score interval; sd is that of one trial."""
    if total == 0:
        return Interval(NAN, NAN, NAN, NAN, 0)
    fraction = successes / total
    sd = (fraction * (1 - fraction)) ** 0.5
    # By hand: scipy.stats has it, and takes a second to import, which every command would wait for.
    z = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2))
    weight = z**2 / total
    centre = (fraction + weight / 2) / (1 + weight)
    half = z * (sd**2 / total + weight / (4 * total)) ** 0.5 / (1 + weight)
    return Interval(fraction, sd, max(centre - half, 0.0), min(centre + half, 1.0), total)
