"""The tables of how much training the right answer takes; rows are those of its answer.csv."""

from collections.abc import Mapping, Sequence

from mdvae.benchmark.plan import duration
from mdvae.benchmark.shares import Share, share, share_text
from mdvae.reports.tables import Column, axis_columns, fixed, markdown_table, plain
from mdvae.settings.grid import Cell
from mdvae.store.rundir import Row

# Columns that count the runs that are right, by the rule that counts their dimensions.
RULES = ("ad", "ad_gap")
OUTSIDE = "\\* outside Theorems 1 and 2 of CVAE-dims, and in no fraction of all cells."


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
        found[steps] = share(hits, runs)
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
            lambda row, rule=rule: share_text(shares[rule][row["steps"]]),
        )
        for rule in RULES
    ]
    return markdown_table(columns, [first[steps] for steps in budgets_of(rows)])


def _answer_text(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{_million(row['samples'])} M, {fixed(row['seconds_per_run'], 1)} s"


def _by_cell(rows: Sequence[Row], settings: Mapping[str, Cell]) -> str:
    cells, budgets = cells_of(rows), budgets_of(rows)
    last = [by_steps[budgets[-1]] for by_steps in cells.values()]

    def hits(rule: str) -> Column:
        return plain(
            f"{rule_name(rows, rule)} as expected, of runs, by budget",
            lambda row: " ".join(str(cells[row["cell"]][steps][rule]) for steps in budgets),
        )

    columns = [
        *axis_columns(settings, last),
        plain("expected", lambda row: f"{row['expected_ad']}{'' if row['in_theorem'] else '*'}"),
        plain("runs", lambda row: str(row["runs"])),
    ]
    for rule in RULES:
        columns += [
            plain(
                f"{rule_name(rows, rule)}: the answer from",
                lambda row, rule=rule: _answer_text(answer_of(cells[row["cell"]], rule)),
            ),
            hits(rule),
        ]
    return markdown_table(columns, last)


def make_report(rows: Sequence[Row], settings: Mapping[str, Cell]) -> str:
    """The tables as markdown: by budget, over all cells of the theorem, and by cell.

    Args:
        settings: the cells by name.
    """
    outside = any(not row["in_theorem"] for row in rows)
    lines = [
        "# Samples and seconds until the right answer",
        "",
        "Each budget is a training of its own, its schedules over its own steps. The fractions are"
        " over the cells for which a theorem says what is right, with 95 % intervals (Wilson);"
        " seconds are of training alone, without compiling and evaluating, of all cells together,"
        " and of one run on average. Of a training that was killed, not stopped, they are those"
        " since.",
        "",
        _by_budget(rows),
        "",
        "The answer of a cell: the least budget from which on all of its runs are right, in samples"
        " and seconds of one run among all.",
        "",
        _by_cell(rows, settings),
    ]
    if outside:
        lines += ["", OUTSIDE]
    return "\n".join(lines) + "\n"
