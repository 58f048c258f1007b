"""The command from start to report, interrupted and not; its errors; what may change afterwards."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import SMALL, TINY, copy_of, environment, finished_run, run_report, run_sweep

import mdvae
from mdvae import cli, sweep
from mdvae.settings.config import FORMAT
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import SECTIONS
from mdvae.store import checkpoint, rundir
from mdvae.store.lock import LOCK, lock_directory

COLUMNS = (
    "cell,seed,kappa,d,r,t,status,steps,ad,ad_gap,ad_log_gap,nelbo,recon,kl,gamma,"
    "neg_elbo_paper_units,kl_paper_units"
)
# What the settings of the analysis have no say in.
TRAINED = ("metrics.jsonl", "spectra.csv", "blocks.csv")
LOSSES = ("nelbo", "recon", "kl", "gamma", "neg_elbo_paper_units", "kl_paper_units")


def parse(*flags, config=TINY):
    """The config that a command line makes."""
    return sweep.parse(["sweep", f"--config={config}", *flags]).config


def refusal(*flags, config=TINY):
    """The one line by which a command line is refused."""
    with pytest.raises(ConfigError) as caught:
        sweep.main(["sweep", f"--config={config}", *map(str, flags)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(path):
    """All files of a run directory, the lock apart."""
    return {
        file.relative_to(path): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != LOCK
    }


@pytest.fixture(scope="module")
def finished():
    """A finished run directory, made by the command, and its output."""
    return finished_run(TINY)


@pytest.fixture
def small(tmp_path):
    """A finished run directory of one cell, to be changed."""
    return copy_of(SMALL, tmp_path / "small")


def test_files_of_a_run_directory(finished):
    path, output = finished
    header, *rows = (path / "results.csv").read_text().splitlines()
    assert header.startswith(COLUMNS)
    assert len(rows) == 10
    assert {p.name for p in path.iterdir()} >= {
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "checkpoints",
        "results.csv",
        "summary.csv",
        "spectra.csv",
        "blocks.csv",
        "report.md",
        "report.tex",
        "figures",
    }
    for figure in ("ad_against_r", "spectra", "thresholds", "variances", "training", "slopes"):
        assert (path / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert {run["status"] for run in manifest["runs"]} == {"ok"}
    assert len({run["cell"] for run in manifest["runs"]}) == 5
    assert manifest["versions"]["jax"] == jax.__version__
    assert "compiling ..." in output
    assert "AD (gap)" in output


def test_manifest_and_config_say_how_the_run_was_made(finished):
    path, _ = finished
    sections = rundir.read_manifest(path)["sections"]
    assert set(sections) == set(SECTIONS)
    config = rundir.read_config(path)
    for name, entry in sections.items():
        assert entry["kind"] == getattr(config, name).kind
        assert len(bytes.fromhex(entry["hash"])) == 6
    written = json.loads((path / "config.json").read_text())
    assert written["format"] == FORMAT
    assert written["networks"]["hidden"] == [8]
    assert make_cells(config) == make_cells(parse())


def test_results_are_consistent(finished):
    path, _ = finished
    run = mdvae.load_run(path)
    for row in run.results:
        assert row["neg_elbo_paper_units"] == pytest.approx(2 * row["nelbo"], rel=1e-6)
        assert row["kl_paper_units"] == pytest.approx(2 * row["kl"], rel=1e-6)
        d, gamma = row["d"], row["gamma"]
        nelbo = row["recon"] / (2 * gamma) + d / 2 * np.log(2 * np.pi * gamma) + row["kl"]
        assert row["nelbo"] == pytest.approx(nelbo, rel=1e-4)
        assert row["expected_ad"] == min(row["r"], row["kappa"])
    metrics = [row for row in run.metrics if row["cell"] == "kappa4-d6-r2" and row["seed"] == 1]
    assert [row["step"] for row in metrics] == [20, 40, 60]
    assert metrics[-1]["nelbo"] < metrics[0]["nelbo"]


def test_report_marks_cells_outside_the_theorem(finished):
    path, _ = finished
    text = (path / "report.md").read_text()
    assert "| 3* |" in text
    assert "Theorem 1 does not apply" in text
    assert "κ < r (too few latents)" in text
    assert r"\toprule" in (path / "report.tex").read_text()


def test_finished_directory_reports_at_once(small, capsys):
    names = ("results.csv", "manifest.json", "metrics.jsonl")
    before = [(small / name).read_bytes() for name in names]
    (small / "report.md").unlink()
    shutil.rmtree(small / "checkpoints")
    assert run_sweep(SMALL, small) == 0
    assert "finished" in capsys.readouterr().out
    assert (small / "report.md").is_file()
    assert [(small / name).read_bytes() for name in names] == before


def test_report_renders_again_without_training(tmp_path, capsys):
    path = copy_of(TINY, tmp_path / "run")
    before = contents(path)
    for name in ("report.md", "summary.csv", "report.tex"):
        (path / name).unlink()
    assert run_report(path, figures=True) == 0
    assert contents(path) == before
    assert "AD (0.05)" in capsys.readouterr().out


# Runs the command in a process that signals itself at its second checkpoint, before saving it.
SIGNALLED = """
import os, sys
from mdvae import cli, sweep
from mdvae.store import checkpoint

saves, save, number = [], checkpoint.save, int(sys.argv.pop())

def signalled(*args):
    saves.append(args)
    if len(saves) == 2:
        os.kill(os.getpid(), number)
    save(*args)

checkpoint.save = signalled
cli.run_command(lambda argv: sweep.main(argv))
"""


def assert_resumes(config, path, step, capsys):
    """The same command goes on from a step, and ends with what an undisturbed one has."""
    assert not (path / "results.csv").exists()
    undisturbed, _ = finished_run(config)
    capsys.readouterr()
    assert run_sweep(config, path) == 0
    assert f"resuming from step {step}" in capsys.readouterr().out
    for name in ("results.csv", *TRAINED):
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "code", "config", "step"),
    [
        # Killed before its second checkpoint it goes on from the first, otherwise from the second.
        (signal.SIGKILL, -signal.SIGKILL, SMALL, 60),
        pytest.param(signal.SIGTERM, cli.INTERRUPTED, TINY, 30, marks=pytest.mark.long),
    ],
)
def test_interrupted_and_resumed_equals_undisturbed_bit_for_bit(
    tmp_path, number, code, config, step, capsys
):
    path = tmp_path / "run"
    arguments = [f"--config={config}", "--workdir", str(path)]
    stopped = subprocess.run(
        [sys.executable, "-c", SIGNALLED, *arguments, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert stopped.returncode == code, stopped.stdout + stopped.stderr
    if code == cli.INTERRUPTED:
        assert f"To go on: python -m mdvae.sweep {shlex.join(arguments)}" in stopped.stdout
        assert rundir.read_manifest(path)["status"] == "interrupted"
    assert_resumes(config, path, step, capsys)


@pytest.fixture
def interrupted(tmp_path, monkeypatch, capsys):
    """A run directory that was stopped by hand halfway, and what the command printed."""
    save = checkpoint.save

    def signalled(*args):
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        save(*args)

    monkeypatch.setattr(checkpoint, "save", signalled)
    assert run_sweep(SMALL, tmp_path / "run") == cli.INTERRUPTED
    return tmp_path / "run", capsys.readouterr().out


def test_interrupted_by_hand(interrupted, capsys):
    path, output = interrupted
    assert "SIGINT: finishing the steps in hand, then saving ..." in output
    assert f"To go on: python -m mdvae.sweep --config={SMALL} --workdir={path}" in output
    assert rundir.read_manifest(path)["status"] == "interrupted"
    assert_resumes(SMALL, path, 60, capsys)


@pytest.mark.long
def test_one_compilation_per_static_group(tmp_path):
    compiled = []

    def listen(event, _, **details):
        name = details.get("fun_name", "")
        if event == "/jax/core/compile/backend_compile_duration" and "chunk" in name:
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        # Memory for less than a run: several slices of each group.
        flags = ["--config.grid.hidden=((8,),(4,))", "--config.seeds=4"]
        assert run_sweep(SMALL, tmp_path / "w", *flags, "--config.memory_gib=1e-5") == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    manifest = rundir.read_manifest(tmp_path / "w")
    assert len(manifest["programs"]) == 2
    assert [each["group"] for each in manifest["slices"]] == [0, 0, 1, 1]
    assert len(compiled) == 2
    assert len(mdvae.load_run(tmp_path / "w").results) == 8


def test_one_diverged_run_does_not_stop_the_others(tmp_path, capsys):
    path = tmp_path / "w"
    # Slices of a cell each that learns and one that does not.
    flags = ["--config.grid.log_gamma_init=(0.0,-200.0)", "--config.memory_gib=1e-5"]
    assert run_sweep(SMALL, path, *flags) == 3
    assert rundir.read_manifest(path)["slices"][0]["runs"] == [
        ["kappa4-d5-r2-log_gamma_init=0", 0],
        ["kappa4-d5-r2-log_gamma_init=-200", 0],
    ]
    output = capsys.readouterr().out
    assert (
        "warning: kappa4-d5-r2-log_gamma_init=-200, seed 0: diverged at step 1, its loss" in output
    )
    run = mdvae.load_run(path)
    status = {(row["cell"], row["seed"]): row["status"] for row in run.results}
    assert status == {
        (cell, seed): "diverged" if "-200" in cell else "ok"
        for cell in ("kappa4-d5-r2-log_gamma_init=0", "kappa4-d5-r2-log_gamma_init=-200")
        for seed in (0, 1)
    }
    assert "Warning: diverged (the loss was not finite)" in (path / "report.md").read_text()
    assert run_sweep(SMALL, path, *flags, "--allow_diverged") == 0


def test_all_diverged_is_an_error_with_a_report(tmp_path, capsys):
    path = tmp_path / "w"
    assert run_sweep(SMALL, path, "--config.method.log_gamma_init=-300", figures=True) == 1
    captured = capsys.readouterr()
    assert "no run has a finite loss; lower learning_rate" in captured.err
    assert "diverged (the loss was not finite)" in (path / "report.md").read_text()
    assert {row["status"] for row in mdvae.load_run(path).results} == {"diverged"}
    # Given up at the first line, at step 40 of 120; counted again as well.
    assert [each["step"] for each in rundir.read_manifest(path)["slices"]] == [40]
    assert {row["steps"] for row in mdvae.load_run(path).results} == {1}
    assert run_report("--ad_threshold=0.1", path) == 0
    assert {row["steps"] for row in mdvae.load_run(path).results} == {1}


def test_unknown_published_table_is_refused_before_training(tmp_path):
    flags = (f"--workdir={tmp_path / 'w'}", "--config.analysis.published=table0")
    assert "published: there is no table 'table0'" in refusal(*flags)
    assert not (tmp_path / "w").exists()


def damage(path):
    """Empties the arrays of all checkpoints."""
    for file in (path / "checkpoints").rglob("*"):
        if file.is_file() and "METADATA" not in file.name.upper():
            file.write_bytes(b"")


def test_damaged_checkpoints_are_said(small, capsys):
    # As the directory is before the results of its last step are written.
    (small / "results.csv").unlink()
    manifest = rundir.read_manifest(small)
    manifest["status"] = manifest["slices"][0]["status"] = "running"
    rundir.write_manifest(small, manifest)
    damage(small)
    assert run_sweep(SMALL, small) == 1
    assert "none of its checkpoints (120, 60) is whole and of these runs" in capsys.readouterr().err


def test_report_of_an_unfinished_run(finished, tmp_path, capsys):
    path, _ = finished
    for name in ("config.json", "manifest.json", "metrics.jsonl", "spectra.csv", "blocks.csv"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    results = (path / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "results.csv").write_text("".join(results[:4]))
    spectra = (path / "spectra.csv").read_text().splitlines(keepends=True)
    (tmp_path / "spectra.csv").write_text("".join(spectra[:5]))
    assert run_report(tmp_path, figures=True) == 0
    assert "Not finished: 7 runs have no results yet" in capsys.readouterr().out


def new_threshold(path):
    """A threshold by which some latents of each run are active and some are not."""
    ratios = np.sort(list(mdvae.load_run(path).mean_spectra.values()), axis=1)
    low, high = ratios[:, 0].max(), ratios[:, -1].min()
    assert low < high
    return round(float(low + high) / 2, 4)


def assert_counted_again(path, threshold):
    """Counts are those of the spectra by another threshold; what was trained is as it was."""
    old, new = mdvae.load_run(finished_run(SMALL)[0]), mdvae.load_run(path)
    assert new.config.analysis.ad_threshold == threshold
    assert json.loads((path / "config.json").read_text())["analysis"]["ad_threshold"] == threshold
    assert len(new.results) == len(old.results) == 2
    for row, before in zip(new.results, old.results, strict=True):
        ratios = new.spectrum(row["cell"], row["seed"])
        assert row["ad_threshold"] == threshold
        assert row["ad"] == np.sum(ratios < threshold)
        assert row["ad"] != before["ad"]
        assert row["ad_eval_low"] <= row["ad"] <= row["ad_eval_high"]
        assert [row[name] for name in LOSSES] == [before[name] for name in LOSSES]
    for name in TRAINED:
        assert (path / name).read_bytes() == (old.path / name).read_bytes()
    sections, before = new.manifest.pop("sections"), old.manifest.pop("sections")
    assert [name for name in SECTIONS if sections[name] != before[name]] == ["analysis"]
    assert new.manifest == old.manifest
    counts = [row for row in new.counts if row["seed"] == 0]
    assert sum(row["fraction"] for row in counts) == pytest.approx(1.0, rel=1e-6)
    assert new.counts != old.counts  # of single samples, which no file has
    assert f"AD ({threshold:g})" in (path / "report.md").read_text()


def test_report_counts_again_with_another_threshold(small, capsys):
    threshold = new_threshold(small)
    assert run_report(f"--ad_threshold={threshold}", "--ad_min_gap=50", small) == 0
    assert "evaluating again ..." in capsys.readouterr().out
    assert_counted_again(small, threshold)
    assert rundir.read_config(small).analysis.ad_min_gap == 50.0
    before = mdvae.load_run(finished_run(SMALL)[0])
    assert any(row["ad_gap"] is not None for row in before.results)
    assert all(row["ad_gap"] is None for row in mdvae.load_run(small).results)
    # The same once more has nothing to do, and needs no checkpoints.
    shutil.rmtree(small / "checkpoints")
    assert run_report(f"--ad_threshold={threshold}", small) == 0
    assert "evaluating" not in capsys.readouterr().out


def test_sweep_of_a_finished_directory_counts_again_with_another_threshold(small, capsys):
    threshold = new_threshold(small)
    assert run_sweep(SMALL, small, f"--config.analysis.ad_threshold={threshold}") == 0
    output = capsys.readouterr().out
    assert "finished; reporting" in output
    assert "compiling" not in output
    assert_counted_again(small, threshold)


def test_sweep_of_a_claimed_directory_writes_down_its_threshold(tmp_path):
    """A directory that an earlier command claimed and saved nothing in, and another threshold."""
    rundir.write_config(tmp_path, parse(config=SMALL))
    assert run_sweep(SMALL, tmp_path, "--config.analysis.ad_threshold=0.5") == 0
    assert {row["ad_threshold"] for row in mdvae.load_run(tmp_path).results} == {0.5}
    assert rundir.read_config(tmp_path).analysis.ad_threshold == 0.5


def test_training_again_with_another_threshold_writes_it_down(small):
    """Results are there, but no checkpoints from which they could be counted again."""
    manifest = rundir.read_manifest(small)
    manifest["status"] = manifest["slices"][0]["status"] = "running"
    rundir.write_manifest(small, manifest)
    shutil.rmtree(small / "checkpoints")
    assert run_sweep(SMALL, small, "--config.analysis.ad_threshold=0.5") == 0
    assert {row["ad_threshold"] for row in mdvae.load_run(small).results} == {0.5}
    assert rundir.read_config(small).analysis.ad_threshold == 0.5


@pytest.mark.long
def test_slices_are_counted_by_one_threshold_however_often_it_changed(tmp_path, monkeypatch):
    """Stopped in the second slice, with another threshold in the third, ended with the first."""
    path, save = tmp_path / "w", checkpoint.save
    flags = ("--config.seeds=6", "--config.memory_gib=1e-5")

    def stopping_in(slice_name):
        def signalled(directory, *args):
            if directory.name == slice_name:
                os.kill(os.getpid(), signal.SIGINT)
                monkeypatch.setattr(checkpoint, "save", save)
            save(directory, *args)

        return signalled

    for slice_name, threshold in (("group0-slice1", 0.05), ("group0-slice2", 0.5)):
        monkeypatch.setattr(checkpoint, "save", stopping_in(slice_name))
        changed = f"--config.analysis.ad_threshold={threshold}"
        assert run_sweep(SMALL, path, *flags, changed) == cli.INTERRUPTED
    assert run_sweep(SMALL, path, *flags) == 0
    run = mdvae.load_run(path)
    assert run.config.analysis.ad_threshold == 0.05
    assert [row["ad_threshold"] for row in run.results] == [0.05] * 6


def test_an_unfinished_run_gets_no_results_by_counting_again(interrupted):
    path, _ = interrupted
    assert run_report("--ad_threshold=0.5", path) == 0
    assert not (path / "results.csv").exists()
    assert "Not finished: 2 runs have no results yet" in (path / "report.md").read_text()


def test_counting_again_without_the_checkpoints_of_one_slice_changes_nothing(tmp_path):
    path = tmp_path / "w"
    assert run_sweep(SMALL, path, "--config.seeds=4", "--config.memory_gib=1e-5") == 0
    assert len(rundir.read_manifest(path)["slices"]) == 2
    shutil.rmtree(path / "checkpoints" / "group0-slice1")
    before = contents(path)
    with pytest.raises(ConfigError, match="has no checkpoints, from which to count"):
        run_report("--ad_threshold=0.5", path)
    assert contents(path) == before


def test_counting_again_from_damaged_checkpoints_is_one_line(small, capsys):
    damage(small)
    results = (small / "results.csv").read_bytes()
    assert run_report("--ad_threshold=0.5", small) == 1
    assert "none of its checkpoints (120, 60) is whole and of these runs" in capsys.readouterr().err
    assert (small / "results.csv").read_bytes() == results


def test_report_compares_with_another_published_table(small):
    shutil.rmtree(small / "checkpoints")  # counts do not depend on it
    assert run_report("--published=table1", small) == 0
    assert rundir.read_config(small).analysis.published == "table1"
    assert run_report("--published=", small) == 0
    assert rundir.read_config(small).analysis.published == ""


def test_counting_again_without_checkpoints_is_refused_and_changes_nothing(small):
    shutil.rmtree(small / "checkpoints")
    before = contents(small)
    for count in (
        lambda: run_report("--ad_threshold=0.5", small),
        lambda: run_sweep(SMALL, small, "--config.analysis.ad_threshold=0.5"),
    ):
        with pytest.raises(ConfigError, match="has no checkpoints, from which to count") as caught:
            count()
        assert "\n" not in str(caught.value)
        assert contents(small) == before


def test_what_decides_no_numbers_may_change(small):
    changes = {"log_every": 30, "save_every": 10, "name": "other"}
    before = contents(small)
    flags = [f"--config.{name}={value}" for name, value in changes.items()]
    assert run_sweep(SMALL, small, *flags) == 0
    config = rundir.read_config(small)
    assert {name: getattr(config, name) for name in changes} == changes
    for name in ("results.csv", "manifest.json", *TRAINED):
        assert (small / name).read_bytes() == before[Path(name)]


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        ("--config.seed=5", "seed: 0 -> 5"),
        ("--config.networks.hidden=(4,)", "networks.hidden: (8,) -> (4,)"),
        ("--config.data.kind=union", "data.kind: 'manifold' -> 'union'"),
        ("--config.grid.kappa=(3,)", "grid: {'': {'kappa': (4,)"),
    ],
)
def test_workdir_of_another_config_is_refused(small, flag, change):
    before = contents(small)
    message = refusal(f"--workdir={small}", flag, config=SMALL)
    assert f"belongs to another config ({change}" in message
    assert contents(small) == before


# What the flat config of an earlier format looked like, in part.
FLAT = {
    "name": "small",
    "protocol": "mdvae",
    "grids": {"": {"kappa": [4], "d": [5], "r": [2]}},
    "seeds": 2,
    "hidden": [8],
    "ad_threshold": 0.05,
}


def test_a_run_directory_of_an_older_format_is_one_clear_line(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(FLAT))
    message = (
        f"{tmp_path / 'config.json'}: format: 1 is not usable; this version of mdvae reads format"
        f" {FORMAT}, so open it with the version that wrote it"
    )
    assert refusal(f"--workdir={tmp_path}", config=SMALL) == message
    for read in (run_report, mdvae.load_run):
        with pytest.raises(ConfigError) as caught:
            read(tmp_path)
        assert str(caught.value) == message
    assert json.loads((tmp_path / "config.json").read_text()) == FLAT


def test_the_command_line_gives_axes_that_the_config_has_not():
    config = parse("--config.grid.narrow.log_gamma_init=(0.,-1.)")
    assert config.grids["narrow"]["log_gamma_init"] == (0.0, -1.0)
    assert "log_gamma_init" not in config.grids["wide"]
    narrow = {cell.name: cell for cell in make_cells(config) if cell.sizes.kappa == 2}
    assert {name: cell.method.log_gamma_init for name, cell in narrow.items()} == {
        "kappa2-d6-r3-log_gamma_init=0": 0.0,
        "kappa2-d6-r3-log_gamma_init=-1": -1.0,
    }
    axes = parse("--config.grid.prior=('standard',)", config=SMALL).grids[""]
    assert axes == {"kappa": (4,), "d": (5,), "r": (2,), "prior": ("standard",)}


def test_the_command_line_changes_the_kind_of_data():
    config = parse("--config.data.kind=union", "--config.method.model=cvae", config=SMALL)
    (cell,) = make_cells(config)
    assert cell.data.kind == "union"
    assert (cell.data.n_train, cell.data.n_eval) == (400, 200)  # fields of both kinds stay
    assert [(part.value, part.dimension) for part in cell.parts] == [(1, 1), (2, 2)]
    assert cell.sizes.c == 2
    kinds = parse("--config.grid.data=('manifold','union')", config=SMALL)
    assert {cell.data.kind for cell in make_cells(kinds)} == {"manifold", "union"}
    flags = ("--config.data.kind=union", "--config.data.condition=random")
    assert refusal(*flags, config=SMALL).startswith(
        "data.condition: 'random' has no effect with data.kind 'union'; leave it out"
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config.stepz=3"], "stepz: no such field; did you mean steps?"),
        (["--config.hidden=(4,)"], "hidden: no such field; did you mean networks.hidden?"),
        (["--config.networks.hiden=(4,)"], "networks.hiden: no such field; did you mean hidden?"),
        (["--config.grid.wide.q=(3,)"], "grid.wide.q: no such field"),
        (["--config.grid.broad.r=(3,)"], "grid.broad: no such field"),
        (
            ["--config.steps=abc"],
            "steps: 'abc' is not usable; it must be a whole number, 1 or more",
        ),
        (
            ["--config.seeds=two"],
            "seeds: 'two' is not usable; it must be a whole number, 1 or more",
        ),
        (["--config.seeds", "two"], "seeds: 'two' is not usable"),
        (["--config.seeds"], "seeds: has no value; give one, as --config.seeds=VALUE"),
        (["--config.seeds", "--dry_run"], "seeds: has no value"),
        (["--config.steps=1.5e0"], "steps: 1.5 is not usable; it must be a whole number"),
        (["--config.data.n_train=many"], "data.n_train: 'many' is not usable; it must be a whole"),
        (
            ["--config.optimiser.learning_rate=fast"],
            "optimiser.learning_rate: 'fast' is not usable; it must be a number above 0",
        ),
        (
            ["--config.networks.attention=maybe"],
            "networks.attention: 'maybe' is not usable; it must",
        ),
        (["--config.networks.hidden=(8,x"], "networks.hidden: '(8,x' is not usable; it must be a"),
        (["--config.method.log_gamma=low"], "method.log_gamma: 'low' is not usable; it must be a"),
        (
            ["--config.grid.wide.kappa=two"],
            "grid.wide.kappa: 'two' is not usable; it must be a whole",
        ),
        (["--config.grid.wide.kappa=(4,x"], "grid.wide.kappa: '(4,x' is not usable"),
        (["--config.data=union"], "data: 'union' is not usable; it must map fields to values"),
        (["--devices=two"], "--devices: 'two' is not usable; it must be a whole number"),
        (["--dry_run=perhaps"], "--dry_run: 'perhaps' is not usable; it must be True or False"),
        (["--config.steps=0"], "steps: 0 is not usable; it must be a whole number, 1 or more"),
        (["--config.data.n_train=0"], "data.n_train: 0 is not usable; it must be a whole number"),
        (["--config.method.model=gan"], "method.model: 'gan' is not usable; it must be one of vae"),
        (["--config.data.kind=torus"], "data.kind: 'torus' is not usable; it must be one of"),
        (["--config.grid.wide.r=(7,)"], "grid.wide.r: 7 is more than d = 3"),
        (["--config.grid.wide.kappa=(0,)"], "grid.wide.kappa: 0 is not usable"),
        (["--config.grid.wide.d=()"], "grid.wide.d: () is not usable"),
        (["--config.batch_size=5000"], "batch_size: 5000 is more than n_train = 2000"),
        (["--config.seeds=0"], "seeds: 0 is not usable"),
        (["--config.protocol=mine"], "protocol: 'mine' is not usable; it must be one of mdvae"),
        (["--nonsense"], "--nonsense: no such flag"),
        (["stray"], "stray: not a flag; settings are --config.field=value"),
        (["--devices=-1"], "--devices: -1 is not usable"),
        (["--num_processes=0"], "--num_processes: 0 is not usable; it must be 1 or more"),
        (["--process_id=1"], "--process_id: 1 is not usable; it must be from 0 to 0"),
        (["--num_processes=2"], "--coordinator: missing; give the host:port of process 0"),
        (["--coordinator=here"], "--coordinator: 'here' is not usable; it must be host:port"),
        (["--coordinator=a:1", "--distributed"], "--coordinator: stands beside --distributed"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path):
    assert refusal(f"--workdir={tmp_path / 'w'}", *args).startswith(message)
    assert not (tmp_path / "w").exists()


def test_more_devices_than_there_are_is_refused(tmp_path):
    message = refusal(f"--workdir={tmp_path / 'w'}", "--devices=64")
    assert message.startswith("--devices: 64 is more than there are")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "--config: {path} does not exist"),
        ("x = 1\n", "--config: {path} has no get_config()"),
        ("def get_config(:\n", "--config: {path} fails with SyntaxError"),
        ("import nowhere\n", "--config: {path} fails with ModuleNotFoundError: No module named"),
        ("def get_config():\n    return 1 / 0\n", "--config: {path} fails with ZeroDivisionError"),
        (
            "from ml_collections import ConfigDict\n"
            "def get_config():\n"
            "    config = ConfigDict({'data': {'n_train': 5}})\n"
            "    config.data.n_train = 'few'\n",
            "--config: {path}: n_train: few is not usable in place of a value of another type; it"
            " must be a whole number, 1 or more",
        ),
        (
            "def get_config():\n    return 3\n",
            "--config: get_config() returned int; it must return a ConfigDict",
        ),
    ],
)
def test_bad_config_files_are_one_line(text, message, tmp_path):
    path = tmp_path / "bad.py"
    if text is not None:
        path.write_text(text)
    assert refusal(config=path).startswith(message.format(path=path))


def test_no_config_and_help(capsys):
    with pytest.raises(ConfigError, match="--config: missing"):
        sweep.main(["sweep"])
    assert sweep.main(["sweep", "--help"]) == 0
    assert "--config.FIELD=VALUE" in capsys.readouterr().out


def test_a_mistake_exits_with_code_2_and_no_traceback(tmp_path):
    flags = [f"--config={TINY}", f"--workdir={tmp_path / 'w'}", "--config.steps=0"]
    done = subprocess.run(
        [sys.executable, "-m", "mdvae.sweep", *flags], capture_output=True, text=True
    )
    assert done.returncode == cli.USER_ERROR
    assert done.stderr == "error: steps: 0 is not usable; it must be a whole number, 1 or more\n"
    assert not (tmp_path / "w").exists()


def test_workdir_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    assert "holds files but no config.json" in refusal(f"--workdir={tmp_path}")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_unwritable_workdir_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(f"--workdir={tmp_path / 'file' / 'w'}")


def test_workdir_in_use_is_refused(tmp_path):
    with (
        lock_directory(tmp_path),
        pytest.raises(ConfigError, match=f"in use by process {os.getpid()} on host"),
        lock_directory(tmp_path),
    ):
        pass


def test_report_mistakes(tmp_path, finished):
    path = finished[0]
    for argv, message in (
        ([], "DIR: missing"),
        (["--fast"], "--fast: no such flag"),
        (["--cell=q", path], "--cell: 'q' is not in"),
        (["--ad_threshold=2", path], "--ad_threshold: 2 is not usable; it must be a ratio"),
        (["--ad_threshold=low", path], "--ad_threshold: 'low' is not usable; it must be a ratio"),
        (["--ad_min_gap=-1", path], "--ad_min_gap: -1 is not usable; it must be a number of"),
        (["--published=table0", path], "published: there is no table 'table0'"),
        ([tmp_path], "not a run directory"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_report(*argv)
