"""What others say of a table, and what the codes of the chosen model do."""

import math

import numpy as np

from mdvae.analysis import baselines
from mdvae.analysis.calibration import subsample
from mdvae.analysis.neighbours import Opinion
from mdvae.analysis.statistics import NAN
from mdvae.analysis.summary import ladder_rows
from mdvae.estimation.evidence import Seen
from mdvae.estimation.shown import OF_X, Evidence, rung_at
from mdvae.estimation.verdict import decide
from mdvae.store.loading import LoadedRun

# Rows that are looked at where there is little time.
QUICK_POINTS = 2_500


def of_slope(run: LoadedRun) -> Opinion:
    """d less the slope of 2 nelbo in log gamma, over levels that were held (Theorems 1 and 2).

    The interval is over seeds.
    """
    name = "loss slope"
    found = next(iter(ladder_rows(run)), None)
    if found is None or found["r_hat_slope"] is None or not math.isfinite(found["r_hat_slope"]):
        return Opinion(name, NAN, NAN, NAN, "no levels of γ between which the loss falls evenly")
    low, high = found["window_low"], found["window_high"]
    return Opinion(
        name,
        found["r_hat_slope"],
        found["r_hat_slope_low"],
        found["r_hat_slope_high"],
        f"d less the slope of 2 nelbo, log γ held from {low:.1f} to {high:.1f}",
    )


def ask(
    seen: Seen, evidence: Evidence, quick: bool, slope: LoadedRun | None = None
) -> tuple[Opinion, ...]:
    """Second opinions on a table, each with its interval.

    Where something is given those that know no models are of the table alone, and say so.

    Args:
        quick: whether to leave scikit-dimension out, and to look at fewer rows.
        slope: models at held levels of gamma.
    """
    generator = np.random.default_rng(0)
    points = subsample(seen.points, QUICK_POINTS, generator) if quick else seen.points
    told = baselines.opinions(points, generator, extra=not quick)
    if evidence.told:
        notes = ["; ".join(filter(None, (OF_X, each.note))) for each in told]
        told = [each._replace(note=note) for each, note in zip(told, notes, strict=True)]
    kappa = decide(evidence).kappa
    rung = rung_at(evidence.rungs, kappa)
    value, low, high = (
        float(np.median(ends)) for ends in (rung.codes, rung.codes_low, rung.codes_high)
    )
    note = "calibrated by a normal law"
    return (
        *told,
        *([] if slope is None else [of_slope(slope)]),
        Opinion("TwoNN, normal law", seen.neighbours, seen.low, seen.high, note),
        Opinion("TwoNN of codes", value, low, high, f"of active latents at κ = {kappa}; {note}"),
    )
