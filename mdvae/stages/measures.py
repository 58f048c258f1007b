"""How far what two stages generate is from the data: distances with intervals, run by run.

Each source of samples is compared with the same held-out samples of the data:

- one stage: the first VAE alone, from N(0, I);
- two stages: TwoStage;
- aggregate posterior: z ~ q(z | x) of held-out x, which a perfect second stage would generate;
- data: other samples of the data themselves, the least that can be told apart.

Vectors are compared as they are; images by features of a classifier, or of Inception.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis.distances import energy_distance, kid, mmd, precision_recall
from mdvae.analysis.frechet import Distance, frechet_interval
from mdvae.data.files import stamp
from mdvae.networks.features import Extractor, stretched
from mdvae.settings.fields import ConfigError
from mdvae.settings.registry import DATA
from mdvae.stages.pipeline import Stages, load_stages
from mdvae.store.extractors import classifier_extractor, inception_extractor
from mdvae.store.rundir import Row, read_csv, write_csv

GENERATED, SINGULAR = "generated.csv", "singular_values.csv"
ONE, TWO, AGGREGATE, TRUTH = "one stage", "two stages", "aggregate posterior", "data"
SOURCES = (ONE, TWO, AGGREGATE, TRUTH)
FIRST_LATENTS, SECOND_LATENTS, NORMAL = "first stage", "second stage", "normal"
# Settings of the analysis that distances depend on.
MEASURED_WITH = ("generated", "stretch", "inception")
# Of the bootstrap; of wide features, of which a draw takes seconds, few.
DRAWS, FEW_DRAWS, WIDE = 100, 10, 256


def sources_of(
    stages: Stages, cell: str, seed: int, n: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Held-out samples of the data, and as many of each source, [n, ...].

    Fewer where the data have no more. Where the law of the data is known all are independent;
    of real data the aggregate posterior is that of the held-out samples themselves.
    """
    pair, first = stages.pair(cell, seed), stages.first
    own = pair.first.cell
    if DATA.find(own.data.kind).traced:
        pool = first.samples(own, seed, 3 * n)
        reference, given, other = pool[:n], pool[n : 2 * n], pool[2 * n :]
    else:
        reference = given = first.samples(own, seed, n)[:n]
        other = first.samples(own, seed, len(reference), "train")[: len(reference)]
    n = len(reference)
    return reference, {
        ONE: pair.generate_first(n),
        TWO: pair.generate(n),
        AGGREGATE: pair.reconstruct(given),
        TRUTH: other,
    }


@functools.lru_cache(maxsize=4)
def _opened(dataset: str, inception: str, changed: int, size: int) -> tuple[Extractor, ...]:
    """What `extractors` gives, as long as the weights of Inception are not changed."""
    found = []
    try:
        found.append(classifier_extractor(dataset))
    except ConfigError as error:
        if not inception:
            print(f"warning: nothing to compare images by ({error}); set analysis.inception")
    if inception:
        found.append(inception_extractor(inception, "analysis.inception"))
    return tuple(found)


def extractors(dataset: str, inception: str) -> tuple[Extractor, ...]:
    """The features of images of a data set that there are; it is said where there are none.

    Args:
        inception: file with the weights of Inception; "" where there is none.

    Raises:
        ConfigError: where that cannot be used.
    """
    changed, size = stamp(Path(inception)) if inception else (0, 0)
    return _opened(dataset, inception, changed, size)


def _distances(
    reference: np.ndarray, samples: np.ndarray, generator: np.random.Generator, name: str
) -> Iterator[tuple[str, Distance]]:
    """Distances of features by name; `name` is that of the Frechet distance."""
    draws = FEW_DRAWS if reference.shape[1] > WIDE else DRAWS
    yield name, frechet_interval(reference, samples, draws, generator)
    suffix = "" if name == "FCD" else f" ({name})"
    yield f"KID{suffix}", kid(reference, samples, DRAWS, generator)
    found = precision_recall(reference, samples, DRAWS, generator)
    yield f"precision{suffix}", found.precision
    yield f"recall{suffix}", found.recall


def measured(stages: Stages, cell: str, seed: int) -> list[Row]:
    """Distances of all sources of a run from held-out data, a row each."""
    settings: Any = stages.second.config.analysis
    own: Any = stages.pair(cell, seed).first.cell
    taken = extractors(own.data.dataset, settings.inception) if own.sizes.shape else ()
    if own.sizes.shape and not taken:
        return []
    reference, samples = sources_of(stages, cell, seed, settings.generated)
    generator = np.random.default_rng(seed)
    rows: list[Row] = []

    def add(source: str, measure: str, found: Distance) -> None:
        told = {"cell": cell, "seed": seed, "source": source, "measure": measure}
        rows.append({**told, "n": len(reference), **found._asdict()})

    if not own.sizes.shape:
        for source, x in samples.items():
            add(source, "energy distance", energy_distance(reference, x, DRAWS, generator))
            add(source, "MMD", mmd(reference, x, DRAWS, generator))
        return rows
    for extractor in taken:
        real = extractor.features(reference)
        for source, x in samples.items():
            images = np.clip(x, 0.0, 1.0) if x.dtype != np.uint8 else x
            if settings.stretch and source != TRUTH:
                images = stretched(images)
            features = extractor.features(images)
            for measure, found in _distances(real, features, generator, extractor.name):
                add(source, measure, found)
    return rows


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


def _measured_with(stages: Stages) -> str:
    """Settings of the analysis that distances depend on, in words."""
    own: Any = stages.second.config.analysis
    words = [f"{own.generated} samples", *["stretched"] * own.stretch]
    return ", ".join([*words, *[own.inception] * bool(own.inception)])


def measure(path: Path) -> None:
    """Measures the runs of a finished second stage that were not measured yet.

    Rows go to generated.csv and singular_values.csv; a run whose loss is not finite has none.

    Raises:
        ConfigError: where the weights of Inception cannot be used.
    """
    stages = load_stages(path)
    wanted = _measured_with(stages)
    rows = [row for row in read_csv(path / GENERATED) if row["measured_with"] == wanted]
    spectra = read_csv(path / SINGULAR) if rows else []
    done = {(row["cell"], row["seed"]) for row in rows}
    runs = [
        (row["cell"], row["seed"])
        for row in stages.second.results
        if row["status"] == "ok" and (row["cell"], row["seed"]) not in done
    ]
    for place, (cell, seed) in enumerate(runs, 1):
        print(f"generating, {place} of {len(runs)}: {cell}, seed {seed} ...", flush=True)
        rows += [{**row, "measured_with": wanted} for row in measured(stages, cell, seed)]
        spectra = [row for row in spectra if (row["cell"], row["seed"]) != (cell, seed)]
        spectra += singular_values(stages, cell, seed)
        write_csv(path / SINGULAR, spectra)
        write_csv(path / GENERATED, rows)
