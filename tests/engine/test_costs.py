"""What a program costs, counted on its trace: against closed forms and the compiler's own count."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdvae.engine.costs import _products, batch_shapes, peak_bytes, step_flops
from mdvae.methods.base import cell_numbers, make_method
from mdvae.settings.grid import make_cells, make_groups

BATCH = 40
# The schedule of the learning rate picks its stretch by two products of one number each.
SCHEDULE = 4


def products_of(*chains):
    """Multiplications a sample of chains of layers: three a layer, two in the first of each."""
    total = 0
    for chain in chains:
        layers = list(itertools.pairwise(chain))
        total += sum(3 * a * b for a, b in layers) - layers[0][0] * layers[0][1]
    return total


def test_a_vae_is_counted_layer_by_layer(tiny):
    grid = {"kappa": (3,), "d": (7,), "r": (2,)}
    fields = {"hidden": (5, 4), "decoder_hidden": (6,), "batch_size": BATCH}
    (raw,) = make_cells(tiny(grid, encoder_input="raw", **fields))
    (whitened,) = make_cells(tiny(grid, **fields))
    # z depends on the encoder, so the decoder's first layer needs the gradient of its input.
    products = products_of((7, 5, 4, 6)) + 3 * (3 * 6 + 6 * 7)
    assert products == 3 * (7 * 5 + 5 * 4 + 4 * 6 + 3 * 6 + 6 * 7) - 7 * 5
    assert step_flops(raw) == 2 * BATCH * products + SCHEDULE
    assert step_flops(whitened) == 2 * BATCH * (products + 7**2) + SCHEDULE
    # A decoder that is not given mirrors the encoder.
    (mirrored,) = make_cells(tiny(grid, encoder_input="raw", hidden=(5, 4), batch_size=BATCH))
    mirror = products_of((7, 5, 4, 6)) + 3 * (3 * 4 + 4 * 5 + 5 * 7)
    assert step_flops(mirrored) == 2 * BATCH * mirror + SCHEDULE


def test_networks_on_a_condition_are_counted_each(tiny):
    grid = {"kappa": (3,), "d": (7,), "r": (5,), "t": (4,)}
    fields = {"model": "cvae", "prior": "learned", "attention": True, "attention_hidden": 2}
    fields |= {"hidden": (5,), "encoder_input": "raw", "batch_size": BATCH}
    (cell,) = make_cells(tiny(grid, **fields))
    main = products_of((7, 5, 6)) + 3 * (3 * 5 + 5 * 7)
    # Features of c for the encoder and the decoder, which join the first hidden layer there.
    joined = 2 * products_of((4, 5, 3, 5))
    prior = products_of((4, 5, 3, 6))
    products = main + joined + prior + products_of((4, 2, 3))
    assert step_flops(cell) == 2 * BATCH * products + SCHEDULE


def test_widths_that_agree_are_not_taken_for_one_another(tiny):
    """Each network on c spares the gradient of its own input alone, whatever widths agree."""
    grid = {"kappa": (4,), "d": (7,), "r": (5,), "t": (4,)}
    fields = {"model": "cvae", "prior": "learned", "attention": True}
    fields |= {"hidden": (4,), "batch_size": 1}
    (raw,) = make_cells(tiny(grid, encoder_input="raw", **fields))
    (whitened,) = make_cells(tiny(grid, **fields))
    stages = [[16, 16, 16], [16, 16, 16], [16, 16], [16, 16, 32]]
    products = 3 * sum(sum(stage) for stage in stages) - 4 * 16
    products += 3 * (7 * 4 + 4 * 8 + 4 * 4 + 4 * 7) - 7 * 4
    assert step_flops(raw) == 2 * products + SCHEDULE
    assert step_flops(whitened) == 2 * (products + 7**2) + SCHEDULE


@pytest.mark.long
@pytest.mark.parametrize("encoder_input", ["raw", "whitened"])
def test_flops_are_those_of_the_compiled_step(tiny, encoder_input):
    grid = {"kappa": (20,), "d": (24,), "r": (2,)}
    fields = {"hidden": (64, 48), "batch_size": 400, "activation": "linear"}
    (cell,) = make_cells(tiny(grid, encoder_input=encoder_input, **fields))
    (group,) = make_groups((cell,))
    method = make_method(group, 10)
    state = method.init(jax.random.key(0), cell)
    noise = method.noise(jax.random.key(0), 400)
    numbers = {name: np.float32(value) for name, value in cell_numbers(cell).items()}
    batch = {"x": np.zeros((24, 400), np.float32)}
    analysis = jax.jit(method.step).lower(state, batch, noise, numbers).compile().cost_analysis()
    assert analysis is not None
    # The compiler counts everything elementwise as well.
    assert 0.85 * analysis["flops"] < step_flops(cell) <= analysis["flops"]


def convolution(strides, groups=1):
    """A convolution without padding."""

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            strides,
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    return convolve


def products_in(function, *shapes):
    return _products(jax.make_jaxpr(function)(*map(jnp.zeros, shapes)).jaxpr)


@pytest.mark.parametrize(
    ("strides", "groups", "height", "width"),
    [((1, 1), 1, 7, 5), ((2, 2), 1, 4, 3), ((1, 2), 2, 7, 3)],
)
def test_a_convolution_has_a_product_per_output_and_weight(strides, groups, height, width):
    """Outputs times the weights that each is made of: 3 x 2 of the kernel by inputs a group."""
    x, kernel = (3, 9, 6, 4), (3, 2, 4 // groups, 8)
    expected = 3 * height * width * 8 * (3 * 2 * 4 // groups)
    assert products_in(convolution(strides, groups), x, kernel) == expected


def test_gradients_of_a_convolution_are_products_too():
    """That of the kernel takes as many as the output; that of the input meets its padding too."""

    def total(x, kernel):
        return jnp.sum(convolution((1, 1))(x, kernel) ** 2)

    x, kernel = (3, 9, 6, 4), (3, 2, 4, 8)
    forward = 3 * 7 * 5 * 8 * (3 * 2 * 4)
    assert products_in(jax.grad(total, argnums=1), x, kernel) == 2 * forward
    of_input = 3 * 9 * 6 * 4 * (3 * 2 * 8)
    assert products_in(jax.grad(total, argnums=(0, 1)), x, kernel) == 2 * forward + of_input


def test_a_transposed_convolution_spares_the_zeros_between_its_inputs():
    """With a kernel as wide as its stride, every output is made of one input, of 8 channels."""

    def upwards(x, kernel):
        return jax.lax.conv_transpose(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    small, kernel = (3, 4, 3, 8), (2, 2, 8, 4)
    assert products_in(upwards, small, kernel) == (3 * 8 * 6 * 4) * 8


def test_loops_are_counted_as_often_as_they_run():
    def repeated(a):
        return jax.lax.scan(lambda b, _: (a @ b, None), a, None, length=6)[0]

    def nested(a):
        return jax.lax.fori_loop(0, 2, lambda _, b: jax.jit(repeated)(b), a)

    assert products_in(repeated, (4, 4)) == 6 * 4**3
    assert products_in(nested, (4, 4)) == 2 * 6 * 4**3
    assert products_in(jax.vmap(repeated), (5, 4, 4)) == 5 * 6 * 4**3


def test_peak_counts_what_is_live_at_once():
    def chain(x):
        for _ in range(5):
            x = jnp.sin(x)
        return x

    def fan(x):
        return sum(jnp.sin(x * k) for k in (1.0, 2.0, 3.0, 4.0))

    x, one = jnp.zeros(1_000, jnp.float32), 4_000
    # A chain needs a value and the one it is made of; a sum of four that are all made first more.
    assert peak_bytes(jax.make_jaxpr(chain)(x).jaxpr) == 2 * one
    assert 2 * one < peak_bytes(jax.make_jaxpr(fan)(x).jaxpr) <= 5 * one


def test_batches_have_the_layout_of_their_kind(tiny):
    grid = {"kappa": (3,), "d": (7,), "r": (5,), "t": (4,)}
    (group,) = make_groups(make_cells(tiny(grid, model="cvae")))
    shapes = batch_shapes(group, 11)
    assert {name: leaf.shape for name, leaf in shapes.items()} == {"x": (7, 11), "c": (4, 11)}
