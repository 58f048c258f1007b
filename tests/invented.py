"""Run directories whose results are invented, for what reads them: nothing is trained."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.results import save_results
from mdvae.engine.evaluation import BLOCKS, Evaluation
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Run, make_cells, make_groups
from mdvae.store import rundir

METRICS = 12
# Encoder variance of an active latent over the prior's; of another it is almost 1.
ACTIVE = 2e-3
# Numbers of dimensions, more than any cell here has.
MOST = np.arange(40)


def _scores(cell: Cell, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Means and blocks by part of the data, as theory has them: [parts, ...]."""
    noise = np.random.default_rng([seed, len(cell.name)])
    kappa, d = cell.sizes.kappa, cell.sizes.d
    held = cell.value("log_gamma")
    log_gamma = -6.0 if held is None else held
    means: dict[str, list[Any]] = {}
    for part in cell.parts:
        left = theory.dimension_left(cell, part)
        left = 1 if left is None else left
        found = min(left, kappa)
        level = np.where(np.arange(kappa) < found, ACTIVE, 0.99)
        recon = np.exp(log_gamma) * (d if held is None else left)
        values = {
            "nelbo": 0.5 * (d - left) * log_gamma + 0.01 * noise.normal(),
            "recon": recon,
            "kl": -0.5 * left * log_gamma,
            "ratio": level * (1 - 0.01 * noise.uniform(size=kappa)),
            "active": (np.arange(kappa + 1) == found).astype(float),
            "log_gamma": log_gamma,
            # Three samples in four have all dimensions that are to be found, the others one less.
            "resolvable": 0.75 * (left == MOST) + 0.25 * (left - 1 == MOST),
            # Over all of them, one direction is not below the threshold in runs of odd seeds.
            "resolved_posterior": np.diag(np.where(MOST[1:] <= left - seed % 2, ACTIVE, 0.2)),
        }
        for name, value in values.items():
            means.setdefault(name, []).append(value)
    stacked = {name: np.array(values) for name, values in means.items()}
    wiggle = 1 + 1e-3 * noise.normal(size=BLOCKS)
    blocks = {name: stacked[name][..., None] * wiggle for name in ("nelbo", "recon", "ratio")}
    return stacked, blocks


def _metrics(run: Run, config: SweepConfig) -> list[dict[str, Any]]:
    """A loss that falls with log gamma by as much as theory says."""
    left = theory.dimension(run.cell) or 1.0
    held = run.cell.value("log_gamma")
    lines = []
    for i in range(METRICS):
        log_gamma = -0.5 * i if held is None else held
        lines.append(
            {
                "cell": run.cell.name,
                "seed": run.seed,
                "step": config.steps * (i + 1) // METRICS,
                "nelbo": 0.5 * (run.cell.sizes.d - left) * log_gamma,
                "recon": float(run.cell.sizes.d * np.exp(log_gamma)),
                "kl": 1.0,
                "log_gamma": log_gamma,
            }
        )
    return lines


def invented_run(config: SweepConfig, path: Path) -> Path:
    """A finished run directory in which each model has learned what theory expects of it."""
    path.mkdir(parents=True)
    rundir.write_config(path, config)
    seeds = range(config.seed, config.seed + config.seeds)
    cells = make_cells(config)
    slices = [
        {
            "group": i,
            "slice": 0,
            "status": "done",
            "step": config.steps,
            "seconds": 1.0,
            "held_bytes": 2**20,
            "runs": [[cell.name, seed] for seed in seeds for cell in group.cells],
        }
        for i, group in enumerate(make_groups(cells, config.group_by))
    ]
    rundir.write_manifest(path, {"status": "done", "slices": slices})
    for run in itertools.starmap(Run, itertools.product(cells, seeds)):
        rundir.append_metrics(path, _metrics(run, config))

    def shape(cell: Cell) -> tuple[int, int]:
        return len(cell.parts), cell.sizes.kappa

    for _, alike in itertools.groupby(sorted(cells, key=shape), shape):
        runs = [Run(cell, seed) for cell in alike for seed in seeds]
        scores = [_scores(*run) for run in runs]
        means, blocks = (
            {name: np.stack([each[kind][name] for each in scores]) for name in scores[0][kind]}
            for kind in (0, 1)
        )
        steps = [config.steps] * len(runs)
        save_results(path, runs, Evaluation(means, blocks), config, steps, steps)
    return path
