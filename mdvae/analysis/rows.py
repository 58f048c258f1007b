"""The columns of results.csv and parts.csv: a run's scores, the counts, and what is expected."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mdvae.analysis import theory
from mdvae.analysis.dims import (
    active_dimensions,
    count_intervals,
    largest_gap,
    largest_log_gap,
)
from mdvae.methods.objective import to_paper_units
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Part, Run, weights_of
from mdvae.store.rundir import Row

# How many entries scores have that are not padded: over latents, or over dimensions of a manifold.
LENGTHS = {
    "ratio": lambda sizes: sizes.kappa,
    "active": lambda sizes: sizes.kappa + 1,
    "resolvable": lambda sizes: sizes.r + 1,
}
# Losses lead; other scores follow by name.
LOSSES = ("nelbo", "recon", "kl")
COUNTED = (
    "ad",
    "ad_gap",
    "ad_log_gap",
    "ad_eval_low",
    "ad_eval_high",
    "ad_gap_eval_low",
    "ad_gap_eval_high",
    "gap_low",
    "gap_high",
    "resolvable",
    "resolvable_share",
    "resolvable_ad",
)


class Taken(NamedTuple):
    """The steps of a run.

    Attributes:
        steps: that it took; fewer than are due of one that diverged.
        due: all there are, or up to where it ended because it had settled.
    """

    steps: int
    due: int


class RunScores(NamedTuple):
    """An evaluation of one run on one part of its data, by the names of `Method.score`.

    Attributes:
        means: over samples.
        blocks: [..., blocks], over blocks of samples.
    """

    means: dict[str, np.ndarray]
    blocks: dict[str, np.ndarray]


def of_run(run: Run, evaluation: Any, i: int) -> list[RunScores]:
    """The scores of run i on each part of its data, without padding.

    Args:
        evaluation: means and blocks by name, [runs, parts of data, ...].
    """

    def cut(name: str, values: np.ndarray) -> np.ndarray:
        return values[: LENGTHS[name](run.cell.sizes)] if name in LENGTHS else values

    kappa = run.cell.sizes.kappa
    return [
        RunScores(
            *(
                _by_covariance(
                    {name: cut(name, np.asarray(values)[i, k]) for name, values in found.items()},
                    kappa,
                )
                for found in (evaluation.means, evaluation.blocks)
            )
        )
        for k in range(len(run.cell.parts))
    ]


def _by_covariance(found: dict[str, np.ndarray], kappa: int) -> dict[str, np.ndarray]:
    """Scores of full covariances with the eigenvalues of their mean as ratios, ascending.

    A mean of the eigenvalues of each sample would say nothing of directions that samples share.
    """
    if "covariance" not in found:
        return found
    rest = {name: values for name, values in found.items() if name != "covariance"}
    mean = np.moveaxis(found["covariance"][:kappa, :kappa], (0, 1), (-2, -1)).astype(np.float64)
    # What is not finite has no eigenvalues; a run that diverged keeps that for each.
    sound: Any = np.isfinite(mean).all(axis=(-2, -1))
    safe = np.where(sound[..., None, None], mean, np.eye(kappa))
    ratios = np.where(sound[..., None], np.linalg.eigvalsh(safe), np.nan)
    return {**rest, "ratio": np.moveaxis(ratios, -1, 0)}


def mean_of(parts: Sequence[RunScores], of: Sequence[Part] = ()) -> RunScores:
    """The mean over parts of the data, each as often as its samples are, by default all alike.

    Args:
        of: the parts that scores are of.
    """
    weights = weights_of(of)

    def mean(found: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        stacked = {name: [each[name] for each in found] for name in found[0]}
        return {name: np.average(each, axis=0, weights=weights) for name, each in stacked.items()}

    return RunScores(mean([part.means for part in parts]), mean([part.blocks for part in parts]))


def _losses(found: RunScores) -> dict[str, float]:
    """Scores of one number, in order; log gamma is told as gamma, after them."""
    plain = {name: float(v) for name, v in found.means.items() if np.ndim(v) == 0}
    log_gamma = plain.pop("log_gamma", None)
    names = [name for name in LOSSES if name in plain] + sorted(set(plain) - set(LOSSES))
    losses = {name: plain[name] for name in names}
    if log_gamma is not None:
        losses["gamma"] = float(np.exp(np.float64(log_gamma)))
    return losses


def _resolvable(found: RunScores, left: int | None, threshold: float) -> Row:
    """How much of its manifold a model's gamma resolves.

    Args:
        left: dimensions that the model is not told.
        threshold: of the ratio of an active dimension.

    Returns:
        Dimensions near a sample, on average; the share of samples that have all; and how many have
        a ratio below the threshold over all samples, where every sample has the posterior of the
        linear VAE that touches the manifold there. That is None where there are fewer latents.
    """
    if left is None or "resolvable" not in found.means:
        return {}
    fractions = np.asarray(found.means["resolvable"], np.float64)
    mean = float(fractions @ np.arange(len(fractions)))
    posterior = np.asarray(found.means["resolved_posterior"], np.float64)
    allowed = None
    if np.isfinite(posterior).all() and len(found.means["ratio"]) >= left:
        allowed = active_dimensions(np.linalg.eigvalsh(posterior), threshold)
    return {
        "resolvable": mean,
        "resolvable_share": float(fractions[left:].sum()),
        "resolvable_ad": allowed,
    }


def score_columns(
    found: RunScores, config: SweepConfig, taken: Taken, left: int | None = None
) -> Row:
    """The columns that scores fill, over all of the data or one part of it.

    Counts of active dimensions are there where a method scores "ratio"; values in the papers' units
    where it scores "nelbo" and "kl".

    Args:
        taken: steps of the run.
        left: dimensions of the data that the model is not told, where they are known.
    """
    losses = _losses(found)
    counted = "ratio" in found.means
    ratios = np.asarray(found.means.get("ratio", []))
    means = [value for name, value in losses.items() if name != "gamma"]
    finite = bool(np.all(np.isfinite(means)) and np.all(np.isfinite(ratios)))
    finite = finite and taken.steps >= taken.due
    row: Row = {"status": "ok" if finite else "diverged", "steps": taken.steps}
    analysis = config.analysis
    if counted:
        gap = largest_gap(ratios, analysis.ad_min_gap)
        ad = active_dimensions(ratios, analysis.ad_threshold)
        row |= {"ad": ad if finite else None, "ad_gap": gap.ad}
        row["ad_log_gap"] = largest_log_gap(ratios, analysis.ad_min_gap).ad
    row |= losses
    for name in ("nelbo", "kl"):
        if name in losses:
            title = "neg_elbo" if name == "nelbo" else name
            row[f"{title}_paper_units"] = to_paper_units(losses[name])
    if counted:
        ends = gap_ends = None
        if finite and "ratio" in found.blocks:
            blocks = np.asarray(found.blocks["ratio"])
            ends, gap_ends = count_intervals(blocks, analysis.ad_threshold, analysis.ad_min_gap)
        for k, end in enumerate(("low", "high")):
            row[f"ad_eval_{end}"] = ends[k] if ends else None
        for k, end in enumerate(("low", "high")):
            row[f"ad_gap_eval_{end}"] = gap_ends[k] if gap_ends else None
        row |= {"gap_low": gap.low, "gap_high": gap.high}
        row |= _resolvable(found, left, analysis.ad_threshold)
    return row


def coordinates(cell: Cell) -> Row:
    """What tells a cell from others, at the head of every row; r and t of data with a truth."""
    return {
        "cell": cell.name,
        "kappa": cell.sizes.kappa,
        "d": cell.sizes.d,
        "r": theory.manifold_dimension(cell),
        "t": theory.told_dimensions(cell),
    }


def _of_run(run: Run) -> Row:
    place = coordinates(run.cell)
    return {"cell": place.pop("cell"), "seed": run.seed, **place}


def result_row(run: Run, parts: Sequence[RunScores], config: SweepConfig, taken: Taken) -> Row:
    """One row of results.csv.

    Where the data have several parts the losses are means over them, and the counts, which differ
    between them, are left to parts.csv.

    Args:
        taken: see `score_columns`.
    """
    cell = run.cell
    left = theory.resolvable_left(cell, cell.parts[0]) if len(parts) == 1 else None
    row = score_columns(mean_of(parts, cell.parts), config, taken, left)
    if len(parts) > 1:
        row |= {name: None for name in COUNTED if name in row}
        row |= _mean_counts(parts, config, taken)
    row = {**_of_run(run), **row, "parts": len(parts)}
    row["sigma"], row["log_gamma"] = cell.value("sigma"), cell.value("log_gamma")
    row["expected_ad"] = theory.expected_ad(cell)
    if "ad" in row:
        row["ad_threshold"] = config.analysis.ad_threshold
    return row


def _mean_counts(parts: Sequence[RunScores], config: SweepConfig, taken: Taken) -> Row:
    """Means over parts of the data of their active dimensions, None where one has none."""
    rows = [score_columns(part, config, taken) for part in parts]
    found: Row = {}
    for name in ("ad", "ad_gap"):
        counts = [row.get(name) for row in rows]
        if name in rows[0]:
            known = [count for count in counts if count is not None]
            found[f"{name}_of_parts"] = float(np.mean(known)) if known == counts else None
    return found


def result_rows_by_part(
    run: Run, parts: Sequence[RunScores], config: SweepConfig, taken: Taken
) -> list[Row]:
    """The rows of parts.csv: one per part of the data; see `result_row`."""
    return [
        {
            **_of_run(run),
            "part": part.value,
            "expected_ad": theory.expected_of_part(run.cell, part),
            **score_columns(found, config, taken, theory.resolvable_left(run.cell, part)),
        }
        for part, found in zip(run.cell.parts, parts, strict=True)
    ]
