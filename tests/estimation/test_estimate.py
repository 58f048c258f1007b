"""The command and the function `estimate` on small tables, with models of moments."""

import contextlib
import io
import json
from unittest import mock

import jax
import numpy as np
import pytest
from runs import killed_at_checkpoint, quick_compilation

import mdvae
from mdvae import cli, estimate
from mdvae.estimation import answer, plan
from mdvae.estimation.answer import from_json, lines_of, to_json
from mdvae.estimation.classes import by_class, one_hot
from mdvae.settings.fields import ConfigError

SMALL = plan.Effort(3, plan.Stage(2, 80, (8,)), None, None)
STAGED = SMALL._replace(second=plan.Stage(3, 120, (8,)), slope=plan.Stage(2, 80, (8,)))


@pytest.fixture(scope="module", autouse=True)
def _moments():
    jax.local_devices()
    with mock.patch.dict(plan.EFFORTS, quick=SMALL, normal=STAGED), quick_compilation():
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


def test_the_function_is_the_command(folder, whole):
    told = mdvae.estimate(table(), effort="quick", workdir=folder / "memory")
    assert plain(told) == plain(whole[0])


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
    labelled = estimate.check_intake(table(), np.repeat([3, 7], 120))
    parts = by_class(labelled)
    assert [(place, name, len(rows.x)) for place, (name, rows) in parts.items()] == [
        (0, "3", 120),
        (1, "7", 120),
    ]
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
    with pytest.raises(ConfigError, match=r"given: missing; it must be \[rows, 1 columns\]"):
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
    rung = next(rung for rung in found.rungs if rung.kappa == found.kappa)
    assert codes.shape == (len(x), rung.ad[0])
    run = mdvae.load_run(folder / "whole" / "ladder")
    mean, _ = run.encode(f"kappa{found.kappa}", 0, x)
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
    monkeypatch.setattr(estimate, "run_sweep", lambda arguments: cli.INTERRUPTED)
    assert command(folder, "stopped") == cli.INTERRUPTED
    with pytest.raises(KeyboardInterrupt):
        mdvae.estimate(table(), effort="quick", workdir=folder / "stopped too")


@pytest.mark.long
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
