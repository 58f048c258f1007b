"""Table 8 of CVAE-dims over r and d, which the paper does not have.

    python -m mdvae.sweep --config configs/table8_sizes.py

Run time: minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """r = 2, 4, 8 in d = 10, 20, shared and separate weights; three seeds."""
    config = default_config(data="sequences", networks="lstm")
    config.name = "table8_sizes"
    config.grid = ConfigDict(
        {"kappa": (20,), "d": (10, 20), "r": (2, 4, 8), "prior": ("shared", "learned")}
    )
    config.data.past = 0
    config.method.model = "cvae"
    config.method.gamma = "closed"
    config.optimiser.learning_rate = 0.005
    config.seeds = 3
    config.steps = 6_000
    config.batch_size = 250
    return config
