"""Optimiser kinds "adam" and "rmsprop", under the papers' schedules, their peak rate a number."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from mdvae.data.base import PyTree
from mdvae.methods.base import Numbers, Optimiser, OptimiserKind
from mdvae.settings.fields import (
    ABOVE_ZERO,
    BETWEEN,
    NOT_NEGATIVE,
    Section,
    fixed,
    number,
    one_of,
    static,
)
from mdvae.settings.registry import OPTIMISERS

# The schedule of CVAE-dims: a cosine from peak / 25 up to the peak, then down to peak / 25 / 1e4.
START_DIVISOR, END_DIVISOR = 25.0, 1e4
ONE_CYCLE, HALVED, CONSTANT = "one_cycle", "halved", "constant"


@dataclasses.dataclass(frozen=True)
class Adam(Section):
    """Adam with optax's (and the papers') b1 = 0.9, b2 = 0.999, eps = 1e-8.

    Attributes:
        learning_rate: the peak of the schedule.
        schedule: "one_cycle", a cosine over all steps as in CVAE-dims; "halved", constant but for a
            halving each time after so many steps, as in TwoStage; or "constant".
        warmup: of one cycle: the fraction of the steps after which the peak is reached.
        halve_every: of a halved rate: after which fraction of the steps, again and again.
    """

    learning_rate: float = number(0.005, ABOVE_ZERO)
    schedule: str = static(ONE_CYCLE, one_of((ONE_CYCLE, HALVED, CONSTANT)), paced_but=CONSTANT)
    warmup: float = fixed(0.3, BETWEEN)
    halve_every: float = fixed(0.375, BETWEEN)


@dataclasses.dataclass(frozen=True)
class RMSProp(Section):
    """RMSProp as TensorFlow 1 has it, without momentum: step rate * g / sqrt(s + eps).

    s is a running mean of g^2.

    Attributes:
        learning_rate: the peak of the schedule.
        schedule: "constant", as in LMGAE, or "one_cycle", a cosine over all steps.
        warmup: of one cycle: the fraction of the steps after which the peak is reached.
        decay: of the running mean.
        eps: inside the root.
        initial_scale: s before the first step. At 1 the first steps are small; at 0 they are large.
    """

    learning_rate: float = number(0.0005, ABOVE_ZERO)
    schedule: str = static(CONSTANT, one_of((CONSTANT, ONE_CYCLE)), paced_but=CONSTANT)
    warmup: float = fixed(0.3, BETWEEN)
    decay: float = fixed(0.9, BETWEEN)
    eps: float = fixed(1e-10, ABOVE_ZERO)
    initial_scale: float = fixed(1.0, NOT_NEGATIVE)


def rate_schedule(settings: Adam | RMSProp, steps: int) -> optax.Schedule:
    """The rate at each step, as a part of its peak."""
    if settings.schedule == ONE_CYCLE:
        return optax.cosine_onecycle_schedule(
            steps, 1.0, settings.warmup, START_DIVISOR, END_DIVISOR
        )
    if settings.schedule == CONSTANT:
        return optax.constant_schedule(1.0)
    assert isinstance(settings, Adam)
    every = max(1, round(settings.halve_every * steps))
    return optax.exponential_decay(1.0, every, 0.5, staircase=True)


def _scheduled(transformation: optax.GradientTransformation, schedule: optax.Schedule) -> Optimiser:
    """The optimiser that goes along directions; the peak rate is `numbers["learning_rate"]`."""

    def update(
        params: PyTree, grads: PyTree, state: PyTree, step: jax.Array, numbers: Numbers
    ) -> tuple[PyTree, PyTree]:
        # Optax mixes integer counts with floats on purpose; our own arithmetic stays strict.
        with jax.numpy_dtype_promotion("standard"):
            directions, state = transformation.update(grads, state, params)
            rate = numbers["learning_rate"] * schedule(step)
        return jax.tree.map(lambda p, u: p - rate * u, params, directions), state

    return Optimiser(transformation.init, update)


def make(settings: Adam, steps: int) -> Optimiser:
    """Adam of a run of so many steps; the peak rate is `numbers["learning_rate"]`."""
    return _scheduled(optax.scale_by_adam(), rate_schedule(settings, steps))


def make_rmsprop(settings: RMSProp, steps: int) -> Optimiser:
    """RMSProp of a run of so many steps; the peak rate is `numbers["learning_rate"]`."""
    rms = optax.scale_by_rms(settings.decay, settings.eps, settings.initial_scale, eps_in_sqrt=True)
    return _scheduled(rms, rate_schedule(settings, steps))


def ramp(step: jax.Array, steps: int, fraction: jax.Array) -> jax.Array:
    """Rises from 0 to 1 in a fraction of the steps; 1 throughout for the fraction 0."""
    risen = step.astype(jnp.float32) / (steps * jnp.maximum(fraction, 1e-9))
    return jnp.where(fraction > 0, jnp.minimum(risen, 1.0), 1.0)


def repeated(optimiser: Optimiser, names: Sequence[str]) -> Optimiser:
    """An optimiser that takes two steps with the same gradient for params of some names.

    As PyTorch's do with parameters that stand twice in their list.
    """

    def split(tree: PyTree) -> tuple[PyTree, PyTree]:
        once = {name: leaf for name, leaf in tree.items() if name not in names}
        return once, {name: tree[name] for name in names}

    def init(params: PyTree) -> PyTree:
        once, twice = split(params)
        return {"once": optimiser.init(once), "twice": optimiser.init(twice)}

    def update(
        params: PyTree, grads: PyTree, state: PyTree, step: jax.Array, numbers: Numbers
    ) -> tuple[PyTree, PyTree]:
        (once, twice), (grads_once, grads_twice) = split(params), split(grads)
        once, state_once = optimiser.update(once, grads_once, state["once"], step, numbers)
        state_twice = state["twice"]
        for _ in range(2):
            twice, state_twice = optimiser.update(twice, grads_twice, state_twice, step, numbers)
        return {**once, **twice}, {"once": state_once, "twice": state_twice}

    return Optimiser(init, update)


OPTIMISERS.add("adam", OptimiserKind(settings=Adam, make=make))
OPTIMISERS.add("rmsprop", OptimiserKind(settings=RMSProp, make=make_rmsprop))
