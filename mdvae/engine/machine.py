"""The machine that a sweep runs on: its devices, their memory, and what is installed."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import psutil

from mdvae.engine import processes
from mdvae.engine.ensemble import Device
from mdvae.settings.fields import ConfigError

GIB = 2**30
# Of what a device has free; the rest is left to the compiler, to copies and to others.
MEMORY_SHARE = 0.7


def set_up_cpu() -> None:
    """Gives a CPU one JAX device per core; to be called before JAX has touched a device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # Where JAX is running already, as in a notebook, its devices stay as they are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores or 1)


def pick_devices(n_devices: int, n_runs: int) -> list[Device]:
    """The first n_devices of each process, or all.

    Of a single process on a CPU never more than runs unless they are asked for: a run on one device
    has all cores for its larger operations, and that is faster than to split its batches.

    Raises:
        ConfigError: where more devices are asked for than there are.
    """
    local = jax.local_devices()
    if n_devices > len(local):
        raise ConfigError(f"--devices: {n_devices} is more than there are; give up to {len(local)}")
    if jax.process_count() == 1 and not n_devices and local[0].platform == "cpu":
        n_devices = min(len(local), n_runs)
    n_devices = n_devices or len(local)
    if jax.process_count() == 1:
        return local[:n_devices]
    by_process: dict[int, list[Device]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(device)
    return [device for mine in by_process.values() for device in mine[:n_devices]]


def memory_budget(limit_gib: float, devices: Sequence[Device]) -> int:
    """Bytes that a device of this process may use; processes share their host's memory evenly.

    Args:
        limit_gib: what the user allows, or 0 to ask the device.
    """
    if limit_gib > 0:
        return int(limit_gib * GIB)
    mine = [device for device in devices if device.process_index == jax.process_index()]
    stats = mine[0].memory_stats() if mine[0].platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(MEMORY_SHARE * stats["bytes_limit"])
    free = min([psutil.virtual_memory().available, *_container_limit()])
    return int(MEMORY_SHARE * free / len(mine) / processes.on_this_host())


def _container_limit() -> list[int]:
    """What a container or a batch system lets the process still use, where it sets limits.

    Each group of processes above this one may have a limit of its own (cgroup, version 2).
    """
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
    folders = [root / own, *(root / own).parents]
    left = []
    for folder in (each for each in folders if each.is_relative_to(root)):
        with contextlib.suppress(OSError, ValueError):
            limit = int((folder / "memory.max").read_text())
            left.append(max(0, limit - int((folder / "memory.current").read_text())))
    return left


def _commit() -> str | None:
    """The commit of the source, where it is a git checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def describe_machine(devices: Sequence[Device]) -> dict[str, Any]:
    """Versions and devices, for the manifest."""
    packages = ("mdvae", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "commit": _commit(),
        "device": devices[0].device_kind,
        "platform": devices[0].platform,
        "n_devices": len(devices),
    }
