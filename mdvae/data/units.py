"""Units: how x as the networks see it stands to x as its owner has it, own x = mean + scale x.

A decoder of one variance gamma for all columns has no scale of its own, but its training does: log
gamma starts somewhere, and moves by so much a step. So data of any scale are brought to that of
the initial values, by one number for all columns: the shape of the manifold stays what it is, and
a loss in own units follows in closed form.
"""

import math
from typing import Any, NamedTuple

import numpy as np


class Units(NamedTuple):
    """The units of a data set.

    Attributes:
        mean: of each entry of a sample in own units, or 0.
        scale: own units in one unit of the networks.
        log_variance: log of the variance of an entry in own units, mean over entries: what
            log_gamma_init counts from.
        low, high: the least and the largest entry as the networks see it; None where not known.
    """

    mean: np.ndarray | float = 0.0
    scale: float = 1.0
    log_variance: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def log_scale(self) -> float:
        """The log of the scale: what a log density per entry loses in own units."""
        return math.log(self.scale)


OWN = Units()


def to_networks(units: Units, x: Any) -> np.ndarray:
    """Samples in own units, [n, ...], as the networks see them: float32, computed in float64."""
    return ((np.asarray(x, np.float64) - units.mean) / units.scale).astype(np.float32)


def to_own(units: Units, x: Any) -> np.ndarray:
    """The inverse of `to_networks`; float64, or float32 where nothing is to be done."""
    x = np.asarray(x)
    return x if units is OWN else units.mean + units.scale * x.astype(np.float64)
