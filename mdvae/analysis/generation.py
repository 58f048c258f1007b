"""What trained models generate against held-out samples of their data, and their codes.

Each source of samples is compared with the same held-out samples:

- model: z of the prior, decoded;
- reconstruction: held-out x, through a draw of z from its posterior and back: what the model would
  generate if the aggregate posterior of its latents were its prior;
- data: other samples of the data themselves, the least that can be told apart.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis.codes import off_diagonal
from mdvae.analysis.measuring import (
    DRAWS,
    GENERATED,
    TRUTH,
    Measurement,
    extractors_of,
    measure_missing,
    measured_with,
    rows_of_run,
)
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, make_cells
from mdvae.settings.registry import DATA
from mdvae.store.loading import LoadedRun, load_run
from mdvae.store.posteriors import draw_posterior
from mdvae.store.rundir import Row

CODES = "codes.csv"
MODEL, RECONSTRUCTION = "model", "reconstruction"
SOURCES = (MODEL, RECONSTRUCTION, TRUTH)
# Latents that covariances of codes are of.
ACTIVE, ALL = "active", "all"


def is_compared(config: SweepConfig) -> bool:
    """Whether samples of a sweep that is no second stage are wanted to be compared."""
    return getattr(config.analysis, "compare", False)


def check_comparable(config: SweepConfig) -> None:
    """Refuses to compare samples of models whose samples are no single ones.

    Raises:
        ConfigError: where `analysis.compare` is set for sequences.
    """
    for cell in make_cells(config) if is_compared(config) else ():
        if cell.sizes.points:
            raise ConfigError(
                f"analysis.compare: True is not usable with {cell.name}, which is of sequences; it"
                " must be False"
            )


class HeldOut(NamedTuple):
    """Samples of a run's data, as many of each.

    Where the law of the data is known all are independent; of real data, of which there is one
    held-out set, `given` is the reference itself, and `other` are training samples.

    Attributes:
        reference: [n, ...], with which all sources are compared.
        given: those of which models are given posteriors.
        told: their conditions, [n, ...]; None where the model is told none.
        other: the source "data".
    """

    reference: np.ndarray
    given: np.ndarray
    told: np.ndarray | None
    other: np.ndarray


def held_out(run: LoadedRun, cell: Cell, seed: int, n: int) -> HeldOut:
    """Up to n samples of each, as many as the data have."""
    if DATA.find(cell.data.kind).traced:
        x, c = run.batch(cell, seed, 3 * n)
        reference, given, other = x[:n], x[n : 2 * n], x[2 * n :]
        told = None if c is None else c[n : 2 * n]
    else:
        x, c = run.batch(cell, seed, n)
        reference = given = x[:n]
        told = None if c is None else c[:n]
        other = run.samples(cell, seed, len(reference), "train")[: len(reference)]
    return HeldOut(reference, given, told if cell.sizes.c else None, other)


def sources_of(
    run: LoadedRun, cell: Cell, seed: int, n: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Held-out samples of the data, and as many of each source, [n, ...]; see `held_out`.

    A model that is told conditions generates given those of the samples that it reconstructs.
    """
    found, model = held_out(run, cell, seed, n), run.model(cell, seed)
    z = draw_posterior(model, found.given, found.told)
    return found.reference, {
        MODEL: model.generate(len(found.reference), found.told),
        RECONSTRUCTION: model.decode(z, found.told),
        TRUTH: found.other,
    }


def distances(run: LoadedRun, cell: Cell, seed: int) -> list[Row]:
    """Distances of all sources of a run from held-out data, a row each."""
    settings: Any = run.config.analysis
    return rows_of_run(
        cell,
        settings,
        (cell.name, seed),
        lambda: sources_of(run, cell, seed, settings.generated),
    )


def active_latents(run: LoadedRun, cell: Cell, seed: int) -> np.ndarray:
    """Which latents of a run are in use, [kappa] of bool, by the rule of the threshold.

    All where the run has no ratios by latent: its method has none, or of a full covariance.
    """
    ratios = run.mean_spectra.get((cell.name, seed))
    if ratios is None or cell.value("covariance") == "full":
        return np.ones(cell.sizes.kappa, bool)
    return ratios < run.config.analysis.ad_threshold


def code_covariances(run: LoadedRun, cell: Cell, seed: int) -> list[Row]:
    """Off-diagonal covariance of held-out posterior means, over active latents and over all.

    Returns:
        Rows of cell, seed, over, latents, n, mean_abs_cov with its low and high, mean_cov; those of
        fewer than two latents are nan.
    """
    found = held_out(run, cell, seed, run.config.analysis.generated)
    codes, _ = run.model(cell, seed).encode(found.given, found.told)
    active = active_latents(run, cell, seed)
    rows = []
    for over, chosen in ((ACTIVE, active), (ALL, np.ones_like(active))):
        mean_abs, mean = off_diagonal(codes[:, chosen], DRAWS, np.random.default_rng(seed))
        row: Row = {"cell": cell.name, "seed": seed, "over": over, "latents": int(chosen.sum())}
        row |= {"n": len(codes), "mean_abs_cov": mean_abs.value}
        row |= {"low": mean_abs.low, "high": mean_abs.high, "mean_cov": mean}
        rows.append(row)
    return rows


def measure_run(path: Path) -> None:
    """Measures the finished runs of a sweep that were not measured yet; see `measure_missing`.

    Rows go to generated.csv and codes.csv.

    Raises:
        ConfigError: where the weights of Inception cannot be used, or a checkpoint is missing.
    """
    run = load_run(path)
    settings: Any = run.config.analysis
    active = f"active below {settings.ad_threshold:g}"
    measure_missing(
        run,
        [
            Measurement(
                GENERATED,
                measured_with(settings),
                lambda name, seed: distances(run, run.cell(name), seed),
                lambda name: extractors_of(run.cell(name), settings.inception) != (),
            ),
            Measurement(
                CODES,
                f"{settings.generated} samples, {active}",
                lambda name, seed: code_covariances(run, run.cell(name), seed),
            ),
        ],
    )
