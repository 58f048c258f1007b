"""Slopes, windows and estimates on ladders whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.analysis import rates as rates_module
from mdvae.analysis.estimates import add_estimates, family_rates, warnings_of
from mdvae.analysis.rates import fit_slope, ladder_rates, select_window, trajectory_rates
from mdvae.analysis.theory import ladders
from mdvae.settings.grid import make_cells

LEVELS = np.arange(-10.0, 1.0)


def bent_recon(r, floor=1e-4, top=0.05):
    """r gamma between a network's floor and the data's own variance."""
    gamma = np.exp(LEVELS)
    return 1.0 / (1.0 / (r * gamma + floor) + 1.0 / top)


def ladder(r=4, d=12, kappa=6, seeds=3, blocks=20, noise=0.01, **bends):
    """A ladder by the theorem, with its two bends, and noise over seeds and blocks."""
    rng = np.random.default_rng(0)
    recon_L = bent_recon(r, **bends)
    # The envelope theorem: d(2 nelbo) / d log gamma = d - Recon / gamma.
    slope_L = d - recon_L / np.exp(LEVELS)
    steps = np.diff(LEVELS) * (slope_L[1:] + slope_L[:-1]) / 2
    nelbo_L = 0.5 * np.concatenate([[0.0], np.cumsum(steps)])
    shape = (seeds, len(LEVELS), blocks)
    recon = recon_L[:, None] * (1 + noise * rng.normal(size=shape))
    nelbo = nelbo_L[:, None] + noise * rng.normal(size=shape)
    ratios = np.ones((seeds, len(LEVELS), kappa))
    ratios[:, :, :r] = np.minimum(np.exp(LEVELS), 0.9)[:, None]
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
    assert inside.min() > 1e-4 / 4  # above the floor
    assert inside.max() < 0.05 / 4  # below the data's variance
    everything = select_window(LEVELS, np.log(bent_recon(4, floor=0.0, top=1e9))[None])
    assert everything is not None
    two = np.log(bent_recon(4, floor=0.0, top=1e9)) + np.array([[0.01], [-0.01]]) * LEVELS
    assert select_window(LEVELS, two) == (0, len(LEVELS) - 1)


def test_window_is_the_longest_that_cannot_be_told_from_proportional():
    bend = np.log(bent_recon(4, floor=3e-5, top=1.0))
    seeds = bend + 0.02 * np.array([[1.0], [-1.0], [0.5]]) * LEVELS
    window = select_window(LEVELS, seeds)
    assert window is not None
    part = slice(window.first, window.last + 1)
    slopes = fit_slope(LEVELS[part], seeds[:, part])
    assert abs(slopes.mean() - 1) < 2.5 * slopes.std(ddof=1)
    # Seeds that agree leave no such excuse, and the window shrinks to the flattest part.
    shrunk = select_window(LEVELS, np.stack([bend, bend]))
    assert shrunk is not None
    assert shrunk.last - shrunk.first < window.last - window.first


def test_ladder_without_a_window_is_flagged():
    assert select_window(LEVELS, np.zeros((2, len(LEVELS)))) is None
    assert select_window(LEVELS[:2], LEVELS[None, :2]) is None
    rates = ladder_rates(*ladder(floor=0.05, top=0.06))
    assert rates.window is None
    assert np.isnan(rates.r_hat_slope.value)


def test_interval_over_few_seeds_covers_the_truth(monkeypatch):
    """Ladders of three seeds whose slopes scatter about 1: about 95 % of intervals contain it."""
    # Enough for the spread of the draws; an interval takes no more from them.
    monkeypatch.setattr(rates_module, "DRAWS", 100)
    rng, covered, ladders = np.random.default_rng(3), 0, 150
    levels, nelbo, _, ratios, d, gap = ladder()
    for _ in range(ladders):
        slopes = 1.0 + 0.03 * rng.normal(size=(3, 1, 1))
        recon = np.exp(slopes * levels[:, None]) * np.ones((3, len(levels), 5))
        estimate = ladder_rates(levels, nelbo[..., :5], recon, ratios, d, gap).recon
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.89 <= covered / ladders <= 1.0


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
    assert rates.r_hat.value == pytest.approx(3.0)
    assert rates.r_hat.low == pytest.approx(3.0)
    assert rates.span == pytest.approx(2.0)


@pytest.mark.parametrize("changed", [{"settled": 2}, {"span": 0.1}])
def test_trajectory_that_never_settles_or_moves_is_flagged(changed):
    assert np.isnan(trajectory_rates(*trajectory(**changed)).r_hat.value)


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
        ({"r_hat_slope": None}, ["no valid window for the loss slope"]),
        ({"r_hat_slope": 5.2}, ["the loss slope and AD (gap) differ: 5.2 and 3"]),
        ({"status": "diverged"}, ["diverged (the loss was not finite)"]),
    ],
)
def test_warnings(changed, expected):
    assert warnings_of(row(**changed), 0.05) == expected


SIZES = {"kappa": (6,), "d": (12,), "r": (4,)}


def planted(cells, seeds=3):
    """Rows, blocks and spectra of the runs of a ladder that the theorem made."""
    levels, nelbo, recon, ratios, _, gap = ladder(seeds=seeds)
    rows, blocks, spectra = [], {}, {}
    for i, (name, level) in enumerate(zip(cells, levels, strict=True)):
        for seed in range(seeds):
            rows.append(row(cell=name, seed=seed, d=12, r=4, log_gamma=level, ad=4, ad_gap=4))
            blocks[name, seed] = np.stack([nelbo[seed, i], recon[seed, i]])
            spectra[name, seed] = ratios[seed, i]
    return rows, blocks, spectra, gap


def test_estimates_of_a_ladder_and_of_a_trajectory(tiny):
    cells = make_cells(tiny({**SIZES, "log_gamma": tuple(LEVELS.tolist())}))
    families = ladders(cells)
    assert families == {"kappa6-d12-r4": [f"kappa6-d12-r4-log_gamma={x:g}" for x in LEVELS]}
    rows, blocks, spectra, gap = planted(families["kappa6-d12-r4"])
    learned = row()
    log_gamma, run_nelbo, run_recon, _ = trajectory()
    metrics = [
        {"cell": learned["cell"], "seed": 0, "log_gamma": g, "nelbo": n, "recon": e}
        for g, n, e in zip(log_gamma, run_nelbo, run_recon, strict=True)
    ]
    done = add_estimates([*rows[::-1], learned], metrics, blocks, spectra, families, 0.05, gap)
    for filled in done[:-1]:
        assert round(filled["r_hat_slope"]) == round(filled["r_hat_recon"]) == 4
        assert filled["r_hat_slope_low"] <= filled["r_hat_slope"] <= filled["r_hat_slope_high"]
        assert filled["warnings"] == ""
    assert done[-1]["r_hat_slope"] == pytest.approx(3.0)
    assert np.isnan(done[-1]["r_hat_recon"])
    # A ladder with a missing or diverged run has no estimate.
    rows[0]["status"] = "diverged"
    again = add_estimates(rows, [], blocks, spectra, families, 0.05, gap)
    seed = rows[0]["seed"]
    assert all(np.isnan(r["r_hat_slope"]) == (r["seed"] == seed) for r in again)


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
    rows, blocks, spectra, gap = planted(names)
    rates = family_rates(names, range(3), rows, blocks, spectra, gap)
    assert rates is not None
    assert round(rates.r_hat_slope.value) == 4
    rows[0]["status"] = "diverged"
    rest = family_rates(names, range(3), rows, blocks, spectra, gap)
    two = family_rates(names, [1, 2], rows, blocks, spectra, gap)
    assert rest == two != rates
    assert family_rates(names, [0], rows, blocks, spectra, gap) is None


def test_a_method_without_these_losses_has_no_estimates_of_them():
    """Nothing is said of what is not there, but divergence always is."""
    own = {"cell": "a", "seed": 0, "kappa": 6, "status": "ok", "error": 0.1, "parts": 1}
    (done,) = add_estimates([{**own, "warnings": "old"}], [], {}, {}, {}, 0.05, 1.0)
    assert done == {**own, "warnings": ""}
    assert warnings_of({**own, "status": "diverged"}, 0.05) == [
        "diverged (the loss was not finite)"
    ]
