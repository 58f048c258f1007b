"""From an evaluation to the rows of results.csv, parts.csv, spectra.csv, blocks.csv, counts.csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.dims import active_dimensions, count_intervals, largest_gap
from mdvae.analysis.estimates import add_estimates
from mdvae.methods.objective import to_paper_units
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Run, make_cells
from mdvae.store import rundir
from mdvae.store.loading import load_run
from mdvae.store.rundir import Row

# Scores over latents, and how many more entries than latents they have.
OVER_LATENTS = {"ratio": 0, "active": 1}
# Losses lead; other scores follow by name.
LOSSES = ("nelbo", "recon", "kl")
COUNTED = ("ad", "ad_gap", "ad_low", "ad_high", "ad_gap_low", "ad_gap_high", "gap_low", "gap_high")


class RunScores(NamedTuple):
    """An evaluation of one run on one part of its data, by the names of `Method.score`.

    Attributes:
        means: over samples.
        blocks: [..., blocks], over blocks of samples.
    """

    means: dict[str, np.ndarray]
    blocks: dict[str, np.ndarray]


def of_run(run: Run, evaluation: Any, i: int) -> list[RunScores]:
    """The scores of run i on each part of its data, without padding of latents.

    Args:
        evaluation: means and blocks by name, [runs, parts of data, ...].
    """

    def cut(name: str, values: np.ndarray) -> np.ndarray:
        if name in OVER_LATENTS:
            return values[: run.cell.sizes.kappa + OVER_LATENTS[name]]
        return values

    return [
        RunScores(
            *(
                {name: cut(name, np.asarray(values)[i, k]) for name, values in found.items()}
                for found in (evaluation.means, evaluation.blocks)
            )
        )
        for k in range(len(run.cell.parts))
    ]


def mean_of(parts: Sequence[RunScores]) -> RunScores:
    """The mean over parts of the data, each as often as the others."""

    def mean(found: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}

    return RunScores(mean([part.means for part in parts]), mean([part.blocks for part in parts]))


def _losses(found: RunScores) -> dict[str, float]:
    """Scores of one number, in order; log gamma is told as gamma, after them."""
    plain = {name: float(v) for name, v in found.means.items() if np.ndim(v) == 0}
    log_gamma = plain.pop("log_gamma", None)
    names = [name for name in LOSSES if name in plain] + sorted(set(plain) - set(LOSSES))
    losses = {name: plain[name] for name in names}
    if log_gamma is not None:
        losses["gamma"] = float(np.exp(np.float64(log_gamma)))
    return losses


def score_columns(found: RunScores, config: SweepConfig) -> Row:
    """The columns that scores fill, over all of the data or one part of it.

    Counts of active dimensions are there where a method scores "ratio"; values in the papers' units
    where it scores "nelbo" and "kl".
    """
    losses = _losses(found)
    counted = "ratio" in found.means
    ratios = np.asarray(found.means.get("ratio", []))
    means = [value for name, value in losses.items() if name != "gamma"]
    finite = bool(np.all(np.isfinite(means)) and np.all(np.isfinite(ratios)))
    row: Row = {"status": "ok" if finite else "diverged", "steps": config.steps}
    analysis = config.analysis
    if counted:
        gap = largest_gap(ratios, analysis.ad_min_gap)
        ad = active_dimensions(ratios, analysis.ad_threshold)
        row |= {"ad": ad if finite else None, "ad_gap": gap.ad}
    row |= losses
    for name in ("nelbo", "kl"):
        if name in losses:
            title = "neg_elbo" if name == "nelbo" else name
            row[f"{title}_paper_units"] = to_paper_units(losses[name])
    if counted:
        ends = gap_ends = None
        if finite and "ratio" in found.blocks:
            blocks = np.asarray(found.blocks["ratio"])
            ends, gap_ends = count_intervals(blocks, analysis.ad_threshold, analysis.ad_min_gap)
        for k, end in enumerate(("low", "high")):
            row[f"ad_{end}"] = ends[k] if ends else None
        for k, end in enumerate(("low", "high")):
            row[f"ad_gap_{end}"] = gap_ends[k] if gap_ends else None
        row |= {"gap_low": gap.low, "gap_high": gap.high}
    return row


def coordinates(cell: Cell) -> Row:
    """What tells a cell from others, at the head of every row; r and t of data with a truth."""
    return {
        "cell": cell.name,
        "kappa": cell.sizes.kappa,
        "d": cell.sizes.d,
        "r": theory.manifold_dimension(cell),
        "t": theory.told_dimensions(cell),
    }


def _of_run(run: Run) -> Row:
    place = coordinates(run.cell)
    return {"cell": place.pop("cell"), "seed": run.seed, **place}


def result_row(run: Run, parts: Sequence[RunScores], config: SweepConfig) -> Row:
    """One row of results.csv.

    Where the data have several parts the losses are means over them, and the counts, which differ
    between them, are left to parts.csv.
    """
    cell = run.cell
    row = score_columns(mean_of(parts), config)
    if len(parts) > 1:
        row |= {name: None for name in COUNTED if name in row}
    row = {**_of_run(run), **row, "parts": len(parts)}
    row["sigma"], row["log_gamma"] = cell.value("sigma"), cell.value("log_gamma")
    row["expected_ad"] = theory.expected_ad(cell)
    if "ad" in row:
        row["ad_threshold"] = config.analysis.ad_threshold
    return row


def result_rows_by_part(run: Run, parts: Sequence[RunScores], config: SweepConfig) -> list[Row]:
    """The rows of parts.csv: one per part of the data."""
    return [
        {
            **_of_run(run),
            "part": part.value,
            "expected_ad": theory.expected_of_part(run.cell, part),
            **score_columns(found, config),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
    ]


def _count_rows(run: Run, parts: Sequence[RunScores]) -> list[Row]:
    """The rows of counts.csv: how often a sample has so many active dimensions."""
    return [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "part": part.value,
            "active": active,
            "fraction": float(fraction),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
        for active, fraction in enumerate(np.asarray(found.means.get("active", [])))
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
    path: Path, runs: Sequence[Run], evaluation: Any, config: SweepConfig
) -> list[Row]:
    """Adds the rows of some runs to the files of results; rows of the same runs are replaced.

    Returns:
        The new rows of results.csv, without the estimates that need more than one run.
    """
    mine = {(run.cell.name, run.seed) for run in runs}
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
    results = [result_row(run, parts, config) for run, parts in scored]
    files = {
        rundir.SPECTRA: [row for pair in scored for row in _spectrum_rows(*pair)],
        rundir.BLOCKS: [row for pair in scored for row in _block_rows(*pair)],
        rundir.SAMPLE_COUNTS: [row for pair in scored for row in _count_rows(*pair)],
    }
    if any(len(cell.parts) > 1 for cell in cells):
        files[rundir.PARTS] = [
            row for run, parts in scored for row in result_rows_by_part(run, parts, config)
        ]
    for name, rows in files.items():
        if rows:
            rundir.write_csv(path / name, merged(name, rows))
    # Ladders span cells, so a new slice may complete the estimates of an older one.
    run = load_run(path)
    rows = add_estimates(
        merged(rundir.RESULTS, results),
        run.nelbo_metrics,
        run.blocks,
        run.mean_spectra,
        theory.ladders(cells),
        config.analysis.ad_threshold,
        config.analysis.ad_min_gap,
    )
    rundir.write_csv(path / rundir.RESULTS, rows)
    return results
