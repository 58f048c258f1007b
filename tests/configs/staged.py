"""A sweep of seconds with a second stage on its latents."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config, default_stage


def get_config() -> ConfigDict:
    """Two cells of unlike widths, two seeds."""
    config = default_config()
    config.name = "staged"
    config.grid = ConfigDict({"kappa": (3, 4), "d": (6,), "r": (2,)})
    config.seeds = 2
    config.data.n_train = 1_000
    config.data.n_eval = 400
    config.networks.hidden = (8,)
    config.steps = 60
    config.batch_size = 100
    config.log_every = 30
    config.save_every = 30
    second = config.stages.second = default_stage()
    second.networks.hidden = (8,)
    second.steps = 40
    second.batch_size = 50
    second.log_every = 20
    second.save_every = 10
    second.analysis.generated = 300
    return config
