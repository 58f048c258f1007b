"""What a method scores beside counts of active dimensions: means by cell.

Where it counts none, this is the main table, with all that it scores. Where it does, the losses
stand beside the counts, and what the method scores beyond them has a small table of its own.
"""

from collections.abc import Sequence

from mdvae.analysis.statistics import mean_interval
from mdvae.reports.base import Section, View
from mdvae.reports.tables import Table, axis_columns, number, plain, with_digits
from mdvae.store.rundir import Row

# Columns of results.csv that are no scores of a method's own, by name and by how they begin: where
# a run stands, what was counted, and losses, which other tables show.
KNOWN = {
    *("cell", "seed", "kappa", "d", "r", "t", "sigma", "log_gamma", "status", "steps", "parts"),
    *("ad", "expected_ad", "warnings", "nelbo", "recon", "kl", "gamma"),
    *("neg_elbo_paper_units", "kl_paper_units"),
}
KNOWN_BEGINNINGS = ("ad_", "gap_", "r_hat_", "resolvable")


def own_scores(results: Sequence[Row]) -> list[str]:
    """The names of scores beyond the known ones, of all methods of a run, sorted; no texts."""
    names = {name for row in results for name, value in row.items() if not isinstance(value, str)}
    return sorted(
        name for name in names if name not in KNOWN and not name.startswith(KNOWN_BEGINNINGS)
    )


def _statistics(mine: Sequence[Row], names: Sequence[str]) -> Row:
    """Mean and interval of some scores over the runs of a cell; nan where it has none."""
    sound = [row for row in mine if row["status"] == "ok"]
    found: Row = {}
    for name in names:
        interval = mean_interval([row.get(name) for row in sound])
        found |= {f"{name}_{word}": value for word, value in interval._asdict().items()}
    return found


def _has(row: Row, name: str) -> bool:
    return number(row[f"{name}_mean"]) != number(None)


def _tables(view: View) -> list[Table]:
    own = own_scores(view.run.results)
    rows = []
    for summary in view.rows:
        mine = [row for row in view.run.results if row["cell"] == summary["cell"]]
        rows.append({**summary, **_statistics(mine, own)})
    names, words = own, "other scores, "
    if view.has_counts:
        # Only of cells whose method has any: a grid may have several methods.
        rows = [row for row in rows if any(_has(row, name) for name in own)]
        if not rows:
            return []
    else:
        known = [name.removesuffix("_mean") for name in view.rows[0] if name.endswith("_mean")]
        names, words = [*(name for name in known if name not in own), *own], ""
    columns = axis_columns(view.cells, view.rows)
    columns += [
        plain(name.replace("_", " "), lambda row, name=name: with_digits(row, name))
        for name in names
        if any(_has(row, name) for row in rows)
    ]
    columns.append(plain("runs", lambda row: str(row["runs"])))
    seeds = view.run.config.seeds
    caption = f"{view.run.config.name}: {words}mean and 95 % interval over {seeds} seeds."
    return [Table(columns, rows, caption, latex=True, printed=not view.has_counts)]


SECTION = Section(order=15, applies=lambda view: bool(view.run.cells), tables=_tables)
