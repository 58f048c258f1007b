"""The dimension of each run by several estimates, and in words where they cannot be trusted.

Rows are dicts with the columns of results.csv. Estimates that use the loss come in two kinds: for
runs at held log gammas, from the ladder that the runs of one cell and seed form together; for a
learned gamma, from the settled end of the run's own training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdvae.analysis.rates import (
    SETTLED_TOLERANCE,
    UNKNOWN,
    Estimate,
    LadderRates,
    ladder_rates,
    trajectory_rates,
)

Row = dict[str, Any]
RunKey = tuple[str, int]

# The columns that estimates from the loss need.
LOSSES = {"nelbo", "recon", "gamma"}


def family_rates(
    cells: Sequence[str],
    seeds: Sequence[int],
    rows: Sequence[Row],
    blocks: Mapping[RunKey, np.ndarray],
    spectra: Mapping[RunKey, np.ndarray],
    min_gap: float,
) -> LadderRates | None:
    """Rates of one ladder over the seeds whose runs are all there and sound; None without any.

    Args:
        cells: of the ladder, by ascending level.
        blocks: per run, [2, blocks] means of nelbo and recon.
        spectra: per run, [kappa] variance ratios.
    """
    by_run = {(row["cell"], row["seed"]): row for row in rows}
    keys = [[(cell, seed) for cell in cells] for seed in seeds]
    keys = [line for line in keys if all(by_run.get(key, {}).get("status") == "ok" for key in line)]
    if not keys:
        return None
    values = np.array([[blocks[key] for key in line] for line in keys])
    return ladder_rates(
        levels=np.array([by_run[key]["log_gamma"] for key in keys[0]], np.float64),
        nelbo_SLB=values[:, :, 0],
        recon_SLB=values[:, :, 1],
        ratios_SLK=np.array([[spectra[key] for key in line] for line in keys]),
        d=by_run[keys[0][0]]["d"],
        min_gap=min_gap,
    )


def _columns(name: str, estimate: Estimate) -> Row:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def warnings_of(row: Row, threshold: float, in_ladder: bool = False) -> list[str]:
    """What a reader should know before trusting the dimension of a run, in plain words.

    Each is a phrase, or "a phrase: the numbers". Columns that a method does not have are passed
    over.

    Args:
        in_ladder: whether the run is at one of several held log gammas; the number of active
            dimensions is then a matter of the level.
    """
    if row["status"] != "ok":
        return ["diverged (the loss was not finite)"]
    has_losses = all(row.get(name) is not None for name in LOSSES)
    r_hat = row.get("r_hat_slope")
    unknown = r_hat is None or not np.isfinite(r_hat)
    learned = row.get("log_gamma") is None
    sloped = has_losses and (learned or in_ladder)
    found = ["no valid window for the loss slope"] if unknown and sloped else []
    if in_ladder:
        return found
    if learned and has_losses:
        settled = row["recon"] / (row["d"] * row["gamma"])
        if abs(settled - 1.0) > 2 * SETTLED_TOLERANCE:
            found.append(f"gamma had not settled: Recon / (d gamma) = {settled:.2f}")
    if row["parts"] > 1 or row.get("ad") is None:
        # Of several parts the counts are those of parts.csv, one for each; some methods have none.
        return found
    if row["ad_gap"] is None:
        found.append("the spectrum has no gap")
    elif row["ad"] != row["ad_gap"]:
        found.append(f"AD ({threshold:g}) and AD (gap) differ: {row['ad']} and {row['ad_gap']}")
    if row["kappa"] in (row["ad"], row["ad_gap"]):
        found.append("all latents are active, kappa may be too small")
    if not unknown and row["ad_gap"] is not None and abs(r_hat - row["ad_gap"]) > 1.0:
        found.append(f"the loss slope and AD (gap) differ: {r_hat:.1f} and {row['ad_gap']}")
    return found


def add_estimates(
    rows: Sequence[Row],
    metrics: Sequence[Row],
    blocks: Mapping[RunKey, np.ndarray],
    spectra: Mapping[RunKey, np.ndarray],
    ladders: Mapping[str, Sequence[str]],
    threshold: float,
    min_gap: float,
) -> list[Row]:
    """Rows with r_hat_slope, r_hat_recon (each with _low and _high) and warnings added.

    With a learned gamma Recon / gamma is d by construction, so r_hat_recon is left empty there.

    Args:
        metrics: the lines of metrics.jsonl in which nelbo is what is minimised.
        blocks, spectra: by run; see `family_rates`.
        ladders: cells at several held log gammas, each list by ascending level.
    """
    found: dict[RunKey, LadderRates] = {}
    members = {cell for cells in ladders.values() for cell in cells}
    for cells in ladders.values():
        for seed in sorted({row["seed"] for row in rows}):
            rates = family_rates(cells, [seed], rows, blocks, spectra, min_gap)
            if rates is not None:
                found |= {(cell, seed): rates for cell in cells}
    logged: dict[RunKey, list[Row]] = {}
    for line in metrics:
        logged.setdefault((line["cell"], line["seed"]), []).append(line)
    done = []
    for row in rows:
        key = (row["cell"], row["seed"])
        slope = recon = UNKNOWN
        if key in found:
            slope, recon = found[key].r_hat_slope, found[key].r_hat_recon
        elif row.get("log_gamma") is None and row["status"] == "ok" and row.keys() >= LOSSES:
            lines = logged.get(key, [])
            columns = [
                np.array([line[name] for line in lines], np.float64)
                for name in ("log_gamma", "nelbo", "recon")
            ]
            slope = trajectory_rates(*columns, d=row["d"]).r_hat
        row = {k: v for k, v in row.items() if k != "warnings"}
        if row.keys() >= LOSSES:
            row |= _columns("r_hat_slope", slope) | _columns("r_hat_recon", recon)
        warnings = warnings_of(row, threshold, row["cell"] in members)
        done.append({**row, "warnings": "; ".join(warnings)})
    return done
