"""From a table to its estimate: look, train, weigh, and the same for each class.

How a sweep is trained is given, so that nothing here knows of signals or of commands.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.data.intake import Intake
from mdvae.estimation import answer
from mdvae.estimation.answer import LADDER, Estimate
from mdvae.estimation.classes import by_class, counts_by_class, one_hot
from mdvae.estimation.evidence import Seen, gather, left_by, look
from mdvae.estimation.folder import CLASSES, CVAE, GIVEN, REPORT, TABLE, claim, keep, request_of
from mdvae.estimation.opinions import ask
from mdvae.estimation.plan import (
    ABOVE_LEARNED,
    EFFORTS,
    Stage,
    ladder_config,
    rungs_left,
    rungs_of,
    scaled,
)
from mdvae.estimation.shown import Evidence, rung_at
from mdvae.estimation.verdict import decide
from mdvae.settings.config import SweepConfig
from mdvae.store.loading import LoadedRun

LONGER, SLOPE = "longer", "slope"


class Options(NamedTuple):
    """How to estimate.

    Attributes:
        effort: a name of `plan.EFFORTS`.
        seed: of the first model.
        train: trains a sweep in a folder, or what is left of it.
    """

    effort: str
    seed: int
    workdir: Path
    train: Callable[[SweepConfig, Path], LoadedRun]


def _train(
    name: str,
    stage: Stage,
    kappas: tuple[int, ...],
    x: np.ndarray,
    given: np.ndarray | None,
    options: Options,
    levels: tuple[float, ...] = (),
) -> LoadedRun:
    """Trains a ladder on a table, or what is left of it."""
    table = keep(options.workdir, TABLE, x)
    known = None if given is None else keep(options.workdir, f"{name}-{GIVEN}", given)
    config = ladder_config(table, kappas, stage, len(x), options.seed, known, levels)
    return options.train(config, options.workdir / name)


class _Shown(NamedTuple):
    """What a table shows: `ladder` names the last one, `learned` is the gamma of the first."""

    seen: Seen
    evidence: Evidence
    ladder: str
    learned: float


def _evidence(x: np.ndarray, given: np.ndarray | None, options: Options) -> _Shown:
    """What neighbours see and what models show."""
    print("looking at neighbours ...", flush=True)
    effort = EFFORTS[options.effort]
    seen = left_by(look(x), given)
    kappas = rungs_of(seen.neighbours, seen.span, effort.rungs)
    first = gather(_train(LADDER, effort.first, kappas, x, given, options), x, seen)
    found = decide(first)
    learned = np.median(rung_at(first.rungs, found.kappa).gamma)
    if effort.second is None:
        return _Shown(seen, first, LADDER, float(learned))
    kappas = rungs_left(found.dimension, found.kappa, kappas[-1])
    print(f"first answer: {found.dimension}; training {kappas} for longer ...", flush=True)
    run = _train(LONGER, effort.second, kappas, x, given, options)
    return _Shown(seen, gather(run, x, seen, found.dimension), LONGER, float(learned))


def _slope(
    x: np.ndarray, given: np.ndarray | None, shown: _Shown, options: Options
) -> LoadedRun | None:
    """Models at held levels of gamma, above the one that a training as short has learned."""
    stage = EFFORTS[options.effort].slope
    if stage is None or not (np.isfinite(shown.learned) and shown.learned > 0):
        return None
    levels = tuple(round(float(np.log(shown.learned)) + step, 3) for step in ABOVE_LEARNED)
    print("training at held levels of γ ...", flush=True)
    return _train(SLOPE, stage, (decide(shown.evidence).kappa,), x, given, options, levels)


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
    shown = _evidence(x, table.given, options)
    seen, evidence = shown.seen, shown.evidence
    slope = _slope(x, table.given, shown, options)
    print("asking for second opinions ...", flush=True)
    found = decide(evidence)
    estimate = Estimate(
        dimension=found.dimension,
        low=found.low,
        high=found.high,
        confident=found.confident and not table.warnings,
        verdict=found.verdict,
        warnings=(*found.warnings, *table.warnings),
        notes=(*table.notes, *([note] if note else [])),
        estimates=ask(seen, evidence, quick=options.effort == "quick", slope=slope),
        rungs=evidence.rungs,
        by_class=_by_class(table, x, options),
        ladder=shown.ladder,
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
    if not apart:
        return {}
    kappa = max(rung.kappa for each in apart.values() for rung in each.rungs)
    told = one_hot(table)
    effort = EFFORTS[options.effort]
    cvae = _train(CVAE, effort.second or effort.first, (kappa,), x, told, options)
    counts = counts_by_class(cvae, x, told, table)
    return {
        name: dataclasses.replace(each, estimates=(*each.estimates, counts[name]))
        for name, each in apart.items()
    }
