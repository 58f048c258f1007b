"""Four cells of Table 1 over three seeds in one to three minutes on a 2-core CPU.

    python -m mdvae.sweep --config configs/quickstart.py

Expected: AD = r in all four cells, by both rules, with every seed. Published (Table 1): AD = r.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """d = 20 and 30 with r = 2 and 4, three seeds, 10,000 steps."""
    config = default_config()
    config.name = "quickstart"
    config.grid = ConfigDict({"kappa": (20,), "d": (20, 30), "r": (2, 4)})
    config.seeds = 3
    config.steps = 10_000
    config.save_every = 2_500
    config.protocols.authors = published_protocol()
    config.analysis.published = "table1"
    return config
