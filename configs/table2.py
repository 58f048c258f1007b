"""Table 2 of CVAE-dims: VAEs on MNIST and Fashion-MNIST, kappa = 5, 16 and 32.

    launch/get_data.sh
    python -m mdvae.sweep --config configs/table2.py
    python -m mdvae.sweep --config configs/table2.py --config.scale=gpu
    python -m mdvae.sweep --config configs/table2.py --config.protocol=authors

Published (mdvae/published/table2.csv), after 400 epochs: AD 5, 12, 13 and 5, 9, 9; -ELBO from
-842.3 to -1327.3.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import image_scales, published_images


def get_config() -> ConfigDict:
    """Six cells that share one program."""
    config = default_config(data="images", networks="resnet")
    config.name = "table2"
    config.data.dataset = "mnist"
    config.grid = ConfigDict({"dataset": ("mnist", "fashion_mnist"), "kappa": (5, 16, 32)})
    config.scale = "cpu"
    config.scales = image_scales(epochs=30)
    config.batch_size = 128
    config.method.gamma = "closed"
    config.networks.pooling = "flatten"
    config.networks.dense = 128
    config.optimiser.learning_rate = 0.002
    config.save_every = 2_000
    config.protocols.authors = published_images()
    config.analysis.published = "table2"
    return config
