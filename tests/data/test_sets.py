"""Data sets: noise, fresh samples, conditions and unions, independent of padding."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from mdvae.data.sets import DataKey, DataKind, make_batch

KEY = DataKey(seed=7, d=8, r=3, t=0, sigma=0.0)
KIND = DataKind("manifold", "identity", "authors", d=8, r=3, c=0, noisy=False)


def arrays(key=KEY, kind=KIND, n=600, purpose="train", part=None):
    made = make_batch(key, kind, n, purpose, part)
    return {name: np.asarray(value, np.float64) for name, value in made.items()}


def rank(x, tolerance=1e-3):
    """The dimension of the linear space that the logits of samples vary in.

    Without saturated samples, whose logits float32 has rounded away.
    """
    logits = scipy.special.logit(x[:, np.all(np.abs(x - 0.5) < 0.4999, axis=0)])
    singular = np.linalg.svd(logits - logits.mean(axis=1, keepdims=True), compute_uv=False)
    return int(np.sum(singular > tolerance * singular[0]))


def residual(target, inputs):
    """What an affine map of the inputs leaves of the target, relative to its spread."""
    design = np.vstack([inputs, np.ones(inputs.shape[1])])
    fit, *_ = np.linalg.lstsq(design.T, target.T, rcond=None)
    left = target.T - design.T @ fit
    return np.sqrt((left**2).sum() / ((target.T - target.mean(axis=1)) ** 2).sum())


def test_noise_is_normal_and_leaves_padding_alone():
    kind = KIND._replace(d=10, noisy=True)
    clean = arrays(kind=kind, n=5_000)["x"]
    noisy = arrays(KEY._replace(sigma=0.05), kind, 5_000)["x"]
    noise = (noisy - clean)[:8] / 0.05
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise) - np.eye(8)).max() < 0.06
    # Nor does it know anything of the sample that it is added to.
    both = np.corrcoef(noise, scipy.special.logit(clean[:8]))
    assert np.abs(both[:8, 8:]).max() < 0.06
    assert not np.any(noisy[8:])
    np.testing.assert_array_equal(arrays(kind=KIND._replace(d=10), n=5_000)["x"], clean)


def test_evaluation_is_fresh_samples_of_the_same_manifold():
    train, fresh = arrays()["x"], arrays(purpose="eval")["x"]
    assert rank(np.concatenate([train, fresh], axis=1)) == 3
    assert not set(map(tuple, train.T)) & set(map(tuple, fresh.T))
    other = arrays(KEY._replace(seed=8))["x"]
    assert rank(np.concatenate([train, other], axis=1)) > 3


@pytest.mark.parametrize("condition", ["identity", "random"])
def test_condition_tells_t_coordinates(condition):
    kind = KIND._replace(condition=condition, c=3)
    for t in (1, 2, 3):
        made = arrays(KEY._replace(t=t), kind)
        np.testing.assert_array_equal(made["x"], arrays()["x"])  # x does not depend on t
        assert not np.any(made["c"][t:])
        assert np.linalg.matrix_rank(made["c"]) == t
        # A linear map of r coordinates: c explains x in full where t = r, else in part.
        left = residual(scipy.special.logit(made["x"]), made["c"][:t])
        assert (left < 1e-3) == (t == 3)
    assert "c" not in arrays()


def test_random_condition_is_a_map_of_the_identity_one():
    plain = arrays(KEY._replace(t=2), KIND._replace(c=2))["c"]
    mixed = arrays(KEY._replace(t=2), KIND._replace(c=2, condition="random"))["c"]
    assert residual(mixed, plain) < 1e-4
    assert np.abs(mixed - plain).max() > 0.1
    again = arrays(KEY._replace(t=2), KIND._replace(c=2, condition="random"), purpose="eval")["c"]
    fit = np.linalg.lstsq(plain.T, mixed.T, rcond=None)[0]
    fresh = arrays(KEY._replace(t=2), KIND._replace(c=2), purpose="eval")["c"]
    np.testing.assert_allclose(fit.T @ fresh, again, rtol=1e-3, atol=1e-3)


def test_conditions_do_not_depend_on_padding():
    kind = KIND._replace(c=2, condition="random")
    narrow = arrays(KEY._replace(t=2), kind)
    wide = arrays(KEY._replace(t=2), kind._replace(d=11, r=6, c=5))
    np.testing.assert_allclose(wide["x"][:8], narrow["x"], rtol=1e-5)
    np.testing.assert_allclose(wide["c"][:2], narrow["c"], rtol=1e-5, atol=1e-6)
    assert not np.any(wide["c"][2:])


def test_union_has_classes_of_dimension_1_to_r():
    kind = KIND._replace(data="union", c=3)
    made = arrays(kind=kind, n=900)
    classes = np.argmax(made["c"], axis=0)
    np.testing.assert_array_equal(made["c"].sum(axis=0), 1.0)
    np.testing.assert_array_equal(np.bincount(classes), [300, 300, 300])
    for k in range(3):
        mine = made["x"][:, classes == k]
        assert rank(mine) == k + 1
        fresh = arrays(kind=kind, n=200, purpose="eval", part=k)
        assert np.all(np.argmax(fresh["c"], axis=0) == k)
        assert rank(np.concatenate([mine, fresh["x"]], axis=1)) == k + 1
    # Every window of consecutive samples has all classes equally often.
    np.testing.assert_array_equal(np.bincount(classes[17:47]), [10, 10, 10])


def test_union_does_not_depend_on_padding():
    kind = KIND._replace(data="union", c=3)
    narrow, wide = arrays(kind=kind), arrays(kind=kind._replace(d=9, r=5, c=5))
    np.testing.assert_allclose(wide["x"][:8], narrow["x"], rtol=1e-5)
    np.testing.assert_array_equal(wide["c"][:3], narrow["c"])


def test_varying_t_tells_as_many_coordinates_as_each_sample_has():
    key = DataKey(seed=1, d=9, r=6, t=6, sigma=0.0)
    kind = DataKind("varying_t", "identity", "authors", d=9, r=6, c=6, noisy=False)
    made = arrays(key, kind, 600)
    told = np.count_nonzero(made["c"], axis=0)
    np.testing.assert_array_equal(np.bincount(told), [0, 0, 200, 0, 200, 0, 200])
    assert rank(made["x"]) == 6
    for part, t in enumerate((2, 4, 6)):
        fresh = arrays(key, kind, 50, "eval", part)
        assert np.all(np.count_nonzero(fresh["c"], axis=0) == t)
        np.testing.assert_array_equal(fresh["x"], arrays(key, kind, 50, "eval")["x"])
