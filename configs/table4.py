"""Table 4 of CVAE-dims: CVAEs told the class, and VAEs of the same layers, on real images.

    launch/get_data.sh
    python -m mdvae.sweep --config configs/table4.py
    python -m mdvae.sweep --config configs/table4.py --config.scale=gpu
    python -m mdvae.sweep --config configs/table4.py --config.protocol=authors

Published (mdvae/published/table4.csv), after 400 epochs: AD 12 and 9, the mean over classes; -ELBO
-1489.4 and -1239.1, with 32 channels.

Measured, 10 epochs, seed 0: the mean AD (0.05) over classes of the CVAE is at most the VAE's in all
four pairs (MNIST 32.0 and 32.0, 51.8 and 52.3), its -ELBO is lower in all, and below both published
ones; see docs/results.md. Run time: 10 minutes on a 2-core CPU.

The recipe is that of configs/table2.py.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import image_scales, published_images

# Steps of 128 of the 60,000 images of each set.
EPOCH = 468


def get_config() -> ConfigDict:
    """Both data sets and both models; each class is evaluated apart."""
    config = default_config(data="images", networks="resnet")
    config.name = "table4"
    config.data.dataset = "mnist"
    config.data.by_class = True
    config.grid = ConfigDict(
        {"dataset": ("mnist", "fashion_mnist"), "kappa": (32, 64), "model": ("vae", "cvae")}
    )
    config.scale = "cpu"
    config.scales = image_scales(epochs=10)
    config.batch_size = 128
    config.method.gamma = "closed"
    config.networks.pooling = "flatten"
    config.networks.dense = 128
    config.optimiser.learning_rate = 0.005
    config.log_every = config.eval_every = EPOCH
    config.save_every = 5 * EPOCH
    authors = published_images()
    authors.networks.channels = 32
    # The published script evaluates nothing; 1,000 images have enough of each class.
    authors.data.n_eval = 1_000
    config.protocols.authors = authors
    # The published network but for its width, trained and evaluated as here.
    config.protocols.network = ConfigDict({"networks": {"pooling": "mean", "dense": 32}})
    config.analysis.published = "table4"
    return config
