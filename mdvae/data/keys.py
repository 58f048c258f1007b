"""Where randomness comes from: keys derive from (seed, purpose, step), so none is ever stored."""

import jax

# What a key is for; part of every key, so that no two uses meet. Only ever appended to.
PURPOSES = (
    "init",
    "manifold",
    "train",
    "eval",
    "step",
    "eval_noise",
    "train_sigma",
    "eval_sigma",
    "condition",
    "generate",
    "nelbo",
    "epoch",
    "fit",
    "latents",
    "train_member",
    "eval_member",
)


def purpose_key(seed: jax.Array | int, purpose: str) -> jax.Array:
    """The key of a seed for one purpose."""
    return jax.random.fold_in(jax.random.key(seed), PURPOSES.index(purpose))
