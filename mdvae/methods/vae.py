"""The kappa-simple VAE and CVAE of CVAE-dims, Definition 1, log gamma a learned or held scalar."""

from typing import Any

import jax
import jax.numpy as jnp

from mdvae import distributions, objective
from mdvae.data.whitening import apply_whitening, identity
from mdvae.grid import Cell, Group
from mdvae.methods import INPUT, Batch, Evaluation, Hparams, Info, Method, TrainState
from mdvae.methods.optimiser import one_cycle_adam
from mdvae.networks import Networks, conditional_networks, mlp_networks
from mdvae.networks.mlp import Condition, Gaussian

Params = Any


def cell_networks(cell: Cell) -> Networks:
    """The networks of a cell at its true shapes."""
    return sized_networks(cell, cell.kappa, cell.d, cell.c)


def sized_networks(cell: Cell, kappa: int, d: int, c: int) -> Networks:
    """A cell's kind of networks at other widths, such as its group's padded ones.

    Where the encoder is fed whitened data, params have the map as "input": the identity at first.
    """
    layers = (cell.hidden, cell.decoder_hidden, cell.activation, cell.output)
    if cell.model == "vae":
        mlp = mlp_networks(kappa, d, *layers)
    else:
        options = (cell.prior, cell.attention, cell.attention_hidden)
        mlp = conditional_networks(kappa, d, c, *layers, *options)
    if cell.encoder_input == "raw":
        return mlp

    def init(key: jax.Array) -> Params:
        return {**mlp.init(key), INPUT: identity(d)}

    def encode(params: Params, x_DB: jax.Array, c_CB: Condition = None) -> Gaussian:
        return mlp.encode(params, apply_whitening(params[INPUT], x_DB), c_CB)

    return mlp._replace(init=init, encode=encode)


def _split(params: Params) -> tuple[Params, Params]:
    """Params that are trained, and those that are not."""
    trained = {name: part for name, part in params.items() if name != INPUT}
    return trained, {name: part for name, part in params.items() if name == INPUT}


def vae(group: Group, steps: int, warmup: float, ad_threshold: float = 0.05) -> Method:
    """The method for a group's cells.

    Args:
        group: sets the padded widths and the networks' static choices.
        steps, warmup: length of the one-cycle schedule and the fraction in which it rises.
        ad_threshold: of the paper's rule, for the count of each sample.
    """
    networks = sized_networks(group.cells[0], group.kappa, group.d, group.c)
    optimiser = one_cycle_adam(steps, warmup)

    def init(key: jax.Array, cell: Cell) -> TrainState:
        params = {**cell_networks(cell).init(key), "log_gamma": jnp.zeros(())}
        return TrainState(params, optimiser.init(_split(params)[0]), jnp.zeros((), jnp.int32))

    def noise(key: jax.Array, batch_size: int) -> jax.Array:
        return jax.random.normal(key, (group.kappa, batch_size))

    def terms(
        params: Params, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> tuple[objective.Terms, jax.Array]:
        """The loss, and the log ratio of encoder to prior variance."""
        x_DB, c_CB = batch["x"], batch.get("c")
        mask_K = (jnp.arange(group.kappa, dtype=jnp.float32) < hparams.kappa).astype(x_DB.dtype)
        mask_D = (jnp.arange(group.d, dtype=jnp.float32) < hparams.d).astype(x_DB.dtype)
        mean_KB, logvar_KB = networks.encode(params, x_DB, c_CB)
        z_KB = distributions.reparameterise(mean_KB, logvar_KB, noise_KB) * mask_K[:, None]
        x_hat_DB = networks.decode(params, z_KB, c_CB) * mask_D[:, None]
        shape = (params["log_gamma"], hparams.d)
        if networks.prior is None:
            return objective.gaussian_terms(x_DB, x_hat_DB, mean_KB, logvar_KB, *shape), logvar_KB
        prior = networks.prior(params, c_CB)
        found = objective.gaussian_terms(x_DB, x_hat_DB, mean_KB, logvar_KB, *shape, *prior)
        return found, logvar_KB - prior[1]

    def loss(
        trained: Params,
        fixed: Params,
        batch: Batch,
        noise_KB: jax.Array,
        hparams: Hparams,
        kl_weight: jax.Array,
    ) -> tuple[jax.Array, Info]:
        params = {**trained, **fixed}
        example_terms, _ = terms(params, batch, noise_KB, hparams)
        nelbo = jnp.mean(example_terms.nelbo)
        recon, kl = jnp.mean(example_terms.recon), jnp.mean(example_terms.kl)
        info = Info(nelbo=nelbo, recon=recon, kl=kl, log_gamma=params["log_gamma"])
        return jnp.mean(example_terms.nll) + kl_weight * kl, info

    def ramp(step: jax.Array, fraction: jax.Array) -> jax.Array:
        """Rises from 0 to 1 in a fraction of the steps; 1 throughout for the fraction 0."""
        risen = step.astype(jnp.float32) / (steps * jnp.maximum(fraction, 1e-9))
        return jnp.where(fraction > 0, jnp.minimum(risen, 1.0), 1.0)

    def step(
        state: TrainState, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> tuple[TrainState, Info]:
        share = ramp(state.step, hparams.anneal)
        level = hparams.log_gamma_init + share * (hparams.log_gamma - hparams.log_gamma_init)
        is_held = hparams.held > 0
        log_gamma = jnp.where(is_held, level, state.params["log_gamma"])
        trained, fixed = _split({**state.params, "log_gamma": log_gamma})
        kl_weight = ramp(state.step, hparams.kl_warmup)
        gradient = jax.grad(loss, has_aux=True)
        grads, info = gradient(trained, fixed, batch, noise_KB, hparams, kl_weight)
        # A parameter whose gradient is always zero is left alone by Adam.
        grads["log_gamma"] = jnp.where(is_held, 0.0, grads["log_gamma"])
        trained, opt_state = optimiser.update(
            trained, grads, state.opt_state, state.step, hparams.learning_rate
        )
        return TrainState({**trained, **fixed}, opt_state, state.step + 1), info

    def evaluate(
        state: TrainState, batch: Batch, noise_KB: jax.Array, hparams: Hparams
    ) -> Evaluation:
        example_terms, log_ratio_KB = terms(state.params, batch, noise_KB, hparams)
        ratio_KB = jnp.exp(log_ratio_KB)
        active_B = jnp.sum(ratio_KB < ad_threshold, axis=0, dtype=jnp.int32)
        fractions_A = jnp.mean(jax.nn.one_hot(active_B, group.kappa + 1), axis=0)
        return Evaluation(
            nelbo=jnp.mean(example_terms.nelbo),
            recon=jnp.mean(example_terms.recon),
            kl=jnp.mean(example_terms.kl),
            log_gamma=state.params["log_gamma"],
            ratios=jnp.mean(ratio_KB, axis=1),
            # A run that diverged has no counts; not being below a threshold is not inactivity.
            ad_fractions=jnp.where(jnp.all(jnp.isfinite(ratio_KB)), fractions_A, jnp.nan),
            nelbo_blocks=objective.block_means(example_terms.nelbo),
            recon_blocks=objective.block_means(example_terms.recon),
            ratio_blocks=objective.block_means(ratio_KB),
        )

    return Method(init, noise, step, evaluate, networks)
