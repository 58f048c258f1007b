"""Synthetic manifolds: the law, its presets, and independence of padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from mdvae.data.synthetic import (
    AUTHORS_WEIGHTS,
    COMPONENTS,
    draw_manifold,
    lower_root,
    sample,
    tangent_gram,
)
from mdvae.engine.resolution import count_above

KEY = jax.random.key(3)


def draw(r, d, r_max, d_max, n, preset="authors"):
    """A manifold, and n samples of it: x and u."""

    @jax.jit
    def make(r, d):
        manifold = draw_manifold(KEY, r, d, r_max=r_max, d_max=d_max, preset=preset)
        return manifold, *sample(jax.random.key(5), manifold, n)

    return make(np.uint32(r), np.uint32(d))


@pytest.mark.parametrize("preset", ["authors", "paper"])
def test_padding_changes_no_value(preset):
    _, x, u = draw(3, 7, 3, 7, 500, preset)
    _, x_padded, u_padded = draw(3, 7, 8, 12, 500, preset)
    np.testing.assert_allclose(x_padded[:7], x, rtol=2e-6)
    np.testing.assert_array_equal(u_padded[:3], u)
    assert not np.any(x_padded[7:])
    assert not np.any(u_padded[3:])


@pytest.mark.parametrize("preset", ["authors", "paper"])
def test_x_is_a_sigmoid_of_a_projection_of_u(preset):
    manifold, x, u = draw(3, 7, 3, 7, 500, preset)
    logits = np.asarray(manifold.projection_RD).T @ np.asarray(u)
    logits = logits + np.asarray(manifold.bias_D)[:, None]
    np.testing.assert_allclose(x, scipy.special.expit(logits), rtol=1e-5, atol=1e-7)


def test_data_have_dimension_r():
    _, x, _ = draw(3, 9, 5, 9, 2000)
    logits = scipy.special.logit(np.asarray(x, np.float64))
    singular = np.linalg.svd(logits - logits.mean(axis=1, keepdims=True), compute_uv=False)
    assert np.sum(singular > 1e-3 * singular[0]) == 3


@pytest.mark.parametrize(
    ("preset", "weights"),
    [("authors", np.array(AUTHORS_WEIGHTS) / sum(AUTHORS_WEIGHTS)), ("paper", [0.2] * COMPONENTS)],
)
def test_u_follows_the_mixture(preset, weights):
    manifold, _, u = draw(2, 5, 2, 5, 40_000, preset)
    np.testing.assert_allclose(manifold.weights_M, weights, rtol=1e-6)
    noise = float(preset == "authors")
    for row in range(2):
        scales = np.hypot(np.asarray(manifold.scales_RM)[row], noise)
        means = np.asarray(manifold.means_RM)[row]

        def cdf(value, means=means, scales=scales):
            parts = scipy.stats.norm.cdf(np.asarray(value)[..., None], means, scales)
            return parts @ np.asarray(weights)

        assert scipy.stats.kstest(np.asarray(u)[row], cdf).pvalue > 1e-3


def test_presets_differ_in_projection():
    authors, paper = (draw(4, 300, 4, 300, 1, preset)[0] for preset in ("authors", "paper"))
    for values in (authors.projection_RD, authors.bias_D):
        assert scipy.stats.kstest(np.ravel(values), "uniform", (-0.5, 1.0)).pvalue > 1e-3
    assert scipy.stats.kstest(np.ravel(paper.projection_RD), "norm").pvalue > 1e-3
    assert not np.any(paper.bias_D)
    assert not np.any(paper.noise_R)


@pytest.mark.parametrize("told", [0, 2])
def test_tangents_are_singular_values_of_the_jacobian(told):
    """Against JAX's own derivative of the map, and the covariance of many draws of u."""
    r, d = 4, 7
    manifold = draw_manifold(KEY, r, d, r_max=6, d_max=9, preset="authors")
    x_DN, u_RN = sample(jax.random.key(4), manifold, 200_000)
    keep_R = jnp.array([0.0] * told + [1.0] * (r - told) + [0.0] * 2)
    gram_NKK = np.asarray(tangent_gram(manifold, x_DN[:, :5], keep_R))
    covariance = np.cov(np.asarray(u_RN[told:r], np.float64))
    root = np.linalg.cholesky(covariance.reshape(r - told, r - told))

    def x_of(u_R):
        logits_D = jnp.dot(u_R, manifold.projection_RD, precision="highest") + manifold.bias_D
        return jax.nn.sigmoid(logits_D) * manifold.mask_D

    for n in range(5):
        jacobian = np.asarray(jax.jacobian(x_of)(u_RN[:, n]), np.float64)[:, told:r]
        right = np.sort(np.linalg.svd(jacobian @ root, compute_uv=False) ** 2)
        mine = np.linalg.eigvalsh(gram_NKK[n].astype(np.float64))
        assert mine[-(r - told) :] == pytest.approx(right, rel=0.05)
        assert np.all(mine[: -(r - told)] < 1e-6)


def test_a_manifold_has_no_more_directions_than_dimensions():
    """However small gamma is: where eigenvalues were 0, rounding would be above it."""
    r, d = 2, 256
    for seed in range(3):
        manifold = draw_manifold(jax.random.key(seed), r, d, r_max=r, d_max=d, preset="authors")
        x_DN, _ = sample(jax.random.key(9), manifold, 500)
        gram_NKK = tangent_gram(manifold, x_DN, jnp.ones(r))
        assert gram_NKK.shape == (500, r, r)
        assert int(count_above(gram_NKK, jnp.float32(np.exp(-17.0))).max()) == r


def test_lower_root_leaves_out_what_is_zero():
    generator = np.random.default_rng(0)
    covariance = np.cov(generator.normal(size=(3, 50)))
    wide = np.zeros((5, 5), np.float32)
    wide[np.ix_([0, 2, 3], [0, 2, 3])] = covariance
    root = np.asarray(lower_root(jnp.asarray(wide)))
    assert root[np.ix_([0, 2, 3], [0, 2, 3])] == pytest.approx(
        np.linalg.cholesky(covariance), abs=1e-6
    )
    assert not np.any(root[[1, 4]])
    assert not np.any(root[:, [1, 4]])
