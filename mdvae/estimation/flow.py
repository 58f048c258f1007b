"""From a table to its estimate: look, train, weigh, and the same for each class.

How a sweep is trained is given, so that nothing here knows of signals or of commands.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.data.intake import Intake
from mdvae.data.intake_doubts import of_classes
from mdvae.estimation import answer
from mdvae.estimation.answer import LADDER, Estimate
from mdvae.estimation.classes import (
    TOGETHER,
    counts_by_class,
    estimated_apart,
    left_out,
    one_hot,
    rows_of_class,
)
from mdvae.estimation.clock import Clock
from mdvae.estimation.evidence import Seen, gather, left_by, look
from mdvae.estimation.folder import (
    CLASSES,
    CVAE,
    GIVEN,
    REPORT,
    SECONDS,
    TABLE,
    claim,
    keep,
    request_of,
)
from mdvae.estimation.opinions import ask
from mdvae.estimation.plan import (
    ABOVE_LEARNED,
    EFFORTS,
    Effort,
    Stage,
    ladder_config,
    most_models,
    rungs_left,
    rungs_of,
    scaled,
)
from mdvae.estimation.shown import Evidence, best_seed, rung_at
from mdvae.estimation.verdict import decide
from mdvae.store.loading import LoadedRun, TrainSweep

LONGER, SLOPE = "longer", "slope"


class Options(NamedTuple):
    """How to estimate.

    Attributes:
        effort: a name of `plan.EFFORTS`.
        seed: of the first model.
        train: trains a sweep in a folder, or what is left of it.
        field: what messages call the folder.
    """

    effort: str
    seed: int
    workdir: Path
    train: TrainSweep
    field: str = "--workdir"


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
    """Estimates the dimension of a table, or what is left of it; see `estimate`.

    The answer of the whole table is saved before any class is looked at.

    Args:
        figures: whether to draw them for the report.
    """
    wanted = request_of(table, effort=options.effort, seed=options.seed)
    claim(options.workdir, wanted, options.field)
    done = answer.read(options.workdir)
    if done is not None and not done.to_come:
        if not (options.workdir / REPORT).is_file():  # stopped between the two
            write_report_of(done, figures)
        return done
    with Clock(options.workdir / SECONDS) as clock:
        for line in trainings(table, EFFORTS[options.effort]):
            print(line, flush=True)
        x, scales, note = scaled(table.x)
        if done is None:
            notes = (*table.notes, *([note] if note else []), *left_out(table))
            done = _whole(table, x, options, clock)
            done = dataclasses.replace(done, scales=scales, notes=notes)
            answer.save(done)
            write_report_of(done, figures)
        if done.to_come:
            done = _with_classes(table, x, done, options, clock)
            # What is finished is not looked at again, nor is its report.
            write_report_of(done, figures)
            answer.save(done)
    return done


def trainings(table: Intake, effort: Effort) -> list[str]:
    """What is about to be trained, and which classes are left out, a line each."""
    apart, most = len(estimated_apart(table)), most_models(effort)
    told = f"trainings, with those that are done: at most {most}"
    if apart:
        last = (effort.second or effort.first).seeds
        told += (
            f" for the table, as many for each of {apart} of the classes, and {last} of a CVAE"
            f" that is told the class: {most * (1 + apart) + last} in all"
        )
    return [*of_classes(table.labels, table.classes), *left_out(table), told]


def _whole(table: Intake, x: np.ndarray, options: Options, clock: Clock) -> Estimate:
    """The estimate of all rows, whatever their classes."""
    shown = _evidence(x, table.given, options)
    seen, evidence = shown.seen, shown.evidence
    slope = _slope(x, table.given, shown, options)
    print("asking for second opinions ...", flush=True)
    found = decide(evidence)
    estimates = ask(seen, evidence, quick=options.effort == "quick", slope=slope)
    return Estimate(
        **{
            **vars(found),
            "confident": found.confident and not table.warnings,
            "warnings": (*found.warnings, *table.warnings),
        },
        notes=(),
        estimates=estimates,
        rungs=evidence.rungs,
        by_class={},
        ladder=shown.ladder,
        seed=best_seed(rung_at(evidence.rungs, found.kappa), options.seed),
        columns=table.columns,
        scales=(),
        rows=len(x),
        effort=options.effort,
        seconds=clock.seconds,
        workdir=options.workdir,
        to_come=_to_come(table, estimated_apart(table)),
    )


def _to_come(table: Intake, places: Sequence[int]) -> tuple[str, ...]:
    """What is to be done where these classes are, and the CVAE of all."""
    if not places and not estimated_apart(table):
        return ()
    return (*(f"class {table.classes[place]}" for place in places), TOGETHER)


def _with_classes(
    table: Intake, x: np.ndarray, whole: Estimate, options: Options, clock: Clock
) -> Estimate:
    """Adds estimates of each class apart, and what a CVAE that is told the class says of it."""
    places, apart = estimated_apart(table), {}
    for i, place in enumerate(places):
        name = table.classes[place]
        print(f"class {name}:", flush=True)
        own = options._replace(workdir=options.workdir / CLASSES / str(place))
        apart[name] = run(rows_of_class(table, place), own, figures=False)
        left = _to_come(table, places[i + 1 :])
        whole = dataclasses.replace(
            whole, by_class=dict(apart), to_come=left, seconds=clock.seconds
        )
        answer.save(whole)
        write_report_of(whole, figures=False)
    kappa = max(rung.kappa for each in apart.values() for rung in each.rungs)
    told = one_hot(table)
    effort = EFFORTS[options.effort]
    cvae = _train(CVAE, effort.second or effort.first, (kappa,), x, told, options)
    counts = counts_by_class(cvae, x, told, table)
    found = {
        name: dataclasses.replace(each, estimates=(*each.estimates, counts[name]))
        for name, each in apart.items()
    }
    return dataclasses.replace(whole, by_class=found, to_come=(), seconds=clock.seconds)
