"""What a program costs, read off its trace: true arithmetic, and the memory of what is in flight.

Any method on any networks is counted so; nothing here knows a layer.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from mdvae.engine.chunks import kind_of
from mdvae.methods.base import cell_numbers, make_method
from mdvae.methods.padding import padded_shapes
from mdvae.settings.grid import Cell, Group


def kept_shapes(group: Group, n: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and dtypes of n samples as they are kept, at a group's sizes."""
    kind = kind_of(group)
    dtypes = kind.dtypes(group.cells[0].data)
    shapes = {}
    for name, shape in kind.shapes(group.sizes).items():
        axis = kind.sample_axis % (len(shape) + 1)
        dtype = dtypes.get(name, jnp.float32)
        shapes[name] = jax.ShapeDtypeStruct((*shape[:axis], n, *shape[axis:]), dtype)
    return shapes


def batch_shapes(group: Group, n: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch of n samples as the networks are given it."""
    return jax.eval_shape(kind_of(group).seen, kept_shapes(group, n))


def _trace(group: Group, n: int, train: bool) -> ClosedJaxpr:
    """The program of one step, or of one evaluation, of one run on n samples."""
    method = make_method(group, 1)
    state = padded_shapes(method, group)
    noise = jax.eval_shape(lambda key: method.noise(key, n), jax.random.key(0))
    numbers = {name: jnp.float32(value) for name, value in cell_numbers(group.cells[0]).items()}
    function = method.step if train else method.score
    return jax.make_jaxpr(function)(state, batch_shapes(group, n), noise, numbers)


def _inner(value: Any) -> Iterator[Jaxpr]:
    """The programs inside a parameter of an operation."""
    if isinstance(value, ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, Jaxpr):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _inner(each)


def _products(jaxpr: Jaxpr) -> int:
    """Multiplications of all matrix products and convolutions."""
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            contracted = params["dimension_numbers"][0][0]
            sizes = [equation.invars[0].aval.shape[axis] for axis in contracted]  # type: ignore[union-attr]
            total += math.prod(equation.outvars[0].aval.shape) * math.prod(sizes)  # type: ignore[union-attr]
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape  # type: ignore[union-attr]
            outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
            # Zeros between the inputs of a transposed convolution are no arithmetic.
            made = math.prod(equation.outvars[0].aval.shape)  # type: ignore[union-attr]
            total += made * math.prod(kernel) // (outputs * math.prod(params["lhs_dilation"]))
        times = params.get("length", 1) if name == "scan" else 1
        inside = [_products(each) for v in params.values() for each in _inner(v)]
        # Of several branches one is taken; the dearest stands for it.
        total += times * (max(inside, default=0) if name == "cond" else sum(inside))
    return total


def _bytes(variable: Any) -> int:
    shape, dtype = variable.aval.shape, variable.aval.dtype
    return math.prod(shape) * (dtype.itemsize if isinstance(dtype, np.dtype) else 8)


def peak_bytes(jaxpr: Jaxpr) -> int:
    """The most bytes that values made by a program take at once, each kept until its last use.

    An estimate from above: a compiler fuses operations and never makes many of these values.
    """
    last: dict[Any, int] = {}
    for i, equation in enumerate(jaxpr.eqns):
        last |= {id(v): i for v in equation.invars}
    last |= {id(v): len(jaxpr.eqns) for v in jaxpr.outvars}
    live: dict[int, int] = {}
    peak = now = 0
    for i, equation in enumerate(jaxpr.eqns):
        inside = [peak_bytes(each) for v in equation.params.values() for each in _inner(v)]
        for variable in equation.outvars:
            if last.get(id(variable), -1) > i:
                live[id(variable)] = _bytes(variable)
                now += live[id(variable)]
        peak = max(peak, now + max(inside, default=0))
        for variable in equation.invars:
            if last[id(variable)] == i:
                now -= live.pop(id(variable), 0)
    return peak


@cache
def step_flops(cell: Cell) -> int:
    """Floating-point operations of the products of one training step of one run at its true sizes.

    Only products are counted, an added and a multiplied number as two. Activations, normal draws
    and Adam are work too, but of an order less, and what is reported as a share of the
    matrix-product peak should be that of products.
    """
    return 2 * _products(_trace(Group((cell,), cell.sizes), cell.batch_size, train=True).jaxpr)


def step_bytes(group: Group, n: int) -> int:
    """Memory in flight in one step of one run on n samples, from above."""
    return peak_bytes(_trace(group, n, train=True).jaxpr)


def score_bytes(group: Group, n: int) -> int:
    """Memory in flight in one evaluation of one run on n samples, from above."""
    return peak_bytes(_trace(group, n, train=False).jaxpr)
