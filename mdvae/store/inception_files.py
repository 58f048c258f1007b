"""Weights of the FID's Inception: read, folded, kept with a known activation, and checked by it.

They are not this project's, and nothing here fetches them. The user gives either the file from
which PyTorch computes the FID, or the .npz file that was made of it: the same weights with batch
normalisation folded in, and a probe, which is what PyTorch finds for one image. Nothing is used
before JAX finds the same.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.data.files import refusal, unreadable
from mdvae.networks.features import inception_features
from mdvae.networks.inception import CONVOLUTIONS, WIDTH, shapes
from mdvae.networks.inception_torch import EPSILON, torch_features
from mdvae.settings.fields import ConfigError
from mdvae.store.weight_files import Weights, read_weights

FILE = "pt_inception-2015-12-05-6726825d.pth"
# Of its SHA-256, the first eight digits, as PyTorch's files have them in their names.
DIGEST = "6726825d"
PROBE = "probe"
# By how much features may differ from the probe, as a fraction of its largest.
TOLERANCE = 1e-3
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
RIGHT = f"give {FILE}, or what `python -m mdvae.features --inception` has made of it"


class Inception(NamedTuple):
    """Weights as `inception.pool3` takes them, and the features [WIDTH] of `probe_image`."""

    weights: Mapping[str, np.ndarray]
    probe: np.ndarray


def probe_image() -> np.ndarray:
    """The image of the probe, [1, 120, 160, 3] in [0, 1]: crossing waves, another in each colour.

    Its sides differ from each other and from those of the network, so that scaling is probed too.
    """
    rows, columns = np.arange(120.0)[:, None, None], np.arange(160.0)[None, :, None]
    colour = np.arange(1.0, 4.0)
    waves = np.sin(rows * colour / 9.0) + np.cos(columns / (3.0 * colour) + rows / 17.0)
    return (0.5 + 0.25 * waves).astype(np.float32)[None]


def fold(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights with batch normalisation folded in, float32, by the names that `inception` has.

    Args:
        state: arrays by PyTorch's names: NAME.conv.weight [out, in, rows, columns], and of NAME.bn
            weight, bias, running_mean and running_var [out].
    """
    folded = {}
    for name in CONVOLUTIONS:
        weight, bias, mean, variance = (
            np.asarray(state[f"{name}.bn.{what}"], np.float64) for what in BATCH_NORM
        )
        factor = weight / np.sqrt(variance + EPSILON)
        kernel = np.asarray(state[f"{name}.conv.weight"], np.float64).transpose(2, 3, 1, 0)
        folded[f"{name}.kernel"] = np.float32(kernel * factor)
        folded[f"{name}.bias"] = np.float32(bias - mean * factor)
    return folded


def read_state(path: Path, field: str) -> dict[str, Any]:
    """The tensors of PyTorch's file, by name.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: where it is another file, and where PyTorch is not installed.
    """
    if not path.is_file():
        raise refusal(path, "does not exist", RIGHT, field)
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error, RIGHT, field) from error
    if not digest.startswith(DIGEST):
        right = f"that of {FILE} begins with {DIGEST}"
        raise refusal(path, f"has the SHA-256 {digest[:8]}...", right, field)
    try:
        import torch  # pyright: ignore[reportMissingImports]  # of the extra `bench`
    except ImportError as error:
        right = "install it (extra 'bench'), or give the .npz file made of it elsewhere"
        raise refusal(path, "is read by PyTorch, which is not installed", right, field) from error
    try:
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        # A damaged file fails in any way that its format has.
        raise unreadable(path, error, RIGHT, field) from error
    for name, (rows, columns, channels, features) in CONVOLUTIONS.items():
        wanted = {f"{name}.conv.weight": (features, channels, rows, columns)}
        wanted |= {f"{name}.bn.{what}": (features,) for what in BATCH_NORM}
        for key, shape in wanted.items():
            if key not in state or tuple(state[key].shape) != shape:
                words = " x ".join(map(str, shape))
                raise refusal(path, f"has no {key} of {words} values", RIGHT, field)
    return state


def _from_torch(path: Path, field: str) -> Inception:
    """The weights in PyTorch's file, and what PyTorch finds for the image of the probe."""
    state = read_state(path, field)
    weights = fold({name: tensor.numpy() for name, tensor in state.items()})
    return Inception(weights, torch_features(state, probe_image())[0])


def difference(found: Inception) -> float:
    """By how much JAX's features of the image of the probe differ, as a fraction of its largest."""
    own = inception_features(found.weights, probe_image())[0]
    largest = np.max(np.abs(found.probe))
    # Features that are all zero would tell nothing.
    return float(np.max(np.abs(own - found.probe)) / largest) if largest > 0 else np.inf


def _checked(path: Path, found: Inception, field: str) -> float:
    """`difference`, where it is small enough."""
    differs = difference(found)
    if not differs <= TOLERANCE:
        what = f"has weights whose features differ from its probe by {differs:.1e} of the largest"
        raise refusal(path, what, f"it must be {TOLERANCE:g} at most; convert it again", field)
    return differs


def _read_converted(path: Path, field: str) -> Inception:
    """The weights and the probe in an .npz file."""
    arrays = read_weights(path, shapes() | {PROBE: (WIDTH,)}, field, RIGHT).arrays
    probe = arrays.pop(PROBE)
    return Inception(arrays, probe)


def check_inception(path: Path, field: str) -> None:
    """Refuses what is not a file of these weights; features are not computed, which takes longer.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    if path.suffix == ".npz":
        _read_converted(path, field)
    else:
        read_state(path, field)


def load_inception(path: Path, field: str) -> Inception:
    """The weights in either file, once JAX has found what PyTorch did for the image of the probe.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    found = (_read_converted if path.suffix == ".npz" else _from_torch)(path, field)
    _checked(path, found, field)
    return found


def convert_inception(path: Path, field: str) -> tuple[Weights, float]:
    """What the .npz file made of PyTorch's holds; and the largest difference between both paths.

    Args:
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    if path.suffix == ".npz":
        raise ConfigError(f"{field}: {path} is a .npz file; only {FILE} is converted")
    found = _from_torch(path, field)
    differs = _checked(path, found, field)
    about = {"what": "inception", "source": FILE, "sha256_begins": DIGEST}
    return Weights({**found.weights, PROBE: found.probe}, about), differs
