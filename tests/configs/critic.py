"""An LMGAE and a WAE, narrow and for a moment: for tests of what stands around training."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """kappa = 4, d = 5 and r = 2, two seeds of each method."""
    config = default_config(method="lmgae", optimiser="rmsprop")
    config.name = "critic"
    config.grid = ConfigDict({"method": ("wae", "lmgae"), "kappa": (4,), "d": (5,), "r": (2,)})
    config.seeds = 2
    config.data.n_train = 400
    config.data.n_eval = 200
    config.method.critic_steps = 3
    config.method.critic_hidden = (8,)
    config.networks.hidden = (8,)
    config.networks.heads = "point"
    config.networks.initial = "glorot"
    config.analysis.ad_threshold = 0.9
    config.steps = 60
    config.batch_size = 60
    config.log_every = 20
    config.save_every = 60
    config.eval_every = 20
    return config
