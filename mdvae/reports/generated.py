"""Statistics of what models generate: a row per cell and measure, from generated.csv.

And of their codes, from codes.csv.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mdvae.analysis.statistics import NAN, Interval, mean_interval
from mdvae.reports.tables import number
from mdvae.stages.measures import FIRST_LATENTS, NORMAL, ONE, SECOND_LATENTS, SOURCES, TWO
from mdvae.store.rundir import Row

GENERATED_SUMMARY, CODES_SUMMARY = "generated_summary.csv", "codes_summary.csv"
# Shares of samples, of which more is better; all other measures are distances.
SHARES = ("precision", "recall")
# Distances of features of a classifier of the data set itself.
OF_CLASSIFIER = "FCD"


# In how many seeds two stages are closer to the data than one, at all and clearly.
BETTER = ("better", "clearly_better")


class Found(NamedTuple):
    """A value of a source over seeds.

    Attributes:
        mean, low, high: over seeds where there are several; of one seed its own value and the
            interval of its bootstrap.
        spread: half of the bootstrap's interval, mean over seeds.
        n: how many seeds.
    """

    mean: float
    low: float
    high: float
    spread: float
    n: int


def is_distance(measure: str) -> bool:
    """Whether less is better."""
    return not measure.startswith(SHARES)


def measure_text(measure: str) -> str:
    """A measure's name; what could be taken for an FID says that it is none."""
    return f"{measure} (no FID)" if measure == OF_CLASSIFIER else measure


def found_text(found: Found) -> str:
    """A mean, half of its interval over seeds, and in brackets half of the bootstrap's."""
    text = number(found.mean)
    if found.n > 1 and np.isfinite(found.low):
        text += f" ± {number((found.high - found.low) / 2, 2)}"
    return text + (f" (± {number(found.spread, 2)})" if np.isfinite(found.spread) else "")


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def _found(rows: Sequence[Row], column: str = "value") -> Found:
    """A value with a bootstrap's low and high over the seeds of a cell."""
    over = mean_interval([row[column] for row in rows])
    spread = mean_interval([(_number(r["high"]) - _number(r["low"])) / 2 for r in rows]).mean
    ends = over.low, over.high
    if len(rows) == 1:
        ends = _number(rows[0]["low"]), _number(rows[0]["high"])
    return Found(over.mean, *ends, spread, over.n)


def paired_ratio(one: Mapping[int, Row], two: Mapping[int, Row]) -> Interval:
    """The ratio of two stages to one, mean over the seeds that both have.

    The interval is over seeds. Of a single seed its ends are the ratios of opposite ends of the
    bootstraps' intervals, which is wider than 95 %. All is nan where the bootstrap's interval of
    one stage contains 0 for any seed, for a ratio to nothing says nothing.

    Args:
        one, two: rows of generated.csv by seed.
    """
    seeds = sorted(one.keys() & two.keys())
    if not seeds or any(not _number(one[seed]["low"]) > 0 for seed in seeds):
        return Interval(NAN, NAN, NAN, NAN, 0)
    ratios = mean_interval([_number(two[s]["value"]) / one[s]["value"] for s in seeds])
    if len(seeds) > 1:
        return ratios
    first, second = one[seeds[0]], two[seeds[0]]
    low, high = _number(second["low"]), _number(second["high"])
    # An end below 0 is furthest from 0 over the least of the other.
    low /= first["high"] if low > 0 else first["low"]
    high /= first["low"] if high > 0 else first["high"]
    return ratios._replace(low=low, high=high)


def _seeds_of_both(found: Mapping[str, Mapping[int, Row]]) -> list[int]:
    """Seeds with a finite value of one stage and of two."""
    pairs = found.get(ONE, {}), found.get(TWO, {})
    return sorted(
        seed
        for seed in pairs[0].keys() & pairs[1].keys()
        if all(own[seed]["value"] is not None for own in pairs)
    )


def _closer(one: Row, two: Row) -> tuple[bool, bool]:
    """Whether two stages are better than one for a seed, and by intervals that are apart."""
    if not is_distance(one["measure"]):
        return two["value"] > one["value"], _number(two["low"]) > _number(one["high"])
    return two["value"] < one["value"], _number(two["high"]) < _number(one["low"])


def generated_rows(generated: Sequence[Row], sources: Sequence[str] = SOURCES) -> list[Row]:
    """The rows of generated_summary.csv: one per cell and measure.

    Args:
        generated: the rows of generated.csv.
        sources: of the samples; by default those of a second stage.

    Returns:
        For each source its `Found` as columns such as "one stage_mean"; "runs", how many seeds;
        "n", how many samples were compared. Of a second stage also "ratio_mean" and others of
        `paired_ratio`; "better" and "clearly_better", in how many seeds two stages are closer to
        the data than one, and by bootstraps' intervals that are apart.
    """
    by_key: dict[tuple[str, str], dict[str, dict[int, Row]]] = {}
    for row in generated:
        of_source = by_key.setdefault((row["cell"], row["measure"]), {})
        of_source.setdefault(row["source"], {})[row["seed"]] = row
    rows = []
    for (cell, measure), found in by_key.items():
        every = [row for mine in found.values() for row in mine.values()]
        row: Row = {"cell": cell, "measure": measure}
        row |= {"n": max(r["n"] for r in every), "runs": len({r["seed"] for r in every})}
        for source in sources:
            mine = _found(list(found.get(source, {}).values()))
            row |= {f"{source}_{word}": value for word, value in mine._asdict().items()}
        rows.append(row | (_of_pair(found) if {ONE, TWO} <= set(sources) else {}))
    return rows


def _of_pair(found: Mapping[str, Mapping[int, Row]]) -> Row:
    """What a row of a second stage has beside its sources: two stages against one."""
    ratio = paired_ratio(found.get(ONE, {}), found.get(TWO, {}))
    row: Row = {f"ratio_{word}": value for word, value in ratio._asdict().items()}
    both = [_closer(found[ONE][s], found[TWO][s]) for s in _seeds_of_both(found)]
    return row | {name: sum(each[k] for each in both) for k, name in enumerate(BETTER)}


def codes_rows(codes: Sequence[Row]) -> list[Row]:
    """The rows of codes_summary.csv: one per cell, over active latents and over all.

    Args:
        codes: the rows of codes.csv.

    Returns:
        "latents", how many, mean over seeds; the `Found` of "mean_abs_cov" and the `Interval` of
        "mean_cov" as columns such as "mean_cov_low"; "runs" and "n" as in `generated_rows`.
    """
    by_key: dict[tuple[str, str], list[Row]] = {}
    for row in codes:
        by_key.setdefault((row["cell"], row["over"]), []).append(row)
    found = []
    for (cell, over), mine in by_key.items():
        row: Row = {"cell": cell, "over": over, "n": max(each["n"] for each in mine)}
        row |= {"runs": len(mine), "latents": mean_interval([r["latents"] for r in mine]).mean}
        absolute, signed = (
            _found(mine, "mean_abs_cov"),
            mean_interval([r["mean_cov"] for r in mine]),
        )
        row |= {f"mean_abs_cov_{word}": value for word, value in absolute._asdict().items()}
        row |= {f"mean_cov_{word}": value for word, value in signed._asdict().items()}
        found.append(row)
    return found


def source_of(row: Row, source: str) -> Found:
    """The value of a source in a row of `generated_rows`."""
    return Found(*(row[f"{source}_{word}"] for word in Found._fields))


def ratio_of(row: Row) -> Interval:
    """The ratio in a row of `generated_rows`."""
    return Interval(*(row[f"ratio_{word}"] for word in Interval._fields))


class Spectra(NamedTuple):
    """Singular values of the matrices of latents of a cell.

    Attributes:
        values: mean over seeds by source, [places].
        apart: by stage, the mean distance of the logs of its singular values from those of the
            normal matrix of the same seed, mean and interval over seeds (nats).
    """

    values: dict[str, np.ndarray]
    apart: dict[str, Interval]


def log_distance(values: np.ndarray, normal: np.ndarray) -> float:
    """Mean absolute difference of the logs of singular values, place by place (nats).

    nan where the two have unlike numbers of places, or a value is 0.
    """
    if len(values) != len(normal) or np.any(values <= 0):
        return NAN
    return float(np.mean(np.abs(np.log(values / normal))))


def spectra_of(singular: Sequence[Row]) -> dict[str, Spectra]:
    """Singular values of each cell, from the rows of singular_values.csv."""
    by_cell: dict[str, dict[str, dict[int, list[float]]]] = {}
    for row in singular:
        of_seed = by_cell.setdefault(row["cell"], {}).setdefault(row["source"], {})
        of_seed.setdefault(row["seed"], []).append(row["value"])
    found = {}
    for cell, by_source in by_cell.items():
        values = {source: np.mean(list(own.values()), axis=0) for source, own in by_source.items()}
        apart = {}
        for source in (FIRST_LATENTS, SECOND_LATENTS):
            own, normal = by_source.get(source, {}), by_source.get(NORMAL, {})
            apart[source] = mean_interval(
                [
                    log_distance(np.array(own[seed]), np.array(normal[seed]))
                    for seed in own.keys() & normal.keys()
                ]
            )
        found[cell] = Spectra(values, apart)
    return found
