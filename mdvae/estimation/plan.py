"""Which models are trained on a table: a ladder of kappa around what neighbours see, and one wide.

The networks see the table in one unit, or, where one column alone has most of the variance, each
column in its own: how far a dimension reaches then says nothing of how much it matters.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mdvae.analysis.calibration import LEAST_VARIANCE
from mdvae.settings.config import SweepConfig, default_config, resolve

# A column with more than this share of the variance decides alone what a model learns first.
MOST_OF_VARIANCE = 0.5
LEAST_COLUMNS = 4
# Latents of the widest rung: the span and some to spare where that is not far, and otherwise so
# many for each dimension that neighbours see, and so many more.
SPARE, FAR, MORE = 2, 3.0, 12
EVALUATED = 0.2
MOST_BATCH = 500
# Levels of log gamma for the slope of the loss, above the one that as short a training learned: at
# and below it there is what the networks cannot do, far above it dimensions are given up.
ABOVE_LEARNED = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
# Held-out scores are taken so often while a ladder trains.
LOOKS = 8


class Stage(NamedTuple):
    """What one ladder trains.

    Attributes:
        seeds: of each kappa.
        steps: of each run.
        hidden: layers of encoder and decoder.
    """

    seeds: int
    steps: int
    hidden: tuple[int, ...]


class Effort(NamedTuple):
    """How much is trained.

    Attributes:
        rungs: how many values of kappa.
        first: of all of them.
        second: of the few that are left after that, or None.
        slope: at levels of gamma that are held, of the chosen kappa, or None.
    """

    rungs: int
    first: Stage
    second: Stage | None
    slope: Stage | None


# Rungs far from the answer are given up after the first stage, which is short: what is left is
# trained for longer, so that a choice that still moves is seen to move.
EFFORTS = {
    "quick": Effort(4, Stage(2, 3_000, (128, 128)), None, None),
    "normal": Effort(
        8, Stage(2, 3_000, (128, 128)), Stage(3, 8_000, (128, 128)), Stage(3, 3_000, (128, 128))
    ),
    "thorough": Effort(
        12, Stage(3, 6_000, (256, 256)), Stage(5, 20_000, (256, 256)), Stage(5, 10_000, (256, 256))
    ),
}


def scaled(x: np.ndarray) -> tuple[np.ndarray, tuple[float, ...], str]:
    """A table as models are given it, what each column was divided by, and a note on it.

    Pixels, of one byte each, share a unit; other columns may not, and one that has most of the
    variance would decide alone what is learned.

    Returns:
        The table as it is, () and "" where columns are not divided.
    """
    spread = np.std(x, axis=0, dtype=np.float64)
    few = x.shape[1] < LEAST_COLUMNS or x.dtype == np.uint8
    if few or np.max(spread**2) <= MOST_OF_VARIANCE * np.sum(spread**2):
        return x, (), ""
    scales = np.where(spread > 0, spread, 1.0)
    note = (
        "one column had more than half of the variance: each was divided by its own standard"
        " deviation"
    )
    return np.asarray(x, np.float64) / scales, tuple(scales.tolist()), note


def gaussian_nelbo(train: np.ndarray, held_out: np.ndarray) -> float:
    """Negative log density of rows under a normal law of others, nats, their mean; nan without one.

    What a VAE has to be better than before it has found a manifold.
    """
    d = train.shape[1]
    if len(train) <= d:
        return float("nan")
    centred = train - train.mean(axis=0)
    covariance = centred.T @ centred / len(train)
    values, vectors = np.linalg.eigh(covariance)
    if values[0] <= LEAST_VARIANCE * values.sum():
        return float("nan")
    scores = (held_out - train.mean(axis=0)) @ vectors
    energy = np.sum(scores**2 / values, axis=1).mean()
    return float(0.5 * (energy + np.sum(np.log(2.0 * np.pi * values))))


def rungs_of(near: float, span: int, count: int) -> tuple[int, ...]:
    """Values of kappa: around the dimension that neighbours see, and one wide.

    Args:
        near: that dimension, calibrated.
        count: how many rungs, at most.
    """
    wide = span + SPARE
    if wide > FAR * near + MORE:
        wide = math.ceil(FAR * near + MORE)
    first, last = max(1.0, 0.8 * near), min(max(2.0, 1.4 * near + 1.0), span)
    between = np.linspace(first, last, count - 1)
    inner = {round(k) for k in between if round(k) < wide}
    return (*sorted(inner), wide)


def rungs_left(dimension: int, chosen: int, wide: int) -> tuple[int, ...]:
    """Values of kappa of the second stage: around the answer of the first, the chosen, the wide."""
    around = {max(1, dimension + step) for step in (-1, 0, 1)}
    return tuple(sorted(around | {chosen, wide}))


def most_models(effort: Effort) -> int:
    """How many models are trained on a table, at most."""
    left = len(rungs_left(2, 8, 16))  # of which none are the same
    stages = (
        (effort.rungs, effort.first),
        (left, effort.second),
        (len(ABOVE_LEARNED), effort.slope),
    )
    return sum(count * stage.seeds for count, stage in stages if stage is not None)


def ladder_config(
    table: Path,
    kappas: tuple[int, ...],
    stage: Stage,
    rows: int,
    seed: int,
    given: Path | None = None,
    levels: tuple[float, ...] = (),
) -> SweepConfig:
    """The sweep of a ladder.

    log gamma starts three below the variance of the data: from higher up, data whose directions
    are all alike let every latent go before the decoder has learned what to do with them.

    Args:
        table: the file of the table.
        rows: of the table.
        given: the file of what a CVAE is told of them.
        levels: at which log gamma is held, in the units of the table; () learns it.
    """
    config = default_config(data="array" if given is None else "array_given")
    config.name = "ladder"
    config.data.path = str(table)
    config.data.n_eval = EVALUATED
    if given is not None:
        config.data.given = str(given)
        config.method.model = "cvae"
    config.grid = ConfigDict({"kappa": kappas})
    config.seeds, config.seed = stage.seeds, seed
    config.steps = stage.steps
    config.log_every = config.eval_every = stage.steps // LOOKS
    config.save_every = stage.steps // 2
    config.batch_size = min(MOST_BATCH, int((1 - EVALUATED) * rows))
    config.networks.hidden = stage.hidden
    config.networks.output = "linear"
    if levels:
        config.grid = ConfigDict({"kappa": kappas, "log_gamma": levels})
        config.method.anneal = 0.5
    else:
        config.method.log_gamma_init = -3.0
    return resolve(config)
