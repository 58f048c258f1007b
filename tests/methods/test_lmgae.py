"""LMGAE and its WAE: losses against NumPy, a step against its updates one by one, and refusals."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stepping import alone, batches, numbers_of

from mdvae.methods.base import networks_of
from mdvae.methods.lmgae import LMGAE, Losses, Seen
from mdvae.methods.masks import COMMON, EACH, mask_of, optimiser_of, polarise_weight
from mdvae.methods.optimiser import RMSProp, make_rmsprop
from mdvae.networks.critic import critic_of
from mdvae.networks.mlp import MLP, mlp_networks
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Sizes, make_cells
from mdvae.store.models import Model
from mdvae.store.programs import PIECE

GRID = {"kappa": (3,), "d": (6,), "r": (2,)}
KAPPA, D, WIDTH, N = 3, 4, 5, 7
NUMBERS = {
    "gradient_penalty": 10.0,
    "variance_penalty": 3.0,
    "variance_decay": 2.0,
    "mask_recon": 5.0,
    "kappa": float(KAPPA),
    "d": float(D),
}


# Of the published code.
PUBLISHED = {"polarise": 2.0, "polarise_power": 1.0, "theta_min": 0.0, "theta_max": 5.0}
PUBLISHED |= {"mask_rate": 1.0, "mask_after": 0.0, "variance_decay": 10.0, "mask_recon": 1000.0}


def configured(tiny, grid=GRID, method="lmgae", **fields):
    """A config of two updates of a narrow critic in each step of five or four pieces."""
    defaults = {"critic_steps": 2, "critic_hidden": (4,), "batch_size": 40, "steps": 20}
    defaults |= PUBLISHED if method == "lmgae" else {}
    kinds = {"method": method, "optimiser": "rmsprop"}
    return tiny(grid, **kinds, **{"heads": "point", **defaults, **fields})


def drawn(machine, cell, seed=0):
    """The state at the start, without what depends on numbers; as one program it is quicker."""
    return jax.jit(machine.init, static_argnums=1)(jax.random.key(seed), cell)


def start_of(machine, cell, seed=0):
    return machine.start(drawn(machine, cell, seed), numbers_of(cell))


# ---- the losses ----------------------------------------------------------------------------------


def layer(params, h):
    kernel = params["kernel"].reshape(len(params["kernel"]), -1)
    return kernel.T @ h + params["bias"].reshape(-1, 1)


def encoded(params, x):
    return layer(params["heads"], np.tanh(layer(params["Linear_0"], x)))


def decoded(params, z):
    x = layer(params["mean"], np.tanh(layer(params["Linear_0"], z)))
    return 1.0 / (1.0 + np.exp(-x))


def judged(params, v):
    return layer(params["value"], np.tanh(layer(params["Linear_0"], v)))[0]


def slopes(params, v):
    """Derivatives of `judged`, by hand."""
    h = np.tanh(layer(params["Linear_0"], v))
    return params["Linear_0"]["kernel"] @ ((1.0 - h**2) * params["value"]["kernel"])


def distance(name, x, x_hat):
    if name == "cross_entropy":
        return np.mean(-x * np.log(x_hat) - (1 - x) * np.log(1 - x_hat))
    if name == "norm":
        return np.mean(np.linalg.norm(x - x_hat, axis=0))
    return np.mean((x - x_hat) ** 2)


def by_hand(own, params, x, z, mix, weight):
    """The four losses of the paper and of its code, in NumPy, each of all params."""
    reconstruction, penalised, weighing, target = own

    def mask(params):
        return 1.0 - np.exp(-params["theta"])[:, None]

    def recon(params):
        code = encoded(params["encoder"], x)
        return distance(reconstruction, x, decoded(params["decoder"], mask(params) * code))

    def autoencoder(params):
        mu = mask(params)[:, 0]
        decay = np.exp(-2.0 * (mu if weighing == "exp" else mu**2))
        return recon(params) + 3.0 * np.mean(decay * np.var(encoded(params["encoder"], x), axis=1))

    def gap(params):
        mu, code = mask(params), encoded(params["encoder"], x)
        return np.mean(judged(params["critic"], mu * z)) - np.mean(
            judged(params["critic"], mu * code)
        )

    def critic(params):
        mu, code = mask(params), encoded(params["encoder"], x)
        between = mix * z + (1 - mix) * code
        if penalised == "masked":
            slope = slopes(params["critic"], mix * (mu * z) + (1 - mix) * (mu * code))
        else:
            slope = mu * slopes(params["critic"], mu * between)
        beyond = np.linalg.norm(slope, axis=0) - 1.0
        assert target == "two_sided" or beyond.min() < 0 < beyond.max()
        cost = beyond**2 if target == "two_sided" else np.where(beyond > 0, beyond, 0.0) ** 2
        return -gap(params) + 10.0 * np.mean(cost)

    def generator(params):
        code = encoded(params["encoder"], x)
        return -np.mean(judged(params["critic"], mask(params) * code))

    def of_mask(params):
        mu = mask(params)
        rest = (1.0 + gap(params)) ** 2 + weight * np.sum(np.abs(mu * (mu - 1.0)))
        return 5.0 * recon(params) + rest

    own = {"autoencoder": ("encoder", "decoder"), "critic": ("critic",)}
    own |= {"generator": ("encoder",), "mask": ("theta",)}
    losses = {"autoencoder": autoencoder, "critic": critic, "generator": generator}
    return {**losses, "mask": of_mask}, own


def differences(function, params, names, step=1e-6):
    """Central differences of a function of params in all entries of some of them."""
    found = {}
    for name in names:
        leaves, tree = jax.tree.flatten(params[name])
        slopes = []
        for k, leaf in enumerate(leaves):
            slope = np.empty(leaf.shape)
            for place in np.ndindex(leaf.shape):
                ends = []
                for sign in (1.0, -1.0):
                    moved = leaf.copy()
                    moved[place] += sign * step
                    changed = [moved if i == k else each for i, each in enumerate(leaves)]
                    ends.append(function({**params, name: jax.tree.unflatten(tree, changed)}))
                slope[place] = (ends[0] - ends[1]) / (2 * step)
            slopes.append(slope)
        found[name] = jax.tree.unflatten(tree, slopes)
    return found


@cache
def small_model():
    """Params of narrow smooth networks, a batch and noise, in double precision."""
    rng = np.random.default_rng(3)
    networks = mlp_networks(
        MLP(hidden=(WIDTH,), activation="tanh", heads="point"), Sizes(KAPPA, D, 0, 0)
    )
    critic = critic_of(KAPPA, (WIDTH,), "tanh")
    shapes = jax.eval_shape(networks.init, jax.random.key(0))[0]
    shapes |= {"critic": jax.eval_shape(critic.init, jax.random.key(0)), "theta": np.empty(KAPPA)}
    params = jax.tree.map(lambda leaf: rng.normal(0.0, 0.7, leaf.shape), shapes)
    params["theta"] = np.array([0.2, 1.0, 0.6])
    params["critic"]["value"]["kernel"] *= 4.0  # slopes of less than 1, and of more
    x, z = rng.uniform(0.1, 0.9, (D, N)), rng.normal(size=(KAPPA, N))
    return networks, critic, params, x, z, rng.uniform(size=(1, N))


@pytest.mark.parametrize(
    "own",
    [
        ("squared", "masked", "exp_square", "one_sided"),
        ("norm", "unmasked", "exp", "two_sided"),
        ("cross_entropy", "masked", "exp", "two_sided"),
    ],
    ids="-".join,
)
def test_losses_and_their_gradients(own):
    """Values of each against NumPy, gradients in what it trains against central differences."""
    networks, critic, params, x, z, mix = small_model()
    weight = 0.3
    expected, trained = by_hand(own, params, x, z, mix, weight)
    settings = LMGAE("lmgae", own[0], penalised=own[1], variance_weight=own[2], penalty=own[3])
    with jax.enable_x64(True):
        given = jax.tree.map(jnp.asarray, (params, {}, {"x": x}, z, mix))
        numbers = {name: jnp.float64(value) for name, value in NUMBERS.items()}
        losses = Losses(settings, networks, critic, -1)

        @jax.jit
        def everything(params, stats, batch, z, mix, numbers):
            seen = Seen(
                params, stats, batch, z, mix, mask_of(params["theta"], z, numbers), numbers, True
            )
            more = {"mask": (jnp.float64(weight),)}
            of = {"autoencoder": {name: params[name] for name in ("encoder", "decoder")}}
            of |= {
                "critic": params["critic"],
                "generator": params["encoder"],
                "mask": params["theta"],
            }
            return {
                name: jax.value_and_grad(getattr(losses, name), has_aux=True)(
                    own, seen, *more.get(name, ())
                )
                for name, own in of.items()
            }

        found = jax.tree.map(np.asarray, everything(*given, numbers))
    for name, ((value, _), gradient) in found.items():
        assert value == pytest.approx(expected[name](params), rel=1e-10), name
        slope = differences(expected[name], params, trained[name])
        slope = slope if name == "autoencoder" else slope[trained[name][0]]
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), gradient, slope)
    (error, _), (gap, length) = found["autoencoder"][0][1], found["critic"][0][1]
    code, mu = encoded(params["encoder"], x), 1.0 - np.exp(-params["theta"])[:, None]
    x_hat = decoded(params["decoder"], mu * code)
    assert error == pytest.approx(np.mean(np.sum((x - x_hat) ** 2, axis=0)))
    assert gap == pytest.approx(
        np.mean(judged(params["critic"], mu * z)) - np.mean(judged(params["critic"], mu * code))
    )
    assert length > 0


def test_a_linear_critic_is_known():
    """Slope 2 costs ten times (2 - 1)^2, slope 1 nothing, and less where it may be less nothing.

    The gap is that of means along it.
    """
    networks, _, params, x, z, mix = small_model()
    critic, numbers = critic_of(KAPPA, (), "relu"), {k: np.float32(v) for k, v in NUMBERS.items()}
    direction = np.array([2.0, -1.0, 2.0]) / 3.0
    given = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), (params, {}, {"x": x}, z, mix)
    )
    mu = 1.0 - np.exp(-params["theta"])
    code = encoded(params["encoder"], x)
    apart = (mu * direction) @ (z.mean(axis=1) - code.mean(axis=1))

    @partial(jax.jit, static_argnums=(1, 2))
    def told(own, penalised, penalty):
        losses = Losses(LMGAE("lmgae", penalised=penalised, penalty=penalty), networks, critic, -1)
        mu_K1 = mask_of(given[0]["theta"], given[3], numbers)
        return losses.critic(own, Seen(*given, mu_K1, numbers, True))

    def found(scale, penalised="masked", penalty="two_sided"):
        own = {"value": {"kernel": scale * direction[:, None], "bias": np.array([0.7])}}
        own = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), own)
        value, (gap, length) = told(own, penalised, penalty)
        return float(value + gap), float(gap), float(length)

    assert found(1.0) == pytest.approx((0.0, apart, 1.0), abs=1e-5)
    assert found(2.0) == pytest.approx((10.0, 2.0 * apart, 2.0), rel=1e-5)
    assert found(-0.5) == pytest.approx((2.5, -0.5 * apart, 0.5), rel=1e-5)
    freely = partial(found, penalty="one_sided")
    assert freely(2.0) == pytest.approx((10.0, 2.0 * apart, 2.0), rel=1e-5)
    assert freely(-0.5) == pytest.approx((0.0, -0.5 * apart, 0.5), abs=1e-5)
    masked = float(np.linalg.norm(mu * direction))
    both = 10.0 * (masked - 1.0) ** 2, apart, masked
    assert found(1.0, "unmasked") == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize(
    ("kappa", "fraction", "steps", "every"),
    [
        (16, 0.0, 6_000, 4 * 75),
        (32, 0.0, 300_000, 4 * 3_600),
        (64, 0.0, 600_000, 4 * 7_200),
        (110, 0.0, 500_000, 4 * 10_000),
        (16, 0.02, 5_000, 100),
        (20, 0.3, 1_001, 300),
    ],
)
def test_the_weight_of_polarisation_doubles_up_to_its_cap(kappa, fraction, steps, every):
    numbers = {"polarise": 2.0, "polarise_every": fraction, "polarise_cap": 2048.0, "kappa": kappa}
    numbers |= {"mask_after": 0.0, "polarise_power": 1.0}
    numbers = {name: np.float32(value) for name, value in numbers.items()}
    expected, weight = [], 2.0 / kappa
    for step in range(steps):
        if step and step % every == 0:
            weight = min(2.0 * weight, 2048.0)
        expected.append(weight)
    places = np.unique([0, *(k * every + j for k in range(20) for j in (-1, 0)), steps - 1])
    places = places[(places >= 0) & (places < steps)]
    found = [float(polarise_weight(jnp.int32(i), steps, numbers)) for i in places]
    np.testing.assert_allclose(found, np.array(expected)[places], rtol=1e-6)
    # With a mask that waits the same follows later.
    later = {**numbers, "mask_after": np.float32(0.5)}
    waiting = [float(polarise_weight(jnp.int32(i), steps, later)) for i in places]
    moved = np.maximum(places - np.round(np.float32(0.5) * steps).astype(int), 0)
    np.testing.assert_allclose(waiting, np.array(expected)[moved], rtol=1e-6)
    # By another power of kappa it is another at the start, and the same from its cap on.
    flat = {**numbers, "polarise_power": np.float32(0.0)}
    assert float(polarise_weight(jnp.int32(0), steps, flat)) == 2.0
    if kappa == 110:
        assert found[-1] == pytest.approx(74.5, abs=0.1)  # as computed of the published run


# ---- a step --------------------------------------------------------------------------------------


def rmsprop(trained, grads, state, rate):
    """The rule of TensorFlow 1 with its own numbers."""
    nu = jax.tree.map(lambda s, g: 0.9 * s + 0.1 * g**2, state, grads)
    moved = jax.tree.map(lambda p, g, s: p - rate * g / np.sqrt(s + 1e-10), trained, grads, nu)
    return moved, nu


@pytest.mark.parametrize("method", ["lmgae", pytest.param("wae", marks=pytest.mark.long)])
def test_a_step_is_its_updates_one_by_one(tiny, method):
    """In the published order, each on samples of its own and in what it trains alone."""
    (cell,) = make_cells(configured(tiny, method=method, critic_rate=0.3, learning_rate=0.01))
    machine, numbers, (batch,) = alone(cell, 20), numbers_of(cell), batches(cell, 1)
    state = start_of(machine, cell)
    noise = machine.noise(jax.random.key(5), 40)
    after, info = jax.jit(machine.step)(state, batch, noise, numbers)

    losses = Losses(cell.method, networks_of(cell), critic_of(3, (4,), "relu"), -1)
    size = 40 // (5 if method == "lmgae" else 4)
    params = dict(state.params)
    scale = {name: jax.tree.map(np.ones_like, each.nu) for name, each in state.opt.items()}
    mu_K1 = mask_of(params.get("theta"), noise["z"], numbers)

    @partial(jax.jit, static_argnums=0)
    def gradient(name, own, params, k, weight):
        cut = partial(jax.lax.dynamic_slice_in_dim, start_index=k * size, slice_size=size, axis=1)
        mine = {"x": cut(batch["x"])}, cut(noise["z"]), cut(noise["mix"])
        seen = Seen(params, state.stats, *mine, mu_K1, numbers, True)
        more = (weight,) if name == "mask" else ()
        return jax.grad(getattr(losses, name), has_aux=True)(own, seen, *more)

    def improve(name, own, k, rate, weight=0.0):
        grads, told = gradient(name, own, params, jnp.int32(k), jnp.float32(weight))
        moved, scale[name] = rmsprop(own, grads, scale[name], np.float32(rate))
        return moved, told

    nets = {name: params[name] for name in ("encoder", "decoder")}
    nets, (error, _) = improve("autoencoder", nets, 0, 0.01)
    params |= nets
    told = []
    for k in (1, 2):
        params["critic"], each = improve("critic", params["critic"], k, 0.003)
        told.append(each)
    params["encoder"], _ = improve("generator", params["encoder"], 3, 0.003)
    if method == "lmgae":
        theta, _ = improve("mask", params["theta"], 4, 0.01, 2.0 / 3.0)
        params["theta"] = np.maximum(theta, 0.0)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    assert after.params.keys() == params.keys()
    jax.tree.map(close, after.params, params)
    assert after.opt.keys() == scale.keys()
    jax.tree.map(close, {name: each.nu for name, each in after.opt.items()}, scale)
    close(info["recon"], error)
    close(info["critic_gap"], np.mean([gap for gap, _ in told]))
    close(info["gradient_norm"], np.mean([length for _, length in told]))
    if method == "lmgae":
        mu = 1.0 - np.exp(-np.asarray(state.params["theta"]))
        assert float(info["active"]) == np.sum(mu >= 0.1)
        close(info["polarised"], np.sum(mu * (1.0 - mu)))


@pytest.mark.parametrize("moments", [EACH, COMMON])
def test_moments_of_each_latent_or_common_to_all(moments):
    """Four latents of which the last is padding; the third has no gradient at all."""
    settings = RMSProp("rmsprop", initial_scale=1.0)
    optimiser = optimiser_of(make_rmsprop(settings, 10), moments)
    numbers = {"kappa": 3.0, "learning_rate": 0.1, "mask_rate": 0.5, "mask_rate_power": 2.0}
    numbers = {name: np.float32(value) for name, value in numbers.items()}
    theta, rate = np.array([1.0, 2.0, 3.0, 0.0], np.float32), 0.1 * 0.5 * 9.0
    state = optimiser.init(jnp.asarray(theta))
    grads = np.random.default_rng(0).normal(size=(5, 4)) * [3.0, 0.1, 0.0, 0.0]
    grads[2] = 0.0  # nor does one step move any
    expected, moving, nu = theta.astype(float), jnp.asarray(theta), np.ones(4)
    for i, grad in enumerate(grads):
        moving, state = optimiser.update(
            moving, jnp.asarray(grad, jnp.float32), state, jnp.int32(i), numbers
        )
        square = grad**2 if moments == EACH else np.full(4, np.sum(grad**2) / 3.0)
        nu = 0.9 * nu + 0.1 * square
        expected = expected - rate * grad / np.sqrt(nu + 1e-10)
        np.testing.assert_allclose(moving, expected, rtol=1e-5)
    assert np.shape(state.nu) == ((4,) if moments == EACH else ())


def test_masks_are_projected_and_their_gradient_lives_at_zero():
    networks, critic, params, x, z, mix = small_model()
    given = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), (params, {}, {"x": x}, z, mix)
    )
    numbers = {name: np.float32(value) for name, value in NUMBERS.items()}
    losses = Losses(LMGAE("lmgae"), networks, critic, -1)
    theta = jnp.array([0.0, 1.0, 0.0])
    seen = Seen(*given, mask_of(theta, given[3], numbers), numbers, True)
    gradient, _ = jax.jit(jax.grad(lambda theta: losses.mask(theta, seen, 1.0), has_aux=True))(
        theta
    )
    assert np.all(np.abs(gradient) > 1e-3)


def test_theta_starts_uniform_and_stays_above_zero(tiny):
    grid = {"kappa": (200,), "d": (6,), "r": (2,), "theta_max": (3.0, 5.0)}
    three, five = make_cells(configured(tiny, grid, mask_recon=0.0, learning_rate=3.0))
    machine = alone(three, 20)
    begin = drawn(machine, three)
    starts = [machine.start(begin, numbers_of(cell)).params["theta"] for cell in (three, five)]
    np.testing.assert_allclose(np.asarray(starts[1]) / np.asarray(starts[0]), 5.0 / 3.0, rtol=1e-5)
    assert 0.0 < starts[1].min() < 0.2
    assert 4.8 < starts[1].max() < 5.0
    assert np.mean(starts[1]) == pytest.approx(2.5, abs=4 * 5 / np.sqrt(12 * 200))
    # Steps as wide as masks are takes many of them to 0, and none below.
    state = machine.start(begin, numbers_of(three))
    numbers = numbers_of(three)
    step, seen = jax.jit(machine.step), []
    for i, batch in enumerate(batches(three, 3)):
        state, info = step(state, batch, machine.noise(jax.random.key(i), 40), numbers)
        seen.append(np.asarray(state.params["theta"]))
        before = seen[-2] if i else np.asarray(starts[0])
        assert float(info["active"]) == np.sum(1.0 - np.exp(-before) >= 0.1)
    assert all(np.all(theta >= 0.0) for theta in seen)
    assert np.sum(seen[-1] == 0.0) > 5
    assert np.any((seen[0] == 0.0) & (seen[-1] > 0.0))  # and back again


def test_theta_starts_between_two_values_and_waits(tiny):
    grid = {"kappa": (200,), "d": (6,), "r": (2,)}
    fields = {"theta_min": 1.0, "theta_max": 1.5, "mask_after": 0.1, "mask_recon": 0.0}
    (cell,) = make_cells(configured(tiny, grid, learning_rate=0.5, **fields))
    machine, numbers = alone(cell, 20), numbers_of(cell)
    state = start_of(machine, cell)
    start = np.asarray(state.params["theta"])
    assert 1.0 < start.min() < 1.02
    assert 1.48 < start.max() < 1.5
    # Padded latents stay at 0 whatever the start is.
    padded = machine.start(drawn(machine, cell), {**numbers, "kappa": np.float32(120)})
    np.testing.assert_array_equal(padded.params["theta"][120:], 0.0)
    np.testing.assert_array_equal(padded.params["theta"][:120], start[:120])
    step, moved = jax.jit(machine.step), []
    for i, batch in enumerate(batches(cell, 3)):
        state, _ = step(state, batch, machine.noise(jax.random.key(i), 40), numbers)
        moved.append(not np.array_equal(state.params["theta"], start))
    assert moved == [False, False, True]  # a tenth of 20 steps


def test_what_is_scored(tiny):
    lmgae, wae = (
        make_cells(configured(tiny, method=method, reconstruction="norm"))[0]
        for method in ("lmgae", "wae")
    )
    machine, numbers, (batch,) = alone(lmgae, 20), numbers_of(lmgae), batches(lmgae, 1)
    state, noise = start_of(machine, lmgae), machine.noise(jax.random.key(1), 40)
    assert noise["z"].shape == (3, 40)
    assert noise["mix"].shape == (1, 40)
    assert noise["mix"].min() >= 0
    assert noise["mix"].max() < 1
    found = jax.jit(machine.score)(state, batch, noise, numbers)
    theta = np.asarray(state.params["theta"])
    expected = np.repeat(np.exp(-theta)[:, None], 40, axis=1)
    np.testing.assert_allclose(found["ratio"], expected, rtol=1e-5)
    networks = networks_of(lmgae)
    code = networks.encode(state.params, state.stats, batch, False)[0].mean
    mu = 1.0 - np.exp(-theta)[:, None].astype(np.float32)
    x_hat, _ = networks.decode(state.params, state.stats, mu * code, batch, False)
    np.testing.assert_allclose(found["recon"], np.sum((batch["x"] - x_hat) ** 2, axis=0), rtol=1e-4)
    judged = partial(critic_of(3, (4,), "relu").apply, state.params["critic"])
    gap = judged(mu * noise["z"]) - judged(mu * code)
    np.testing.assert_allclose(found["critic_gap"], gap, rtol=1e-4, atol=1e-6)
    plain = alone(wae, 20)
    begin = start_of(plain, wae)
    scores = jax.eval_shape(plain.score, begin, batch, noise, numbers_of(wae))
    assert set(scores) == {"recon", "critic_gap"}
    assert (plain.logged, plain.blocks) == (("recon", "critic_gap", "gradient_norm"), ("recon",))
    # A table's own units: what is squared has their square.
    own = machine.in_own_units({"recon": 2.0, "critic_gap": 3.0}, np.log(10.0), 6)
    assert own == {"recon": pytest.approx(200.0), "critic_gap": 3.0}


@pytest.mark.long
def test_late_losses_are_divided_by_five(tiny):
    """As RMSProp keeps them: the squares of the gradients of auto-encoder and mask, from 5 S on."""
    grid = {**GRID, "rate_decay": (False, True)}
    plain, decayed = make_cells(configured(tiny, grid, initial_scale=0.0))
    numbers, (batch,) = numbers_of(plain), batches(plain, 1)
    kept = {}
    for cell in (plain, decayed):
        machine = alone(cell, 1_000)
        state, step = start_of(machine, cell), jax.jit(machine.step)
        noise = machine.noise(jax.random.key(1), 40)
        for i in (374, 375):
            kept[cell.name, i] = step(state._replace(step=jnp.int32(i)), batch, noise, numbers)[0]
    # The two are programs of their own, and a mask's gradient is a difference of larger terms.
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-12)
    # Polarisation doubles nowhere between the two steps.
    early, before = kept[decayed.name, 374].opt, kept[plain.name, 374].opt
    jax.tree.map(close, early, before)
    late, usual = kept[decayed.name, 375].opt, kept[plain.name, 375].opt
    for name in ("autoencoder", "mask"):
        jax.tree.map(lambda a, b: close(25.0 * a, b), late[name], usual[name])


# ---- what goes together --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"batch_size": 41},
            r"^batch_size: 41 cannot be cut into equal pieces for the 5 updates of a step; it must"
            r" be a multiple of 5$",
        ),
        (
            {"method": "wae", "critic_steps": 5, "grid": {**GRID, "batch_size": (70, 64)}},
            r"^grid\.batch_size: 64 cannot be cut into equal pieces for the 7 updates of a step",
        ),
        (
            {"reconstruction": "cross_entropy", "output": "linear"},
            r"^method\.reconstruction: 'cross_entropy' needs data and a decoder between 0 and 1,"
            r" such as images and networks\.output 'sigmoid'; it must be 'squared' or 'norm'$",
        ),
        (
            {"theta_min": 2.0, "theta_max": 1.0},
            r"^method\.theta_min: 2 is not usable with theta_max = 1; it must be no more$",
        ),
        (
            {"critic_steps": 0},
            r"^method\.critic_steps: 0 is not usable; it must be a whole number, 1 or more, 100 at"
            r" most$",
        ),
        (
            {"critic_hidden": (4, 0)},
            r"^method\.critic_hidden: \(4, 0\) is not usable; it must be a tuple of layer widths of"
            r" 1 or more, or \(\) for a linear critic, of 100 at most$",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tiny, fields, message):
    with pytest.raises(ConfigError, match=message):
        make_cells(configured(tiny, **fields))


@pytest.mark.parametrize("method", ["lmgae", "wae"])
def test_sequences_are_refused(tiny, method):
    grid = {"kappa": (3,), "r": (2,), "d": (4,)}
    config = partial(tiny, grid, method=method, optimiser="rmsprop", past=0)
    with pytest.raises(ConfigError, match=f"^method.kind: '{method}' has no use for sequences; it"):
        make_cells(config(data="sequences", networks="lstm", hidden=(5,)))


def test_a_vae_needs_a_variance(tiny):
    message = "^networks.heads: 'point' has no variance, which method 'vae' needs; it must be 'gau"
    with pytest.raises(ConfigError, match=message):
        make_cells(tiny(GRID, heads="point"))
    both = {**GRID, "heads": ("gaussian", "point")}
    with pytest.raises(ConfigError, match=r"^grid\.heads: 'point' has no variance"):
        make_cells(tiny(both))
    for field, value in (("heads", "point"), ("initial", "glorot")):
        with pytest.raises(
            ConfigError, match=f"^networks.{field}: '{value}' has no effect on a CV"
        ):
            make_cells(tiny({**GRID, "t": (1,)}, model="cvae", **{field: value}))


# ---- a trained model -----------------------------------------------------------------------------


def test_a_decoder_is_given_masked_codes(tiny):
    (cell,) = make_cells(configured(tiny))
    machine = alone(cell, 20)
    state = start_of(machine, cell, seed=2)
    theta = np.array([0.0, 0.7, 5.0], np.float32)
    params = {**state.params, "theta": theta}
    model = Model(cell, 0, 20, params, state.stats)
    mu = 1.0 - np.exp(-theta)[:, None]
    rng = np.random.default_rng(0)
    x, z = rng.uniform(size=(30, 6)), rng.normal(size=(PIECE + 50, 3))
    networks = networks_of(cell)

    def plain(z_KB):
        return networks.decode(params, state.stats, jnp.asarray(z_KB, jnp.float32), {}, False)[0].T

    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(model.decode(z), plain(mu * z.T))
    mean, logvar = model.encode(x)
    assert np.all(logvar == -np.inf)
    batch = {"x": jnp.asarray(x.T, jnp.float32)}
    close(mean, networks.encode(params, state.stats, batch, False)[0].mean.T)
    close(model.decode(mean), plain(mu * mean.T))
    # z_0 is masked off: nothing that is generated depends on it.
    moved = z.copy()
    moved[:, 0] += 3.0
    np.testing.assert_array_equal(model.decode(moved), model.decode(z))
    made = model.generate(40)
    assert made.shape == (40, 6)
    open_model = model._replace(params={**params, "theta": np.full(3, 50.0, np.float32)})
    assert np.abs(open_model.generate(40) - made).max() > 1e-4


@pytest.mark.parametrize("n", [20, PIECE + 20])
def test_a_variance_that_nothing_trained_is_not_told(n, tiny):
    (cell,) = make_cells(configured(tiny, heads="gaussian"))
    state = start_of(alone(cell, 20), cell)
    _, logvar = Model(cell, 0, 20, state.params, state.stats).encode(np.zeros((n, 6)))
    assert np.all(logvar == -np.inf)


def test_what_a_model_without_a_likelihood_cannot_say(tiny):
    (cell,) = make_cells(configured(tiny))
    state = start_of(alone(cell, 20), cell)
    model = Model(cell, 0, 20, state.params, state.stats)
    with pytest.raises(
        ValueError, match=r"^nelbo: kappa3-d6-r2 has none; method 'lmgae' scores no"
    ):
        model.nelbo(np.zeros((4, 6)))
    with pytest.raises(ValueError, match=r"^noise: True is not usable; kappa3-d6-r2 is of method"):
        model.generate(4, noise=True)
