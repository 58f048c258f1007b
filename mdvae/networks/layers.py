"""Layers of the MLPs.

All arrays are feature-major, [width, batch]. The gradient of a kernel contracts over the batch,
which is then the contiguous axis of both factors: a training step on a CPU takes half the time
of the usual layout, and a GPU does not mind.
"""

import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# The collection of what layers keep beside params.
STATS = "stats"


class Linear(nn.Module):
    """y = W^T x + b over the first axis; kernel [inputs, *features], bias [*features].

    Both start uniform on +-bound, by default 1/sqrt(inputs), as the published models did.

    Attributes:
        init_kernel: of the kernel instead, (key, shape) -> array; the bias then starts at 0.
        spectral: whether the kernel is divided by its spectral norm; see `spectral_norm`.
    """

    features: tuple[int, ...]
    bound: float | None = None
    use_bias: bool = True
    init_kernel: Callable[..., jax.Array] | None = None
    spectral: bool = False

    @nn.compact
    def __call__(self, x_IB: jax.Array) -> jax.Array:
        inputs, batch = x_IB.shape
        bound = self.bound or 1.0 / math.sqrt(inputs)

        def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        own = self.init_kernel
        kernel = self.param("kernel", own or uniform, (inputs, *self.features))
        if self.spectral:
            kernel = kernel / spectral_norm(self, kernel, self.features)
        flat_IF = kernel.reshape(inputs, -1)
        # Reconstruction errors of 1e-5 need full float32 products where the default is TF32.
        y_FB = lax.dot_general(
            flat_IF, x_IB, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST
        )
        if self.use_bias:
            start = nn.initializers.zeros if own else uniform
            y_FB = y_FB + self.param("bias", start, self.features).reshape(-1, 1)
        return y_FB.reshape(*self.features, batch)


def spectral_norm(module: nn.Module, kernel: jax.Array, features: tuple[int, ...]) -> jax.Array:
    """The largest singular value of a kernel [..., *features] as a matrix (Miyato et al., 2018).

    An estimate by one step of the power iteration from where the last one ended, which the module
    keeps in its stats; it moves on in training alone.
    """
    start = nn.initializers.normal(1.0)
    last = module.variable(STATS, "u", lambda: start(module.make_rng("params"), features))
    matrix_IF = kernel.reshape(-1, math.prod(features))

    def unit(x: jax.Array) -> jax.Array:
        return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)

    v_I = unit(jnp.dot(matrix_IF, last.value.reshape(-1), precision="highest"))
    u_F = unit(jnp.dot(v_I, matrix_IF, precision="highest"))
    u_F, v_I = jax.lax.stop_gradient((u_F, v_I))
    if not module.is_initializing() and module.is_mutable_collection(STATS):
        last.value = u_F.reshape(features)
    return jnp.einsum("i,if,f->", v_I, matrix_IF, u_F, precision="highest")


class PReLU(nn.Module):
    """max(0, x) + a min(0, x) with one learned slope a, starting at 1/4."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        slope = self.param("slope", nn.initializers.constant(0.25), ())
        return jnp.where(x >= 0, x, slope * x)


def sigmoid(x: jax.Array) -> jax.Array:
    """1 / (1 + exp(-x)) as a tanh, which is a quarter faster on a CPU with its gradient."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def prelu(x: jax.Array) -> jax.Array:
    """`PReLU`, its parameter made in the module that calls."""
    return PReLU()(x)


def silu(x: jax.Array) -> jax.Array:
    """x sigmoid(x) (Hendrycks and Gimpel, 2016; also called swish), smooth and not monotonic."""
    return x * sigmoid(x)


@jax.custom_jvp
def smooth_relu(x: jax.Array) -> jax.Array:
    """0 below 0, x^2 / 2 up to 1, then x - 1/2: a ReLU whose corner is a parabola.

    One side of Huber's loss. Sums of it bend where those of ReLUs are broken, and they are as flat
    as these far from the corner, where a square would grow.
    """
    bent = jnp.clip(x, 0.0, 1.0)
    return bent * (jnp.maximum(x, 0.0) - 0.5 * bent)


@smooth_relu.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return smooth_relu(*primals), jnp.clip(primals[0], 0.0, 1.0) * tangents[0]


def linear(x: jax.Array) -> jax.Array:
    """x itself."""
    return x


FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "smooth_relu": smooth_relu,
    "prelu": prelu,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "silu": silu,
    "linear": linear,
}
OUTPUTS = ("sigmoid", "linear")


# Laws of initial kernels: that of `Linear` itself, and Glorot's.
INITIALS = ("uniform", "glorot")
# The standard deviation of a standard normal that is cut off at -2 and 2.
CUT_OFF, CUT_DEVIATION = 2.0, 0.8796256610342398


def activate(name: str, x: jax.Array) -> jax.Array:
    """An activation by its name in FUNCTIONS."""
    return FUNCTIONS[name](x)


def kernel_law(name: str, inputs: int) -> Callable[..., jax.Array] | None:
    """The `init_kernel` of a `Linear` by its name in INITIALS.

    "glorot" is normal of variance 2 / (inputs + outputs) (Glorot and Bengio, 2010, eq. 12), cut off
    at two standard deviations as TensorFlow draws it; outputs are along the last axis.

    Args:
        inputs: of the layer, those of another kernel that is added to it included.
    """
    if name != "glorot":
        return None

    def draw(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        scale = math.sqrt(2.0 / (inputs + shape[-1])) / CUT_DEVIATION
        return scale * jax.random.truncated_normal(key, -CUT_OFF, CUT_OFF, shape)

    return draw


def hidden_layers(
    h_HB: jax.Array, widths: tuple[int, ...], activation: str, initial: str = "uniform"
) -> jax.Array:
    """The hidden layers of an MLP, made in the module that calls."""
    for width in widths:
        layer = Linear((width,), init_kernel=kernel_law(initial, len(h_HB)))
        h_HB = activate(activation, layer(h_HB))
    return h_HB


def last_layer(
    features: tuple[int, ...],
    name: str,
    h_HB: jax.Array,
    seen: Mapping[str, jax.Array],
    initial: str = "uniform",
) -> jax.Array:
    """The last layer of an MLP, made in the module that calls: of its last hidden layer and more.

    Args:
        seen: what else it sees, [width, batch] each, by a word for its kernel. Each has one of its
            own, for it is padded apart; the fan-in is that of all together.
    """
    inputs = len(h_HB) + sum(map(len, seen.values()))
    bound, law = 1.0 / math.sqrt(inputs), kernel_law(initial, inputs)
    y = Linear(features, bound, init_kernel=law, name=name)(h_HB)
    for word, x in seen.items():
        y = y + Linear(features, bound, False, law, name=f"{name}_{word}")(x)
    return y


def output_of(name: str, x: jax.Array) -> jax.Array:
    """The decoder's last function by its name in OUTPUTS."""
    return sigmoid(x) if name == "sigmoid" else x
