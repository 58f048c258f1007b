"""From an evaluation to the rows of results.csv, spectra.csv and blocks.csv."""

from collections.abc import Sequence
from pathlib import Path

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


def result_row(run: Run, evaluation: Evaluation, i: int, config: SweepConfig) -> rundir.Row:
    """One row of results.csv from row i of an evaluation."""
    cell = run.cell
    nelbo, recon, kl = (float(getattr(evaluation, name)[i]) for name in ("nelbo", "recon", "kl"))
    ratios = np.asarray(evaluation.ratios[i])[: cell.kappa]
    finite = bool(np.isfinite(nelbo) and np.all(np.isfinite(ratios)))
    gap = largest_gap(ratios, config.ad_min_gap)
    ends = gap_ends = None
    if finite:
        parts = np.asarray(evaluation.ratio_blocks[i])[: cell.kappa]
        ends, gap_ends = count_intervals(parts, config.ad_threshold, config.ad_min_gap)
    return {
        "cell": cell.name,
        "seed": run.seed,
        "kappa": cell.kappa,
        "d": cell.d,
        "r": cell.r,
        "t": cell.t,
        "status": "ok" if finite else "diverged",
        "steps": config.steps,
        "ad": active_dimensions(ratios, config.ad_threshold) if finite else None,
        "ad_gap": gap.ad,
        "nelbo": nelbo,
        "recon": recon,
        "kl": kl,
        "gamma": float(np.exp(np.float64(evaluation.log_gamma[i]))),
        "neg_elbo_paper_units": to_paper_units(nelbo),
        "kl_paper_units": to_paper_units(kl),
        **{f"ad_{end}": ends[k] if ends else None for k, end in enumerate(("low", "high"))},
        **{
            f"ad_gap_{end}": gap_ends[k] if gap_ends else None
            for k, end in enumerate(("low", "high"))
        },
        "sigma": cell.sigma,
        "log_gamma": cell.log_gamma,
        "expected_ad": cell.expected_ad,
        "ad_threshold": config.ad_threshold,
        "gap_low": gap.low,
        "gap_high": gap.high,
    }


def save_results(
    path: Path, runs: Sequence[Run], evaluation: Evaluation, config: SweepConfig
) -> list[rundir.Row]:
    """Adds a slice's rows to results.csv, spectra.csv and blocks.csv.

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

    results = [result_row(run, evaluation, i, config) for i, run in enumerate(runs)]
    spectra = [
        {"cell": run.cell.name, "seed": run.seed, "latent": k, "ratio": float(ratio)}
        for i, run in enumerate(runs)
        for k, ratio in enumerate(evaluation.ratios[i][: run.cell.kappa])
    ]
    blocks = [
        {"cell": run.cell.name, "seed": run.seed, "nelbo": float(nelbo), "recon": float(recon)}
        for i, run in enumerate(runs)
        for nelbo, recon in zip(evaluation.nelbo_blocks[i], evaluation.recon_blocks[i], strict=True)
    ]
    rundir.write_csv(path / rundir.SPECTRA, merged(rundir.SPECTRA, spectra))
    rundir.write_csv(path / rundir.BLOCKS, merged(rundir.BLOCKS, blocks))
    # Ladders span cells, so a new slice may complete the estimates of an older one.
    run = load_run(path)
    rows = add_estimates(
        merged(rundir.RESULTS, results),
        run.metrics,
        run.blocks,
        run.spectra,
        config.ad_threshold,
        config.ad_min_gap,
    )
    rundir.write_csv(path / rundir.RESULTS, rows)
    return results
