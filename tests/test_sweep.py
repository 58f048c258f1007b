"""The command from start to report, interrupted and not; its errors; `load_run` on what it left."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import mdvae
from mdvae import cli, rundir, sweep
from mdvae.config import ConfigError
from mdvae.report import main as report_main

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "tests" / "configs" / "tiny.py")
COLUMNS = (
    "cell,seed,kappa,d,r,t,status,steps,ad,ad_gap,nelbo,recon,kl,gamma,"
    "neg_elbo_paper_units,kl_paper_units"
)


def run_main(*args):
    return sweep.main(["sweep", f"--config={TINY}", *map(str, args)])


def command(*args):
    return [sys.executable, "-m", "mdvae.sweep", f"--config={TINY}", *map(str, args)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run directory, made by the command in a process of its own, and its output."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    done = subprocess.run(command("--workdir", path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path, done.stdout


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
    assert len(manifest["cells"]) == 5
    assert manifest["versions"]["jax"] == jax.__version__
    assert "compiling ..." in output
    assert "AD (gap)" in output


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


def test_finished_directory_reports_at_once(finished, capsys):
    path, _ = finished
    before = (path / "results.csv").read_bytes(), (path / "manifest.json").read_bytes()
    assert run_main("--workdir", path) == 0
    assert "finished" in capsys.readouterr().out
    assert ((path / "results.csv").read_bytes(), (path / "manifest.json").read_bytes()) == before


def test_report_renders_again_without_training(finished, capsys):
    path, _ = finished
    report = (path / "report.md").read_text()
    for name in ("report.md", "summary.csv", "report.tex"):
        (path / name).unlink()
    assert report_main(["report", str(path)]) == 0
    assert (path / "report.md").read_text() == report
    assert "AD (0.05)" in capsys.readouterr().out


def test_notebook_use_of_a_run(finished):
    path, _ = finished
    run = mdvae.load_run(str(path))
    cell = run.cell("kappa4-d6-r2")
    assert [c.name for c in run.cells][:2] == ["kappa2-d6-r3", "kappa4-d3-r2"]
    params = run.params(cell, 1)
    assert params["encoder"]["Linear_0"]["kernel"].shape == (6, 8)
    assert params["decoder"]["mean"]["kernel"].shape == (8, 6)
    x = run.samples(cell, 1, run.config.n_eval)
    assert x.shape == (500, 6)
    mean, logvar = run.encode(cell, 1, x)
    assert mean.shape == logvar.shape == (500, 4)
    # Re-applying the encoder to the evaluation samples gives the recorded spectrum.
    np.testing.assert_allclose(np.exp(logvar).mean(axis=0), run.spectrum(cell, 1), rtol=1e-4)
    z = mean + np.exp(logvar / 2) * np.random.default_rng(0).normal(size=mean.shape)
    recon = ((run.decode(cell, 1, z) - x) ** 2).sum(axis=1).mean()
    (row,) = [row for row in run.results if (row["cell"], row["seed"]) == (cell.name, 1)]
    assert recon == pytest.approx(row["recon"], rel=0.05)
    assert run.params(cell, 1)["log_gamma"] == pytest.approx(np.log(row["gamma"]), rel=1e-5)
    with pytest.raises(KeyError, match="not in this run; cells: kappa2-d6-r3, kappa4-d3-r2"):
        run.cell("kappa9")
    with pytest.raises(KeyError, match="nothing saved yet"):
        run.params(cell, 7)
    with pytest.raises(ValueError, match=r"must be \(n, 6\)"):
        run.encode(cell, 1, x[:, :5])


# Runs the command in a process that signals itself at its second checkpoint, before saving it.
SIGNALLED = """
import os, sys
from mdvae import checkpoint, cli, sweep

saves, save, number = [], checkpoint.save, int(sys.argv.pop())

def signalled(*args):
    saves.append(args)
    if len(saves) == 2:
        os.kill(os.getpid(), number)
    save(*args)

checkpoint.save = signalled
cli.run_command(lambda argv: sweep.main(argv))
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75), (signal.SIGINT, 75)],
)
def test_interrupted_and_resumed_equals_undisturbed_bit_for_bit(tmp_path, finished, number, code):
    path = tmp_path / "run"
    arguments = [f"--config={TINY}", "--workdir", str(path)]
    stopped = subprocess.run(
        [sys.executable, "-c", SIGNALLED, *arguments, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == code, stopped.stdout + stopped.stderr
    if code == cli.INTERRUPTED:
        assert f"To go on: python -m mdvae.sweep {shlex.join(arguments)}" in stopped.stdout
        assert json.loads((path / "manifest.json").read_text())["status"] == "interrupted"
    assert not (path / "results.csv").exists()
    resumed = subprocess.run(command("--workdir", path), capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    # Killed before its second checkpoint it goes on from the first, otherwise from the second.
    assert f"resuming from step {15 if number == signal.SIGKILL else 30}" in resumed.stdout
    undisturbed, _ = finished
    for name in ("results.csv", "spectra.csv", "blocks.csv", "metrics.jsonl"):
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_one_compilation_per_static_group(tmp_path):
    compiled = []

    def listen(event, _, **details):
        name = details.get("fun_name", "")
        if event == "/jax/core/compile/backend_compile_duration" and "chunk" in name:
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        config = tmp_path / "groups.py"
        config.write_text(
            Path(TINY).read_text().replace('"r": (3,)', '"r": (3,), "hidden": ((8,), (4,))')
        )
        # Memory for a run or two at a time: several slices of each group.
        argv = ["sweep", f"--config={config}", "--workdir", str(tmp_path / "w")]
        assert sweep.main([*argv, "--config.memory_gib=0.0004"]) == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    manifest = rundir.read_manifest(tmp_path / "w")
    assert manifest["groups"] == 2
    assert max(manifest["n_slices"]) > 1
    assert len(compiled) == 2
    assert len(mdvae.load_run(tmp_path / "w").results) == 12


def test_one_diverged_run_does_not_stop_the_others(tmp_path, capsys):
    config = tmp_path / "wild.py"
    config.write_text(
        Path(TINY).read_text().replace('"r": (3,)', '"r": (3,), "log_gamma_init": (0.0, -200.0)')
    )
    path = tmp_path / "w"
    assert sweep.main(["sweep", f"--config={config}", "--workdir", str(path)]) == 0
    output = capsys.readouterr().out
    assert "warning: kappa2-d6-r3-log_gamma_init=-200, seed 0: the loss is not finite" in output
    run = mdvae.load_run(path)
    status = {row["cell"]: row["status"] for row in run.results}
    assert status.pop("kappa2-d6-r3-log_gamma_init=-200") == "diverged"
    assert set(status.values()) == {"ok"}
    assert "Warning: diverged (the loss was not finite)" in (path / "report.md").read_text()


def test_all_diverged_is_an_error_with_a_report(tmp_path, capsys):
    assert run_main("--workdir", tmp_path / "w", "--config.log_gamma_init=-300") == 1
    captured = capsys.readouterr()
    assert "no run has a finite loss; lower learning_rate" in captured.err
    assert "diverged (the loss was not finite)" in (tmp_path / "w" / "report.md").read_text()
    assert {row["status"] for row in mdvae.load_run(tmp_path / "w").results} == {"diverged"}


def test_unknown_published_table_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigError, match="published: there is no table 'table0'"):
        run_main("--workdir", tmp_path / "w", "--config.published=table0")
    assert not (tmp_path / "w").exists()


def test_damaged_checkpoints_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mdvae.sweep.save_results", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_main("--workdir", tmp_path / "w")
    for file in (tmp_path / "w" / "checkpoints").rglob("*"):
        if file.is_file() and "METADATA" not in file.name.upper():
            file.write_bytes(b"")
    assert run_main("--workdir", tmp_path / "w") == 1
    assert "none of its checkpoints (60, 45) can be read" in capsys.readouterr().err


def test_report_of_an_unfinished_run(finished, tmp_path, capsys):
    path, _ = finished
    for name in ("config.json", "manifest.json", "metrics.jsonl", "spectra.csv", "blocks.csv"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    results = (path / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "results.csv").write_text("".join(results[:4]))
    spectra = (path / "spectra.csv").read_text().splitlines(keepends=True)
    (tmp_path / "spectra.csv").write_text("".join(spectra[:5]))
    assert report_main(["report", str(tmp_path)]) == 0
    assert "Not finished: 7 runs have no results yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--config.stepz=3"], "stepz: no such field; did you mean steps?"),
        (["--config.grid.wide.q=(3,)"], "q: no such field"),
        (["--config.steps=abc"], "steps=abc: invalid literal for int()"),
        (["--config.steps=0"], "steps: 0 is not usable; it must be a whole number, 1 or more"),
        (["--config.grid.wide.r=(7,)"], "grid.wide.r: 7 is more than d = 3"),
        (["--config.grid.wide.kappa=(0,)"], "grid.wide.kappa: 0 is not usable"),
        (["--config.grid.wide.d=()"], "grid.wide.d: () is not usable"),
        (["--config.batch_size=5000"], "batch_size: 5000 is more than n_train = 2000"),
        (["--config.seeds=0"], "seeds: 0 is not usable"),
        (["--config.protocol=mine"], "protocol: 'mine' is not usable; it must be one of mdvae"),
        (["--nonsense"], "--nonsense: no such flag"),
        (["stray"], "stray: not a flag; settings are --config.field=value"),
        (["--devices=-1"], "--devices: -1 is not usable"),
        (["--devices=64"], "--devices: 64 is more than there are"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_main("--workdir", tmp_path / "w", *args)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "--config: {path} does not exist"),
        ("x = 1\n", "--config: {path} has no get_config()"),
        ("def get_config(:\n", "--config: {path} fails with SyntaxError"),
        ("import nowhere\n", "--config: {path} fails with ModuleNotFoundError: No module named"),
        ("def get_config():\n    return 1 / 0\n", "--config: {path} fails with ZeroDivisionError"),
        (
            "def get_config():\n    return 3\n",
            "--config: get_config() returned int; it must return a ConfigDict",
        ),
    ],
)
def test_bad_config_files_are_one_line(text, message, tmp_path):
    path = tmp_path / "bad.py"
    # ml_collections loads every config under one module name; forget the one before.
    for name in [name for name in sys.modules if name.endswith("_config")]:
        del sys.modules[name]
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        sweep.main(["sweep", "--config", str(path)])
    assert str(caught.value).startswith(message.format(path=path))
    assert "\n" not in str(caught.value)


def test_no_config_and_help(capsys):
    with pytest.raises(ConfigError, match="--config: missing"):
        sweep.main(["sweep"])
    assert sweep.main(["sweep", "--help"]) == 0
    assert "--config.FIELD=VALUE" in capsys.readouterr().out


def test_a_mistake_exits_with_code_2_and_no_traceback(tmp_path):
    done = subprocess.run(
        command("--workdir", tmp_path / "w", "--config.seeds=0"), capture_output=True, text=True
    )
    assert done.returncode == cli.USER_ERROR
    assert done.stderr == "error: seeds: 0 is not usable; it must be a whole number, 1 or more\n"
    assert not (tmp_path / "w").exists()


def test_workdir_of_another_config_is_refused(finished):
    path, _ = finished
    with pytest.raises(ConfigError, match=r"belongs to another config \(seed: 0 -> 5\)"):
        run_main("--workdir", path, "--config.seed=5")


def test_workdir_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds files but no config\.json"):
        run_main("--workdir", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_unwritable_workdir_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        run_main("--workdir", tmp_path / "file" / "w")


def test_workdir_in_use_is_refused(tmp_path):
    with (
        rundir.lock_directory(tmp_path),
        pytest.raises(ConfigError, match="in use by another process"),
        rundir.lock_directory(tmp_path),
    ):
        pass


def test_report_mistakes(tmp_path, finished):
    for argv, message in (
        ([], "DIR: missing"),
        (["--fast"], "--fast: no such flag"),
        (["--cell=q", str(finished[0])], "--cell: 'q' is not in"),
        ([str(tmp_path)], "not a run directory"),
    ):
        with pytest.raises(ConfigError, match=message):
            report_main(["report", *argv])


def test_metrics_survive_a_line_cut_short(tmp_path):
    rundir.append_metrics(tmp_path, [{"cell": "a", "seed": 0, "step": 1, "nelbo": float("nan")}])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"cell": "a", "se')
    assert rundir.read_metrics(tmp_path) == [{"cell": "a", "seed": 0, "step": 1, "nelbo": None}]


def test_csv_keeps_a_float32(tmp_path):
    value = float(np.float32(0.1) + np.float32(1e-8))
    rundir.write_csv(tmp_path / "a.csv", [{"x": value, "y": None, "z": "text", "n": 3}])
    (row,) = rundir.read_csv(tmp_path / "a.csv")
    assert np.float32(row["x"]) == np.float32(value)
    assert (row["y"], row["z"], row["n"]) == (None, "text", 3)
    assert os.listdir(tmp_path) == ["a.csv"]
