"""Method "iwae": importance-weighted autoencoders, a tighter bound; and a config that uses it.

    python -m mdvae.sweep --config examples/iwae.py

The loss of Burda, Grosse and Salakhutdinov (2016), eq. 8: for S samples z_s of q(z | x)

    bound = -log 1/S sum_s w_s,    w_s = p(x | z_s) p(z_s) / q(z_s | x),

which is the negative ELBO for S = 1, and falls to -log p(x) as S grows.

Expected: AD = r = 4 with 1 sample and with 8, whose bound lies below the nelbo. Three minutes on a
busy 2-core CPU.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mdvae.data.base import FEATURE_MAJOR, Batch
from mdvae.methods.base import Method, MethodKind, Numbers, TrainState, networks_of
from mdvae.methods.objective import LOG_2PI, in_own_units
from mdvae.networks.base import Diagonal, Networks, Params, Stats
from mdvae.settings.config import default_config
from mdvae.settings.fields import NUMBER_RULE, ConfigError, Section, number, static, whole
from mdvae.settings.grid import Cell, Group, Named
from mdvae.settings.registry import DATA, METHODS, OPTIMISERS


@dataclasses.dataclass(frozen=True)
class IWAE(Section):
    """Settings of the loss.

    Attributes:
        samples: S, how many z are drawn for each x.
        log_gamma_init: initial value of the decoder's learned log variance.
    """

    samples: int = static(5, whole(1))
    log_gamma_init: float = number(0.0, NUMBER_RULE)


def make(group: Group, steps: int, networks: Networks) -> Method:
    """The method for a group's cells; the first sets what they share."""
    cell, sizes = group.cells[0], group.sizes
    settings: Any = cell.method
    n_samples = settings.samples
    optimiser = OPTIMISERS.find(cell.optimiser.kind).make(cell.optimiser, steps)

    def init(key: jax.Array, cell: Cell) -> TrainState:
        params, stats = networks_of(cell).init(key)
        params = {**params, "log_gamma": jnp.zeros(())}
        return TrainState(params, stats, optimiser.init(params), jnp.zeros((), jnp.int32))

    def start(state: TrainState, numbers: Numbers) -> TrainState:
        return state._replace(params={**state.params, "log_gamma": numbers["log_gamma_init"]})

    def noise(key: jax.Array, batch_size: int) -> jax.Array:
        # The padded axis leads, and samples of the data are last.
        return jax.random.normal(key, (sizes.kappa, n_samples, batch_size))

    def terms(
        params: Params,
        stats: Stats,
        batch: Batch,
        noise_KSB: jax.Array,
        numbers: Numbers,
        train: bool,
    ) -> tuple[dict[str, jax.Array], Stats]:
        """Losses of each example, [batch], in nats; and the ratios of variances, [kappa, batch]."""
        x_DB, d, kappa = batch["x"], numbers["d"], numbers["kappa"]
        # Sums are over true latents and true dimensions of x; padding is left out of them.
        mask_K11 = (jnp.arange(sizes.kappa, dtype=kappa.dtype) < kappa)[:, None, None]
        mask_D1 = (jnp.arange(sizes.d, dtype=d.dtype) < d)[:, None]
        posterior, stats = networks.encode(params, stats, batch, train)
        if not isinstance(posterior, Diagonal):
            raise ConfigError(
                f"networks.kind: {cell.networks.kind!r} is not usable with method"
                f" {cell.method.kind!r}; its encoder must have independent latents, such as 'mlp'"
            )
        mean_K1B, logvar_K1B = posterior.mean[:, None], posterior.logvar[:, None]
        z_KSB = jnp.where(mask_K11, mean_K1B + jnp.exp(0.5 * logvar_K1B) * noise_KSB, 0.0)

        def squared_error(z_KB: jax.Array) -> jax.Array:
            x_hat_DB, _ = networks.decode(params, stats, z_KB, batch, train)
            return jnp.sum(jnp.where(mask_D1, x_DB - x_hat_DB, 0.0) ** 2, axis=0)

        recon_SB = jax.vmap(squared_error, in_axes=1)(z_KSB)
        log_gamma = params["log_gamma"]
        log_likelihood_SB = -0.5 * (recon_SB * jnp.exp(-log_gamma) + d * (log_gamma + LOG_2PI))
        # log p(z) - log q(z | x), of which the constants cancel.
        log_ratio_KSB = 0.5 * (noise_KSB**2 + logvar_K1B - z_KSB**2)
        log_ratio_SB = jnp.sum(jnp.where(mask_K11, log_ratio_KSB, 0.0), axis=0)
        log_weight_SB = log_likelihood_SB + log_ratio_SB
        found = {
            "bound": math.log(n_samples) - jax.nn.logsumexp(log_weight_SB, axis=0),
            "nelbo": -jnp.mean(log_weight_SB, axis=0),
            "recon": jnp.mean(recon_SB, axis=0),
            "ratio": jnp.exp(posterior.logvar),
        }
        return found, stats

    def step(
        state: TrainState, batch: Batch, noise_KSB: jax.Array, numbers: Numbers
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        def loss(params: Params) -> tuple[jax.Array, tuple[dict[str, jax.Array], Stats]]:
            found, stats = terms(params, state.stats, batch, noise_KSB, numbers, train=True)
            info = {name: jnp.mean(found[name]) for name in ("bound", "nelbo", "recon")}
            return info["bound"], ({**info, "log_gamma": params["log_gamma"]}, stats)

        grads, (info, stats) = jax.grad(loss, has_aux=True)(state.params)
        params, opt = optimiser.update(state.params, grads, state.opt, state.step, numbers)
        return TrainState(params, stats, opt, state.step + 1), info

    def score(
        state: TrainState, batch: Batch, noise_KSB: jax.Array, numbers: Numbers
    ) -> dict[str, jax.Array]:
        found, _ = terms(state.params, state.stats, batch, noise_KSB, numbers, train=False)
        return {**found, "log_gamma": state.params["log_gamma"]}

    return Method(
        init=init,
        start=start,
        noise=noise,
        step=step,
        score=score,
        logged=("bound", "nelbo", "recon", "log_gamma"),
        blocks=("nelbo", "recon", "ratio"),
        in_own_units=own_units,
    )


def own_units(values: dict[str, Any], log_scale: float, d: int) -> dict[str, Any]:
    """Means of losses in the units of the data; the bound has those of the nelbo."""
    converted = in_own_units(values, log_scale, d)
    if "bound" in values:
        converted["bound"] = in_own_units({"nelbo": values["bound"]}, log_scale, d)["nelbo"]
    return converted


def check(cell: Cell, named: Named) -> None:
    """Refuses data that are no vectors."""
    if DATA.find(cell.data.kind).sample_axis != FEATURE_MAJOR:
        raise ConfigError(
            f"data.kind: {cell.data.kind!r} is not usable with method {cell.method.kind!r};"
            " it must be data of vectors, such as 'manifold'"
        )


METHODS.add("iwae", MethodKind(settings=IWAE, make=make, check=check))


def get_config() -> ConfigDict:
    """A manifold of Table 1 of CVAE-dims with 1 and 8 samples, two seeds."""
    config = default_config(method="examples.iwae:iwae")
    config.name = "iwae"
    config.grid = ConfigDict({"kappa": (10,), "d": (20,), "r": (4,), "samples": (1, 8)})
    config.update({"seeds": 2, "steps": 5_000, "batch_size": 200})
    return config
