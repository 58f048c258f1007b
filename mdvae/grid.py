"""A sweep as data: the axes of a config become cells, and cells become groups."""

import dataclasses
import itertools
from typing import Any, NamedTuple

from mdvae.config import NUMBER_AXES, STATIC_AXES, ConfigError, SweepConfig


@dataclasses.dataclass(frozen=True)
class Cell:
    """The coordinates of one run, its seed apart.

    Attributes:
        kappa: width of the latent z.
        d: width of the data x.
        r: dimension of the data manifold.
        t: effective dimension of the condition; 0 for an unconditional model.
        sigma: standard deviation of noise added to x.
        log_gamma_init: initial log variance of the decoder, where it is learned or annealed.
        log_gamma: the level at which the log variance is held, or None where it is learned.
        anneal, kl_warmup: as in `SweepConfig`.
        learning_rate: peak of the schedule.
        hidden, decoder_hidden, activation, encoder_input, output, batch_size: as in `SweepConfig`;
            equal within a group.
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
    hidden: tuple[int, ...]
    decoder_hidden: tuple[int, ...]
    activation: str
    encoder_input: str
    output: str
    batch_size: int
    name: str

    @property
    def static(self) -> tuple[Any, ...]:
        """What two cells must share to be run by one program."""
        return tuple(getattr(self, axis) for axis in STATIC_AXES)

    @property
    def start_log_gamma(self) -> float:
        """Log gamma before the first step."""
        return self.log_gamma_init if self.log_gamma is None or self.anneal else self.log_gamma

    @property
    def expected_ad(self) -> int:
        """Active dimensions of a global optimum: r - t (Theorems 1 and 2), or all kappa if fewer.

        For r = d Theorem 1 does not apply; r is then only what one would hope for.
        """
        return min(self.r - self.t, self.kappa)

    @property
    def in_theorem(self) -> bool:
        """Whether Theorem 1 of CVAE-dims covers the cell: r < d, kappa >= r, no noise."""
        return self.r < self.d and self.kappa >= self.r and self.sigma == 0


# Each costs a second of compiling; a step is taken at the size of its class.
MAX_CLASSES = 6


class Group(NamedTuple):
    """Cells that one compiled program runs, and the sizes that they are padded to."""

    cells: tuple[Cell, ...]
    kappa: int
    d: int
    r: int


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
            cells[name] = Cell(
                kappa=point["kappa"],
                d=point["d"],
                r=point["r"],
                t=0,
                log_gamma=point.get("log_gamma"),
                name=name,
                **{
                    axis: point.get(axis, getattr(config, axis))
                    for axis in NUMBER_AXES + STATIC_AXES
                    if axis not in ("kappa", "d", "r", "log_gamma")
                },
            )
    return tuple(cells.values())


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
        )
        for members in by_static.values()
    )
