"""Data kind "ring": part of a circle in R^d, of one dimension; and a config that uses it.

    python -m mdvae.sweep --config examples/ring.py

Expected: one active dimension for half a turn, which is a bent line; two where the ring nearly
closes, for a whole circle needs two coordinates. Half a minute on a busy 2-core CPU.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mdvae.data.base import Batch, DataKind, DataSizes
from mdvae.data.keys import purpose_key
from mdvae.data.synthetic import draw_rows
from mdvae.settings.config import default_config
from mdvae.settings.fields import BETWEEN, Section, fixed, number, required, whole
from mdvae.settings.grid import Part, Sizes
from mdvae.settings.registry import DATA

RADIUS = 0.4


@dataclasses.dataclass(frozen=True)
class Ring(Section):
    """Points on part of a circle, which lies in a random plane through the middle of [0, 1]^d.

    Attributes:
        d: width of x.
        turn: how much of the circle there is.
        n_train, n_eval: training samples, and fresh evaluation samples.
    """

    d: int = required(whole(2))
    turn: float = number(0.5, BETWEEN)
    n_train: int = fixed(20_000, whole(1))
    n_eval: int = fixed(5_000, whole(1))


class Table(NamedTuple):
    """What a data set depends on; its numbers are traced in `make`."""

    seed: int
    d: int
    turn: float


def make(law: tuple[Ring, Sizes], table: Table, n: int, split: str, part: int | None) -> Batch:
    """n samples, {"x": [d, n]}: train and evaluation samples lie on the same ring.

    Args:
        law: the settings of one of the cells of the program, and their largest sizes.
        split: "train" or "eval".
        part: of the data; there is one.
    """
    _, sizes = law
    # Two directions; a row for each dimension of x, which does not depend on how many there are.
    key = purpose_key(table.seed, "manifold")
    plane_D2 = draw_rows(key, sizes.d, lambda key: jax.random.normal(key, (2,)))
    is_true_D = jnp.arange(sizes.d, dtype=jnp.uint32) < table.d
    plane_D2 = jnp.where(is_true_D[:, None], plane_D2, 0.0)
    first_D = plane_D2[:, 0] / jnp.linalg.norm(plane_D2[:, 0])
    second_D = plane_D2[:, 1] - jnp.sum(plane_D2[:, 1] * first_D) * first_D
    second_D = second_D / jnp.linalg.norm(second_D)
    angle_N = 2.0 * jnp.pi * table.turn * jax.random.uniform(purpose_key(table.seed, split), (n,))
    ring_DN = jnp.outer(first_D, jnp.cos(angle_N)) + jnp.outer(second_D, jnp.sin(angle_N))
    return {"x": jnp.where(is_true_D[:, None], 0.5 + RADIUS * ring_DN, 0.0)}


DATA.add(
    "ring",
    DataKind(
        settings=Ring,
        sizes=lambda settings, told: DataSizes(settings.d),
        samples=lambda settings: (settings.n_train, settings.n_eval),
        table=lambda settings, seed: Table(seed, settings.d, settings.turn),
        make=make,
        parts=lambda settings: (Part(dimension=1),),
    ),
)


def get_config() -> ConfigDict:
    """Half a ring and nearly a whole one in R^6, two seeds."""
    config = default_config(data="examples.ring:ring")
    config.name = "ring"
    config.grid = ConfigDict({"kappa": (5,), "d": (6,), "turn": (0.5, 0.95)})
    config.update({"seeds": 2, "steps": 5_000, "batch_size": 500})
    return config
