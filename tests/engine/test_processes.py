"""Several processes and many devices: the same numbers as one, and any number can resume."""

import csv
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from runs import CONFIGS, SMALL, environment, run_sweep, with_devices

from mdvae.engine import machine, processes
from mdvae.settings.fields import ConfigError

# Two cells of different sizes over three seeds.
SIX_RUNS = ("--config.grid.d=(5,6)", "--config.seeds=3", "--config.eval_every=80")
EXACT = ("cell", "seed", "status", "steps", "ad", "ad_gap")


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(path, *flags, n_processes=1, config=SMALL, **variables):
    port = free_port()
    several = [f"--coordinator=localhost:{port}", f"--num_processes={n_processes}"]
    commands = [
        [sys.executable, "-m", "mdvae.sweep", f"--config={config}", f"--workdir={path}", *flags]
        + ([*several, f"--process_id={i}"] if n_processes > 1 else [])
        for i in range(n_processes)
    ]
    return [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**variables),
        )
        for command in commands
    ]


def finish(started, code=0):
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [code] * len(started), outputs
    return outputs


def saved_steps(path):
    return [int(p.name) for p in path.glob("checkpoints/*/*") if p.name.isdigit()]


def wait_for_step(path, step):
    deadline = time.monotonic() + 240
    while max(saved_steps(path), default=0) < step:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def rows(path):
    with open(path / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_equal_results(path, expected):
    mine, theirs = rows(path), rows(expected)
    assert len(mine) == len(theirs) == 6
    for row, other in zip(mine, theirs, strict=True):
        assert [row[name] for name in EXACT] == [other[name] for name in EXACT]
        for name in ("nelbo", "recon", "kl", "gamma"):
            np.testing.assert_allclose(float(row[name]), float(other[name]), rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The run directory of this process alone, on one device."""
    path = tmp_path_factory.mktemp("single") / "run"
    assert run_sweep(SMALL, path, *SIX_RUNS, "--devices=1") == 0
    return path


@pytest.mark.long
def test_eight_devices_equal_one(single, tmp_path):
    finish(start(tmp_path / "run", *SIX_RUNS, "--devices=8", XLA_FLAGS=with_devices(8)))
    assert_equal_results(tmp_path / "run", single)


@pytest.mark.long
def test_two_processes_equal_one(single, tmp_path):
    outputs = finish(start(tmp_path / "run", *SIX_RUNS, n_processes=2))
    assert_equal_results(tmp_path / "run", single)
    assert "report:" in outputs[0][0]
    said = outputs[1][0].splitlines()
    assert all(line.startswith("[Gloo]") for line in said)  # JAX's own; the second is silent
    assert (tmp_path / "run" / "report.md").is_file()
    assert (tmp_path / "run" / "figures" / "samples.png").is_file()  # needs a checkpoint
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum("eval_nelbo" in line for line in metrics) == 2 * 6  # at 80 and 120 of 120 steps
    assert len(metrics) == len(set(metrics)) == 3 * 6
    # Each process has written its own rows of the checkpoint.
    (slice_,) = (tmp_path / "run" / "checkpoints").iterdir()
    shards = {p.name for step in slice_.iterdir() for p in step.rglob("ocdbt.process_*")}
    assert shards == {"ocdbt.process_0", "ocdbt.process_1"}


@pytest.mark.long
def test_what_two_processes_began_one_ends(tmp_path):
    path = tmp_path / "run"
    longer = ("--config.steps=12000", "--config.log_every=6000", "--config.save_every=300")
    started = start(path, *longer, n_processes=2)
    wait_for_step(path, 1)
    started[1].send_signal(signal.SIGTERM)  # the others must hear of it
    outputs = finish(started, code=75)
    assert "stopped by another process; saved" in outputs[0][0]
    step = max(saved_steps(path))
    assert step < 12_000
    ((output, _),) = finish(start(path, *longer))
    assert f"resuming from step {step:,}" in output
    assert len(rows(path)) == 2
    assert {row["status"] for row in rows(path)} == {"ok"}


@pytest.mark.long
def test_two_processes_train_a_stage_on_what_they_trained(tmp_path):
    assert run_sweep(str(CONFIGS / "staged.py"), tmp_path / "one") == 0
    outputs = finish(start(tmp_path / "two", n_processes=2, config=CONFIGS / "staged.py"))
    assert "stage second:" in outputs[0][0]
    mine, theirs = (rows(tmp_path / name / "second") for name in ("two", "one"))
    assert len(mine) == len(theirs) == 4
    for row, other in zip(mine, theirs, strict=True):
        assert (row["cell"], row["seed"]) == (other["cell"], other["seed"])
        np.testing.assert_allclose(float(row["nelbo"]), float(other["nelbo"]), rtol=2e-3)
    assert (tmp_path / "two" / "second" / "generated.csv").is_file()


def test_a_mistake_ends_all_processes(tmp_path):
    (tmp_path / "file").write_text("mine")
    outputs = finish(start(tmp_path, n_processes=2), code=2)
    assert outputs[0][1].count("error: workdir") == 1
    assert "Traceback" not in outputs[0][1] + outputs[1][1]
    assert (tmp_path / "file").read_text() == "mine"


def test_processes_on_one_host_share_its_memory(monkeypatch):
    script = (
        "import sys; from mdvae.engine import processes;"
        "processes.join(processes.Cluster(False, sys.argv[1], 2, int(sys.argv[2])));"
        "print(processes.on_this_host(), *processes.agree(-3, processes.is_first()))"
    )
    address = f"localhost:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, address, str(i)], stdout=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    assert [out.splitlines()[-1] for out, _ in finish(started)] == ["2 -3.0 1.0"] * 2

    free = SimpleNamespace(available=8 * machine.GIB)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(machine, "_container_limit", list)
    devices = jax.local_devices()
    alone = machine.memory_budget(0.0, devices)
    assert alone == int(machine.MEMORY_SHARE * free.available / len(devices))
    monkeypatch.setattr(processes, "on_this_host", lambda: 4)
    assert machine.memory_budget(0.0, devices) == pytest.approx(alone / 4, abs=1)


def test_alone_values_are_shared_with_nobody():
    assert processes.agree(1.5, True) == [1.5, True]
    assert processes.broadcast({"a": [1, None]}) == {"a": [1, None]}
    assert processes.on_first(lambda: 3) == 3

    def refuse():
        raise ConfigError("workdir: no")

    with pytest.raises(ConfigError, match="workdir: no"):
        processes.on_first(refuse)


def test_processes_that_do_not_find_each_other(tmp_path):
    ((_, error),) = finish(start(tmp_path / "run", "--distributed"), code=2)
    assert error.startswith("error: --distributed: the processes did not find each other")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
