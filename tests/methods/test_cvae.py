"""The CVAE method: padding, the loss under a learned prior, Remark 1, known answers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from stepping import alone, assert_padded_equals_unpadded, numbers_of, samples_of, start_of

from mdvae.methods import distributions, objective
from mdvae.methods.base import Method, Numbers, TrainState, networks_of
from mdvae.networks.base import shapes_of, with_standard_prior
from mdvae.settings.grid import Cell, Sizes, make_cells, make_groups

STEPS = 30
KINDS = [("standard", True), ("standard", False), ("learned", False), ("learned", True)]
KINDS = [*((*kind, False) for kind in KINDS), ("learned", True, True)]


@pytest.mark.parametrize(
    ("prior", "attention", "skip"),
    [pytest.param(*kind, marks=[pytest.mark.long] * (kind != KINDS[0])) for kind in KINDS],
)
def test_padded_equals_unpadded(tiny, prior, attention, skip):
    grid = {"kappa": (2, 5), "d": (4, 9), "r": (3,), "t": (0, 1, 3)}
    fields = {"model": "cvae", "prior": prior, "attention": attention, "skip": skip}
    config = tiny(grid, steps=STEPS, hidden=(8, 6), activation="prelu", **fields)
    (group,) = make_groups(make_cells(config))
    assert (group.sizes.kappa, group.sizes.d, group.sizes.c) == (5, 9, 3)
    # The first is padded in z, x and c; of the others one in z alone, and one in c alone.
    chosen = group.cells[::5] if prior == "learned" and attention else group.cells[:1]
    assert_padded_equals_unpadded(group, chosen, STEPS)


@pytest.mark.parametrize(("data", "t"), [("manifold", 4), ("varying_t", 4), ("union", None)])
def test_networks_of_a_cell_at_wider_sizes(tiny, data, t):
    grid = {"kappa": (8,), "d": (9,), "r": (6,), "t": None if t is None else (t,)}
    (cell,) = make_cells(tiny(grid, model="cvae", data=data, prior="learned", attention=True))
    width = cell.sizes.c
    assert width == (6 if data == "union" else 4)
    for sizes in (cell.sizes, Sizes(kappa=10, d=12, c=width + 3, r=6)):
        params, stats = shapes_of(networks_of(cell, sizes))
        encoder, decoder = params["encoder"], params["decoder"]
        assert encoder["Joint_0"]["input"]["kernel"].shape == (sizes.d, 8)
        assert encoder["heads"]["kernel"].shape == (8, 2, sizes.kappa)
        assert decoder["mean"]["kernel"].shape == (8, sizes.d)
        for each in (encoder["Features_0"], decoder["attention"], params["prior"]["Features_0"]):
            assert each["Linear_0"]["kernel"].shape == (sizes.c, 8)
            assert each["Linear_1"]["kernel"].shape == (8, sizes.kappa)
        assert stats["input"].matrix.shape == (sizes.d, sizes.d)


def test_last_layers_that_see_their_inputs(tiny):
    """Of a CVAE: x and c, z as attention weighs it and c, and c of the prior.

    Hidden layers are taken away, and attention weighs the latents by what is its own.
    """
    grid = {"kappa": (5,), "d": (6,), "r": (3,), "t": (2,)}
    (cell,) = make_cells(
        tiny(grid, model="cvae", prior="learned", attention=True, skip=True, hidden=(7,))
    )
    networks = networks_of(cell)
    params, stats = networks.init(jax.random.key(3))
    for part, last in (("encoder", "heads"), ("decoder", "mean"), ("prior", "heads")):
        own = params[part]
        assert set(own[last]) == {"kernel", "bias"}
        own[last]["kernel"] = jnp.zeros_like(own[last]["kernel"])
    key_x, key_c, key_z = jax.random.split(jax.random.key(4), 3)
    batch = {"x": jax.random.uniform(key_x, (6, 9)), "c": jax.random.normal(key_c, (2, 9))}
    z = jax.random.normal(key_z, (5, 9))

    attention = params["decoder"]["attention"]["Linear_1"]
    attention["kernel"] = jnp.zeros_like(attention["kernel"])
    weights = 1 / (1 + np.exp(-np.asarray(attention["bias"], np.float64)))

    def seen(part, last, **inputs):
        own = params[part]
        found = np.asarray(own[last]["bias"], np.float64)[..., None]
        for word, x in inputs.items():
            kernel = np.asarray(own[f"{last}_{word}"]["kernel"], np.float64)
            assert kernel.shape[0] == len(x)
            found = found + np.tensordot(kernel, np.asarray(x, np.float64), (0, 0))
        return found

    (mean, logvar), _ = networks.encode(params, stats, batch, False)
    np.testing.assert_allclose(
        np.stack([mean, logvar]),
        seen("encoder", "heads", skip=batch["x"], told=batch["c"]),
        1e-5,
        1e-6,
    )
    x_hat, _ = networks.decode(params, stats, z, batch, False)
    logits = seen("decoder", "mean", skip=weights[:, None] * z, told=batch["c"])
    np.testing.assert_allclose(x_hat, 1 / (1 + np.exp(-logits)), 1e-5, 1e-6)
    assert networks.prior is not None
    found = np.stack(networks.prior(params, batch))
    np.testing.assert_allclose(found, seen("prior", "heads", told=batch["c"]), 1e-5, 1e-6)


FRESH = 500


class Trained(NamedTuple):
    cell: Cell
    method: Method
    numbers: Numbers
    state: TrainState
    fresh: dict
    noise: jax.Array

    def score(self):
        """Of the samples that it has not seen."""
        return jax.jit(self.method.score)(self.state, self.fresh, self.noise, self.numbers)


def trained(config, steps=300):
    """A model after some real steps on its own data, and samples that it has not seen."""
    (cell,) = make_cells(config)
    method, numbers = alone(cell, steps), numbers_of(cell)
    samples = samples_of(cell, 100 * steps + FRESH)
    fresh = {k: v[:, -FRESH:] for k, v in samples.items()}
    data = {k: v[:, :-FRESH].reshape(len(v), steps, 100) for k, v in samples.items()}
    noise = jax.random.normal(jax.random.key(0), (steps, cell.sizes.kappa, 100))

    def body(state, inputs):
        return method.step(state, *inputs, numbers)

    inputs = {k: v.swapaxes(0, 1) for k, v in data.items()}, noise
    state, _ = jax.jit(lambda s: jax.lax.scan(body, s, inputs))(start_of(method, cell))
    return Trained(cell, method, numbers, state, fresh, method.noise(jax.random.key(5), FRESH))


def nelbo_of_samples(networks, model):
    state, batch, noise = model.state, model.fresh, model.noise
    (mean, logvar), _ = networks.encode(state.params, state.stats, batch, False)
    z = mean + jnp.exp(0.5 * logvar) * noise
    x_hat, _ = networks.decode(state.params, state.stats, z, batch, False)
    prior = (0.0, 0.0) if networks.prior is None else networks.prior(state.params, batch)
    kl = jnp.sum(distributions.kl_normal(mean, logvar, *prior), axis=0)
    recon = jnp.sum((batch["x"] - x_hat) ** 2, axis=0)
    d = float(batch["x"].shape[0])
    return objective.gaussian_terms(recon, kl, state.params["log_gamma"], d).nelbo


@pytest.mark.parametrize("attention", [False, pytest.param(True, marks=pytest.mark.long)])
def test_remark_1_on_a_trained_model(tiny, attention):
    """The same loss for every sample, and the same samples, without a learned prior."""
    grid = {"kappa": (5,), "d": (6,), "r": (3,), "t": (2,)}
    config = tiny(grid, model="cvae", prior="learned", attention=attention, hidden=(16,))
    model = trained(config)
    learned = networks_of(model.cell)
    before = np.asarray(nelbo_of_samples(learned, model))
    after = np.asarray(nelbo_of_samples(with_standard_prior(learned), model))
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    # It is the loss that was trained, of these params and no others.
    np.testing.assert_allclose(model.score()["nelbo"], before, rtol=1e-4, atol=1e-3)
    # The prior has moved away from N(0, I), or nothing would be shown.
    assert learned.prior is not None
    assert np.abs(np.concatenate(learned.prior(model.state.params, model.fresh))).max() > 0.1


def test_loss_under_a_learned_prior_is_the_closed_form(tiny):
    grid = {"kappa": (4,), "d": (6,), "r": (3,), "t": (2,)}
    model = trained(tiny(grid, model="cvae", prior="learned"))
    networks, found = networks_of(model.cell), model.score()
    state, batch, noise = model.state, model.fresh, model.noise
    assert networks.prior is not None
    posterior, _ = networks.encode(state.params, state.stats, batch, False)
    mean, logvar = (np.asarray(v, np.float64) for v in posterior)
    prior_mean, prior_logvar = (
        np.asarray(v, np.float64) for v in networks.prior(state.params, batch)
    )
    z = mean + np.exp(logvar / 2) * np.asarray(noise)
    z = jnp.asarray(z, jnp.float32)
    x_hat, _ = networks.decode(state.params, state.stats, z, batch, False)
    gamma = float(np.exp(state.params["log_gamma"]))
    nll = -scipy.stats.norm.logpdf(batch["x"], x_hat, gamma**0.5).sum(axis=0)
    log_ratio = logvar - prior_logvar
    squared = (mean - prior_mean) ** 2 * np.exp(-prior_logvar)
    kl = 0.5 * (np.exp(log_ratio) + squared - 1 - log_ratio).sum(axis=0)
    # Sample by sample, and so in the mean.
    np.testing.assert_allclose(found["nelbo"], nll + kl, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["ratio"], np.exp(log_ratio), rtol=1e-4)
    counts = (np.exp(log_ratio) < 0.05).sum(axis=0)
    fractions = np.mean(found["active"], axis=1)
    np.testing.assert_allclose(fractions, np.bincount(counts, minlength=5) / FRESH, atol=1e-5)
    np.testing.assert_array_equal(np.argmax(found["active"], axis=0), counts)


@pytest.mark.long
def test_condition_that_tells_all_leaves_nothing_to_encode(tiny):
    """t = r: x is a function of c, and every latent stays at its prior (Theorem 2)."""
    grid = {"kappa": (4,), "d": (6,), "r": (2,), "t": (2,)}
    fields = {"model": "cvae", "hidden": (32,), "learning_rate": 0.01}

    def score(grid):
        found = trained(tiny(grid, **fields), steps=2_000).score()
        return np.mean(found["ratio"], axis=1), float(np.mean(found["recon"]))

    ratios, told = score(grid)
    assert np.all(ratios > 0.8)
    ratios, untold = score({**grid, "t": (0,)})
    assert np.sum(ratios < 0.2) == 2  # nothing told: both dimensions are encoded
    assert told < 0.5 * untold
