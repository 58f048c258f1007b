"""A sweep as data: the axes of a config become cells, and cells become groups."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from mdvae.settings.axes import LEADING, known_axes, of_kind
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import STATIC, ConfigError, fields_of
from mdvae.settings.registry import DATA, METHODS, NETWORKS, SECTIONS

# The sections of which a cell has its own.
CELL_SECTIONS = ("data", "method", "networks", "optimiser", "analysis")

# With fewer evaluation samples nothing can be said of how much a result depends on them.
LEAST_EVALUATED = 20


class Part(NamedTuple):
    """A part of a cell's data that is evaluated apart.

    Attributes:
        value: what tells it from the others, such as its class.
        dimension: of the manifold that its samples lie on; None where that is not known.
        told: how many of these dimensions the condition tells.
        noise: standard deviation of noise off the manifold.
        share: of all samples, where parts are not as frequent as each other.
    """

    value: int = 0
    dimension: int | None = None
    told: int = 0
    noise: float = 0.0
    share: float | None = None


def shares_of(parts: Sequence[Part]) -> list[float]:
    """Of all samples, the share that each of some parts has; all the same where none is said."""
    return [1.0 / len(parts) if part.share is None else part.share for part in parts]


def weights_of(parts: Sequence[Part]) -> list[float] | None:
    """`shares_of` as weights of a mean; None where parts are as frequent as each other."""
    return shares_of(parts) if any(part.share is not None for part in parts) else None


class Sizes(NamedTuple):
    """Widths that are padded to those of the largest cell of a group.

    Attributes:
        kappa: of the latent z.
        d: of the data x.
        c: of the condition that the networks are given; 0 where there is none.
        r: of the hidden coordinates from which data are made; 0 where there are none.
        shape: of a sample that is no vector, such as (height, width, channels); it is not padded.
        past: points of a sequence that the networks are given before those of x; not padded.
        points: of x, of a sequence, each with a latent of its own; 0 of samples that are none.
    """

    kappa: int
    d: int
    c: int
    r: int
    shape: tuple[int, ...] = ()
    past: int = 0
    points: int = 0


@dataclasses.dataclass(frozen=True)
class Cell:
    """A point of the grid with all its settings: the coordinates of one run, its seed apart.

    Attributes:
        name: short and unique within a sweep, such as "kappa20-d30-r6".
        point: what the grid varies, as pairs of an axis and its value.
        sizes: the true ones.
        parts: of the data; a single one where they are evaluated as a whole.
        batch_size: samples of a step.
        data, method, networks, optimiser, analysis: the sections, as `SweepConfig` has them.
    """

    name: str
    point: tuple[tuple[str, Any], ...]
    sizes: Sizes
    parts: tuple[Part, ...]
    batch_size: int
    data: Any
    method: Any
    networks: Any
    optimiser: Any
    analysis: Any

    @property
    def static(self) -> tuple[Any, ...]:
        """What two cells must share to be run by one program."""
        sections = [getattr(self, name) for name in CELL_SECTIONS]
        choices = (
            getattr(section, name)
            for section in sections
            for name, field in fields_of(section).items()
            # Networks are made once for all runs of a program; kappa alone is padded.
            if field.role == STATIC or (section is self.networks and name != "kappa")
        )
        samples = DATA.find(self.data.kind).samples(self.data)
        kinds = (section.kind for section in sections)
        unpadded = self.sizes.shape, self.sizes.past, self.sizes.points
        return (self.batch_size, samples, *unpadded, *kinds, *choices)

    @property
    def is_told(self) -> bool:
        """Whether the networks are given the condition of the data."""
        return METHODS.find(self.method.kind).told(self.method)

    def value(self, name: str) -> Any:
        """The value of a field of any section by its name, or None where there is none."""
        for section in (getattr(self, each) for each in CELL_SECTIONS):
            if name in fields_of(section):
                return getattr(section, name)
        return None


class Run(NamedTuple):
    """One training: a cell and a seed."""

    cell: Cell
    seed: int


class Group(NamedTuple):
    """Cells that one compiled program runs, and the sizes that they are padded to."""

    cells: tuple[Cell, ...]
    sizes: Sizes


def format_axis(value: Any) -> str:
    """A value of an axis, for names; two values never read alike."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def name_of(point: Iterable[tuple[str, Any]]) -> str:
    """The name of a point of a grid: its sizes, then its other axes."""
    words = [
        f"{axis}{value}" if axis in LEADING else f"{axis}={format_axis(value)}"
        for axis, value in point
    ]
    return "-".join(words) or "cell"


def make_cells(config: SweepConfig) -> tuple[Cell, ...]:
    """All cells of a sweep, in the order of its grids and of their axes.

    Raises:
        ConfigError: where settings do not go together, or a cell stands twice.
    """
    cells: dict[str, Cell] = {}
    for grid, axes in config.grids.items():
        path = f"grid.{grid}" if grid else "grid"
        for values in itertools.product(*axes.values()):
            cell = _cell(config, path, tuple(zip(axes, values, strict=True)))
            if cell.name in cells:
                raise ConfigError(
                    f"{path}: the cell {cell.name} stands in two grids; it may in one"
                )
            cells[cell.name] = cell
    return tuple(cells.values())


def _cell(config: SweepConfig, path: str, point: tuple[tuple[str, Any], ...]) -> Cell:
    """The cell of a point: the config's sections with the point's values in their places."""
    values = dict(point)
    sections = {name: getattr(config, name) for name in CELL_SECTIONS}
    for name in sections:
        if name in values:
            sections[name] = of_kind(sections[name], SECTIONS[name], values[name])
    known = known_axes({n: (s.kind,) for n, s in sections.items() if n != "analysis"})
    for axis, value in values.items():
        if axis not in known:
            raise ConfigError(f"{path}.{axis}: has no effect on every kind of this grid; split it")
        section = known[axis].section
        if section and axis not in sections:
            sections[section] = dataclasses.replace(sections[section], **{axis: value})
    data, method = DATA.find(sections["data"].kind), METHODS.find(sections["method"].kind)
    named = partial(_setting, path, values, known)
    data.check(sections["data"], named)
    width = data.sizes(sections["data"], method.told(sections["method"]))
    cell = Cell(
        name=name_of(point),
        point=point,
        sizes=Sizes(sections["networks"].kappa, *width),
        parts=data.parts(sections["data"]),
        batch_size=values.get("batch_size", config.batch_size),
        **sections,
    )
    n_train, n_eval = data.samples(sections["data"])
    if n_eval < LEAST_EVALUATED:
        raise ConfigError(
            f"{named('n_eval')}: {n_eval} is too few to evaluate on; it must be {LEAST_EVALUATED}"
            " or more"
        )
    if cell.batch_size > n_train:
        raise ConfigError(
            f"{named('batch_size')}: {cell.batch_size} is more than n_train = {n_train}; it must be"
            f" {n_train} or less"
        )
    NETWORKS.find(cell.networks.kind).check(cell, named)
    method.check(cell, named)
    return cell


def _setting(path: str, point: Mapping[str, Any], known: Mapping[str, Any], field: str) -> str:
    """A setting as the user would write it: an axis of the grid, or a field of the config."""
    if field in point:
        return f"{path}.{field}"
    section = known[field].section if field in known else ""
    return f"{section}.{field}" if section else field


Named = Callable[[str], str]


def families(cells: Sequence[Cell], axis: str) -> dict[str, list[Cell]]:
    """Cells that differ in one axis alone, by the name of all else; each list by ascending value.

    Cells that have the axis not, or None in it, belong to no family, and one cell is none.
    """
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if dict(cell.point).get(axis) is not None:
            rest = name_of(pair for pair in cell.point if pair[0] != axis)
            found.setdefault(rest, []).append(cell)
    return {
        name: sorted(members, key=lambda cell: dict(cell.point)[axis])
        for name, members in found.items()
        if len(members) > 1
    }


def largest(cells: Sequence[Cell]) -> Sizes:
    """The sizes that hold every one of some cells."""
    return Sizes(*(max(sizes) for sizes in zip(*(cell.sizes for cell in cells), strict=True)))


def make_groups(cells: Sequence[Cell], group_by: Sequence[str] = ()) -> tuple[Group, ...]:
    """Cells with equal static settings, together; each group is one compiled program.

    Args:
        group_by: sizes that cells of a group must share as well.
    """
    by_static: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        sizes = tuple(getattr(cell.sizes, size) for size in group_by)
        by_static.setdefault(cell.static + sizes, []).append(cell)
    return tuple(Group(tuple(members), largest(members)) for members in by_static.values())


# Each costs a second of compiling; a step is taken at the sizes of its class.
MAX_CLASSES = 6


def size_classes(group: Group) -> tuple[Group, ...]:
    """A group's cells in up to MAX_CLASSES groups of like size, each with sizes of its own.

    Every pair of true sizes (d, kappa) is a class where there are few enough of them; otherwise
    neighbours by size share one, at the larger size.
    """
    pairs = sorted({(cell.sizes.d, cell.sizes.kappa) for cell in group.cells})
    per_class = -(-len(pairs) // MAX_CLASSES)
    classes = []
    for i in range(0, len(pairs), per_class):
        mine = pairs[i : i + per_class]
        cells = tuple(c for c in group.cells if (c.sizes.d, c.sizes.kappa) in mine)
        sizes = group.sizes._replace(d=max(d for d, _ in mine), kappa=max(k for _, k in mine))
        classes.append(Group(cells, sizes))
    return tuple(classes)
