"""Slopes, windows and estimates on ladders whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.analysis.estimates import add_estimates, family_rates, settled_lines, warnings_of
from mdvae.analysis.rates import (
    TOTAL_TOLERANCE,
    fit_slope,
    ladder_rates,
    select_window,
    split_variances,
    trajectory_rates,
)
from mdvae.analysis.theory import ladders
from mdvae.settings.grid import make_cells

LEVELS = np.arange(-10.0, 1.0)


def bent_recon(r, floor=1e-5, top=0.5):
    """r gamma between a network's floor and the data's own variance."""
    gamma = np.exp(LEVELS)
    return 1.0 / (1.0 / (r * gamma + floor) + 1.0 / top)


def ladder(r=4, d=12, kappa=6, seeds=3, noise=0.01, **bends):
    """A ladder by the theorem, with its two bends, and noise over seeds."""
    rng = np.random.default_rng(0)
    recon_L = bent_recon(r, **bends)
    # The envelope theorem: d(2 nelbo) / d log gamma = d - Recon / gamma.
    slope_L = d - recon_L / np.exp(LEVELS)
    steps = np.diff(LEVELS) * (slope_L[1:] + slope_L[:-1]) / 2
    nelbo_L = 0.5 * np.concatenate([[0.0], np.cumsum(steps)])
    shape = (seeds, len(LEVELS))
    recon = recon_L * (1 + noise * rng.normal(size=shape))
    nelbo = nelbo_L + noise * rng.normal(size=shape)
    ratios = np.ones((seeds, len(LEVELS), kappa))
    ratios[:, :, :r] = np.minimum(np.exp(LEVELS), 0.8)[:, None]
    return LEVELS, nelbo, recon, ratios, d, 1.0


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_slope_of_a_line(slope, offset):
    x = np.linspace(-3.0, 2.0, 7)
    assert float(fit_slope(x, offset + slope * x)) == pytest.approx(slope, abs=1e-9)
    assert fit_slope(x, np.stack([x, -x])) == pytest.approx([1.0, -1.0])


@pytest.mark.parametrize("r", [2, 4])
def test_planted_dimension_is_recovered(r):
    rates = ladder_rates(*ladder(r=r, floor=1e-6, top=1.0))
    assert rates.window is not None
    assert round(rates.r_hat_slope.value) == r
    assert round(rates.r_hat_recon.value) == r
    assert rates.nelbo.value == pytest.approx(12 - rates.r_hat_slope.value)
    assert rates.recon.value == pytest.approx(1.0, abs=0.05)
    assert rates.active.value == pytest.approx(1.0, abs=0.05)
    assert rates.inactive.value == pytest.approx(0.0, abs=1e-9)
    assert rates.r_hat_slope.low < rates.r_hat_slope.value < rates.r_hat_slope.high


def test_window_leaves_out_both_bends():
    window = select_window(LEVELS, np.log(bent_recon(4))[None])
    assert window is not None
    inside = np.exp(LEVELS[window.first : window.last + 1])
    assert inside.min() > 1e-5 / 4  # above the floor
    assert inside.max() < 0.5 / 4  # below the data's variance
    assert window.last < len(LEVELS) - 1
    everything = select_window(LEVELS, np.log(bent_recon(4, floor=0.0, top=1e9))[None])
    assert everything is not None
    two = np.log(bent_recon(4, floor=0.0, top=1e9)) + np.array([[0.01], [-0.01]]) * LEVELS
    assert select_window(LEVELS, two) == (0, len(LEVELS) - 1)


def test_window_is_a_matter_of_size_and_not_of_significance():
    """More seeds, or seeds that agree more closely, do not change what is nearly proportional."""
    bend = np.log(bent_recon(4, floor=3e-5, top=1.0))
    scattered = bend + 0.02 * np.array([[1.0], [-1.0], [0.5], [-0.5]]) * LEVELS
    window = select_window(LEVELS, scattered)
    assert window is not None
    assert select_window(LEVELS, np.stack([bend, bend])) == window
    part = slice(window.first, window.last + 1)
    assert abs(fit_slope(LEVELS[part], bend[part]) - 1) <= TOTAL_TOLERANCE
    assert window.last < len(LEVELS) - 1


@pytest.mark.parametrize("exponent", [0.9, 1.1])
def test_an_exponent_that_is_not_1_has_no_window_however_few_the_seeds(exponent):
    rng = np.random.default_rng(5)
    for seeds in (1, 2, 3):
        noise = 0.01 * rng.normal(size=(seeds, len(LEVELS)))
        assert select_window(LEVELS, exponent * LEVELS + noise) is None


def test_the_exponent_is_reported_as_it_is():
    """Within the tolerance, but not 1: the interval says so where seeds agree."""
    levels, nelbo, _, ratios, d, gap = ladder(noise=0.001)
    rng = np.random.default_rng(1)
    slopes = 0.97 + 0.001 * rng.normal(size=(3, 1))
    recon = ladder_rates(levels, nelbo, np.exp(slopes * levels), ratios, d, gap).recon
    assert recon.value == pytest.approx(0.97, abs=0.005)
    assert recon.high < 1.0


def test_ladder_without_a_window_is_flagged():
    assert select_window(LEVELS, np.zeros((2, len(LEVELS)))) is None
    assert select_window(LEVELS[:2], LEVELS[None, :2]) is None
    rates = ladder_rates(*ladder(floor=0.05, top=0.06))
    assert rates.window is None
    assert np.isnan(rates.r_hat_slope.value)


def drawn(rng, seeds, error, r=6, d=20):
    """A ladder of networks that have an error of their own and find r up to a few per cent."""
    levels = np.arange(-8.0, -2.9, 0.5)
    found_S = r * (1 + 0.04 * rng.normal(size=(seeds, 1)))
    error_S = error * np.exp(0.5 * rng.normal(size=(seeds, 1)))
    recon = found_S * np.exp(levels) + error_S
    # The envelope theorem, integrated.
    nelbo = 0.5 * ((d - found_S) * levels + error_S * np.exp(-levels))
    recon *= np.exp(0.02 * rng.normal(size=recon.shape))
    nelbo += 0.05 * rng.normal(size=nelbo.shape)
    return levels, nelbo, recon, np.full((*recon.shape, 8), 0.01), d, 1.0


@pytest.mark.parametrize("error", [0.0, 1e-4, 1e-3])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_of_the_dimension_cover_it(seeds, error):
    """At 95 % of 200 ladders the standard error is 1.5 %; an error must not cost coverage."""
    rng, ladders = np.random.default_rng(3), 200
    covered = np.zeros(2)
    for _ in range(ladders):
        rates = ladder_rates(*drawn(rng, seeds, error))
        for i, each in enumerate((rates.r_hat_slope, rates.r_hat_recon)):
            covered[i] += each.low <= 6.0 <= each.high
    assert np.all(covered / ladders >= 0.9)
    if error == 0.0:
        assert np.all(covered / ladders <= 0.995)  # nor are they merely wide


def test_seeds_that_differ_by_one_do_not_pass_for_certain():
    """Two seeds of r = 7 that alone read 5.96 and 7.01."""
    levels = np.arange(-8.0, -2.9, 0.5)
    found = np.array([[5.96], [7.01]])
    recon, nelbo = found * np.exp(levels), 0.5 * (15 - found) * levels
    rates = ladder_rates(levels, nelbo, recon, np.full((2, len(levels), 9), 0.01), 15, 1.0)
    assert rates.r_hat_slope.low < 7.0 < rates.r_hat_slope.high
    assert list(rates.slopes_S) == pytest.approx([5.96, 7.01])
    assert list(rates.recons_S) == pytest.approx([5.96, 7.01])


def test_one_seed_has_no_interval():
    rates = ladder_rates(*ladder(seeds=1))
    assert np.isfinite(rates.r_hat_recon.value)
    for each in (rates.r_hat_recon, rates.r_hat_slope, rates.nelbo, rates.recon):
        assert np.isnan(each.low)
        assert np.isnan(each.high)


def test_interval_covers_seeds():
    narrow, wide = (ladder_rates(*ladder(noise=noise)) for noise in (0.001, 0.1))
    widths = [rates.r_hat_recon.high - rates.r_hat_recon.low for rates in (narrow, wide)]
    assert widths[1] > 10 * widths[0] > 0


def trajectory(d=10, r=3, settled=60, span=2.0):
    falling = np.linspace(0.0, -6.0, 30)
    end = np.linspace(-6.0, -6.0 - span, settled)
    log_gamma = np.concatenate([falling, end])
    # While gamma falls from its start it lags behind Recon / d, and the loss falls faster.
    recon = d * np.exp(log_gamma) * np.concatenate([np.linspace(0.3, 0.8, 30), np.ones(settled)])
    nelbo = 0.5 * np.concatenate([3 * d * falling, 3 * d * -6.0 + (d - r) * (end + 6.0)])
    return log_gamma, nelbo, recon, d


def test_trajectory_reads_the_settled_end():
    rates = trajectory_rates(*trajectory())
    assert rates.first == 30
    assert rates.r_hat == pytest.approx(3.0)


@pytest.mark.parametrize("changed", [{"settled": 2}, {"span": 0.1}])
def test_trajectory_that_never_settles_or_moves_is_flagged(changed):
    assert np.isnan(trajectory_rates(*trajectory(**changed)).r_hat)


def test_no_warning_about_the_count_at_a_held_gamma():
    held = {"log_gamma": -1.0, "ad": 0, "ad_gap": None}
    assert warnings_of(row(**held), 0.05, in_ladder=True) == []
    # Held at a single level, it is the answer to the question that was asked.
    assert warnings_of(row(**{**held, "r_hat_slope": None}), 0.05) == ["the spectrum has no gap"]


def row(**changed):
    base = {
        "cell": "kappa6-d10-r3",
        "seed": 0,
        "kappa": 6,
        "d": 10,
        "r": 3,
        "status": "ok",
        "log_gamma": None,
        "ad": 3,
        "ad_gap": 3,
        "nelbo": -20.0,
        "recon": 0.01,
        "gamma": 0.001,
        "r_hat_slope": 3.1,
        "parts": 1,
    }
    return {**base, **changed}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"ad": 2}, ["AD (0.05) and AD (gap) differ: 2 and 3"]),
        ({"ad_gap": None}, ["the spectrum has no gap"]),
        ({"kappa": 3}, ["all latents are active, kappa may be too small"]),
        ({"gamma": 0.002}, ["gamma had not settled: Recon / (d gamma) = 0.50"]),
        (
            {"gamma": 0.0005},
            [
                "on fresh samples Recon is above d gamma, which had not settled or fits the"
                " training samples more closely: Recon / (d gamma) = 2.00"
            ],
        ),
        ({"r_hat_slope": None}, ["no valid window for the loss slope"]),
        ({"r_hat_slope": 5.2}, ["the loss slope and AD (gap) differ: 5.2 and 3"]),
        ({"status": "diverged"}, ["diverged (the loss was not finite)"]),
    ],
)
def test_warnings(changed, expected):
    assert warnings_of(row(**changed), 0.05) == expected


SIZES = {"kappa": (6,), "d": (12,), "r": (4,)}


def planted(cells, seeds=3):
    """Rows and spectra of the runs of a ladder that the theorem made."""
    levels, nelbo, recon, ratios, _, gap = ladder(seeds=seeds)
    rows, spectra = [], {}
    for i, (name, level) in enumerate(zip(cells, levels, strict=True)):
        for seed in range(seeds):
            own = {"nelbo": nelbo[seed, i], "recon": recon[seed, i], "log_gamma": level}
            rows.append(row(cell=name, seed=seed, d=12, r=4, ad=4, ad_gap=4, **own))
            spectra[name, seed] = ratios[seed, i]
    return rows, spectra, gap


def test_estimates_of_a_ladder_and_of_a_trajectory(tiny):
    cells = make_cells(tiny({**SIZES, "log_gamma": tuple(LEVELS.tolist())}))
    families = ladders(cells)
    assert families == {"kappa6-d12-r4": [f"kappa6-d12-r4-log_gamma={x:g}" for x in LEVELS]}
    rows, spectra, gap = planted(families["kappa6-d12-r4"])
    learned = row()
    log_gamma, run_nelbo, run_recon, _ = trajectory()
    metrics = [
        {"cell": learned["cell"], "seed": 0, "log_gamma": g, "nelbo": n, "recon": e}
        for g, n, e in zip(log_gamma, run_nelbo, run_recon, strict=True)
    ]
    done = add_estimates([*rows[::-1], learned], metrics, spectra, families, 0.05, gap)
    for filled in done[:-1]:
        assert round(filled["r_hat_slope"]) == round(filled["r_hat_recon"]) == 4
        assert "r_hat_slope_low" not in filled
        assert filled["warnings"] == ""
    assert done[-1]["r_hat_slope"] == pytest.approx(3.0)
    assert np.isnan(done[-1]["r_hat_recon"])
    # A ladder with a missing or diverged run has no estimate.
    rows[0]["status"] = "diverged"
    again = add_estimates(rows, [], spectra, families, 0.05, gap)
    seed = rows[0]["seed"]
    assert all(np.isnan(r["r_hat_slope"]) == (r["seed"] == seed) for r in again)


def test_a_weighted_kl_is_outside_the_theorems(tiny):
    """No ladder, for Recon / gamma tends to beta r; no slope, and no word on a lacking one."""
    cells = make_cells(tiny({**SIZES, "log_gamma": (-2.0, -1.0), "beta": (1.0, 4.0)}))
    assert list(ladders(cells)) == ["kappa6-d12-r4-beta=1"]
    (cell,) = make_cells(tiny({**SIZES, "beta": (4.0,)}))
    line = {"cell": cell.name, "seed": 0, "step": 9, "nelbo": 1.0, "recon": 1.0, "log_gamma": 0.0}
    lines = settled_lines([line], [cell], 12)
    assert lines == []
    weighted = row(cell=cell.name, kappa=6, d=12, r=4, recon=0.012, r_hat_slope=None)
    (done,) = add_estimates([weighted], lines, {}, {}, 0.05, 1.0)
    assert done["warnings"] == ""


def test_a_spectrum_without_a_gap_has_no_active_and_no_inactive_latents():
    unclear = np.array([[0.3, 0.5, 0.7, 0.85]])
    assert all(np.isnan(found).all() for found in split_variances(unclear, 1.0))
    active, inactive = split_variances(np.array([[0.99, 0.95]]), 1.0)
    assert np.isnan(active[0])
    assert inactive[0] == pytest.approx(np.log([0.99, 0.95]).mean())


def test_ladders_keep_other_axes_apart(tiny):
    """By all that the cells have beside the level, however the level reads in a name."""
    two = {**SIZES, "log_gamma": (-2.0, -1e-5), "anneal": (0.0, 0.5)}
    assert list(ladders(make_cells(tiny(two)))) == [
        "kappa6-d12-r4-anneal=0",
        "kappa6-d12-r4-anneal=0.5",
    ]
    single = {**two, "log_gamma": (-1e-5,)}
    assert not ladders(make_cells(tiny(single)))  # a single level each


def test_rates_of_a_family_are_over_its_sound_seeds():
    names = [f"level{i}" for i in range(len(LEVELS))]
    rows, spectra, gap = planted(names)
    rates, whole = family_rates(names, range(3), rows, spectra, gap)
    assert whole == [0, 1, 2]
    assert round(rates.r_hat_slope.value) == 4
    rows[0]["status"] = "diverged"
    rest, left = family_rates(names, range(3), rows, spectra, gap)
    two, _ = family_rates(names, [1, 2], rows, spectra, gap)
    assert left == [1, 2]
    assert rest.nelbo == two.nelbo != rates.nelbo
    assert family_rates(names, [0], rows, spectra, gap) is None


def test_seeds_of_a_ladder_share_its_window():
    """A seed's own estimate is from the levels that are valid for all seeds together."""
    names = [f"level{i}" for i in range(len(LEVELS))]
    rows, spectra, gap = planted(names)
    done = add_estimates(rows, [], spectra, {"ladder": names}, 0.05, gap)
    rates, _ = family_rates(names, range(3), rows, spectra, gap)
    by_seed = {each["seed"]: (each["r_hat_slope"], each["r_hat_recon"]) for each in done}
    for seed in range(3):
        assert by_seed[seed] == pytest.approx((rates.slopes_S[seed], rates.recons_S[seed]))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ad_gap": 2, "resolvable_share": 0.62}, "some vary by less than gamma resolves"),
        ({"ad_gap": 2, "resolvable_share": 0.99}, "and gamma resolves all"),
        ({"ad_gap": 3, "resolvable_share": 0.62}, None),
        ({"ad_gap": 2, "expected_ad": None, "resolvable_share": 0.62}, None),
    ],
)
def test_what_is_missing_and_what_cannot_be_seen_are_told_apart(changed, said):
    own = {"ad": 2, "expected_ad": 3, "r_hat_slope": 2.6}
    found = [each for each in warnings_of(row(**{**own, **changed}), 0.05) if "missing" in each]
    assert bool(found) == (said is not None)
    if said:
        assert said in found[0]
        assert "AD (gap) is 2 of 3" in found[0]


def test_a_method_without_these_losses_has_no_estimates_of_them():
    """Nothing is said of what is not there, but divergence always is."""
    own = {"cell": "a", "seed": 0, "kappa": 6, "status": "ok", "error": 0.1, "parts": 1}
    (done,) = add_estimates([{**own, "warnings": "old"}], [], {}, {}, 0.05, 1.0)
    assert done == {**own, "warnings": ""}
    assert warnings_of({**own, "status": "diverged"}, 0.05) == [
        "diverged (the loss was not finite)"
    ]
