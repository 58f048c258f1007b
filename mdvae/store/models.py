"""A trained model of one run: encode, decode, generate, continue, and its loss by sample."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdvae.data.base import Batch, PyTree
from mdvae.data.keys import purpose_key
from mdvae.data.units import to_networks, to_own
from mdvae.methods import distributions
from mdvae.methods.base import TrainState, cell_numbers, networks_of, units_of
from mdvae.networks.base import (
    Diagonal,
    Full,
    Posterior,
    depends_on_others,
    with_standard_prior,
)
from mdvae.settings.grid import Cell, Group
from mdvae.settings.registry import DATA, METHODS
from mdvae.store.programs import PIECE, checked, compiled, given_codes, noise_scale


class Model(NamedTuple):
    """The networks of a run with their params.

    Samples x are [n, ...], [n, d] of vectors, in the units of the data; conditions c [n, c],
    latents z [n, kappa]. Of sequences x and z are [n, points, d] and [n, points, kappa], and c is
    what comes before x, [n, past, d].

    Attributes:
        cell, seed: of the run.
        steps: that it was trained for.
        params, stats: at the cell's true shapes, of x as the networks see it (`data.units`).
    """

    cell: Cell
    seed: int
    steps: int
    params: PyTree
    stats: PyTree

    def _batch(self, n: int, x: Any = None, c: Any = None) -> Batch:
        """A batch of the cell's layout, as the networks see it, from rows of x and c."""
        kind = DATA.find(self.cell.data.kind)
        shapes = kind.shapes(self.cell.sizes)
        if "c" not in shapes and c is not None:
            raise ValueError(f"c: has no effect on a VAE such as {self.cell.name}; leave it out")
        if "c" in shapes and c is None:
            needed = ", ".join(map(str, (n, *shapes["c"])))
            raise ValueError(f"c: missing; {self.cell.name} is conditional and needs ({needed})")
        given = {
            name: checked(name, rows, shapes[name], n)
            for name, rows in (("x", x), ("c", c))
            if rows is not None
        }
        for name in given.keys() & set(kind.in_units):
            given[name] = to_networks(units_of(self.cell), given[name])
        return {
            name: jnp.asarray(np.moveaxis(rows.astype(np.float32), 0, kind.sample_axis))
            for name, rows in given.items()
        }

    def _rows(self, x: jax.Array) -> np.ndarray:
        """Rows in the units of the data from x of the networks."""
        rows = np.moveaxis(np.asarray(x), DATA.find(self.cell.data.kind).sample_axis, 0)
        return to_own(units_of(self.cell), rows)

    def posterior(self, x: np.ndarray, c: np.ndarray | None = None) -> Posterior:
        """q(z | x, c) of each sample, feature-major as the networks make it."""
        batch = self._batch(len(x), x, c)
        return networks_of(self.cell).encode(self.params, self.stats, batch, False)[0]

    def _in_pieces(self, n: int) -> bool:
        """Whether so many samples are too many at once, and pieces say the same of them."""
        return n > PIECE and not self.cell.sizes.points and not depends_on_others(self.cell)

    def encode(self, x: np.ndarray, c: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log variance of q(z | x, c), [n, kappa] each; of a full one the diagonal's.

        The log variance of an encoder that is a function is -inf.
        """
        if not self._in_pieces(len(x)):
            return self._moments(self.posterior(x, c), len(x))
        encoder, _ = compiled(self.cell)
        found = []
        for i in range(0, len(x), PIECE):
            rows, told = x[i : i + PIECE], None if c is None else c[i : i + PIECE]
            posterior = encoder(self.params, self.stats, self._batch(len(rows), rows, told))
            found.append(self._moments(posterior, len(rows)))
        mean, logvar = (np.concatenate(values) for values in zip(*found, strict=True))
        return mean, logvar

    def _moments(self, posterior: Posterior, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and log variance of the posterior of n samples, as `encode` returns them."""
        if isinstance(posterior, Full):
            variance_KB = jnp.sum(posterior.factor**2, axis=1)
            posterior = Diagonal(posterior.mean, jnp.log(variance_KB))
        mean, logvar = (np.asarray(values).T for values in (posterior.mean, posterior.logvar))
        points = self.cell.sizes.points
        if not points:
            return mean, logvar
        by_point = (points, n, -1)
        return mean.reshape(by_point).swapaxes(0, 1), logvar.reshape(by_point).swapaxes(0, 1)

    def decode(self, z: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        """Mean of p(x | z, c), [n, ...].

        Raises:
            ValueError: of sequences, where each point needs those before it; see `roll_out`.
        """
        if self.cell.sizes.points:
            raise ValueError(
                f"decode: {self.cell.name} is of sequences, whose points need those before them;"
                " use roll_out"
            )
        batch = self._batch(len(z), c=c)
        z = checked("z", z, (self.cell.sizes.kappa,), len(z))
        return self._rows(self._decoded(jnp.asarray(z.T.astype(np.float32)), batch))

    def _decoded(self, z_KB: jax.Array, batch: Batch) -> jax.Array:
        """Mean of p(x | z, c) of a batch, in the layout of the networks."""
        n, z_KB = z_KB.shape[-1], given_codes(self.cell, self.params, z_KB)
        if not self._in_pieces(n):
            return networks_of(self.cell).decode(self.params, self.stats, z_KB, batch, False)[0]
        _, decoder = compiled(self.cell)
        axis = DATA.find(self.cell.data.kind).sample_axis

        def piece(x: jax.Array, axis: int, start: int) -> jax.Array:
            return jax.lax.slice_in_dim(x, start, min(n, start + PIECE), axis=axis % x.ndim)

        found = [
            decoder(
                self.params,
                self.stats,
                piece(z_KB, -1, i),
                {name: piece(x, axis, i) for name, x in batch.items()},
            )
            for i in range(0, n, PIECE)
        ]
        return jnp.concatenate(found, axis=axis)

    def nelbo(
        self,
        x: np.ndarray,
        c: np.ndarray | None = None,
        *,
        standard_prior: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """The negative ELBO of each sample by one draw of z, nats, [n], in the units of the data.

        Of a sequence, the mean over its predicted points.
        In double precision: a trained gamma of 1e-7 magnifies the rounding of single precision.

        Args:
            standard_prior: of the model without a learned prior that is the same by Remark 1 of
                CVAE-dims; see `networks.base.with_standard_prior`.
            draw: another number gives other z.

        Raises:
            ValueError: of a method that has none.
        """
        networks = networks_of(self.cell)
        if standard_prior:
            networks = with_standard_prior(networks)
        group = Group((self.cell,), self.cell.sizes)
        method = METHODS.find(self.cell.method.kind).make(group, self.steps, networks)
        inputs = (self.params, self.stats, self._batch(len(x), x, c), cell_numbers(self.cell))
        with jax.enable_x64(True):
            params, stats, batch, numbers = jax.tree.map(
                lambda leaf: jnp.asarray(leaf, np.float64), inputs
            )
            key = jax.random.fold_in(purpose_key(self.seed, "nelbo"), draw)
            noise = method.noise(key, len(x))
            state = TrainState(params, stats, (), jnp.int32(self.steps))
            found = method.score(state, batch, noise, numbers)
            if "nelbo" not in found:
                kind = self.cell.method.kind
                raise ValueError(
                    f"nelbo: {self.cell.name} has none; method {kind!r} scores no nelbo"
                )
            scored = {"nelbo": np.asarray(found["nelbo"])}
        log_scale, d = units_of(self.cell).log_scale, self.cell.sizes.d
        return method.in_own_units(scored, log_scale, d)["nelbo"]

    def generate(
        self,
        n: int = 1_000,
        c: np.ndarray | None = None,
        *,
        noise: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """Samples of the model: z from the prior, given c where there is one; [n, ...].

        Args:
            n: how many.
            c: a single row stands for all.
            noise: adds the decoder's own, of variance gamma; without it samples are means.
            draw: another number gives other samples.

        Raises:
            ValueError: of noise, where the decoder has none.
        """
        if c is not None and len(c) == 1:
            c = np.repeat(np.asarray(c), n, axis=0)
        if self.cell.sizes.points:
            return self.roll_out(self.cell.sizes.points, n, c, noise=noise, draw=draw)
        networks = networks_of(self.cell)
        batch = self._batch(n, c=c)
        key = jax.random.fold_in(purpose_key(self.seed, "generate"), draw)
        key_z, key_x = jax.random.split(key)
        z_KB = jax.random.normal(key_z, (self.cell.sizes.kappa, n))
        if networks.prior is not None:
            z_KB = distributions.sample(networks.prior(self.params, batch), z_KB)
        x = self._decoded(z_KB, batch)
        if noise:
            scale = noise_scale(self.cell, self.params)
            x = x + scale * jax.random.normal(key_x, x.shape)
        return self._rows(x)

    def roll_out(
        self,
        points: int,
        n: int = 1_000,
        past: np.ndarray | None = None,
        *,
        noise: bool = False,
        draw: int = 0,
    ) -> np.ndarray:
        """Sequences that a model draws point by point, [n, points, d], each from those before it.

        It sees as many of them as it did in training: one point less than a sample has.

        Args:
            past: what comes before, [n, points, d], a single row for all; at least as many points
                as the model was always given.
            noise: adds the decoder's own to each point, of variance gamma.
            draw: another number gives other sequences.

        Raises:
            ValueError: where the model is of no sequences, or `past` is of another shape.
        """
        sizes, kind = self.cell.sizes, DATA.find(self.cell.data.kind)
        if not sizes.points:
            raise ValueError(f"roll_out: {self.cell.name} is of no sequences; use generate")
        given = np.empty((n, 0, sizes.d)) if past is None else np.asarray(past, np.float64)
        if len(given) == 1:
            given = np.repeat(given, n, axis=0)
        if given.ndim != 3 or given.shape[::2] != (n, sizes.d) or given.shape[1] < sizes.past:
            raise ValueError(
                f"past: shape {given.shape} is not usable; it must be ({n}, {sizes.past} or more,"
                f" {sizes.d})"
            )
        most = sizes.past + sizes.points - 1
        known = to_networks(units_of(self.cell), given)[:, max(0, given.shape[1] - most) :]
        known_TDB = jnp.asarray(np.moveaxis(known.astype(np.float32), 0, kind.sample_axis))
        key = jax.random.fold_in(purpose_key(self.seed, "generate"), draw)
        drawn = []
        # Until there are as many points as are looked at, each has a program of its own.
        while len(drawn) < points and len(known_TDB) < most:
            x_DB = jax.jit(partial(self._next, noise=noise))(known_TDB, key, jnp.int32(len(drawn)))
            known_TDB = jnp.concatenate([known_TDB, x_DB[None]])
            drawn.append(x_DB[None])

        def step(known_TDB: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
            x_DB = self._next(known_TDB, key, place, noise=noise)
            return jnp.concatenate([known_TDB, x_DB[None]])[1:], x_DB

        places = jnp.arange(len(drawn), points, dtype=jnp.int32)
        if len(places):
            drawn.append(jax.jit(partial(jax.lax.scan, step))(known_TDB, places)[1])
        return self._rows(jnp.concatenate(drawn)) if drawn else np.empty((n, 0, sizes.d))

    def _next(
        self, known_TDB: jax.Array, key: jax.Array, place: jax.Array, noise: bool
    ) -> jax.Array:
        """The point after some of a sequence, as the networks see it, [d, n]."""
        known, _, n = known_TDB.shape
        sizes = self.cell.sizes._replace(past=known, points=1)
        networks = networks_of(self.cell, sizes)
        # The point itself is not looked at; where none is before it, it says how many there are.
        batch = {"c": known_TDB, "x": jnp.zeros((1, sizes.d, n))}
        key_z, key_x = jax.random.split(jax.random.fold_in(key, place))
        z_KB = jax.random.normal(key_z, (sizes.kappa, n))
        if networks.prior is not None:
            z_KB = distributions.sample(networks.prior(self.params, batch), z_KB)
        given_KB = given_codes(self.cell, self.params, z_KB)
        x_DB = networks.decode(self.params, self.stats, given_KB, batch, False)[0][0]
        if noise:
            scale = noise_scale(self.cell, self.params)
            x_DB = x_DB + scale * jax.random.normal(key_x, x_DB.shape)
        return x_DB
