"""Tables in files: what is read, what is refused, each in one line and without much memory."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdvae.data.files import LEAST_ROWS, content_of, describe, open_table
from mdvae.settings.fields import ConfigError

ROWS = LEAST_ROWS


def table(n=ROWS, d=3, dtype=np.float64):
    return (50 * np.random.default_rng(0).normal(2.0, 1.0, (n, d))).astype(dtype)


def saved(path, array, **named):
    if named:
        np.savez(path, **named)
    else:
        np.save(path, array)
    return str(path)


def refused(path, name=""):
    """The one line that refuses a file, when it is opened or looked at."""
    with pytest.raises(ConfigError) as caught:
        describe(str(path), open_table(str(path), name))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u2", "<i8", "longdouble"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", ["npy", "npz", "compressed"])
def test_real_numbers_of_any_type_and_layout(tmp_path, dtype, order, save):
    x = np.array(table(dtype=dtype), order=order)
    if save == "npy":
        path = saved(tmp_path / "x.npy", x)
    else:
        path = str(tmp_path / "x.npz")
        (np.savez if save == "npz" else np.savez_compressed)(path, x)
    found = open_table(path)
    np.testing.assert_array_equal(found, x)
    facts = describe(path, found)
    own = x.astype(np.float64)
    assert (facts.rows, facts.d) == x.shape
    np.testing.assert_allclose(facts.mean, own.mean(axis=0), rtol=1e-12)
    assert facts.scale == pytest.approx(np.sqrt(own.var(axis=0).mean()), rel=1e-12)
    np.testing.assert_array_equal([facts.low, facts.high], [own.min(axis=0), own.max(axis=0)])


def test_content_is_that_of_the_values(tmp_path):
    x = table()
    kept = {
        content_of(open_table(path))
        for path in (
            saved(tmp_path / "a.npy", x),
            saved(tmp_path / "b.npy", np.asfortranarray(x)),
            saved(tmp_path / "c.npz", None, x=x),
        )
    }
    assert len(kept) == 1
    changed = x.copy()
    changed[50, 1] = np.nextafter(changed[50, 1], np.inf)
    others = {content_of(changed), content_of(x[::-1]), content_of(x.reshape(-1, 1))}
    assert len(others | kept) == 4


def test_many_rows_are_looked_at_in_pieces(tmp_path, monkeypatch):
    x = table(1_003, 3)
    whole = describe("x.npy", x)
    monkeypatch.setattr("mdvae.data.files.CHUNK", 30)
    pieces = describe("x.npy", x)
    assert pieces.content == whole.content
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-13)
    assert pieces.scale == pytest.approx(whole.scale, rel=1e-13)
    x[907, 2] = -np.inf
    with pytest.raises(ConfigError, match="has -inf in row 907, column 2; it must hold finite"):
        describe("x.npy", x)


def test_small_spread_around_a_large_mean():
    x = 1e8 + 1e-3 * table()
    facts = describe("x.npy", x)
    exact = x.astype(np.longdouble)
    assert facts.scale == pytest.approx(float(np.sqrt(exact.var(axis=0).mean())), rel=1e-6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((ROWS, 3), object), "holds values of type object; it must hold real numbers"),
        (np.full((ROWS, 3), "a"), "holds values of type str32; it must hold real numbers"),
        (np.zeros((ROWS, 3), complex), "holds values of type complex128; it must hold real"),
        (np.zeros((ROWS, 3), bool), "holds values of type bool; it must hold real numbers"),
        (np.zeros(ROWS, [("a", "f8")]), "holds values of type void64; it must hold real numbers"),
        (np.zeros((ROWS, 3), "M8[s]"), "holds values of type datetime64[s]; it must hold real"),
        (np.zeros(ROWS), f"has shape ({ROWS},); it must have two axes, rows and columns"),
        (np.float64(3.0), "has shape (); it must have two axes"),
        (np.zeros((ROWS, 3, 1)), f"has shape ({ROWS}, 3, 1); it must have two axes"),
        (np.zeros((ROWS, 0)), f"has shape ({ROWS}, 0); it must have a column or more"),
        (table(ROWS - 1), f"has {ROWS - 1} rows; it must have {ROWS} or more"),
        (table(0), f"has 0 rows; it must have {ROWS} or more"),
        (np.ones((ROWS, 3)) * [1, 2, 3], "is constant; its rows must differ"),
        (np.where(table() > 150, np.nan, table()), "it must hold finite numbers"),
        (1e150 * table(), "has a standard deviation of"),
        (1e300 * table(), "has a standard deviation of inf; multiply it by a number"),
        (1e-300 * table(), "has a standard deviation of 0; multiply it by a number"),
    ],
)
def test_what_is_no_table_of_numbers(tmp_path, array, message):
    path = saved(tmp_path / "x.npy", array)
    assert refused(path).startswith(f"data.path: {path} ")
    assert message in refused(path)


def test_files_that_are_not_there_or_are_no_files(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "x.csv").write_text("1,2\n")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npy").write_text("1,2\n3,4\n")
    assert refused("") == "data.path: missing; give a .npy or .npz file"
    assert "does not exist; give a .npy or .npz file that does" in refused(tmp_path / "no.npy")
    assert "does not exist" in refused(tmp_path / "folder.npy")
    assert "is not usable; it must be a .npy or .npz file" in refused(tmp_path / "x.csv")
    for name in ("empty.npy", "empty.npz", "text.npy"):
        assert "cannot be read (" in refused(tmp_path / name)
        assert "; save it again with numpy.save or numpy.savez" in refused(tmp_path / name)


def test_archives_of_several_arrays(tmp_path):
    path = saved(tmp_path / "x.npz", None, a=table(), b=table(d=5))
    assert refused(path) == (
        f"data.array: missing; {path} has several arrays; it must be one of 'a', 'b'"
    )
    assert refused(path, "c") == f"data.array: 'c' is not in {path}; it must be one of 'a', 'b'"
    assert open_table(path, "b").shape == (ROWS, 5)
    many = {f"x{i}": np.zeros(1) for i in range(30)}
    assert refused(saved(tmp_path / "m.npz", None, **many)).endswith("'x7' and 22 more")
    with zipfile.ZipFile(tmp_path / "none.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "holds no array; it must hold one" in refused(tmp_path / "none.npz")
    alone = saved(tmp_path / "x.npy", table())
    assert refused(alone, "a") == "data.array: 'a' has no effect on a .npy file; leave it out"


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**62, 3), (10**6, 10**6), (ROWS, 2**50)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_promises_too_much_takes_no_memory(tmp_path, shape, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        path.write_bytes(header(shape) + bytes(800))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", header(shape) + bytes(800))
    tracemalloc.start()
    try:
        assert "is cut short" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_more_than_the_machine_has_free(tmp_path):
    """A sparse file keeps what its header promises, and takes no room on the disk."""
    path = tmp_path / "x.npy"
    head = header((10**9, 10**3))
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + 8 * 10**12)
    message = refused(path)
    assert "needs about 18626.5 GiB and " in message
    assert message.endswith(" are free; give fewer rows")


WHOLE = {}
for save in (np.save, np.savez, np.savez_compressed):
    file = io.BytesIO()
    save(file, np.random.default_rng(0).integers(-99, 99, (ROWS, 2)))
    WHOLE[save.__name__] = file.getvalue()


@given(
    st.sampled_from(sorted(WHOLE)),
    st.integers(0, 5_000),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=4),
)
def test_damaged_files_are_one_line_or_a_table(tmp_path_factory, save, length, changes):
    """Files cut short, and with a few bytes changed; no other error and no warning comes out."""
    data = bytearray(WHOLE[save])
    for place, value in changes:
        data[place % len(data)] = value
    folder: Path = tmp_path_factory.getbasetemp()
    path = folder / ("x.npy" if save == "save" else "x.npz")
    path.write_bytes(bytes(data[: length or None]))
    try:
        facts = describe(str(path), open_table(str(path)))
    except ConfigError as error:
        assert str(error).startswith("data.")
        assert "\n" not in str(error)
    else:
        assert facts.rows >= ROWS
        assert np.isfinite(facts.scale)


@given(st.binary(max_size=300), st.sampled_from([".npy", ".npz"]), st.booleans())
def test_any_bytes_are_one_line(tmp_path_factory, data, suffix, magic):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes((b"\x93NUMPY\x01\x00" if magic else b"") + data)
    assert refused(path).startswith("data.path: ")
