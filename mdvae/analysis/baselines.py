"""Second opinions on the dimension of a data set: what estimators say that train nothing.

TwoNN, maximum likelihood and local PCA are this package's own; DANCo, FisherS, CorrInt and MiND are
scikit-dimension's (Bac et al. 2021), asked where it is installed.
"""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mdvae.analysis.calibration import calibrated, dimension_grid, linear_scores, subsample
from mdvae.analysis.neighbours import (
    PCA_NEIGHBOURS,
    PCA_SHARE,
    Bootstrapped,
    Neighbours,
    Opinion,
    Progress,
    local_pca_estimate,
    mle,
    mle_estimate,
    nearest,
    opinion,
    two_nn,
    two_nn_estimate,
)
from mdvae.analysis.statistics import NAN, student_factor
from mdvae.settings.words import counted

MLE_NEIGHBOURS = 20
MLE_SCALES = (5, 10, 20, 50, 100)
# The table of DANCoFit ends at so many rows and dimensions; the others' time and memory grow with
# the square of the rows, too.
EXTRA_ROWS = 5000
DANCO_DIMENSIONS = 100
HALVES = 5
# References are of no fewer dimensions than this part of what TwoNN says, which is biased low.
LEAST_REFERENCE = 0.5


def missing() -> str:
    """How to install what the other opinions need, in one line; nothing where it is installed."""
    if importlib.util.find_spec("skdim") is not None:
        return ""
    return (
        "for more opinions (DANCo, FisherS, CorrInt, MiND): "
        "pip install 'mdvae[baselines]' (in a clone: pip install -e '.[baselines]')"
    )


def opinions(
    x: np.ndarray,
    generator: np.random.Generator,
    progress: Progress | None = None,
    extra: bool = True,
) -> list[Opinion]:
    """What each estimator says of the data, with a 95 % interval.

    Rows that occur twice are left out: they are neighbours at no distance, of which a dimension
    cannot be told. Time and memory grow with the square of the rows; `subsample` takes fewer.

    Args:
        x: [n, columns], finite.
        progress: told what is being done.
        extra: whether to ask scikit-dimension, where it is installed.

    Returns:
        Always as many; one that fails has the value nan, and the reason in its note.

    Raises:
        ValueError: if x is no finite matrix of at least three different rows.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or not np.all(np.isfinite(x)):
        raise ValueError("data must be a matrix of finite numbers")
    kept = np.sort(np.unique(x, axis=0, return_index=True)[1])
    more = len(x) - len(kept)
    doubles = f"{counted(more, 'duplicate row')} left out" if more else ""
    x = x[kept]
    if len(x) < 3:
        raise ValueError(f"{counted(len(x), 'different row')}: too few for a dimension")
    # Distances are the same but for rounding, and what follows is as wide as data are.
    scores = linear_scores(x)
    neighbours = nearest(x, min(max(*MLE_SCALES, PCA_NEIGHBOURS), len(x) - 1), progress)
    asked: list[tuple[str, Callable[[], Opinion]]] = [
        ("TwoNN", lambda: _two_nn(neighbours, generator)),
        ("MLE", lambda: _mle(neighbours, generator)),
        ("local PCA", lambda: _local_pca(scores, neighbours, generator)),
        ("TwoNN calibrated", lambda: _calibrated(scores, neighbours, generator, progress)),
    ]
    if extra and not missing():
        few = subsample(scores, EXTRA_ROWS, generator)
        asked += [(name, partial(_halved, name, few, generator)) for name in EXTRA]
    told = [_attempt(name, ask, progress) for name, ask in asked]
    if not doubles:
        return told
    return [one._replace(note="; ".join(filter(None, (one.note, doubles)))) for one in told]


def _attempt(name: str, ask: Callable[[], Opinion], progress: Progress | None) -> Opinion:
    """An opinion, or why there is none: an estimator that fails takes no other with it."""
    if progress is not None:
        progress(name)
    try:
        told = ask()
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Opinion(name, NAN, NAN, NAN, f"failed: {type(error).__name__}: {first}")
    if not np.isfinite(told.value):
        return Opinion(name, NAN, NAN, NAN, "failed: no number on these data")
    return told


def _two_nn(neighbours: Neighbours, generator: np.random.Generator) -> Opinion:
    return opinion("TwoNN", two_nn_estimate(neighbours.distances, generator))


def _mle(neighbours: Neighbours, generator: np.random.Generator) -> Opinion:
    distances = neighbours.distances
    most = distances.shape[1]
    scales = sorted({min(scale, most) for scale in MLE_SCALES})
    curve = [mle(distances, scale) for scale in scales]
    k = min(MLE_NEIGHBOURS, most)
    note = f"k={k}; {np.min(curve):.1f} to {np.max(curve):.1f} for k from {scales[0]} to {most}"
    return opinion("MLE", mle_estimate(distances, k, generator), note)


def _local_pca(
    scores: np.ndarray, neighbours: Neighbours, generator: np.random.Generator
) -> Opinion:
    indices = neighbours.indices[:, :PCA_NEIGHBOURS]
    note = f"k={indices.shape[1]}; components above {PCA_SHARE:g} of the first"
    return opinion("local PCA", local_pca_estimate(scores, indices, generator), note)


def _calibrated(
    scores: np.ndarray,
    neighbours: Neighbours,
    generator: np.random.Generator,
    progress: Progress | None,
) -> Opinion:
    def estimate(data: np.ndarray) -> Bootstrapped:
        return two_nn_estimate(nearest(data, 2).distances, generator)

    span = scores.shape[1]
    least = LEAST_REFERENCE * two_nn(neighbours.distances)
    dimensions = [m for m in dimension_grid(span) if not m < least] or [span]
    told = calibrated(scores, estimate, dimensions, generator, progress)
    note = "against independent columns of known number"
    if told.value == span:
        note += f"; at the linear span, {span}, and may be less"
    return opinion("TwoNN calibrated", told, note)


# Of an installed scikit-dimension and of how many columns there are.
EXTRA: dict[str, Callable[[Any, int], Any]] = {
    "DANCo": lambda skdim, d: skdim.id.DANCo(ver="DANCoFit", D=min(d, DANCO_DIMENSIONS)),
    "FisherS": lambda skdim, _: skdim.id.FisherS(),
    "CorrInt": lambda skdim, _: skdim.id.CorrInt(),
    "MiND": lambda skdim, d: skdim.id.MiND_ML(ver="MLk", D=d),
}


def _halved(name: str, x: np.ndarray, generator: np.random.Generator) -> Opinion:
    """An estimator of scikit-dimension with an interval from halves of the rows.

    A half without replacement shares half of its rows with the others: around the estimate from
    all n rows, one from m of them has the variance s²/m (1 - m/n), where that of other draws of
    all rows is s²/n. The second is m / (n - m) times the first, which for halves is once (the
    delete-d jackknife of Shao & Wu 1989): the halves' standard deviation is the estimate's own.
    With so few of them it is Student's t by which it is multiplied.

    Args:
        x: [n, linear span].
    """
    # What libraries warn of, and print, is seen from the value.
    with (
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        # Seconds to import, and not always installed.
        import skdim

        # It takes no single column; one of zeros changes no distance.
        wide = np.pad(x, ((0, 0), (0, 1))) if x.shape[1] == 1 else x

        def ask(data: np.ndarray) -> float:
            return float(EXTRA[name](skdim, data.shape[1]).fit(data).dimension_)

        value = ask(wide)
        halves = [ask(subsample(wide, len(x) // 2, generator)) for _ in range(HALVES)]
    half = student_factor(HALVES - 1) * float(np.std(halves, ddof=1))
    note = f"scikit-dimension; {len(x)} rows, interval from {HALVES} halves of them"
    if value >= x.shape[1]:
        note += f"; at the linear span, {x.shape[1]}, or above"
    return Opinion(name, value, value - half, value + half, note)
