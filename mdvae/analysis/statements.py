"""What the paper on the polarised regime of iVAEs says of latents, as numbers of each.

All are free of the scale of a latent and of its prior (see `mdvae.analysis.polarised`).

In what follows mu and sigma are mean and standard deviation of q(z | x, u), dagger (+) means those
of the prior p(z | u); the paper's sigma is the variance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from mdvae.analysis.polarised import ACTIVE, MIXED, PASSIVE, Latents, marks_of
from mdvae.analysis.statistics import NAN


class Draws(NamedTuple):
    """One latent of all samples, [n] each, with a draw of z from posterior and prior.

    Attributes:
        active, passive: for which samples it is so.
        said: the variance of the posterior over the prior's that eq. 11 says, of the first samples;
            of none where it says nothing.
    """

    own: Latents
    z: np.ndarray
    prior_z: np.ndarray
    active: np.ndarray
    passive: np.ndarray
    said: np.ndarray


def _median(x: np.ndarray) -> float:
    return float(np.median(x)) if len(x) else NAN


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _ks(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two distributions' shares below a value (Kolmogorov-Smirnov)."""
    import scipy.stats  # here, as it takes a second, which every command would wait for

    return float(scipy.stats.ks_2samp(a, b, method="asymp").statistic)  # type: ignore[attr-defined]


def _w1(a: np.ndarray, b: np.ndarray, scale: float) -> float:
    import scipy.stats

    return float(scipy.stats.wasserstein_distance(a, b)) / scale


def _mean_shift(d: Draws) -> float:
    return abs(float(d.own.mean.mean() - d.own.prior_mean.mean())) / _rms(d.own.prior_sd)


def _mean_spread(d: Draws) -> float:
    spread = np.var(d.own.prior_mean)
    return abs(float(np.var(d.own.mean) - spread)) / float(spread + _rms(d.own.prior_sd) ** 2)


def _near_mean(d: Draws) -> float:
    away = np.abs(d.own.mean - d.own.prior_mean) / d.own.prior_sd
    return _median(away[d.passive])


def _near_sd(d: Draws) -> float:
    return _median(np.abs(np.log(d.own.ratio[d.passive])))


def _near_draw(d: Draws) -> float:
    import scipy.stats

    standard = ((d.z - d.own.prior_mean) / d.own.prior_sd)[d.passive]
    if not len(standard):
        return NAN
    return float(scipy.stats.ks_1samp(standard, ndtr, method="asymp").statistic)  # type: ignore[attr-defined]


def _as_stated(d: Draws) -> float:
    """z against c p(z+) + (1 - c) p(mu), both over all samples; c the share of passive ones."""
    share = np.mean(d.passive) / max(np.mean(d.passive | d.active), 1.0 / len(d.z))
    values = np.sort(np.concatenate([d.z, d.prior_z, d.own.mean]))

    def below(x: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.sort(x), values, side="right") / len(x)

    mixture = share * below(d.prior_z) + (1.0 - share) * below(d.own.mean)
    return float(np.abs(below(d.z) - mixture).max())


def _by_sample(d: Draws) -> float:
    """z against z+ where the latent is passive and mu where it is not."""
    return _ks(d.z, np.where(d.passive, d.prior_z, d.own.mean))


class Statement(NamedTuple):
    """Something the paper says of the latents of a class, as a number that is to be small.

    Attributes:
        column: of the table of latents.
        source: where it is said.
        of: the class; "" of all.
        words: what is said, and by what number.
        limit: up to which it is taken to hold.
        value: of a latent.
    """

    column: str
    source: str
    of: str
    words: str
    limit: float
    value: Callable[[Draws], float]


STATEMENTS = (
    Statement(
        "p1_mean", "Prop. 1 (i)", PASSIVE, "μ ≈ μ†: median abs(μ - μ†) / σ†", 0.1, _near_mean
    ),
    Statement("p1_sd", "Prop. 1 (i)", PASSIVE, "σ ≈ σ†: median abs(log(σ / σ†))", 0.1, _near_sd),
    Statement(
        "p1_z", "Prop. 1 (i)", PASSIVE, "z ≈ z†: KS of (z - μ†) / σ†, N(0, 1)", 0.05, _near_draw
    ),
    Statement(
        "p2_mean", "Prop. 2", PASSIVE, "means of μ and μ†: difference / rms σ†", 0.1, _mean_shift
    ),
    Statement(
        "p2_var",
        "Prop. 2",
        PASSIVE,
        "Var μ ≈ Var μ†, or ≪: difference / (Var μ† + mean σ†²)",
        0.1,
        _mean_spread,
    ),
    Statement(
        "p3_mean",
        "Prop. 3 (i)",
        PASSIVE,
        "means of σ and σ†: difference / mean σ†",
        0.1,
        lambda d: abs(float(d.own.sd.mean() / d.own.prior_sd.mean()) - 1.0),
    ),
    Statement(
        "p3_var",
        "Prop. 3 (i)",
        PASSIVE,
        "spreads of σ and σ†: difference / mean σ†",
        0.1,
        lambda d: abs(float(d.own.sd.std() - d.own.prior_sd.std()) / float(d.own.prior_sd.mean())),
    ),
    Statement(
        "t2_passive",
        "Theorem 2 (i)",
        PASSIVE,
        "p(z) ≈ p(z†): KS",
        0.05,
        lambda d: _ks(d.z, d.prior_z),
    ),
    Statement(
        "t2_passive_w1",
        "Theorem 2 (i)",
        PASSIVE,
        "p(z) ≈ p(z†): Wasserstein-1 / sd of z†",
        0.1,
        lambda d: _w1(d.z, d.prior_z, float(d.prior_z.std())),
    ),
    Statement(
        "p1_active",
        "Prop. 1 (ii)",
        ACTIVE,
        "σ ≪, z ≈ μ: mean σ² / Var z",
        0.05,
        lambda d: _rms(d.own.sd) ** 2 / float(np.var(d.z)),
    ),
    Statement(
        "p3_small",
        "Prop. 3 (ii)",
        ACTIVE,
        "mean of σ² ≪: / mean σ†²",
        0.05,
        lambda d: (_rms(d.own.sd) / _rms(d.own.prior_sd)) ** 2,
    ),
    Statement(
        "p3_steady",
        "Prop. 3 (ii)",
        ACTIVE,
        "Var σ ≪: / mean σ†²",
        0.05,
        lambda d: float(np.var(d.own.sd)) / _rms(d.own.prior_sd) ** 2,
    ),
    Statement(
        "t2_active",
        "Theorem 2 (ii)",
        ACTIVE,
        "p(z) ≈ p(μ): KS",
        0.05,
        lambda d: _ks(d.z, d.own.mean),
    ),
    Statement(
        "t2_active_w1",
        "Theorem 2 (ii)",
        ACTIVE,
        "p(z) ≈ p(μ): Wasserstein-1 / sd of z",
        0.1,
        lambda d: _w1(d.z, d.own.mean, float(d.z.std())),
    ),
    Statement(
        "t2_mixed",
        "Theorem 2 (iii)",
        MIXED,
        "p(z) = c p(z†) + (1 - c) p(μ), as stated: KS",
        0.05,
        _as_stated,
    ),
    Statement(
        "t2_mixed_own",
        "Theorem 2 (iii)",
        MIXED,
        "z† where passive, μ where active: KS",
        0.05,
        _by_sample,
    ),
    Statement(
        "eq11",
        "eq. 11",
        "",
        "σ² = 1 / (1 / σ†² + (JᵀWJ)ⱼⱼ), W = 1 / γ or 1 / (p (1 - p)): median abs(log₁₀ of ratio)",
        0.1,
        lambda d: _median(np.abs(np.log10(d.own.ratio[: len(d.said)] ** 2 / d.said))),
    ),
)


def draws_of(
    own: Latents, settings: Any, noise_2N: np.ndarray, said: np.ndarray | None = None
) -> Draws:
    """A latent with draws of z.

    Args:
        own: of one latent.
        settings: see `polarised.marks_of`.
        noise_2N: standard normal, for posterior and prior.
        said: see `Draws`.
    """
    z = own.mean + own.sd * noise_2N[0]
    prior_z = own.prior_mean + own.prior_sd * noise_2N[1]
    said = np.empty(0) if said is None else said
    return Draws(own, z, prior_z, *marks_of(own.ratio, settings), said)


def measures_of(draws: Draws) -> dict[str, float]:
    """All statements' numbers of a latent, whatever its class; nan where they are of no sample."""
    return {statement.column: statement.value(draws) for statement in STATEMENTS}
