"""The polarised regime, latent by latent: active, passive or mixed.

After "The Polarised Regime of identifiable Variational Autoencoders". A latent z_j whose prior is
learned has no scale of its own: z_j and its prior may be multiplied by any number, and the model is
the same. So all here is relative to the prior's deviation, or to the spread of z_j, and a latent is
in use for a sample where sd / prior sd of its posterior is low, not where sd is.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis.settings import Dimensions
from mdvae.settings.fields import BETWEEN, ConfigError, Rule, fixed, is_number, whole

ACTIVE, PASSIVE, MIXED, UNCLEAR = CLASSES = "active", "passive", "mixed", "unclear"
# Of the bootstrap of samples, by which classes are told how sure they are.
DRAWS = 1_000

_MARGIN = Rule(lambda v: is_number(v) and 0 < v < 0.5, "a fraction between 0 and 0.5", float)


@dataclasses.dataclass(frozen=True)
class Polarised(Dimensions):
    """How latents are classified; see `Dimensions` for how they are counted besides.

    A latent is active for a sample whose ratio of standard deviations, posterior over prior, is
    below active_below, and passive from passive_from on.

    Attributes:
        active_below, passive_from: see above; the latter is no less.
        margin: a latent is active, or passive, that is so for all samples but this share, and mixed
            where both are more than it; where too many samples are neither it is unclear.
        examples: held-out samples that are looked at (published: 10,000).
    """

    active_below: float = fixed(0.3, BETWEEN, decides=False)
    passive_from: float = fixed(0.5, BETWEEN, decides=False)
    margin: float = fixed(0.15, _MARGIN, decides=False)
    examples: int = fixed(10_000, whole(100), decides=False)

    def completed(self) -> "Polarised":
        """The same; samples are not both active and passive."""
        if self.passive_from < self.active_below:
            raise ConfigError(
                f"analysis.passive_from: {self.passive_from:g} is not usable with active_below ="
                f" {self.active_below:g}; it must be no less"
            )
        return self


class Latents(NamedTuple):
    """Posterior and prior of some samples, [n, kappa] each: means and standard deviations."""

    mean: np.ndarray
    sd: np.ndarray
    prior_mean: np.ndarray
    prior_sd: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Of standard deviations, posterior over prior."""
        return self.sd / self.prior_sd

    def of(self, j: int) -> "Latents":
        """One latent, [n] each."""
        return Latents(*(each[:, j] for each in self))


class Class(NamedTuple):
    """How a latent is classified.

    Attributes:
        regime: one of CLASSES.
        active, passive: shares of samples for which it is so, each with the ends of its 95 %
            interval for other samples.
        sure: the share of resamples of the samples that classify it alike.
    """

    regime: str
    active: float
    active_low: float
    active_high: float
    passive: float
    passive_low: float
    passive_high: float
    sure: float


def _named(active: np.ndarray, passive: np.ndarray, margin: float) -> np.ndarray:
    """The places in CLASSES of shares of samples."""
    return np.select(
        [active >= 1.0 - margin, passive >= 1.0 - margin, (active > margin) & (passive > margin)],
        [CLASSES.index(name) for name in (ACTIVE, PASSIVE, MIXED)],
        CLASSES.index(UNCLEAR),
    )


def marks_of(ratio_N: np.ndarray, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """For which samples a latent is active, and for which passive, [n] of bool each.

    Args:
        ratio_N: of standard deviations, posterior over prior.
        settings: with the fields of `Polarised`.
    """
    return ratio_N < settings.active_below, ratio_N >= settings.passive_from


def classify(ratio_N: np.ndarray, settings: Any, generator: np.random.Generator) -> Class:
    """The class of a latent from its ratios; see `marks_of`.

    Args:
        generator: of the bootstrap.
    """
    n = len(ratio_N)
    active, passive = (float(np.mean(each)) for each in marks_of(ratio_N, settings))
    # Resampling samples with two marks is drawing how many have each.
    chances = np.array([active, passive, max(0.0, 1.0 - active - passive)])
    drawn = generator.multinomial(n, chances / chances.sum(), DRAWS) / n
    name = int(_named(np.array(active), np.array(passive), settings.margin))
    again = _named(drawn[:, 0], drawn[:, 1], settings.margin)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0).tolist()
    return Class(
        CLASSES[name],
        *(active, low[0], high[0]),
        *(passive, low[1], high[1]),
        float(np.mean(again == name)),
    )
