"""Variance ratios of images: all of a run as a histogram, and a published spectrum beside ours.

The histogram is that of TwoStage, Figure 11: ratios near 0 and near 1, and few between.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.analysis.summary import published_rows
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.imaging import is_of_images
from mdvae.reports.plotting import (
    LINES,
    MAX_PANELS,
    colours_of,
    first_of,
    full_title,
    legend_below,
    make_panels,
)
from mdvae.reports.sections.saturation import title_of
from mdvae.reports.tables import number
from mdvae.settings.grid import Cell, name_of
from mdvae.store.rundir import Row

PUBLISHED = "table11"
BINS = np.linspace(0.0, 1.0, 21)


def _spectra(view: View, cell: Cell) -> list[np.ndarray]:
    """The finite spectra of a cell, [kappa] by seed: means over parts of the data."""
    found = [view.run.mean_spectra.get((cell.name, seed)) for seed in view.run.seeds]
    return [ratios for ratios in found if ratios is not None and np.isfinite(ratios).all()]


def _families(view: View) -> list[list[Cell]]:
    """Cells of images that have spectra, those together that differ in kappa alone."""
    found: dict[str, list[Cell]] = {}
    for cell in view.run.cells:
        if is_of_images(cell) and _spectra(view, cell):
            rest = name_of(pair for pair in cell.point if pair[0] != "kappa")
            found.setdefault(rest, []).append(cell)
    return list(found.values())


def _published(cell: Cell) -> np.ndarray:
    """The published ratios of a cell, ascending; none of most."""
    own = {name: cell.value(name) for name in ("dataset", "model", "kappa")}

    def is_own(row: Row) -> bool:
        return all(row[name] == value for name, value in own.items())

    return np.sort([row["ratio"] for row in published_rows(PUBLISHED) if is_own(row)])


def _compared(view: View) -> Iterator[tuple[Cell, np.ndarray, list[np.ndarray]]]:
    """Cells with a published spectrum: it and our own."""
    for cell in view.run.cells:
        published, own = _published(cell), _spectra(view, cell)
        if len(published) and own and is_of_images(cell):
            yield cell, published, own


def _told(spectra: Sequence[np.ndarray], threshold: float) -> str:
    """How many ratios are below a threshold, between what, and between what the others are."""
    counts = [int(np.sum(ratios < threshold)) for ratios in spectra]
    every = np.concatenate(spectra)
    few, most = min(counts), max(counts)
    words = f"{few}" if few == most else f"{few} to {most}"
    for text, mine in (
        (" active, ratios {} to {}", every[every < threshold]),
        ("; the others {} to {}", every[every >= threshold]),
    ):
        words += text.format(number(mine.min()), number(mine.max())) if len(mine) else ""
    return words


def _sentences(view: View) -> list[str]:
    threshold = view.run.config.analysis.ad_threshold
    return [
        f"{cell.name}: by the threshold {threshold:g} the published spectrum (CVAE-dims, Table 11,"
        f" one run) has {_told([published], threshold)}; ours ({len(own)} seeds) have"
        f" {_told(own, threshold)}."
        for cell, published, own in _compared(view)
    ]


def _pictures(view: View) -> list[Picture]:
    families = _families(view)
    more = first_of(len(families), MAX_PANELS, "kinds of cells")
    found = [
        Picture(
            "variance_histogram.png",
            "Histogram of encoder over prior variances" + more,
            _draw_histogram(view, families[:MAX_PANELS]),
        )
    ]
    if any(_compared(view)):
        title = "Sorted spectra beside the published one (CVAE-dims, Table 11)"
        found.append(Picture("published_spectrum.png", title, _draw_published(view)))
    return found


def _draw_histogram(view: View, families: Sequence[list[Cell]]) -> Figure:
    """Fractions of all latents by ratio: a panel per kind of cell, a line per kappa."""
    figure, panels = make_panels(len(families), 2.9, 2.5, 3, sharex=True, sharey=True)
    kappas = sorted({cell.sizes.kappa for cells in families for cell in cells})
    looks = dict(zip(kappas, colours_of(len(kappas)), strict=True))
    styles = {kappa: LINES[k % len(LINES)] for k, kappa in enumerate(kappas)}
    for i, (axes, cells) in enumerate(zip(panels, families, strict=True)):
        for cell in cells:
            every = np.clip(np.concatenate(_spectra(view, cell)), 0.0, 1.0)
            counts, _ = np.histogram(every, BINS)
            kappa = cell.sizes.kappa
            axes.stairs(
                counts / len(every),
                BINS,
                color=looks[kappa],
                linestyle=styles[kappa],
                linewidth=1.4,
                label=f"κ = {kappa}",
            )
        axes.set_title(title_of(cells[0]), fontsize=7)
        axes.set_xlabel("encoder over prior variance")
        if i % 3 == 0:
            axes.set_ylabel("fraction of latents, all seeds")
    panels[0].set_ylim(0, 1.03)
    legend_below(figure, panels, numbered=True)
    return figure


def _draw_published(view: View) -> Figure:
    """Sorted ratios, a line per seed, and the published ones as hollow markers."""
    compared = list(_compared(view))[:MAX_PANELS]
    figure, panels = make_panels(len(compared), 3.4, 2.7, 3, sharey=True)
    panels[0].set_yscale("log")
    threshold = view.run.config.analysis.ad_threshold
    for i, (axes, (cell, published, own)) in enumerate(zip(panels, compared, strict=True)):
        latents = np.arange(1, len(published) + 1)
        for ratios, colour in zip(own, colours_of(len(own)), strict=True):
            line = axes.plot(latents, np.sort(ratios), ".-", color=colour, linewidth=0.8)[0]
            line.set(markersize=3, label="ours, a line per seed")
        style = {"color": "0.45", "markerfacecolor": "none", "markersize": 6, "zorder": 3}
        axes.plot(latents, published, "o", **style, label="published")
        label = f"threshold {threshold:g}"
        axes.axhline(threshold, color="tab:red", linestyle="--", linewidth=0.8, label=label)
        axes.set_title(full_title(cell), fontsize=7)
        axes.set_xlabel("latent, sorted")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if i % 3 == 0:
            axes.set_ylabel("encoder over prior variance")
    legend_below(figure, panels)
    return figure


SECTION = Section(
    order=62,
    applies=lambda view: bool(_families(view)),
    sentences=_sentences,
    pictures=_pictures,
)
