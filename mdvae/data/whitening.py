"""Whitening: the affine map that gives data zero mean and unit covariance.

An encoder that is fed whitened data sees the small directions of a manifold as large as the others;
without it, most of training goes into growing the weights that tell these apart. The map is fixed
and can be undone by the first layer, so what a model can express, and its loss, stay the same.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Directions below this share of the largest variance are scaled as if they had it: in data that
# lie in a linear subspace, the others hold nothing but rounding.
VARIANCE_FLOOR = 1e-5


class Whitening(NamedTuple):
    """x -> matrix (x - mean).

    Attributes:
        mean: [d].
        matrix: [d, d], symmetric.
    """

    mean: Any
    matrix: Any


def identity(d: int) -> Whitening:
    """The map that changes nothing."""
    return Whitening(jnp.zeros(d), jnp.eye(d))


def fit_whitening(x_DN: np.ndarray) -> Whitening:
    """The symmetric (ZCA) whitening of samples; float32, computed in float64 on the host.

    Of all whitening maps the symmetric one alone does not depend on the signs and the order of the
    eigenvectors. Rows that are constant, such as padding, stay at zero.
    """
    x_DN = np.asarray(x_DN, np.float64)
    mean_D = x_DN.mean(axis=1)
    covariance_DD = np.cov(x_DN, bias=True).reshape(len(x_DN), len(x_DN))
    variances_D, vectors_DD = np.linalg.eigh(covariance_DD)
    floor = max(VARIANCE_FLOOR * variances_D[-1], np.finfo(np.float64).tiny)
    scaled_DD = vectors_DD / np.sqrt(np.maximum(variances_D, 0.0) + floor)
    varies_D = np.diagonal(covariance_DD) > 0.0
    matrix_DD = (scaled_DD @ vectors_DD.T) * np.outer(varies_D, varies_D)
    return Whitening(mean_D.astype(np.float32), matrix_DD.astype(np.float32))


def apply_whitening(whitening: Whitening, x_DB: jax.Array) -> jax.Array:
    """Whitened samples, [d, B]."""
    centred_DB = x_DB - whitening.mean[:, None]
    return jnp.dot(whitening.matrix, centred_DB, precision="highest")
