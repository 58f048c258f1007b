"""Strict arithmetic and two host devices for all tests."""

import os

os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest
from ml_collections import ConfigDict

from mdvae.config import SweepConfig, default_config, resolve

jax.config.update("jax_num_cpu_devices", 2)
# The first example of a property may compile, and no test depends on timing or on chance.
hypothesis.settings.register_profile("mdvae", deadline=None, derandomize=True)
hypothesis.settings.load_profile("mdvae")


@pytest.fixture
def tiny():
    """Makes a small config; keyword arguments change its fields."""

    def make(grid=None, **fields) -> SweepConfig:
        return resolve(tiny_dict(grid, **fields))

    return make


def tiny_dict(grid=None, **fields) -> ConfigDict:
    """Two cells of different shapes, two seeds, a few steps of a narrow model."""
    config = default_config()
    config.grid = ConfigDict(grid or {"kappa": (3, 5), "d": (6,), "r": (2,)})
    config.update(
        {
            "name": "tiny",
            "seeds": 2,
            "n_train": 400,
            "n_eval": 200,
            "hidden": (8,),
            "steps": 12,
            "batch_size": 50,
            "log_every": 4,
            "save_every": 6,
            **fields,
        }
    )
    return config
