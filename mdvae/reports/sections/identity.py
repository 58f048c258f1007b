"""Whether the encoder's covariance is the one that the decoder's Jacobian makes best.

TwoStage, eq. 83: Sigma_z = (I + J^T J / gamma)^-1; see `analysis.jacobian`.
"""

import functools
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mdvae.analysis.jacobian import (
    Identity,
    can_be_differentiated,
    correlation,
    decades_off,
    identity_of,
)
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.imaging import Shown, chosen, evaluated, is_of_images
from mdvae.reports.plotting import first_of, full_title, legend_below, make_panels
from mdvae.reports.tables import Table, axis_columns, fixed, plain

CELLS = 6

CAPTION = (
    "The identity Sigma_z = (I + J^T J / γ)^-1 (TwoStage, eq. 83), J the Jacobian of the decoder at"
    " the mean of q, by image and latent and in units of the prior. Off: median over images and"
    " active latents (mean variance below {threshold}) of |log10(measured / predicted)|."
    " Correlations are of log variances, over all latents, over the active ones, and of each"
    " latent's means over images. Of a diagonal"
    " encoder the predicted variances are the best that a diagonal covariance can have,"
    " 1 / (1 + (J^T J)_jj / γ), and beside them the diagonal of Sigma_z; of a full one they are the"
    " eigenvalues of Sigma_z."
)


class Checked(NamedTuple):
    """The identity on one trained model."""

    shown: Shown
    found: Identity

    @property
    def best(self) -> np.ndarray:
        """The variances that the encoder should have, [n, kappa]."""
        diagonal = self.found.best_diagonal
        return self.found.by_jacobian if diagonal is None else diagonal


# Tables, sentences and pictures of one report show the same.
@functools.lru_cache(maxsize=1)
def _checked(view: View) -> list[Checked]:
    # Of the small nets on vectors it would hold as well, but a report on Table 1 has seventy cells.
    models = [each for each in chosen(view, CELLS) if can_be_differentiated(each.model)]
    return [Checked(each, identity_of(each.model, *evaluated(view, each))) for each in models]


def _row(view: View, checked: Checked) -> dict:
    found, threshold = checked.found, view.run.config.analysis.ad_threshold
    active = found.measured.mean(axis=0) < threshold
    of_active = found.measured[:, active], checked.best[:, active]
    own = found.best_diagonal is not None
    off = decades_off(found.measured, found.by_jacobian, threshold)
    return {
        "cell": checked.shown.cell.name,
        "seed": checked.shown.seed,
        "images": len(found.measured),
        "off": decades_off(found.measured, checked.best, threshold),
        "off_full": off if own else None,
        "correlation": correlation(found.measured, checked.best),
        "of_means": correlation(found.measured.mean(axis=0), checked.best.mean(axis=0)),
        "of_active": correlation(*of_active) if active.any() else None,
        "error": None if found.error is None else float(np.median(found.error)),
    }


def _tables(view: View) -> list[Table]:
    rows = [_row(view, each) for each in _checked(view)]
    if not rows:
        return []
    columns = [
        *axis_columns(view.cells, rows),
        plain("seed", lambda row: str(row["seed"])),
        plain("images", lambda row: str(row["images"])),
        plain("off, decades", lambda row: fixed(row["off"], 3)),
        plain("correlation", lambda row: fixed(row["correlation"], 3)),
        plain("correlation, active", lambda row: fixed(row["of_active"], 3)),
        plain("correlation of means over images", lambda row: fixed(row["of_means"], 3)),
    ]
    if any(row["off_full"] is not None for row in rows):
        title = "off from the diagonal of Sigma_z, decades"
        columns.append(plain(title, lambda row: fixed(row["off_full"], 3)))
    if any(row["error"] is not None for row in rows):
        title = "relative Frobenius error, median"
        columns.append(plain(title, lambda row: fixed(row["error"], 3)))
    return [Table(columns, rows, CAPTION.format(threshold=view.threshold))]


def _sentences(view: View) -> list[str]:
    off = [_row(view, each)["off"] for each in _checked(view)]
    off = [value for value in off if np.isfinite(value)]
    if not off:
        return []
    low, high = (f"{10**value:.2f}" for value in (min(off), max(off)))
    factor = f"a factor {low}" if low == high else f"factors {low} to {high} by model"
    return [
        "The encoder's active variances are those that the decoder's Jacobian makes best (TwoStage,"
        f" eq. 83) to {factor}, the median over images and latents."
    ]


def _pictures(view: View) -> list[Picture]:
    checked = _checked(view)
    if not checked:
        return []
    of_images = sum(is_of_images(cell) for cell in view.run.cells)
    title = "Encoder variances beside those that the decoder's Jacobian makes best"
    return [Picture("identity.png", title + first_of(of_images, CELLS, "cells"), _draw(checked))]


def _draw(checked: list[Checked]) -> Figure:
    """Measured against predicted variances, a point per image and latent: a panel per model."""
    figure, panels = make_panels(len(checked), 2.6, 2.7, 3, sharex=True, sharey=True)
    low = min(min(each.found.measured.min(), each.best.min()) for each in checked)
    ends = [min(low / 1.5, 0.05), 2.0]
    for i, (axes, each) in enumerate(zip(panels, checked, strict=True)):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.scatter(each.best, each.found.measured, s=3, color="0.25", alpha=0.35, linewidths=0)
        axes.plot(ends, ends, color="tab:red", linestyle="--", linewidth=1.0, label="equal")
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_title(full_title(each.shown.cell, f"seed {each.shown.seed}"), fontsize=7)
        axes.set_xlabel("predicted from the Jacobian")
        if i % 3 == 0:
            axes.set_ylabel("encoder variance\nover the prior's")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=48,
    applies=lambda view: view.has_counts and any(is_of_images(cell) for cell in view.run.cells),
    tables=_tables,
    sentences=_sentences,
    pictures=_pictures,
)
