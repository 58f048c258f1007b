"""The tables of how much training the right answer takes; rows are those of its answer.csv."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mdvae.analysis.statistics import Interval, fraction_interval
from mdvae.benchmark.plan import duration
from mdvae.reports.tables import Column, fixed, markdown_table, plain
from mdvae.store.rundir import Row

# Columns that count the runs that are right, by the rule that counts their dimensions.
RULES = ("ad", "ad_gap")


class Share(NamedTuple):
    """How many runs are right of how many; the interval is of the fraction."""

    hits: int
    runs: int
    interval: Interval


def rule_name(rows: Sequence[Row], rule: str) -> str:
    """What reports call a rule."""
    return f"AD ({rows[0]['ad_threshold']:g})" if rule == "ad" else "AD (gap)"


def budgets_of(rows: Sequence[Row]) -> list[int]:
    """The numbers of steps, ascending."""
    return sorted({row["steps"] for row in rows})


def shares_of(rows: Sequence[Row], rule: str) -> dict[int, Share]:
    """By steps, how many runs are right in the cells for which a theorem says what is."""
    found = {}
    for steps in budgets_of(rows):
        mine = [row for row in rows if row["steps"] == steps and row["in_theorem"]]
        hits, runs = sum(row[rule] for row in mine), sum(row["runs"] for row in mine)
        found[steps] = Share(hits, runs, fraction_interval(hits, runs))
    return found


def cells_of(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Rows by cell and steps, cells in their order."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        found.setdefault(row["cell"], {})[row["steps"]] = row
    return found


def answer_of(by_steps: Mapping[int, Row], rule: str) -> Row | None:
    """The least budget from which on all runs of a cell are right; None where there is none."""
    answer = None
    for steps in sorted(by_steps, reverse=True):
        row = by_steps[steps]
        if row[rule] < row["runs"]:
            break
        answer = row
    return answer


def _million(samples: float) -> str:
    return f"{samples / 1e6:.3g}"


def _share_text(share: Share) -> str:
    if not share.runs:
        return "–"
    low, high = 100 * share.interval.low, 100 * share.interval.high
    return f"{share.hits}/{share.runs} ({low:.0f}–{high:.0f} %)"


def _by_budget(rows: Sequence[Row]) -> str:
    shares = {rule: shares_of(rows, rule) for rule in RULES}
    first = {row["steps"]: row for row in reversed(rows)}
    columns = [
        plain("steps", lambda row: f"{row['steps']:,}"),
        plain("million samples a run", lambda row: _million(row["samples"])),
        plain("training, all runs", lambda row: duration(row["seconds"])),
        plain("seconds a run", lambda row: fixed(row["seconds_per_run"], 1)),
    ]
    columns += [
        plain(
            f"{rule_name(rows, rule)} as expected",
            lambda row, rule=rule: _share_text(shares[rule][row["steps"]]),
        )
        for rule in RULES
    ]
    return markdown_table(columns, [first[steps] for steps in budgets_of(rows)])


def _answer_text(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{_million(row['samples'])} M, {fixed(row['seconds_per_run'], 1)} s"


def _by_cell(rows: Sequence[Row]) -> str:
    cells, budgets = cells_of(rows), budgets_of(rows)

    def hits(rule: str) -> Column:
        return plain(
            f"{rule_name(rows, rule)} as expected, of runs, by budget",
            lambda row: " ".join(str(cells[row["cell"]][steps][rule]) for steps in budgets),
        )

    def text(row: Mapping[str, Any], name: str) -> str:
        return str(row[name]) + ("" if name != "r" or row["in_theorem"] else "*")

    columns = [
        plain("κ", lambda row: text(row, "kappa")),
        plain("d", lambda row: text(row, "d")),
        plain("r", lambda row: text(row, "r")),
        plain("expected", lambda row: text(row, "expected_ad")),
        plain("runs", lambda row: text(row, "runs")),
    ]
    for rule in RULES:
        columns += [
            plain(
                f"{rule_name(rows, rule)}: the answer from",
                lambda row, rule=rule: _answer_text(answer_of(cells[row["cell"]], rule)),
            ),
            hits(rule),
        ]
    last = [by_steps[budgets[-1]] for by_steps in cells.values()]
    return markdown_table(columns, last)


def make_report(rows: Sequence[Row]) -> str:
    """The tables as markdown: by budget, over all cells of the theorem, and by cell."""
    outside = any(not row["in_theorem"] for row in rows)
    lines = [
        "# Samples and seconds until the right answer",
        "",
        "Each budget is a training of its own, its schedules over its own steps. The fractions are"
        " over the cells for which a theorem says what is right, with 95 % intervals (Wilson);"
        " seconds are of training alone, without compiling and evaluating.",
        "",
        _by_budget(rows),
        "",
        "The answer of a cell: the least budget from which on all of its runs are right, in samples"
        " and seconds of one run among all.",
        "",
        _by_cell(rows),
    ]
    if outside:
        lines += ["", "\\* r = d, or κ below r: outside the theorem, and in no fraction above."]
    return "\n".join(lines) + "\n"
