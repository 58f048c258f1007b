"""A sweep of seconds: what the tests of the commands run."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """Four cells of three kinds (r < d, r = d, kappa < r), two seeds."""
    config = default_config()
    config.name = "tiny"
    config.grid = ConfigDict(
        {
            "wide": {"kappa": (4,), "d": (3, 6), "r": (2, 3)},
            "narrow": {"kappa": (2,), "d": (6,), "r": (3,)},
        }
    )
    config.seeds = 2
    config.data.n_train = 2_000
    config.data.n_eval = 500
    config.networks.hidden = (8,)
    config.steps = 60
    config.batch_size = 100
    config.log_every = 20
    config.save_every = 15
    config.protocols.authors = published_protocol()
    return config
