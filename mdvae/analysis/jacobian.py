"""The encoder's covariance beside the one that the decoder's Jacobian says is best.

To first order around the posterior mean a decoder of variance gamma with the Jacobian J makes
Sigma_z = (I + J^T J / gamma)^-1 the best covariance of q(z | x) (TwoStage, eq. 83). All here is in
units of the prior, z = mean + scale * u with u ~ N(0, I): so it holds of learned priors too, as
(P^-1 + J^T J / gamma)^-1 does in units of z. Of diagonal covariances the best is
1 / (1 + (J^T J)_jj / gamma), at most the diagonal of Sigma_z: it is where the loss, linear in the
variances but for their logs, has no slope.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.methods import distributions
from mdvae.methods.base import networks_of
from mdvae.networks.base import Full, depends_on_others
from mdvae.networks.convolutions import by_compiler
from mdvae.settings.grid import Sizes
from mdvae.settings.registry import DATA, NETWORKS
from mdvae.store.models import Model


class Codes(NamedTuple):
    """q(z | x, c) of some samples, and the prior's scale there.

    Attributes:
        mean: [n, kappa], of z.
        covariance: [n, kappa, kappa], in units of the prior.
        scale: [n, kappa], standard deviations of the prior.
    """

    mean: np.ndarray
    covariance: np.ndarray
    scale: np.ndarray


class Identity(NamedTuple):
    """Variances of the encoder and what they should be, in units of the prior, [n, kappa] each.

    Of a diagonal covariance these are its entries, latent by latent; of a full one eigenvalues,
    ascending.

    Attributes:
        measured: of the encoder.
        by_jacobian: of Sigma_z.
        best_diagonal: of the best diagonal covariance; None of a full one.
        error: of each full covariance from Sigma_z in the Frobenius norm, over that of Sigma_z,
            [n]; None of a diagonal one.
    """

    measured: np.ndarray
    by_jacobian: np.ndarray
    best_diagonal: np.ndarray | None
    error: np.ndarray | None


def can_be_differentiated(model: Model) -> bool:
    """Whether images are decoded one by one: not by the statistics of the batch they are in."""
    return not depends_on_others(model.cell) and "log_gamma" in model.params


def _condition(model: Model, c: np.ndarray | None) -> Batch:
    if c is None:
        return {}
    axis = DATA.find(model.cell.data.kind).sample_axis
    return {"c": jnp.asarray(np.moveaxis(np.asarray(c, np.float32), 0, axis))}


def codes(model: Model, x: np.ndarray, c: np.ndarray | None = None) -> Codes:
    """The posterior of each sample; x [n, ...] and c [n, c] as `Model` has them."""
    networks = networks_of(model.cell)
    # Where nothing is compiled as a whole, the compiler's own convolutions are the quicker ones.
    with by_compiler():
        posterior = model.posterior(x, c)
    prior = None
    if networks.prior is not None:
        prior = networks.prior(model.params, _condition(model, c))
    if isinstance(posterior, Full):
        covariance_NKK = np.moveaxis(np.asarray(distributions.covariance(posterior, prior)), 2, 0)
    else:
        ratio_NK = np.asarray(distributions.spectrum(posterior, prior)).T
        covariance_NKK = ratio_NK[:, :, None] * np.eye(ratio_NK.shape[1])
    mean_NK = np.asarray(posterior.mean).T
    scale_NK = np.ones_like(mean_NK) if prior is None else np.exp(0.5 * np.asarray(prior.logvar)).T
    return Codes(mean_NK, np.asarray(covariance_NKK, np.float64), np.asarray(scale_NK, np.float64))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _columns(
    settings: Any, sizes: Sizes, params: PyTree, stats: PyTree, batch: Batch, z_KB: jax.Array
) -> jax.Array:
    """Derivatives of all samples in one latent after the other, [kappa, *x of the networks].

    Where it is not by the batch's statistics a sample depends on its own z alone, so that moving
    all of them at once gives a column of each one's Jacobian.
    """
    networks = NETWORKS.find(settings.kind).make(settings, sizes)

    def decode(z_KB: jax.Array) -> jax.Array:
        return networks.decode(params, stats, z_KB, batch, False)[0]

    def column(direction_K: jax.Array) -> jax.Array:
        moved_KB = jnp.broadcast_to(direction_K[:, None], z_KB.shape)
        return jax.jvp(decode, (z_KB,), (moved_KB,))[1]

    # Convolutions of their own on a CPU have a gradient, but no forward derivative.
    with by_compiler():
        return jax.lax.map(column, jnp.eye(len(z_KB), dtype=z_KB.dtype))


def jacobian(model: Model, z: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
    """Derivatives of the decoder's mean in z, as the networks see x, [n, d, kappa].

    Args:
        z: [n, kappa].
        c: [n, c], held.
    """
    z_KB = jnp.asarray(np.asarray(z, np.float32).T)
    given = (model.params, model.stats, _condition(model, c), z_KB)
    columns = np.asarray(_columns(model.cell.networks, model.cell.sizes, *given))
    axis = DATA.find(model.cell.data.kind).sample_axis % (columns.ndim - 1)
    columns_KND = np.moveaxis(columns, axis + 1, 1).reshape(len(columns), len(z), -1)
    return np.moveaxis(columns_KND, 0, -1)


def best_covariance(jacobian: np.ndarray, gamma: float) -> np.ndarray:
    """(I + J^T J / gamma)^-1 of each sample, [n, kappa, kappa], from J [n, d, kappa]."""
    return np.linalg.inv(_precision(jacobian, gamma))


def best_variances(jacobian: np.ndarray, gamma: float) -> np.ndarray:
    """Of the best diagonal covariance of each sample, [n, kappa], from J [n, d, kappa]."""
    return 1.0 / np.diagonal(_precision(jacobian, gamma), axis1=1, axis2=2)


def _precision(jacobian: np.ndarray, gamma: float) -> np.ndarray:
    jacobian = np.asarray(jacobian, np.float64)
    return np.eye(jacobian.shape[-1]) + np.swapaxes(jacobian, 1, 2) @ jacobian / gamma


def identity_of(model: Model, x: np.ndarray, c: np.ndarray | None = None) -> Identity:
    """The encoder's variances of some samples beside those that the decoder's Jacobian says."""
    found = codes(model, x, c)
    scaled = jacobian(model, found.mean, c) * found.scale[:, None, :]
    gamma = float(np.exp(np.float64(model.params["log_gamma"])))
    best = best_covariance(scaled, gamma)
    if model.cell.value("covariance") == "full":
        error = np.linalg.norm(found.covariance - best, axis=(1, 2))
        return Identity(
            measured=np.linalg.eigvalsh(found.covariance),
            by_jacobian=np.linalg.eigvalsh(best),
            best_diagonal=None,
            error=error / np.linalg.norm(best, axis=(1, 2)),
        )
    return Identity(
        measured=np.diagonal(found.covariance, axis1=1, axis2=2),
        by_jacobian=np.diagonal(best, axis1=1, axis2=2),
        best_diagonal=best_variances(scaled, gamma),
        error=None,
    )


def decades_off(measured: np.ndarray, said: np.ndarray, threshold: float) -> float:
    """Median of |log10(measured / said)| over samples and active latents; nan without any.

    Args:
        measured, said: [n, kappa]; latents are active whose mean measured variance is below the
            threshold.
    """
    is_active_K = measured.mean(axis=0) < threshold
    off = np.abs(np.log10(measured[:, is_active_K] / said[:, is_active_K]))
    return float(np.median(off)) if off.size else float("nan")


def correlation(measured: np.ndarray, said: np.ndarray) -> float:
    """Correlation of the logs of two arrays of one shape; nan where one is constant."""
    logs = np.log(measured).ravel(), np.log(said).ravel()
    if min(np.ptp(each) for each in logs) == 0.0:
        return float("nan")
    return float(np.corrcoef(*logs)[0, 1])
