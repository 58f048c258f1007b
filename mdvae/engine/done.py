"""Runs that are done before their last step: those of which nothing moves any more.

A run has settled once, for a share of the steps that it has taken, neither log gamma nor any
latent's variance ratio, in log odds, has moved by more than so many nats. It then takes as many
steps again as that share, in which its learning rate falls to 0, and no more. Log odds of a latent
in use go along with log gamma, those of one at the prior stay; while gamma falls, as Theorem 1 of
CVAE-dims has it do for ever, a run has not settled.

The rule looks at a run's own lines of metrics alone, so that it is the same whoever else is in the
sweep, and one that is resumed finds what an uninterrupted one does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.methods.odds import PRIOR_LEVEL, log_odds
from mdvae.methods.optimiser import ONE_CYCLE
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Run
from mdvae.settings.pacing import LEAST_LOOKS
from mdvae.store.rundir import RATIOS

# The state of a run, int32 each: from which step on its rate falls, and at which it ends.
SETTLED, END = "settled", "end"

Ends = dict[str, Any]


def watched_steps(config: SweepConfig) -> int:
    """The steps of a training whose runs may be done before; 0 where all take them all."""
    return config.steps if config.done_nats > 0 else 0


def no_ends(watched: int, n_runs: int) -> Ends:
    """The ends of runs that have not settled; {} where none are watched.

    Args:
        watched: see `watched_steps`.
    """
    return {name: np.full(n_runs, watched, np.int32) for name in (SETTLED, END) if watched}


def rate_left(step: jax.Array, ends: Ends) -> jax.Array:
    """Of its learning rate, what a run has at a step: 1, and once it has settled half a cosine."""
    length = jnp.maximum(ends[END] - ends[SETTLED], 1)
    gone = (step - ends[SETTLED]).astype(jnp.float32) / length.astype(jnp.float32)
    return jnp.where(step < ends[SETTLED], 1.0, 0.5 * (1.0 + jnp.cos(jnp.pi * gone)))


class Look(NamedTuple):
    """What a run is like at a step: log gamma, where there is one, and log odds of its ratios."""

    step: int
    places: np.ndarray


def look_at(line: Mapping[str, Any]) -> Look | None:
    """What a line of metrics shows of its run; None where it has no held-out scores."""
    ratios = line.get(RATIOS)
    if not isinstance(ratios, list):
        return None
    log_gamma, *ratios = np.array([line.get("log_gamma", 0.0), *ratios], np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = log_odds(np.minimum(ratios, PRIOR_LEVEL))
    return Look(line["step"], np.append(log_gamma, odds))


def has_settled(looks: Sequence[Look], first: float, nats: float, share: float) -> bool:
    """Whether nothing has moved by more than `nats` in the last `share` of the steps taken.

    Args:
        looks: at a run, in the order of their steps, the last one now.
        first: step before which it is too early to tell.
    """
    now = looks[-1].step
    last = [look for look in looks if look.step >= (1.0 - share) * now]
    if now < first or len(last) < LEAST_LOOKS:
        return False
    # Of what is not finite the comparison is false.
    with np.errstate(invalid="ignore"):
        return bool(np.all(np.ptp([look.places for look in last], axis=0) <= nats))


def first_look(config: SweepConfig, cell: Cell) -> float:
    """The step before which no run of a cell has settled.

    What a rate that still rises moves is no sign of what it will.
    """
    rises = cell.value("warmup") if cell.value("schedule") == ONE_CYCLE else 0.0
    return max(config.done_share, rises) * config.steps


def looks_of(lines: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of lines of metrics those that are looks at some runs, and of them what a look is made of."""
    keys = {(run.cell.name, run.seed) for run in runs}
    names = ("cell", "seed", "step", "log_gamma", RATIOS)
    return [
        {name: line[name] for name in names if name in line}
        for line in lines
        if (line["cell"], line["seed"]) in keys and RATIOS in line
    ]


class Watch:
    """Follows the runs of a slice by their lines of metrics."""

    def __init__(self, config: SweepConfig, runs: Sequence[Run]):
        self._config = config
        self._first = [first_look(config, run.cell) for run in runs]
        self._rows = {(run.cell.name, run.seed): i for i, run in enumerate(runs)}
        self._looks: list[list[Look]] = [[] for _ in runs]

    def see(self, lines: Sequence[Mapping[str, Any]], ends: Ends) -> list[int]:
        """Looks at more lines; those of other runs are passed over.

        Args:
            ends: of the runs, as they are before; those of runs that have settled are changed.

        Returns:
            The runs that have settled with these lines.
        """
        config, found = self._config, []
        for line in lines:
            i, look = self._rows.get((line["cell"], line["seed"])), look_at(line)
            if i is None or look is None:
                continue
            self._looks[i].append(look)
            rule = self._first[i], config.done_nats, config.done_share
            if look.step < ends[SETTLED][i] and has_settled(self._looks[i], *rule):
                # Up to a line with scores, which is then the run's last.
                tail = -(-int(np.ceil(config.done_share * look.step)) // config.eval_every)
                end = look.step + tail * config.eval_every
                ends[SETTLED][i], ends[END][i] = look.step, min(end, config.steps)
                found.append(i)
        return found
