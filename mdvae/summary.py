"""Statistics over seeds, by cell, part of the data and ladder, beside the published values."""

import csv
from collections.abc import Sequence
from importlib import resources

import numpy as np

from mdvae import rundir
from mdvae.analysis.estimates import family_rates, ladder_families
from mdvae.analysis.statistics import fraction_interval, mean_interval
from mdvae.config import ConfigError
from mdvae.grid import Cell
from mdvae.loading import LoadedRun
from mdvae.rundir import Row

AVERAGED = (
    "ad",
    "ad_gap",
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
)
# Samples on which a conversion of the prior is checked.
CONVERTED = 1_000
PAPER_COLUMNS = ("ad", "recon", "kl", "gamma", "neg_elbo")
# What may tell which cell a published row is of; a table has those that it needs.
COORDINATES = ("kappa", "d", "r", "t", "model", "prior", "attention", "log_gamma_init")


def published_rows(name: str) -> list[Row]:
    """The published table of a name, or none for "".

    Raises:
        ConfigError: where there is no such table.
    """
    if not name:
        return []
    source = resources.files("mdvae.published") / f"{name}.csv"
    if not source.is_file():
        raise ConfigError(f"published: there is no table {name!r}; see mdvae/published")
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return [{k: rundir.parse_value(v) for k, v in row.items()} for row in rows]


def _paper_row(cell: Cell, part: int | None, published: Sequence[Row]) -> Row:
    """The published row of a cell, or of a part of its data."""
    own = {name: getattr(cell, name) for name in COORDINATES} | {"part": part}
    for row in published:
        told = [name for name in own if name in row]
        if all(row[name] == own[name] or row[name] == str(own[name]) for name in told):
            return row
    return {}


def _statistics(mine: Sequence[Row], expected: int | None, paper: Row) -> Row:
    """The columns of a summary: over the runs of one cell, or of one part of it."""
    sound = [row for row in mine if row["status"] == "ok"]
    summary: Row = {
        "expected_ad": expected,
        "runs": len(mine),
        "diverged": len(mine) - len(sound),
        "no_gap": sum(row["ad_gap"] is None for row in sound) if expected is not None else None,
    }
    for name in AVERAGED:
        interval = mean_interval([row.get(name) for row in sound])
        for part, value in interval._asdict().items():
            summary[f"{name}_{part}"] = value
    for rule in ("ad", "ad_gap"):
        hits = sum(row[rule] == expected for row in sound if expected is not None)
        interval = fraction_interval(hits, len(mine) if expected is not None else 0)
        summary[f"{rule}_correct"] = interval.mean
        summary[f"{rule}_correct_low"] = interval.low
        summary[f"{rule}_correct_high"] = interval.high
    for name in PAPER_COLUMNS:
        summary[f"paper_{name}"] = paper.get(name)
    return summary


def _coordinates(cell: Cell) -> Row:
    return {"cell": cell.name, "kappa": cell.kappa, "d": cell.d, "r": cell.r, "t": cell.t}


def summarise(run: LoadedRun) -> list[Row]:
    """One row per cell: statistics over seeds beside the published values."""
    published = published_rows(run.config.published)
    return [
        {
            **_coordinates(cell),
            "parts": len(cell.parts),
            "in_theorem": int(cell.in_theorem),
            **_statistics(
                [row for row in run.results if row["cell"] == cell.name],
                cell.expected_ad,
                _paper_row(cell, None, published),
            ),
        }
        for cell in run.cells
    ]


def part_rows(run: LoadedRun) -> list[Row]:
    """One row per cell and part, of the cells whose data have several."""
    published = published_rows(run.config.published)
    return [
        {
            **_coordinates(cell),
            "part": part.value,
            **_statistics(
                [row for row in run.parts if (row["cell"], row["part"]) == (cell.name, part.value)],
                part.expected_ad,
                _paper_row(cell, part.value, published),
            ),
        }
        for cell in run.cells
        for part in cell.parts
        if len(cell.parts) > 1
    ]


def ladder_rows(run: LoadedRun) -> list[Row]:
    """One row per ladder of held log gammas, over all seeds: the columns of rates.csv."""
    cells = {cell.name: cell for cell in run.cells}
    rows = []
    for family, members in ladder_families(run.results).items():
        rates = family_rates(
            members, run.seeds, run.results, run.blocks, run.mean_spectra, run.config.ad_min_gap
        )
        if rates is None:
            continue
        cell, window = cells[members[0]], rates.window
        row: Row = {"ladder": family, "kappa": cell.kappa, "d": cell.d, "r": cell.r, "t": cell.t}
        ends = (window.first, window.last) if window else ()
        levels = [cells[members[end]].log_gamma for end in ends] or [None, None]
        row |= {"window_low": levels[0], "window_high": levels[1]}
        row |= {"dimension": cell.dimension, "theory": cell.d - cell.dimension}
        for name in ("nelbo", "recon", "active", "inactive", "r_hat_slope", "r_hat_recon"):
            for part, value in getattr(rates, name)._asdict().items():
                row[name if part == "value" else f"{name}_{part}"] = value
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
        if run.cell(name).prior == "learned" and run.is_saved(name, seed):
            x, c = run.batch(name, seed, CONVERTED)
            before = run.nelbo(name, seed, x, c)
            after = run.nelbo(name, seed, x, c, standard_prior=True)
            changes.append(float(np.abs(after - before).max() / np.abs(before).max()))
    return changes
