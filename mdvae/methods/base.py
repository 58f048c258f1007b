"""What a method is: pure functions written for ONE run; the engine adds the axis of runs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from mdvae.data.base import Batch, PyTree
from mdvae.data.units import Units
from mdvae.networks.base import Networks, Params, Stats, of_points
from mdvae.settings.fields import NUMBER, fields_of
from mdvae.settings.grid import Cell, Group, Named, Sizes
from mdvae.settings.registry import DATA, METHODS, NETWORKS

Numbers = dict[str, Any]
Means = dict[str, Any]


class TrainState(NamedTuple):
    """What carries over from step to step.

    Attributes:
        params: what is trained.
        stats: what is not, such as running statistics of the networks.
        opt: state of the optimiser, or of several, by name.
        step: how many steps were taken, int32 scalar; the engine stops counting at the first of
            which something logged is not finite, and takes no other of that run.
    """

    params: Params
    stats: Stats
    opt: PyTree
    step: jax.Array


class Method(NamedTuple):
    """Functions of one run.

    Noise is an argument, so that the runs of a seed can share one draw. An axis of noise that is
    padded (kappa) leads, and the axis of samples is the last: [kappa, batch].

    Attributes:
        init: (key, cell) -> `TrainState` at the cell's true shapes; it depends on the cell's sizes
            and static settings alone.
        start: (state, numbers) -> the state with what depends on a run's own numbers, before the
            first step.
        noise: (key, n) -> the noise of one step on n samples, at padded shapes.
        step: (state, batch, noise, numbers) -> new state, {name: scalar}: what is logged.
        score: (state, batch, noise, numbers) -> {name: array}: arrays by example, [..., batch],
            and scalars, which belong to the model as a whole. An axis over latents is named by
            what stands there: "ratio", [kappa, batch], variance of the encoder over the prior's.
        logged: the names that `step` returns, in the order of a line of metrics; none begins with
            "eval_", as those of held-out scores do.
        blocks: names of scores by example of which means over blocks of samples are kept: how much
            they depend on the samples.
        in_own_units: ({name: means of what `step` and `score` return}, log scale, d) -> the same in
            the units of the data, where these are not those of the networks (`data.units`).
    """

    init: Callable[[jax.Array, Cell], TrainState]
    start: Callable[[TrainState, Numbers], TrainState]
    noise: Callable[[jax.Array, int], PyTree]
    step: Callable[[TrainState, Batch, PyTree, Numbers], tuple[TrainState, dict[str, jax.Array]]]
    score: Callable[[TrainState, Batch, PyTree, Numbers], dict[str, jax.Array]]
    logged: tuple[str, ...]
    blocks: tuple[str, ...] = ()
    in_own_units: Callable[[Means, float, int], Means] = lambda values, log_scale, d: values


def units_of(cell: Cell) -> Units:
    """The units of a cell's data."""
    return DATA.find(cell.data.kind).units(cell.data)


def numbers_of(cell: Cell) -> dict[str, float]:
    """The true widths of z and x, and the numbers of the sections method and optimiser."""
    values: dict[str, float] = {"kappa": float(cell.sizes.kappa), "d": float(cell.sizes.d)}
    for section in (cell.method, cell.optimiser):
        for name, field in fields_of(section).items():
            if field.role == NUMBER:
                values[name] = float(getattr(section, name))
    return values


def _no_check(cell: Cell, named: Named) -> None:
    """Settings that go together however they are chosen."""


def _as_they_are(params: Params, z_KB: jax.Array) -> jax.Array:
    """Codes of a model whose decoder is given what its encoder makes."""
    return z_KB


class MethodKind(NamedTuple):
    """A kind of method.

    Attributes:
        settings: the class of its section.
        make: (group, steps, networks) -> `Method` for the cells of a group, over so many steps;
            `networks` at the group's sizes.
        numbers: cell -> numbers that may differ between the runs of one program, as floats.
        told: settings -> whether the networks are given the condition of the data.
        check: (cell, named) raises a ConfigError for settings that do not go together.
        decoded: (params, z_KB) -> codes as the decoder is given them, such as masked ones.
        point: whether encoders are functions; a variance that networks may have is not looked at.
        ratio: what the scores "ratio" are, in words; near 0 for a latent in use, 1 for another.
        masked: whether these are 1 - mask, what latents are multiplied by.
    """

    settings: type
    make: Callable[[Group, int, Networks], Method]
    numbers: Callable[[Cell], dict[str, float]] = numbers_of
    told: Callable[[Any], bool] = lambda settings: False
    check: Callable[[Cell, Named], None] = _no_check
    decoded: Callable[[Params, jax.Array], jax.Array] = _as_they_are
    point: bool = False
    ratio: str = "encoder over prior variance"
    masked: bool = False


class Optimiser(NamedTuple):
    """An optimiser of one run.

    Attributes:
        init: params -> state.
        update: (params, gradients, state, step, numbers) -> new params, new state.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, PyTree, jax.Array, Numbers], tuple[PyTree, PyTree]]


class OptimiserKind(NamedTuple):
    """A kind of optimiser.

    Attributes:
        settings: the class of its section.
        make: (settings, steps) -> `Optimiser` for a run of so many steps.
    """

    settings: type
    make: Callable[[Any, int], Optimiser]


def networks_of(cell: Cell, sizes: Sizes | None = None) -> Networks:
    """The networks of a cell, at its true sizes or at others, such as its group's."""
    networks = NETWORKS.find(cell.networks.kind).make(cell.networks, sizes or cell.sizes)
    return of_points(networks) if METHODS.find(cell.method.kind).point else networks


def make_method(group: Group, steps: int) -> Method:
    """The method that trains a group's cells."""
    cell = group.cells[0]
    return METHODS.find(cell.method.kind).make(group, steps, networks_of(cell, group.sizes))


def cell_numbers(cell: Cell) -> dict[str, float]:
    """The numbers of a cell as Python floats, to be stacked over runs."""
    return METHODS.find(cell.method.kind).numbers(cell)
