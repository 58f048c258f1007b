"""Theorem 3 of CVAE-dims measured: the loss of sequential CVAEs at a ladder of held log gammas.

    python -m mdvae.sweep --config configs/theorem3.py

Theory for gamma -> 0, per predicted point: with separate weights 2 nelbo = (d - r) log gamma +
O(1); with a prior that is the encoder itself it is bounded below, so that it does not fall.
Published: the theorem alone.

Measured: with separate weights a slope of 9.97 [9.79, 10.15] over log gamma = -8 to -3, for d - r =
10. With shared ones 2 nelbo has a least value of about 4.5 at log gamma = -3 and rises below it, to
260 at -8: bounded below, and not level.

Run time: 25 minutes on a busy 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def get_config() -> ConfigDict:
    """d = 20, r = 10 at seven levels, shared and separate weights; three seeds."""
    config = default_config(data="sequences", networks="lstm")
    config.name = "theorem3"
    config.grid = ConfigDict(
        {
            "kappa": (20,),
            "d": (20,),
            "r": (10,),
            "log_gamma": tuple(float(level) for level in range(-8, -1)),
            "prior": ("shared", "learned"),
        }
    )
    config.data.past = 0
    config.method.model = "cvae"
    config.method.anneal = 0.5
    config.optimiser.learning_rate = 0.005
    config.seeds = 3
    config.steps = 6_000
    config.batch_size = 250
    return config
