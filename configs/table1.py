"""Table 1 of CVAE-dims: VAE active dimensions against the manifold dimension r, 18 cells.

    python -m mdvae.sweep --config configs/table1.py
    python -m mdvae.sweep --config configs/table1.py --config.seeds=1
    python -m mdvae.sweep --config configs/table1.py --config.protocol=authors

Published (mdvae/published/table1.csv): AD = r in 13 of the 14 cells with kappa = 20 and r < d
(7 for d=10, r=8), AD = 5 in the three with kappa = 5; -ELBO from -176.7 (d=30, r=2) to -6.4
(d=10, r=10). One run a cell.

Run time: one seed takes about 3 minutes on a 2-core CPU, all five 15. The authors' protocol
(full batches of 100,000) is for a GPU.
"""

from ml_collections import ConfigDict

from mdvae.config import default_config, published_protocol


def get_config() -> ConfigDict:
    """All cells of Table 1 over five seeds."""
    config = default_config()
    config.name = "table1"
    config.grid = ConfigDict(
        {
            "main": {"kappa": (20,), "d": (10, 20, 30), "r": (2, 4, 6, 8, 10)},
            "narrow": {"kappa": (5,), "d": (20,), "r": (6, 8, 10)},
        }
    )
    config.hidden = (128,)
    config.protocols.authors = published_protocol()
    config.published = "table1"
    return config
