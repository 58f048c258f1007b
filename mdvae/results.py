"""From an evaluation to the rows of results.csv, spectra.csv and blocks.csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvae import rundir
from mdvae.analysis.dims import active_dimensions, count_intervals, largest_gap
from mdvae.analysis.estimates import add_estimates
from mdvae.config import SweepConfig
from mdvae.ensemble import Run
from mdvae.grid import make_cells
from mdvae.loading import load_run
from mdvae.methods import Evaluation
from mdvae.objective import to_paper_units


def of_run(run: Run, evaluation: Evaluation, i: int) -> list[Evaluation]:
    """The evaluation of run i on each part of its data; without padding of kappa."""
    kappa = run.cell.kappa

    def cut(name: str, leaf: np.ndarray) -> np.ndarray:
        widths = {"ratios": kappa, "ratio_blocks": kappa, "ad_fractions": kappa + 1}
        return leaf[: widths[name]] if name in widths else leaf

    found: list[Evaluation] = []
    for k in range(len(run.cell.parts)):
        leaves: dict[str, Any] = {
            name: cut(name, np.asarray(leaf)[i, k]) for name, leaf in evaluation._asdict().items()
        }
        found.append(Evaluation(**leaves))
    return found


def mean_of(parts: Sequence[Evaluation]) -> Evaluation:
    """The mean over parts of the data, each as often as the others."""
    leaves: list[Any] = [np.mean(values, axis=0) for values in zip(*parts, strict=True)]
    return Evaluation(*leaves)


def evaluation_columns(found: Evaluation, config: SweepConfig) -> rundir.Row:
    """The columns that an evaluation fills, over one manifold or one part of the data."""
    nelbo, recon, kl = (float(value) for value in (found.nelbo, found.recon, found.kl))
    finite = bool(np.isfinite(nelbo) and np.all(np.isfinite(found.ratios)))
    gap = largest_gap(np.asarray(found.ratios), config.ad_min_gap)
    ends = gap_ends = None
    if finite:
        blocks = np.asarray(found.ratio_blocks)
        ends, gap_ends = count_intervals(blocks, config.ad_threshold, config.ad_min_gap)
    ad = active_dimensions(np.asarray(found.ratios), config.ad_threshold)
    return {
        "status": "ok" if finite else "diverged",
        "steps": config.steps,
        "ad": ad if finite else None,
        "ad_gap": gap.ad,
        "nelbo": nelbo,
        "recon": recon,
        "kl": kl,
        "gamma": float(np.exp(np.float64(found.log_gamma))),
        "neg_elbo_paper_units": to_paper_units(nelbo),
        "kl_paper_units": to_paper_units(kl),
        **{f"ad_{end}": ends[k] if ends else None for k, end in enumerate(("low", "high"))},
        **{
            f"ad_gap_{end}": gap_ends[k] if gap_ends else None
            for k, end in enumerate(("low", "high"))
        },
        "gap_low": gap.low,
        "gap_high": gap.high,
    }


COUNTS = ("ad", "ad_gap", "ad_low", "ad_high", "ad_gap_low", "ad_gap_high", "gap_low", "gap_high")


def _coordinates(run: Run) -> rundir.Row:
    cell = run.cell
    return {
        "cell": cell.name,
        "seed": run.seed,
        "kappa": cell.kappa,
        "d": cell.d,
        "r": cell.r,
        "t": cell.t,
    }


def result_row(run: Run, parts: Sequence[Evaluation], config: SweepConfig) -> rundir.Row:
    """One row of results.csv.

    Where the data have several parts the losses are means over them, and the counts, which differ
    between them, are left to parts.csv.
    """
    cell = run.cell
    row = evaluation_columns(mean_of(parts), config)
    if len(parts) > 1:
        row |= dict.fromkeys(COUNTS)
    return {
        **_coordinates(run),
        **row,
        "parts": len(parts),
        "sigma": cell.sigma,
        "log_gamma": cell.log_gamma,
        "expected_ad": cell.expected_ad,
        "ad_threshold": config.ad_threshold,
    }


def part_rows(run: Run, parts: Sequence[Evaluation], config: SweepConfig) -> list[rundir.Row]:
    """The rows of parts.csv: one per part of the data."""
    return [
        {
            **_coordinates(run),
            "part": part.value,
            "expected_ad": part.expected_ad,
            **evaluation_columns(found, config),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
    ]


def count_rows(run: Run, parts: Sequence[Evaluation]) -> list[rundir.Row]:
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
        for active, fraction in enumerate(np.asarray(found.ad_fractions))
        if fraction > 0 or not np.isfinite(fraction)
    ]


def save_results(
    path: Path, runs: Sequence[Run], evaluation: Evaluation, config: SweepConfig
) -> list[rundir.Row]:
    """Adds a slice's rows to results.csv, spectra.csv, blocks.csv, counts.csv and parts.csv.

    Rows of the same runs are replaced.

    Returns:
        The new rows of results.csv, without the estimates that need more than one run.
    """
    mine = {(run.cell.name, run.seed) for run in runs}
    order = {cell.name: i for i, cell in enumerate(make_cells(config))}

    def merged(name: str, new: list[rundir.Row]) -> list[rundir.Row]:
        columns = set(new[0])
        old = [
            row for row in rundir.read_csv(path / name) if (row["cell"], row["seed"]) not in mine
        ]
        old = [{k: v for k, v in row.items() if k in columns} for row in old]
        return sorted(old + new, key=lambda row: (order[row["cell"]], row["seed"]))

    found = [of_run(run, evaluation, i) for i, run in enumerate(runs)]
    results = [result_row(run, parts, config) for run, parts in zip(runs, found, strict=True)]
    means = [(run, mean_of(parts)) for run, parts in zip(runs, found, strict=True)]
    spectra = [
        {
            "cell": run.cell.name,
            "seed": run.seed,
            "part": part.value,
            "latent": k,
            "ratio": float(ratio),
        }
        for run, evaluations in zip(runs, found, strict=True)
        for part, own in zip(run.cell.parts, evaluations, strict=True)
        for k, ratio in enumerate(np.asarray(own.ratios))
    ]
    blocks = [
        {"cell": run.cell.name, "seed": run.seed, "nelbo": float(nelbo), "recon": float(recon)}
        for run, mean in means
        for nelbo, recon in zip(mean.nelbo_blocks, mean.recon_blocks, strict=True)
    ]
    pairs = list(zip(runs, found, strict=True))
    by_part = [row for run, parts in pairs for row in part_rows(run, parts, config)]
    counts = [row for run, parts in pairs for row in count_rows(run, parts)]
    rundir.write_csv(path / rundir.SPECTRA, merged(rundir.SPECTRA, spectra))
    rundir.write_csv(path / rundir.BLOCKS, merged(rundir.BLOCKS, blocks))
    rundir.write_csv(path / rundir.COUNTS, merged(rundir.COUNTS, counts))
    if len(by_part) > len(runs):
        rundir.write_csv(path / rundir.PARTS, merged(rundir.PARTS, by_part))
    # Ladders span cells, so a new slice may complete the estimates of an older one.
    run = load_run(path)
    rows = add_estimates(
        merged(rundir.RESULTS, results),
        run.nelbo_metrics,
        run.blocks,
        run.mean_spectra,
        config.ad_threshold,
        config.ad_min_gap,
    )
    rundir.write_csv(path / rundir.RESULTS, rows)
    return results
