"""From an evaluation to the files of results: results.csv, parts.csv and those of single scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.estimates import add_estimates, settled_lines
from mdvae.analysis.rows import (
    LOSSES,
    RunScores,
    Taken,
    mean_of,
    of_run,
    result_row,
    result_rows_by_part,
)
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Run, make_cells
from mdvae.store import rundir
from mdvae.store.loading import load_run
from mdvae.store.rundir import Row


def _fraction_rows(run: Run, parts: Sequence[RunScores], score: str, title: str) -> list[Row]:
    """Rows of counts.csv and resolvable.csv: how often a sample has so many of something.

    Args:
        score: fractions of samples that have 0, 1, ...
        title: of the column of how many.
    """
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "part": part.value,
            title: count,
            "fraction": float(fraction),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
        for count, fraction in enumerate(np.asarray(found.means.get(score, [])))
        if fraction > 0 or not np.isfinite(fraction)
    ]


def _spectrum_rows(run: Run, parts: Sequence[RunScores]) -> list[Row]:
    """The rows of spectra.csv: the mean variance ratio of each latent."""
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "part": part.value,
            "latent": k,
            "ratio": float(ratio),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
        for k, ratio in enumerate(np.asarray(found.means.get("ratio", [])))
    ]


def _block_rows(run: Run, parts: Sequence[RunScores]) -> list[Row]:
    """The rows of blocks.csv: scores of one number over blocks of evaluation samples."""
    blocks = mean_of(parts).blocks
    plain = sorted(name for name, values in blocks.items() if np.ndim(values) == 1)
    names = [*(n for n in LOSSES if n in plain), *(n for n in plain if n not in LOSSES)]
    columns = [np.asarray(blocks[name]) for name in names]
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            **{name: float(value) for name, value in zip(names, values, strict=True)},
        }
        for values in zip(*columns, strict=True)
    ]


def save_results(
    path: Path,
    runs: Sequence[Run],
    evaluation: Any,
    config: SweepConfig,
    taken: Sequence[int] | np.ndarray,
    due: Sequence[int] | np.ndarray,
) -> list[Row]:
    """Adds the rows of some runs to the files of results; rows of the same runs are replaced.

    Args:
        taken, due: steps of each run; see `rows.Taken`.

    Returns:
        The new rows of results.csv, without the estimates that need more than one run.
    """

    def key(run: Run) -> tuple[str, int]:
        return run.cell.name, run.seed

    mine = [key(run) for run in runs]
    cells = make_cells(config)
    order = {cell.name: i for i, cell in enumerate(cells)}

    def merged(name: str, new: list[Row]) -> list[Row]:
        # What `add_estimates` adds is computed anew.
        old = [
            {k: v for k, v in row.items() if k != "warnings" and not k.startswith("r_hat_")}
            for row in rundir.read_csv(path / name)
            if (row["cell"], row["seed"]) not in mine
        ]
        return sorted(old + new, key=lambda row: (order[row["cell"]], row["seed"]))

    scored = [(run, of_run(run, evaluation, i)) for i, run in enumerate(runs)]
    steps = {
        run: Taken(int(own), int(all_due))
        for run, own, all_due in zip(mine, taken, due, strict=True)
    }
    results = [result_row(run, parts, config, steps[key(run)]) for run, parts in scored]
    files = {
        rundir.SPECTRA: [row for pair in scored for row in _spectrum_rows(*pair)],
        rundir.BLOCKS: [row for pair in scored for row in _block_rows(*pair)],
        rundir.SAMPLE_COUNTS: [
            row for pair in scored for row in _fraction_rows(*pair, "active", "active")
        ],
        rundir.RESOLVABLE: [
            row for pair in scored for row in _fraction_rows(*pair, "resolvable", "dimensions")
        ],
    }
    if any(len(cell.parts) > 1 for cell in cells):
        files[rundir.PARTS] = [
            row
            for run, parts in scored
            for row in result_rows_by_part(run, parts, config, steps[key(run)])
        ]
    for name, rows in files.items():
        if rows:
            rundir.write_csv(path / name, merged(name, rows))
    # Ladders span cells, so a new slice may complete the estimates of an older one.
    run = load_run(path)
    rows = add_estimates(
        merged(rundir.RESULTS, results),
        settled_lines(run.metrics, cells, run.config.steps),
        run.mean_spectra,
        theory.ladders(cells),
        config.analysis.ad_threshold,
        config.analysis.ad_min_gap,
        bounded={cell.name for cell in cells if theory.is_bounded(cell)},
    )
    again = {(each["cell"], each["seed"]): each for each in run.manifest.get("runs", [])}
    if any("restarted_from" in each for each in again.values()):
        for row in rows:
            told = again.get((row["cell"], row["seed"]), {})
            row |= {name: told.get(name) for name in ("restarts", "restarted_from", "rate")}
    rundir.write_csv(path / rundir.RESULTS, rows)
    return results
