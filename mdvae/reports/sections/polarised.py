"""The polarised regime: latents that are active, passive and mixed, and what is said of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.polarised import ACTIVE, CLASSES, MIXED, PASSIVE
from mdvae.analysis.regime import POLARISED, can_be_classified, measured_by
from mdvae.analysis.statements import STATEMENTS
from mdvae.analysis.statistics import mean_interval
from mdvae.reports.base import Picture, Section, View
from mdvae.reports.distances import missing_lines
from mdvae.reports.plotting import first_of
from mdvae.reports.regimes import MOST_PANELS, draw_densities, draw_ratios
from mdvae.reports.sections.dimensions import fraction_text
from mdvae.reports.tables import Table, axis_columns, interval_text, number, plain
from mdvae.settings.registry import ANALYSES
from mdvae.store.rundir import Row, read_csv

# How far a mixed latent's share of samples may be from what was planted.
NEAR_SHARE = 0.1


def _latents(view: View) -> list[Row]:
    """The rows of polarised.csv that are by the settings of the analysis as it is."""
    by = measured_by(view.run.config.analysis)
    rows = read_csv(view.run.path / POLARISED)
    return [row for row in rows if row["measured_with"] == by]


def _applies(view: View) -> bool:
    return ANALYSES.find(view.run.config.analysis.kind).measure is not None


def _by_run(rows: Sequence[Row]) -> dict[str, dict[int, list[Row]]]:
    found: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        found.setdefault(row["cell"], {}).setdefault(row["seed"], []).append(row)
    return found


def _count(rows: Sequence[Row], regime: str) -> int:
    return sum(row["regime"] == regime for row in rows)


def is_right(rows: Sequence[Row], expected: theory.Expected) -> bool:
    """Whether a run has as many latents of each class as are expected."""
    wanted = {ACTIVE: expected.active, MIXED: expected.mixed, PASSIVE: expected.passive}
    return all(_count(rows, regime) == n for regime, n in wanted.items())


def has_right_shares(rows: Sequence[Row], expected: theory.Expected) -> bool:
    """Whether a run has the mixed latents, each for about as many samples as are expected."""
    shares = sorted(row["active"] for row in rows if row["regime"] == MIXED)
    return len(shares) == expected.mixed and bool(
        np.allclose(shares, expected.mixed_shares, rtol=0.0, atol=NEAR_SHARE)
    )


def _count_rows(view: View) -> list[Row]:
    """A row per cell: counts over seeds, and how many are as expected."""
    found = []
    for name, runs in _by_run(_latents(view)).items():
        expected = theory.expected_classes(view.cells[name])
        row: Row = {"cell": name, "runs": len(runs), "expected": expected}
        for regime in CLASSES:
            row[regime] = mean_interval([_count(rows, regime) for rows in runs.values()])
        every = [each for rows in runs.values() for each in rows]
        shares = [r["active"] for r in every if r["regime"] == MIXED]
        row["shares"] = mean_interval(shares)
        row["sure"] = float(np.mean([r["sure"] >= 0.95 for r in every]))
        if expected is not None:
            row["right"] = sum(is_right(rows, expected) for rows in runs.values())
            row["right_shares"] = sum(has_right_shares(rows, expected) for rows in runs.values())
        found.append(row)
    return found


def _expected_text(row: Mapping[str, Any]) -> str:
    expected = row["expected"]
    return "–" if expected is None else "/".join(map(str, expected[:3]))


def _right_text(row: Mapping[str, Any]) -> str:
    return "–" if row["expected"] is None else f"{row['right']}/{row['runs']}"


def _shares_text(row: Mapping[str, Any]) -> str:
    if not row["shares"].n:
        return "–"
    expected = row["expected"]
    wanted = (
        ""
        if expected is None or not expected.mixed
        else " of " + ", ".join(f"{share:g}" for share in dict.fromkeys(expected.mixed_shares))
    )
    return f"{number(row['shares'].mean)}{wanted}"


def _statement_rows(view: View) -> list[Row]:
    """A row per statement: of how many latents of its class it holds, over all cells and seeds."""
    latents = _latents(view)
    found = []
    for statement in STATEMENTS:
        of = [row for row in latents if not statement.of or row["regime"] == statement.of]
        values = np.array([row[statement.column] for row in of], float)
        values = values[np.isfinite(values)]
        if len(values):
            held = int(np.sum(values <= statement.limit))
            found.append({"statement": statement, "n": len(values), "held": held, "values": values})
    return found


def _tables(view: View) -> list[Table]:
    rows, name = _count_rows(view), view.run.config.name
    if not rows:
        return []
    counts = [
        *axis_columns(view.cells, rows),
        *(
            plain(regime, lambda row, regime=regime: interval_text(row[regime], 1))
            for regime in CLASSES
        ),
        plain("expected a/m/p", _expected_text),
        plain("as expected", _right_text),
        plain("mixed are active for", _shares_text),
        plain("sure of", lambda row: f"{100 * row['sure']:.0f} %"),
        plain("seeds", lambda row: str(row["runs"])),
    ]
    caption = (
        f"{name}: latents by their regime, mean and 95 % interval over seeds; how many are expected"
        " to be active, mixed and passive; for which share of the samples mixed latents are"
        " active; and of how many latents 95 % of the resamples of the samples say the same."
    )
    told = [
        plain("source", lambda row: row["statement"].source),
        plain("latents", lambda row: row["statement"].of or "all"),
        plain("statement, and its number", lambda row: row["statement"].words),
        plain("median", lambda row: number(float(np.median(row["values"])), 2)),
        plain("largest", lambda row: number(float(np.max(row["values"])), 2)),
        plain("limit", lambda row: f"{row['statement'].limit:g}"),
        plain("holds in", lambda row: f"{row['held']}/{row['n']}"),
    ]
    verdicts = (
        f"{name}: what theory says of the latents of each class, over all cells and seeds: the"
        " number that is to be small, up to which it is taken to hold, and for how many latents it"
        " does. All are free of the scale of a latent."
    )
    return [
        Table(counts, rows, caption, latex=True, printed=True),
        Table(told, _statement_rows(view), verdicts, latex=True, printed=True),
    ]


def _sentences(view: View) -> list[str]:
    settings: Any = view.run.config.analysis
    lines = missing_lines(
        view, _latents(view), "The latents of these models are", can_be_classified
    )
    rows = _count_rows(view)
    if not rows:
        return lines
    counts = sorted({row["n"] for row in _latents(view)})
    lines.append(
        f"Regime: a latent is active for a sample whose posterior over prior standard deviation is"
        f" below {settings.active_below:g}, and passive from {settings.passive_from:g} on. It is"
        f" active, or passive, where that is so for {100 * (1 - settings.margin):g} % of"
        f" {' or '.join(f'{n:,}' for n in counts)} samples, mixed where both are so for more than"
        f" {100 * settings.margin:g} %, and unclear otherwise."
    )
    known = [row for row in rows if row["expected"] is not None]
    for what, which in (("no", False), ("some", True)):
        of = [row for row in known if bool(row["expected"].mixed) == which]
        total = sum(row["runs"] for row in of)
        if not total:
            continue
        right = fraction_text(sum(row["right"] for row in of), total)
        if which:
            near = fraction_text(sum(row["right_shares"] for row in of), total)
            more = f"the mixed ones are active for shares of the samples within {NEAR_SHARE:g} in"
        else:
            near = fraction_text(_runs_with_mixed(view, {row["cell"] for row in of}), total)
            more = "mixed ones found in"
        lines.append(
            f"Where {what} latents are to be mixed, active, mixed and passive ones are as many as"
            f" expected in {right} runs, and {more} {near}."
        )
    return lines


def _runs_with_mixed(view: View, cells: set[str]) -> int:
    runs = _by_run(_latents(view))
    return sum(_count(rows, MIXED) > 0 for name in cells for rows in runs[name].values())


def _pictures(view: View) -> list[Picture]:
    runs = _by_run(_latents(view))
    if not runs:
        return []
    title = "Posterior over prior standard deviation by latent, first seed"
    title += first_of(len(runs), MOST_PANELS, "cells")
    found = [Picture("regime.png", title, draw_ratios(view, runs))]
    shown = view.shown.name if view.shown.name in runs else next(iter(runs))
    mixed = next((name for name in runs if _has_mixed(runs[name])), shown)
    for file, name in {"regime_densities.png": shown, "regime_mixed.png": mixed}.items():
        if file == "regime_mixed.png" and name == shown:
            continue
        densities = draw_densities(view, view.cells[name], runs[name])
        if densities is not None:
            found.append(Picture(file, f"A latent of each regime, {name}", densities))
    return found


def _has_mixed(runs: Mapping[int, Sequence[Row]]) -> bool:
    return any(_count(rows, MIXED) for rows in runs.values())


SECTION = Section(
    order=14, applies=_applies, tables=_tables, sentences=_sentences, pictures=_pictures
)
