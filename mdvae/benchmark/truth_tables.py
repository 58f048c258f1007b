"""The tables of the benchmark of known truths; rows are those of its truth.csv."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mdvae.analysis.statistics import NAN
from mdvae.benchmark.plan import duration
from mdvae.benchmark.shares import Share, share, share_text
from mdvae.benchmark.truth_data import SCIKIT_DIMENSION, split_of
from mdvae.reports.tables import fixed, markdown_table, plain
from mdvae.store.rundir import Row

OURS = "mdvae"
# Before the name of another estimator, in a column of truth.csv.
ESTIMATE = "estimate_"


def estimators(rows: Sequence[Row]) -> list[str]:
    """The names of all estimators, ours first."""
    others = dict.fromkeys(name for row in rows for name in row if name.startswith(ESTIMATE))
    return [OURS, *(name.removeprefix(ESTIMATE) for name in others)]


def estimate_of(row: Mapping[str, Any], estimator: str) -> float:
    """What an estimator found for a data set; nan where it found nothing."""
    value = row["dimension"] if estimator == OURS else row.get(ESTIMATE + estimator)
    return NAN if value is None else float(value)


def rounded(value: float) -> float:
    """The nearest whole number, halves upwards; what is not finite stays."""
    return float(math.floor(value + 0.5)) if math.isfinite(value) else value


def is_right(row: Mapping[str, Any]) -> bool:
    """Whether our answer is the truth."""
    return row["dimension"] == row["truth"]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else NAN


def _doubted(rows: Sequence[Row]) -> Share:
    return share(sum(bool(row["doubts"]) for row in rows), len(rows))


def score(rows: Sequence[Row], estimator: str) -> Row:
    """How well an estimator does on some data sets.

    Returns:
        A dict: `n`, data sets for which it has a finite value, of which all else is; `mae` and
        `mre`, the mean of |estimate - truth| and of |estimate - truth| / truth; `mae_rounded` and
        `mre_rounded`, of the estimate rounded; `exact`, a `Share` of those that round to the truth.
        Of ours also: `covered`, a `Share` of the intervals that hold the truth, ends included, of
        all that are given; `doubted_wrong` and `doubted_right`, `Share`s of the wrong and of the
        right answers that are in doubt; `seconds_median` and `seconds_most`.
    """
    pairs = [(estimate_of(row, estimator), row["truth"]) for row in rows]
    values = np.array([pair for pair in pairs if math.isfinite(pair[0])], float).reshape(-1, 2)
    found, truth = values.T
    whole = np.array([rounded(value) for value in found], float)
    scores: Row = {
        "n": len(found),
        "mae": _mean(abs(found - truth)),
        "mre": _mean(abs(found - truth) / truth),
        "mae_rounded": _mean(abs(whole - truth)),
        "mre_rounded": _mean(abs(whole - truth) / truth),
        "exact": share(int((whole == truth).sum()), len(whole)),
    }
    return scores | (_trust(rows) if estimator == OURS else {})


def _trust(rows: Sequence[Row]) -> Row:
    """What only our answers have: intervals, doubts, seconds."""
    given = [row for row in rows if row.get("low") is not None and row.get("high") is not None]
    seconds = [row["seconds"] for row in rows]
    return {
        "covered": share(
            sum(row["low"] <= row["truth"] <= row["high"] for row in given), len(given)
        ),
        "doubted_wrong": _doubted([row for row in rows if not is_right(row)]),
        "doubted_right": _doubted([row for row in rows if is_right(row)]),
        "seconds_median": float(np.median(seconds)),
        "seconds_most": float(max(seconds)),
    }


def summarise(rows: Sequence[Row]) -> list[Row]:
    """The scores of each estimator for each family, whose `case` is empty, and for each case.

    Args:
        rows: of truth.csv, at least one.

    Returns:
        dicts: `family`, `case`, `estimator`, and what `score` gives.
    """
    names = estimators(rows)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["family"], ""), []).append(row)
    for row in rows:
        groups.setdefault((row["family"], row["case"]), []).append(row)
    return [
        {"family": family, "case": case, "estimator": name, **score(group, name)}
        for (family, case), group in groups.items()
        for name in names
    ]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _answer(row: Row) -> str:
    return f"{row['dimension']}" + ("?" if row["doubts"] else "")


def _interval(row: Row) -> str:
    low, high = (row.get(name) for name in ("low", "high"))
    return "–" if low is None or high is None else f"{low:g}-{high:g}"


def case_table(rows: Sequence[Row]) -> str:
    """A line per case and number of rows; other estimators' values are means over draws."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["case"], row["n"]), []).append(row)
    lines = [{"rows": group, **group[0]} for group in groups.values()]

    def mean(line: Mapping[str, Any], name: str) -> str:
        values = np.array([estimate_of(row, name) for row in line["rows"]])
        return fixed(_mean(values[np.isfinite(values)]), 2)

    columns = [
        plain("case", lambda line: line["case"]),
        plain("n", lambda line: f"{line['n']:,}"),
        plain("truth", lambda line: str(line["truth"])),
        plain("found", lambda line: ", ".join(map(_answer, line["rows"]))),
        plain("interval", lambda line: ", ".join(map(_interval, line["rows"]))),
        plain("right", lambda line: _of(line["rows"], is_right)),
        plain("in doubt", lambda line: _of(line["rows"], lambda row: bool(row["doubts"]))),
        *(
            plain(name, lambda line, name=name: mean(line, name))
            for name in estimators(rows)
            if name != OURS
        ),
    ]
    return markdown_table(columns, lines)


def _of(rows: Sequence[Row], holds: Callable[[Row], bool]) -> str:
    return f"{sum(holds(row) for row in rows)} of {len(rows)}"


def score_table(summary: Sequence[Row]) -> str:
    """A line per family and estimator of some lines of `summarise`."""
    columns = [
        plain("family", lambda row: row["family"]),
        plain("estimator", lambda row: row["estimator"]),
        plain("data sets", lambda row: str(row["n"])),
        plain("mean error", lambda row: fixed(row["mae"], 2)),
        plain("rounded", lambda row: fixed(row["mae_rounded"], 2)),
        plain("relative", lambda row: _percent(row["mre"])),
        plain("relative, rounded", lambda row: _percent(row["mre_rounded"])),
        plain("exact when rounded", lambda row: share_text(row["exact"])),
    ]
    return markdown_table(columns, summary)


def trust_table(summary: Sequence[Row]) -> str:
    """A line per family of some lines of `summarise`: how far our answers can be trusted."""
    columns = [
        plain("family", lambda row: row["family"]),
        plain("interval holds the truth", lambda row: share_text(row["covered"])),
        plain("in doubt where wrong", lambda row: share_text(row["doubted_wrong"])),
        plain("in doubt where right", lambda row: share_text(row["doubted_right"])),
        plain("time, median", lambda row: duration(row["seconds_median"])),
        plain("largest", lambda row: duration(row["seconds_most"])),
    ]
    return markdown_table(columns, [row for row in summary if row["estimator"] == OURS])


def _span(values: Sequence[int]) -> str:
    """Whole numbers as text, neighbours as a range."""
    parts: list[list[int]] = []
    for value in sorted(set(values)):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def make_report(rows: Sequence[Row]) -> str:
    """All tables in markdown.

    Args:
        rows: of truth.csv, at least one.
    """
    families = [row for row in summarise(rows) if row["case"] == ""]
    splits: dict[str, list[int]] = {}
    for row in rows:
        splits.setdefault(split_of(row["draw"]), []).append(row["draw"])
    draws = "; ".join(f"{_span(found)} ({name})" for name, found in splits.items())
    efforts = ", ".join(dict.fromkeys(row["effort"] for row in rows))
    parts = [
        "# Data of known dimension",
        f"Effort: {efforts}. Draws: {draws}; 100-199 are for searching recipes, 0-99 and 5000 up"
        " for reporting. The truth is the dimension of the manifold without noise, and of the"
        " largest one where there are several. Of other estimators, the first errors are of their"
        " values as they are. Intervals of shares are Wilson's at 95 %; draws of one case are"
        " alike, so that over several draws they are too narrow.",
        "## By case",
        'A number per draw; "?" stands behind an answer that says of itself that it is not to be'
        " trusted. Values of other estimators are means over draws.",
        case_table(rows),
    ]
    known = [row for row in families if row["family"] == SCIKIT_DIMENSION]
    others = [row for row in families if row["family"] != SCIKIT_DIMENSION]
    if known:
        parts += ["## The manifolds of scikit-dimension", score_table(known), trust_table(known)]
    if others:
        parts += ["## The other families", score_table(others), trust_table(others)]
    return "\n\n".join(parts) + "\n"
