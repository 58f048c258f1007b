"""One cell, a narrow model and a moment of training: for tests of what stands around training."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """kappa = 4, d = 5 and r = 2, two seeds."""
    config = default_config()
    config.name = "small"
    config.grid = ConfigDict({"kappa": (4,), "d": (5,), "r": (2,)})
    config.seeds = 2
    config.data.n_train = 400
    config.data.n_eval = 200
    config.networks.hidden = (8,)
    config.method.log_gamma_init = -6.0
    config.optimiser.learning_rate = 0.02
    config.steps = 120
    config.batch_size = 50
    config.log_every = 40
    config.save_every = 60
    return config
