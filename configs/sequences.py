"""The dimension that each point of your own sequences adds to those before it.

    python -m mdvae.sweep --config configs/sequences.py --config.data.path=FILE

FILE is a .npy file, or an .npz file (--config.data.array=NAME names one of several arrays), with
sequences of real numbers, [sequences, points, columns]; docs/config.md says more. Samples are
stretches of --config.data.length points, six of them here; the model predicts each from all before
it. AD is the number of directions in which a point varies once those before it are known. Where
the report warns that all latents are active, give more: --config.grid.kappa='(40,)'.

Run time: three minutes for 200 sequences of 100 points of 20 columns on a 2-core CPU.

The recipe is that of configs/table8_sizes.py. Found on ARMA processes of r = 4 in R^20, 200
sequences of 100 points, seeds 100 and 101: with gamma in closed form and without `skip`, which is
enough for r = 10 in configs/table8.py, five latents are active; with two layers more in the decoder
or twice the width four or five; with `skip` and gamma as a parameter four. gamma in closed form
falls so fast that latents which a worse encoder needed at first are not given up again.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """20 latents a point over two seeds."""
    config = default_config(data="sequence_array", networks="lstm")
    config.name = "sequences"
    config.grid = ConfigDict({"kappa": (20,)})
    config.data.length = 6
    config.method.model = "cvae"
    config.networks.skip = True
    config.optimiser.learning_rate = 0.005
    config.seeds = 2
    config.steps = 10_000
    config.batch_size = 250
    return config
