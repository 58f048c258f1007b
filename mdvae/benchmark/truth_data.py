"""Data sets of known dimension: the manifolds of scikit-dimension, and our own.

What counts as the truth of a case is stated once: the dimension of the manifold that the rows lie
on; of the manifold without the noise where there is noise; of the largest member where the rows
come from several manifolds. Rotations into more columns change nothing of it.

Draws 100-199 are for the search for recipes, 0-99 and 5000 up for what is reported; the others are
neither's.
"""

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from mdvae.settings.fields import ConfigError

Make = Callable[[int, np.random.Generator], np.ndarray]

SCIKIT_DIMENSION = "scikit-dimension"
REPORTING, SEARCHING, NEITHER = "reporting", "searching", "neither"
# Of skdim.datasets.BenchmarkManifolds, without M10d_Cubic, of dimension 70.
SKDIM_DIMENSIONS = {
    "M1_Sphere": 10,
    "M2_Affine_3to5": 3,
    "M3_Nonlinear_4to6": 4,
    "M4_Nonlinear": 4,
    "M5a_Helix1d": 1,
    "M5b_Helix2d": 2,
    "M6_Nonlinear": 6,
    "M7_Roll": 2,
    "M8_Nonlinear": 12,
    "M9_Affine": 20,
    "M10a_Cubic": 10,
    "M10b_Cubic": 17,
    "M10c_Cubic": 24,
    "M11_Moebius": 2,
    "M12_Norm": 20,
    "M13a_Scurve": 2,
    "M13b_Spiral": 1,
    "Mbeta": 10,
    "Mn1_Nonlinear": 18,
    "Mn2_Nonlinear": 24,
    "Mp1_Paraboloid": 3,
    "Mp2_Paraboloid": 6,
    "Mp3_Paraboloid": 9,
}
RAISED_COLUMNS = 100
SMALL_ROWS = 500


class Case(NamedTuple):
    """A data set of known dimension.

    Attributes:
        name: of the case, unlike any other's.
        family: which kind it is: "scikit-dimension", or of ours "smooth", "noise", "raised",
            "small" or "unions".
        dimension: the truth; that of the largest member where there are several.
        make: make(n, generator) -> rows [n, d], float64.
        members: the dimension of each manifold that rows come from.
        rows: how many there always are, or None for as many as are asked for.
    """

    name: str
    family: str
    dimension: int
    make: Make
    members: tuple[int, ...]
    rows: int | None = None


def _directions(n: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform on the unit sphere of some number of columns, [n, columns]."""
    x = generator.standard_normal((n, columns))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _circles(angles: np.ndarray) -> np.ndarray:
    """Angles [n, k] as points of the plane, [n, 2 k]."""
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def sphere(dimension: int) -> Make:
    """The unit sphere, evenly: [n, dimension + 1]."""
    return lambda n, generator: _directions(n, dimension + 1, generator)


def flat_torus(dimension: int) -> Make:
    """A product of unit circles, evenly: [n, 2 dimension]."""
    return lambda n, generator: _circles(generator.uniform(0, 2 * np.pi, (n, dimension)))


def torus_of_revolution(n: int, generator: np.random.Generator) -> np.ndarray:
    """Radii 2 and 1, even in both angles, so that it is denser inside: [n, 3]."""
    around, tube = generator.uniform(0, 2 * np.pi, (2, n))
    distance = 2 + np.cos(tube)
    return np.stack([distance * np.cos(around), distance * np.sin(around), np.sin(tube)], axis=1)


def circle_and_plane(n: int, generator: np.random.Generator) -> np.ndarray:
    """A unit circle times a plane with the standard normal distribution: [n, 4]."""
    circle = flat_torus(1)(n, generator)
    return np.concatenate([circle, generator.standard_normal((n, 2))], axis=1)


def sphere_and_interval(n: int, generator: np.random.Generator) -> np.ndarray:
    """The unit sphere S^4 times the interval from -1 to 1, evenly: [n, 6]."""
    return np.concatenate([sphere(4)(n, generator), generator.uniform(-1, 1, (n, 1))], axis=1)


def plane_and_sphere(n: int, generator: np.random.Generator) -> np.ndarray:
    """Half of a unit sphere S^5, and a square of side 2 at a distance of 1 or more: [n, 6]."""
    rows = n // 2
    patch = _directions(n - rows, 6, generator)
    patch[:, 0] = np.abs(patch[:, 0])
    square = np.zeros((rows, 6))
    square[:, 0] = -1
    square[:, 1:3] = generator.uniform(-1, 1, (rows, 2))
    return generator.permutation(np.concatenate([square, patch]))


def circle_and_torus(n: int, generator: np.random.Generator) -> np.ndarray:
    """The flat torus T^3, and a circle about its centre at a distance of 1.5 or more: [n, 6]."""
    rows = n // 2
    circle = np.zeros((rows, 6))
    circle[:, :2] = 3 * flat_torus(1)(rows, generator)
    return generator.permutation(np.concatenate([circle, flat_torus(3)(n - rows, generator)]))


def noisy(make: Make, share: float) -> Make:
    """Normal noise on every column.

    Args:
        make: the rows without it.
        share: its standard deviation, over the root mean square of the columns' deviations.
    """

    def with_noise(n: int, generator: np.random.Generator) -> np.ndarray:
        x = make(n, generator)
        return x + share * np.sqrt(x.var(axis=0).mean()) * generator.standard_normal(x.shape)

    return with_noise


def raised(make: Make) -> Make:
    """The rows rotated into `RAISED_COLUMNS` columns, by a rotation that is drawn with them."""

    def rotated(n: int, generator: np.random.Generator) -> np.ndarray:
        x = make(n, generator)
        basis, _ = np.linalg.qr(generator.standard_normal((RAISED_COLUMNS, x.shape[1])))
        return x @ basis.T

    return rotated


def _skdim_manifold(name: str) -> Make:
    def make(n: int, generator: np.random.Generator) -> np.ndarray:
        try:
            manifolds = importlib.import_module("skdim.datasets").BenchmarkManifolds
            known = manifolds(random_state=np.random.RandomState(generator.bit_generator))
        except ImportError as error:  # pandas is imported when the manifolds are made
            raise ConfigError(
                f"--cases: {name} needs scikit-dimension and pandas; pip install '.[baselines]'"
            ) from error
        # All are drawn, since each continues the random numbers of those before it.
        return known.generate(name="all", n=n)[name]

    return make


def _own_cases() -> list[Case]:
    def case(name: str, family: str, make: Make, *members: int, rows: int | None = None) -> Case:
        return Case(name, family, max(members), make, members, rows)

    return [
        case("sphere2", "smooth", sphere(2), 2),
        case("sphere5", "smooth", sphere(5), 5),
        case("torus3", "smooth", flat_torus(3), 3),
        case("revolution2", "smooth", torus_of_revolution, 2),
        case("circle_plane3", "smooth", circle_and_plane, 3),
        case("sphere_interval5", "smooth", sphere_and_interval, 5),
        case("torus3_noise1", "noise", noisy(flat_torus(3), 0.01), 3),
        case("torus3_noise5", "noise", noisy(flat_torus(3), 0.05), 3),
        case("sphere5_raised", "raised", raised(sphere(5)), 5),
        case("revolution2_raised", "raised", raised(torus_of_revolution), 2),
        case("torus3_small", "small", flat_torus(3), 3, rows=SMALL_ROWS),
        case("sphere5_small", "small", sphere(5), 5, rows=SMALL_ROWS),
        case("plane2_sphere5", "unions", plane_and_sphere, 2, 5),
        case("circle1_torus3", "unions", circle_and_torus, 1, 3),
    ]


def all_cases() -> dict[str, Case]:
    """Every case by its name, those of scikit-dimension first."""
    known = [
        Case(name, SCIKIT_DIMENSION, dimension, _skdim_manifold(name), (dimension,))
        for name, dimension in SKDIM_DIMENSIONS.items()
    ]
    return {case.name: case for case in [*known, *_own_cases()]}


def choose_cases(names: Sequence[str], cases: Mapping[str, Case]) -> list[Case]:
    """The cases of some names, in the order of `cases`.

    Args:
        names: of cases or of families, or "all".
        cases: those to choose from, by name.

    Raises:
        ConfigError: where a name is none of these.
    """
    families = {case.family for case in cases.values()}
    for name in names:
        if name != "all" and name not in cases and name not in families:
            raise ConfigError(
                f"--cases: {name!r} is not usable; it must be all, one of the families"
                f" {', '.join(sorted(families))}, or one of {', '.join(cases)}"
            )
    asked = {"all", *names} if "all" in names else set(names)
    return [
        case
        for case in cases.values()
        if "all" in asked or case.name in asked or case.family in asked
    ]


def draw_case(case: Case, n: int, draw: int) -> np.ndarray:
    """The data of one draw, a pure function of the case, n and the draw.

    Those of scikit-dimension are what BenchmarkManifolds(random_state=draw).generate(n=n) gives.

    Args:
        case: which data.
        n: rows, where the case does not fix them.
        draw: 0 or more.

    Returns:
        [n, d], float64.

    Raises:
        ConfigError: where scikit-dimension is needed and not installed.
    """
    if case.family == SCIKIT_DIMENSION:
        bits = np.random.MT19937()
        # The state by which scikit-dimension itself would begin, in a generator of today.
        bits.state = cast(Any, np.random.RandomState(draw).get_state(legacy=False))
    else:
        bits = np.random.PCG64([zlib.crc32(case.name.encode()), draw])
    return case.make(rows_of(case, n), np.random.Generator(bits))


def rows_of(case: Case, n: int) -> int:
    """How many rows a case has where n are asked for."""
    return case.rows or n


def split_of(draw: int) -> str:
    """Whether a draw is for reporting, for searching, or for neither."""
    if 100 <= draw < 200:
        return SEARCHING
    return REPORTING if 0 <= draw < 100 or draw >= 5000 else NEITHER
