"""A config of a moment's training for each method, to be killed in the middle of."""

from ml_collections import ConfigDict

from mdvae.settings.config import default_config

STEPS = 36
# Kinds, the grid and settings that `config_of` does not have for all.
METHODS: dict[str, tuple[dict, dict, dict]] = {
    "vae": ({}, {"kappa": (4,), "d": (5,), "r": (2,)}, {"eval_every": 15, "memory_gib": 1e-5}),
    "lmgae": (
        {"method": "lmgae", "optimiser": "rmsprop"},
        {"kappa": (4,), "d": (5,), "r": (2,)},
        {"method.mask_after": 0.0, "method.theta_min": 0.0},
    ),
    "wae": (
        {"method": "wae", "optimiser": "rmsprop"},
        {"kappa": (4,), "d": (5,), "r": (2,)},
        {},
    ),
    "ivae": (
        {"method": "ivae", "networks": "ivae_mlp", "analysis": "polarised"},
        {"kappa": (4,), "d": (6,), "r": (3,), "t": (1,)},
        {"networks.prior_hidden": (4,), "analysis.examples": 100},
    ),
}
CRITIC = {
    "method.critic_steps": 2,
    "method.critic_hidden": (6,),
    "networks.heads": "point",
    "networks.initial": "glorot",
    "analysis.ad_threshold": 0.9,
}


def config_of(name: str) -> ConfigDict:
    """The config of a method: two runs, in one slice or in two, and three checkpoints of each."""
    kinds, grid, changes = METHODS[name]
    config = default_config(**kinds)
    config.name, config.grid = name, ConfigDict(grid)
    config.update({"seeds": 2, "steps": STEPS, "batch_size": 20})
    config.update({"log_every": 5, "save_every": 12, "keep_checkpoints": 2})
    config.networks.hidden = (6,)
    own = {**CRITIC, **changes} if "critic_steps" in config.method else changes
    for path, value in {"data.n_train": 100, "data.n_eval": 50, **own}.items():
        section, _, leaf = path.rpartition(".")
        (config[section] if section else config).update({leaf: value})
    return config


def get_config() -> ConfigDict:
    """What the command line names; a child takes its own method's in place of it."""
    return config_of("vae")
