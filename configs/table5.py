"""Table 5 of CVAE-dims: a union of five manifolds of dimensions 1 to 5, the class as condition.

    python -m mdvae.sweep --config configs/table5.py
    python -m mdvae.sweep --config configs/table5.py --config.protocol=network

Published (mdvae/published/table5.csv): with attention AD = 1, 2, 3, 4, 5 by class, without it 4 for
every class. The protocol `network` has the published network and optimiser at batches of 1,000;
`authors` has full batches of 500,000 too, for a GPU. The paper counts with the threshold 0.5 here.

Run time: estimated at 5 minutes on a 2-core CPU; not measured at full size yet.
"""

from ml_collections import ConfigDict

from mdvae.config import default_config, published_protocol


def get_config() -> ConfigDict:
    """With and without attention, five seeds; 100,000 samples of each manifold."""
    config = default_config()
    config.name = "table5"
    config.grid = ConfigDict({"kappa": (40,), "d": (20,), "r": (5,), "attention": (False, True)})
    config.data = "union"
    config.model = "cvae"
    config.n_train = 500_000
    config.steps = 30_000
    authors = published_protocol()
    authors.hidden, authors.decoder_hidden, authors.activation = (32, 32), (32,), "prelu"
    authors.batch_size = 500_000
    config.protocols.authors = authors
    config.protocols.network = ConfigDict({**authors.to_dict(), "batch_size": 1_000})
    config.published = "table5"
    return config
