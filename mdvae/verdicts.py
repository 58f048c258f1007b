"""What the numbers of a run say, in sentences."""

from collections.abc import Sequence
from typing import Any

from mdvae.analysis.estimates import ladder_families
from mdvae.analysis.statistics import Interval, fraction_interval
from mdvae.grid import start_families
from mdvae.loading import LoadedRun
from mdvae.rundir import Row
from mdvae.summary import CONVERTED, prior_conversions
from mdvae.tables import fixed

LISTED = 6


def _fraction_text(hits: int, total: int) -> str:
    interval: Interval = fraction_interval(hits, total)
    return (
        f"{hits} of {total} ({100 * interval.mean:.0f} %, 95 % interval"
        f" {100 * interval.low:.0f}-{100 * interval.high:.0f} %)"
    )


def _listed(runs: Sequence[str]) -> str:
    """The first few of a list of runs, and how many more there are."""
    more = len(runs) - LISTED
    return ", ".join(runs[:LISTED]) + (f" and {more} more (see results.csv)" if more > 0 else "")


def _mean_text(row: Row, rule: str) -> str:
    """A mean of AD; runs without a gap are not in that of the gap rule, so their number is said."""
    without = row["no_gap"] if rule == "ad_gap" else 0
    return fixed(row[f"{rule}_mean"], 1) + (f" (no gap: {without})" if without else "")


def _part_lines(run: LoadedRun, by_part: Sequence[Row], threshold: str) -> list[str]:
    """How often the dimension of each part of the data was found, by cell."""
    lines = []
    for cell in dict.fromkeys(row["cell"] for row in by_part if row["runs"]):
        mine = [row for row in by_part if row["cell"] == cell]
        found_by_run: dict[int, list[Row]] = {}
        for row in run.parts:
            if row["cell"] == cell:
                found_by_run.setdefault(row["seed"], []).append(row)
        for rule, label in (("ad", f"by the {threshold} rule"), ("ad_gap", "by the gap rule")):
            total = sum(row["runs"] for row in mine)
            hits = sum(round((row[f"{rule}_correct"] or 0) * row["runs"]) for row in mine)
            found = ", ".join(_mean_text(row, rule) for row in mine)
            wanted = ", ".join(str(row["expected_ad"]) for row in mine)
            # The parts of a run share one model, so an interval is over runs.
            whole = sum(
                all(row[rule] == row["expected_ad"] for row in parts)
                for parts in found_by_run.values()
            )
            lines.append(
                f"{cell}: AD {label} is as expected in {hits} of {total} (run, part), and in every"
                f" part in {_fraction_text(whole, len(found_by_run))} runs (means {found}; expected"
                f" {wanted})."
            )
    return lines


def _start_lines(run: LoadedRun, rows: Sequence[Row], threshold: str) -> list[str]:
    """AD by the initial log gamma, where cells differ in nothing else."""
    by_name = {row["cell"]: row for row in rows if row["runs"] and row["parts"] == 1}
    lines = []
    for family, cells in start_families(run.cells).items():
        done = [cell for cell in cells if cell.name in by_name]
        if not done:
            continue
        starts = ", ".join(f"{cell.log_gamma_init:g}" for cell in done)
        of_rules = (
            f"AD {label} is " + ", ".join(_mean_text(by_name[cell.name], rule) for cell in done)
            for rule, label in (("ad", f"({threshold})"), ("ad_gap", "(gap)"))
        )
        lines.append(
            f"{family}: from initial log γ = {starts}, {' and '.join(of_rules)}; expected"
            f" {done[0].expected_ad}."
        )
    return lines


def _remark_1(run: LoadedRun) -> list[str]:
    """How far the loss of a sample moves where a learned prior is turned into N(0, I)."""
    changes = prior_conversions(run)
    if not changes:
        return []
    return [
        f"Remark 1: turned into models with the prior N(0, I), {len(changes)} trained models with a"
        f" learned prior keep the nelbo of each of {CONVERTED:,} samples to {max(changes):.1e} of"
        " the largest, in double precision."
    ]


def verdicts(
    run: LoadedRun, rows: Sequence[Row], by_part: Sequence[Row], ladders: Sequence[Row]
) -> list[str]:
    """What the numbers say, in sentences."""
    families = ladder_families(run.results)
    members = {cell: family for family, cells in families.items() for cell in cells}
    started = {cell.name for cells in start_families(run.cells).values() for cell in cells}
    names = {cell.name: cell for cell in run.cells}
    done = [row for row in run.results if row["status"] == "ok"]
    threshold = f"{run.config.ad_threshold:g}"
    lines = []
    # At a held gamma the number of active dimensions is a matter of the level, not of r alone, and
    # bad starts are there to fail.
    kinds = {
        "with r < d and κ ≥ r (Theorem 1), AD = r": lambda cell: cell.in_theorem and not cell.c,
        "given a condition, κ ≥ r (Theorem 2), AD = r - t": lambda cell: (
            cell.in_theorem and cell.c > 0
        ),
        "with κ < r (too few latents), AD = κ": lambda cell: cell.kappa < cell.r and not cell.c,
        "with r = d (outside Theorem 1), AD = r": lambda cell: (
            cell.r == cell.d <= cell.kappa and not cell.c
        ),
        "with noise off the manifold (outside the theorems), AD as without": lambda cell: (
            cell.sigma > 0
        ),
    }
    for text, belongs in kinds.items():
        mine = [
            row
            for row in run.results
            if belongs(names[row["cell"]])
            and row["cell"] not in members
            and row["cell"] not in started
            and row["parts"] == 1
        ]
        if not mine:
            continue
        for rule, label in (("ad", f"by the {threshold} rule"), ("ad_gap", "by the gap rule")):
            hits = sum(row[rule] == row["expected_ad"] for row in mine)
            lines.append(f"Of runs {text} {label} in {_fraction_text(hits, len(mine))}.")
    lines += _part_lines(run, by_part, threshold)
    lines += _start_lines(run, rows, threshold)
    lines += _remark_1(run)
    compared = [
        row for row in [*rows, *by_part] if row["paper_neg_elbo"] is not None and row["runs"]
    ]
    if compared:
        below = sum(row["neg_elbo_paper_units_mean"] <= row["paper_neg_elbo"] for row in compared)
        lines.append(
            f"The mean -ELBO is at or below the published one in {below} of {len(compared)}"
            f" {'parts of cells' if by_part else 'cells'}."
        )
    counted: dict[tuple[Any, ...], Row] = {}
    for row in done:
        # The levels of a ladder share one estimate, which counts once.
        ladder = members.get(row["cell"], row["cell"])
        told = names[row["cell"]].in_theorem and row["cell"] not in started
        if row["r_hat_slope"] is not None and told:
            counted[ladder, row["seed"]] = row
    if counted:
        hits = sum(
            round(row["r_hat_slope"]) == names[row["cell"]].dimension for row in counted.values()
        )
        lines.append(
            f"Under the theorems, r̂ from the loss slope rounds to r - t (r of a VAE) in"
            f" {_fraction_text(hits, len(counted))} of those with a valid window."
        )
    for row in rows:
        sigma = names[row["cell"]].sigma
        if sigma > 0 and row["runs"]:
            lines.append(
                f"Noise sigma = {sigma:g}, d = {row['d']}, r = {row['r']}: γ / sigma² ="
                f" {fixed(row['gamma_mean'] / sigma**2, 2)}, AD ({threshold}) ="
                f" {fixed(row['ad_mean'], 1)}, AD (gap) = {fixed(row['ad_gap_mean'], 1)}."
            )
    by_kind: dict[str, list[str]] = {}
    for row in run.results:
        for warning in (row.get("warnings") or "").split("; "):
            kind, _, numbers = warning.partition(": ")
            who = f"{row['cell']} seed {row['seed']}" + (f" ({numbers})" if numbers else "")
            if kind:
                by_kind.setdefault(kind, []).append(who)
    lines += [f"Warning: {kind}: {_listed(runs)}." for kind, runs in by_kind.items()]
    dropped = set(families) - {row["ladder"] for row in ladders}
    if dropped:
        lines.append(f"Ladders without a whole seed, left out: {', '.join(sorted(dropped))}.")
    missing = len(run.cells) * len(run.seeds) - len(run.results)
    if missing:
        lines.append(f"Not finished: {missing} runs have no results yet.")
    return lines
