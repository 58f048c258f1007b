"""How far what two stages generate is from the data: distances with intervals, run by run.

Each source of samples is compared with the same held-out samples of the data:

- one stage: the first VAE alone, from N(0, I);
- two stages: TwoStage;
- aggregate posterior: z ~ q(z | x) of held-out x, which a perfect second stage would generate;
- data: other samples of the data themselves, the least that can be told apart.

Sweeps that are no second stage are measured by `mdvae.analysis.generation`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis.generation import held_out, is_compared, measure_run
from mdvae.analysis.measuring import (
    GENERATED,
    TRUTH,
    Measurement,
    extractors_of,
    measure_missing,
    measured_with,
    rows_of_run,
)
from mdvae.settings.grid import Cell
from mdvae.settings.registry import ANALYSES
from mdvae.stages.pipeline import Stages, load_stages
from mdvae.stages.plan import LATENTS
from mdvae.store.rundir import Row, read_config

SINGULAR = "singular_values.csv"
ONE, TWO, AGGREGATE = "one stage", "two stages", "aggregate posterior"
SOURCES = (ONE, TWO, AGGREGATE, TRUTH)
FIRST_LATENTS, SECOND_LATENTS, NORMAL = "first stage", "second stage", "normal"


def _first_cell(stages: Stages, cell: str) -> Cell:
    """The cell of the first stage that a cell of the second is of."""
    return stages.first.cell(stages.second.cell(cell).data.cell)


def sources_of(
    stages: Stages, cell: str, seed: int, n: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Held-out samples of the data, and as many of each source, [n, ...]; see `held_out`.

    Of real data the aggregate posterior is that of the held-out samples themselves.
    """
    pair = stages.pair(cell, seed)
    found = held_out(stages.first, _first_cell(stages, cell), seed, n)
    n = len(found.reference)
    return found.reference, {
        ONE: pair.generate_first(n),
        TWO: pair.generate(n),
        AGGREGATE: pair.reconstruct(found.given),
        TRUTH: found.other,
    }


def measured(stages: Stages, cell: str, seed: int) -> list[Row]:
    """Distances of all sources of a run from held-out data, a row each."""
    settings: Any = stages.second.config.analysis
    return rows_of_run(
        _first_cell(stages, cell),
        settings,
        (cell, seed),
        lambda: sources_of(stages, cell, seed, settings.generated),
    )


def singular_values(stages: Stages, cell: str, seed: int) -> list[Row]:
    """Singular values of matrices of latents, over the root of their rows, largest first.

    Of the first stage's z, the second stage's u, and as many normal ones: Figure 1 (right) of
    TwoStage. Latents are drawn from the posteriors of held-out samples.
    """
    n = stages.second.config.analysis.generated
    pair, held_out = stages.pair(cell, seed), stages.second.samples(cell, seed, n)
    mean, logvar = pair.second.encode(held_out)
    generator = np.random.default_rng(seed)
    u = mean + np.exp(0.5 * logvar) * generator.standard_normal(mean.shape)
    of_source = {
        FIRST_LATENTS: held_out,
        SECOND_LATENTS: u,
        NORMAL: generator.standard_normal(held_out.shape),
    }
    return [
        {"cell": cell, "seed": seed, "source": source, "place": place, "value": float(value)}
        for source, rows in of_source.items()
        for place, value in enumerate(
            np.linalg.svd(np.asarray(rows, np.float64), compute_uv=False) / np.sqrt(len(rows)), 1
        )
    ]


def measure(path: Path) -> None:
    """Measures the finished runs of a second stage that were not measured yet.

    Rows go to generated.csv and singular_values.csv; see `measure_missing`.

    Raises:
        ConfigError: where the weights of Inception cannot be used, or a checkpoint is missing.
    """
    stages = load_stages(path)
    settings: Any = stages.second.config.analysis

    def can_be_compared(cell: str) -> bool:
        return extractors_of(_first_cell(stages, cell), settings.inception) != ()

    measure_missing(
        stages.second,
        [
            Measurement(
                SINGULAR,
                f"{settings.generated} samples",
                lambda cell, seed: singular_values(stages, cell, seed),
            ),
            Measurement(
                GENERATED,
                measured_with(settings),
                lambda cell, seed: measured(stages, cell, seed),
                can_be_compared,
            ),
        ],
    )


def measure_samples(path: Path) -> None:
    """Measures what is missing of a finished sweep.

    Samples of a second stage are compared, those of another sweep where `analysis.compare` says so;
    and whatever its kind of analysis has to measure.

    Raises:
        ConfigError: see `measure` and `measure_run`.
    """
    config = read_config(path)
    if config.data.kind == LATENTS:
        measure(path)
    elif is_compared(config):
        measure_run(path)
    own = ANALYSES.find(config.analysis.kind).measure
    if own is not None:
        own(path)
