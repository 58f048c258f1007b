"""What others say of a table, and what the codes of the chosen model do."""

import numpy as np

from mdvae.analysis import baselines
from mdvae.analysis.calibration import subsample
from mdvae.analysis.neighbours import Opinion
from mdvae.estimation.evidence import Seen
from mdvae.estimation.verdict import Evidence, decide

# Rows that are looked at where there is little time.
QUICK_POINTS = 2_500


def ask(seen: Seen, evidence: Evidence, quick: bool) -> tuple[Opinion, ...]:
    """Second opinions on a table, each with its interval.

    Args:
        quick: whether to leave scikit-dimension out, and to look at fewer rows.
    """
    generator = np.random.default_rng(0)
    points = subsample(seen.points, QUICK_POINTS, generator) if quick else seen.points
    told = baselines.opinions(points, generator, extra=not quick)
    kappa = decide(evidence).kappa
    rung = next(rung for rung in evidence.rungs if rung.kappa == kappa)
    value, low, high = (
        float(np.median(ends)) for ends in (rung.codes, rung.codes_low, rung.codes_high)
    )
    note = "calibrated by a normal law"
    return (
        *told,
        Opinion("TwoNN, normal law", seen.neighbours, seen.low, seen.high, note),
        Opinion("TwoNN of codes", value, low, high, f"of active latents at κ = {kappa}; {note}"),
    )
