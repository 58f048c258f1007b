"""Run directories for the tests of commands: made in the tests' own process, and quickly."""

import contextlib
import fcntl
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import pytest

import mdvae
from mdvae import report, sweep
from mdvae.engine import runner
from mdvae.store import rundir

CONFIGS = Path(__file__).parent / "configs"
TINY, SMALL = (str(CONFIGS / f"{name}.py") for name in ("tiny", "small"))


def with_devices(n: int) -> str:
    """XLA's flags, with a number of devices on this host."""
    return f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={n}"


def environment(**variables: str) -> dict[str, str]:
    """What makes another process compute bit for bit what `run_sweep` does in this one."""
    return {
        **os.environ,
        "XLA_FLAGS": with_devices(len(jax.local_devices())),
        **variables,
    }


@contextlib.contextmanager
def killed_at_checkpoint(n: int) -> Iterator[None]:
    """What runs in it is killed as it is about to save its checkpoint n, counted from 1."""
    save, saves = runner.checkpoint.save, itertools.count(1)

    def killed(*args: Any) -> None:
        if next(saves) == n:
            raise KeyboardInterrupt
        save(*args)

    with mock.patch.object(runner.checkpoint, "save", killed), pytest.raises(KeyboardInterrupt):
        yield


def without_figures() -> contextlib.AbstractContextManager:
    """Reports that draw nothing, where figures are not what a test looks at."""
    return mock.patch("mdvae.reports.report._draw", return_value=[])


def run_sweep(config: str, path: Path, *flags: str, figures: bool = False) -> int:
    """The sweep command in this process, on the devices that it has; its exit code."""
    jax.local_devices()  # the command takes as many as there are cores where JAX has not begun
    with contextlib.nullcontext() if figures else without_figures():
        return sweep.main(["sweep", f"--config={config}", f"--workdir={path}", *flags])


def run_report(*arguments: object, figures: bool = False) -> int:
    """The report command in this process; its exit code."""
    with contextlib.nullcontext() if figures else without_figures():
        return report.main(["report", *map(str, arguments)])


@cache
def finished_run(config: str) -> tuple[Path, str]:
    """A finished run directory of a config, which nobody changes, and what the command printed.

    The first worker that asks trains it, and others wait.
    """
    folder = Path(os.environ["MDVAE_TESTS_FOLDER"])
    path, printed = folder / Path(config).stem, folder / f"{Path(config).stem}.txt"
    with open(folder / f"{path.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            shutil.rmtree(path, ignore_errors=True)  # of a worker that failed
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                code = run_sweep(config, path, figures=True)
            assert code == 0, output.getvalue()
            printed.write_text(output.getvalue())
    return path, printed.read_text()


def copy_of(config: str, path: Path) -> Path:
    """A finished run directory of a config, to be changed."""
    return shutil.copytree(finished_run(config)[0], path)


def lines_of(path: Path, cell: str = "") -> list[dict[str, Any]]:
    """The lines of metrics of a run directory, of one cell where it is named."""
    rows = map(json.loads, (path / rundir.METRICS).read_text().splitlines())
    return [row for row in rows if row["cell"] == cell or not cell]


def results_of(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The results of a run directory, by cell and seed."""
    return {(row["cell"], row["seed"]): row for row in mdvae.load_run(path).results}


def as_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has runs be vmapped on this CPU, as they are on an accelerator."""
    for module in ("ensemble", "chunks", "trainer", "memory"):
        monkeypatch.setattr(f"mdvae.engine.{module}.looped", lambda group=None: False)
