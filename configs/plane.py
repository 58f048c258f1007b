"""A CVAE on manifolds that can be seen: r = 2, of which c tells one coordinate.

    python -m mdvae.sweep --config configs/plane.py

Its report draws data, samples of the model, and samples given a few conditions, in the plane of the
data's first two principal axes. Expected: AD = r - t = 1. Not in the paper.

Measured: AD = 1 in 4 of 4. Run time: 45 seconds on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """d = 3 and r = 2, with the prior N(0, I) and a learned one, two seeds."""
    config = default_config()
    config.name = "plane"
    config.grid = ConfigDict(
        {"kappa": (5,), "d": (3,), "r": (2,), "t": (1,), "prior": ("standard", "learned")}
    )
    config.method.model = "cvae"
    config.seeds = 2
    config.steps = 20_000
    config.protocols.authors = published_protocol()
    return config
