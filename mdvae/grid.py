"""A sweep as data: the axes of a config become cells, and cells become groups."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from mdvae.config import NUMBER_AXES, STATIC_AXES, ConfigError, SweepConfig

# Between the t of neighbouring parts of a set whose condition varies: 2, 4, 6, ...
T_STEP = 2


class Part(NamedTuple):
    """A part of a cell's data that is evaluated apart.

    Attributes:
        value: what tells it from the others: the class of a union, or the t of a sample.
        expected_ad: active dimensions of a global optimum.
    """

    value: int
    expected_ad: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """The coordinates of one run, its seed apart.

    Attributes:
        kappa: width of the latent z.
        d: width of the data x.
        r: dimension of the data manifold.
        t: effective dimension of the condition, of which a VAE does not know.
        sigma: standard deviation of noise added to x.
        log_gamma_init: initial log variance of the decoder, where it is learned or annealed.
        log_gamma: the level at which the log variance is held, or None where it is learned.
        anneal, kl_warmup: as in `SweepConfig`.
        learning_rate: peak of the schedule.
        data, condition, model, prior, attention, attention_hidden, hidden, decoder_hidden,
            activation, encoder_input, output, batch_size: as in `SweepConfig`; equal within a
            group.
        name: short and unique within a sweep, such as "kappa20-d30-r6".
    """

    kappa: int
    d: int
    r: int
    t: int
    sigma: float
    log_gamma_init: float
    log_gamma: float | None
    anneal: float
    kl_warmup: float
    learning_rate: float
    data: str
    condition: str
    model: str
    prior: str
    attention: bool
    attention_hidden: int
    hidden: tuple[int, ...]
    decoder_hidden: tuple[int, ...]
    activation: str
    encoder_input: str
    output: str
    batch_size: int
    name: str

    def widened(self, kappa: int, d: int, c: int) -> "Cell":
        """A cell of the same kind at other widths of z, x and the condition."""
        width = {"r": c} if self.data == "union" else {"t": c}
        return dataclasses.replace(self, kappa=kappa, d=d, **(width if self.c else {}))

    @property
    def static(self) -> tuple[Any, ...]:
        """What two cells must share to be run by one program."""
        return tuple(getattr(self, axis) for axis in STATIC_AXES)

    @property
    def start_log_gamma(self) -> float:
        """Log gamma before the first step."""
        return self.log_gamma_init if self.log_gamma is None or self.anneal else self.log_gamma

    @property
    def c(self) -> int:
        """Width of the condition that the model is given; 0 for a VAE.

        A condition that tells nothing (t = 0) is a constant 0.
        """
        if self.model == "vae":
            return 0
        return self.r if self.data == "union" else max(self.t, 1)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the data that are evaluated apart; a single one for one manifold."""
        told = [self.t if self.model == "cvae" else 0]
        if self.data == "union":
            return tuple(Part(k, min(k, self.kappa)) for k in range(1, self.r + 1))
        if self.data == "varying_t":
            told = list(range(T_STEP, self.t + 1, T_STEP))
        return tuple(Part(t, min(self.r - t * (self.model == "cvae"), self.kappa)) for t in told)

    @property
    def expected_ad(self) -> int | None:
        """Active dimensions of a global optimum: r - t (Theorems 1 and 2), or all kappa if fewer.

        For r = d and t = 0 Theorem 1 does not apply; r is then only what one would hope for. None
        where it differs between parts of the data.
        """
        return self.parts[0].expected_ad if len(self.parts) == 1 else None

    @property
    def dimension(self) -> float:
        """Dimensions of x that c does not tell: r - t, or r for a VAE; the mean over parts.

        The slope of 2 nelbo in log gamma tends to d less this (Theorems 1 and 2).
        """
        told = self.model == "cvae"
        of_parts = {
            "manifold": [self.r - self.t * told],
            "union": list(range(1, self.r + 1)),
            "varying_t": [self.r - t * told for t in range(T_STEP, self.t + 1, T_STEP)],
        }[self.data]
        return sum(of_parts) / len(of_parts)

    @property
    def in_theorem(self) -> bool:
        """Whether Theorem 1 or 2 covers the cell: kappa >= r, r < d or a condition, no noise."""
        told = self.model == "cvae" and self.t > 0
        fits = self.data == "manifold" and self.kappa >= self.r and self.sigma == 0
        return fits and (self.r < self.d or told)


# Each costs a second of compiling; a step is taken at the size of its class.
MAX_CLASSES = 6


class Group(NamedTuple):
    """Cells that one compiled program runs, and the sizes that they are padded to."""

    cells: tuple[Cell, ...]
    kappa: int
    d: int
    r: int
    c: int


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def make_cells(config: SweepConfig) -> tuple[Cell, ...]:
    """All cells of a sweep, in the order of its grids and of their axes.

    Raises:
        ConfigError: where a manifold has more dimensions than its space, or a cell stands twice.
    """
    cells: dict[str, Cell] = {}
    for grid, axes in config.grids.items():
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, values, strict=True))
            path = f"grid.{grid}" if grid else "grid"
            if point["r"] > point["d"]:
                raise ConfigError(
                    f"{path}.r: {point['r']} is more than d = {point['d']}; "
                    f"a manifold in {point['d']} dimensions has {point['d']} or fewer"
                )
            extras = [axis for axis in axes if axis not in ("kappa", "d", "r")]
            parts = [f"kappa{point['kappa']}", f"d{point['d']}", f"r{point['r']}"]
            name = "-".join(parts + [f"{axis}={_format(point[axis])}" for axis in extras])
            if name in cells:
                raise ConfigError(f"{path}: the cell {name} stands in two grids; it may in one")
            cell = Cell(
                kappa=point["kappa"],
                d=point["d"],
                r=point["r"],
                log_gamma=point.get("log_gamma"),
                name=name,
                **{
                    axis: point.get(axis, getattr(config, axis))
                    for axis in NUMBER_AXES + STATIC_AXES
                    if axis not in ("kappa", "d", "r", "log_gamma")
                },
            )
            _check_condition(partial(_setting, path, axes), cell)
            cells[name] = cell
    return tuple(cells.values())


def _setting(path: str, axes: Collection[str], field: str) -> str:
    """A setting as the user would write it: an axis of the grid, or a field of the config."""
    return f"{path}.{field}" if field in axes else field


def _check_condition(named: Callable[[str], str], cell: Cell) -> None:
    """Refuses conditions that a cell's data cannot have, and settings that a VAE has no use for."""
    if cell.t > cell.r:
        raise ConfigError(
            f"{named('t')}: {cell.t} is more than r = {cell.r}; a condition can tell r coordinates"
            " or fewer"
        )
    if cell.data == "union" and cell.t:
        raise ConfigError(
            f"{named('t')}: {cell.t} has no effect on data='union', whose condition is the class;"
            " it must be 0"
        )
    if cell.data == "varying_t" and (cell.t < T_STEP or cell.t % T_STEP):
        raise ConfigError(
            f"{named('t')}: {cell.t} is not usable with data='varying_t'; it must be even, 2 or"
            " more"
        )
    if cell.model == "cvae" and not cell.hidden:
        raise ConfigError(f"{named('hidden')}: () is not usable for a CVAE; give a layer, as (64,)")
    if cell.condition == "random" and (cell.data != "manifold" or cell.t == 0):
        raise ConfigError(
            f"{named('condition')}: 'random' has no effect without a t of one manifold; it must be"
            " 'identity'"
        )
    if cell.model == "vae":
        for field, idle in (("prior", "standard"), ("attention", False)):
            if getattr(cell, field) != idle:
                raise ConfigError(
                    f"{named(field)}: {getattr(cell, field)!r} has no effect on a VAE;"
                    f" it must be {idle!r}, or model 'cvae'"
                )


def start_families(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells that differ in the initial value of a learned log gamma alone, by ascending start."""
    families: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.log_gamma is None:
            start = f"-log_gamma_init={cell.log_gamma_init:g}"
            families.setdefault(cell.name.replace(start, ""), []).append(cell)
    return {
        family: sorted(members, key=lambda cell: cell.log_gamma_init)
        for family, members in families.items()
        if len(members) > 1
    }


def size_classes(group: Group) -> tuple[Group, ...]:
    """A group's cells in up to MAX_CLASSES parts of like size, each with sizes of its own.

    Every pair of true sizes (kappa, d) is a class where there are few enough of them; otherwise
    neighbours by size share one, at the larger size.
    """
    sizes = sorted({(cell.d, cell.kappa) for cell in group.cells})
    per_class = -(-len(sizes) // MAX_CLASSES)
    parts = [sizes[i : i + per_class] for i in range(0, len(sizes), per_class)]
    return tuple(
        group._replace(
            cells=tuple(cell for cell in group.cells if (cell.d, cell.kappa) in part),
            d=max(d for d, _ in part),
            kappa=max(kappa for _, kappa in part),
        )
        for part in parts
    )


def make_groups(cells: tuple[Cell, ...], group_by: tuple[str, ...] = ()) -> tuple[Group, ...]:
    """Cells with equal static fields, together; each group is one compiled program.

    Args:
        group_by: sizes that cells of a group must share as well.
    """
    by_static: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        sizes = tuple(getattr(cell, size) for size in group_by)
        by_static.setdefault(cell.static + sizes, []).append(cell)
    return tuple(
        Group(
            cells=tuple(members),
            kappa=max(cell.kappa for cell in members),
            d=max(cell.d for cell in members),
            r=max(cell.r for cell in members),
            c=max(cell.c for cell in members),
        )
        for members in by_static.values()
    )
