"""Analysis "polarised": the latents of trained models classified, and what theory says of them.

A row of polarised.csv per run and latent; the rules are in `mdvae.analysis.polarised`, and the
numbers in `mdvae.analysis.statements`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis.generation import held_out
from mdvae.analysis.jacobian import codes, jacobian
from mdvae.analysis.measuring import Measurement, measure_missing
from mdvae.analysis.polarised import Latents, Polarised, classify
from mdvae.analysis.settings import AnalysisKind
from mdvae.analysis.statements import draws_of, measures_of
from mdvae.methods.ivae import BERNOULLI
from mdvae.networks.base import depends_on_others
from mdvae.settings.grid import Cell
from mdvae.settings.registry import ANALYSES, METHODS
from mdvae.store.loading import LoadedRun, load_run
from mdvae.store.models import Model
from mdvae.store.posteriors import prior_of
from mdvae.store.rundir import Row

POLARISED = "polarised.csv"
# Samples at which decoders are differentiated, in every latent.
DIFFERENTIATED = 64
# Chances of pixels nearer to 0 or 1 say no more of a Bernoulli's curvature than these.
LEAST_CHANCE = 1e-6


def can_be_classified(cell: Cell) -> bool:
    """Whether a cell's latents have independent posteriors with a spread, one by sample."""
    is_point = METHODS.find(cell.method.kind).point
    return not (is_point or cell.sizes.points or cell.value("covariance") == "full")


def latents_of(model: Model, x: np.ndarray, c: np.ndarray | None) -> Latents:
    """Posterior and prior of some samples; x [n, ...] and c as `Model` has them."""
    mean, logvar = (np.asarray(each, np.float64) for each in model.encode(x, c))
    found = None if c is None else prior_of(model, c)
    if found is None:
        return Latents(mean, np.exp(0.5 * logvar), np.zeros_like(mean), np.ones_like(mean))
    prior_mean, prior_logvar = (np.asarray(each, np.float64) for each in found)
    return Latents(mean, np.exp(0.5 * logvar), prior_mean, np.exp(0.5 * prior_logvar))


def said_variances(model: Model, x: np.ndarray, c: np.ndarray | None) -> np.ndarray | None:
    """The best variances of a diagonal posterior over the prior's by eq. 11, [n, kappa].

    1 / (1 + sigma+^2 (J^T W J)_jj), J the decoder's Jacobian at mu, and W 1 / gamma, or of a
    Bernoulli decoder the curvature 1 / (p (1 - p)) of each pixel: what is best of those without
    covariances. None where samples are decoded together, or their law is another one.
    """
    is_bernoulli = model.cell.value("likelihood") == BERNOULLI
    if depends_on_others(model.cell) or not (is_bernoulli or "log_gamma" in model.params):
        return None
    found = codes(model, x, c)
    scaled = jacobian(model, found.mean, c) * found.scale[:, None, :]
    if not is_bernoulli:
        weight = np.exp(-np.float64(model.params["log_gamma"]))
    else:
        chance = np.clip(model.decode(found.mean, c), LEAST_CHANCE, 1.0 - LEAST_CHANCE)
        chance = np.asarray(chance, np.float64).reshape(len(chance), -1)
        weight = 1.0 / (chance * (1.0 - chance))
        weight = weight[:, :, None]
    return 1.0 / (1.0 + np.sum(weight * scaled.astype(np.float64) ** 2, axis=1))


def latent_rows(run: LoadedRun, cell: Cell, seed: int) -> list[Row]:
    """A row for each latent of a run: its class, what it is by, and the statements' numbers.

    "ratio" is the median over samples, with the ends of the middle 90 %.
    """
    settings: Any = run.config.analysis
    found, model = held_out(run, cell, seed, settings.examples), run.model(cell, seed)
    latents = latents_of(model, found.given, found.told)
    few = found.given[:DIFFERENTIATED]
    told = None if found.told is None else found.told[:DIFFERENTIATED]
    said = said_variances(model, few, told)
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((2, *latents.mean.shape))
    rows = []
    for j in range(latents.mean.shape[1]):
        own, of_latent = latents.of(j), None if said is None else said[:, j]
        draws = draws_of(own, settings, noise[:, :, j], of_latent)
        row: Row = {"cell": cell.name, "seed": seed, "latent": j, "n": len(latents.mean)}
        row |= classify(own.ratio, settings, generator)._asdict()
        low, middle, high = np.quantile(own.ratio, (0.05, 0.5, 0.95))
        row |= {"ratio": float(middle), "ratio_low": float(low), "ratio_high": float(high)}
        rows.append({**row, **measures_of(draws)})
    return rows


def measured_by(settings: Any) -> str:
    """Settings that classes depend on, in words."""
    return (
        f"{settings.examples} examples, active below {settings.active_below:g}, passive from"
        f" {settings.passive_from:g}, margin {settings.margin:g}"
    )


def measure_latents(path: Path) -> None:
    """Classifies the latents of finished runs that were not classified yet with these settings.

    Raises:
        ConfigError: where a checkpoint is missing.
    """
    run = load_run(path)
    measurement = Measurement(
        POLARISED,
        measured_by(run.config.analysis),
        lambda name, seed: latent_rows(run, run.cell(name), seed),
        lambda name: can_be_classified(run.cell(name)),
    )
    measure_missing(run, [measurement])


ANALYSES.add("polarised", AnalysisKind(Polarised, measure_latents))
