"""Theorem 1 of CVAE-dims measured: a ladder of held log gammas over nine (d, r).

    python -m mdvae.sweep --config configs/theorem1.py

Theory for gamma -> 0: 2 nelbo = (d - r) log gamma + O(1), Recon / gamma -> r. The report fits
the slopes in the window that `mdvae/analysis/rates.py` selects from Recon alone, by tolerances.

Each level is annealed: log gamma moves from 0 to its level in the first half of training, as a
learned one would, and stays there.

Published: the theorem; the paper has no measurement of it. Measured on seeds 5400 to 5402:
d - slope rounds to r in all nine cells (1.99 to 6.19) and in each seed of them, Recon / gamma too
(1.99 to 6.25); 17 of their 18 intervals contain r. The exponent of Recon is 0.955 to 0.999, below 1
in all nine: the network's own error does not fall with gamma.

Run time: a quarter of an hour to half an hour on a 2-core CPU.
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
