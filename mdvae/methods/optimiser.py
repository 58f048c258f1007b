"""Adam under the papers' one-cycle schedule, its peak rate a number that may differ per run."""

from typing import Any, NamedTuple

import jax
import optax

PyTree = Any

# The papers' schedule: a cosine from peak / 25 up to the peak, then down to peak / 25 / 1e4.
START_DIVISOR, END_DIVISOR = 25.0, 1e4


class OneCycleAdam(NamedTuple):
    """Adam's direction (optax) and the schedule as a fraction of its peak.

    Attributes:
        adam: with optax's (and the papers') b1 = 0.9, b2 = 0.999, eps = 1e-8.
        schedule: step -> fraction of the peak rate.
    """

    adam: optax.GradientTransformation
    schedule: optax.Schedule

    def init(self, params: PyTree) -> PyTree:
        """The optimiser's state."""
        return self.adam.init(params)

    def update(
        self, params: PyTree, grads: PyTree, state: PyTree, step: jax.Array, peak: jax.Array
    ) -> tuple[PyTree, PyTree]:
        """One step: new params and state."""
        # Optax mixes integer counts with floats on purpose; our own arithmetic stays strict.
        with jax.numpy_dtype_promotion("standard"):
            directions, state = self.adam.update(grads, state, params)
            rate = peak * self.schedule(step)
        return jax.tree.map(lambda p, u: p - rate * u, params, directions), state


def one_cycle_adam(steps: int, warmup: float) -> OneCycleAdam:
    """The optimiser for a run of `steps` steps that rises during the fraction `warmup` of them."""
    schedule = optax.cosine_onecycle_schedule(steps, 1.0, warmup, START_DIVISOR, END_DIVISOR)
    return OneCycleAdam(optax.scale_by_adam(), schedule)
