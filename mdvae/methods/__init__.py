"""A method: pure functions written for ONE run; the engine adds the axis of runs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from mdvae.grid import Cell, Group
from mdvae.networks import Networks

PyTree = Any
Batch = dict[str, jax.Array]

# The name of the params that are not trained.
INPUT = "input"


class TrainState(NamedTuple):
    """What carries over from step to step.

    Attributes:
        params: {"encoder": ..., "decoder": ..., "log_gamma": scalar}, and "prior" where it is
            learned, and "input", a fixed `Whitening`, where the encoder is fed whitened data.
        opt_state: of the optimiser.
        step: how many steps were taken, int32 scalar.
    """

    params: PyTree
    opt_state: PyTree
    step: jax.Array


class Hparams(NamedTuple):
    """Numbers that may differ between the runs of one program, a float32 scalar each.

    Attributes:
        kappa, d: true widths of z and x; what lies beyond is padding.
        log_gamma_init: log variance of the decoder before the first step.
        log_gamma: the level at which it is held; of no effect where it is learned.
        held: 1 where log gamma is held, 0 where it is learned.
        anneal, kl_warmup: fractions of the steps; see `config.SweepConfig`.
        learning_rate: peak of the schedule.
    """

    kappa: jax.Array
    d: jax.Array
    log_gamma_init: jax.Array
    log_gamma: jax.Array
    held: jax.Array
    anneal: jax.Array
    kl_warmup: jax.Array
    learning_rate: jax.Array


class Info(NamedTuple):
    """What one looks at after a step: means over the batch, nats (recon: squared error)."""

    nelbo: jax.Array
    recon: jax.Array
    kl: jax.Array
    log_gamma: jax.Array


class Evaluation(NamedTuple):
    """A model on fresh samples: means over them, nats (recon: squared error).

    Attributes:
        nelbo, recon, kl: scalars.
        log_gamma: the decoder's.
        ratios: [kappa], encoder variance over prior variance, averaged over samples; 1 in padding.
        ad_fractions: [kappa + 1], the fraction of samples of which so many ratios are below the
            threshold of the paper's rule.
        nelbo_blocks, recon_blocks: [blocks], means over parts of the samples, for the bootstrap.
        ratio_blocks: [kappa, blocks], the ratios over the same parts.
    """

    nelbo: jax.Array
    recon: jax.Array
    kl: jax.Array
    log_gamma: jax.Array
    ratios: jax.Array
    ad_fractions: jax.Array
    nelbo_blocks: jax.Array
    recon_blocks: jax.Array
    ratio_blocks: jax.Array


class Method(NamedTuple):
    """Functions of one run.

    Noise is an argument of its own, so that the runs of a seed can share one draw.

    Attributes:
        init: (key, cell) -> TrainState at the cell's true shapes; hparams set log gamma later.
        noise: (key, batch size) -> the noise of one step, at padded shapes.
        step: (state, batch, noise, hparams) -> (TrainState, Info).
        evaluate: (state, batch, noise, hparams) -> Evaluation.
        networks: to apply to params.
    """

    init: Callable[[jax.Array, Cell], TrainState]
    noise: Callable[[jax.Array, int], PyTree]
    step: Callable[[TrainState, Batch, PyTree, Hparams], tuple[TrainState, Info]]
    evaluate: Callable[[TrainState, Batch, PyTree, Hparams], Evaluation]
    networks: Networks


def padded_shapes(method: Method, group: Group) -> TrainState:
    """Shapes and dtypes of a group's padded train state: those of its widest cell's."""
    widest = group.cells[0].widened(group.kappa, group.d, group.c)
    return jax.eval_shape(lambda key: method.init(key, widest), jax.random.key(0))


def cell_hparams(cell: Cell) -> Hparams:
    """The numbers of a cell as Python floats, to be stacked over runs."""
    held = cell.log_gamma is not None
    values = {
        "kappa": cell.kappa,
        "d": cell.d,
        "log_gamma_init": cell.start_log_gamma,
        "log_gamma": cell.log_gamma if held else 0.0,
        "held": held,
        "anneal": cell.anneal,
        "kl_warmup": cell.kl_warmup,
        "learning_rate": cell.learning_rate,
    }
    return Hparams(**{name: float(value) for name, value in values.items()})  # type: ignore[arg-type]
