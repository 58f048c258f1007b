"""Images in files: what is read, what is refused, each in one line and without much memory."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdvae.data.files import LEAST_ROWS
from mdvae.data.image_files import Expected, read_idx, read_npz
from mdvae.data.image_own import MOST_CLASSES, read_own
from mdvae.settings.fields import ConfigError

N, SHAPE, CLASSES = 12, (5, 4, 1), 3
EXPECTED = Expected(N, SHAPE, CLASSES)
X = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
Y = np.arange(N).astype(np.uint8) % CLASSES
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
MEMORY = 2**20


def idx(array, dims=None, magic=None):
    """The bytes of an IDX file."""
    dims = array.shape if dims is None else dims
    magic = bytes((0, 0, 8, len(dims))) if magic is None else magic
    return magic + struct.pack(f">{len(dims)}I", *dims) + array.tobytes()


def put(folder, images=None, labels=None, end=""):
    """Writes both files of a training set, gzipped where their names say so."""
    folder.mkdir(exist_ok=True)
    for name, data in (
        (IMAGES, idx(X[..., 0]) if images is None else images),
        (LABELS, idx(Y) if labels is None else labels),
    ):
        (folder / (name + end)).write_bytes(gzip.compress(data) if end else data)
    return folder


def refused(read, *args):
    """The one line that refuses a file, found without much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as caught:
            read(*args)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx_files_by_their_usual_names(tmp_path, end, dot):
    put(tmp_path, end=end)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", f"{dot}idx"))
    found = read_idx(tmp_path, "train", EXPECTED)
    np.testing.assert_array_equal(found.x, X)
    np.testing.assert_array_equal(found.y, Y)
    assert (found.x.dtype, found.y.dtype) == (np.uint8, np.int64)
    assert read_idx(tmp_path, "eval", EXPECTED) is None


HUGE = 2**31
BAD_IMAGES = [
    (b"", "begins with 0x; it must be 0x00000803"),
    (b"\0\0", "begins with 0x0000; it must be 0x00000803"),
    (idx(X[..., 0], magic=b"\0\0\x0d\x03"), "begins with 0x00000d03; it must be 0x00000803"),
    (idx(Y), "begins with 0x00000801; it must be 0x00000803"),
    (b"<!DOCTYPE html>", "begins with 0x3c21444f; it must be 0x00000803"),
    (idx(X[..., 0])[:10], "is cut short at 10 bytes; get it again"),
    (idx(X[..., 0])[:-1], "is cut short at 255 bytes; get it again"),
    (idx(X[..., 0]) + b"\0", "goes on after its 12 x 5 x 4 values; get it again"),
    (idx(X[:-1, ..., 0]), "holds 11 x 5 x 4 values; it must hold 12 x 5 x 4"),
    (idx(X[..., 0], (12, 4, 5)), "holds 12 x 4 x 5 values; it must hold 12 x 5 x 4"),
    (idx(X[..., 0], (HUGE, 5, 4)), f"holds {HUGE} x 5 x 4 values; it must hold 12 x 5 x 4"),
]


@pytest.mark.parametrize(("data", "message"), BAD_IMAGES)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_what_is_no_idx_file_of_these_images(tmp_path, data, message, end):
    folder = put(tmp_path, images=data, end=end)
    said = refused(read_idx, folder, "train", EXPECTED)
    assert said == f"data.dir: {folder / IMAGES}{end} {message}"


BAD_LABELS = [
    (idx(Y[:-1]), "holds 11 values; it must hold 12"),
    (idx(X[..., 0]), "begins with 0x00000803; it must be 0x00000801"),
    (idx(Y)[:-1], "is cut short at 19 bytes; get it again"),
    (idx(np.where(Y == 2, 7, Y).astype(np.uint8)), "has the label 7; labels must be 0 to 2"),
]


@pytest.mark.parametrize(("data", "message"), BAD_LABELS)
def test_what_are_no_labels_of_these_images(tmp_path, data, message):
    folder = put(tmp_path, labels=data)
    said = refused(read_idx, folder, "train", EXPECTED)
    assert said == f"data.dir: {folder / LABELS} {message}"


def test_labels_must_be_there(tmp_path):
    (put(tmp_path) / LABELS).unlink()
    said = refused(read_idx, tmp_path, "train", EXPECTED)
    right = "has no file of labels beside it; put that there too"
    assert said == f"data.dir: {tmp_path / IMAGES} {right}"


def test_a_gzipped_file_that_unpacks_to_more_is_not_unpacked(tmp_path):
    bomb = idx(X[..., 0]) + bytes(64 * MEMORY)
    said = refused(read_idx, put(tmp_path, images=bomb, end=".gz"), "train", EXPECTED)
    assert said.endswith("goes on after its 12 x 5 x 4 values; get it again")


def test_a_file_that_is_not_gzipped_though_its_name_says_so(tmp_path):
    put(tmp_path, end=".gz")
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(idx(X[..., 0]))
    said = refused(read_idx, tmp_path, "train", EXPECTED)
    assert (
        said
        == f"data.dir: {path} cannot be read (Not a gzipped file (b'\\x00\\x00')); get it again"
    )


@given(st.booleans(), st.booleans(), st.data())
def test_idx_files_cut_anywhere(tmp_path_factory, zipped, of_labels, data):
    """Cut by any number of bytes, a file is refused."""
    folder = put(tmp_path_factory.getbasetemp() / f"cut{zipped}", end=".gz" if zipped else "")
    path = folder / ((LABELS if of_labels else IMAGES) + (".gz" if zipped else ""))
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    said = refused(read_idx, folder, "train", EXPECTED)
    assert said.startswith(f"data.dir: {path} ")


@given(st.integers(0, 15), st.integers(1, 255))
def test_idx_files_with_another_head(tmp_path_factory, place, change):
    whole = bytearray(idx(X[..., 0]))
    whole[place] ^= change
    folder = put(tmp_path_factory.getbasetemp() / "head", images=bytes(whole))
    said = refused(read_idx, folder, "train", EXPECTED)
    assert ("begins with" if place < 4 else "values; it must hold 12 x 5 x 4") in said


@given(st.data())
def test_damaged_gzip_is_refused_or_harmless(tmp_path_factory, data):
    """A changed byte is found out by gzip's checksum, or was in a part that means nothing."""
    folder = put(tmp_path_factory.getbasetemp() / "gzip", end=".gz")
    path = folder / f"{IMAGES}.gz"
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = read_idx(folder, "train", EXPECTED)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(found.x, X)


def archive(path, save=np.savez, **arrays):
    save(path, **arrays)
    return path


def test_npz_as_keras_names_its_arrays(tmp_path):
    path = tmp_path / "x.npz"
    for x, y in ((X, Y), (X[..., 0], Y.astype(np.int64)), (np.asfortranarray(X), Y[:, None])):
        archive(path, np.savez_compressed, x_train=x, y_train=y)
        found = read_npz(path, "train", EXPECTED)
        np.testing.assert_array_equal(found.x, X)
        np.testing.assert_array_equal(found.y, Y)
        assert found.x.shape == (N, *SHAPE)
    assert read_npz(path, "train", EXPECTED._replace(classes=0)).y is None
    assert read_npz(tmp_path / "other.npz", "train", EXPECTED) is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_train": Y}, "has no array x_train; it must have one"),
        ({"x_train": X}, "has no array y_train; it must have one"),
        (
            {"x_train": X[1:], "y_train": Y},
            "has x_train of shape 11 x 5 x 4 x 1; it must have 12 x 5 x 4 x 1",
        ),
        (
            {"x_train": X, "y_train": Y[1:]},
            "has y_train of shape 11; it must have 12",
        ),
        (
            {"x_train": X / 255, "y_train": Y},
            "has x_train of type float64; it must have uint8",
        ),
        (
            {"x_train": X.astype(object), "y_train": Y},
            "has x_train of type object; it must have uint8",
        ),
        (
            {"x_train": X, "y_train": Y + 0.0},
            "has y_train of type float64; it must have whole numbers",
        ),
        (
            {"x_train": X, "y_train": Y.astype(int) - 1},
            "has the label -1; labels must be 0 to 2",
        ),
    ],
)
def test_what_is_no_npz_of_these_images(tmp_path, arrays, message):
    path = archive(tmp_path / "x.npz", **arrays)
    assert refused(read_npz, path, "train", EXPECTED) == f"data.dir: {path} {message}"


def lying(path, name, shape, values):
    """An .npz file with an array whose head says more than is there."""
    head = io.BytesIO()
    said = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, said)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(f"{name}.npy", head.getvalue() + values)
    return path


def test_npz_heads_that_lie(tmp_path):
    path = lying(tmp_path / "x.npz", "x_train", (N, *SHAPE), values=b"123")
    said = refused(read_npz, path, "train", EXPECTED)
    what = "has 3 bytes of x_train and its head says 240"
    assert said == f"data.dir: {path} {what}; save it again"
    huge = lying(tmp_path / "y.npz", "images", (HUGE, 28, 28), values=b"123")
    what = f"is cut short: {HUGE} x 28 x 28 values take {HUGE * 784} bytes and 3 are there"
    assert refused(read_own, huge) == f"data.path: {huge} {what}; save it again"


OWN = np.random.default_rng(1).integers(0, 256, (LEAST_ROWS, 4, 3)).astype(np.uint8)
OWN_LABELS = np.arange(LEAST_ROWS) % 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, ">f8"])
@pytest.mark.parametrize("channels", [0, 1, 3])
def test_images_of_ones_own(tmp_path, dtype, channels):
    x = OWN if not channels else np.repeat(OWN[..., None], channels, axis=3)
    x = x if dtype == np.uint8 else (x / 255).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    found = read_own(tmp_path / "x.npy")
    assert found.y is None
    np.testing.assert_array_equal(found.x, x if channels else x[..., None])
    for names in (("images", "labels"), ("x", "y"), ("images", "y")):
        path = archive(tmp_path / "x.npz", **dict(zip(names, (x, OWN_LABELS), strict=True)))
        found = read_own(path)
        np.testing.assert_array_equal(found.x, x if channels else x[..., None])
        np.testing.assert_array_equal(found.y, OWN_LABELS)
    path = archive(tmp_path / "x.npz", anything=x)
    assert read_own(path).y is None


def with_(**arrays):
    return {"images": OWN, **arrays}


NAMES = "name its images 'images' or 'x' and their labels, if there are any, 'labels' or 'y'"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": OWN, "b": OWN_LABELS}, f"holds 'a', 'b'; {NAMES}"),
        ({"images": OWN, "x": OWN}, f"holds 'images', 'x'; {NAMES}"),
        (with_(y=OWN_LABELS, labels=OWN_LABELS), f"holds 'images', 'y', 'labels'; {NAMES}"),
        ({"labels": OWN_LABELS}, f"holds 'labels'; {NAMES}"),
        ({}, f"holds no array; {NAMES}"),
        (
            {f"a{i}": OWN[:1] for i in range(9)},
            f"holds 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', ...; {NAMES}",
        ),
        ({"x": OWN[:99]}, "has 99 images; it must have 100 or more"),
        ({"x": OWN[0]}, "has images of shape 4 x 3; it must be [n, h, w] or [n, h, w, channels]"),
        (
            {"x": np.uint8(3)},
            "has images of shape (); it must be [n, h, w] or [n, h, w, channels]",
        ),
        (
            {"x": OWN[:, :0]},
            "has images of shape 100 x 0 x 3; it must be [n, h, w] or [n, h, w, channels]",
        ),
        (
            {"x": np.zeros((100, 3, 8, 8), np.uint8)},
            "has images of shape 100 x 3 x 8 x 8; the last axis must be the channels, 4 or fewer",
        ),
        (
            {"x": OWN.astype(int)},
            "has images of type int64; they must be uint8, or floats between 0 and 1",
        ),
        (
            {"x": OWN.astype(object)},
            "has images of type object; they must be uint8, or floats between 0 and 1",
        ),
        ({"x": OWN + 0.5}, "has the value 255.5; floats must be between 0 and 1"),
        ({"x": OWN / 255 - 0.25}, "has the value -0.25; floats must be between 0 and 1"),
        (
            {"x": np.where(OWN > 9, np.nan, 0.5)},
            "has the value not a number; floats must be between 0 and 1",
        ),
        ({"x": np.full_like(OWN, 7)}, "is constant; its images must differ"),
        (
            with_(y=OWN_LABELS[1:]),
            "has 100 images and labels of shape 99; it must have one an image",
        ),
        (
            with_(y=np.eye(4)[OWN_LABELS].astype(int)),
            "has 100 images and labels of shape 100 x 4; it must have one an image",
        ),
        (with_(y=OWN_LABELS + 0.0), "has labels of type float64; they must be whole numbers"),
        (with_(y=OWN_LABELS - 1), "has the label -1; labels must be 0 to 999"),
        (
            with_(y=OWN_LABELS + 1),
            "has the label 4 and no label 0; number the labels from 0 on, without gaps",
        ),
        (
            with_(y=np.where(OWN_LABELS < 2, OWN_LABELS, OWN_LABELS + 3)),
            "has the label 6 and no label 2; number the labels from 0 on, without gaps",
        ),
        (with_(y=OWN_LABELS * 10**9), "has the label 3000000000; labels must be 0 to 999"),
    ],
)
def test_what_are_no_images_of_ones_own(tmp_path, arrays, message):
    assert MOST_CLASSES == 1000
    path = archive(tmp_path / "x.npz", **arrays)
    assert refused(read_own, path) == f"data.path: {path} {message}"


def test_paths_that_are_no_files(tmp_path):
    path = tmp_path / "x.png"
    assert refused(read_own, path).endswith("is not usable; it must be a .npy or .npz file")
    path = tmp_path / "x.npy"
    right = "does not exist; give a .npy or .npz file that does"
    assert refused(read_own, path) == f"data.path: {path} {right}"
    path.write_bytes(b"")
    assert refused(read_own, path).startswith(f"data.path: {path} cannot be read (")


def test_more_than_the_memory_that_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("M", (), {"available": 100})())
    np.save(tmp_path / "x.npy", OWN)
    said = refused(read_own, tmp_path / "x.npy")
    assert said.endswith("needs about 0.0 GiB and 0.0 are free; give fewer images")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_of_ones_own(tmp_path, name, data):
    """Cut or with a changed byte, a file is refused in one line, or read as images."""
    path = Path(tmp_path / name)
    if name == "x.npy":
        np.save(path, OWN)
    else:
        np.savez_compressed(path, images=OWN, labels=OWN_LABELS)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = read_own(path)
    except ConfigError as error:
        assert str(error).startswith(f"data.path: {path} ")
        assert "\n" not in str(error)
    else:
        assert found.x.ndim == 4
        assert found.x.dtype == np.uint8 or (found.x.min() >= 0 and found.x.max() <= 1)
