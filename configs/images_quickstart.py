"""VAEs on 1,600 images each of MNIST and Fashion-MNIST that come with mdvae; nothing is downloaded.

    python -m mdvae.sweep --config configs/images_quickstart.py

Two data sets with two seeds each, 100 epochs of 25 steps, with the networks and the gamma in closed
form of configs/table2.py. It shows what a report on images has: reconstructions, samples, what each
latent changes, and the encoder's variances beside those that the decoder's Jacobian makes best. AD
on so few images need not be that on the whole sets, which launch/get_data.sh gets for table2.py.

Run time: about two minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """Both samples with two seeds each, one program."""
    config = default_config(data="images", networks="resnet")
    config.name = "images_quickstart"
    config.grid = ConfigDict({"dataset": ("mnist_sample", "fashion_sample"), "kappa": (32,)})
    config.seeds = 2
    config.epochs = 100
    config.batch_size = 64
    config.log_every = 250
    config.save_every = 1_250
    config.method.gamma = "closed"
    config.networks.pooling = "flatten"
    config.networks.dense = 128
    config.optimiser.learning_rate = 0.005
    return config
