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


def ladder_families(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Cells at held log gammas, by what they are apart from it; each list by ascending level.

    A cell at a single level is no ladder.
    """
    families: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["log_gamma"] is not None:
            family = row["cell"].replace(f"-log_gamma={row['log_gamma']:g}", "")
            families.setdefault(family, {})[row["cell"]] = row["log_gamma"]
    return {
        family: sorted(cells, key=cells.__getitem__)
        for family, cells in families.items()
        if len(cells) > 1
    }


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

    Each is "kind" or "kind: the numbers".

    Args:
        in_ladder: whether the run is at one of several held log gammas; the number of active
            dimensions is then a matter of the level.
    """
    if row["status"] != "ok":
        return ["diverged (the loss was not finite)"]
    r_hat = row["r_hat_slope"]
    unknown = r_hat is None or not np.isfinite(r_hat)
    learned = row["log_gamma"] is None
    found = ["no valid window for the loss slope"] if unknown and (learned or in_ladder) else []
    if in_ladder:
        return found
    settled = row["recon"] / (row["d"] * row["gamma"])
    if learned and abs(settled - 1.0) > 2 * SETTLED_TOLERANCE:
        found.append(f"gamma had not settled: Recon / (d gamma) = {settled:.2f}")
    if row["parts"] > 1:
        # The counts are those of parts.csv, one for each part of the data.
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
    threshold: float,
    min_gap: float,
) -> list[Row]:
    """Rows with r_hat_slope, r_hat_recon (each with _low and _high) and warnings added.

    With a learned gamma Recon / gamma is d by construction, so r_hat_recon is left empty there.
    """
    ladders: dict[RunKey, LadderRates] = {}
    families = ladder_families(rows)
    members = {cell for cells in families.values() for cell in cells}
    for cells in families.values():
        for seed in sorted({row["seed"] for row in rows}):
            rates = family_rates(cells, [seed], rows, blocks, spectra, min_gap)
            if rates is not None:
                ladders |= {(cell, seed): rates for cell in cells}
    logged: dict[RunKey, list[Row]] = {}
    for line in metrics:
        logged.setdefault((line["cell"], line["seed"]), []).append(line)
    done = []
    for row in rows:
        key = (row["cell"], row["seed"])
        slope = recon = UNKNOWN
        if key in ladders:
            slope, recon = ladders[key].r_hat_slope, ladders[key].r_hat_recon
        elif row["log_gamma"] is None and row["status"] == "ok":
            lines = logged.get(key, [])
            columns = [
                np.array([line[name] for line in lines], np.float64)
                for name in ("log_gamma", "nelbo", "recon")
            ]
            slope = trajectory_rates(*columns, d=row["d"]).r_hat
        row = {k: v for k, v in row.items() if k != "warnings"}
        row |= _columns("r_hat_slope", slope) | _columns("r_hat_recon", recon)
        warnings = warnings_of(row, threshold, row["cell"] in members)
        done.append({**row, "warnings": "; ".join(warnings)})
    return done
