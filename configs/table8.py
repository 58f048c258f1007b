"""Table 8 of CVAE-dims: a sequential CVAE whose prior shares weights with its encoder, or does not.

    python -m mdvae.sweep --config configs/table8.py

Published (mdvae/published/table8.csv, one run of the last point alone, `past` = 5): shared -ELBO
-2.49, Recon 0.374, gamma 0.012; separate -45.0, 1.81e-5 and 7.3e-7.

Run time: minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_sequences


def get_config() -> ConfigDict:
    """Both priors, the loss over all six points (`past` = 0) and over the last; five seeds."""
    config = default_config(data="sequences", networks="lstm")
    config.name = "table8"
    config.grid = ConfigDict(
        {"kappa": (20,), "d": (20,), "r": (10,), "past": (0, 5), "prior": ("shared", "learned")}
    )
    config.method.model = "cvae"
    # In closed form, gamma does not lag behind the error.
    config.method.gamma = "closed"
    config.optimiser.learning_rate = 0.005
    config.steps = 10_000
    config.batch_size = 250
    config.protocols.authors = published_sequences()
    config.analysis.published = "table8"
    return config
