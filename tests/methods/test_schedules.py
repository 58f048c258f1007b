"""The rates of the optimiser over training, against the papers' words."""

import jax
import numpy as np
import pytest

from mdvae.methods.optimiser import Adam, RMSProp, rate_schedule


def test_a_halved_rate_is_halved_after_150_of_400_epochs_again_and_again():
    rate = rate_schedule(Adam(schedule="halved", halve_every=150 / 400), 4_000)
    steps = [0, 1_499, 1_500, 2_999, 3_000, 3_999]
    np.testing.assert_allclose([rate(step) for step in steps], [1, 1, 0.5, 0.5, 0.25, 0.25])


def test_one_cycle_rises_to_its_peak_and_falls():
    rate = rate_schedule(Adam(warmup=0.3), 1_000)
    with jax.numpy_dtype_promotion("standard"):
        found = [rate(step) for step in (0, 150, 300, 1_000)]
    # Halfway up, a cosine is at the mean of its ends.
    assert found == pytest.approx([1 / 25, (1 + 1 / 25) / 2, 1.0, 1 / 25 / 1e4])


@pytest.mark.parametrize("settings", [Adam(schedule="constant"), RMSProp()])
def test_a_constant_rate_stays_what_it_is(settings):
    rate = rate_schedule(settings, 1_000)
    assert [float(rate(step)) for step in (0, 1, 500, 999)] == [1.0] * 4
