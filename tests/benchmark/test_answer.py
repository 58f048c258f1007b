"""How much training the right answer takes: its budgets, its tables, and resuming."""

import csv
import re
from types import SimpleNamespace

import numpy as np
import pytest
from runs import TINY, finished_run

from mdvae import bench
from mdvae.analysis.statistics import fraction_interval
from mdvae.benchmark import answer, answer_figure
from mdvae.benchmark.answer_tables import answer_of, make_report, shares_of
from mdvae.cli import load_config
from mdvae.settings.config import default_config, resolve
from mdvae.settings.fields import ConfigError
from mdvae.store.checkpoint import DamagedError
from mdvae.store.loading import load_run
from mdvae.sweep import StoppedError


def row(cell, steps, hits, gap_hits, runs=3, in_theorem=1):
    return {
        "cell": cell,
        "kappa": 20,
        "d": 10,
        "r": 8,
        "in_theorem": in_theorem,
        "expected_ad": 8,
        "ad_threshold": 0.05,
        "steps": steps,
        "samples": 250 * steps,
        "seconds": 0.1 * steps,
        "seconds_per_run": 0.01 * steps,
        "runs": runs,
        "ad": hits,
        "ad_gap": gap_hits,
    }


HALF = {"ad_correct": 0.5, "ad_gap_correct": 0.5}
ROWS = [
    row("a", 1_000, 3, 3),
    row("b", 1_000, 0, 3),
    row("c", 1_000, 3, 3, in_theorem=0),
    row("a", 2_000, 2, 3),
    row("b", 2_000, 3, 3),
    row("c", 2_000, 3, 3, in_theorem=0),
    row("a", 4_000, 3, 3),
    row("b", 4_000, 2, 3),
    row("c", 4_000, 3, 3, in_theorem=0),
]


def of_cell(name):
    return {each["steps"]: each for each in ROWS if each["cell"] == name}


def test_the_answer_is_the_least_budget_from_which_on_all_runs_are_right():
    assert answer_of(of_cell("a"), "ad")["steps"] == 4_000  # it was right before, then it was not
    assert answer_of(of_cell("b"), "ad") is None
    assert answer_of(of_cell("b"), "ad_gap")["steps"] == 1_000


def test_fractions_are_over_the_cells_of_the_theorem():
    shares = shares_of(ROWS, "ad")
    assert {steps: (each.hits, each.fraction.n) for steps, each in shares.items()} == {
        1_000: (3, 6),
        2_000: (5, 6),
        4_000: (5, 6),
    }
    assert shares[1_000].fraction == fraction_interval(3, 6)
    assert shares_of([row("c", 10, 3, 3, in_theorem=0)], "ad")[10].fraction.n == 0


def test_report_says_samples_seconds_and_how_sure():
    settings = {
        name: SimpleNamespace(point=(("kappa", 20), ("t", t))) for t, name in enumerate("abc")
    }
    text = make_report(ROWS, settings)
    assert "| 1,000 |" in text
    assert "3 of 6 (19-81 %)" in text
    assert "6 of 6 (61-100 %)" in text
    assert "1 M, 40.0 s" in text
    assert "0.25 M, 10.0 s" in text
    assert "8*" in text
    assert "outside Theorems 1 and 2" in text
    assert "| κ | t | expected |" in re.sub(" +", " ", text)  # what tells cells apart
    assert "*" not in make_report([each for each in ROWS if each["in_theorem"]], settings)


def test_figure_of_cells_without_a_theorem(tmp_path):
    answer_figure.draw_answer([row("c", 10, 0, 3, in_theorem=0)], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_budgets_are_parts_of_the_steps(tmp_path):
    config = resolve(load_config(TINY))
    plan = answer.make_plan(config, ["1", "0.5", "0.001", "0.5"], tmp_path)
    assert plan.steps == (1, 30, 60)
    for text in ("0", "1.5", "nan", "x", ""):
        with pytest.raises(ConfigError, match=f"--budgets: '{text}' is not usable; it must be"):
            answer.make_plan(config, [text], tmp_path)


def test_data_without_a_truth_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 3)))
    config = default_config(data="array")
    config.update({"name": "own", "grid": {"kappa": (4,)}, "steps": 10, "batch_size": 50})
    config.data.update({"path": str(tmp_path / "x.npy"), "n_eval": 100})
    found = resolve(config)
    with pytest.raises(ConfigError, match="own has no cell whose dimension is known; give one"):
        answer.make_plan(found, ["1"], tmp_path)


def test_steps_of_several_batch_sizes_are_refused(tmp_path):
    config = load_config(TINY)
    config.grid.wide.batch_size = (50, 100)
    config.grid.narrow.batch_size = (50,)
    with pytest.raises(ConfigError, match="batch_size of tiny is an axis"):
        answer.make_plan(resolve(config), ["1"], tmp_path)


def test_methods_that_count_nothing_are_left_out(tmp_path, monkeypatch):
    finished, nan = load_run(finished_run(TINY)[0]), float("nan")
    uncounted = [{**row, "ad_correct": nan} for row in answer.summarise(finished)]
    plan = answer.make_plan(resolve(load_config(TINY)), ["1"], tmp_path)
    monkeypatch.setattr(answer, "summarise", lambda _: [*uncounted[1:], {**uncounted[0], **HALF}])
    assert len(answer.run_answer(plan, lambda *_: finished)) == 1
    monkeypatch.setattr(answer, "summarise", lambda _: uncounted)
    with pytest.raises(ConfigError, match="the methods of tiny count no dimensions; give a config"):
        answer.run_answer(plan, lambda *_: finished)


def test_every_budget_is_a_sweep_of_its_own(tmp_path, capsys):
    finished, asked = load_run(finished_run(TINY)[0]), []

    def train(config, path):
        asked.append((config.steps, config.epochs, config.stages, path.name))
        return finished

    config = load_config(TINY)
    config.stages.second = {"steps": 10}
    plan = answer.make_plan(resolve(config), ["0.5", "1"], tmp_path)
    rows = answer.run_answer(plan, train)
    assert asked == [(30, 0, {}, "steps_30"), (60, 0, {}, "steps_60")]
    with open(tmp_path / answer.RESULTS, encoding="utf-8") as table:
        written = list(csv.DictReader(table))
    assert len(written) == len(rows) == 2 * 5
    for found in rows:
        mine = [each for each in finished.results if each["cell"] == found["cell"]]
        assert found["samples"] == 100 * found["steps"]
        assert found["runs"] == len(mine) == 2
        for rule in ("ad", "ad_gap"):
            assert found[rule] == sum(each[rule] == found["expected_ad"] for each in mine)
    seconds = sum(each["seconds"] for each in finished.manifest["slices"])
    assert rows[0]["seconds"] == pytest.approx(seconds, abs=1e-3)
    assert rows[0]["seconds_per_run"] == pytest.approx(seconds / 10, abs=1e-3)
    assert (tmp_path / answer.REPORT).read_text(encoding="utf-8") in capsys.readouterr().out
    assert (tmp_path / answer.FIGURE).read_bytes().startswith(b"\x89PNG")


def test_command_line():
    arguments = ["bench", "--answer", f"--config={TINY}"]
    options = bench.parse([*arguments, "--budgets=0.5", "--config.seeds=3", "--workdir=w"])
    assert options is not None
    assert options.answer is not None
    assert (options.answer.steps, options.answer.config.seeds) == ((30,), 3)
    assert str(options.answer.workdir) == "w"
    options = bench.parse(["bench", "--truth", "--workdir", "answer"])
    assert options is not None
    assert options.truth is not None
    assert str(options.truth.workdir) == "answer"
    options = bench.parse(arguments)
    assert options is not None
    assert options.answer is not None
    assert str(options.answer.workdir) == "runs/answer-tiny"
    assert options.answer.steps == (6, 12, 24, 42, 60)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--answer"], "--config: missing"),
        (["--answer", f"--config={TINY}", "--seconds=2"], "--seconds: has no effect with --answer"),
        (["--answer", f"--config={TINY}", "--truth"], "--truth: has no effect with --answer"),
        (["--answer", f"--config={TINY}", "--draws=3"], "--draws: has no effect with --answer"),
        (["--answer", f"--config={TINY}", "--workdir="], "--workdir: '' is not usable"),
        (["--answer", f"--config={TINY}", "--budgets="], "--budgets: '' is not usable"),
        (["--answer", f"--config={TINY}", "stray"], "stray: not a flag"),
        (["--budgets=0.5"], "--budgets: has no effect without --answer"),
        ([f"--config={TINY}"], "--config: has no effect without --answer"),
        ([f"--config={TINY}", "--answer=false"], "--config: has no effect without --answer"),
        (["--workdir=x"], "--workdir: has no effect without --truth or --answer"),
    ],
)
def test_mistakes(flags, message):
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", *flags])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("error", "code"), [(StoppedError(), 75), (DamagedError("torn"), 1)])
def test_a_training_that_does_not_end(error, code, tmp_path, monkeypatch, capsys):
    def train(*_):
        raise error

    monkeypatch.setattr(bench, "trainer", lambda command: train)
    command = ["bench", "--answer", f"--config={TINY}", f"--workdir={tmp_path}"]
    assert bench.main(command) == code
    assert capsys.readouterr().err == ("error: torn\n" if code == 1 else "")


@pytest.mark.long
def test_command_trains_resumes_and_reports(tmp_path, capsys):
    command = ["bench", "--answer", f"--config={TINY}", "--budgets=0.5,1", f"--workdir={tmp_path}"]
    assert bench.main(command) == 0
    first = (tmp_path / answer.RESULTS).read_bytes()
    assert load_run(tmp_path / "steps_30").config.steps == 30
    capsys.readouterr()
    assert bench.main(command) == 0
    assert "compiled in" not in capsys.readouterr().out
    assert (tmp_path / answer.RESULTS).read_bytes() == first
    with pytest.raises(ConfigError, match="seed"):
        bench.main([*command, "--config.seed=7"])
