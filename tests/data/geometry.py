"""Measures of samples, common to the tests of several kinds of data."""

import functools

import numpy as np
import scipy.special


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


@functools.cache
def arrays(kind, law, table, n, split="train", part=None):
    """Samples of a kind of data as NumPy arrays of double precision."""
    made = kind.make(law, table, n, split, part)
    return {name: np.asarray(value, np.float64) for name, value in made.items()}
