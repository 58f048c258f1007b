"""The polarised regime of an identifiable VAE on dSprites: every latent classified.

    python -m mdvae.sweep --config configs/ivae_dsprites.py
    python -m mdvae.sweep --config configs/ivae_dsprites.py --config.scale=options \
        --workdir runs/ivae_options
    python -m mdvae.sweep --config configs/ivae_dsprites.py --config.scale=gpu
    python -m mdvae.sweep --config configs/ivae_dsprites.py --config.data.path=dsprites.npz

Published are histograms of an active and of a passive latent of 30, no counts, and that none is
mixed. The scale "gpu" has the published data, networks and steps (300,000 in the paper,
which the code makes 26 epochs of 10,368), but for what docs/ivae.md lists; "cpu" has fewer and
smaller sprites, half the channels, and a rate that is higher and goes up and down; no other was
tried. "options" has what the published code did with u and the prior around the paper's date.

Measured with --config.seed=5000, seeds 5000 to 5002: of 30 latents 2.3 active, 22.3 passive, 2
mixed in each seed, and 3.3 unclear. docs/ivae.md has the rest. Run time: 30 minutes on a 2-core
CPU.
"""

from typing import Any

from ml_collections import ConfigDict

from mdvae.settings.config import default_config


def cpu(steps: int) -> dict[str, Any]:
    """46,080 sprites of 32 x 32 pixels, half the channels, a higher rate that goes up and down."""
    return {
        "data": {"places": (3, 3, 20, 16, 16), "side": 32},
        "networks": {"channels": 16},
        "steps": steps,
        "log_every": 500,
        "eval_every": 1_000,
        "save_every": 1_000,
        "optimiser": {"learning_rate": 0.0005, "schedule": "one_cycle"},
    }


def get_config() -> ConfigDict:
    """30 latents, as published, over three seeds; on a CPU fewer sprites and steps."""
    config = default_config(
        data="dsprites", method="ivae", networks="ivae_conv", analysis="polarised"
    )
    config.name = "ivae_dsprites"
    config.grid = ConfigDict({"kappa": (30,)})
    # What the published code did around the paper's date, one by one and together.
    options = {"scaling": ("set", "batch"), "prior_of": ("own", "last")}
    config.scale = "cpu"
    config.scales = ConfigDict(
        {
            "cpu": cpu(20_000),
            "options": {**cpu(2_000), "seeds": 1, "grid": {"kappa": (30,), **options}},
            "gpu": {},
        }
    )
    config.seeds = 3
    config.method.likelihood = "bernoulli"
    config.steps = 269_568
    config.batch_size = 64
    config.optimiser.schedule = "constant"
    config.optimiser.learning_rate = 0.0001
    config.log_every = 5_000
    config.eval_every = config.save_every = 25_000
    return config
