"""Reducing scores: means, blocks of samples, and pieces that memory asks for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvae.engine.evaluation import (
    BLOCKS,
    block_means,
    mean_scores,
    reduce_scores,
    score_in_pieces,
)


def score(batch, noise):
    axis = 0 if batch["x"].shape[0] == noise.shape[-1] else 1
    total = jnp.sum(batch["x"], axis=1 - axis)
    return {"total": total, "product": noise * total[None, :], "level": jnp.float32(3.0)}


@pytest.mark.parametrize("sample_axis", [0, -1])
@pytest.mark.parametrize("piece", [200, 100, 25, 30, 1, 99])
def test_pieces_give_the_scores_of_the_whole(sample_axis, piece):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)).astype(np.float32)
    batch = {"x": jnp.asarray(np.moveaxis(x, 0, sample_axis))}
    noise = jnp.asarray(rng.normal(size=(2, 100)).astype(np.float32))
    whole = score(batch, noise)
    found = jax.jit(lambda b, n: score_in_pieces(score, b, n, sample_axis, piece))(batch, noise)
    assert set(found) == set(whole)
    for name, values in whole.items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


@pytest.mark.parametrize(("piece", "sizes"), [(40, {40, 20}), (50, {50}), (100, {100})])
def test_no_more_samples_are_scored_at_once_than_asked_for(piece, sizes):
    seen = set()

    def noted(batch, noise):
        seen.add((batch["x"].shape, noise["z"].shape, noise["u"].shape))
        return {"total": batch["x"].sum(axis=(1, 2)) + noise["u"]}

    batch = {"x": jnp.ones((100, 4, 3))}  # an image each, samples first
    noise = {"z": jnp.ones((2, 100)), "u": jnp.arange(100.0)}
    found = score_in_pieces(noted, batch, noise, 0, piece)
    np.testing.assert_array_equal(found["total"], 12.0 + np.arange(100))
    assert seen == {((n, 4, 3), (2, n), (n,)) for n in sizes}


@pytest.mark.parametrize("n", [100, 110, 21, 7])
def test_blocks_are_means_of_neighbouring_samples_and_leave_none_out(n):
    values = np.random.default_rng(1).normal(size=(2, n)).astype(np.float32)
    stretches = np.array_split(values, min(BLOCKS, n), axis=1)
    expected = np.stack([each.mean(axis=1) for each in stretches], axis=1)
    np.testing.assert_allclose(block_means(jnp.asarray(values)), expected, rtol=1e-5)


def test_means_are_over_samples_and_scalars_stay():
    rng = np.random.default_rng(2)
    scores = {
        "a": jnp.asarray(rng.normal(size=40).astype(np.float32)),
        "b": jnp.asarray(rng.normal(size=(3, 40)).astype(np.float32)),
        "level": jnp.float32(0.1),
    }
    found = reduce_scores(scores, ("b",))
    np.testing.assert_allclose(found.means["a"], np.mean(scores["a"]), rtol=1e-5)
    np.testing.assert_allclose(found.means["b"], np.mean(scores["b"], axis=1), rtol=1e-5)
    assert found.means["level"] == np.float32(0.1)
    assert found.means["level"].shape == ()
    assert set(found.blocks) == {"b"}
    pairs = np.asarray(scores["b"]).reshape(3, BLOCKS, 2).mean(axis=2)
    np.testing.assert_allclose(found.blocks["b"], pairs, rtol=1e-5)


def test_mean_scores_are_those_of_one_number_by_example():
    scores = {"a": jnp.arange(4.0), "b": jnp.ones((3, 4)), "level": jnp.float32(0.1)}
    scores["ratio"] = jnp.arange(8.0).reshape(2, 4)
    found = mean_scores(scores)
    assert set(found) == {"a", "ratio"}
    assert found["a"] == 1.5
    np.testing.assert_array_equal(found["ratio"], [1.5, 5.5])
