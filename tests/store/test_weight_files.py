"""Files of weights: what is written is read, and what is damaged or other is refused in a line."""

import json

import numpy as np
import pytest

from mdvae.settings.fields import ConfigError
from mdvae.store.weight_files import Weights, read_weights, write_weights

SHAPES = {"layer.kernel": (3, 2), "layer.bias": (2,)}
ARRAYS = {
    "layer.kernel": np.arange(6, dtype=np.float32).reshape(3, 2),
    "layer.bias": np.float32([0.5, -0.5]),
}
ABOUT = {"what": "test", "accuracy": 0.25}
TEXT = np.array(json.dumps(ABOUT))


def said(path):
    with pytest.raises(ConfigError) as caught:
        read_weights(path, SHAPES, "--file", "give another")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--file: {path} ")
    assert str(caught.value).endswith("; give another")
    return str(caught.value)


def test_what_is_written_is_read(tmp_path):
    path, again = tmp_path / "a.npz", tmp_path / "b.npz"
    for each in (path, again):
        write_weights(each, Weights(ARRAYS, ABOUT))
    found = read_weights(path, SHAPES, "--file", "")
    assert found.about == ABOUT
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert path.read_bytes() == again.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["about", "layer.bias", "layer.kernel"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer.bias": None}, "has no layer.bias of 2 float32 values"),
        ({"layer.bias": np.zeros(3, np.float32)}, "has no layer.bias of 2 float32 values"),
        ({"layer.kernel": np.zeros((3, 2))}, "has no layer.kernel of 3 x 2 float32 values"),
        ({"layer.bias": np.float32([0.0, np.inf])}, "has layer.bias that is not finite"),
        ({"about": None}, "does not say where it comes from"),
        ({"about": np.array("[1]")}, "does not say where it comes from"),
        ({"about": np.array("{")}, "cannot be read ("),
        ({"about": np.array(["a", "b"])}, "does not say where it comes from"),
        ({"about": np.array("x" * 100_000)}, "does not say where it comes from"),
    ],
)
def test_other_arrays_are_refused(tmp_path, changes, words):
    arrays = {"about": TEXT, **ARRAYS, **changes}
    path = tmp_path / "w.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    assert words in said(path)


class Unpickled:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("name", ["layer.bias", "about"])
def test_nothing_is_unpickled(tmp_path, name):
    trace, path = tmp_path / "trace", tmp_path / "w.npz"
    trap = np.empty(2, object)
    trap[:] = Unpickled(str(trace))
    np.savez(path, **{"about": TEXT, **ARRAYS, name: trap})
    said(path)
    assert not trace.exists()


def test_files_that_are_no_archives(tmp_path):
    path = tmp_path / "w.npz"
    assert "does not exist" in said(path)
    path.write_bytes(b"no archive")
    assert "cannot be read (" in said(path)
    np.savez(path, about=TEXT, **ARRAYS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read (" in said(path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_weights(tmp_path / "none" / "w.npz", Weights(ARRAYS, ABOUT))
    assert list(tmp_path.iterdir()) == []
