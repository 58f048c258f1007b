"""The command and the function `estimate` on small tables, with models of moments."""

import contextlib
import dataclasses
import io
import json
import shutil
import subprocess
import sys
import threading
from unittest import mock

import jax
import numpy as np
import pandas as pd
import pytest
from runs import killed_at_checkpoint

import mdvae
from mdvae import cli, estimate
from mdvae.estimation import answer, plan
from mdvae.estimation.answer import from_json, lines_of, to_json
from mdvae.estimation.classes import estimated_apart, one_hot, rows_of_class
from mdvae.estimation.shown import rung_at
from mdvae.settings.fields import ConfigError

SMALL = plan.Effort(3, plan.Stage(2, 80, (8,)), None, None)
STAGED = SMALL._replace(second=plan.Stage(3, 120, (8,)), slope=plan.Stage(2, 80, (8,)))


@pytest.fixture(scope="module", autouse=True)
def _moments():
    jax.local_devices()
    with mock.patch.dict(plan.EFFORTS, quick=SMALL, normal=STAGED):
        yield


def table(n=240, d=6, r=2, seed=0):
    generator = np.random.default_rng(seed)
    return np.tanh(generator.normal(size=(n, r)) @ generator.normal(size=(r, d)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    np.save(folder / "x.npy", table())
    return folder


def command(folder, name, *arguments, file="x.npy"):
    return estimate.main(
        ["estimate", str(folder / file), "--effort=quick", f"--workdir={folder / name}", *arguments]
    )


@pytest.fixture(scope="module")
def whole(folder):
    """A finished estimate, and what the command printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert command(folder, "whole") == 0
    return answer.read(folder / "whole"), output.getvalue()


def plain(found):
    """An estimate without what differs between two of one table; nan is None."""
    values = to_json(found)
    return {name: values[name] for name in values if name not in ("seconds", "workdir")}


def test_the_command(folder, whole, capsys):
    _, text = whole
    found = answer.read(folder / "whole")
    assert found is not None
    lines = text.strip().splitlines()
    assert any(line.startswith(f"dimension {found.dimension}, between") for line in lines)
    assert lines[-1].startswith("240 rows, 6 columns, effort quick")
    written = json.loads((folder / "whole" / "estimate.json").read_text())
    for name in ("dimension", "low", "high", "verdict", "warnings", "estimates", "by_class"):
        assert name in written
    assert written["low"] <= written["dimension"] <= written["high"]
    names = [each["name"] for each in written["estimates"]]
    assert {"TwoNN", "MLE", "local PCA", "TwoNN calibrated", "TwoNN of codes"} <= set(names)
    assert [rung["kappa"] for rung in written["rungs"]] == [
        cell.sizes.kappa for cell in mdvae.load_run(folder / "whole" / "ladder").cells
    ]
    # Again: nothing is trained, and nothing changes.
    before = (folder / "whole" / "estimate.json").read_bytes()
    assert command(folder, "whole") == 0
    assert (folder / "whole" / "estimate.json").read_bytes() == before
    assert "sweep:" not in capsys.readouterr().out


def test_killed_and_gone_on_with(folder, whole):
    with killed_at_checkpoint(2):
        command(folder, "killed")
    assert not (folder / "killed" / "estimate.json").exists()
    assert command(folder, "killed") == 0
    assert plain(answer.read(folder / "killed")) == plain(whole[0])
    for name in ("results.csv", "metrics.jsonl"):
        one, other = (folder / each / "ladder" / name for each in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("whole")
def test_another_table_or_seed_is_refused(folder):
    np.save(folder / "other.npy", table(seed=1))
    with pytest.raises(ConfigError, match="estimate of another table"):
        command(folder, "whole", file="other.npy")
    with pytest.raises(ConfigError, match="estimate of another seed"):
        command(folder, "whole", "--seed=5")
    (folder / "theirs").mkdir()
    (folder / "theirs" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds files but no request\.json"):
        command(folder, "theirs")
    assert (folder / "theirs" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILE: 0 are given; give one table"),
        (["a.npy", "b.npy"], "FILE: 2 are given; give one table"),
        (["x.npy", "--effort=lazy"], "--effort: 'lazy' is not usable; it must be one of quick"),
        (["x.npy", "--seed=-1"], "--seed: -1 is not usable"),
        (["x.npy", "--seed=a"], "--seed: 'a' is not usable; it must be a whole number"),
        (["missing.npy"], "FILE: missing.npy does not exist"),
        (["x.npy", "--labels=nothing"], "--labels: 'nothing' is no file and no column"),
        (["x.npy", "--lables=y"], "--lables: no such flag"),
    ],
)
def test_mistakes_are_one_line(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as error:
        estimate.main(["estimate", *arguments])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.long
def test_classes_apart_and_told(folder):
    generator = np.random.default_rng(2)
    u = generator.normal(size=(300, 3))
    labels = np.repeat(["flat", "full", "few"], [120, 150, 30])
    u[:120, 1:] = 0.0
    x = np.tanh(u @ generator.normal(size=(3, 5)))
    found = mdvae.estimate(x, labels, effort="quick", workdir=folder / "classes")
    assert list(found.by_class) == ["flat", "full"]  # of 30 rows nothing is said
    assert any("fewer than 100 rows ('few' (30))" in warning for warning in found.warnings)
    for place, each in zip((0, 1), found.by_class.values(), strict=True):
        assert each.estimates[-1].name == "CVAE of all classes"
        assert each.workdir == folder / "classes" / "classes" / str([1, 2][place])
        assert (each.workdir / "estimate.json").is_file()
    read = answer.read(folder / "classes")
    assert to_json(read) == to_json(found)
    assert sum(line.startswith("class ") for line in lines_of(read)) == 2


def test_classes_of_a_table():
    x = table()
    labelled = estimate.check_intake(x, np.repeat([3, 7], 120))
    assert (labelled.classes, estimated_apart(labelled)) == (("3", "7"), [0, 1])
    np.testing.assert_array_equal(rows_of_class(labelled, 1).x, x[120:])
    np.testing.assert_array_equal(one_hot(labelled).sum(axis=0), [120, 120])


@pytest.mark.long
def test_what_is_given(folder):
    x = table(n=260)
    found = mdvae.estimate(x, given=x[:, 0], effort="quick", workdir=folder / "given")
    run = mdvae.load_run(folder / "given" / "ladder")
    assert (run.config.data.kind, run.config.method.model) == ("array_given", "cvae")
    near = next(each for each in found.estimates if each.name == "TwoNN, normal law")
    plain = next(each for each in found.estimates if each.name == "TwoNN")
    assert near.value == pytest.approx(plain.value - 1, abs=0.4)
    codes = found.transform(x, x[:, 0])
    np.testing.assert_allclose(found.transform(x[:9], x[:9, :1]), codes[:9], atol=1e-5)
    with pytest.raises(ConfigError, match=r"given: missing; it must be \[rows, 1 column\]"):
        found.transform(x)


@pytest.mark.long
def test_two_stages(folder):
    x = table()
    found = mdvae.estimate(x, effort="normal", workdir=folder / "staged")
    first, second = (mdvae.load_run(folder / "staged" / name) for name in ("ladder", "longer"))
    assert (first.config.steps, second.config.steps) == (80, 120)
    assert (first.config.seeds, second.config.seeds) == (2, 3)
    assert [rung.kappa for rung in found.rungs] == [cell.sizes.kappa for cell in second.cells]
    assert found.transform(x).shape[0] == len(x)
    names = [each.name for each in found.estimates]
    assert {"DANCo", "FisherS", "loss slope"} <= set(names)
    held = mdvae.load_run(folder / "staged" / "slope")
    levels = [cell.value("log_gamma") for cell in held.cells]
    assert max(levels) - min(levels) == pytest.approx(2.5)
    assert len(levels) == len(plan.ABOVE_LEARNED)


def test_active_coordinates(folder, whole):
    found, _ = whole
    x = table()
    codes = found.transform(x)
    rung = rung_at(found.rungs, found.kappa)
    assert found.seed == np.argmin(rung.nelbo)
    assert codes.shape == (len(x), rung.ad[found.seed])
    run = mdvae.load_run(folder / "whole" / "ladder")
    mean, _ = run.encode(f"kappa{found.kappa}", found.seed, x)
    for column in codes.T:
        assert np.abs(mean - column[:, None]).max(axis=0).min() == 0.0
    with pytest.raises(ConfigError, match=r"x: has shape \(240, 3\); it must be \[rows, 6"):
        found.transform(x[:, :3])


@pytest.mark.long
def test_columns_that_were_left_out(folder):
    x = np.insert(table(), 2, 5.0, axis=1)  # a constant column among the others
    found = mdvae.estimate(x, effort="quick", workdir=folder / "constant")
    assert any("1 constant column was left out: column 2" in note for note in found.notes)
    assert len(found.columns) == 6
    np.testing.assert_array_equal(found.transform(x), found.transform(table()))


def test_an_estimate_and_its_file(whole, tmp_path):
    found, _ = whole
    again = from_json(json.loads(json.dumps(to_json(found))), found.workdir)
    assert to_json(again) == to_json(found)
    (tmp_path / "estimate.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read as an estimate"):
        answer.read(tmp_path)


def test_stopped(folder, monkeypatch, capsys):
    monkeypatch.setattr("mdvae.sweep.run_sweep", lambda arguments: cli.INTERRUPTED)
    assert command(folder, "stopped") == cli.INTERRUPTED
    assert "dimension" not in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt, match=r"saved; workdir='.*stopped too' goes on"):
        mdvae.estimate(table(), effort="quick", workdir=folder / "stopped too")


def test_stopped_among_its_classes(folder, whole, monkeypatch, capsys):
    """The answer of the whole table is printed, and may be opened."""

    def run(rows, options):
        found = dataclasses.replace(whole[0], workdir=options.workdir, to_come=("class a",))
        options.workdir.mkdir()
        answer.save(found)
        raise estimate.StoppedError

    monkeypatch.setattr(estimate, "run", run)
    assert command(folder, "among") == cli.INTERRUPTED
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0].startswith(f"dimension {whole[0].dimension}, between")
    assert lines[-2].startswith("still to come: class a; ")
    assert mdvae.estimate.load(folder / "among").to_come == ("class a",)


def test_a_finished_estimate_is_opened_without_its_table(folder, whole, tmp_path):
    """In another place too, and whatever was imported first."""
    found, _ = whole
    moved = tmp_path / "moved"
    shutil.copytree(folder / "whole", moved, ignore=shutil.ignore_patterns("table.npy"))
    opened = mdvae.estimate.load(moved)
    assert isinstance(opened, mdvae.Estimate)
    assert plain(opened) == plain(found)
    np.testing.assert_array_equal(opened.transform(table()), found.transform(table()))
    with pytest.raises(ConfigError, match=r"^workdir: .*nothing has no estimate\.json; give the"):
        mdvae.estimate.load(tmp_path / "nothing")
    code = "import mdvae; print(callable(mdvae.estimate), mdvae.estimate.load.__name__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "True load\n"


def frame_of(x, names):
    return pd.DataFrame(x, columns=list(names))


def test_columns_of_a_frame_in_another_order(folder, whole):
    """They are found by name; what the estimate did not use is left aside."""
    x = table()
    named = dataclasses.replace(whole[0], columns=tuple("abcdef"))
    codes = named.transform(frame_of(x, "abcdef"))
    np.testing.assert_array_equal(codes, whole[0].transform(x))
    more = frame_of(np.concatenate([x[:, ::-1], x[:, :1]], axis=1), "fedcbaz")
    np.testing.assert_array_equal(named.transform(more), codes)
    # Of frames with other names the order is all there is.
    np.testing.assert_array_equal(named.transform(frame_of(x, "uvwxyz")), codes)


@pytest.mark.usefixtures("whole")
def test_the_folder_is_called_what_the_user_called_it(folder):
    with pytest.raises(ConfigError, match=r"^workdir: .*whole belongs to an estimate of another t"):
        mdvae.estimate(table(seed=3), effort="quick", workdir=folder / "whole")
    with pytest.raises(ConfigError, match=r"^--workdir: .*whole belongs to an estimate of another"):
        command(folder, "whole", "--seed=9")
    theirs = folder / "a file"
    theirs.write_text("mine")
    with pytest.raises(ConfigError, match=r"^workdir: .*a file cannot be written"):
        mdvae.estimate(table(), effort="quick", workdir=theirs)
    with pytest.raises(ConfigError, match=r"^labels: the array has 3 rows and x: the array has"):
        mdvae.estimate(table(), [1, 2, 3])
    with pytest.raises(ConfigError, match=r"^given: the array is constant"):
        mdvae.estimate(table(), given=np.ones(240))
    with pytest.raises(ConfigError, match=r"^seed: -1 is not usable"):
        mdvae.estimate(table(), seed=-1)
    with pytest.raises(ConfigError, match=r"^seed: 0\.5 is not usable"):
        mdvae.estimate(table(), seed=0.5)


def test_in_a_thread_that_is_not_the_main_one(folder, whole):
    """Which handles no signals; models are trained all the same."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            mdvae.estimate(table(), effort="quick", workdir=folder / "thread")
        )
    )
    thread.start()
    thread.join()
    assert plain(found[0]) == plain(whole[0])


@pytest.mark.long
@pytest.mark.usefixtures("optimised")
def test_a_planted_dimension(tmp_path, monkeypatch):
    """Four coordinates behind a layer of tanh, at the real size of the least effort."""
    monkeypatch.setitem(
        plan.EFFORTS, "quick", plan.Effort(4, plan.Stage(2, 3_000, (128, 128)), None, None)
    )
    generator = np.random.default_rng(5)
    u = generator.normal(size=(5_000, 4))
    x = np.tanh(u @ generator.normal(size=(4, 20)) / 2 + generator.normal(size=20))
    found = mdvae.estimate(x, effort="quick", workdir=tmp_path / "planted")
    assert (found.dimension, found.confident) == (4, True)
    assert found.low <= 4 <= found.high
    assert found.transform(x).shape == (5_000, 4)
