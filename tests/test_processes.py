"""Several processes and many devices: the same numbers as one, and any number can resume."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from mdvae import machine, processes
from mdvae.rules import ConfigError

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "tests" / "configs" / "tiny.py")
EXACT = ("cell", "seed", "status", "steps", "ad", "ad_gap")


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(path, *flags, n_processes=1, environment=None):
    port = free_port()
    several = [f"--coordinator=localhost:{port}", f"--num_processes={n_processes}"]
    commands = [
        [sys.executable, "-m", "mdvae.sweep", f"--config={TINY}", f"--workdir={path}", *flags]
        + ([*several, f"--process_id={i}"] if n_processes > 1 else [])
        for i in range(n_processes)
    ]
    return [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
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
    assert len(mine) == len(theirs) == 10
    for row, other in zip(mine, theirs, strict=True):
        assert [row[name] for name in EXACT] == [other[name] for name in EXACT]
        for name in ("nelbo", "recon", "kl", "gamma"):
            np.testing.assert_allclose(float(row[name]), float(other[name]), rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The run directory of one process on one device."""
    path = tmp_path_factory.mktemp("single") / "run"
    finish(start(path, "--devices=1"))
    return path


def test_eight_devices_equal_one(single, tmp_path):
    flags = "--xla_force_host_platform_device_count=8"
    finish(start(tmp_path / "run", "--devices=8", environment={"XLA_FLAGS": flags}))
    assert_equal_results(tmp_path / "run", single)


def test_two_processes_equal_one(single, tmp_path):
    outputs = finish(start(tmp_path / "run", n_processes=2))
    assert_equal_results(tmp_path / "run", single)
    assert "report:" in outputs[0][0]
    said = outputs[1][0].splitlines()
    assert all(line.startswith("[Gloo]") for line in said)  # JAX's own; the second is silent
    assert (tmp_path / "run" / "report.md").is_file()
    assert (tmp_path / "run" / "figures" / "samples.png").is_file()  # needs a checkpoint
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(metrics) == len(set(metrics)) == 3 * 10
    # Each process has written its own rows of the checkpoint.
    (slice_,) = (tmp_path / "run" / "checkpoints").iterdir()
    shards = {p.name for step in slice_.iterdir() for p in step.rglob("ocdbt.process_*")}
    assert shards == {"ocdbt.process_0", "ocdbt.process_1"}


def test_what_two_processes_began_one_ends(tmp_path):
    path = tmp_path / "run"
    longer = ("--config.steps=3000", "--config.log_every=1500", "--config.save_every=300")
    started = start(path, *longer, n_processes=2)
    wait_for_step(path, 1)
    started[1].send_signal(signal.SIGTERM)  # the others must hear of it
    outputs = finish(started, code=75)
    assert "stopped by another process; saved" in outputs[0][0]
    step = max(saved_steps(path))
    assert step < 3_000
    ((output, _),) = finish(start(path, *longer))
    assert f"resuming from step {step:,}" in output
    assert len(rows(path)) == 10
    assert {row["status"] for row in rows(path)} == {"ok"}


def test_a_mistake_ends_all_processes(tmp_path):
    (tmp_path / "file").write_text("mine")
    outputs = finish(start(tmp_path, n_processes=2), code=2)
    assert outputs[0][1].count("error: workdir") == 1
    assert "Traceback" not in outputs[0][1] + outputs[1][1]
    assert (tmp_path / "file").read_text() == "mine"


def test_processes_on_one_host_share_its_memory(tiny, monkeypatch):
    script = (
        "import sys; from mdvae import processes;"
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
    config, devices = tiny(), jax.local_devices()
    alone = machine.memory_budget(config, devices)
    assert alone == int(machine.MEMORY_SHARE * free.available / len(devices))
    monkeypatch.setattr(processes, "on_this_host", lambda: 4)
    assert machine.memory_budget(config, devices) == pytest.approx(alone / 4, abs=1)


def test_alone_values_are_shared_with_nobody():
    assert processes.agree(1.5, True) == [1.5, True]
    assert processes.share({"a": [1, None]}) == {"a": [1, None]}
    assert processes.on_first(lambda: 3) == 3

    def refuse():
        raise ConfigError("workdir: no")

    with pytest.raises(ConfigError, match="workdir: no"):
        processes.on_first(refuse)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_processes=0"], "--num_processes: 0 is not usable; it must be 1 or more"),
        (["--process_id=1"], "--process_id: 1 is not usable; it must be from 0 to 0"),
        (["--num_processes=2"], "--coordinator: missing; give the host:port of process 0"),
        (["--coordinator=here"], "--coordinator: 'here' is not usable; it must be host:port"),
        (["--coordinator=a:1", "--distributed"], "--coordinator: stands beside --distributed"),
        (["--distributed"], "--distributed: the processes did not find each other"),
    ],
)
def test_flags_that_cannot_be_used(tmp_path, flags, message):
    ((_, error),) = finish(start(tmp_path / "run", *flags), code=2)
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
