"""Statistics over seeds, by cell, part of the data and ladder, beside the published values."""

import csv
from collections.abc import Sequence
from importlib import resources

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.estimates import LOSSES, family_rates
from mdvae.analysis.rows import coordinates
from mdvae.analysis.statistics import fraction_interval, mean_interval
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell
from mdvae.store import records
from mdvae.store.loading import LoadedRun
from mdvae.store.rundir import Row

AVERAGED = (
    "ad",
    "ad_gap",
    "ad_log_gap",
    "nelbo",
    "recon",
    "kl",
    "gamma",
    "neg_elbo_paper_units",
    "kl_paper_units",
    "r_hat_slope",
    "r_hat_recon",
    "gap_low",
    "gap_high",
    "resolvable",
    "resolvable_share",
    "resolvable_ad",
    "ad_of_parts",
    "ad_gap_of_parts",
)
# Samples on which a conversion of the prior is checked.
CONVERTED = 1_000
PAPER_COLUMNS = ("ad", "recon", "kl", "gamma", "neg_elbo")
# What may tell which cell a published row is of; a table has those that it needs.
PAPER_COORDINATES = (
    "model",
    "prior",
    "attention",
    "log_gamma_init",
    "dataset",
    "covariance",
    "past",
)


def published_rows(name: str) -> list[Row]:
    """The published table of a name, or none for "".

    Raises:
        ConfigError: where there is no such table.
    """
    if not name:
        return []
    source = resources.files("mdvae.published") / f"{name}.csv"
    if not source.is_file():
        raise ConfigError(f"analysis.published: there is no table {name!r}; see mdvae/published")
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return [{k: records.parse_value(v) for k, v in row.items()} for row in rows]


def _paper_row(cell: Cell, part: int | None, published: Sequence[Row]) -> Row:
    """The published row of a cell, or of a part of its data."""
    own = {name: cell.value(name) for name in PAPER_COORDINATES}
    own |= {**coordinates(cell), "part": part}
    for row in published:
        if part is not None and "part" not in row:
            continue  # of a whole cell
        told = [name for name in own if name in row]
        # A table that tells of no cell, as of other systems, has a row for none.
        if told and all(row[name] == own[name] or row[name] == str(own[name]) for name in told):
            return row
    return {}


def _averaged(rows: Sequence[Row]) -> list[str]:
    """The columns of which a summary has statistics: the usual ones, and a method's own scores.

    A method's own stand between the number of steps and that of parts.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if "parts" in names and not set(names) >= LOSSES:
        own = names[names.index("steps") + 1 : names.index("parts")]
        return [name for name in own if name not in AVERAGED] + [
            name for name in AVERAGED if name in names
        ]
    return list(AVERAGED)


def _statistics(
    mine: Sequence[Row], averaged: Sequence[str], expected: int | None, paper: Row
) -> Row:
    """The columns of a summary: over the runs of one cell, or of one part of it."""
    sound = [row for row in mine if row["status"] == "ok"]
    counted = any(row.get("ad") is not None or row.get("ad_gap") is not None for row in sound)
    summary: Row = {
        "expected_ad": expected,
        "runs": len(mine),
        "diverged": len(mine) - len(sound),
        "no_gap": sum(row["ad_gap"] is None for row in sound) if counted else None,
    }
    for name in averaged:
        interval = mean_interval([row.get(name) for row in sound])
        for word, value in interval._asdict().items():
            summary[f"{name}_{word}"] = value
    # Nothing is right or wrong of a method that counts none; of one that does, a run that diverged.
    judged = len(mine) if expected is not None and (counted or not sound) else 0
    for rule in ("ad", "ad_gap", "ad_log_gap"):
        hits = sum(row.get(rule) == expected for row in sound if expected is not None)
        interval = fraction_interval(hits, judged)
        summary[f"{rule}_correct"] = interval.mean
        summary[f"{rule}_correct_low"] = interval.low
        summary[f"{rule}_correct_high"] = interval.high
    for name in PAPER_COLUMNS:
        summary[f"paper_{name}"] = paper.get(name)
    return summary


def summarise(run: LoadedRun) -> list[Row]:
    """One row per cell: statistics over seeds beside the published values."""
    published = published_rows(run.config.analysis.published)
    averaged = _averaged(run.results)
    return [
        {
            **coordinates(cell),
            "parts": len(cell.parts),
            "in_theorem": int(theory.in_theorem(cell)),
            **_statistics(
                [row for row in run.results if row["cell"] == cell.name],
                averaged,
                theory.expected_ad(cell),
                _paper_row(cell, None, published),
            ),
        }
        for cell in run.cells
    ]


def summarise_parts(run: LoadedRun) -> list[Row]:
    """One row per cell and part, of the cells whose data have several."""
    published = published_rows(run.config.analysis.published)
    averaged = _averaged(run.results)
    return [
        {
            **coordinates(cell),
            "part": part.value,
            **_statistics(
                [row for row in run.parts if (row["cell"], row["part"]) == (cell.name, part.value)],
                averaged,
                theory.expected_of_part(cell, part),
                _paper_row(cell, part.value, published),
            ),
        }
        for cell in run.cells
        for part in cell.parts
        if len(cell.parts) > 1
    ]


def ladder_rows(run: LoadedRun) -> list[Row]:
    """One row per ladder of held log gammas, over all seeds: the columns of rates.csv.

    Without those of models whose loss does not fall with log gamma (Theorem 3).
    """
    cells = {cell.name: cell for cell in run.cells}
    rows = []
    min_gap = run.config.analysis.ad_min_gap
    for ladder, members in theory.ladders(run.cells).items():
        family = family_rates(members, run.seeds, run.results, run.mean_spectra, min_gap)
        if family is None or theory.is_bounded(cells[members[0]]):
            continue
        rates, whole = family
        cell, window = cells[members[0]], rates.window
        row: Row = {**coordinates(cell), "cell": ladder}
        row = {"ladder": row.pop("cell"), **row}
        ends = (window.first, window.last) if window else ()
        levels = [cells[members[end]].value("log_gamma") for end in ends] or [None, None]
        row |= {"seeds": len(whole), "left_out": len(run.seeds) - len(whole)}
        row |= {"window_low": levels[0], "window_high": levels[1]}
        dimension = theory.dimension(cell)
        row["dimension"] = dimension
        row["theory"] = None if dimension is None else cell.sizes.d - dimension
        for name in ("nelbo", "recon", "active", "inactive", "r_hat_slope", "r_hat_recon"):
            for word, value in getattr(rates, name)._asdict().items():
                row[name if word == "value" else f"{name}_{word}"] = value
        rows.append(row)
    return rows


def prior_conversions(run: LoadedRun) -> list[float]:
    """Remark 1 of CVAE-dims on every trained model with a learned prior.

    Returns:
        Per model, the largest change of a sample's nelbo by the conversion to the prior N(0, I),
        relative to the largest nelbo.
    """
    changes = []
    done = [(row["cell"], row["seed"]) for row in run.results if row["status"] == "ok"]
    for name, seed in done:
        if run.cell(name).value("prior") == "learned" and run.is_saved(name, seed):
            try:
                x, c = run.batch(name, seed, CONVERTED)
            except ConfigError:  # the file of a user's own data is elsewhere
                continue
            before = run.nelbo(name, seed, x, c)
            after = run.nelbo(name, seed, x, c, standard_prior=True)
            changes.append(float(np.abs(after - before).max() / np.abs(before).max()))
    return changes
