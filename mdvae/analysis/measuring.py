"""Distances of samples from held-out ones of the data, run by run: what all their sources share.

Vectors are compared as they are; images by features of a classifier, or of Inception. The sources
are those of `mdvae.analysis.generation`, and of a second stage those of `mdvae.stages.measures`.
"""

import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis.distances import energy_distance, kid, mmd, precision_recall
from mdvae.analysis.frechet import Distance, frechet_interval
from mdvae.data.files import stamp
from mdvae.networks.features import Extractor, stretched
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell
from mdvae.store.extractors import classifier_extractor, inception_extractor
from mdvae.store.loading import LoadedRun
from mdvae.store.opening import read_lines
from mdvae.store.rundir import Row, read_csv, write_csv

GENERATED = "generated.csv"
# The source of other samples of the data themselves, the least that can be told apart.
TRUTH = "data"
# Settings of the analysis that distances depend on.
MEASURED_WITH = ("generated", "stretch", "inception")
# Of the bootstrap; of wide features, of which a draw takes seconds, few.
DRAWS, FEW_DRAWS, WIDE = 100, 10, 256


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


def extractors_of(cell: Cell, inception: str) -> tuple[Extractor, ...] | None:
    """The features by which samples of a cell's data are compared; None of vectors as they are.

    Args:
        inception: see `extractors`.

    Raises:
        ConfigError: see `extractors`.
    """
    if not cell.sizes.shape:
        return None
    return extractors(getattr(cell.data, "dataset", cell.data.kind), inception)


# What of two sets and a generator makes a distance, or several by name.
Compare = Callable[[np.ndarray, np.ndarray, np.random.Generator], Mapping[str, Distance]]


def _frechet(name: str) -> Compare:
    def compare(a: np.ndarray, b: np.ndarray, own: np.random.Generator) -> dict[str, Distance]:
        draws = FEW_DRAWS if a.shape[1] > WIDE else DRAWS
        return {name: frechet_interval(a, b, draws, own)}

    return compare


# Of vectors as they are.
VECTORS: tuple[Compare, ...] = (
    lambda a, b, own: {"energy distance": energy_distance(a, b, DRAWS, own)},
    lambda a, b, own: {"MMD": mmd(a, b, DRAWS, own)},
    _frechet("Fréchet distance"),
)


def _of_features(name: str) -> tuple[Compare, ...]:
    """Of features; `name` is that of their Frechet distance."""
    suffix = "" if name == "FCD" else f" ({name})"

    def shares(a: np.ndarray, b: np.ndarray, own: np.random.Generator) -> dict[str, Distance]:
        found = precision_recall(a, b, DRAWS, own)
        return {f"precision{suffix}": found.precision, f"recall{suffix}": found.recall}

    return (
        _frechet(name),
        lambda a, b, own: {f"KID{suffix}": kid(a, b, DRAWS, own)},
        shares,
    )


def _compared(
    reference: np.ndarray,
    samples: Mapping[str, np.ndarray],
    compares: Sequence[Compare],
    generator: np.random.Generator,
) -> dict[tuple[str, str], Distance]:
    """Distances by source and measure, side by side on all cores; each has draws of its own.

    The most of the work is in products and decompositions, for which threads need not wait.
    """
    pairs = [(source, compare) for compare in compares for source in samples]
    own = generator.spawn(len(pairs))
    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1)) as pool:
        found = pool.map(lambda pair, own: pair[1](reference, samples[pair[0]], own), pairs, own)
        return {
            (source, measure): distance
            for (source, _), distances in zip(pairs, found, strict=True)
            for measure, distance in distances.items()
        }


def distances_of(
    reference: np.ndarray,
    samples: Mapping[str, np.ndarray],
    taken: Sequence[Extractor] | None,
    stretch: bool,
    generator: np.random.Generator,
) -> list[Row]:
    """Distances of several sources of samples from one reference, a row each.

    Args:
        reference: [n, ...].
        samples: [n, ...] by source; TRUTH are samples of the data themselves.
        taken: see `extractors_of`.
        stretch: whether images but those of TRUTH are stretched to [0, 1] first.

    Returns:
        Rows of source, measure, n, value, low, high.
    """
    if taken is None:
        found = _compared(reference, samples, VECTORS, generator)
    else:
        found = {}
        for extractor in taken:
            features = {
                source: extractor.features(
                    stretched(images) if stretch and source != TRUTH else images
                )
                for source, images in (
                    (source, np.clip(x, 0.0, 1.0) if x.dtype != np.uint8 else x)
                    for source, x in samples.items()
                )
            }
            real = extractor.features(reference)
            found |= _compared(real, features, _of_features(extractor.name), generator)
    n = len(reference)
    return [
        {"source": source, "measure": measure, "n": n, **distance._asdict()}
        for (source, measure), distance in found.items()
    ]


def rows_of_run(
    of: Cell,
    settings: Any,
    key: tuple[str, int],
    samples: Callable[[], tuple[np.ndarray, dict[str, np.ndarray]]],
) -> list[Row]:
    """Distances of all sources of a run, a row each; weights are opened before samples are made.

    Args:
        of: the cell whose data the samples are compared with.
        settings: of the analysis.
        key: cell and seed of the run.
        samples: () -> held-out samples, and those of each source.
    """
    cell, seed = key
    taken = extractors_of(of, settings.inception)
    generator = np.random.default_rng(seed)
    found = distances_of(*samples(), taken, settings.stretch, generator)
    return [{"cell": cell, "seed": seed, **row} for row in found]


def measured_with(settings: Any) -> str:
    """Settings of the analysis that distances depend on, in words."""
    words = [f"{settings.generated} samples", *["stretched"] * settings.stretch]
    return ", ".join([*words, *[settings.inception] * bool(settings.inception)])


class Measurement(NamedTuple):
    """What is measured of each run and kept in a file.

    Attributes:
        file: its name in the run directory.
        measured_with: the settings that it depends on, in words, a column of the file.
        rows: (cell, seed) -> the rows of a run.
        applies: whether the runs of a cell have any.
    """

    file: str
    measured_with: str
    rows: Callable[[str, int], list[Row]]
    applies: Callable[[str], bool] = lambda cell: True


def forget(path: Path, runs: Collection[tuple[str, int]]) -> None:
    """Drops what was measured of some runs (cell and seed), whose models are others now."""
    for file in sorted(path.glob("*.csv")):
        # Of files that others fill, which may be long, the header is enough.
        if b"measured_with" in next(read_lines(file), b""):
            rows = read_csv(file)
            write_csv(file, [row for row in rows if (row["cell"], row["seed"]) not in runs])


def measure_missing(run: LoadedRun, measurements: Sequence[Measurement]) -> None:
    """Measures the finished runs of a run directory that were not measured with these settings.

    What was is kept, and all is written run by run; a run whose loss is not finite has no rows.

    Raises:
        ConfigError: where a run has no checkpoint.
    """
    kept = {
        each.file: [
            row
            for row in read_csv(run.path / each.file)
            if row.get("measured_with") == each.measured_with
        ]
        for each in measurements
    }
    done = {file: {(row["cell"], row["seed"]) for row in rows} for file, rows in kept.items()}
    left: dict[tuple[str, int], list[Measurement]] = {}
    for row in run.results:
        key = row["cell"], row["seed"]
        own = [m for m in measurements if key not in done[m.file] and m.applies(row["cell"])]
        if row["status"] == "ok" and own:
            left[key] = own
    for place, ((cell, seed), own) in enumerate(left.items(), 1):
        print(f"measuring, {place} of {len(left)}: {cell}, seed {seed} ...", flush=True)
        if not run.is_saved(cell, seed):
            raise ConfigError(
                f"{run.path}: has no checkpoint of {cell}, seed {seed}, which is to be"
                " measured; restore it"
            )
        for each in own:
            rows = each.rows(cell, seed)
            kept[each.file] += [{**row, "measured_with": each.measured_with} for row in rows]
            write_csv(run.path / each.file, kept[each.file])
