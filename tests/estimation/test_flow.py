"""The order of an estimate's work: what is saved when, what is left out, and what goes on."""

import dataclasses
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from test_estimation_report import invented

from mdvae.analysis.neighbours import Opinion
from mdvae.data.intake import check_intake
from mdvae.estimation import answer, classes, clock, flow
from mdvae.estimation.classes import TOGETHER, estimated_apart, left_out, rows_of_class
from mdvae.estimation.clock import Clock
from mdvae.estimation.folder import SECONDS
from mdvae.estimation.plan import EFFORTS, most_models


class StoppedError(Exception):
    """Stands for a kill."""


def labelled(counts, d=3, given=None):
    """A table with classes of so many rows each."""
    labels = np.repeat([f"k{i}" for i in range(len(counts))], counts)
    x = np.random.default_rng(0).normal(size=(len(labels), d))
    return check_intake(x, labels, given)


@pytest.fixture
def untrained(monkeypatch):
    """A table's models and opinions are invented; `stop` names tables whose training is stopped."""
    done, stop = [], set()

    def whole(table, x, options, clock):
        if options.workdir.name in stop:
            raise StoppedError
        done.append(options.workdir.name)
        left = flow._to_come(table, estimated_apart(table))
        return dataclasses.replace(
            invented(options.workdir), to_come=left, rows=len(x), seconds=clock.seconds
        )

    def train(name, *rest):
        if name in stop:
            raise StoppedError
        done.append(name)

    def counts(run, x, told, table):
        return {name: Opinion(TOGETHER, 2.0, 1.5, 2.5, "") for name in table.classes}

    monkeypatch.setattr(flow, "_whole", whole)
    monkeypatch.setattr(flow, "_train", train)
    monkeypatch.setattr(flow, "counts_by_class", counts)
    return done, stop


def options_of(workdir, **changes):
    return flow.Options("quick", 0, workdir, lambda *_: pytest.fail("trains"), **changes)


def run(table, workdir):
    return flow.run(table, options_of(workdir), figures=False)


def test_the_whole_table_is_answered_before_its_classes(tmp_path, untrained):
    done, stop = untrained
    table, folder = labelled([120, 110, 130]), tmp_path / "whole"
    stop |= {"1", "cvae"}
    with pytest.raises(StoppedError):
        run(table, folder)
    found = answer.read(folder)
    assert (found.dimension, found.rows, list(found.by_class)) == (3, 360, ["k0"])
    assert found.to_come == ("class k1", "class k2", TOGETHER)
    said = "still to come: class k1, class k2, CVAE of all classes; the same estimate in the same"
    assert any(line.startswith(said) for line in answer.lines_of(found))
    assert said in (folder / "report.md").read_text(encoding="utf-8")
    # Nothing is done again, also where the CVAE is stopped.
    stop.discard("1")
    with pytest.raises(StoppedError):
        run(table, folder)
    assert answer.read(folder).to_come == (TOGETHER,)
    stop.clear()
    found = run(table, folder)
    assert done == ["whole", "0", "1", "2", "cvae"]
    assert (list(found.by_class), found.to_come) == (["k0", "k1", "k2"], ())
    assert all(each.estimates[-1].name == TOGETHER for each in found.by_class.values())
    assert answer.to_json(answer.read(folder)) == answer.to_json(found)
    assert "still to come" not in (folder / "report.md").read_text(encoding="utf-8")
    assert run(table, folder).dimension == 3
    assert len(done) == 5


def test_an_answer_of_before_has_nothing_to_come(tmp_path):
    answer.save(invented(tmp_path))
    file = tmp_path / answer.ANSWER
    values = json.loads(file.read_text(encoding="utf-8"))
    del values["to_come"]
    file.write_text(json.dumps(values), encoding="utf-8")
    assert answer.read(tmp_path).to_come == ()


def test_classes_that_are_too_small(tmp_path, untrained, capsys):
    """All of them, or some: nothing is said of them alone, which is said before training."""
    table = labelled([60, 70, 99])
    assert estimated_apart(table) == []
    found = run(table, tmp_path / "small")
    assert (found.by_class, found.to_come) == ({}, ())
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("3 classes have fewer than 100 rows ('k0' (60), 'k1' (70), 'k2' (99))")
    assert first.endswith("and are not estimated by themselves")
    assert first in table.warnings
    assert second == "trainings, with those that are done: at most 8"
    some = labelled([100, 99])
    assert estimated_apart(some) == [0]
    assert some.warnings[0].endswith("rows ('k1' (99)) and is not estimated by itself")


def test_no_more_classes_than_are_worth_their_time(tmp_path, untrained, capsys, monkeypatch):
    monkeypatch.setattr(classes, "MOST_APART", 2)
    table = labelled([110, 130, 100, 120])
    assert estimated_apart(table) == [1, 3]
    (sentence,) = left_out(table)
    assert sentence == (
        "only the 2 classes of most rows are estimated by themselves; 2 others have enough rows"
        " too, and would be with fewer classes: 'k0', 'k2'"
    )
    found = run(table, tmp_path / "many")
    assert list(found.by_class) == ["k1", "k3"]
    assert sentence in found.notes
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == sentence
    # Four rungs of two seeds, three times, and the two seeds of the CVAE.
    assert lines[1] == (
        "trainings, with those that are done: at most 8 for the table, as many for each of 2 of"
        " the classes, and 2 of a CVAE that is told the class: 26 in all"
    )
    assert left_out(labelled([110, 130])) == []


def test_how_many_models_an_effort_trains():
    assert {name: most_models(effort) for name, effort in EFFORTS.items()} == {
        "quick": 4 * 2,
        "normal": 8 * 2 + 5 * 3 + 6 * 3,
        "thorough": 12 * 3 + 5 * 5 + 6 * 5,
    }


def test_what_is_given_and_constant_in_a_class():
    """It tells that class nothing; where nothing else is given its models are told nothing."""
    age = np.arange(220.0)
    sex = np.repeat([0.0, 1.0], 110)
    table = labelled([110, 110], given=np.stack([sex, age], axis=1))
    for place, mine in enumerate((slice(0, 110), slice(110, 220))):
        np.testing.assert_array_equal(rows_of_class(table, place).given, age[mine, None])
    assert rows_of_class(labelled([110, 110], given=sex), 1).given is None
    np.testing.assert_array_equal(classes.one_hot(table)[:, 2:], table.given)


def test_time_is_counted_over_processes(tmp_path, monkeypatch):
    file, now = tmp_path / "seconds.txt", [1_000.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with Clock(file) as first:
        now[0] += 40.0
        assert first.seconds == 40.0
    now[0] += 500.0  # nobody works on it

    def stopped():
        with Clock(file) as second:
            assert second.seconds == 40.0
            now[0] += 2.5
            raise StoppedError

    with pytest.raises(StoppedError):
        stopped()
    assert Clock(file).seconds == 42.5
    for broken in ("", "nan", "-3", "inf", "two"):
        file.write_text(broken)
        assert Clock(file).seconds == 0.0


def test_time_of_a_process_that_was_killed(tmp_path, monkeypatch):
    """The total is written while the process lasts, not at its end."""
    file = tmp_path / "seconds.txt"
    file.write_text("70.0")
    monkeypatch.setattr(clock, "BEAT", 0.01)
    with Clock(file):
        end = time.monotonic() + 20.0
        while float(file.read_text()) <= 70.0:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_seconds_of_an_estimate_that_was_stopped(tmp_path, untrained):
    _, stop = untrained
    folder = tmp_path / "table"
    table = check_intake(np.random.default_rng(0).normal(size=(150, 3)))
    stop.add("table")
    with pytest.raises(StoppedError):
        run(table, folder)
    (folder / SECONDS).write_text("3600.0")
    stop.clear()
    assert 3600.0 <= run(table, folder).seconds < 3660.0
