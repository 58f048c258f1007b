"""Figures 3 and 5 of LMGAE: latents in use, and distance of what is generated, against kappa.

    python -m mdvae.sweep --config configs/lmgae_synthetic.py
    python -m mdvae.sweep --config configs/lmgae_synthetic.py --config.scale=gpu
    python -m mdvae.sweep --config configs/lmgae_synthetic.py --config.protocol=authors

TODO
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_critic

METHODS = ("lmgae", "wae")
# What the paper does not say, one by one other than the default.
OTHERS = {"d": (50, 200), "net_bias": (0.5,), "net_output": ("leaky",), "net_slope": (0.01,)}
# The published values of kappa, and fewer.
EVERY = {8: tuple(range(2, 33, 2)), 16: tuple(range(2, 79, 2))}
FEW = {8: (4, 8, 12, 16, 32), 16: (8, 16, 24, 32, 64, 78)}


def grid_of(kappas: dict[int, tuple[int, ...]]) -> ConfigDict:
    """Both methods at each kappa, by the dimension of the data."""
    return ConfigDict(
        {
            f"n{r}": {"method": METHODS, "kappa": own, "d": (100,), "r": (r,)}
            for r, own in kappas.items()
        }
    )


def other_data() -> ConfigDict:
    """LMGAE at kappa = 32 on data of 8 dimensions that are made otherwise."""
    usual = {"method": ("lmgae",), "kappa": (32,), "d": (100,), "r": (8,)}
    return ConfigDict({name: {**usual, name: values} for name, values in OTHERS.items()})


def get_config() -> ConfigDict:
    """n = 8 and n = 16, three seeds; on a CPU fewer values of kappa and smaller networks."""
    config = default_config(data="random_net", method="lmgae", optimiser="rmsprop")
    config.name = "lmgae_synthetic"
    config.grid = grid_of(EVERY)
    config.scale = "cpu"
    config.scales = ConfigDict(
        {
            "cpu": {"grid": grid_of(FEW)},
            "sensitivity": {"seeds": 2, "grid": {"n8": None, "n16": None, **other_data()}},
            "gpu": {
                "steps": 40_000,
                "networks": {"hidden": (512, 512)},
                "method": {"critic_hidden": (256, 256)},
            },
        }
    )
    config.seeds = 3
    config.data.n_train = 20_000
    config.data.n_eval = 2_000
    config.method.critic_hidden = (64, 64)
    config.networks.hidden = (128, 128)
    config.networks.heads = "point"
    config.networks.initial = "glorot"
    config.networks.output = "linear"
    config.steps = 8_000
    # Pieces of 63 samples for the eight updates of LMGAE, and of 72 for the seven of WAE.
    config.batch_size = 504
    config.optimiser.learning_rate = 0.002
    config.log_every = config.eval_every = 500
    config.save_every = 4_000
    config.analysis.ad_threshold = 0.9
    config.analysis.compare = True
    config.analysis.generated = 2_000
    config.protocols.authors = published_critic(batch_size=504)
    return config
