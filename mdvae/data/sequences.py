"""Data kind "sequences": windows of r independent ARMA processes under an affine map to R^d.

CVAE-dims, Section 4.6. A sample is a stretch of `length` neighbouring points of one long series;
given its first `past` points, each of the others lies on a manifold of r dimensions, for it adds
one innovation of each process. Arrays are feature-major with an axis of points in front, [points,
width, samples].
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.base import EPOCH, TURN, DataKind, DataSizes
from mdvae.data.keys import PURPOSES
from mdvae.settings.fields import (
    ABOVE_ZERO,
    NOT_NEGATIVE,
    ConfigError,
    Rule,
    Section,
    fixed,
    is_number,
    number,
    one_of,
    required,
    static,
    whole,
)
from mdvae.settings.grid import Named, Part, Sizes
from mdvae.settings.registry import DATA

RANDOM, IN_TURN = "random", "in_turn"
FRESH, REPEATED = "fresh", "repeated"

_LAGS = Rule(
    lambda v: isinstance(v, tuple) and all(map(is_number, v)),
    "a tuple of numbers, one for each lag from the first on",
    tuple,
)


@dataclasses.dataclass(frozen=True)
class Sequences(Section):
    """The law of the series, and how they are cut.

    Attributes:
        r: independent processes.
        d: width of a point x = W u + b, W and b uniform on +-1/sqrt(r).
        length: points of a sample.
        past: of which so many are given; the others are predicted, each from all before it.
        ar: of y_t on y_{t-1}, y_{t-2}, ...; the published polynomial has these with the other sign.
        ma: of y_t on the innovations before that of its own.
        innovation: standard deviation of these.
        sigma: of normal noise added to x, off the manifold.
        burn_in: first points of a series that are left out, for it begins at 0.
        batches: "random" takes samples in another random order every epoch, "in_turn" as they stand
            in the series, neighbours together (published).
        evaluation: on "fresh" series, or on ones of "repeated" innovations: those that training
            began with (published).
        n_train, n_eval: samples, each from one series of so many and length - 1 points.
    """

    r: int = required(whole(1))
    d: int = required(whole(1))
    length: int = static(6, whole(2))
    past: int = static(5, whole(0))
    ar: tuple[float, ...] = number((0.5, -0.25, 0.4), _LAGS)
    ma: tuple[float, ...] = number((0.65, 0.35), _LAGS)
    innovation: float = number(0.5, ABOVE_ZERO)
    sigma: float = number(0.0, NOT_NEGATIVE)
    burn_in: int = fixed(1_000, whole(0))
    batches: str = fixed(RANDOM, one_of((RANDOM, IN_TURN)))
    evaluation: str = fixed(FRESH, one_of((FRESH, REPEATED)))
    n_train: int = fixed(19_995, whole(1))
    n_eval: int = fixed(5_000, whole(1))


class Table(NamedTuple):
    """What a data set depends on."""

    seed: int
    settings: Any


def arma(innovations_RN: np.ndarray, ar: Any, ma: Any) -> np.ndarray:
    """ARMA processes, [r, n], that begin at 0: a row of innovations makes a row.

    y_t = sum_i ar_i y_{t-i} + e_t + sum_j ma_j e_{t-j} (Box and Jenkins, 1970).
    """
    from scipy.signal import lfilter  # a second, which every command would wait for

    series: Any = lfilter((1.0, *ma), (1.0, *(-value for value in ar)), innovations_RN, axis=-1)
    return series


def autocorrelation(ar: Any, ma: Any, lags: int) -> np.ndarray:
    """Of a stationary ARMA process at lags 0 to `lags`, [lags + 1], from its impulse response."""
    # The response falls geometrically; where it is cut a root of size 0.999 has left 2e-9.
    response = arma(np.eye(1, 20_000 + lags)[0], ar, ma)
    n = response.size
    covariance = np.array([response[lag:] @ response[: n - lag] for lag in range(lags + 1)])
    return covariance / covariance[0]


def windows(series_DN: np.ndarray, length: int) -> np.ndarray:
    """All stretches of neighbouring points of a series [d, n], [length, d, n - length + 1]."""
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(series_DN, length, axis=1), 2, 0)


def split_points(x_TDN: np.ndarray, sizes: Sizes) -> dict[str, np.ndarray]:
    """Samples of a sequence as a batch: what is predicted, and what is given where anything is."""
    first = x_TDN.shape[0] - sizes.points
    found = {"x": x_TDN[first:]}
    return {**found, "c": x_TDN[first - sizes.past : first]} if sizes.past else found


def sequence_sizes(d: int, length: int, past: int, told: bool, r: int = 0) -> DataSizes:
    """The sizes of samples of `length` points, of which `past` are given to networks if told."""
    told = told and past > 0
    return DataSizes(d=d, c=d * told, r=r, past=past * told, points=length - past)


def sequence_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Shapes of what is predicted and of what is given."""
    x = {"x": (sizes.points, sizes.d)}
    return {**x, "c": (sizes.past, sizes.d)} if sizes.past else x


def check_past(settings: Any, named: Named) -> None:
    """Refuses to give all points, so that none is left to predict."""
    if settings.past >= settings.length:
        raise ConfigError(
            f"{named('past')}: {settings.past} is not usable; it must be below length ="
            f" {settings.length}, so that a point is left to predict"
        )


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, PURPOSES.index(purpose)])


def _make(law: Any, table: Table, n: int, split: str, part: int | None) -> dict[str, np.ndarray]:
    """n samples of one series, at true sizes."""
    _, sizes = law
    own = table.settings
    points = n + own.length - 1
    repeated = split == "eval" and own.evaluation == REPEATED
    # Series by series, so that a shorter set begins with the innovations of a longer one.
    noise = _generator(table.seed, "train" if repeated else split)
    innovations_RN = own.innovation * noise.normal(size=(own.r, own.burn_in + points))
    u_RN = arma(innovations_RN, own.ar, own.ma)[:, own.burn_in :]
    affine, bound = _generator(table.seed, "manifold"), 1.0 / math.sqrt(own.r)
    weights_DR = affine.uniform(-bound, bound, (own.d, own.r))
    x_DN = weights_DR @ u_RN + affine.uniform(-bound, bound, (own.d, 1))
    if own.sigma:
        x_DN = x_DN + own.sigma * _generator(table.seed, f"{split}_sigma").normal(size=x_DN.shape)
    x_TDN = np.ascontiguousarray(windows(x_DN.astype(np.float32), own.length))
    return split_points(x_TDN, sizes)


def _check(settings: Any, named: Named) -> None:
    """Refuses what leaves nothing to predict, and processes that grow without bound."""
    check_past(settings, named)
    roots = np.abs(np.roots((1.0, *(-value for value in settings.ar))))
    if roots.size and roots.max() >= 1.0:
        raise ConfigError(
            f"{named('ar')}: {settings.ar} is not usable; it must be of a stationary process, whose"
            f" characteristic roots are below 1 in size; the largest is {roots.max():.4g}"
        )
    if settings.evaluation == REPEATED and settings.n_eval > settings.n_train:
        raise ConfigError(
            f"data.n_eval: {settings.n_eval} is not usable where the innovations of training"
            f" are repeated; it must be n_train = {settings.n_train} or less"
        )


DATA.add(
    "sequences",
    DataKind(
        settings=Sequences,
        sizes=lambda s, told: sequence_sizes(s.d, s.length, s.past, told, s.r),
        samples=lambda settings: (settings.n_train, settings.n_eval),
        table=lambda settings, seed: Table(seed, settings),
        make=_make,
        shapes=sequence_shapes,
        parts=lambda settings: (Part(dimension=settings.r, noise=settings.sigma),),
        order=lambda settings: TURN if settings.batches == IN_TURN else EPOCH,
        traced=False,
        check=_check,
    ),
)
