"""Methods "lmgae" and "wae": auto-encoders whose codes a critic makes normal, masked or not.

LMGAE (Mondal et al., "Towards Latent Space Optimality for Auto-Encoder Based Generative Models",
section 4) multiplies codes E(x), and the z ~ N(0, I) that they are to be like, by a mask mu = 1 -
exp(-theta) before the decoder and the critic H see them: a latent with mu = 0 is not used. "wae",
the paper's baseline, has no mask. Where paper and published code differ, a setting chooses.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mdvae.data.base import Batch, PyTree
from mdvae.methods import masks, objective
from mdvae.methods.alternating import check_pieces, piece
from mdvae.methods.base import Method, MethodKind, Numbers, TrainState, networks_of
from mdvae.methods.masks import ACTIVE_FROM, mask_of, polarisation
from mdvae.methods.padding import true_entries
from mdvae.networks.base import Networks, Params, Stats, in_unit_interval
from mdvae.networks.critic import Critic, critic_of
from mdvae.settings import fields
from mdvae.settings.fields import ABOVE_ZERO, NOT_NEGATIVE, ConfigError, number, one_of, static
from mdvae.settings.grid import Cell, Group, Named
from mdvae.settings.registry import DATA, METHODS, OPTIMISERS

# The updates of a step, and their losses.
NETS, CRITIC, GENERATOR, MASK = "autoencoder", "critic", "generator", "mask"
MASKED, UNMASKED, EXP_SQUARE, EXP = "masked", "unmasked", "exp_square", "exp"
TWO_SIDED, ONE_SIDED = "two_sided", "one_sided"
LAYERS = fields.widths("a tuple of layer widths of 1 or more, or () for a linear critic")
Moved = tuple[TrainState, dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class WAE(fields.Section):
    """Settings of an auto-encoder and its critic, which take turns within each step.

    Each update of a step has a piece of its batch: as many as those of the critic and `others`.

    Attributes:
        reconstruction: R: "squared" error or, of x in [0, 1], "cross_entropy" (code), each a mean
            over the entries of x; or "norm", ||x - x_hat||, not squared (eq. 8).
        critic_hidden: widths of the critic's hidden layers, ReLUs.
        critic_steps: updates of the critic for one of the auto-encoder.
        gradient_penalty: weight of (||slope of H|| - 1)^2 (beta_2).
        penalty: "two_sided" (code, eq. 10), or "one_sided", in which a slope below 1 costs nothing.
            Two-sided, H of few latents may not turn round, as it must pass by slopes that cost.
        penalised: where that slope is taken: between "masked" z and codes (code), or between
            "unmasked" ones, of H(mu v) in v (eq. 10). Without a mask they are the same.
        critic_rate: rate of critic and generator as a part of learning_rate (code: 1e-4 of 5e-4).
    """

    reconstruction: str = static(objective.SQUARED, one_of(objective.RECONSTRUCTIONS))
    critic_hidden: tuple[int, ...] = static((128, 128), LAYERS)
    critic_steps: int = static(5, fields.whole(1, fields.MOST_TRACED))
    gradient_penalty: float = number(10.0, NOT_NEGATIVE)
    penalty: str = static(ONE_SIDED, one_of((TWO_SIDED, ONE_SIDED)))
    penalised: str = static(MASKED, one_of((MASKED, UNMASKED)))
    critic_rate: float = number(0.2, ABOVE_ZERO)
    others = 2


@dataclasses.dataclass(frozen=True)
class LMGAE(WAE):
    """Settings of the mask as well, whose turn is the last; it is projected to theta >= 0 (code).

    Attributes:
        variance_penalty: weight of the codes' variance where they are masked (alpha_2), a mean over
            latents (code); eq. 8 has the sum.
        variance_weight, variance_decay: of a latent there, and a: "exp_square", exp(-a mu^2)
            (code, a = 10), or "exp", exp(-a mu) (eq. 8). By 10 codes of mu from 0.6 to 0.9 are held
            back from N(0, I), which the mask takes for a latent too many.
        mask_recon: weight of R in the loss of the mask (lambda_1; code: 1000). The decoder keeps R
            at its least, so that it tells a mask little but its noise, at 1000 above all else.
        polarise, polarise_power: the weight of sum |mu (1 - mu)| there as the mask begins to move
            (lambda_3) is polarise / kappa^polarise_power (code: 2 and 1).
        polarise_every: the fraction of the steps after which that weight doubles, again and again;
            0 for 4 S steps (code), S = 75 up to kappa = 20, then 112.5 kappa up to 10,000.
        polarise_cap: the most that it becomes.
        theta_min, theta_max: theta starts uniform between these (code: 0 and 5; low: lost untried).
        mask_rate, mask_rate_power: rate of the mask as a part of learning_rate, mask_rate *
            kappa^mask_rate_power (code: 1 and 0). The pull at a latent is about 1 / kappa.
        mask_moments: its optimiser's, of "each" latent (code), or "common" to all; see masks.py.
        mask_after: the fraction of the steps for which the mask stays as it starts (code: 0). Until
            codes are normal the distance of the two laws pulls at latents that are needed, too.
        rate_decay: whether losses of auto-encoder and mask are a fifth from step 5 S on (code).
    """

    variance_penalty: float = number(100.0, NOT_NEGATIVE)
    variance_weight: str = static(EXP_SQUARE, one_of((EXP_SQUARE, EXP)))
    variance_decay: float = number(40.0, NOT_NEGATIVE)
    mask_recon: float = number(1.0, NOT_NEGATIVE)
    polarise: float = number(0.4, NOT_NEGATIVE)
    polarise_power: float = number(1.5, NOT_NEGATIVE)
    polarise_every: float = number(0.06, fields.FRACTION, paced_but=0.0)
    polarise_cap: float = number(2048.0, NOT_NEGATIVE)
    theta_min: float = number(1.2, NOT_NEGATIVE)
    theta_max: float = number(3.2, ABOVE_ZERO)
    mask_rate: float = number(0.55, ABOVE_ZERO)
    mask_rate_power: float = number(0.0, NOT_NEGATIVE)
    mask_moments: str = static(masks.EACH, one_of((masks.EACH, masks.COMMON)))
    mask_after: float = number(0.15, fields.FRACTION, paced_but=0.0)
    rate_decay: bool = static(False, fields.TRUTH)
    others = 3


class Seen(NamedTuple):
    """What an update sees: all params, and samples, z, mixes (uniform) and mu of its own."""

    params: Params
    stats: Stats
    batch: Batch
    z_KB: jax.Array
    mix_1B: jax.Array
    mu_K1: jax.Array
    numbers: Numbers
    train: bool


class Losses(NamedTuple):
    """The losses by what they train, means over samples; each with what is told besides."""

    own: Any
    networks: Networks
    judge: Critic
    axis: int

    def encode(self, params: Params, seen: Seen) -> tuple[jax.Array, Stats]:
        """E(x), and new stats."""
        posterior, stats = self.networks.encode(params, seen.stats, seen.batch, seen.train)
        return mask_of(None, posterior.mean, seen.numbers) * posterior.mean, stats

    def decode(self, params: Params, seen: Seen, code_KB: jax.Array) -> tuple[Any, Any, Stats]:
        """R and ||x - x_hat||^2 of each sample, [batch], and new stats; codes are masked here."""
        x, z_KB, d = seen.batch["x"], seen.mu_K1 * code_KB, seen.numbers["d"]
        x_hat, stats = self.networks.decode(params, seen.stats, z_KB, seen.batch, seen.train)
        told = x, x_hat * true_entries(x_hat, d, self.axis), self.axis
        found_B = objective.reconstruction(self.own.reconstruction, *told, d)
        return found_B, objective.squared_error(*told), stats

    def gap(self, params: Params, seen: Seen, code_KB: jax.Array) -> jax.Array:
        """H(mu z) - H(mu E(x)), [batch]."""
        drawn_KB, made_KB = seen.mu_K1 * seen.z_KB, seen.mu_K1 * code_KB
        return self.judge.apply(params, drawn_KB) - self.judge.apply(params, made_KB)

    def autoencoder(self, params: Params, seen: Seen) -> tuple[jax.Array, Any]:
        """Eq. 8; the mean of ||x - x_hat||^2, and new stats."""
        numbers, mu_K = seen.numbers, seen.mu_K1[:, 0]
        code_KB, stats = self.encode(params, seen)
        found_B, squared_B, stats = self.decode(params, seen._replace(stats=stats), code_KB)
        value = jnp.mean(found_B)
        if isinstance(self.own, LMGAE):
            power_K = mu_K if self.own.variance_weight == EXP else mu_K**2
            left_K = jnp.exp(-numbers["variance_decay"] * power_K) * jnp.var(code_KB, axis=1)
            value = value + numbers["variance_penalty"] * jnp.sum(left_K) / numbers["kappa"]
        return value, (jnp.mean(squared_B), stats)

    def critic(self, params: Params, seen: Seen) -> tuple[jax.Array, Any]:
        """Eq. 10; the mean gap, and the mean norm of the slope."""
        code_KB, _ = self.encode(seen.params, seen)
        mixed_KB = seen.mix_1B * seen.z_KB + (1.0 - seen.mix_1B) * code_KB
        where = seen.mu_K1 * mixed_KB, seen.mu_K1 if self.own.penalised == UNMASKED else 1.0
        one_sided = self.own.penalty == ONE_SIDED
        penalty, length = self.judge.penalty(params, *where, one_sided=one_sided)
        gap = jnp.mean(self.gap(params, seen, code_KB))
        return seen.numbers["gradient_penalty"] * penalty - gap, (gap, length)

    def generator(self, encoder: Params, seen: Seen) -> tuple[jax.Array, Any]:
        """Eq. 9."""
        code_KB, _ = self.encode({**seen.params, "encoder": encoder}, seen)
        return -jnp.mean(self.judge.apply(seen.params[CRITIC], seen.mu_K1 * code_KB)), ()

    def mask(self, theta_K: jax.Array, seen: Seen, weight: jax.Array) -> tuple[jax.Array, Any]:
        """Eq. 11; lambda_2 is 1, and lambda_3 `weight`."""
        seen = seen._replace(mu_K1=mask_of(theta_K, seen.z_KB, seen.numbers))
        code_KB, _ = self.encode(seen.params, seen)
        found_B, _, _ = self.decode(seen.params, seen, code_KB)
        omega = jnp.mean(self.gap(seen.params[CRITIC], seen, code_KB))
        value = seen.numbers["mask_recon"] * jnp.mean(found_B) + (1.0 + omega) ** 2
        return value + weight * polarisation(seen.mu_K1), ()


def make(group: Group, steps: int, networks: Networks) -> Method:
    """The method for a group's cells; the first sets what they share.

    Statistics of networks, as of batch normalisation, move with the auto-encoder alone.
    """
    cell, own, kappa = group.cells[0], group.cells[0].method, group.sizes.kappa
    axis, is_masked = DATA.find(cell.data.kind).sample_axis, isinstance(own, LMGAE)
    usual = OPTIMISERS.find(cell.optimiser.kind).make(cell.optimiser, steps)
    masked = masks.optimiser_of(usual, own.mask_moments) if is_masked else usual
    optimisers = {NETS: usual, CRITIC: usual, GENERATOR: usual, MASK: masked}
    law = own.critic_hidden, "relu", cell.value("initial") or "uniform"
    losses = Losses(own, networks, critic_of(kappa, *law), axis)

    def init(key: jax.Array, cell: Cell) -> TrainState:
        key_networks, key_critic, key_theta = jax.random.split(key, 3)
        params, stats = networks_of(cell).init(key_networks)
        critic = critic_of(cell.sizes.kappa, *law).init(key_critic)
        trained = {NETS: params, CRITIC: critic, GENERATOR: params["encoder"]}
        params = {**params, CRITIC: critic}
        if is_masked:
            params["theta"] = trained[MASK] = jax.random.uniform(key_theta, (cell.sizes.kappa,))
        opt = {name: optimisers[name].init(each) for name, each in trained.items()}
        return TrainState(params, stats, opt, jnp.zeros((), jnp.int32))

    def start(state: TrainState, numbers: Numbers) -> TrainState:
        if not is_masked:
            return state
        theta_K = masks.started(state.params["theta"], numbers)
        return state._replace(params={**state.params, "theta": theta_K})

    def noise(key: jax.Array, n: int) -> dict[str, jax.Array]:
        key_z, key_mix = jax.random.split(key)
        z_KB = jax.random.normal(key_z, (kappa, n))
        return {"z": z_KB, "mix": jax.random.uniform(key_mix, (1, n))}

    def seen_in(state: TrainState, batch: Batch, noise: PyTree, numbers: Any, train: bool) -> Seen:
        params, z_KB = state.params, mask_of(None, noise["z"], numbers) * noise["z"]
        mu_K1 = mask_of(params.get("theta"), z_KB, numbers)
        return Seen(params, state.stats, batch, z_KB, noise["mix"], mu_K1, numbers, train)

    def step(state: TrainState, batch: Batch, noise: PyTree, numbers: Numbers) -> Moved:
        seen, opt = seen_in(state, batch, noise, numbers, True), dict(state.opt)
        n, last = own.critic_steps + own.others, own.critic_steps + 1
        slow = {**numbers, "learning_rate": numbers["learning_rate"] * numbers["critic_rate"]}
        share = masks.late_share(state.step, numbers) if cell.value("rate_decay") else 1.0

        def update(name: str, trained: Any, opt: Any, k: Any, seen: Seen, *more: Any) -> Any:
            """What update k trains and its optimiser's state, and what its loss tells."""
            z_KB, mix_1B = piece((seen.z_KB, seen.mix_1B), k, n, -1)
            seen = seen._replace(batch=piece(batch, k, n, axis), z_KB=z_KB, mix_1B=mix_1B)
            grads, told = jax.grad(getattr(losses, name), has_aux=True)(trained, seen, *more)
            rates = slow if name in (CRITIC, GENERATOR) else numbers
            part = share if name in (NETS, MASK) else 1.0
            grads = jax.tree.map(lambda leaf: part * leaf, grads)
            return *optimisers[name].update(trained, grads, opt, state.step, rates), told

        def improve(carry: Any, k: jax.Array) -> tuple[Any, Any]:
            *after, told = update(CRITIC, *carry, k, seen)
            return tuple(after), told

        nets = {name: leaf for name, leaf in seen.params.items() if name not in (CRITIC, "theta")}
        nets, opt[NETS], (error, stats) = update(NETS, nets, opt[NETS], 0, seen)
        # One dict, in which each update sees what those before it have changed.
        params = {**seen.params, **nets}
        seen = seen._replace(params=params, stats=stats)
        begin, ks = (params[CRITIC], opt[CRITIC]), jnp.arange(1, last)
        (params[CRITIC], opt[CRITIC]), (gaps, lengths) = jax.lax.scan(improve, begin, ks)
        trained = params["encoder"], opt[GENERATOR]
        params["encoder"], opt[GENERATOR], _ = update(GENERATOR, *trained, last, seen)
        info = {"recon": error, "critic_gap": jnp.mean(gaps)}
        if is_masked:
            weight = masks.polarise_weight(state.step, steps, numbers)
            trained = params["theta"], opt[MASK]
            theta_K, opt[MASK], _ = update(MASK, *trained, last + 1, seen, weight)
            is_moving = state.step >= masks.first_move(steps, numbers)
            params["theta"] = jnp.where(is_moving, jnp.maximum(theta_K, 0.0), trained[0])
            info["active"] = jnp.sum(seen.mu_K1 >= ACTIVE_FROM, dtype=error.dtype)
            info["polarised"] = polarisation(seen.mu_K1)
        info["gradient_norm"] = jnp.mean(lengths)
        return TrainState(params, stats, opt, state.step + 1), info

    def score(state: TrainState, batch: Batch, noise: PyTree, numbers: Numbers) -> PyTree:
        """recon, critic_gap [batch]; of "lmgae" ratio [kappa, batch], 1 - mu for each sample."""
        seen = seen_in(state, batch, noise, numbers, False)
        code_KB, _ = losses.encode(state.params, seen)
        _, squared_B, _ = losses.decode(state.params, seen, code_KB)
        gap_B = losses.gap(state.params[CRITIC], seen, code_KB)
        ratio = {"ratio": jnp.broadcast_to(1.0 - seen.mu_K1, code_KB.shape)} if is_masked else {}
        return {"recon": squared_B, "critic_gap": gap_B, **ratio}

    logged = ("recon", "critic_gap", *is_masked * ("active", "polarised"), "gradient_norm")
    blocks = ("recon", *is_masked * ("ratio",))
    return Method(init, start, noise, step, score, logged, blocks, objective.in_own_units)


def _check(cell: Cell, named: Named) -> None:
    """Refuses sequences, batches that cannot be cut, and cross-entropies of no chances."""
    own = cell.method
    if cell.sizes.points:
        raise ConfigError(f"method.kind: {own.kind!r} has no use for sequences; it must be 'vae'")
    if own.reconstruction == objective.CROSS_ENTROPY and not in_unit_interval(cell):
        raise ConfigError(
            f"{named('reconstruction')}: 'cross_entropy' needs data and a decoder between 0 and 1,"
            " such as images and networks.output 'sigmoid'; it must be 'squared' or 'norm'"
        )
    if isinstance(own, LMGAE) and own.theta_min > own.theta_max:
        raise ConfigError(
            f"{named('theta_min')}: {own.theta_min:g} is not usable with theta_max ="
            f" {own.theta_max:g}; it must be no more"
        )
    check_pieces(cell, named, own.critic_steps + own.others)


_wae = MethodKind(WAE, make, check=_check, decoded=masks.decoded, point=True)
METHODS.add("wae", _wae)
METHODS.add("lmgae", _wae._replace(settings=LMGAE, ratio="1 - mask", masked=True))
