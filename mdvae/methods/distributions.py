"""Gaussians over z, [kappa, batch]: samples, divergences and spectra; sums are over latents."""

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.networks.base import Diagonal, Full, Posterior

# Cosines of columns that are orthogonal, in units of rounding, and the most sweeps of rotations
# over all pairs: 32 columns take about eight, 128 fifteen.
ORTHOGONAL, MOST_SWEEPS = 32.0, 40


def sample(posterior: Posterior, noise_KB: jax.Array) -> jax.Array:
    """z_KB from standard normal noise."""
    if isinstance(posterior, Full):
        return posterior.mean + jnp.einsum("ijb,jb->ib", posterior.factor, noise_KB)
    return posterior.mean + jnp.exp(0.5 * posterior.logvar) * noise_KB


def kl_normal(
    mean_q: jax.Array,
    logvar_q: jax.Array,
    mean_p: jax.Array | float = 0.0,
    logvar_p: jax.Array | float = 0.0,
) -> jax.Array:
    """KL(q || p) in nats of scalar Gaussians, elementwise.

    1/2 [s_q/s_p + (m_q - m_p)^2/s_p - 1 + log s_p - log s_q], s the variances; the default p is
    the standard normal prior.
    """
    # A square, so that the compiler sees the exponential that `sample` needs as well.
    ratio = jnp.exp(0.5 * (logvar_q - logvar_p)) ** 2
    squared = (mean_q - mean_p) ** 2 * jnp.exp(-jnp.asarray(logvar_p, mean_q.dtype))
    return 0.5 * (ratio + squared - 1.0 + logvar_p - logvar_q)


def _relative(posterior: Full, prior: Diagonal | None) -> Full:
    """The posterior in units of the prior: its deviation from the mean over the scale."""
    if prior is None:
        return posterior
    scale_KB = jnp.exp(-0.5 * prior.logvar)
    mean_KB = (posterior.mean - prior.mean) * scale_KB
    return Full(mean_KB, posterior.factor * scale_KB[:, None, :])


def kl(posterior: Posterior, prior: Diagonal | None = None) -> jax.Array:
    """KL(q(z | x) || p(z)) of each sample in nats, [batch].

    Args:
        prior: None for N(0, I).
    """
    if isinstance(posterior, Full):
        own = _relative(posterior, prior)
        # log det of a covariance L L^T is twice the sum of the logs of L's diagonal.
        logdet_B = 2.0 * jnp.sum(jnp.log(jnp.abs(_diagonal(own.factor))), axis=0)
        trace_B = jnp.sum(own.factor**2, axis=(0, 1))
        return 0.5 * (trace_B + jnp.sum(own.mean**2, axis=0) - own.mean.shape[0] - logdet_B)
    of_prior = () if prior is None else prior
    return jnp.sum(kl_normal(posterior.mean, posterior.logvar, *of_prior), axis=0)


def _diagonal(factor_KKB: jax.Array) -> jax.Array:
    return jnp.diagonal(factor_KKB, axis1=0, axis2=1).T


def covariance(posterior: Full, prior: Diagonal | None = None) -> jax.Array:
    """Covariances of the encoder in units of the prior, [kappa, kappa, batch]."""
    factor_KKB = _relative(posterior, prior).factor
    return jnp.einsum("ikb,jkb->ijb", factor_KKB, factor_KKB, precision="highest")


def _rounds(n: int) -> np.ndarray:
    """Pairs of n things, [rounds, 2, n / 2], n even: each with each once, all in each round."""
    rest = list(range(1, n))
    found = []
    for _ in range(n - 1):
        order = [0, *rest]
        found.append((order[: n // 2], order[: n // 2 - 1 : -1]))
        rest = rest[1:] + rest[:1]
    return np.array(found, np.int32)


def squared_singular_values(factor_KKB: jax.Array) -> jax.Array:
    """Squared singular values of each sample's matrix, [kappa, batch], in no order.

    By rotations that make columns orthogonal, pair by pair, until all are (one-sided Jacobi; Golub
    and Van Loan, section 8.6). LAPACK's, of many small matrices in a program of several devices of
    a CPU, was seen not to return.
    """
    kappa = factor_KKB.shape[0]
    # A column of zeros, beside an odd number, is never turned.
    columns = jnp.pad(factor_KKB, ((0, 0), (0, kappa % 2), (0, 0)))
    rounds = jnp.asarray(_rounds(kappa + kappa % 2))
    kind = jnp.finfo(factor_KKB.dtype)

    def rotate(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        columns, widest = carry
        first, second = rounds[i]
        a, b = columns[:, first], columns[:, second]
        across, aa, bb = (jnp.sum(x * y, axis=0) for x, y in ((a, b), (a, a), (b, b)))
        still = jnp.abs(across) <= kind.tiny
        slope = (bb - aa) / jnp.where(still, 1.0, 2.0 * across)
        side = jnp.where(slope >= 0, 1.0, -1.0).astype(columns.dtype)
        tangent = jnp.where(still, 0.0, side / (jnp.abs(slope) + jnp.sqrt(1.0 + slope**2)))
        cosine = jax.lax.rsqrt(1.0 + tangent**2)[None]
        sine = tangent[None] * cosine
        columns = columns.at[:, first].set(cosine * a - sine * b)
        columns = columns.at[:, second].set(sine * a + cosine * b)
        angles = jnp.where(still, 0.0, jnp.abs(across) / jnp.sqrt(aa * bb))
        return columns, jnp.maximum(widest, jnp.max(angles))

    def sweep(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        columns, _, done = carry
        none = jnp.zeros((), columns.dtype)
        turned = jax.lax.fori_loop(jnp.int32(0), jnp.int32(len(rounds)), rotate, (columns, none))
        return *turned, done + 1

    def is_turning(carry: tuple[jax.Array, ...]) -> jax.Array:
        _, widest, done = carry
        return (widest > ORTHOGONAL * kind.eps) & (done < MOST_SWEEPS)

    begin = columns, jnp.ones((), columns.dtype), jnp.int32(0)
    columns, _, _ = jax.lax.while_loop(is_turning, sweep, begin)
    return jnp.sum(columns**2, axis=0)[:kappa]


def active_counts(ratio_KB: jax.Array, threshold: float) -> jax.Array:
    """1 where a sample has so many ratios below a threshold, [kappa + 1, batch].

    nan of a model that diverged: not being below a threshold is not inactivity.
    """
    active_B = jnp.sum(ratio_KB < threshold, axis=0, dtype=jnp.int32)
    active_AB = jax.nn.one_hot(active_B, len(ratio_KB) + 1, axis=0, dtype=ratio_KB.dtype)
    finite_B = jnp.all(jnp.isfinite(ratio_KB), axis=0)
    return jnp.where(finite_B[None], active_AB, jnp.nan)


def spectrum(
    posterior: Posterior, prior: Diagonal | None = None, mask_K: jax.Array | None = None
) -> jax.Array:
    """Variances of the encoder over those of the prior, [kappa, batch]; 1 in padded latents.

    Of a full covariance these are its eigenvalues, ascending, the padded ones last.

    Args:
        mask_K: 1 for a true latent, 0 for padding; by default all are true.
    """
    if not isinstance(posterior, Full):
        log_ratio_KB = posterior.logvar if prior is None else posterior.logvar - prior.logvar
        return jnp.exp(log_ratio_KB)
    own = _relative(posterior, prior)
    kappa = own.mean.shape[0]
    mask_K = jnp.ones(kappa, own.mean.dtype) if mask_K is None else mask_K
    # Padding is moved above all true values, whose squares sum to that of the factor's entries, and
    # is counted off again.
    above_B = 2.0 * jnp.sqrt(jnp.sum(own.factor**2, axis=(0, 1))) + 1.0
    padding_KK = jnp.diag(1.0 - mask_K)
    moved_KKB = own.factor + above_B[None, None] * padding_KK[:, :, None]
    # Squares of the factor's singular values: eigenvalues of the product would lose small ones.
    ratios_KB = jnp.sort(squared_singular_values(moved_KKB), axis=0)
    is_true_K = jnp.arange(kappa, dtype=mask_K.dtype) < jnp.sum(mask_K)
    return jnp.where(is_true_K[:, None], ratios_KB, 1.0)
