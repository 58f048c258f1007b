"""From a trained ladder and the table to the evidence that a verdict weighs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdvae.analysis.calibration import linear_span, subsample
from mdvae.analysis.dims import largest_gap
from mdvae.analysis.neighbours import (
    DRAWS,
    PCA_NEIGHBOURS,
    Bootstrapped,
    Neighbours,
    local_inverses,
    local_pca,
    mle,
    nearest,
    two_nn_estimate,
)
from mdvae.analysis.statistics import NAN
from mdvae.data.array_given import standardised
from mdvae.estimation import normal_law
from mdvae.estimation.plan import gaussian_nelbo
from mdvae.estimation.shown import Evidence, Rung, active_latents, best_rung, median
from mdvae.estimation.verdict import decide
from mdvae.store.loading import LoadedRun
from mdvae.store.rundir import HELD_OUT, Row

# Rows of which neighbours are sought, and rows that the linear span is measured on.
MOST_POINTS, MOST_SPAN_ROWS = 5_000, 20_000
GENERATOR = 0
# Part of the training before which nothing should be different any more.
LAST_PART = 0.75
# What TwoNN says of regular rows is more than so many times what more neighbours say.
REGULAR = 2.0
# Neighbours that a local dimension is of, and that it is averaged over.
LOCAL_NEIGHBOURS, LOCAL_MEAN = 20, 30
# A column of no more different values than this has no dimension.
FEW_VALUES = 50


class Seen(NamedTuple):
    """What is known of a table before anything is trained; see `verdict.Evidence`.

    Attributes:
        points: rows whose neighbours were sought, [n, d].
        places: which rows of the table they are.
        given: [rows of the table, c], what is known of them, or None.
    """

    points: np.ndarray
    span: int
    raw: float
    neighbours: float
    low: float
    high: float
    far: float
    local: float
    spacing: float
    thin: float
    thick: float
    on_grid: bool
    places: np.ndarray
    given: np.ndarray | None = None


def local_extremes(near: Neighbours) -> tuple[float, float]:
    """Dimensions near the rows where they are fewest and most, the 5th and 95th percentile.

    By maximum likelihood, its inverse averaged over the neighbours of each row. On one manifold
    they differ by a factor of 1.7 at most, on unions of unlike ones by more than 2 (measured on
    the benchmark's data, `mdvae.benchmark.truth_data`); nan where rows repeat.
    """
    if np.any(near.distances[:, 0] == 0.0):
        return NAN, NAN
    k = min(LOCAL_NEIGHBOURS, near.distances.shape[1])
    inverses = local_inverses(near.distances, k)
    smooth = np.mean(inverses[near.indices[:, :LOCAL_MEAN]], axis=1)
    thin, thick = 1.0 / np.percentile(smooth, (95, 5))
    return float(thin), float(thick)


def look(x: np.ndarray) -> Seen:
    """What neighbours and principal components see.

    Args:
        x: [n, d], scaled.
    """
    generator = np.random.default_rng(GENERATOR)
    places = subsample(np.arange(len(x)), MOST_POINTS, generator)
    points = np.asarray(x[places], np.float64)
    near = nearest(points, min(PCA_NEIGHBOURS, len(points) - 1))
    found = two_nn_estimate(near.distances, generator)
    wider = mle(near.distances, min(LOCAL_NEIGHBOURS, near.distances.shape[1]))
    # Regular rows have both neighbours at one distance, of which TwoNN makes any number.
    on_grid = not (np.isfinite(found.value) and found.value < REGULAR * wider)
    if on_grid:
        found = Bootstrapped(wider if np.isfinite(wider) else 1.0, np.full(DRAWS, wider))
    ends = np.nan_to_num(np.percentile(found.draws, (2.5, 97.5)), nan=found.value)
    value, low, high = (
        normal_law.calibrated(float(each), len(points)) for each in (found.value, *ends)
    )
    thin, thick = local_extremes(near)
    return Seen(
        points=points,
        span=linear_span(np.asarray(subsample(x, MOST_SPAN_ROWS, generator), np.float64)),
        raw=found.value,
        neighbours=value,
        low=low,
        high=high,
        far=mle(near.distances, near.distances.shape[1]),
        local=local_pca(points, neighbours=near),
        spacing=float(np.median(near.distances[:, 0])),
        thin=thin,
        thick=thick,
        on_grid=on_grid,
        places=places,
    )


def left_by(seen: Seen, given: np.ndarray | None) -> Seen:
    """What neighbours see of a table once what is given is known: so many dimensions fewer.

    Columns of a few values, such as classes, have no dimension.

    Args:
        given: [n, c], or None.
    """
    if given is None:
        return seen
    mine = given[seen.places]
    smooth = [j for j, column in enumerate(mine.T) if len(np.unique(column)) > FEW_VALUES]
    if not smooth:
        return seen._replace(given=given)
    told = standardised(given)[seen.places][:, smooth]
    known = look(np.unique(told, axis=0)).neighbours
    # Of both together, for what is given need not be a function of x.
    spread = np.sqrt(np.mean(np.var(seen.points, axis=0)))
    both = look(np.concatenate([seen.points / spread, told], axis=1))
    return seen._replace(
        neighbours=max(0.0, both.neighbours - known),
        low=max(0.0, both.low - known),
        high=max(0.0, both.high - known),
        raw=max(0.0, both.raw - known),
        far=max(0.0, both.far - known),
        given=given,
    )


def codes_of(run: LoadedRun, cell: str, seed: int, seen: Seen) -> np.ndarray:
    """Codes of a model's active latents, [n, active], those of least ratio first."""
    c = None if seen.given is None else standardised(seen.given)[seen.places]
    return run.encode(cell, seed, seen.points, c)[0][:, active_latents(run, cell, seed)]


def _dimension_of_codes(codes: np.ndarray) -> tuple[float, float, float]:
    """By nearest neighbours, calibrated, with a 95 % interval; nan without active latents."""
    if codes.shape[1] == 0 or not np.all(np.isfinite(codes)):
        return NAN, NAN, NAN
    generator = np.random.default_rng(GENERATOR)
    found = two_nn_estimate(nearest(codes, 2).distances, generator)
    ends = np.percentile(found.draws, (2.5, 97.5))
    most = REGULAR * codes.shape[1]
    value, low, high = (
        min(most, normal_law.calibrated(float(np.nan_to_num(each, nan=most)), len(codes)))
        for each in (found.value, *ends)
    )
    return value, low, high


def _earlier(lines: Sequence[Row], steps: int) -> Row | None:
    """The line of metrics from which on nothing should have changed."""
    scored = [line for line in lines if HELD_OUT + "ratio" in line]
    before = [line for line in scored if line["step"] <= LAST_PART * steps]
    return before[-1] if before else None


def _count(line: Row | None, min_gap: float) -> int | None:
    if line is None or any(ratio is None for ratio in line[HELD_OUT + "ratio"]):
        return None
    return largest_gap(np.array(line[HELD_OUT + "ratio"]), min_gap).ad


def rungs_from(run: LoadedRun, seen: Seen) -> tuple[list[Rung], list[Rung]]:
    """The rungs of a ladder at its end, and as far as they are known before its last part."""
    rungs, earlier = [], []
    min_gap, steps = run.config.analysis.ad_min_gap, run.config.steps
    for cell in sorted(run.cells, key=lambda cell: cell.sizes.kappa):
        rows = [row for row in run.results if row["cell"] == cell.name]
        found = [_dimension_of_codes(codes_of(run, cell.name, row["seed"], seen)) for row in rows]
        lines = [
            _earlier(
                [m for m in run.metrics if (m["cell"], m["seed"]) == (cell.name, row["seed"])],
                steps,
            )
            for row in rows
        ]
        before = [_count(line, min_gap) for line in lines]
        counts = [row["ad_gap"] if row["status"] == "ok" else None for row in rows]
        rung = Rung(
            kappa=cell.sizes.kappa,
            nelbo=tuple(row["nelbo"] if row["status"] == "ok" else NAN for row in rows),
            ad=tuple(counts),
            ad_paper=tuple(row["ad"] for row in rows),
            gamma=tuple(row["gamma"] if row["status"] == "ok" else NAN for row in rows),
            codes=tuple(each[0] for each in found),
            codes_low=tuple(each[1] for each in found),
            codes_high=tuple(each[2] for each in found),
            moving=tuple(was != now for was, now in zip(before, counts, strict=True)),
        )
        rungs.append(rung)
        losses = [line[HELD_OUT + "nelbo"] if line else None for line in lines]
        losses = tuple(NAN if loss is None else loss for loss in losses)
        earlier.append(rung._replace(nelbo=losses, ad=tuple(before)))
    return rungs, earlier


def gather(run: LoadedRun, x: np.ndarray, seen: Seen, before: int | None = None) -> Evidence:
    """The evidence of a table and of the ladder that was trained on it.

    Args:
        x: [n, d], as the ladder was given it.
        before: the answer of a shorter training, where there was one.
    """
    rungs, earlier = rungs_from(run, seen)
    cell, seed = run.cells[0], run.seeds[0]
    train = run.samples(cell, seed, MOST_SPAN_ROWS, "train")
    held_out = run.samples(cell, seed, MOST_SPAN_ROWS)
    # Which of several rungs that count the same is best may change with every step.
    settled = median(best_rung(earlier).ad) == median(best_rung(rungs).ad)
    evidence = Evidence(
        n=len(x),
        d=x.shape[1],
        span=seen.span,
        rungs=tuple(rungs),
        raw=seen.raw,
        neighbours=seen.neighbours,
        neighbours_low=seen.low,
        neighbours_high=seen.high,
        far=seen.far,
        local=seen.local,
        gaussian=gaussian_nelbo(train, held_out),
        spacing=seen.spacing,
        thin=seen.thin,
        thick=seen.thick,
        told=seen.given is not None,
        on_grid=seen.on_grid,
        settled=settled,
    )
    return evidence._replace(settled=settled and before in (None, decide(evidence).dimension))
