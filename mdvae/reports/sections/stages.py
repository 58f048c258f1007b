"""What two stages generate against what one does: distances from held-out data, cell by cell."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdvae.analysis.measuring import GENERATED
from mdvae.analysis.statistics import Interval
from mdvae.reports.base import Section, View
from mdvae.reports.distances import (
    HOW_MEASURED,
    by_measure,
    missing_lines,
    reading_text,
    source_columns,
)
from mdvae.reports.generated import Found, is_distance, measure_text, ratio_of, source_of
from mdvae.reports.staging import opened, staged_cells
from mdvae.reports.tables import Table, axis_columns, number, plain
from mdvae.stages.measures import ONE, SOURCES, TWO
from mdvae.store.rundir import Row, read_csv

# What a ratio of distances is held against.
HALF = 0.5


def ratio_text(found: Interval) -> str:
    """A ratio and its interval, or a dash."""
    text = number(found.mean)
    if np.isfinite(found.low):
        text += f" [{number(found.low, 2)}, {number(found.high, 2)}]"
    return text


def _ratio(row: Mapping[str, Any]) -> str:
    ratio = ratio_of(dict(row))
    return ratio_text(ratio) if ratio.n else "– (one stage may be 0)"


def _tables(view: View) -> list[Table]:
    columns = [
        *axis_columns(staged_cells(view), view.generated),
        *source_columns(SOURCES),
        plain("two stages / one", _ratio),
        plain("seeds", lambda row: str(row["runs"])),
    ]
    caption = (
        f"{view.run.config.name}: distances of generated samples from held-out ones; {HOW_MEASURED}"
    )
    return [Table(columns, by_measure(view.generated), caption, latex=True, printed=True)]


def _reading(view: View) -> str:
    """How the table is to be read."""
    return (
        f"{reading_text(view)} The aggregate posterior is what a perfect second stage would"
        " generate (of real data it is that of the held-out samples themselves, and may be closer"
        " to them than others are); the data are other samples of themselves, the least that can"
        " be told apart. The Fréchet distance is larger of fewer samples."
    )


def _apart(less: Found, more: Found) -> bool:
    return less.high < more.low


def _in(count: int, total: int) -> str:
    return f"{count} of {total} cell{'' if total == 1 else 's'}"


def comparison(measure: str, rows: Sequence[Row]) -> str:
    """In how many cells two stages are closer to the data than one, by a measure.

    Args:
        rows: of `generated_rows`, of that measure.
    """
    pairs = [(source_of(row, ONE), source_of(row, TWO), ratio_of(row)) for row in rows]
    known = [each for each in pairs if np.isfinite(each[0].mean) and np.isfinite(each[1].mean)]
    clear = sum(row["clearly_better"] == row["runs"] for row in rows)
    clearly = f"by the bootstraps' intervals of every seed in {clear}"
    if not known:
        return ""
    head, total = measure_text(measure), len(known)
    if not is_distance(measure):
        better = [(one, two) for one, two, _ in known if two.mean > one.mean]
        apart = sum(_apart(one, two) for one, two in better)
        return (
            f"{head}: two stages have more than one stage in {_in(len(better), total)}, with"
            f" intervals apart in {apart}, {clearly}."
        )
    better = [(one, two) for one, two, _ in known if two.mean < one.mean]
    apart = sum(_apart(two, one) for one, two in better)
    text = (
        f"{head}: two stages are below one stage in {_in(len(better), total)}, with intervals"
        f" apart in {apart}, {clearly}"
    )
    ratios = [ratio for *_, ratio in known if ratio.n]
    if ratios:
        halved = [ratio for ratio in ratios if ratio.mean <= HALF]
        whole = sum(ratio.high <= HALF for ratio in halved)
        text += (
            f"; at most half of it in {len(halved)}, by the whole interval of the ratio in {whole}"
        )
    if len(ratios) < total:
        text += (
            f"; in {_in(total - len(ratios), total)} the bootstrap's interval of one stage contains"
            " 0, and a ratio to it would say nothing"
        )
    return f"{text}."


def _sentences(view: View) -> list[str]:
    lines = missing_lines(
        view, read_csv(view.run.path / GENERATED), "What this second stage generates is"
    )
    if view.generated:
        lines.append(_reading(view))
    for measure in dict.fromkeys(row["measure"] for row in view.generated):
        lines.append(comparison(measure, [r for r in view.generated if r["measure"] == measure]))
    found = opened(view)
    if found.stages is None:
        lines.append(f"There are no pictures of the first stage: {found.why}")
    else:
        where = os.path.relpath(found.stages.first.path / "report.md", view.run.path)
        lines.append(
            f"The first stage has a report of its own, {where}: its"
            " losses and γ over training, its spectra and active dimensions; of images also a"
            " histogram of the variances λ (variance_histogram.png), reconstructions, and what"
            " steps along a latent change."
        )
    return [line for line in lines if line]


SECTION = Section(
    order=5, applies=lambda view: view.is_second, tables=_tables, sentences=_sentences
)
