"""How much training the right answer takes: a config's cells, trained for parts of its steps.

A schedule has to end, so that a run cannot be read off on its way: each budget is a sweep of its
own, in a run directory of its own.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mdvae.analysis.statistics import fraction_interval
from mdvae.analysis.summary import summarise
from mdvae.analysis.theory import expected_ad
from mdvae.benchmark.answer_figure import draw_answer
from mdvae.benchmark.answer_tables import RULES, make_report
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, make_cells
from mdvae.settings.sweep import SweepConfig
from mdvae.store.loading import TrainSweep
from mdvae.store.rundir import Row, write_atomic, write_csv

RESULTS, REPORT, FIGURE = "answer.csv", "answer.md", "answer.png"
BUDGETS = (0.1, 0.2, 0.4, 0.7, 1.0)


class AnswerPlan(NamedTuple):
    """What is run: a config's cells for each of some numbers of steps, below a folder."""

    config: SweepConfig
    steps: tuple[int, ...]
    workdir: Path


def make_plan(config: SweepConfig, budgets: Sequence[str], workdir: Path) -> AnswerPlan:
    """Checks what is asked for.

    Args:
        budgets: parts of the config's steps, as text.

    Raises:
        ConfigError: where a budget is no such part, or no cell has a truth to be right about.
    """
    steps = set()
    for text in budgets:
        try:
            part = float(text)
        except ValueError:
            part = math.nan
        if not 0.0 < part <= 1.0:
            raise ConfigError(
                f"--budgets: {text!r} is not usable; it must be parts of the config's steps, above"
                " 0 and up to 1, such as 0.1,0.3,1"
            )
        steps.add(max(1, round(part * config.steps)))
    cells = make_cells(config)
    if len({cell.batch_size for cell in cells}) > 1:
        raise ConfigError(
            f"--config: batch_size of {config.name} is an axis, so that steps are no measure of"
            " samples; give one batch_size"
        )
    if all(expected_ad(cell) is None for cell in cells):
        raise ConfigError(
            f"--config: {config.name} has no cell whose dimension is known; give one that has, such"
            " as configs/table1.py"
        )
    return AnswerPlan(config, tuple(sorted(steps)), workdir)


def _of_budget(plan: AnswerPlan, steps: int, train: TrainSweep) -> list[Row]:
    """The rows of one budget, by cell."""
    # An epoch is a number of steps; these have one already. Stages say nothing of a cell's count,
    # and a budget is what all runs take.
    config = dataclasses.replace(plan.config, steps=steps, epochs=0, stages={}, done_nats=0.0)
    run = train(config, plan.workdir / f"steps_{steps}")
    seconds = sum(entry["seconds"] for entry in run.manifest["slices"])
    cells = {cell.name: cell for cell in run.cells}
    return [
        _row(cells[found["cell"]], found, steps, seconds, seconds / len(run.results))
        for found in summarise(run)
        if found["expected_ad"] is not None and not math.isnan(found["ad_correct"])
    ]


def _row(cell: Cell, found: Row, steps: int, seconds: float, each: float) -> Row:
    """A cell at a budget; `found` is its row of a summary."""
    row: Row = {
        **{name: found[name] for name in ("cell", "kappa", "d", "r", "in_theorem", "expected_ad")},
        "ad_threshold": cell.analysis.ad_threshold,
        "steps": steps,
        "samples": steps * cell.batch_size,
        "seconds": round(seconds, 3),
        "seconds_per_run": round(each, 3),
        "runs": found["runs"],
    }
    for rule in RULES:
        hits = round(found["runs"] * found[f"{rule}_correct"])
        interval = fraction_interval(hits, found["runs"])
        row |= {rule: hits, f"{rule}_low": interval.low, f"{rule}_high": interval.high}
    for word in ("mean", "low", "high"):
        row[f"neg_elbo_paper_units_{word}"] = found.get(f"neg_elbo_paper_units_{word}")
    return row


def run_answer(plan: AnswerPlan, train: TrainSweep) -> list[Row]:
    """Trains every budget that is not trained yet, prints the tables, and writes them.

    In the plan's folder: answer.csv, a row per budget and cell; answer.md, the tables; answer.png;
    and each budget's run directory.

    Args:
        train: trains a sweep in a folder, or what is left of it.

    Returns:
        The rows: cell, kappa, d, r, in_theorem, expected_ad, ad_threshold, steps, samples (of a
        run), seconds (of training all runs), seconds_per_run (their mean), runs; how many are right
        by each rule of `answer_tables.RULES`, with `_low` and `_high` of the fraction's 95 %
        interval; and `neg_elbo_paper_units_mean`, `_low` and `_high`.

    Raises:
        ConfigError: where no method of the config counts dimensions.
    """
    rows: list[Row] = []
    for i, steps in enumerate(plan.steps):
        print(f"budget {i + 1}/{len(plan.steps)}: {steps:,} steps", flush=True)
        rows += _of_budget(plan, steps, train)
        if not rows:
            raise ConfigError(
                f"--config: the methods of {plan.config.name} count no dimensions; give a config"
                " whose methods do"
            )
        # After each, so that something is there to be looked at.
        write_csv(plan.workdir / RESULTS, rows)
    text = make_report(rows, {cell.name: cell for cell in make_cells(plan.config)})
    write_atomic(plan.workdir / REPORT, text)
    print("\n" + text)
    draw_answer(rows, plan.workdir / FIGURE)
    print(f"tables and figure: {plan.workdir}")
    return rows
