"""Files of the FID's Inception against PyTorch, on random weights, and files that are refused.

Most is tested on a network of an eighth of the width, whose names, sizes of kernels, strides and
pools are those of the whole.
"""

import hashlib
import sys

import jax
import numpy as np
import pytest

from mdvae.networks import features as pure
from mdvae.networks import inception
from mdvae.networks.inception import CONVOLUTIONS, NETWORK, Conv, Fork, pool3
from mdvae.networks.inception_torch import torch_features
from mdvae.settings.fields import ConfigError
from mdvae.store import inception_files
from mdvae.store.extractors import inception_extractor
from mdvae.store.inception_files import (
    FILE,
    PROBE,
    check_inception,
    convert_inception,
    difference,
    fold,
)
from mdvae.store.weight_files import Weights, write_weights

torch = pytest.importorskip("torch")
THIN = 8


def thinned(steps):
    """Steps with an eighth of the channels."""
    made = []
    for step in steps:
        if isinstance(step, Conv):
            made.append(step._replace(features=step.features // THIN))
        elif isinstance(step, Fork):
            made.append(Fork(tuple(thinned(branch) for branch in step.branches)))
        else:
            made.append(step)
    return tuple(made)


def random_state(kernels, seed=0):
    """Tensors by PyTorch's names, such that activations neither vanish nor grow with depth."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, (rows, columns, channels, features) in kernels.items():
        spread = np.sqrt(2.0 / (rows * columns * channels))
        made = {
            "conv.weight": spread * rng.normal(size=(features, channels, rows, columns)),
            "bn.weight": rng.uniform(0.7, 1.3, features),
            "bn.bias": rng.normal(0.1, 0.2, features),
            "bn.running_mean": rng.normal(0.0, 0.2, features),
            "bn.running_var": rng.uniform(0.5, 1.5, features),
        }
        for what, array in made.items():
            state[f"{name}.{what}"] = torch.from_numpy(array.astype(np.float32))
    return state


def arrays_of(state):
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.fixture
def thin(monkeypatch):
    """The kernels of the thin network, which takes the place of the whole; small batches."""
    kernels = dict(inception._kernels(thinned(NETWORK), 3))
    for module in (inception, inception_files):
        monkeypatch.setattr(module, "CONVOLUTIONS", kernels)
        monkeypatch.setattr(module, "WIDTH", 2048 // THIN)
    monkeypatch.setattr(pure, "INCEPTION_BATCH_CPU", 1)
    return kernels


@pytest.fixture
def file(thin, tmp_path, monkeypatch):
    """A file of random weights as PyTorch saves them, taken for the published one."""
    path = tmp_path / FILE
    torch.save({**random_state(thin), "fc.weight": torch.zeros(3)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_files, "DIGEST", digest[:8])
    return path


def said(call, *args):
    with pytest.raises(ConfigError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_conversion_and_use_on_a_thin_network(file, thin, tmp_path, monkeypatch):
    weights, differs = convert_inception(file, "--inception")
    assert differs < 1e-5
    assert weights.about == {
        "what": "inception",
        "source": FILE,
        "sha256_begins": inception_files.DIGEST,
    }
    path = tmp_path / "converted.npz"
    write_weights(path, weights)
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28, 1)).astype(np.uint8)
    expected = torch_features(random_state(thin), images / 255.0)
    found = inception_extractor(str(path))
    assert (found.name, found.width) == ("FID", inception.WIDTH)
    made = found.features(images)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-4 * expected.max())
    # From PyTorch's file itself, and images of floats in three colours.
    floats = np.repeat((images / 255.0).astype(np.float32), 3, axis=-1)
    direct = inception_extractor(str(file)).features(floats)
    np.testing.assert_allclose(direct, made, atol=1e-5 * expected.max())
    text = said(found.features, np.zeros((2, 28, 28, 2)))
    assert text.startswith("images: (2, 28, 28, 2) is not usable; it must be of 1 or 3 channels")
    assert "of shape (n, height" in said(found.features, np.zeros((28, 28)))

    for each in (path, file):
        check_inception(each, "--fid")

    # What PyTorch computes is needed no more once there is a converted file.
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_allclose(
        inception_extractor(str(path)).features(images), made, atol=1e-5 * expected.max()
    )
    text = said(inception_extractor, str(file), "--fid")
    assert text.startswith(f"--fid: {file} is read by PyTorch, which is not installed; install it")

    def changed(name, change):
        """A file of which one array is other."""
        arrays = {**weights.arrays, name: change(weights.arrays[name])}
        other = tmp_path / "other.npz"
        write_weights(other, Weights(arrays, weights.about))
        return said(inception_extractor, str(other))

    wrong = "has weights whose features differ from its probe by "
    assert wrong in changed(PROBE, lambda probe: probe * np.float32(1.002))
    assert wrong in changed(PROBE, np.zeros_like)
    assert wrong in changed("Mixed_7c.branch1x1.bias", lambda bias: bias + np.float32(0.1))
    assert "has no probe of 256 float32 values" in changed(PROBE, lambda probe: probe[:5])
    text = said(check_inception, tmp_path / "other.npz", "--inception")
    assert "has no probe of 256 float32 values" in text


@pytest.mark.long
def test_a_wrong_path_through_the_network_is_found(thin):
    """The probe, by PyTorch, tells where JAX does another thing, such as a pool of another kind."""
    state = random_state(thin)
    arrays = fold(arrays_of(state))
    probe = torch_features(state, inception_files.probe_image())[0]
    found = inception_files.Inception(arrays, probe)
    with pytest.MonkeyPatch.context() as patch:
        other = (*NETWORK[:-1], inception._block_e("Mixed_7c", inception.average))
        patch.setattr(inception, "NETWORK", other)
        patch.setattr(pure, "_network", jax.jit(lambda *args: pool3(*args)))
        assert difference(found) > 0.01


def test_files_that_are_refused(file, tmp_path, monkeypatch):
    text = said(convert_inception, tmp_path / "none.pth", "--inception")
    assert text.startswith(f"--inception: {tmp_path / 'none.pth'} does not exist; give {FILE}")
    assert "only pt_inception" in said(convert_inception, tmp_path / "a.npz", "--inception")
    for call in (inception_extractor, check_inception):
        text = said(call, tmp_path / "none.npz", "-i")
        assert text.startswith(f"-i: {tmp_path / 'none.npz'} does not exist; give {FILE}")
    assert "cannot be read" in said(convert_inception, damaged(file, tmp_path, monkeypatch), "-i")
    state = torch.load(file, weights_only=True)
    short = {name: array for name, array in state.items() if "Mixed_7c.branch_pool" not in name}
    lacking = taken_for_published(short, tmp_path / "short.pth", monkeypatch)
    assert "has no Mixed_7c.branch_pool.conv.weight of" in said(convert_inception, lacking, "-i")
    state["Conv2d_1a_3x3.bn.bias"] = torch.zeros(7)
    wide = taken_for_published(state, tmp_path / "wide.pth", monkeypatch)
    assert "has no Conv2d_1a_3x3.bn.bias of 4 values" in said(convert_inception, wide, "-i")


def taken_for_published(state, path, monkeypatch):
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_files, "DIGEST", digest[:8])
    return path


def damaged(file, tmp_path, monkeypatch):
    path = tmp_path / "damaged.pth"
    path.write_bytes(file.read_bytes()[:1000])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(inception_files, "DIGEST", digest[:8])
    return path


def test_a_file_with_another_hash_is_refused(tmp_path):
    """However it is called, and before anything in it is read."""
    path = tmp_path / FILE
    path.write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()
    for call in (convert_inception, lambda path, field: inception_extractor(str(path), field)):
        text = said(call, path, "--inception")
        assert text.startswith(f"--inception: {path} has the SHA-256 {digest[:8]}...; that of")
        assert "6726825d" in text


@pytest.mark.long
def test_the_whole_network_against_pytorch():
    state = random_state(CONVOLUTIONS)
    weights = fold(arrays_of(state))
    for shape in ((120, 160, 3), (28, 28, 1)):
        x = np.random.default_rng(2).uniform(size=(2, *shape)).astype(np.float32)
        expected = torch_features(state, x)
        found = pure.inception_features(weights, x)
        assert expected.shape == (2, 2048)
        np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
    x = np.random.default_rng(3).uniform(size=(1, 75, 75, 3)).astype(np.float32)
    expected = torch_features(state, x, resize=False)
    found = pool3(weights, 2.0 * x - 1.0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
