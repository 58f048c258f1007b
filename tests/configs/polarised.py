"""A small identifiable VAE on two kinds of data, whose latents are classified."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """Three cells, two seeds, a few steps of narrow networks."""
    config = default_config(
        data="manifold", method="ivae", networks="ivae_mlp", analysis="polarised"
    )
    config.name = "polarised"
    config.grid = ConfigDict(
        {
            "told": {"kappa": (4,), "d": (6,), "r": (3,), "t": (1,), "prior": ("both", "variance")},
            "planted": {"data": ("nested",), "kappa": (3,), "d": (6,), "r": (3,), "inner": (2,)},
        }
    )
    config.seeds = 2
    config.data.n_train = 400
    config.data.n_eval = 200
    config.networks.hidden = (8,)
    config.networks.prior_hidden = (4,)
    config.steps = 12
    config.batch_size = 50
    config.log_every = 4
    config.save_every = 6
    config.eval_every = 12
    config.analysis.examples = 150
    return config
