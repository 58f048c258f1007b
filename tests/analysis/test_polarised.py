"""Latents classified: planted ones, margins, what no scale changes, and the paper's statements."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdvae.analysis.polarised import (
    ACTIVE,
    MIXED,
    PASSIVE,
    UNCLEAR,
    Latents,
    Polarised,
    classify,
)
from mdvae.analysis.statements import STATEMENTS, draws_of, measures_of
from mdvae.settings.fields import ConfigError, check, fields_of

RULE = Polarised()
N = 4_000


def classified(ratio, rule=RULE):
    return classify(np.asarray(ratio, float), rule, np.random.default_rng(0))


def planted(share, seed=0):
    """A latent that is active for a share of the samples, and its prior elsewhere."""
    own = np.random.default_rng(seed)
    prior_sd = np.exp(own.normal(0.0, 0.3, N))
    prior_mean = own.normal(0.0, 2.0, N)
    active = own.uniform(size=N) < share
    mean = np.where(active, prior_mean + prior_sd * own.normal(size=N), prior_mean)
    sd = np.where(active, 0.02, 1.0) * prior_sd
    return Latents(*(each[:, None] for each in (mean, sd, prior_mean, prior_sd)))


def measured(latents, seed=1):
    noise = np.random.default_rng(seed).standard_normal((2, N))
    return measures_of(draws_of(latents.of(0), RULE, noise))


@pytest.mark.parametrize(
    ("share", "regime"),
    [(1.0, ACTIVE), (0.95, ACTIVE), (0.8, MIXED), (0.2, MIXED), (0.05, PASSIVE), (0.0, PASSIVE)],
)
def test_planted_latents_are_found_with_their_share(share, regime):
    found = classified(planted(share).ratio[:, 0])
    assert found.regime == regime
    assert found.active == pytest.approx(share, abs=0.03)
    assert found.active + found.passive == pytest.approx(1.0)
    assert found.active_low <= found.active <= found.active_high
    assert found.sure == pytest.approx(1.0, abs=1e-3)


def test_what_is_neither_for_too_many_samples_is_unclear():
    assert classified(np.full(N, 0.4)).regime == UNCLEAR
    # Neither for half of them, and passive for the others.
    assert classified(np.where(np.arange(N) < N // 2, 0.4, 1.0)).regime == UNCLEAR


def test_levels_belong_to_the_side_that_they_say():
    assert classified(np.full(N, RULE.active_below)).regime == UNCLEAR
    assert classified(np.full(N, RULE.passive_from)).regime == PASSIVE


def test_classes_at_a_margin_are_unsure_and_intervals_cover_the_share():
    ratio = np.where(np.arange(N) < round((1.0 - RULE.margin) * N), 0.01, 1.0)
    found = classified(ratio)
    assert found.regime == ACTIVE
    assert 0.3 < found.sure < 0.8
    # Of a share p of n samples, 1.96 deviations of sqrt(p (1 - p) / n) to either side.
    half = 1.96 * np.sqrt(RULE.margin * (1 - RULE.margin) / N)
    assert found.active_high - found.active_low == pytest.approx(2 * half, rel=0.15)


def test_samples_are_not_both_active_and_passive():
    with pytest.raises(ConfigError, match=r"^analysis\.passive_from: 0\.5 is not usable"):
        Polarised(active_below=0.6).completed()
    assert Polarised(active_below=0.5).completed().active_below == 0.5


def test_a_wider_margin_makes_mixed_latents_active():
    ratio = planted(0.7).ratio[:, 0]
    assert classified(ratio).regime == MIXED
    assert classified(ratio, dataclasses.replace(RULE, margin=0.4)).regime == ACTIVE


@given(log_factor=st.floats(-8.0, 8.0), shift=st.floats(-3.0, 3.0), share=st.floats(0.0, 1.0))
@settings(max_examples=30)
def test_no_scale_and_no_place_of_a_latent_and_its_prior_changes_anything(log_factor, shift, share):
    latents, factor = planted(share), np.exp(log_factor)
    moved = Latents(
        factor * (latents.mean + shift),
        factor * latents.sd,
        factor * (latents.prior_mean + shift),
        factor * latents.prior_sd,
    )
    np.testing.assert_allclose(moved.ratio, latents.ratio, rtol=1e-12)
    assert classified(moved.ratio[:, 0]) == classified(latents.ratio[:, 0])
    found, again = measured(latents), measured(moved)
    np.testing.assert_allclose(
        list(again.values()), list(found.values()), rtol=1e-6, atol=1e-3, equal_nan=True
    )


def of(regime):
    return {s.column: s.limit for s in STATEMENTS if s.of == regime}


@pytest.mark.parametrize(("share", "regime"), [(0.0, PASSIVE), (1.0, ACTIVE), (0.4, MIXED)])
def test_statements_hold_of_latents_that_are_as_they_say(share, regime):
    found = measured(planted(share))
    for column, limit in of(regime).items():
        if column != "t2_mixed":
            assert found[column] <= limit, column


def test_statements_fail_of_latents_that_are_not():
    active, passive = measured(planted(1.0)), measured(planted(0.0))
    for column in ("p1_active", "p3_small"):
        assert passive[column] > of(ACTIVE)[column]
    assert active["p2_var"] > of(PASSIVE)["p2_var"]
    assert active["p3_mean"] > of(PASSIVE)["p3_mean"]
    assert np.isnan(active["p1_sd"])


def test_a_mixture_over_all_samples_is_not_one_of_their_own():
    """Where latents of passive samples are elsewhere, eq. (iii) as stated fails, by sample not."""
    latents = planted(0.4)
    active = latents.ratio < 0.5
    apart = latents._replace(
        mean=latents.mean + 20.0 * active, prior_mean=latents.prior_mean + 20.0 * active
    )
    found = measured(apart)
    assert found["t2_mixed_own"] <= of(MIXED)["t2_mixed_own"]
    # What is said of the mixture holds still, as both of its parts have samples in both places.
    assert found["t2_mixed"] <= of(MIXED)["t2_mixed"]
    of_one = latents._replace(mean=latents.mean + 20.0 * active)
    assert measured(of_one)["t2_mixed"] > of(MIXED)["t2_mixed"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("margin", 0.5), ("margin", 0.0), ("active_below", 1.0), ("examples", 99)],
)
def test_rules_that_are_none_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"analysis.{field}: {value} is not usable"):
        check(f"analysis.{field}", fields_of(RULE)[field], value)
