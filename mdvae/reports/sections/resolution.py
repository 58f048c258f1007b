"""How many dimensions of its manifold a sample has at the scale of gamma, beside its AD.

Where the map of a synthetic manifold is flat, x varies along some of its directions by less than
gamma resolves, and a latent for them pays nowhere near. So what a model cannot see and what it has
missed are told apart. A threshold on mean ratios suffers from it first: a direction that is flat at
one sample in twenty has a mean ratio of 0.05 for these alone.
"""

from collections.abc import Sequence

from mdvae.analysis import theory
from mdvae.reports.base import Section, View
from mdvae.reports.tables import Column, Table, axis_columns, fixed, mean_text, plain
from mdvae.settings.registry import DATA
from mdvae.store.rundir import Row

CAPTION = (
    "What gamma resolves: directions of the known manifold along which x varies, near a sample, by"
    " more than ten times gamma (squared singular values of the Jacobian times a root of the"
    " coordinates' covariance), beside how many latents the sample has below the threshold."
)
ALLOWED = (
    " What gamma allows by the threshold: eigenvalues below it of the mean over samples of"
    " (I + J^T J / gamma)^-1, the posterior of the linear VAE that touches the manifold there, J as"
    " above."
)


def _mean_active(view: View) -> dict[tuple[str, int], float]:
    """Mean number of active dimensions of a sample over all seeds, by cell and part."""
    sums: dict[tuple[str, int], list[float]] = {}
    for row in view.run.counts:
        if row["fraction"] is not None:
            total = sums.setdefault((row["cell"], row["part"]), [0.0, 0.0])
            total[0] += row["fraction"] * row["active"]
            total[1] += row["fraction"]
    return {key: total / weight for key, (total, weight) in sums.items() if weight}


def _rows(view: View) -> list[Row]:
    """Rows of the summaries of cells, and of parts of cells that have several."""
    rows = [row for row in view.rows if row["parts"] == 1] + view.by_part
    return [row for row in rows if row.get("resolvable_n")]


def _tells_allowed(rows: Sequence[Row]) -> bool:
    """Whether any cell has what gamma allows: of none with too few latents, or of older results."""
    return any(row.get("resolvable_ad_n") for row in rows)


def _tables(view: View) -> list[Table]:
    active, rows = _mean_active(view), _rows(view)
    groups = [[row for row in rows if ("part" in row) == parted] for parted in (False, True)]
    caption = CAPTION + ALLOWED if _tells_allowed(rows) else CAPTION
    return [
        Table(_columns(view, group, active), group, caption if i == 0 or not groups[0] else "")
        for i, group in enumerate(groups)
        if group
    ]


def _columns(view: View, rows: Sequence[Row], active: dict[tuple[str, int], float]) -> list[Column]:
    found = axis_columns(view.cells, rows)
    if "part" in rows[0]:
        name = DATA.find(view.cells[rows[0]["cell"]].data.kind).part_name
        found.append(plain(name, lambda row: str(row["part"])))

    def part_of(row: Row) -> int:
        return row["part"] if "part" in row else view.cells[row["cell"]].parts[0].value

    def dimension(row: Row) -> str:
        cell = view.cells[row["cell"]]
        (part,) = [part for part in cell.parts if part.value == part_of(row)]
        return str(theory.dimension_left(cell, part))

    title = f"AD ({view.threshold}) that γ allows"
    allowed = [plain(title, lambda row: mean_text(row, "resolvable_ad"))]
    return [
        *found,
        plain("dimensions of x to be found", lambda row: dimension(dict(row))),
        plain("resolved, mean over samples", lambda row: mean_text(row, "resolvable", 2)),
        plain(
            "samples with all of them", lambda row: f"{100 * row['resolvable_share_mean']:.0f} %"
        ),
        plain(
            f"AD ({view.threshold}) of a sample, mean",
            lambda row: fixed(active.get((row["cell"], part_of(dict(row)))), 2),
        ),
        *(allowed if _tells_allowed(rows) else []),
        plain(f"AD ({view.threshold})", lambda row: mean_text(row, "ad")),
        plain("AD (gap)", lambda row: mean_text(row, "ad_gap")),
    ]


def _sentences(view: View) -> list[str]:
    """In how many runs gamma allows the threshold all dimensions, and where they are found."""
    counted = {cell.name for cell in view.counted if theory.in_theorem(cell)}
    allowed, others = [], []
    for row in view.run.results:
        if (
            row["cell"] in counted
            and row["status"] == "ok"
            and row.get("resolvable_ad") is not None
        ):
            group = allowed if row["resolvable_ad"] >= row["expected_ad"] else others
            group.append(row["ad"] == row["expected_ad"])
    if not allowed and not others:
        return []
    text = (
        f"Under the theorems, γ allows AD ({view.threshold}) all dimensions in {len(allowed)} of"
        f" {len(allowed) + len(others)} runs; it is as expected in {sum(allowed)} of these"
    )
    if others:
        text += f", and in {sum(others)} of the {len(others)} others"
    return [f"{text}."]


SECTION = Section(
    order=40,
    applies=lambda view: view.has_counts and bool(_rows(view)),
    tables=_tables,
    sentences=_sentences,
)
