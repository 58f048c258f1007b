"""Latents drawn from the posteriors of a trained model."""

import jax
import numpy as np

from mdvae.data.keys import purpose_key
from mdvae.methods.base import networks_of
from mdvae.networks.base import Full, depends_on_others
from mdvae.settings.registry import DATA
from mdvae.store.models import Model
from mdvae.store.programs import PIECE


def _noise(shape: tuple[int, ...], seed: int, draw: int) -> np.ndarray:
    key = jax.random.fold_in(purpose_key(seed, "latents"), draw)
    return np.asarray(jax.random.normal(key, shape))


def draw_latents(mean: np.ndarray, sd: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """z ~ q(z | x) for each sample, [n, kappa]; another `draw` gives other z."""
    return mean + sd * _noise(mean.shape, seed, draw)


def prior_of(model: Model, c: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and log variance of p(z | c) of each row of c [n, c], [n, kappa]; None of N(0, I)."""
    networks = networks_of(model.cell)
    if networks.prior is None:
        return None
    axis = DATA.find(model.cell.data.kind).sample_axis
    batch = {"c": np.moveaxis(np.asarray(c, np.float32), 0, axis)}
    prior = jax.jit(networks.prior)(model.params, batch)
    return np.asarray(prior.mean).T, np.asarray(prior.logvar).T


def draw_posterior(
    model: Model, x: np.ndarray, c: np.ndarray | None = None, draw: int = 0
) -> np.ndarray:
    """z ~ q(z | x, c) of each sample, [n, kappa]; the code itself where its variance is 0.

    Args:
        x, c: rows, see `models.Model`.
        draw: another number gives other z.
    """
    if model.cell.value("covariance") != "full":
        mean, logvar = model.encode(x, c)
        return draw_latents(mean, np.exp(0.5 * logvar), model.seed, draw)
    # Covariances are wide: they are not kept of all samples at once.
    piece = len(x) if depends_on_others(model.cell) else PIECE
    noise = _noise((len(x), model.cell.sizes.kappa), model.seed, draw)
    drawn = []
    for i in range(0, len(x), piece):
        rows = slice(i, i + piece)
        posterior = model.posterior(x[rows], None if c is None else c[rows])
        assert isinstance(posterior, Full)
        turned = np.einsum("ijb,bj->bi", np.asarray(posterior.factor), noise[rows])
        drawn.append(np.asarray(posterior.mean).T + turned)
    return np.concatenate(drawn)
