"""The verdict on invented evidence: each kind of agreement and disagreement, and its interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.estimation.plan import EFFORTS, rungs_of
from mdvae.estimation.shown import Evidence, Rung, best_rung, best_seed
from mdvae.estimation.verdict import decide

NAN = math.nan


def rung(kappa, ad, nelbo=0.0, codes=None, gamma=1e-4, seeds=2, moving=False):
    """A rung whose seeds agree, unless lists are given."""
    counts = tuple(ad) if isinstance(ad, list | tuple) else (ad,) * seeds
    codes = NAN if codes is None else codes
    return Rung(
        kappa=kappa,
        nelbo=tuple(nelbo) if isinstance(nelbo, list) else (nelbo,) * len(counts),
        ad=counts,
        ad_paper=counts,
        gamma=(gamma,) * len(counts),
        codes=(codes,) * len(counts),
        codes_low=(codes - 0.3,) * len(counts),
        codes_high=(codes + 0.3,) * len(counts),
        moving=(moving,) * len(counts),
    )


def evidence(rungs, near, raw=None, **changes):
    """Evidence of 5,000 rows of 20 columns that span as many dimensions."""
    found = {
        "n": 5_000,
        "d": 20,
        "span": 20,
        "rungs": tuple(rungs),
        "raw": near if raw is None else raw,
        "neighbours": near,
        "neighbours_low": 0.97 * near,
        "neighbours_high": 1.03 * near,
        "far": near,
        "local": near,
        "gaussian": 30.0,
        "spacing": 1.0,
        "thin": 0.9 * near,
        "thick": 1.1 * near,
        "told": False,
        "on_grid": False,
        "settled": True,
        **changes,
    }
    return Evidence(**found)


def plateau(ad, codes, top=22, nelbo=-50.0):
    """A ladder that saturates."""
    below = rung(ad - 1, ad - 1, nelbo + 20.0, codes - 1)
    return [below, rung(ad + 1, ad, nelbo, codes), rung(top, ad, nelbo, codes)]


CASES = {
    "saturated": (evidence(plateau(8, 7.6), 7.4), 8, True, "keeps 8 of 9 latents"),
    "saturated, many, neighbours low": (
        evidence(plateau(18, 16.3, 38), 16.2, d=72, span=36, gaussian=NAN),
        18,
        True,
        "codes fill them",
    ),
    "steady, codes far from normal": (
        evidence(plateau(10, 7.3), 6.7),
        10,
        True,
        "codes fill them",
    ),
    "rows that are remembered": (
        evidence(plateau(36, 33.0, 48), 12.2, n=200, d=600, span=199),
        12,
        False,
        "200 rows are too few for the 36 latents",
    ),
    "curved: the whole span, codes fill half": (
        evidence([rung(5, 5, 5.0, 4.6), rung(14, 12, -49.0, 6.0)], 5.8, d=36, span=12),
        6,
        False,
        "curved more than it can follow",
    ),
    "curved: two latents for a line": (
        evidence([rung(1, 1, 13.5, 1.0), rung(5, 2, 12.4, 1.06)], 1.05, d=13, span=3),
        1,
        True,
        "curved more than it can follow",
    ),
    "a surface: span less one": (
        evidence([rung(18, 18, 3.9, 16.1), rung(20, 18, 3.9, 16.1)], 16.2, span=18, d=18),
        17,
        True,
        "a surface in its linear span of 18",
    ),
    "fills its span": (
        evidence([rung(16, 16, 34.5, 15.9), rung(22, 20, 29.9, 19.8)], 19.8, local=20.0),
        20,
        True,
        "fill their 20 dimensions",
    ),
    "collapsed, neighbours see as many": (
        evidence([rung(16, 0, 30.1), rung(22, 0, 30.1)], 19.6, local=20.0),
        20,
        True,
        "fill their 20 dimensions",
    ),
    "fills its span or a surface in it": (
        evidence([rung(16, 16, 34.5, 15.0), rung(22, 20, 29.9, 17.3)], 17.3, local=20.0),
        20,
        False,
        "as they would of a surface too",
    ),
    "no gain, and local components say a surface": (
        evidence([rung(11, 11, 29.9, 9.6), rung(13, 11, 29.9, 9.6)], 9.6, span=11, local=10.0),
        10,
        True,
        "by its local components",
    ),
    "collapsed, neighbours see few": (
        evidence([rung(4, 0, 30.1), rung(22, 0, 30.1)], 3.1),
        3,
        True,
        "no model finds a manifold",
    ),
    "noise": (
        evidence([rung(4, 2, -5.0, 2.0, 0.05), rung(7, 2, -5.0, 2.0, 0.05)], 4.9, far=2.6),
        2,
        False,
        "no farther apart than the noise is wide",
    ),
    "not learned": (
        evidence([rung(4, 2, -5.0, 2.0, 0.05), rung(7, 2, -5.0, 2.0, 0.05)], 4.4, far=4.4),
        4,
        False,
        "it has not learned all",
    ),
    "an affine space": (
        evidence([rung(2, 2, 5.4, 2.0), rung(5, 3, 3.7, 2.9)], 2.86, d=5, span=3, gaussian=NAN),
        3,
        True,
        "linear span of 3 dimensions, and neighbours see as many",
    ),
    "the span or a surface in it, without a normal law": (
        evidence(
            [rung(5, 5, -9.0, 4.9), rung(8, 6, -60.0, 5.4)],
            5.3,
            d=12,
            span=6,
            gaussian=NAN,
            local=6.0,
        ),
        6,
        False,
        "fill their linear span of 6 or a surface in it",
    ),
    "nothing is left": (
        evidence([rung(1, 0, 5.0), rung(4, 0, 5.0)], 0.2, told=True),
        0,
        True,
        "nothing is left",
    ),
    "one is left": (
        evidence([rung(1, 1, -5.0, 1.0), rung(4, 1, -5.0, 1.0)], 0.9, told=True),
        1,
        True,
        "codes fill them",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_evidence(name):
    given, dimension, confident, phrase = CASES[name]
    found = decide(given)
    assert (found.dimension, found.confident) == (dimension, confident), found
    assert phrase in found.verdict
    assert found.low <= found.dimension <= found.high
    assert confident == (not found.warnings)


def test_intervals_hold_all_that_is_left_open():
    saturated = decide(CASES["saturated"][0])
    assert (saturated.low, saturated.high) == pytest.approx((0.97 * 7.4, 8.0))
    curved = decide(CASES["curved: the whole span, codes fill half"][0])
    # As many as a VAE keeps, and fewer than neighbours see, for folds may lie close.
    assert curved.high == 12.0
    assert curved.low == pytest.approx(5.626 * (1 - 0.15 * 0.58))


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"settled": False}, "not enough training"),
        ({"rungs": (*tuple(plateau(8, 7.6)[:-1]), rung(22, 8, -50.0, 7.6, moving=True))}, None),
        (
            {"rungs": (rung(8, 7, -30.0, 7.0), rung(9, [8, 7], -50.0, 7.6), rung(22, 8, -49.0))},
            "seeds disagree: 7, 8",
        ),
        ({"on_grid": True}, "rows lie on a grid"),
        ({"thin": 2.0, "thick": 4.1}, "2.0 near some and 4.1 near others"),
        ({"thin": NAN, "thick": NAN}, None),
        ({"n": 120}, "few samples: 120 rows for 7 dimensions"),
    ],
)
def test_doubts(changes, phrase):
    found = decide(evidence(**{"rungs": plateau(8, 7.6), "near": 7.4, **changes}))
    assert found.dimension in (7, 8)
    assert found.confident == (phrase is None)
    assert phrase is None or any(phrase in warning for warning in found.warnings)


def test_too_few_latents_are_said():
    rungs = [rung(6, 6, -10.0, 5.9), rung(9, 9, -50.0, 8.7)]
    found = decide(evidence(rungs, 8.6))
    (warning,) = (warning for warning in found.warnings if "latents" in warning)
    assert warning.startswith("all 9 latents of the widest models are in use, of a linear span of")
    # No effort has a wider rung: these are of what neighbours see alone.
    wide = {rungs_of(8.6, 200, effort.rungs)[-1] for effort in EFFORTS.values()}
    assert len(wide) == 1
    assert "a greater effort trains longer, `thorough` wider networks too" in warning
    stages = [EFFORTS[name].second or EFFORTS[name].first for name in ("quick", "normal")]
    assert stages[0].hidden == stages[1].hidden < EFFORTS["thorough"].first.hidden
    assert [stage.steps for stage in stages] == sorted(stage.steps for stage in stages)
    assert "which a sweep of configs/array.py does" in warning


def test_one_is_no_plural():
    line = decide(evidence([rung(1, 1, 3.0, 1.0), rung(3, 1, 3.0, 1.0)], 1.0, d=1, span=1, n=12,
                           gaussian=3.0))  # fmt: skip
    assert line.verdict.startswith("the data fill their 1 dimension, and")
    assert "few samples: 12 rows for 1 dimension" in line.warnings
    more = decide(evidence([rung(2, 1, -9.0, 1.0), rung(5, 1, -9.0, 1.0)], 2.4))
    assert "a VAE keeps 1 latent and neighbours see 2.4 dimensions" in more.verdict


def test_the_least_rung_of_those_as_good():
    rungs = [rung(4, 4, [-9.0, -9.1]), rung(5, 5, [-10.0, -10.4]), rung(8, 5, [-10.2, -10.3])]
    assert best_rung(rungs).kappa == 5  # within what its seeds differ by
    assert best_rung([*rungs, rung(12, 5, [-13.0, -13.0])]).kappa == 12
    assert best_rung([rung(4, 4, NAN), rung(5, 5, -1.0)]).kappa == 5
    assert best_rung([rung(4, None, NAN), rung(5, None, NAN)]).kappa == 4


def test_the_seed_of_least_loss():
    assert best_seed(rung(4, 4, [-9.0, NAN, -9.5, -9.1]), 5) == 7
    assert best_seed(rung(4, 4, [NAN, NAN]), 5) == 5


numbers = st.floats(0.1, 60.0)


@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 40), st.floats(-200, 200), numbers),
        min_size=1,
        max_size=5,
    ),
    numbers,
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_any_evidence_has_a_verdict(ladder, near, span, told, broken):
    rungs = [
        rung(kappa, None if broken else min(ad, kappa), nelbo, codes if ad else None)
        for kappa, ad, nelbo, codes in sorted(ladder)
    ]
    found = decide(evidence(rungs, near, d=40, span=span, told=told, gaussian=NAN if told else 9.0))
    assert isinstance(found.dimension, int)
    assert found.dimension >= (0 if told else 1)
    assert 0 <= found.low <= found.dimension <= found.high
    assert np.isfinite([found.low, found.high]).all()
    assert found.confident == (not found.warnings)
    assert found.verdict
    assert all("nan" not in text for text in (found.verdict, *found.warnings))
