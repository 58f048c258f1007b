"""The dimension that each cell has learned: the main table, what theorems say of it, AD against r.

Applies where a method counts active dimensions. What is right is said only of data with a truth.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis import theory
from mdvae.analysis.statistics import fraction_interval
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.plotting import (
    MARKERS,
    colours_of,
    family_of,
    first_of,
    legend_below,
    make_panels,
    plot_ad,
    series_label,
)
from mdvae.reports.tables import (
    Column,
    Table,
    axis_columns,
    digits_text,
    fixed,
    fraction,
    mean_text,
    number,
    plain,
    with_interval,
)
from mdvae.settings.grid import Cell, families
from mdvae.settings.registry import DATA
from mdvae.store.loading import LoadedRun
from mdvae.store.rundir import Row

SIZES = ("r", "d", "t")
# Series beyond which AD against r is too crowded, and values of kappa from which on AD is drawn
# against these, where data have a truth.
MOST_SERIES, FEWEST = 6, 3
RULES = (("ad", "by the {} rule"), ("ad_gap", "by the gap rule"))


def fraction_text(hits: int, total: int) -> str:
    """A fraction with its 95 % interval, in words."""
    interval = fraction_interval(hits, total)
    return (
        f"{hits} of {total} ({100 * interval.mean:.0f} %, 95 % interval"
        f" {100 * interval.low:.0f}-{100 * interval.high:.0f} %)"
    )


def columns(run: LoadedRun, rows: Sequence[Row]) -> list[Column]:
    """The columns of a table of cells, or of parts of their data.

    Columns of the paper are there where there are published values, those on what is expected where
    data have a truth.

    Args:
        rows: of a summary.
    """
    cells = {cell.name: cell for cell in run.cells}
    threshold = f"{run.config.analysis.ad_threshold:g}"

    def has(name: str) -> bool:
        return any(row[name] is not None for row in rows)

    def starred(column: Column) -> Column:
        def text(row: Mapping[str, Any]) -> str:
            star = "part" not in row and theory.fills_space(cells[row["cell"]])
            return column.text(row) + ("*" if star else "")

        return column._replace(text=text) if column.title == "r" else column

    found = [starred(column) for column in axis_columns(cells, rows)]
    if "part" in rows[0]:
        name = DATA.find(cells[rows[0]["cell"]].data.kind).part_name
        found.append(plain(name, lambda row: str(row["part"])))
    if has("expected_ad") and ("part" in rows[0] or any(row["t"] for row in rows)):
        found.append(plain("expected AD", lambda row: number_or_dash(row["expected_ad"])))
    found += [
        plain(f"AD ({threshold})", lambda row: with_interval(row, "ad", 1)),
        plain("AD (gap)", lambda row: with_interval(row, "ad_gap", 1)),
    ]
    if has("paper_ad"):
        found.append(plain("paper AD", lambda row: number(row["paper_ad"], 1)))
    if has("expected_ad"):
        found += [
            plain(f"AD ({threshold}) as expected", lambda row: fraction(row, "ad")),
            plain("AD (gap) as expected", lambda row: fraction(row, "ad_gap")),
        ]
    if {"neg_elbo_paper_units_mean", "kl_paper_units_mean", "recon_mean"} <= set(rows[0]):
        found += _loss_columns(has)
    elif "recon_mean" in rows[0]:
        found.append(plain("Recon", lambda row: digits_text(row, "recon")))
    for name, title, latex in (
        ("r_hat_slope", "r̂ (loss slope)", r"$\hat r$ (loss slope)"),
        ("r_hat_recon", "r̂ (Recon/γ)", r"$\hat r$ (Recon/$\gamma$)"),
    ):
        if any(fixed(row.get(f"{name}_mean"), 1) != "–" for row in rows):
            found.append(Column(title, latex, lambda row, name=name: with_interval(row, name, 1)))
    if "gamma_mean" in rows[0]:
        found.append(Column("γ", r"$\gamma$", lambda row: digits_text(row, "gamma")))
    return found


def _loss_columns(has: Callable[[str], bool]) -> list[Column]:
    """-ELBO, KL and Recon, each beside the paper's."""
    found = [
        Column(
            "-ELBO, paper units (2x nats)",
            r"$-$ELBO, paper units ($2\times$ nats)",
            lambda row: with_interval(row, "neg_elbo_paper_units", 1),
        )
    ]
    if has("paper_neg_elbo"):
        found.append(
            Column("paper -ELBO", "paper $-$ELBO", lambda row: fixed(row["paper_neg_elbo"], 1))
        )
    found.append(
        Column(
            "KL, paper units (2x nats)",
            r"KL, paper units ($2\times$ nats)",
            lambda row: mean_text(row, "kl_paper_units"),
        )
    )
    if has("paper_kl"):
        found.append(plain("paper KL", lambda row: fixed(row["paper_kl"], 1)))
    found.append(plain("Recon", lambda row: digits_text(row, "recon")))
    if has("paper_recon"):
        found.append(plain("paper Recon", lambda row: number(row["paper_recon"])))
    return found


def number_or_dash(value: float | None) -> str:
    """A whole number, or a dash where there is none."""
    return "–" if value is None else f"{value:g}"


def _tables(view: View) -> list[Table]:
    whole = [row for row in view.rows if row["parts"] == 1]
    if not whole:
        return []
    seeds = view.run.config.seeds
    caption = f"{view.run.config.name}: mean and 95 % interval over {seeds} seeds."
    return [Table(columns(view.run, whole), whole, caption, latex=True, printed=True)]


def _kinds(cell: Cell) -> str | None:
    """What is expected of a cell, in words; None where data have no truth, or no theorem says."""
    r, kappa = theory.manifold_dimension(cell), cell.sizes.kappa
    if r is None or theory.is_shared(cell) or not theory.has_gamma(cell):
        return None
    if not theory.has_full_kl(cell):
        return "with a weight on the KL other than 1 (outside the theorems), AD as with 1"
    if theory.has_noise(cell):
        return "with noise off the manifold (outside the theorems), AD as without"
    if theory.in_theorem(cell):
        if theory.is_decoder_told(cell):
            return "given a condition, κ ≥ r (Theorem 2), AD = r - t"
        if theory.is_carried(cell):
            return "with a condition that the prior's mean says to the decoder, κ ≥ r, AD = r - t"
        if cell.is_told:
            return "with a condition that no decoder and no prior's mean has, κ ≥ r, AD = r"
        return "with r < d and κ ≥ r (Theorem 1), AD = r"
    if cell.is_told:
        return None
    if kappa < r:
        return "with κ < r (too few latents), AD = κ"
    return "with r = d (outside Theorem 1), AD = r"


def _sentences(view: View) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for cell in view.counted:
        kind = _kinds(cell)
        if kind is not None:
            kinds.setdefault(kind, []).append(cell.name)
    lines = []
    for text, names in kinds.items():
        mine = [row for row in view.run.results if row["cell"] in names]
        for rule, label in RULES if mine else ():
            hits = sum(row[rule] == row["expected_ad"] for row in mine)
            label = label.format(view.threshold)
            lines.append(f"Of runs {text} {label} in {fraction_text(hits, len(mine))}.")
    return lines + _against_paper(view) + _noise(view)


def _against_paper(view: View) -> list[str]:
    compared = [
        row
        for row in [*view.rows, *view.by_part]
        if row["paper_neg_elbo"] is not None
        and row["runs"]
        and row.get("neg_elbo_paper_units_mean") is not None
    ]
    if not compared:
        return []
    below = sum(row["neg_elbo_paper_units_mean"] <= row["paper_neg_elbo"] for row in compared)
    what = "parts of cells" if any("part" in row for row in compared) else "cells"
    lost = sum(row["diverged"] for row in compared)
    without = f" ({lost} diverged runs are in no mean)" if lost else ""
    return [
        f"The mean -ELBO{without} is at or below the published one in {below} of {len(compared)}"
        f" {what}."
    ]


def _noise(view: View) -> list[str]:
    """Where gamma ends beside the variance of noise off the manifold."""
    lines = []
    for row in view.rows:
        sigma = max(part.noise for part in view.cells[row["cell"]].parts)
        if sigma > 0 and row["runs"] and row.get("gamma_mean") is not None:
            lines.append(
                f"Noise sigma = {sigma:g}, d = {row['d']}, r = {row['r']}: γ / sigma² ="
                f" {fixed(row['gamma_mean'] / sigma**2, 2)}, AD ({view.threshold}) ="
                f" {mean_text(row, 'ad')}, AD (gap) = {mean_text(row, 'ad_gap')}."
            )
    return lines


def _with_truth(view: View) -> list[Cell]:
    return [cell for cell in view.counted if theory.manifold_dimension(cell) is not None]


def _pictures(view: View) -> list[Picture]:
    cells = _with_truth(view)
    series = list(dict.fromkeys(family_of(cell, SIZES) for cell in cells))
    if not series or (len(series) > MOST_SERIES and _vary_in_kappa(cells)):
        return []
    title = "Learned AD against r" + first_of(len(series), len(MARKERS), "kinds of cells")
    return [Picture("ad_against_r.png", title, _draw(view, series[: len(MARKERS)]))]


def _vary_in_kappa(cells: Sequence[Cell]) -> bool:
    """Whether AD of all cells is drawn against kappa instead."""
    drawn = [each for each in families(cells, "kappa").values() if len(each) >= FEWEST]
    return sum(map(len, drawn)) == len(cells)


def _draw(view: View, series: Sequence[tuple[object, ...]]) -> Figure:
    """Learned AD against r, or r - t of a CVAE: a panel per d, a series per kappa and rule."""
    cells = _with_truth(view)
    told = any(theory.spares_told(cell) for cell in cells)
    symbol = "r - t" if told else "r"
    place = {cell.name: theory.dimension_left(cell, cell.parts[0]) or 0 for cell in cells}
    by_name = {row["cell"]: row for row in view.rows}
    widths = sorted({cell.sizes.d for cell in cells})
    figure, panels = make_panels(len(widths), 3.1, 3.5, 4, sharey=True)
    looks = dict(zip(series, zip(colours_of(len(series)), MARKERS, strict=False), strict=True))
    for axes, d in zip(panels, widths, strict=True):
        here = [cell for cell in cells if cell.sizes.d == d]
        top = max(place[cell.name] for cell in here) + 1
        axes.plot([0, top], [0, top], color="0.6", linestyle=":", label=f"AD = {symbol}")
        shown = [family for family in series if family in {family_of(c, SIZES) for c in here}]
        apart = min(0.24, 0.3 / max(len(shown), 1))
        for i, family in enumerate(shown):
            members = [cell for cell in here if family_of(cell, SIZES) == family]
            colour, marker = looks[family]
            plot_ad(
                axes,
                np.array([place[cell.name] for cell in members], float),
                [by_name[cell.name] for cell in members],
                view.run.config.analysis.ad_threshold,
                colour=colour,
                marker=marker,
                offset=(2 * i + 1 - len(shown)) * apart,
                apart=apart,
                label=series_label(members[0], ("t",)),
            )
        axes.set_title(f"d = {d}")
        axes.set_xlabel(f"{'dimensions left,' if told else 'manifold dimension'} {symbol}")
        axes.set_xticks(sorted({place[cell.name] for cell in here}))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("active dimensions\n(mean and 95 % interval)")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=10,
    applies=lambda view: view.has_counts,
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
