"""The dimension of a table of your own: rows of a .npy or .npz file.

    python -m mdvae.sweep --config configs/array.py --config.data.path=FILE

FILE is a .npy file, or an .npz file (--config.data.array=NAME names one of several arrays), with a
table of real numbers, [rows, columns]; docs/config.md says more. Nothing has to be known of its
dimension. Where the report warns that all latents are active, give more:
--config.grid.kappa='(50,)'. A file of fewer than 625 rows needs a smaller --config.batch_size.

Run time: RUNTIME on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """20 latents over three seeds."""
    config = default_config(data="array")
    config.name = "array"
    config.grid = ConfigDict({"kappa": (20,)})
    config.seeds = 3
    config.steps = 10_000
    config.batch_size = 500
    config.networks.hidden = (128,)
    config.networks.output = "linear"
    return config
