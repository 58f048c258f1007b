"""Runs an estimator on data sets of known dimension, one row of truth.csv after another."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdvae.benchmark.plan import duration
from mdvae.benchmark.truth_data import Case, draw_case, rows_of
from mdvae.benchmark.truth_figure import draw_truth
from mdvae.benchmark.truth_tables import ESTIMATE, make_report, summarise
from mdvae.settings.fields import ConfigError
from mdvae.store.rundir import Row, format_value, read_csv, write_atomic, write_csv

RESULTS, SUMMARY, REPORT = "truth.csv", "truth_summary.csv", "truth.md"
FIGURE, FITS = "truth.png", "fits"


class Found(NamedTuple):
    """What an estimator says of one data set.

    Attributes:
        dimension: its answer.
        low, high: the interval that it gives; nan where it gives none.
        verdict: its answer in words.
        doubts: whether it says of itself that it is not to be trusted.
        estimates: those of other estimators, by name; nan where one has none.
        seconds: that it took.
    """

    dimension: int
    low: float
    high: float
    verdict: str
    doubts: bool
    estimates: dict[str, float]
    seconds: float


# estimate(x, seed, workdir): of rows [n, d], with a folder that is its own.
Estimator = Callable[[np.ndarray, int, Path], Found]


class Plan(NamedTuple):
    """What is run.

    Attributes:
        cases: the kinds of data.
        n: rows of each, where a case does not fix them.
        draws: of each case.
        effort: what the estimator is called in truth.csv; rows of another one are not its own.
        workdir: where results go.
    """

    cases: Sequence[Case]
    n: int
    draws: Sequence[int]
    effort: str
    workdir: Path


Key = tuple[str, int, int, str]


def _key(row: Mapping[str, object]) -> Key:
    return str(row["case"]), int(str(row["n"])), int(str(row["draw"])), str(row["effort"])


def read_results(file: Path) -> list[Row]:
    """Rows of a truth.csv; a last line that a kill cut short is taken off the file.

    Raises:
        ConfigError: where it is the table of something else.
    """
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        write_atomic(file, text)
    rows = read_csv(file)
    needed = {"case", "n", "draw", "effort", "dimension"}
    if rows and not needed <= rows[0].keys():
        raise ConfigError(
            f"--workdir: {file} is not a table of this benchmark; give another folder"
        )
    return rows


def _append(file: Path, row: Row, rows: Sequence[Row]) -> None:
    """Adds a row to a table that holds `rows`."""
    known = list(dict.fromkeys(name for each in rows for name in each))
    if not rows or any(name not in known for name in row):
        write_csv(file, [*rows, row])
        return
    line = io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow([format_value(row.get(name)) for name in known])
    with open(file, "a", encoding="utf-8", newline="") as table:
        table.write(line.getvalue())


def _row(case: Case, n: int, draw: int, effort: str, found: Found) -> Row:
    return {
        "case": case.name,
        "family": case.family,
        "n": n,
        "draw": draw,
        "effort": effort,
        "truth": case.dimension,
        "dimension": int(found.dimension),
        "low": float(found.low),
        "high": float(found.high),
        # A row is a line, so that half of one can be told.
        "verdict": " ".join(found.verdict.split()),
        "doubts": int(found.doubts),
        "seconds": float(found.seconds),
        **{ESTIMATE + name: float(value) for name, value in found.estimates.items()},
    }


def _progress(row: Row, done: int, total: int, spent: float, here: int) -> str:
    """The line of a data set; `here` were done in this process, in `spent` seconds."""
    left = spent / here * (total - done)
    doubt = ", in doubt" if row["doubts"] else ""
    return (
        f"truth: {done}/{total} {row['case']}, draw {row['draw']}: {row['dimension']} of"
        f" {row['truth']}{doubt}, {duration(row['seconds'])}; {duration(left)} left"
    )


def run_cases(plan: Plan, estimate: Estimator) -> list[Row]:
    """Estimates the dimension of every draw of every case that truth.csv does not have.

    All cases of a draw come before the next draw, so that half a run is half of the draws.

    Args:
        plan: what is run.
        estimate: takes rows [n, d], the draw as its seed, and a folder of its own below
            workdir/fits.

    Returns:
        The rows of truth.csv that the plan asks for: case, family, n, draw, effort, truth,
        dimension, low, high, verdict, doubts (0 or 1), seconds, and `estimate_NAME` of each other
        estimator.

    Raises:
        ConfigError: where the folder cannot be written or holds another table, where
            scikit-dimension is missing, or where the estimator refuses.
    """
    try:
        plan.workdir.mkdir(parents=True, exist_ok=True)
        file = plan.workdir / RESULTS
        rows = read_results(file)
    except OSError as error:
        raise ConfigError(
            f"--workdir: {plan.workdir} cannot be written ({error.strerror}); give a folder that"
            " can"
        ) from error
    asked = {
        (case.name, rows_of(case, plan.n), draw, plan.effort): case
        for draw in plan.draws
        for case in plan.cases
    }
    found = {_key(row): row for row in rows}
    done = sum(key in found for key in asked)
    started = time.monotonic()
    if done:
        print(f"truth: {done} of {len(asked)} data sets are in {file}", flush=True)
    here = 0
    for key, case in asked.items():
        if key in found:
            continue
        name, n, draw, effort = key
        x = draw_case(case, n, draw)
        answer = estimate(x, draw, plan.workdir / FITS / f"{name}-n{n}-draw{draw}-{effort}")
        row = _row(case, n, draw, effort, answer)
        _append(file, row, rows)
        rows.append(row)
        found[key] = row
        here += 1
        spent = time.monotonic() - started
        print(_progress(row, done + here, len(asked), spent, here), flush=True)
    # From the file, so that a run in one go and one that was resumed give the same numbers.
    written = {_key(row): row for row in read_results(file)}
    return [written[key] for key in asked]


def run_truth(plan: Plan, estimate: Estimator) -> list[Row]:
    """The benchmark of known truths: runs it, prints its tables, and writes them and the figure.

    In the plan's folder: truth.csv, a row per data set; truth_summary.csv, a row per estimator for
    each family and each case; truth.md, the tables that are printed; truth.png.

    Args:
        plan: what is run.
        estimate: as of `run_cases`.

    Returns:
        As `run_cases`.

    Raises:
        ConfigError: as `run_cases`.
    """
    rows = run_cases(plan, estimate)
    order = [case.name for case in plan.cases]
    rows.sort(key=lambda row: (order.index(row["case"]), row["draw"]))
    write_csv(plan.workdir / SUMMARY, [_flat(each) for each in summarise(rows)])
    text = make_report(rows)
    write_atomic(plan.workdir / REPORT, text)
    print("\n" + text)
    draw_truth(rows, plan.workdir / FIGURE)
    print(f"tables and figure: {plan.workdir}")
    return rows


def _flat(row: Row) -> Row:
    """A row of the summary whose intervals have columns of their own."""
    flat: Row = {}
    for name, value in row.items():
        if not isinstance(value, tuple):
            flat[name] = value
            continue
        hits, interval = value
        flat |= {
            name: hits,
            f"{name}_of": interval.n,
            f"{name}_low": interval.low if interval.n else math.nan,
            f"{name}_high": interval.high if interval.n else math.nan,
        }
    return flat
