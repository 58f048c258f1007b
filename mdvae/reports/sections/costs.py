"""Time and memory of the slices of a sweep, where it has several groups."""

from mdvae.reports.base import Section, View
from mdvae.reports.tables import Table, fixed, plain
from mdvae.settings.fields import STATIC, fields_of
from mdvae.settings.grid import CELL_SECTIONS, Cell, Group, format_axis
from mdvae.store.slices import groups_of


def _done(view: View) -> list[dict]:
    return [each for each in view.run.manifest.get("slices", []) if each["status"] == "done"]


def _groups(view: View) -> tuple[Group, ...]:
    return groups_of(view.run.config, view.run.manifest)


def _static(cell: Cell) -> dict[str, str]:
    """The static settings of a cell, by name."""
    found = {"batch_size": str(cell.batch_size)}
    for section in CELL_SECTIONS:
        own = getattr(cell, section)
        found[section] = own.kind
        for name, field in fields_of(own).items():
            if field.role == STATIC:
                found[name] = format_axis(getattr(own, name))
    return found


def _tables(view: View) -> list[Table]:
    groups = _groups(view)
    settings = [_static(group.cells[0]) for group in groups]
    names = dict.fromkeys(name for each in settings for name in each)
    differing = [name for name in names if len({each.get(name) for each in settings}) > 1]

    def shared(row: dict) -> str:
        own = settings[row["group"]]
        return ", ".join(f"{name} = {own[name]}" for name in differing if name in own)

    columns = [
        plain("d (padded)", lambda row: str(groups[row["group"]].sizes.d)),
        plain("κ (padded)", lambda row: str(groups[row["group"]].sizes.kappa)),
        plain("runs", lambda row: str(len(row["runs"]))),
        plain("seconds", lambda row: fixed(row["seconds"], 0)),
        plain("seconds per run", lambda row: fixed(row["seconds"] / len(row["runs"]), 2)),
        plain("data and states, GiB", lambda row: fixed(row["held_bytes"] / 2**30, 2)),
    ]
    if differing:
        columns.insert(2, plain("of its own", shared))  # type: ignore[arg-type]
    return [Table(columns, _done(view))]


SECTION = Section(
    order=65, applies=lambda view: len(_groups(view)) > 1 and bool(_done(view)), tables=_tables
)
