"""The kappa-simple VAE of CVAE-dims, Definition 1, with a learned or held scalar log gamma."""

from typing import Any

import jax
import jax.numpy as jnp

from mdvae import distributions, objective
from mdvae.grid import Cell, Group
from mdvae.methods import Batch, Evaluation, Hparams, Info, Method, TrainState
from mdvae.methods.optimiser import one_cycle_adam
from mdvae.networks import Networks, mlp_networks

Params = Any


def cell_networks(cell: Cell) -> Networks:
    """The networks of a cell at its true shapes."""
    return mlp_networks(cell.kappa, cell.d, cell.hidden, cell.activation, cell.output)


def vae(group: Group, steps: int, warmup: float) -> Method:
    """The method for a group's cells.

    Args:
        group: sets the padded widths and the networks' static choices.
        steps, warmup: length of the one-cycle schedule and the fraction in which it rises.
    """
    sample = group.cells[0]
    networks = mlp_networks(group.kappa, group.d, sample.hidden, sample.activation, sample.output)
    optimiser = one_cycle_adam(steps, warmup)

    def init(key: jax.Array, cell: Cell) -> TrainState:
        params = {**cell_networks(cell).init(key), "log_gamma": jnp.zeros(())}
        return TrainState(params, optimiser.init(params), jnp.zeros((), jnp.int32))

    def noise(key: jax.Array, batch_size: int) -> jax.Array:
        return jax.random.normal(key, (group.kappa, batch_size))

    def terms(
        params: Params, x_DB: jax.Array, noise_KB: jax.Array, hparams: Hparams
    ) -> tuple[objective.Terms, jax.Array]:
        mask_K = (jnp.arange(group.kappa, dtype=jnp.float32) < hparams.kappa).astype(x_DB.dtype)
        mask_D = (jnp.arange(group.d, dtype=jnp.float32) < hparams.d).astype(x_DB.dtype)
        mean_KB, logvar_KB = networks.encode(params, x_DB)
        z_KB = distributions.reparameterise(mean_KB, logvar_KB, noise_KB) * mask_K[:, None]
        x_hat_DB = networks.decode(params, z_KB) * mask_D[:, None]
        log_gamma = params["log_gamma"]
        return (
            objective.gaussian_terms(x_DB, x_hat_DB, mean_KB, logvar_KB, log_gamma, hparams.d),
            logvar_KB,
        )

    def loss(
        params: Params, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> tuple[jax.Array, Info]:
        # A held log gamma is a parameter without a gradient, which Adam then leaves alone.
        held = hparams.held
        log_gamma = params["log_gamma"]
        log_gamma = held * jax.lax.stop_gradient(log_gamma) + (1.0 - held) * log_gamma
        example_terms, _ = terms({**params, "log_gamma": log_gamma}, batch["x"], noise_KB, hparams)
        nelbo = jnp.mean(example_terms.nelbo)
        recon, kl = jnp.mean(example_terms.recon), jnp.mean(example_terms.kl)
        return nelbo, Info(nelbo=nelbo, recon=recon, kl=kl, log_gamma=log_gamma)

    def step(
        state: TrainState, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> tuple[TrainState, Info]:
        grads, info = jax.grad(loss, has_aux=True)(state.params, batch, noise_KB, hparams)
        params, opt_state = optimiser.update(
            state.params, grads, state.opt_state, state.step, hparams.learning_rate
        )
        return TrainState(params, opt_state, state.step + 1), info

    def evaluate(
        state: TrainState, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> Evaluation:
        example_terms, logvar_KB = terms(state.params, batch["x"], noise_KB, hparams)
        return Evaluation(
            nelbo=jnp.mean(example_terms.nelbo),
            recon=jnp.mean(example_terms.recon),
            kl=jnp.mean(example_terms.kl),
            log_gamma=state.params["log_gamma"],
            ratios=jnp.mean(jnp.exp(logvar_KB), axis=1),
        )

    return Method(init, noise, step, evaluate, networks.encode, networks.decode)
