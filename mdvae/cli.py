"""What the commands share: flags, one-line errors, progress, and stopping when asked to."""

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from mdvae.config import ConfigError, SweepConfig, resolve
from mdvae.processes import Cluster

USER_ERROR = 2
INTERRUPTED = 75
PLAIN_SECONDS = 10.0


class SweepArguments(NamedTuple):
    """The command line of a sweep, checked."""

    config: SweepConfig
    workdir: Path
    devices: int
    cluster: Cluster
    dry_run: bool
    command: str


def run_command(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a command; a user's mistake is one line on stderr and exit code 2."""
    try:
        code = main(sys.argv)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output has gone (such as `| head`); there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).strip("'\"").replace("\\n", " ").split())


def parse_flags(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Parses plain flags; returns the arguments that are none.

    Raises:
        ConfigError: one line on what is wrong.
    """
    try:
        return values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(f"--{error.flagname}: no such flag; see --help") from error
    except flags.Error as error:
        # Of a field of the config its own name is enough.
        raise ConfigError(re.sub(r"^flag (--config\.)?", "", _one_line(error))) from error


def _load_config(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Parses argv; every way in which a config file can fail becomes a ConfigError."""
    given = [arg for arg in argv if arg.split("=")[0] in ("--config", "-config")]
    path = given[-1].partition("=")[2] if given else ""
    if given and path == "" and argv.index(given[-1]) + 1 < len(argv):
        path = argv[argv.index(given[-1]) + 1]
    if path == "":
        raise ConfigError("--config: missing; give a config file, such as configs/quickstart.py")
    if not Path(path).is_file():
        raise ConfigError(f"--config: {path} does not exist; give a config file that does")
    try:
        return parse_flags(argv, values)
    except ConfigError:
        raise
    except AttributeError as error:
        if "get_config" in str(error):
            raise ConfigError(
                f"--config: {path} has no get_config(); it must define one that returns a"
                " ConfigDict"
            ) from error
        # ml_collections' own words, with quotes and escapes around what matters.
        field, close = re.search(r"\w+", str(error)), re.search(r'mean "([\w.]+)"', str(error))
        hint = f"; did you mean {close[1]}?" if close else ""
        raise ConfigError(f"{field[0] if field else error}: no such field{hint}") from error
    except Exception as error:
        # A config file is the user's own code and may fail in any way.
        kind = type(error).__name__
        raise ConfigError(f"--config: {path} fails with {kind}: {_one_line(error)}") from error


def parse_sweep(argv: Sequence[str], usage: str) -> SweepArguments | None:
    """Reads the command line of a sweep; None where only help was asked for.

    Raises:
        ConfigError: one line on what is wrong.
    """
    if any(arg in ("--help", "-h", "-help", "--helpfull") for arg in argv):
        print(usage.strip())
        return None
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "config file", sys_argv=list(argv), flag_values=values
    )
    flags.DEFINE_string("workdir", None, "run directory", flag_values=values)
    flags.DEFINE_integer("devices", 0, "devices to use", flag_values=values)
    flags.DEFINE_boolean("dry_run", False, "print the plan alone", flag_values=values)
    flags.DEFINE_boolean("distributed", False, "one of several processes", flag_values=values)
    flags.DEFINE_string("coordinator", "", "host:port of process 0", flag_values=values)
    flags.DEFINE_integer("num_processes", 1, "how many processes", flag_values=values)
    flags.DEFINE_integer("process_id", 0, "which process this is", flag_values=values)
    stray = _load_config(argv, values)
    if stray:
        raise ConfigError(f"{stray[0]}: not a flag; settings are --config.field=value")
    overrides = config_flags.get_override_values(values["config"])
    if not isinstance(values["config"].value, ConfigDict):
        raise ConfigError(
            f"--config: get_config() returned {type(values['config'].value).__name__};"
            " it must return a ConfigDict"
        )
    config = resolve(values["config"].value, {name.partition(".")[0] for name in overrides})
    devices = int(values["devices"].value or 0)
    if devices < 0:
        raise ConfigError(f"--devices: {devices} is not usable; it must be 0 or more")
    workdir = values["workdir"].value or f"runs/{config.name}"
    command = "python -m mdvae.sweep " + shlex.join(argv[1:])
    cluster = Cluster(
        detect=bool(values["distributed"].value),
        coordinator=str(values["coordinator"].value),
        num_processes=int(values["num_processes"].value or 0),
        process_id=int(values["process_id"].value or 0),
    )
    _check_cluster(cluster)
    dry_run = bool(values["dry_run"].value)
    return SweepArguments(config, Path(workdir), devices, cluster, dry_run, command)


def _check_cluster(cluster: Cluster) -> None:
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


class Progress:
    """A bar with rate and ETA on a terminal, a plain line every ten seconds otherwise."""

    def __init__(self, name: str, total: int, done: int):
        self._name, self._total, self._done, self._first = name, total, done, done
        self._started = self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=name, unit="step", dynamic_ncols=True)

    def update(self, n_steps: int, note: str) -> None:
        """Says that n_steps more steps are done; `note` stands behind the rate."""
        self._done += n_steps
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n_steps)
            return
        now = time.monotonic()
        if now - self._printed < PLAIN_SECONDS and self._done < self._total:
            return
        self._printed = now
        rate = (self._done - self._first) / max(now - self._started, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        print(
            f"{self._name}: step {self._done:,}/{self._total:,}, {rate:,.0f} steps/s,"
            f" {left:,.0f} s left, {note}",
            flush=True,
        )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.close()


class StopRequest:
    """Remembers SIGINT or SIGTERM; a second one stops at once.

    Attributes:
        signal: the name of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = signal.Signals(number).name
        print(f"\n{self.signal}: finishing the steps in hand, then saving ...", flush=True)
