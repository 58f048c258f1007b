"""Estimates the dimension of a table of your own, with an interval and a word on its certainty.

Usage:
    python -m mdvae.estimate FILE [--effort=quick|normal|thorough] [--labels=...] [--given=...]

    FILE                a table [rows, columns]: .npy, .npz, .csv, .tsv or .parquet; [rows, ...] is
                        flattened
    --array=NAME        of the table in an .npz file that has several arrays
    --labels=WHAT       classes: a file, or a column of FILE; each class is estimated by itself too
    --given=WHAT        what is known of each row: a file, or columns of FILE; estimated is what is
                        left once it is known
    --effort=HOW        quick (a minute for 5,000 x 20 on two cores), normal or thorough
    --seed=S            of the first model; default 0
    --workdir=DIR       where models, report.md, figures and estimate.json go; default runs/FILE's
                        name

The same command in the same workdir goes on where it was stopped. A mistake exits with code 2.
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import contextlib
import io
import shlex
import sys
import tempfile
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from mdvae import cli
from mdvae.data.intake import Intake, check_intake, read_intake
from mdvae.estimation.answer import ANSWER, Estimate, lines_of, read
from mdvae.estimation.flow import Options, run
from mdvae.estimation.plan import EFFORTS
from mdvae.settings.fields import ConfigError, unusable
from mdvae.store import checkpoint
from mdvae.sweep import StoppedError, trainer


def check_effort(effort: str, field: str) -> None:
    """Refuses an effort that there is not."""
    if effort not in EFFORTS:
        raise unusable(field, effort, f"one of {', '.join(EFFORTS)}")


def check_seed(seed: int, field: str) -> None:
    """Refuses what is no seed."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise unusable(field, seed, "a whole number, 0 or more")


def estimate(
    x: Any,
    labels: Any = None,
    given: Any = None,
    *,
    effort: str = "normal",
    seed: int = 0,
    workdir: str | Path | None = None,
    quiet: bool = True,
) -> Estimate:
    """The dimension of a table in memory.

    Args:
        x: [n, columns], an array or a data frame; [n, ...] is flattened.
        labels: [n], classes that are estimated one by one too.
        given: [n] or [n, c], what is known of each row.
        effort: quick, normal or thorough.
        seed: of the first model.
        workdir: for models and files; by default a new temporary folder.
        quiet: whether to print no progress.

    Raises:
        ConfigError: one line on what is wrong.
    """
    check_effort(effort, "effort")
    check_seed(seed, "seed")
    table = check_intake(x, labels, given)
    folder = Path(workdir or tempfile.mkdtemp(prefix="mdvae-estimate-"))
    options = Options(
        effort, int(seed), folder, trainer("estimate with the same workdir"), "workdir"
    )
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        try:
            return run(table, options)
        except StoppedError:
            raise KeyboardInterrupt(f"saved; workdir={str(folder)!r} goes on") from None


def load(workdir: str | Path) -> Estimate:
    """A finished estimate of a folder, with its `transform`; its table need not be there.

    Of one that was stopped while classes were estimated, that of the whole table; `to_come` says
    what is missing.

    Raises:
        ConfigError: one line, where the folder has none, or none that can be read.
    """
    found = read(Path(workdir))
    if found is None:
        raise ConfigError(
            f"workdir: {workdir} has no {ANSWER}; give the folder of an estimate that is finished"
        )
    return found


def parse(argv: Sequence[str]) -> tuple[Intake, Options]:
    """Reads the command line, and the table.

    Raises:
        ConfigError: one line on what is wrong.
    """
    values = flags.FlagValues()
    for name, text in (("array", ""), ("labels", ""), ("given", ""), ("effort", "normal")):
        flags.DEFINE_string(name, text, name, flag_values=values)
    flags.DEFINE_string("workdir", None, "folder", flag_values=values)
    flags.DEFINE_integer("seed", 0, "first seed", flag_values=values)
    files = cli.parse_flags(argv, values)
    if len(files) != 1:
        raise ConfigError(f"FILE: {len(files)} are given; give one table")
    effort = str(values["effort"].value)
    check_effort(effort, "--effort")
    seed = int(values["seed"].value or 0)
    check_seed(seed, "--seed")
    text = {name: str(values[name].value) for name in ("array", "labels", "given")}
    table = read_intake(files[0], **text)
    workdir = Path(values["workdir"].value or f"runs/{Path(files[0]).stem}")
    command = "python -m mdvae.estimate " + shlex.join(argv[1:])
    return table, Options(effort, seed, workdir, trainer(command))


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if cli.asks_for_help(argv, __doc__):
        return 0
    table, options = parse(argv)
    try:
        found = run(table, options)
    except StoppedError:
        known = read(options.workdir)
        if known is not None:  # of the whole table, and not yet of all classes
            print("\n" + "\n".join(lines_of(known)))
        return cli.INTERRUPTED
    except checkpoint.DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n" + "\n".join(lines_of(found)))
    return 0


class EstimateModule(types.ModuleType):
    """This module can be called: a command, a function, and the home of `load` in one."""

    __call__ = staticmethod(estimate)


sys.modules[__name__].__class__ = EstimateModule

if __name__ == "__main__":
    cli.run_command(main)
