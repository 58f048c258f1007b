"""A product grid of your own on synthetic manifolds, with this project's recipe.

    python -m mdvae.sweep --config configs/synthetic.py --config.grid.d='(25,)' \
        --config.grid.r='(3,7)' --config.grid.kappa='(15,)' --config.seeds=3 --config.seed=100

Axes are numbers that vary over the sweep: kappa, d, r, and if wanted log_gamma_init, log_gamma
(held at that level) and learning_rate, all in one program; hidden, activation, output and
batch_size too, one program per value. More axes can be given on the command line, such as
--config.grid.learning_rate='(0.002,0.005)', or in a copy of this file; docs/config.md has all.

Run time: about 8 s per run of 50,000 steps on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """The grid d=20, r=2..8, kappa=20 over three seeds."""
    config = default_config()
    config.name = "synthetic"
    config.grid = ConfigDict({"kappa": (20,), "d": (20,), "r": (2, 4, 6, 8)})
    config.seeds = 3
    config.protocols.authors = published_protocol()
    return config
