"""Two stages on the manifolds of Table 1 of CVAE-dims, where the distribution on them is known.

    python -m mdvae.sweep --config configs/two_stage_manifolds.py
    python -m mdvae.sweep --config configs/two_stage_manifolds.py --config.seeds=1

Nothing is published on this. The recipe of the first stage is that of configs/table1.py; that of
the second was not searched, and the table was not run at its length yet. On a 2-core CPU one seed
should take a quarter of an hour: see --dry_run.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config, default_stage


def get_config() -> ConfigDict:
    """The 14 cells with r < d; a second stage on the latents of each."""
    config = default_config()
    config.name = "two_stage_manifolds"
    config.grid = ConfigDict(
        {
            "d10": {"kappa": (20,), "d": (10,), "r": (2, 4, 6, 8)},
            "main": {"kappa": (20,), "d": (20, 30), "r": (2, 4, 6, 8, 10)},
        }
    )
    config.seeds = 3
    config.networks.hidden = (128,)
    config.steps = 25_000
    second = config.stages.second = default_stage()
    second.networks.hidden = (128,)
    second.batch_size = 500
    second.steps = 12_000
    second.log_every = 1_000
    return config
