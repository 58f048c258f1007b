"""Remark 1 of CVAE-dims on trained models with a learned prior."""

from mdvae.analysis.summary import CONVERTED, prior_conversions
from mdvae.reports.base import Section, View


def _sentences(view: View) -> list[str]:
    """How far the loss of a sample moves where a learned prior is turned into N(0, I)."""
    changes = prior_conversions(view.run)
    if not changes:
        return []
    return [
        f"Remark 1: turned into models with the prior N(0, I), {len(changes)} trained models with a"
        f" learned prior keep the nelbo of each of {CONVERTED:,} samples to {max(changes):.1e} of"
        " the largest, in double precision."
    ]


SECTION = Section(
    order=40,
    applies=lambda view: (
        any(cell.value("prior") == "learned" for cell in view.run.cells)
        and any("nelbo" in row for row in view.run.results)
    ),
    sentences=_sentences,
)
