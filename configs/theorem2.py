"""Theorem 2 of CVAE-dims measured: a CVAE at a ladder of held log gammas, for five t.

    python -m mdvae.sweep --config configs/theorem2.py

Theory for gamma -> 0: 2 nelbo = (d - r + t) log gamma + O(1). Published: the theorem alone.

Measured on seeds 5410 to 5412: slopes of 14.67, 15.78, 16.86, 17.91 and 18.96 against 15, 16, 17,
18 and 19; all intervals contain these. The deviation is systematic: the exponent of Recon is 0.964
to 0.984, for the network's own error does not fall with gamma.

Run time: 20 to 40 minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """d = 20, r = 6, t = 1 to 5 at eleven levels, three seeds."""
    config = default_config()
    config.name = "theorem2"
    config.grid = ConfigDict(
        {
            "kappa": (20,),
            "d": (20,),
            "r": (6,),
            "t": (1, 2, 3, 4, 5),
            "log_gamma": tuple(-8.0 + 0.5 * i for i in range(11)),
        }
    )
    config.method.model = "cvae"
    config.seeds = 3
    config.steps = 20_000
    config.method.anneal = 0.5
    config.protocols.authors = published_protocol()
    return config
