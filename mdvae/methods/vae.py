"""Method "vae": the kappa-simple VAE and CVAE of CVAE-dims, Definition 1.

log gamma, the log variance of the decoder, is a learned or a held scalar.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.methods import distributions, objective
from mdvae.methods.base import (
    Method,
    MethodKind,
    Numbers,
    TrainState,
    networks_of,
    numbers_of,
    units_of,
)
from mdvae.methods.optimiser import ramp, repeated
from mdvae.methods.padding import true_entries, true_latents
from mdvae.networks.base import Diagonal, Full, Networks, Params, Posterior, Stats
from mdvae.settings.fields import (
    ABOVE_ZERO,
    FRACTION,
    NUMBER_RULE,
    OPTIONAL_NUMBER,
    ConfigError,
    Section,
    number,
    one_of,
    static,
)
from mdvae.settings.grid import Cell, Group, Named
from mdvae.settings.registry import DATA, METHODS, OPTIMISERS

MODELS = ("vae", "cvae")
ADAM, OWN_RATE, CLOSED = "adam", "own_rate", "closed"
GAMMAS = (ADAM, OWN_RATE, CLOSED)


@dataclasses.dataclass(frozen=True)
class VAE(Section):
    """Settings of the model and of its loss.

    Attributes:
        model: "vae", which ignores the condition, or "cvae".
        log_gamma_init: initial value of the decoder's learned log variance; where data state their
            own variance (kind "array"), above the log of that.
        log_gamma: the level at which it is held; None where it is learned.
        anneal: where log gamma is held, the fraction of the steps in which it moves linearly from
            log_gamma_init to its level; 0 holds it there from the start.
        gamma: how it is learned: by "adam", a parameter like others (published); by "own_rate", one
            with gamma_rate times their rate; or "closed", the least of the loss of each batch, mean
            ||x - x_hat||^2 / d. A model is then evaluated with a running mean of its log.
        gamma_rate: see gamma.
        kl_warmup: fraction of the steps in which the weight of the KL rises from 0 to beta.
        beta: weight of the KL in the loss (Higgins et al., 2017); 1 is the ELBO. The nelbo that is
            reported has the weight 1 whatever beta is.
    """

    model: str = static("vae", one_of(MODELS))
    log_gamma_init: float = number(0.0, NUMBER_RULE)
    log_gamma: float | None = number(None, OPTIONAL_NUMBER)
    anneal: float = number(0.0, FRACTION, paced_but=0.0)
    gamma: str = static(ADAM, one_of(GAMMAS))
    gamma_rate: float = number(1.0, ABOVE_ZERO)
    kl_warmup: float = number(0.0, FRACTION, paced_but=0.0)
    beta: float = number(1.0, ABOVE_ZERO)


class Forward(NamedTuple):
    """What a pass through the networks has given.

    Attributes:
        prior: None for N(0, I).
        mask_K: 1 for a true latent, 0 for padding.
        log_gamma: that the loss is at.
        stats: new ones of the networks.
    """

    posterior: Posterior
    prior: Diagonal | None
    mask_K: jax.Array
    log_gamma: jax.Array
    stats: Stats


def make(group: Group, steps: int, networks: Networks) -> Method:
    """The method for a group's cells; the first sets what they share."""
    cell, sizes = group.cells[0], group.sizes
    # Each predicted point of a sequence has a latent; networks have those of all points and samples
    # in one axis, points first. What is said of a sample is the mean over its points.
    points = max(sizes.points, 1)
    optimiser = OPTIMISERS.find(cell.optimiser.kind).make(cell.optimiser, steps)
    if networks.twice:
        optimiser = repeated(optimiser, networks.twice)
    sample_axis = DATA.find(cell.data.kind).sample_axis
    threshold = cell.analysis.ad_threshold
    gamma = cell.value("gamma")
    is_full = cell.value("covariance") == "full"

    def init(key: jax.Array, cell: Cell) -> TrainState:
        params, stats = networks_of(cell).init(key)
        params = {**params, "log_gamma": jnp.zeros(())}
        return TrainState(params, stats, optimiser.init(params), jnp.zeros((), jnp.int32))

    def start(state: TrainState, numbers: Numbers) -> TrainState:
        return state._replace(params={**state.params, "log_gamma": numbers["log_gamma_start"]})

    def noise(key: jax.Array, batch_size: int) -> jax.Array:
        by_point = (sizes.points,) if sizes.points else ()
        return jax.random.normal(key, (sizes.kappa, *by_point, batch_size))

    def of_samples(values: jax.Array) -> jax.Array:
        """Means over points, [..., batch], from [..., points * batch]."""
        return jnp.mean(values.reshape(*values.shape[:-1], points, -1), axis=-2)

    def terms(
        params: Params,
        stats: Stats,
        batch: Batch,
        noise_KB: jax.Array,
        numbers: Numbers,
        train: bool,
    ) -> tuple[objective.Terms, Forward]:
        """The loss, and what the networks gave for it."""
        x = batch["x"]
        mask_K = true_latents(noise_KB, numbers["kappa"])
        posterior, stats = networks.encode(params, stats, batch, train)
        normal_KB = noise_KB.reshape(sizes.kappa, -1)
        z_KB = distributions.sample(posterior, normal_KB) * mask_K[:, None]
        x_hat, stats = networks.decode(params, stats, z_KB, batch, train)
        x_hat = x_hat * true_entries(x_hat, numbers["d"], sample_axis)
        recon_B = objective.squared_error(x, x_hat, sample_axis) / points
        prior = None if networks.prior is None else networks.prior(params, batch)
        kl_B = of_samples(distributions.kl(posterior, prior))
        log_gamma = params["log_gamma"]
        if gamma == CLOSED and train:
            log_gamma = objective.best_log_gamma(recon_B, numbers["d"])
        found = objective.gaussian_terms(recon_B, kl_B, log_gamma, numbers["d"])
        return found, Forward(posterior, prior, mask_K, log_gamma, stats)

    def loss(
        params: Params,
        stats: Stats,
        batch: Batch,
        noise_KB: jax.Array,
        numbers: Numbers,
        kl_weight: jax.Array,
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Stats]]:
        found, forward = terms(params, stats, batch, noise_KB, numbers, train=True)
        kl = jnp.mean(found.kl)
        info = {
            "nelbo": jnp.mean(found.nelbo),
            "recon": jnp.mean(found.recon),
            "kl": kl,
            "log_gamma": forward.log_gamma,
        }
        return jnp.mean(found.nll) + kl_weight * kl, (info, forward.stats)

    def step(
        state: TrainState, batch: Batch, noise_KB: jax.Array, numbers: Numbers
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        risen = ramp(state.step, steps, numbers["anneal"])
        start, end = numbers["log_gamma_init"], numbers["log_gamma"]
        is_held = numbers["held"] > 0
        log_gamma = jnp.where(is_held, start + risen * (end - start), state.params["log_gamma"])
        params = {**state.params, "log_gamma": log_gamma}
        kl_weight = numbers["beta"] * ramp(state.step, steps, numbers["kl_warmup"])
        gradient = jax.grad(loss, has_aux=True)
        grads, (info, stats) = gradient(params, state.stats, batch, noise_KB, numbers, kl_weight)
        # A parameter whose gradient is always zero is left alone by Adam.
        grads["log_gamma"] = jnp.where(is_held, 0.0, grads["log_gamma"])
        updated, opt = optimiser.update(params, grads, state.opt, state.step, numbers)
        if gamma == OWN_RATE:
            moved = updated["log_gamma"] - log_gamma
            updated["log_gamma"] = log_gamma + numbers["gamma_rate"] * moved
        elif gamma == CLOSED:
            found = log_gamma, info["log_gamma"], state.step
            updated["log_gamma"] = objective.running_log_gamma(*found)
        return TrainState(updated, stats, opt, state.step + 1), info

    def score(
        state: TrainState, batch: Batch, noise_KB: jax.Array, numbers: Numbers
    ) -> dict[str, jax.Array]:
        """recon, kl, nelbo [batch]; ratio [kappa, batch]; active [kappa + 1, batch]; log_gamma.

        Of a sequence all are means over its predicted points, so that nelbo is the loss of eq. 3 of
        CVAE-dims over their number. active is 1 where a sample has so many ratios below the
        threshold of the paper's rule. A full covariance is there as well, in units of the prior:
        covariance [kappa, kappa, batch].
        """
        found, forward = terms(state.params, state.stats, batch, noise_KB, numbers, train=False)
        ratio_KB = distributions.spectrum(forward.posterior, forward.prior, forward.mask_K)
        active_AB = distributions.active_counts(ratio_KB, threshold)
        scores = {
            "nelbo": found.nelbo,
            "recon": found.recon,
            "kl": found.kl,
            "log_gamma": state.params["log_gamma"],
            "ratio": of_samples(ratio_KB),
            "active": of_samples(active_AB),
        }
        if isinstance(forward.posterior, Full):
            covariance_KKB = distributions.covariance(forward.posterior, forward.prior)
            scores["covariance"] = of_samples(covariance_KKB)
        return scores

    return Method(
        init,
        start,
        noise,
        step,
        score,
        logged=("nelbo", "recon", "kl", "log_gamma"),
        blocks=("nelbo", "recon", "covariance" if is_full else "ratio"),
        in_own_units=objective.in_own_units,
    )


def numbers(cell: Cell) -> dict[str, float]:
    """A cell's numbers; "held" is 1 where log gamma is held, "log_gamma" 0 where it is not.

    Log gammas are those of x as the networks see it.
    """
    own, units = cell.method, units_of(cell)
    held = own.log_gamma is not None
    level = own.log_gamma - 2.0 * units.log_scale if held else 0.0
    initial = own.log_gamma_init + (units.log_variance - 2.0 * units.log_scale)
    converted = dataclasses.replace(own, log_gamma=level, log_gamma_init=initial)
    start = initial if own.anneal or not held else level
    plain = numbers_of(dataclasses.replace(cell, method=converted))
    return {**plain, "held": float(held), "log_gamma_start": float(start)}


def _check(cell: Cell, named: Named) -> None:
    """Refuses settings that have no effect on one another, and encoders without a variance."""
    own: Any = cell.method
    if cell.value("heads") == "point":
        raise ConfigError(
            f"{named('heads')}: 'point' has no variance, which method {own.kind!r} needs; it must"
            " be 'gaussian'"
        )
    if own.model == "cvae" and cell.sizes.c == 0 and cell.sizes.points < 2:
        raise ConfigError(
            f"{named('model')}: 'cvae' has no effect: these data have no condition; it must be"
            " 'vae'"
        )
    if own.anneal and own.log_gamma is None:
        raise ConfigError(
            f"{named('anneal')}: has no effect without levels to anneal to; add the axis"
            " grid.log_gamma, or remove it"
        )
    if own.gamma != ADAM and own.log_gamma is not None:
        raise ConfigError(
            f"{named('gamma')}: {own.gamma!r} has no effect where log_gamma is held; it must be"
            f" {ADAM!r}, or log_gamma None"
        )
    if own.gamma != OWN_RATE and own.gamma_rate != 1.0:
        raise ConfigError(
            f"{named('gamma_rate')}: {own.gamma_rate:g} has no effect with gamma {own.gamma!r}; it"
            f" must be 1, or gamma {OWN_RATE!r}"
        )
    if own.gamma == CLOSED and "log_gamma_init" in dict(cell.point):
        raise ConfigError(
            f"{named('log_gamma_init')}: {own.log_gamma_init:g} has no effect with gamma"
            f" {CLOSED!r}; remove the axis, or set gamma to {ADAM!r} or {OWN_RATE!r}"
        )
    if own.log_gamma is not None and not own.anneal and "log_gamma_init" in dict(cell.point):
        raise ConfigError(
            f"{named('log_gamma_init')}: has no effect beside log_gamma, which is held from the"
            " start; remove one, or set anneal"
        )


METHODS.add(
    "vae",
    MethodKind(
        settings=VAE,
        make=make,
        numbers=numbers,
        told=lambda settings: settings.model == "cvae",
        check=_check,
    ),
)
