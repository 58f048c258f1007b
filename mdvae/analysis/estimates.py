"""The dimension of each run by several estimates, and in words where they cannot be trusted.

Rows are dicts with the columns of results.csv. Estimates that use the loss come in two kinds: for
runs at held log gammas, from the ladder that the runs of one cell and seed form together; for a
learned gamma, from the settled end of the run's own training.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.rates import (
    SETTLED_TOLERANCE,
    LadderRates,
    ladder_rates,
    trajectory_rates,
)
from mdvae.analysis.statistics import NAN
from mdvae.settings.grid import Cell

Row = dict[str, Any]
RunKey = tuple[str, int]

# From this share of samples on that have all dimensions of their manifold above the scale of gamma,
# a dimension that is not found counts as missed.
RESOLVED_SHARE = 0.95

# The columns that estimates from the loss need.
LOSSES = {"nelbo", "recon", "gamma"}


def settled_lines(metrics: Sequence[Row], cells: Sequence[Cell], steps: int) -> list[Row]:
    """The lines of metrics.jsonl in which nelbo is what is minimised: after the KL's warm-up.

    Only of methods that log what the slope of the loss is read off, and of cells whose KL has the
    weight 1. Not of images: with a learned gamma 2 nelbo is d log gamma + 2 kl and a constant, and
    the KL rises as more of what images show is learned, not with 1 / gamma alone. A slope then
    tells of training (it implies more dimensions than there are latents), and an error of a
    hundredth in it is as many dimensions as a hundredth of the pixels. Nor of models whose loss
    does not fall with log gamma (Theorem 3).

    Args:
        steps: of the whole training.
    """
    first = {
        cell.name: (cell.value("kl_warmup") or 0.0) * steps
        if theory.has_full_kl(cell) and not cell.sizes.shape and not theory.is_bounded(cell)
        else math.inf
        for cell in cells
    }
    told = [line for line in metrics if line.keys() >= {"nelbo", "recon", "log_gamma"}]
    return [line for line in told if line["step"] > first[line["cell"]]]


def family_rates(
    cells: Sequence[str],
    seeds: Sequence[int],
    rows: Sequence[Row],
    spectra: Mapping[RunKey, np.ndarray],
    min_gap: float,
) -> tuple[LadderRates, list[int]] | None:
    """Rates of one ladder, and over which seeds: those whose runs are all there and sound.

    Args:
        cells: of the ladder, by ascending level.
        spectra: per run, [kappa] variance ratios.

    Returns:
        None where there is no such seed.
    """
    by_run = {(row["cell"], row["seed"]): row for row in rows}

    def is_whole(seed: int) -> bool:
        runs = [by_run.get((cell, seed), {}) for cell in cells]
        return all(run.get("status") == "ok" and run.keys() >= LOSSES for run in runs)

    whole = [seed for seed in seeds if is_whole(seed)]
    if not whole:
        return None
    keys = [[(cell, seed) for cell in cells] for seed in whole]

    def column(name: str) -> np.ndarray:
        return np.array([[by_run[key][name] for key in line] for line in keys], np.float64)

    rates = ladder_rates(
        levels=column("log_gamma")[0],
        nelbo_SL=column("nelbo"),
        recon_SL=column("recon"),
        ratios_SLK=np.array([[spectra[key] for key in line] for line in keys]),
        d=by_run[keys[0][0]]["d"],
        min_gap=min_gap,
    )
    return rates, whole


def warnings_of(
    row: Row, threshold: float, in_ladder: bool = False, has_trajectory: bool = True
) -> list[str]:
    """What a reader should know before trusting the dimension of a run, in plain words.

    Each is a phrase, or "a phrase: the numbers". Columns that a method does not have are passed
    over.

    Args:
        in_ladder: whether the run is at one of several held log gammas; the number of active
            dimensions is then a matter of the level.
        has_trajectory: whether there are lines, or levels, off which the slope of the loss can be
            read.
    """
    if row["status"] != "ok":
        at = f": at step {row['steps']:,}" if row.get("steps") else ""
        return [f"diverged (the loss was not finite){at}"]
    has_losses = all(row.get(name) is not None for name in LOSSES)
    r_hat = row.get("r_hat_slope")
    unknown = r_hat is None or not np.isfinite(r_hat)
    learned = row.get("log_gamma") is None
    sloped = has_losses and has_trajectory and (learned or in_ladder)
    found = ["no valid window for the loss slope"] if unknown and sloped else []
    if in_ladder:
        return found
    if learned and has_losses:
        settled = row["recon"] / (row["d"] * row["gamma"])
        if settled < 1.0 - 2 * SETTLED_TOLERANCE:
            found.append(f"gamma had not settled: Recon / (d gamma) = {settled:.2f}")
        elif settled > 1.0 + 2 * SETTLED_TOLERANCE:
            found.append(
                "on fresh samples Recon is above d gamma, which had not settled or fits the"
                f" training samples more closely: Recon / (d gamma) = {settled:.2f}"
            )
    if row["parts"] > 1 or row.get("ad") is None:
        # Of several parts the counts are those of parts.csv, one for each; some methods have none.
        return found
    if row["ad_gap"] is None:
        found.append("the spectrum has no gap")
    elif row["ad"] != row["ad_gap"]:
        found.append(f"AD ({threshold:g}) and AD (gap) differ: {row['ad']} and {row['ad_gap']}")
    found += _unresolved(row)
    if row["kappa"] in (row["ad"], row["ad_gap"]):
        found.append("all latents are active, kappa may be too small")
    if not unknown and row["ad_gap"] is not None and abs(r_hat - row["ad_gap"]) > 1.0:
        found.append(f"the loss slope and AD (gap) differ: {r_hat:.1f} and {row['ad_gap']}")
    return found


def _unresolved(row: Row) -> list[str]:
    """Where dimensions are missing: whether gamma hides them, or the model has missed them."""
    expected, counted = row.get("expected_ad"), row["ad_gap"]
    share = row.get("resolvable_share")
    if expected is None or counted is None or counted >= expected or share is None:
        return []
    hidden = share < RESOLVED_SHARE
    why = "some vary by less than gamma resolves" if hidden else "and gamma resolves all"
    numbers = f"AD (gap) is {counted} of {expected}, {100 * share:.0f} % of samples have all"
    return [f"dimensions of the manifold are missing, {why}: {numbers}"]


def add_estimates(
    rows: Sequence[Row],
    metrics: Sequence[Row],
    spectra: Mapping[RunKey, np.ndarray],
    ladders: Mapping[str, Sequence[str]],
    threshold: float,
    min_gap: float,
    bounded: Collection[str] = (),
) -> list[Row]:
    """Rows with r_hat_slope, r_hat_recon and warnings added.

    These are of one seed each, and have no interval: what another seed would give is in rates.csv.
    With a learned gamma Recon / gamma is d by construction, so r_hat_recon is left empty there.

    Args:
        metrics: the lines of metrics.jsonl; see `settled_lines`.
        spectra: by run; see `family_rates`.
        ladders: cells at several held log gammas, each list by ascending level.
        bounded: cells whose loss does not fall with log gamma (Theorem 3), so that it has no slope.
    """
    found: dict[RunKey, tuple[float, float]] = {}
    members = {cell for cells in ladders.values() for cell in cells}
    seeds = sorted({row["seed"] for row in rows})
    for cells in (cells for cells in ladders.values() if cells[0] not in bounded):
        family = family_rates(cells, seeds, rows, spectra, min_gap)
        if family is not None:
            rates, whole = family
            for i, seed in enumerate(whole):
                both = float(rates.slopes_S[i]), float(rates.recons_S[i])
                found |= {(cell, seed): both for cell in cells}
    logged: dict[RunKey, list[Row]] = {}
    for line in metrics:
        logged.setdefault((line["cell"], line["seed"]), []).append(line)
    done = []
    for row in rows:
        key = (row["cell"], row["seed"])
        slope, recon = found.get(key, (NAN, NAN))
        learned = row.get("log_gamma") is None and row["status"] == "ok"
        if learned and row.keys() >= LOSSES:
            lines = logged.get(key, [])
            columns = [
                np.array([line[name] for line in lines], np.float64)
                for name in ("log_gamma", "nelbo", "recon")
            ]
            slope = trajectory_rates(*columns, d=row["d"]).r_hat
        row = {k: v for k, v in row.items() if k != "warnings"}
        if row.keys() >= LOSSES:
            row |= {"r_hat_slope": slope, "r_hat_recon": recon}
        in_ladder, is_bounded = row["cell"] in members, row["cell"] in bounded
        has_lines = not is_bounded and (in_ladder or key in logged)
        warnings = warnings_of(row, threshold, in_ladder, has_lines)
        done.append({**row, "warnings": "; ".join(warnings)})
    return done
