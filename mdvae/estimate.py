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
import dataclasses
import io
import shlex
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from mdvae import cli
from mdvae.data.intake import Intake, check_intake, read_intake
from mdvae.estimation import answer
from mdvae.estimation.answer import LADDER, Estimate
from mdvae.estimation.classes import by_class, counts_by_class, one_hot
from mdvae.estimation.evidence import Seen, gather, left_by, look
from mdvae.estimation.folder import CLASSES, CVAE, GIVEN, REPORT, TABLE, claim, keep, request_of
from mdvae.estimation.opinions import ask
from mdvae.estimation.plan import EFFORTS, Stage, ladder_config, rungs_left, rungs_of, scaled
from mdvae.estimation.verdict import Evidence, decide
from mdvae.settings.fields import ConfigError, unusable
from mdvae.store import checkpoint
from mdvae.store.loading import LoadedRun, load_run
from mdvae.sweep import Arguments, run_sweep

LONGER = "longer"


class StoppedError(Exception):
    """Training was interrupted, and has been saved."""


class Options(NamedTuple):
    """How to estimate.

    Attributes:
        command: by which to go on.
    """

    effort: str
    seed: int
    workdir: Path
    command: str


def check_effort(effort: str, field: str) -> None:
    """Refuses an effort that there is not."""
    if effort not in EFFORTS:
        raise unusable(field, effort, f"one of {', '.join(EFFORTS)}")


def _train(
    name: str,
    stage: Stage,
    kappas: tuple[int, ...],
    x: np.ndarray,
    given: np.ndarray | None,
    options: Options,
) -> LoadedRun:
    """Trains a ladder on a table, or what is left of it.

    Raises:
        StoppedError: where it was interrupted.
    """
    path = options.workdir / name
    table = keep(options.workdir, TABLE, x)
    known = None if given is None else keep(options.workdir, f"{name}-{GIVEN}", given)
    config = ladder_config(table, kappas, stage, len(x), options.seed, known)
    code = run_sweep(Arguments(config, path, command=options.command, report=False))
    if code == cli.INTERRUPTED:
        raise StoppedError
    return load_run(path)


def _evidence(
    x: np.ndarray, given: np.ndarray | None, options: Options
) -> tuple[Seen, Evidence, str]:
    """What neighbours see and what models show, and the name of the last ladder."""
    print("looking at neighbours ...", flush=True)
    effort = EFFORTS[options.effort]
    seen = left_by(look(x), given)
    kappas = rungs_of(seen.neighbours, seen.span, effort.rungs)
    first = gather(_train(LADDER, effort.first, kappas, x, given, options), x, seen)
    if effort.second is None:
        return seen, first, LADDER
    found = decide(first)
    kappas = rungs_left(found.dimension, found.kappa, kappas[-1])
    print(f"first answer: {found.dimension}; training {kappas} for longer ...", flush=True)
    run = _train(LONGER, effort.second, kappas, x, given, options)
    return seen, gather(run, x, seen, found.kappa), LONGER


def write_report_of(found: Estimate, figures: bool) -> None:
    """Writes the report of an estimate; that stands, whatever is wrong with what tells of it."""
    # Matplotlib is not for those who ask for help alone.
    from mdvae.estimation.figures import draw
    from mdvae.estimation.report import write_report

    try:
        if figures:
            draw(found)
        write_report(found)
    except Exception as error:
        print(f"warning: the report could not be written ({error})", file=sys.stderr)


def run(table: Intake, options: Options, figures: bool = True) -> Estimate:
    """Estimates the dimension of a table; see `estimate`.

    Args:
        figures: whether to draw them for the report.
    """
    started = time.monotonic()
    claim(options.workdir, request_of(table, effort=options.effort, seed=options.seed))
    done = answer.read(options.workdir)
    if done is not None:
        if not (options.workdir / REPORT).is_file():  # stopped between the two
            write_report_of(done, figures)
        return done
    x, scales, note = scaled(table.x)
    seen, evidence, ladder = _evidence(x, table.given, options)
    print("asking for second opinions ...", flush=True)
    found = decide(evidence)
    estimate = Estimate(
        dimension=found.dimension,
        low=found.low,
        high=found.high,
        confident=found.confident,
        verdict=found.verdict,
        warnings=(*found.warnings, *table.warnings),
        notes=(*table.notes, *([note] if note else [])),
        estimates=ask(seen, evidence, quick=options.effort == "quick"),
        rungs=evidence.rungs,
        by_class=_by_class(table, x, options),
        ladder=ladder,
        kappa=found.kappa,
        seed=options.seed,
        columns=table.columns,
        scales=scales,
        rows=len(x),
        effort=options.effort,
        seconds=time.monotonic() - started,
        workdir=options.workdir,
    )
    answer.save(estimate)
    write_report_of(estimate, figures)
    return estimate


def _by_class(table: Intake, x: np.ndarray, options: Options) -> dict[str, Estimate]:
    """Estimates of each class apart, and what a CVAE that is told the class says of it."""
    if table.labels is None:
        return {}
    apart = {}
    for place, (name, rows) in by_class(table).items():
        print(f"class {name}:", flush=True)
        own = options._replace(workdir=options.workdir / CLASSES / str(place))
        apart[name] = run(rows, own, figures=False)
    kappa = max(rung.kappa for each in apart.values() for rung in each.rungs)
    told = one_hot(table)
    effort = EFFORTS[options.effort]
    cvae = _train(CVAE, effort.second or effort.first, (kappa,), x, told, options)
    counts = counts_by_class(cvae, x, told, table)
    return {
        name: dataclasses.replace(each, estimates=(*each.estimates, counts[name]))
        for name, each in apart.items()
    }


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
    table = check_intake(x, labels, given)
    folder = Path(workdir or tempfile.mkdtemp(prefix="mdvae-estimate-"))
    options = Options(effort, seed, folder, "call estimate again with the same workdir")
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        try:
            return run(table, options)
        except StoppedError:
            raise KeyboardInterrupt from None


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
    if seed < 0:
        raise unusable("--seed", seed, "a whole number, 0 or more")
    text = {name: str(values[name].value) for name in ("array", "labels", "given")}
    table = read_intake(files[0], **text)
    workdir = Path(values["workdir"].value or f"runs/{Path(files[0]).stem}")
    command = "python -m mdvae.estimate " + shlex.join(argv[1:])
    return table, Options(effort, seed, workdir, command)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if cli.asks_for_help(argv, __doc__):
        return 0
    try:
        table, options = parse(argv)
        found = run(table, options)
    except StoppedError:
        return cli.INTERRUPTED
    except checkpoint.DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n" + "\n".join(answer.lines_of(found)))
    return 0


class _Callable(types.ModuleType):
    """This module is the function `mdvae.estimate` too: a command and a function of one name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Estimate:
        return estimate(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    cli.run_command(main)
