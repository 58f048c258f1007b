"""Method "ivae": an identifiable VAE, whose prior p(z | u) depends on what is observed beside x.

Khemakhem et al. (2020), and "The Polarised Regime of identifiable Variational Autoencoders": q is
q(z | x, u), and the decoder p(x | z) sees z alone. What the prior is, and whether a decoder is told
u after all, its networks say (kinds "ivae_mlp" and "ivae_conv"); of others it is a CVAE's.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from mdvae.data.base import Batch
from mdvae.methods import distributions, objective
from mdvae.methods.base import Method, MethodKind, Numbers, TrainState, networks_of
from mdvae.methods.optimiser import ramp
from mdvae.methods.padding import true_entries, true_latents
from mdvae.networks.base import Diagonal, Networks, Params, Stats, in_unit_interval
from mdvae.settings.fields import ABOVE_ZERO, FRACTION, ConfigError, Section, number, one_of, static
from mdvae.settings.grid import Cell, Group, Named
from mdvae.settings.registry import DATA, METHODS, OPTIMISERS

GAUSSIAN, BERNOULLI = LIKELIHOODS = "gaussian", "bernoulli"
WHOLE, BY_BATCH = "set", "batch"
OWN, LAST = "own", "last"


@dataclasses.dataclass(frozen=True)
class IVAE(Section):
    """Settings of the model and of its loss.

    Attributes:
        likelihood: of x given z: "gaussian" of one variance gamma, always at the least of the loss
            of a batch, mean ||x - x_hat||^2 / d, for which the theory is stated; or "bernoulli"
            (published), of images and a decoder in [0, 1].
        scaling: of u in training: over the "set", as the data have it, or anew to [0, 1] in each
            "batch" (published code). Models are evaluated with the former.
        prior_of: whose p(z | u) a sample has in training: its "own", or in variance that of the
            "last" of its batch (published code around the paper's date). Evaluated is its own.
        kl_warmup: fraction of the steps in which the weight of the KL rises from 0 to beta.
        beta: weight of the KL in the loss; the nelbo that is reported has the weight 1.
    """

    likelihood: str = static(GAUSSIAN, one_of(LIKELIHOODS))
    scaling: str = static(WHOLE, one_of((WHOLE, BY_BATCH)))
    prior_of: str = static(OWN, one_of((OWN, LAST)))
    kl_warmup: float = number(0.0, FRACTION, paced_but=0.0)
    beta: float = number(1.0, ABOVE_ZERO)


def scaled_by_batch(c: jax.Array, sample_axis: int) -> jax.Array:
    """Each entry of u from 0 to 1 over the batch; 0 where the batch has one value of it."""
    low = jnp.min(c, axis=sample_axis, keepdims=True)
    width = jnp.max(c, axis=sample_axis, keepdims=True) - low
    return (c - low) / jnp.where(width > 0, width, 1.0)


def make(group: Group, steps: int, networks: Networks) -> Method:
    """The method for a group's cells; the first sets what they share."""
    cell, kappa = group.cells[0], group.sizes.kappa
    own = cell.method
    optimiser = OPTIMISERS.find(cell.optimiser.kind).make(cell.optimiser, steps)
    axis = DATA.find(cell.data.kind).sample_axis
    has_gamma = own.likelihood == GAUSSIAN

    def init(key: jax.Array, cell: Cell) -> TrainState:
        params, stats = networks_of(cell).init(key)
        if has_gamma:
            params = {**params, "log_gamma": jnp.zeros(())}
        return TrainState(params, stats, optimiser.init(params), jnp.zeros((), jnp.int32))

    def noise(key: jax.Array, n: int) -> jax.Array:
        return jax.random.normal(key, (kappa, n))

    def prior_in(params: Params, batch: Batch, train: bool) -> Diagonal | None:
        prior = None if networks.prior is None else networks.prior(params, batch)
        if prior is None or not train or own.prior_of == OWN:
            return prior
        return prior._replace(logvar=jnp.broadcast_to(prior.logvar[:, -1:], prior.logvar.shape))

    def terms(
        params: Params,
        stats: Stats,
        batch: Batch,
        noise_KB: jax.Array,
        numbers: Numbers,
        train: bool,
    ) -> tuple[dict[str, jax.Array], jax.Array, Stats]:
        """recon, nll, kl [batch] and, of a Gaussian, log_gamma; ratio [kappa, batch]; stats."""
        if train and own.scaling == BY_BATCH:
            batch = {**batch, "c": scaled_by_batch(batch["c"], axis)}
        x, d = batch["x"], numbers["d"]
        posterior, stats = networks.encode(params, stats, batch, train)
        mask_K = true_latents(noise_KB, numbers["kappa"])
        z_KB = distributions.sample(posterior, noise_KB) * mask_K[:, None]
        x_hat, stats = networks.decode(params, stats, z_KB, batch, train)
        x_hat = x_hat * true_entries(x_hat, d, axis)
        prior = prior_in(params, batch, train)
        kl_B = distributions.kl(posterior, prior)
        recon_B = objective.squared_error(x, x_hat, axis)
        found = {"recon": recon_B, "kl": kl_B}
        if has_gamma:
            log_gamma = params["log_gamma"]
            if train:
                log_gamma = objective.best_log_gamma(recon_B, d)
            found["nll"] = objective.gaussian_terms(recon_B, kl_B, log_gamma, d).nll
            found["log_gamma"] = log_gamma
        else:
            told = objective.CROSS_ENTROPY, x, x_hat, axis, d
            found["nll"] = d * objective.reconstruction(*told)
        return found, distributions.spectrum(posterior, prior, mask_K), stats

    def step(
        state: TrainState, batch: Batch, noise_KB: jax.Array, numbers: Numbers
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        kl_weight = numbers["beta"] * ramp(state.step, steps, numbers["kl_warmup"])

        def loss(params: Params) -> tuple[jax.Array, tuple[dict[str, jax.Array], Stats]]:
            found, _, stats = terms(params, state.stats, batch, noise_KB, numbers, True)
            means = {name: jnp.mean(values) for name, values in found.items()}
            value = means["nll"] + kl_weight * means["kl"]
            info = {"nelbo": means.pop("nll") + means["kl"], **means}
            return value, (info, stats)

        grads, (info, stats) = jax.grad(loss, has_aux=True)(state.params)
        params, opt = optimiser.update(state.params, grads, state.opt, state.step, numbers)
        if has_gamma:
            found = state.params["log_gamma"], info["log_gamma"], state.step
            params["log_gamma"] = objective.running_log_gamma(*found)
        return TrainState(params, stats, opt, state.step + 1), info

    def score(
        state: TrainState, batch: Batch, noise_KB: jax.Array, numbers: Numbers
    ) -> dict[str, jax.Array]:
        """nelbo, recon (||x - x_hat||^2), kl [batch]; ratio [kappa, batch]; a log_gamma.

        active [kappa + 1, batch] is 1 where a sample has so many ratios below the threshold.
        """
        given = state.params, state.stats, batch, noise_KB, numbers, False
        found, ratio_KB, _ = terms(*given)
        active_AB = distributions.active_counts(ratio_KB, cell.analysis.ad_threshold)
        counts = {"ratio": ratio_KB, "active": active_AB}
        return {"nelbo": found.pop("nll") + found["kl"], **found, **counts}

    logged = ("nelbo", "recon", "kl", *has_gamma * ("log_gamma",))
    blocks = ("nelbo", "recon", "ratio")
    return Method(init, _as_it_is, noise, step, score, logged, blocks, objective.in_own_units)


def _as_it_is(state: TrainState, numbers: Numbers) -> TrainState:
    """A start that is the same whatever a run's own numbers are."""
    return state


def _check(cell: Cell, named: Named) -> None:
    """Refuses data without a u, encoders without a variance, and chances that are none."""
    own: Any = cell.method
    if cell.sizes.points:
        raise ConfigError(f"method.kind: {own.kind!r} has no use for sequences; it must be 'vae'")
    if cell.sizes.c == 0:
        raise ConfigError(
            f"method.kind: {own.kind!r} needs data with a condition, on which its prior depends; of"
            f" data.kind {cell.data.kind!r} it must be 'vae'"
        )
    if cell.value("heads") == "point":
        raise ConfigError(
            f"{named('heads')}: 'point' has no variance, which method {own.kind!r} needs; it must"
            " be 'gaussian'"
        )
    if cell.value("covariance") == "full":
        raise ConfigError(
            f"{named('covariance')}: 'full' is not usable with method.kind {own.kind!r}; it must be"
            " 'diagonal'"
        )
    if own.likelihood == BERNOULLI and not in_unit_interval(cell):
        raise ConfigError(
            f"{named('likelihood')}: 'bernoulli' needs data and a decoder between 0 and 1, such as"
            " images and networks.output 'sigmoid'; it must be 'gaussian'"
        )
    if own.prior_of == LAST and (cell.value("prior") in ("standard", "mean")):
        raise ConfigError(
            f"{named('prior_of')}: 'last' has no effect on a prior of fixed variance; it must be"
            " 'own', or networks.prior learn the variance"
        )


METHODS.add("ivae", MethodKind(settings=IVAE, make=make, told=lambda _: True, check=_check))
