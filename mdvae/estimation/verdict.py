"""From the evidence to a dimension, an interval and a word on whether to believe it.

Pure functions. The witnesses err in different ways, which is what a verdict weighs:

- A VAE with spare latents counts right on curved data of many dimensions and of unequal
  directions, but where the data are curved more than it can follow it stops at their linear span.
- Distances to nearest neighbours need no training and follow any curve, but say too little from
  about nine dimensions on, and too much where noise or strong curvature is as wide as they are.
- The codes of a VAE, which should be normal, are a witness for the neighbours: how far their
  distances fall short there is known (`calibration`).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import NAN
from mdvae.estimation.shown import Evidence, Rung, best_rung, median
from mdvae.settings.words import counted

# By how much codes may seem fewer than a count, and still be as many; see `_allowed`. More where
# every wider model counts the same.
LEAST_SHORT = 0.4
MOST_SHORT, SHORT_GROWTH = 0.25, 0.02
STEADY_MOST_SHORT, STEADY_SHORT_GROWTH = 0.35, 0.035
# Nats by which a model must be better than a normal law of the same covariance, per dimension.
LEAST_GAIN = 0.01
# Up to here neighbours are exact with thousands of points; from MANY dimensions on, curved data may
# have so many fewer than neighbours see.
EXACT, MANY, FOLDED = 4.5, 10.0, 0.15
# Rows for each dimension below which there are few.
FEW_ROWS = 20
# Of its span, what neighbours must see of data that fill it so that a surface in it is ruled out.
FULL = 0.95
# Rows whose dimensions differ by such a factor are of several manifolds.
UNLIKE = 2.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    Attributes:
        dimension: the answer, a whole number.
        low, high: where it may lie; all that the evidence leaves open.
        confident: whether the evidence agrees and is enough.
        verdict: why this number, in a sentence.
        warnings: what to doubt, a sentence each.
        kappa: of the chosen rung.
    """

    dimension: int
    low: float
    high: float
    confident: bool
    verdict: str
    warnings: tuple[str, ...]
    kappa: int


def _allowed(count: float, steady: bool = False) -> float:
    """By how much codes may fall short of a count and still fill it.

    Codes are not quite normal, the less so the more there are of them: their own bias, beyond
    that of a normal law, grows with the square of the dimension first, and to a share at most.

    Args:
        steady: whether all models that could count as many do.
    """
    most = STEADY_MOST_SHORT if steady else MOST_SHORT
    growth = STEADY_SHORT_GROWTH if steady else SHORT_GROWTH
    return min(most * count, LEAST_SHORT + growth * count**2)


def _is_steady(rungs: Sequence[Rung], count: float) -> bool:
    """Whether all seeds of all rungs that could count as many do, and of two rungs or more."""
    wider = [rung for rung in rungs if rung.kappa >= count]
    return len(wider) > 1 and all(ad == count for rung in wider for ad in rung.ad)


def _fills(found: float, count: float, steady: bool = False) -> bool:
    """Whether a dimension by neighbours is as much as one of so many dimensions would show."""
    return bool(found >= count - _allowed(count, steady))


def _is_noise(evidence: Evidence, rung: Rung, count: float) -> bool:
    """Whether what the model leaves over is noise, which neighbours count as dimensions.

    It must be about as wide as neighbours are apart, and wider neighbourhoods must see less of it.
    """
    left = max(evidence.d - count, 0.0)
    wide = np.sqrt(2.0 * median(rung.gamma) * left) > 0.5 * evidence.spacing
    return bool(wide and evidence.far < 0.5 * (evidence.raw + count))


class _Found(NamedTuple):
    """An answer before it is put in words: `low` and `high` besides those of counts."""

    dimension: float
    low: float
    high: float
    agrees: bool
    why: str


def _by_neighbours(evidence: Evidence, rung: Rung, count: float, why: str) -> _Found:
    """The answer of the neighbours, where models cannot be followed."""
    codes, near = median(rung.codes), evidence.neighbours
    # In few dimensions neighbours are exact, and the codes see the same.
    sure = near < EXACT and (not np.isfinite(codes) or abs(codes - near) < 0.5)
    low = min(
        evidence.neighbours_low, evidence.raw, np.nan_to_num(median(rung.codes_low), nan=np.inf)
    )
    # Of many dimensions the nearest may lie on another fold, which adds some.
    low *= 1.0 - FOLDED * min(1.0, near / MANY)
    high = max(evidence.neighbours_high, count if not sure else 0.0)
    return _Found(max(near, 1.0), low, high, sure, why)


def _weigh(evidence: Evidence, rung: Rung) -> _Found:
    """The answer by what kind of evidence there is."""
    count, span = median(rung.ad), evidence.span
    codes, near = median(rung.codes), evidence.neighbours
    count = 0.0 if np.isnan(count) else count
    whole, kept = counted(span, "dimension"), counted(count, "latent")
    ends = median(rung.codes_low), median(rung.codes_high)
    gain = NAN if evidence.told else evidence.gaussian - median(rung.nelbo)
    if evidence.told and count == 0 and near < 0.5:
        return _Found(0, 0.0, near, True, "nothing is left once what is given is known")
    if count == 0 or (np.isfinite(gain) and gain < LEAST_GAIN * evidence.d):
        if _fills(near, span) and max(near, evidence.local) < span - 0.5:
            why = f"a surface of its linear span of {whole}, by its local components"
            return _Found(span - 1, min(near, span), span, True, why)
        if _fills(near, span):
            why = f"the data fill their {whole}, and no model finds fewer"
            sure = near >= FULL * span
            if not sure:
                why += f"; neighbours see {near:.1f}, as they would of a surface too"
            return _Found(span, min(near, span), span, sure, why)
        why = f"no model finds a manifold, yet neighbours see {near:.1f} of {whole}"
        return _by_neighbours(evidence, rung, span, why)
    if evidence.n < FEW_ROWS * count:
        # So many latents for so few rows remember rows, whatever these lie on.
        why = (
            f"{counted(evidence.n, 'row')} are too few for the {count:g} latents that a VAE keeps;"
            f" neighbours see {near:.1f} dimensions"
        )
        return _by_neighbours(evidence, rung, count, why)
    if near > count + _allowed(count):
        if _is_noise(evidence, rung, count):
            why = (
                f"a VAE keeps {kept}; neighbours see {near:.1f} dimensions, for they are"
                " no farther apart than the noise is wide"
            )
            return _Found(count, min(count, codes), near, False, why)
        why = f"a VAE keeps {kept} and neighbours see {near:.1f} dimensions: it has not learned all"
        return _by_neighbours(evidence, rung, count, why)
    short = min(ends[0], evidence.neighbours_low), max(ends[1], evidence.neighbours_high)
    if count >= span:
        # A model whose latents span all columns and which gains by it has found a manifold.
        if near > span - 0.5:
            why = f"the data have a linear span of {whole}, and neighbours see as many"
            return _Found(span, *short, True, why)
        if span > 1 and _fills(max(near, codes), span - 1) and not np.isfinite(gain):
            # With no normal law to gain over, data that fill their span look like a surface in it.
            full = evidence.local > span - 0.25
            why = (
                f"the data fill their linear span of {span} or a surface in it: a VAE keeps"
                f" {kept}, neighbours see {max(near, codes):.1f}"
            )
            return _Found(span - 1 + full, min(short[0], span - 1), span, False, why)
        if span > 1 and _fills(max(near, codes), span - 1):
            why = (
                f"a surface in its linear span of {span}: a VAE gains by {span} latents, which data"
                f" that fill them would not allow, and neighbours see {max(near, codes):.1f}"
            )
            return _Found(span - 1, *short, True, why)
        why = (
            f"neighbours see {near:.1f} dimensions where a VAE keeps {count:g}, the whole linear"
            " span: the data are curved more than it can follow"
        )
        return _by_neighbours(evidence, rung, count, why)
    if _fills(codes, count, _is_steady(evidence.rungs, count)):
        why = f"a VAE keeps {count:g} of {rung.kappa} latents and their codes fill them"
        return _Found(count, *short, True, why)
    why = (
        f"a VAE keeps {kept} of which the codes fill {codes:.1f}, and neighbours see"
        f" {near:.1f} dimensions: the data are curved more than it can follow"
    )
    return _by_neighbours(evidence, rung, count, why)


def _warnings(evidence: Evidence, rung: Rung, found: _Found) -> list[str]:
    """What to doubt, a sentence each."""
    counts = sorted({int(ad) for ad in rung.ad if ad is not None})
    widest = evidence.rungs[-1]
    warnings = []
    if len(counts) > 1:
        warnings.append(f"seeds disagree: {', '.join(map(str, counts))} active dimensions")
    if any(rung.moving) or not evidence.settled:
        warnings.append("not enough training: counts or the order of the rungs still moved")
    if median(widest.ad) >= widest.kappa < evidence.span:
        warnings.append(
            f"all {widest.kappa} latents of the widest models are in use, of a linear span of"
            f" {counted(evidence.span, 'dimension')}: the data may have more dimensions, be curved"
            " more than these models follow, or fill their span; a greater effort trains longer,"
            " `thorough` wider networks too, but none more latents, which a sweep of"
            " configs/array.py does"
        )
    if evidence.n < FEW_ROWS * max(found.dimension, 1):
        few = counted(max(1, math.floor(found.dimension + 0.5)), "dimension")
        warnings.append(f"few samples: {evidence.n} rows for {few}")
    if evidence.on_grid:
        warnings.append("rows lie on a grid or a regular curve, of which neighbours say little")
    if evidence.thick > UNLIKE * evidence.thin:
        warnings.append(
            f"rows differ in dimension: {evidence.thin:.1f} near some and {evidence.thick:.1f} near"
            " others, as in a union of unlike parts; estimate those apart"
        )
    return warnings


def decide(evidence: Evidence) -> Verdict:
    """The dimension, its interval, and whether to believe it."""
    rung = best_rung(evidence.rungs)
    found = _weigh(evidence, rung)
    dimension = max(0 if evidence.told else 1, math.floor(found.dimension + 0.5))
    counts = [float(ad) for ad in rung.ad if ad is not None and found.agrees]
    ends = [float(dimension), *counts, *(v for v in (found.low, found.high) if np.isfinite(v))]
    warnings = _warnings(evidence, rung, found)
    if not found.agrees:
        warnings.insert(0, f"the evidence disagrees: {found.why}")
    return Verdict(
        dimension=dimension,
        low=max(0.0, min(ends)),
        high=max(ends),
        confident=not warnings,
        verdict=found.why,
        warnings=tuple(warnings),
        kappa=rung.kappa,
    )
