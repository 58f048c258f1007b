"""Beyond the paper: up to r = 32 in up to d = 256, and noise off the manifold.

    python -m mdvae.sweep --config configs/ladder.py

Grid `clean`: how recovery and cost scale; each d is a program of its own (padding d = 32 to 256
would cost eight times its arithmetic), and the report has a table of time and memory by d.
Grid `noisy`: x + sigma N(0, I), to see where the learned gamma meets the noise floor sigma^2 and
what AD does there. r = d = 32 is outside Theorem 1, and so is every noisy cell.

Run time: about 12 minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.config import default_config, published_protocol


def get_config() -> ConfigDict:
    """r = 2..32, d = 32..256, kappa = 48, two seeds; noise at d = 64."""
    config = default_config()
    config.name = "ladder"
    config.grid = ConfigDict(
        {
            "clean": {"kappa": (48,), "d": (32, 64, 128, 256), "r": (2, 4, 8, 16, 32)},
            "noisy": {"kappa": (48,), "d": (64,), "r": (2, 8), "sigma": (1e-3, 1e-2, 5e-2)},
        }
    )
    config.group_by = ("d",)
    config.seeds = 2
    config.steps = 20_000
    config.protocols.authors = published_protocol()
    return config
