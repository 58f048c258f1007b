"""What a user gives: what is taken, what is repaired and told, and what is refused in one line."""

import csv
import io
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mdvae.data.files import LEAST_ROWS, LEAST_SCALE, MOST_SCALE
from mdvae.data.intake import check_intake, read_intake
from mdvae.settings.fields import ConfigError

ROWS = 2 * LEAST_ROWS


def table(n=ROWS, d=3, dtype=np.float64, seed=0):
    return (50 * np.random.default_rng(seed).normal(2.0, 1.0, (n, d))).astype(dtype)


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def one_line(call, *args, **named):
    with pytest.raises(ConfigError) as caught:
        call(*args, **named)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def check_invariants(found):
    n, d = found.x.shape
    assert n >= LEAST_ROWS
    assert d == len(found.columns) >= 1
    assert found.x.dtype in (np.uint8, np.float32, np.float64)
    assert found.x.flags.c_contiguous
    assert np.all(np.isfinite(found.x))
    assert np.all(found.x.min(axis=0) < found.x.max(axis=0))
    assert len(np.unique(found.x + 0, axis=0)) == n
    scale = np.sqrt(np.mean(np.var(found.x.astype(np.float64), axis=0)))
    assert 0.99 * LEAST_SCALE <= scale <= 1.01 * MOST_SCALE
    assert set(found.discrete) <= set(found.columns)
    if found.labels is not None:
        assert found.labels.dtype == np.int64
        assert found.labels.shape == (n,)
        assert sorted(set(found.labels.tolist())) == list(range(len(found.classes)))
        assert len(set(found.classes)) == len(found.classes) >= 2
    if found.given is not None:
        assert found.given.dtype == np.float64
        assert found.given.shape[0] == n
        assert np.all(np.isfinite(found.given))
    for sentence in (*found.notes, *found.warnings):
        assert len(sentence.splitlines()) == 1


def write(path, x, header=None, delimiter=",", start=""):
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(start)
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([header] if header else [])
        writer.writerows(x)
    return str(path)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("u1", "u1"),
        ("f4", "f4"),
        ("f8", "f8"),
        (">f8", "f8"),
        (">f4", "f4"),
        ("f2", "f4"),
        ("i8", "f8"),
        ("u2", "f8"),
        ("longdouble", "f8"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_layouts(tmp_path, dtype, kept, order):
    x = np.array(np.abs(table(d=4)) % 200, dtype, order=order)
    before = x.copy()
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x)
    for found in (
        check_intake(x),
        read_intake(str(tmp_path / "x.npy")),
        read_intake(str(tmp_path / "x.npz")),
    ):
        check_invariants(found)
        assert found.x.dtype == np.dtype(kept)
        np.testing.assert_array_equal(found.x, x)
        assert found.columns == ("column 0", "column 1", "column 2", "column 3")
        assert found.notes == ()
    np.testing.assert_array_equal(x, before)
    assert x.flags.writeable


def test_booleans_lists_masks_and_frames():
    x = table()
    truth = np.random.default_rng(0).random((ROWS, 12)) < 0.5
    assert check_intake(truth).x.dtype == np.float64
    np.testing.assert_array_equal(check_intake(x.tolist()).x, x)
    masked = np.ma.masked_array(x, mask=np.arange(3 * ROWS).reshape(ROWS, 3) < 9)
    np.testing.assert_array_equal(check_intake(masked).x, x[3:])
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], 7: np.arange(ROWS) % 2 == 0})
    found = check_intake(frame, labels=pd.Series(["u", "v"] * LEAST_ROWS, dtype="category"))
    assert found.columns == ("a", "b", "7")
    assert found.classes == ("u", "v")
    np.testing.assert_array_equal(found.x[:, :2], x[:, :2])
    frame["b"] = frame["b"].where(frame.index > 3).astype("Float64")
    assert check_intake(frame).notes == ("4 rows with missing values were left out",)
    frame["c"] = pd.Timestamp("2020-01-01")
    assert "has values of type Timestamp in column 'c'" in one_line(check_intake, frame)
    frame["c"] = "s"
    assert "has text in column 'c' ('s' in row 0); leave it out, or" in one_line(
        check_intake, frame
    )


def test_more_axes_are_flattened():
    x = table(d=12)
    found = check_intake(x.reshape(ROWS, 3, 4), labels=np.arange(ROWS) % 2)
    np.testing.assert_array_equal(found.x, x)
    assert found.notes == ("each row, of shape [3, 4], was flattened to 12 columns",)


X = table()
Y = np.arange(ROWS) % 2


@pytest.mark.parametrize(
    ("x", "named", "message"),
    [
        (X[:, 0], {}, f"x: the array has shape [{ROWS}]; it must be [rows, columns]"),
        (3.0, {}, "x: the array has shape []; it must be [rows, columns]"),
        ([[1, 2], [3]], {}, "x: the array is no array ("),
        (X.astype(complex), {}, "holds values of type complex128; it must hold real numbers"),
        (X.astype("M8[s]"), {}, "holds values of type datetime64[s]; it must hold real numbers"),
        (X.astype(str), {}, "it must hold real numbers"),
        (np.full((ROWS, 2), object()), {}, "has values of type object in column 'column 0'"),
        (X[:50], {}, "x: the array has 50 rows; it must have 100 or more"),
        (X[:, :0], {}, "x: the array has no column; it must have a column or more"),
        (changed(X, (7, 1), np.inf), {}, "has inf in row 7, column 'column 1'; it must hold fin"),
        (changed(X, (7, 1), -np.inf), {"columns": "abc"}, "has -inf in row 7, column 'b'"),
        (np.full((ROWS, 2), np.nan), {}, "x: the array holds no value"),
        (
            changed(changed(X, (slice(11), 2), np.nan), (0, 0), np.nan),
            {},
            "has missing values in 11 of 200 rows, most in 'column 2' (11), 'column 0' (1); at"
            " most 5 % may: fill them in, or leave such columns or rows out",
        ),
        (np.ones((ROWS, 3)) * [1, 2, 3], {}, "x: the array is constant; its rows must differ"),
        (
            np.repeat(X[:60], 3, axis=0),
            {},
            "has 180 rows, and 60 without missing values and repetitions; it must have 100 or",
        ),
        (1e14 * X, {}, "e+15; multiply it by a number that brings it between 1e-12 and 1e+12"),
        (1e300 * X, {}, "has a standard deviation of inf; multiply"),
        (1e-300 * X, {}, "has a standard deviation of 0; multiply"),
        (X, {"columns": ["a"]}, "has 3 columns and 1 name of columns; each column must have one"),
        (X[:9], {"name": "data"}, "data: the array has 9 rows"),
        (X, {"labels": Y[:-1]}, "labels: the array has 199 rows and x: the array has 200; it must"),
        (X, {"labels": X}, "labels: the array has shape [200, 3]; it must have one label a row"),
        (X, {"labels": "species"}, "labels: the array has shape []"),
        (X, {"labels": 0.5 * Y}, "has the label '0.5' in row 1; labels must be whole numbers"),
        (X, {"labels": Y.astype(complex)}, "holds values of type complex128; labels must be whole"),
        (X, {"labels": np.where(Y, np.nan, 1)}, "has no label in row 1; each row must have one"),
        (X, {"labels": ["a", ""] * 100}, "has no label in row 1"),
        (X, {"labels": ["a", None] * 100}, "has no label in row 1"),
        (X, {"labels": np.zeros(ROWS)}, "has 1 different label; it must have 2 to 1000"),
        (
            table(1_500),
            {"labels": np.arange(1_500)},
            "labels: the array has 1500 different labels; it must have 2 to 1000",
        ),
        (
            changed(X, (3, 0), np.nan),
            {"labels": np.arange(ROWS) == 3},
            "labels: the array has 1 class in the rows that are left; it must have 2 to 1000",
        ),
        (X, {"given": X[:-1]}, "given: the array has 199 rows and x: the array has 200"),
        (X, {"given": X[:, :0]}, "given: the array has no column"),
        (X, {"given": X[..., None].astype(str)}, "given: the array holds values of type"),
        (X, {"given": 1.0}, "given: the array has shape []; it must be [rows] or [rows, columns]"),
        (X, {"given": np.ones(ROWS)}, "given: the array is constant; its rows must differ"),
        (X, {"given": np.full(ROWS, np.nan)}, "given: the array holds no value"),
        (X, {"given": np.where(Y, np.nan, 1)}, "given: the array has missing values in 100 of 200"),
        (X, {"given": 1e20 * X}, "given: the array has a standard deviation of"),
        (X, {"given": np.where(Y, np.inf, 1)}, "given: the array has inf in row 1, column"),
    ],
)
def test_what_is_refused(x, named, message):
    found = one_line(check_intake, x, **named)
    assert message in found
    assert found.startswith(("x: ", "labels: ", "given: ", "data: "))


def test_repairs_are_told_and_labels_and_given_follow():
    x = np.concatenate([table(), np.ones((ROWS, 2)), np.full((ROWS, 1), np.nan)], axis=1)
    x[[5, 9], 1] = np.nan
    x[150:160] = x[20:30]
    x[30, 0], x[31, 0] = 0.0, -0.0
    x[31, 1:] = x[30, 1:]
    c = np.stack([np.arange(ROWS) + 0.5, np.zeros(ROWS)], axis=1)
    c[11, 0] = np.nan
    names = ["a", "b", "c", "one", "uno", "empty"]
    found = check_intake(x, np.arange(ROWS) % 3, c, names)
    check_invariants(found)
    rows = [i for i in range(ROWS) if i not in (5, 9, 11, 31) and not 150 <= i < 160]
    np.testing.assert_array_equal(found.x, x[rows, :3])
    np.testing.assert_array_equal(found.labels, np.array(rows) % 3)
    np.testing.assert_array_equal(found.given[:, 0], np.array(rows) + 0.5)
    assert found.given.shape[1] == 1
    assert found.columns == ("a", "b", "c")
    assert found.notes == (
        "1 empty column was left out: empty",
        "3 rows with missing values were left out",
        "2 constant columns were left out: one, uno",
        "1 constant column of what is given was left out",
        "11 rows that repeated an earlier one were left out",
    )
    assert found.warnings[0].startswith("11 rows left out as repeated had another label, or other")


def test_columns_without_a_value_in_what_is_given_and_classes_without_rows():
    x = changed(X, (3, 0), np.nan)
    labels = np.where(np.arange(ROWS) == 3, "lone", np.where(Y, "b", "a"))
    c = np.stack([np.arange(ROWS), np.full(ROWS, np.nan)], axis=1)
    found = check_intake(x, labels, c)
    check_invariants(found)
    assert found.classes == ("a", "b")
    assert "1 empty column of what is given was left out" in found.notes
    assert "1 class has no rows left: 'lone'" in found.notes
    many = np.concatenate([X, np.ones((ROWS, 10))], axis=1)
    assert check_intake(many).notes == (
        "10 constant columns were left out: "
        + ", ".join(f"column {j}" for j in range(3, 11))
        + " and 2 more",
    )


@pytest.mark.parametrize(
    ("x", "named", "warning"),
    [
        (table(120, 130), {}, "130 columns and 120 rows: so few rows say little"),
        (
            np.repeat(table(150), 3, axis=0),
            {},
            "300 of 450 rows repeated an earlier one; data that repeat themselves may be discrete",
        ),
        (
            np.concatenate([X, Y[:, None]], axis=1),
            {},
            "1 column ('column 3') has few distinct values; discrete columns count as dimensions"
            " only as far as",
        ),
        (
            np.concatenate([X, 7.0 - np.arange(ROWS)[:, None]], axis=1),
            {},
            "1 column of whole numbers ('column 3') grows or falls with every row; a column that",
        ),
        (X * [1, 1, 1e4], {}, "column 'column 2' has a standard deviation of 4"),
        (
            X,
            {"labels": np.repeat(["u", "v"], [30, 170])},
            "1 class has fewer than 100 rows ('u' (30)) and is not estimated by itself",
        ),
    ],
)
def test_what_is_doubtful(x, named, warning):
    found = check_intake(x, **named)
    check_invariants(found)
    (told,) = found.warnings
    assert told.startswith(warning)


def test_which_columns_are_discrete():
    rng = np.random.default_rng(0)
    n = 1_000
    x = np.stack(
        [
            rng.normal(size=n),
            rng.integers(0, 2, n),  # few, and whole
            rng.integers(0, 45, n) / 7,  # few
            rng.integers(0, 50, n),
            rng.integers(0, 500, n),  # whole, and many
            rng.integers(0, 70, n) / 7,
        ],
        axis=1,
    )
    found = check_intake(x, columns="abcdef")
    assert found.discrete == ("b", "c", "d")
    assert check_intake(x[:, :1]).discrete == ()
    assert check_intake(table(dtype=np.uint8)).discrete == ()
    # Pixels share one unit.
    pixels = changed(table(dtype=np.uint8, d=4) % 2, (slice(None), 3), 0)
    pixels = np.concatenate([table(dtype=np.uint8), pixels], axis=1)
    assert not any("standard deviation" in each for each in check_intake(pixels).warnings)


def test_columns_that_are_copies_are_kept():
    found = check_intake(np.concatenate([X, X], axis=1))
    assert (found.x.shape[1], found.notes, found.warnings) == (6, (), ())


def test_labels_of_any_kind():
    for labels, classes in (
        (Y, ("0", "1")),
        (10 - Y, ("9", "10")),
        (Y.astype(np.float32), ("0", "1")),
        (Y == 1, ("False", "True")),
        (np.where(Y, "b ", "a"), ("a", "b")),
        (np.where(Y, b"b", b"a"), ("a", "b")),
        ([["x", "y"][y] for y in Y], ("x", "y")),
        (np.array([1, "y"] * LEAST_ROWS, object), ("1", "y")),
        (Y[:, None], ("0", "1")),
    ):
        found = check_intake(X, labels)
        check_invariants(found)
        assert found.classes == classes
        order = [classes.index(c) for c in classes]
        assert order == [0, 1]
        same = found.labels == found.labels[0]
        np.testing.assert_array_equal(same, Y == 0)


def test_many_rows_are_looked_at_in_pieces(monkeypatch):
    x = changed(np.concatenate([table(1_003), table(1_003)[:50]]), (907, 2), np.nan)
    whole = check_intake(x)
    monkeypatch.setattr("mdvae.data.files.CHUNK", 30)
    pieces = check_intake(x)
    np.testing.assert_array_equal(pieces.x, whole.x)
    assert (pieces.notes, pieces.warnings) == (whole.notes, whole.warnings)
    assert len(whole.x) == 1_002


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [None, ["a", "b b", ""], ["x", "NA", "z"]])
@pytest.mark.parametrize("start", ["", "\ufeff", "\r\n\n"])
@pytest.mark.parametrize("quoted", [False, True])
def test_dialects_of_text(tmp_path, delimiter, header, start, quoted):
    path = write(tmp_path / "x.csv", X, header, delimiter, start)
    if quoted:
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(start)
            rows = [*([header] if header else []), *X.tolist()]
            csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    found = read_intake(path)
    np.testing.assert_array_equal(found.x, X)
    names = header or ["", "", ""]
    assert found.columns == tuple(name or f"column {j}" for j, name in enumerate(names))
    assert found.notes == ()


def test_what_text_may_look_like(tmp_path):
    cells = [[f"{v:.6f}" for v in row] for row in X]
    for i, cell in enumerate(("", " ", "NA", "nan", "NaN", "null", "n/a")):
        cells[i][1] = cell
    found = read_intake(write(tmp_path / "m.tsv", cells, ["a", "b", "c"], "\t"))
    assert found.notes == ("7 rows with missing values were left out",)
    np.testing.assert_allclose(found.x, X[7:], atol=1e-6)
    spaced = "# a, b, c\n" + "\n".join(", ".join(row) for row in cells[7:]) + "\n\n\n"
    (tmp_path / "s.csv").write_text(spaced)
    assert read_intake(str(tmp_path / "s.csv")).columns == ("a", "b", "c")
    # As pandas writes tables without names, and with row numbers.
    pd.DataFrame(X).to_csv(tmp_path / "p.csv")
    found = read_intake(str(tmp_path / "p.csv"))
    assert found.columns == ("column 0", "0", "1", "2")
    assert found.x.shape == (ROWS, 4)
    assert "taken for the names" in found.notes[0]
    assert "numbers the rows" in found.warnings[0]
    pd.DataFrame(X).to_csv(tmp_path / "q.csv", index=False)
    np.testing.assert_allclose(read_intake(str(tmp_path / "q.csv")).x, X)
    years = write(tmp_path / "y.csv", X, ["id", "2019", "2020"])
    assert read_intake(years).columns == ("id", "2019", "2020")
    # An empty line in a single column is a missing value.
    one = "v\n" + "\n".join("" if i == 5 else repr(v) for i, v in enumerate(X[:, 0].tolist()))
    (tmp_path / "one.csv").write_text(one)
    assert len(read_intake(str(tmp_path / "one.csv")).x) == ROWS - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is empty; it must hold a table"),
        (b"\n\n", " is empty; it must hold a table"),
        (b"a,b\n", " has 0 rows; it must have 100 or more"),
        (b"a,b\n1,2\n3\n", " has 1 cell in line 3 and 2 in line 1; each line must have as many"),
        (b"a,b\n1,2\n3,4,5\n", " has 3 cells in line 3 and 2 in line 1"),
        (b"1,2\n\xff,3\n", " cannot be read ('utf-8' codec can't decode byte 0xff"),
        (b'1,2\n"3,4\n', " cannot be read (unexpected end of data); save it again as text in UTF"),
        (b"1,2\n1_0,3\n", "holds text ('1_0' in line 2)"),
        (b"1;2\n1,5;3\n", "column 'column 0' holds text ('1,5' in line 2); write numbers with a"),
        (b"a\nb\n", "holds text ('a' in line 1)"),
        (b"1,2\n" * 99 + b"inf,2\n", "has inf in row 99, column 'column 0'"),
    ],
)
def test_text_that_is_no_table(tmp_path, content, message):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    found = one_line(read_intake, str(path))
    assert found.startswith("FILE: ")
    assert message in found


SPECIES = [["setosa", "virginica"][y] for y in Y]


def test_a_column_of_text_is_named_or_taken_as_labels(tmp_path):
    rows = [[*x, s, i] for x, s, i in zip(X.tolist(), SPECIES, X[::-1, 0].tolist(), strict=True)]
    path = write(tmp_path / "x.csv", rows, ["a", "b", "c", "species", "t"])
    assert one_line(read_intake, path) == (
        f"FILE: in {path} column 'species' holds text ('setosa' in line 2); leave it out, or give"
        " it with --labels=species"
    )
    found = read_intake(path, labels="species", given="t, b")
    check_invariants(found)
    assert found.classes == ("setosa", "virginica")
    np.testing.assert_array_equal(found.labels, Y)
    np.testing.assert_array_equal(found.given, np.stack([X[::-1, 0], X[:, 1]], axis=1))
    assert found.columns == ("a", "c")
    assert one_line(read_intake, path, labels="spec").startswith(
        f"FILE: in {path} column 'species' holds text"
    )
    bare = write(tmp_path / "bare.csv", rows)
    assert read_intake(bare, labels="column 3").classes == ("setosa", "virginica")
    hole = write(
        tmp_path / "hole.csv", changed(np.array(rows, object), (4, 3), "NA"), list("abcst")
    )
    assert one_line(read_intake, hole, labels="s") == (
        f"--labels: 's' of {hole} has no label in row 4; each row must have one; leave such rows"
        " out"
    )


def test_labels_and_given_in_files_of_their_own(tmp_path):
    path = write(tmp_path / "x.csv", X, ["a", "b", "c"])
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "text.npy", np.array(SPECIES))
    np.savez(tmp_path / "y.npz", labels=Y, other=X)
    np.savez(tmp_path / "z.npz", u=Y, v=X)
    write(tmp_path / "y.csv", Y[:, None])
    write(tmp_path / "named.csv", Y[:, None], ["class"])
    write(tmp_path / "words.csv", [[s] for s in SPECIES])
    write(tmp_path / "named.tsv", [[s] for s in SPECIES], ["kind of plant"])
    for name in ("y.npy", "text.npy", "y.npz", "z.npz:u", "y.csv", "named.csv", "words.csv",
                 "named.tsv"):  # fmt: skip
        found = read_intake(path, labels=str(tmp_path / name))
        check_invariants(found)
        np.testing.assert_array_equal(found.labels, Y)
        np.testing.assert_array_equal(found.x, X)
    c = X[::-1]
    np.save(tmp_path / "c.npy", c)
    write(tmp_path / "c.csv", c)
    write(tmp_path / "c1.csv", c[:, :1], ["t"])
    np.savez(tmp_path / "c.npz", c=c)
    for name in ("c.npy", "c.csv", "c.npz", "z.npz:v", "y.npz:other"):
        assert read_intake(path, given=str(tmp_path / name)).given.shape == (ROWS, 3)
    assert read_intake(path, given=str(tmp_path / "c1.csv")).given.shape == (ROWS, 1)


def test_labels_and_given_in_an_archive(tmp_path):
    path = str(tmp_path / "x.npz")
    np.savez(path, x=X.reshape(ROWS, 3, 1), y=Y, t=X[::-1, 0], u=X[::-1, 1:])
    found = read_intake(path, "x", "y", "t,u")
    check_invariants(found)
    np.testing.assert_array_equal(found.given, X[::-1])
    assert read_intake(path, labels="y", given="t,u").x.shape == (ROWS, 3)
    assert one_line(read_intake, path) == (
        f"--array: missing; {path} has several arrays; it must be one of 'x', 'y', 't', 'u'"
    )
    assert one_line(read_intake, path, "z") == (
        f"--array: 'z' is not in {path}; it must be one of 'x', 'y', 't', 'u'"
    )
    assert "--array: 'x' is named twice" in one_line(read_intake, path, "x", "x")
    assert "--given: 'y' names what is taken already" in one_line(read_intake, path, "x", "y", "y")
    assert f"--labels: 'q' is no file and no column of {path}" in one_line(
        read_intake, path, "u", "q"
    )


def test_names_that_mean_nothing(tmp_path):
    path = write(tmp_path / "x.csv", X, ["a", "b", "b"])
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "short.npy", Y[1:])
    np.savez(tmp_path / "two.npz", u=Y, v=Y)
    write(tmp_path / "words.csv", [[s] for s in SPECIES])
    cases = [
        (("x",), {}, "FILE: x is not usable; it must be a .npy, .npz, .csv, .tsv or .parquet"),
        ((str(tmp_path / "no.csv"),), {}, "no.csv does not exist; give a .npy, .npz, .csv"),
        (("",), {}, "FILE: missing; give a .npy, .npz, .csv, .tsv or .parquet file"),
        ((path, "a"), {}, "--array: 'a' has no effect on a .csv file; leave it out"),
        ((path,), {"labels": "d"}, f"--labels: 'd' is no file and no column of {path}; it has 'a'"),
        ((path,), {"labels": "b"}, f"--labels: 'b' names 2 columns of {path}; columns need names"),
        ((path,), {"given": "a,d"}, f"--given: 'd' is no file and no column of {path}"),
        ((path,), {"given": "a,a"}, "--given: 'a,a' names what is taken already; name each once"),
        ((path,), {"labels": str(tmp_path / "no.npy")}, "no.npy does not exist"),
        ((path,), {"labels": str(tmp_path / "short.npy")}, "short.npy has 199 rows and FILE: "),
        ((path,), {"labels": str(tmp_path / "two.npz")}, "holds 'u', 'v'; name one as --labels="),
        ((path,), {"labels": path}, "has 3 columns in line 1; it must have one column"),
        (
            (path,),
            {"given": str(tmp_path / "words.csv")},
            "holds text ('setosa' in line 1); give numbers",
        ),
        (
            (write(tmp_path / "one.csv", X[:, :1], ["a"]),),
            {"given": "a"},
            "has no column; it must have a column or more besides those taken",
        ),
    ]
    for args, named, message in cases:
        assert message in one_line(read_intake, *args, **named)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((ROWS, 3), None), "holds values of type object; it must hold real numbers"),
        (X.astype(complex), "holds values of type complex128; it must hold real numbers"),
        (X.astype(str), "it must hold real numbers"),
        (np.zeros(ROWS, [("a", "f8")]), "holds values of type void64; it must hold real numbers"),
        (np.zeros((ROWS, 3), "M8[s]"), "holds values of type datetime64[s]"),
        (X[:, 0], "has shape [200]; it must be [rows, columns]"),
        (X[:0], "has 0 rows; it must have 100 or more"),
        (X[:, :0], "has no column"),
    ],
)
def test_arrays_in_files_that_are_refused(tmp_path, suffix, array, message):
    path = tmp_path / f"x{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, array)
    found = one_line(read_intake, str(path))
    assert found.startswith(f"FILE: {path} ")
    assert message in found


def test_a_header_that_promises_too_much(tmp_path):
    head = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**40)}
    np.lib.format.write_array_header_1_0(head, shape)
    (tmp_path / "x.npy").write_bytes(head.getvalue() + bytes(800))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", head.getvalue() + bytes(800))
    for name in ("x.npy", "x.npz"):
        assert "is cut short: shape [1099511627776, 1099511627776]" in one_line(
            read_intake, str(tmp_path / name)
        )
    sparse = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**3)}
    with open(tmp_path / "s.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, sparse)
        file.truncate(file.tell() + 8 * 10**12)
    message = one_line(read_intake, str(tmp_path / "s.npy"))
    assert message.startswith("FILE: ")
    assert message.endswith(" are free; give fewer rows")


def test_a_parquet_file(tmp_path, monkeypatch):
    path = str(tmp_path / "x.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(species=SPECIES)
    try:
        frame.to_parquet(path)
    except ImportError:
        (tmp_path / "x.parquet").touch()
        assert "needs pyarrow to be read; pip install pyarrow" in one_line(read_intake, path)
    else:
        found = read_intake(path, labels="species", given="c")
        check_invariants(found)
        np.testing.assert_array_equal(found.x, X[:, :2])
        np.testing.assert_array_equal(found.labels, Y)
        assert found.columns == ("a", "b")
        assert "has text in column 'species'" in one_line(read_intake, path)
        assert "cannot be read" in one_line(read_intake, str(tmp_path / "bad.parquet"))
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "needs pandas and pyarrow to be read; pip install 'mdvae[notebooks]' pyarrow" in (
        one_line(read_intake, path)
    )


VALUES = {
    "plain": st.floats(-100, 100),
    "any": st.floats(),
    "few": st.sampled_from([0.0, -0.0, 1.0]),
    "holes": st.sampled_from([1.5, 2.5, np.nan, np.inf]),
}


@settings(max_examples=150)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["f2", "f4", "f8", ">f8", "longdouble", "i4", "u1", "?", "u8", "c8", "O"]),
    st.sampled_from([90, 100, 106, 160]),
    st.integers(0, 4),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 5), st.sampled_from(sorted(VALUES))),
        max_size=12,
    ),
    st.data(),
)
def test_any_array_is_an_intake_or_one_line(seed, dtype, n, d, places, data):
    x = np.random.default_rng(seed).normal(0, 50, (n, d))
    for i, j, kind in places:
        if d:
            x[i % n if j % 2 else slice(i % n, None), j % d] = data.draw(VALUES[kind])
        x[i % n] = x[(i * 7) % n] if j == 3 else x[i % n]
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
    labels = data.draw(st.sampled_from([None, np.arange(n) % 3, np.arange(n) // 60]))
    c = data.draw(st.sampled_from([None, np.arange(n), np.arange(2 * n).reshape(n, 2) / 3]))
    before = x.copy()
    try:
        found = check_intake(x, labels, c)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        check_invariants(found)
        if c is not None and np.ndim(c) == 1:
            # What is given says which row each one was.
            rows = found.given[:, 0].astype(int)
            kept = [int(name.split()[-1]) for name in found.columns]
            with np.errstate(all="ignore"):
                own = x[rows][:, kept].astype(np.float64)
            np.testing.assert_array_equal(found.x, own)
            if labels is not None:
                assert [found.classes[k] for k in found.labels] == [str(k) for k in labels[rows]]
    assert x.tobytes() == before.tobytes()


@settings(max_examples=60)
@given(hnp.arrays(st.sampled_from(["f4", "f8"]), (101, 2), elements={"allow_nan": True}))
def test_any_floats_are_an_intake_or_one_line(x):
    try:
        check_invariants(check_intake(x))
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


def either(path, **named):
    try:
        check_invariants(read_intake(str(path), **named))
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


@given(st.binary(max_size=300), st.sampled_from([".npy", ".npz", ".csv", ".tsv"]), st.booleans())
@example(b"PK\x05\x06" + bytes(18), ".npz", False)
def test_any_bytes_are_one_line(tmp_path_factory, data, suffix, magic):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes((b"\x93NUMPY\x01\x00" if magic else b"") + data)
    either(path)
    own = tmp_path_factory.getbasetemp() / "own.npy"
    np.save(own, X)
    either(own, labels=str(path))
    either(own, given=str(path))


WHOLE = {}
for save, suffix in ((np.save, ".npy"), (np.savez, ".npz"), (np.savetxt, ".csv")):
    file = io.BytesIO()
    save(file, X[:110, :2], **({"delimiter": ",", "fmt": "%.3f"} if suffix == ".csv" else {}))
    WHOLE[suffix] = file.getvalue()


@given(
    st.sampled_from(sorted(WHOLE)),
    st.integers(0, 3_000),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=4),
    st.text(max_size=12),
)
def test_damaged_files_and_any_names_are_an_intake_or_one_line(
    tmp_path_factory, suffix, length, changes, name
):
    data = bytearray(WHOLE[suffix])
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(bytes(data[: length or None]))
    either(path)
    path.write_bytes(WHOLE[suffix])
    either(path, labels=name)
    either(path, given=name)
    either(path, array=name)


@given(st.text(alphabet='0123456789.,;\t\n\r"#eaNnA-+_ é\u2028', max_size=200))
def test_any_text_is_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "text.csv"
    path.write_bytes(text.encode())
    either(path)
    path.write_bytes(text.encode() + b"\n" + WHOLE[".csv"])
    either(path)
