"""The figures for which a trained model is asked: what it leaves over, and its coordinates."""

import json
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdvae.data.array_given import standardised
from mdvae.data.arrays import samples_of, split_order
from mdvae.estimation.answer import Estimate
from mdvae.estimation.folder import CVAE, GIVEN, REQUEST, TABLE
from mdvae.estimation.shown import active_latents, cell_at, rung_at
from mdvae.reports.plotting import LINES, MARKERS, colours_of, legend_below, plain_text, say_why
from mdvae.settings.words import counted
from mdvae.store.loading import load_run

# Rows that are encoded, and entries of them: of wide tables fewer rows.
MOST_ROWS, LEAST_ROWS, MOST_ENTRIES = 5_000, 500, 20_000_000
MOST_BARS, WORST = 60, 8
# Left of a column's standard deviation, from which on a model cannot be said to follow it.
NOT_FOLLOWED = 0.5
CELLS = 40
# Darker where there is more, and nowhere so light that paper hides it.
SHADES = ListedColormap(colours_of(64)[::-1])


class Fitted(NamedTuple):
    """What the chosen model makes of a table.

    Attributes:
        codes: posterior means of the active latents, [n, active], those of least ratio first.
        labels: place of each of the n rows in the classes, or None.
        classes: their names.
        residuals: root mean square residual on held-out rows over the standard deviation, [d].
        gamma: the same as the model has it, [d].
        columns: names of the d columns.
    """

    codes: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    residuals: np.ndarray
    gamma: np.ndarray
    columns: tuple[str, ...]


def _labels(estimate: Estimate, rows: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Classes of some rows, as the CVAE was told them, and their names."""
    request, told = estimate.workdir / REQUEST, estimate.workdir / f"{CVAE}-{GIVEN}"
    if not request.is_file() or not told.is_file():
        return None, ()
    classes = tuple(json.loads(request.read_text(encoding="utf-8"))["classes"])
    one_hot = np.load(told, mmap_mode="r")[rows, : len(classes)]
    return np.argmax(one_hot, axis=1), classes


def look_at(estimate: Estimate) -> Fitted:
    """Encodes rows of an estimate's table, and decodes those that are held out."""
    run = load_run(estimate.workdir / estimate.ladder)
    cell = cell_at(run, estimate.kappa)
    table = np.load(estimate.workdir / TABLE, mmap_mode="r")
    most = min(MOST_ROWS, max(LEAST_ROWS, MOST_ENTRIES // table.shape[1]))
    rows = split_order(len(table))[:most]
    x = np.asarray(table[rows], np.float64)
    given = estimate.workdir / f"{estimate.ladder}-{GIVEN}"
    c = standardised(np.load(given))[rows] if given.is_file() else None
    model = run.model(cell, estimate.seed)
    mean, _ = model.encode(x, c)
    # The place of the file may be another by now, which the number of held-out rows is not.
    held_out = min(samples_of(cell.data)[1], len(rows))
    again = model.decode(mean[:held_out], None if c is None else c[:held_out])
    left = np.sqrt(np.mean((x[:held_out] - again) ** 2, axis=0))
    spread = x.std(axis=0)
    spread = np.where(spread > 0, spread, np.nan)
    gamma = rung_at(estimate.rungs, estimate.kappa).gamma[run.seeds.index(estimate.seed)]
    labels, classes = _labels(estimate, rows)
    return Fitted(
        codes=mean[:, active_latents(run, cell, estimate.seed)],
        labels=labels,
        classes=classes,
        residuals=left / spread,
        gamma=np.sqrt(gamma) / spread,
        columns=estimate.columns,
    )


def _bars(axes: Axes, fitted: Fitted) -> None:
    """A bar for each column, darker where the model does not follow it."""
    places = np.arange(len(fitted.columns))
    bad = fitted.residuals >= NOT_FOLLOWED
    dark, light = colours_of(2)
    for mine, colour, hatch, name in (
        (~bad, light, "", "followed"),
        (bad, dark, "//", "not followed"),
    ):
        if np.any(mine):
            axes.bar(
                places[mine], fitted.residuals[mine], color=colour, hatch=hatch, ec="w", label=name
            )
    # White around black is seen on bars and beside them.
    axes.plot(places, fitted.gamma, "w_", markersize=9, markeredgewidth=3.5)
    axes.plot(
        places, fitted.gamma, "k_", markersize=7, markeredgewidth=1.5,
        label="√γ, the model's own level",
    )  # fmt: skip
    few = len(places) <= 8
    names = [plain_text(name) for name in fitted.columns]
    axes.set_xticks(places, names, rotation=0 if few else 90, fontsize=8 if few else 6)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.8, len(places) - 0.2)
    axes.set_ylabel("residual (root mean square)\nover standard deviation")


def _histogram(axes: Axes, fitted: Fitted) -> None:
    """How many columns have how much left, and the names of the worst."""
    known = fitted.residuals[np.isfinite(fitted.residuals)]
    axes.hist(known, bins=40, color=colours_of(2)[1], ec="w", label="columns")
    level = float(np.nanmedian(fitted.gamma))
    axes.axvline(level, color="black", label="√γ, the model's own level (median column)")
    if known.max() >= NOT_FOLLOWED:
        axes.axvline(NOT_FOLLOWED, color="0.4", ls="--", label="beyond: not followed")
    worst = np.argsort(-np.nan_to_num(fitted.residuals))[:WORST]
    named = [f"{plain_text(fitted.columns[j])}: {fitted.residuals[j]:.2g}" for j in worst]
    axes.annotate(
        "\n".join(["most left:", *named]),
        (1.01, 1.0),
        xycoords="axes fraction",
        va="top",
        fontsize=7,
        annotation_clip=False,
    )
    axes.set_xlabel("residual (root mean square) over standard deviation")
    axes.set_ylabel("columns")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def draw_residuals(fitted: Fitted) -> Figure:
    """What the model leaves over of each column, on held-out rows."""
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    axes = figure.subplots()
    (_bars if len(fitted.columns) <= MOST_BARS else _histogram)(axes, fitted)
    bad = int(np.sum(fitted.residuals >= NOT_FOLLOWED))
    many = f"{bad} of {counted(len(fitted.columns), 'column')}"
    axes.set_title(
        f"the model does not follow {many}: half of the standard deviation or more is left"
        if bad
        else "the model follows all columns: none has half of its standard deviation left",
        fontsize=9,
    )
    legend_below(figure, [axes])
    return figure


def plane_of(codes: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """At most two coordinates of codes, [n, 0 to 2], and what they are."""
    active = codes.shape[1]
    if active <= 2:
        return codes, tuple(f"active latent {i + 1}" for i in range(active))
    centred = codes - codes.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    shares = values[::-1][:2] / values.sum()
    names = tuple(
        f"component {i + 1} of {active} active latents\n({share:.0%} of their variance)"
        for i, share in enumerate(shares)
    )
    return centred @ vectors[:, ::-1][:, :2], names


def _density(plane: np.ndarray) -> np.ndarray:
    """How many rows are in the same cell of a grid, [n]."""
    counts, *edges = np.histogram2d(*plane.T, bins=CELLS)
    places = [
        np.clip(np.searchsorted(e, v) - 1, 0, CELLS - 1)
        for e, v in zip(edges, plane.T, strict=True)
    ]
    return counts[places[0], places[1]]


def _groups(fitted: Fitted) -> list[tuple[str, np.ndarray]]:
    """Rows of each class, the largest first; those that have no marker of their own together."""
    assert fitted.labels is not None
    sizes = np.bincount(fitted.labels, minlength=len(fitted.classes))
    order = [int(place) for place in np.argsort(-sizes, kind="stable") if sizes[place]]
    shown = order if len(order) <= len(MARKERS) else order[: len(MARKERS) - 1]
    groups = [(f"class {plain_text(fitted.classes[j])}", fitted.labels == j) for j in shown]
    if len(shown) < len(order):
        groups.append((f"{len(order) - len(shown)} other classes", ~np.isin(fitted.labels, shown)))
    return groups


def draw_latents(fitted: Fitted) -> Figure:
    """The active coordinates of rows in a plane, or the histogram of a single one."""
    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    axes = figure.subplots()
    plane, names = plane_of(fitted.codes)
    labels = fitted.labels
    labelled = labels is not None
    groups = _groups(fitted) if labelled else [("rows", np.full(len(plane), True))]
    colours = [tuple(colour) for colour in colours_of(len(groups))]
    if labels is not None and len(groups) < len(np.unique(labels)):
        colours[-1] = (0.7, 0.7, 0.7, 1.0)
    unit = "prior standard deviations"
    axes.set_title(f"{len(plane):,} rows", fontsize=9)
    if not names:
        axes.set_axis_off()
        say_why(axes, "the chosen model has no active latent")
        return figure
    axes.set_xlabel(f"{names[0]}, {unit}")
    if len(names) == 1:
        edges = np.histogram_bin_edges(plane[:, 0], CELLS).tolist()
        for i, (name, mine) in enumerate(groups):
            look: dict[str, Any] = {"histtype": "step", "ls": LINES[i % len(LINES)]}
            look = look if labelled else {}
            axes.hist(plane[mine, 0], edges, color=colours[i], label=name, **look)
        axes.set_ylabel("rows")
    else:
        axes.set_ylabel(f"{names[1]}, {unit}")
        axes.set_aspect("equal", adjustable="datalim")
        if labelled:
            for i, (name, mine) in enumerate(groups):
                axes.scatter(
                    *plane[mine].T, s=13, color=colours[i], marker=MARKERS[i], lw=0, alpha=0.7,
                    label=name,
                )  # fmt: skip
        else:
            density = _density(plane)
            order = np.argsort(density)
            drawn = axes.scatter(
                *plane[order].T,
                c=density[order],
                s=5,
                lw=0,
                cmap=SHADES,
                vmin=0,
            )
            figure.colorbar(drawn, ax=axes, label="rows in the same cell of a grid", shrink=0.8)
    if labelled:
        legend_below(figure, [axes])
    return figure
