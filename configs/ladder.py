"""Beyond the paper: up to r = 32 in up to d = 256, and noise off the manifold.

    python -m mdvae.sweep --config configs/ladder.py

Grid `clean`: how recovery and cost scale; each d is a program of its own (padding d = 32 to 256
would cost an accelerator eight times its arithmetic), and the report has a table of time and memory
by d. Log gamma is annealed to -7 and held there. Learned, it goes down to -17, where the network's
own error is all that Recon consists of: a further latent that lessens it by a tenth then pays for
itself, d / 2 log 1.1 = 12 nats at d = 256. AD with 64 units, without skip, by 20,000 steps of
1,000, two seeds, by the gap of log ratios:

    r                          2     4     8     16
    learned, d = 32, 64        2     4     8     16
    learned, d = 128, 256      2     4     9     17
    held at -8, d = 32; 256    -     -     8; 8  16; 16 and 17
    held at -7, d = 32; 256    -     -     -     16; 16     <- kept
    held at -6, d = 32; 256    -     -     -     15 and 16; 16

At r = 32 those found 32 in d = 256 alone. With last layers that see their inputs (`skip`) and
26,000 steps of 256, as in configs/table1.py, r = 32 is found in d = 64, 128 and 256, and all below,
on seeds 100 and 101 and on the config's own.

Grid `noisy`: x + sigma N(0, I), gamma learned, to see where it meets the noise floor sigma^2 and
what AD does there. r = d = 32 is outside Theorem 1, and so is every noisy cell.

Run time: about 7 minutes on a 2-core CPU.
"""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config
from mdvae.settings.protocols import published_protocol


def get_config() -> ConfigDict:
    """r = 2..32, d = 32..256, kappa = 48, two seeds; noise at d = 64."""
    config = default_config()
    config.name = "ladder"
    config.grid = ConfigDict(
        {
            "clean": {
                "kappa": (48,),
                "d": (32, 64, 128, 256),
                "r": (2, 4, 8, 16, 32),
                "log_gamma": (-7.0,),
                "anneal": (0.5,),
            },
            "noisy": {"kappa": (48,), "d": (64,), "r": (2, 8), "sigma": (1e-3, 1e-2, 5e-2)},
        }
    )
    config.group_by = ("d",)
    config.seeds = 2
    config.networks.skip = True
    config.optimiser.learning_rate = 0.003
    config.steps, config.batch_size = 26_000, 256
    config.protocols.authors = published_protocol()
    return config
