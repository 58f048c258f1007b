"""What a method scores, where it does not count active dimensions: means by cell."""

from mdvae.reports.base import Section, View
from mdvae.reports.tables import Table, axis_columns, number, plain, with_digits


def _tables(view: View) -> list[Table]:
    names = [name.removesuffix("_mean") for name in view.rows[0] if name.endswith("_mean")]
    known = [
        name
        for name in names
        if any(number(row[f"{name}_mean"]) != number(None) for row in view.rows)
    ]
    columns = axis_columns(view.cells, view.rows)
    columns += [
        plain(name.replace("_", " "), lambda row, name=name: with_digits(row, name))
        for name in known
    ]
    columns.append(plain("runs", lambda row: str(row["runs"])))
    seeds = view.run.config.seeds
    caption = f"{view.run.config.name}: mean and 95 % interval over {seeds} seeds."
    return [Table(columns, view.rows, caption, latex=True, printed=True)]


SECTION = Section(order=10, applies=lambda view: not view.has_counts, tables=_tables)
