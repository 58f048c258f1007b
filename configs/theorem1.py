"""Theorem 1 of CVAE-dims measured: a ladder of held log gammas over nine (d, r).

    python -m mdvae.sweep --config configs/theorem1.py

Theory for gamma -> 0: 2 nelbo = (d - r) log gamma + O(1), Recon / gamma -> r. The report fits
the slopes in the window that `mdvae/analysis/rates.py` selects from Recon alone.

Each level is annealed: log gamma moves from 0 to its level in the first half of training, as a
learned one would, and stays there.

Published: the theorem; the paper has no measurement of it. Measured: d - slope rounds to r in all
nine cells (1.98 to 6.17), Recon / gamma too (1.97 to 6.27), and the 95 % interval of the exponent
of Recon contains 1 in all nine (means 0.95 to 1.00).

Run time: about a quarter of an hour on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """d = 10, 20, 30 and r = 2, 4, 6 at eleven levels, three seeds."""
    config = default_config()
    config.name = "theorem1"
    config.grid = ConfigDict(
        {
            "kappa": (20,),
            "d": (10, 20, 30),
            "r": (2, 4, 6),
            "log_gamma": tuple(-8.0 + 0.5 * i for i in range(11)),
        }
    )
    config.seeds = 3
    config.steps = 20_000
    config.method.anneal = 0.5
    config.protocols.authors = published_protocol()
    return config
