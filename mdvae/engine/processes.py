"""Several processes that train one sweep together, by jax.distributed.

All run the same programs on a mesh of all their devices. The first one alone writes the files of a
run directory, checkpoints apart, and decides what all must agree on.
"""

import json
import platform
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from mdvae.settings.fields import ConfigError

T = TypeVar("T")


class PeerError(RuntimeError):
    """Another process has refused to go on and says why."""


class Cluster(NamedTuple):
    """How to find the other processes.

    Attributes:
        detect: take all of the following from SLURM, the TPU pod or the like.
        coordinator: "host:port" of the first process; "" where there is only one.
        num_processes, process_id: how many there are, and which this is.
    """

    detect: bool = False
    coordinator: str = ""
    num_processes: int = 1
    process_id: int = 0


def check(cluster: Cluster) -> None:
    """Refuses what no processes can be found by.

    Raises:
        ConfigError: one line on the flag of the command that is wrong.
    """
    n, i, host = cluster.num_processes, cluster.process_id, cluster.coordinator
    if n < 1:
        raise ConfigError(f"--num_processes: {n} is not usable; it must be 1 or more")
    if not 0 <= i < n:
        raise ConfigError(f"--process_id: {i} is not usable; it must be from 0 to {n - 1}")
    if n > 1 and not host:
        raise ConfigError("--coordinator: missing; give the host:port of process 0")
    if host and not re.fullmatch(r"[^:]+:\d+", host):
        raise ConfigError(f"--coordinator: {host!r} is not usable; it must be host:port")
    if host and cluster.detect:
        raise ConfigError("--coordinator: stands beside --distributed; give one of the two")


def join(cluster: Cluster) -> None:
    """Joins the other processes; to be called before JAX has touched a device.

    Raises:
        ConfigError: where they cannot be found.
    """
    if not cluster.detect and not cluster.coordinator:
        return
    try:
        if cluster.detect:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(
                cluster.coordinator, cluster.num_processes, cluster.process_id
            )
    except (RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"--distributed: the processes did not find each other ({first_line});"
            " give --coordinator, --num_processes and --process_id"
        ) from error


def is_first() -> bool:
    """Whether this process writes the files."""
    return jax.process_index() == 0


def agree(*values: float) -> list[float]:
    """The largest of each value over all processes."""
    if jax.process_count() == 1:
        return list(values)
    gathered = multihost_utils.process_allgather(np.array(values, np.float32))
    return [float(value) for value in np.max(np.asarray(gathered), axis=0)]


def on_this_host() -> int:
    """How many of the processes run on this process's host, itself included."""
    if jax.process_count() == 1:
        return 1
    own = np.uint32(zlib.crc32(platform.node().encode()))
    return int(np.sum(np.asarray(multihost_utils.process_allgather(own)) == own))


def broadcast(value: Any) -> Any:
    """The first process's value (plain JSON), on all of them."""
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    # As a whole number: `agree` has single precision.
    size = multihost_utils.broadcast_one_to_all(np.int32(len(text) if is_first() else 0))
    padded = np.zeros(int(size), np.uint8)
    if is_first():
        padded[:] = text
    received = np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)
    return json.loads(received.tobytes().decode())


def on_first(function: Callable[[], T]) -> T:
    """What a function that touches files returns, plain JSON; called on the first process alone.

    Raises:
        On the first process whatever the function raises; PeerError on the others then.
    """
    value: Any = None
    error: Exception | None = None
    if is_first():
        try:
            value = function()
        except Exception as failed:
            # Whatever it is, the others must not wait for this process any more.
            error = failed
    if agree(error is not None)[0]:
        raise error or PeerError()
    return broadcast(value)


def gather(tree: Any) -> Any:
    """All rows of a tree of arrays that are split over processes, as NumPy arrays on each."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return jax.device_get(multihost_utils.process_allgather(tree, tiled=True))
