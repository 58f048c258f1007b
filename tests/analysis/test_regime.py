"""Trained models whose latents are classified: rows, other rules, and what eq. 11 says."""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from runs import finished_run, run_report

from mdvae.analysis.polarised import CLASSES
from mdvae.analysis.regime import POLARISED, latents_of, said_variances
from mdvae.analysis.statements import STATEMENTS
from mdvae.analysis.theory import expected_classes, fills_space, in_theorem
from mdvae.methods.base import networks_of
from mdvae.settings.grid import make_cells
from mdvae.store.loading import load_run
from mdvae.store.rundir import read_csv

CONFIG = str(Path(__file__).parents[1] / "configs" / "polarised.py")
CELL = "kappa4-d6-r3-t=1-prior=both"


@pytest.fixture(scope="module")
def finished():
    return finished_run(CONFIG)[0]


@pytest.fixture(scope="module")
def opened(finished):
    return load_run(finished)


@pytest.mark.long
def test_every_latent_of_every_run_has_a_row(finished, opened):
    rows = read_csv(finished / POLARISED)
    wanted = [
        (cell.name, seed, j)
        for cell in opened.cells
        for seed in opened.seeds
        for j in range(cell.sizes.kappa)
    ]
    assert sorted((r["cell"], r["seed"], r["latent"]) for r in rows) == sorted(wanted)
    for row in rows:
        assert row["regime"] in CLASSES
        assert 0 <= row["active"] + row["passive"] <= 1
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["n"] == 150
        assert row["eq11"] >= 0
        assert {statement.column for statement in STATEMENTS} <= row.keys()


@pytest.mark.long
def test_posterior_and_prior_are_those_of_the_networks(opened):
    cell = opened.cell(CELL)
    x, c = opened.batch(CELL, 1, 7)
    model = opened.model(CELL, 1)
    found = latents_of(model, x, c)
    batch = {"x": jnp.asarray(x.T), "c": jnp.asarray(c.T)}
    networks = networks_of(cell)
    posterior, _ = networks.encode(model.params, model.stats, batch, False)
    prior = networks.prior(model.params, batch)
    for mine, theirs in (
        (found.mean, posterior.mean),
        (found.sd, np.exp(0.5 * posterior.logvar)),
        (found.prior_mean, prior.mean),
        (found.prior_sd, np.exp(0.5 * prior.logvar)),
    ):
        np.testing.assert_allclose(mine, theirs.T, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("bernoulli", [False, True])
def test_eq_11_is_where_the_loss_has_no_slope(opened, bernoulli):
    """The second derivative of -log p(x | z) at mu, and 1 / (1 + prior variance times that)."""
    model = opened.model(CELL, 0)
    if bernoulli:
        method = dataclasses.replace(model.cell.method, likelihood="bernoulli")
        model = model._replace(cell=dataclasses.replace(model.cell, method=method))
    x, c = opened.batch(CELL, 0, 3)
    found = said_variances(model, x, c)
    latents = latents_of(model, x, c)
    networks = networks_of(model.cell)
    for i in range(3):
        with jax.enable_x64(True):
            told = {"c": jnp.asarray(c[i : i + 1].T, jnp.float64)}
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.params)

            def decode(z, told=told, params=params):
                return networks.decode(params, {}, z[:, None], told, False)[0][:, 0]

            z = jnp.asarray(latents.mean[i], jnp.float64)
            at = decode(z)

            def loss(z, decode=decode, at=at):
                """Of data that are as the decoder says: its curvature is the expected one."""
                x_hat = decode(z)
                if bernoulli:
                    return -jnp.sum(at * jnp.log(x_hat) + (1 - at) * jnp.log(1 - x_hat))
                gamma = jnp.exp(jnp.float64(model.params["log_gamma"]))
                return jnp.sum((at - x_hat) ** 2) / (2 * gamma)

            curvature = np.diagonal(np.asarray(jax.hessian(loss)(z)))
        said = 1.0 / (1.0 + latents.prior_sd[i] ** 2 * curvature)
        np.testing.assert_allclose(found[i], said, rtol=2e-3)


@pytest.mark.long
def test_another_rule_classifies_anew_and_trains_nothing(finished, tmp_path):
    path = tmp_path / "w"
    shutil.copytree(finished, path)
    before = read_csv(path / POLARISED)
    assert run_report(path, "--margin=0.4", "--active_below=0.45") == 0
    after = read_csv(path / POLARISED)
    assert len(after) == len(before)
    assert {row["measured_with"] for row in after} == {
        "150 examples, active below 0.45, passive from 0.5, margin 0.4"
    }
    for old, new in zip(before, after, strict=True):
        assert new["ratio"] == old["ratio"]
        assert new["active"] >= old["active"]


@pytest.mark.long
def test_means_over_parts_are_by_their_share(opened):
    name = opened.cells[0].name
    rows = [row for row in opened.parts if row["cell"] == name and row["seed"] == 1]
    (whole,) = [row for row in opened.results if row["cell"] == name and row["seed"] == 1]
    for column in ("nelbo", "recon", "kl"):
        wanted = 0.8 * rows[0][column] + 0.2 * rows[1][column]
        assert whole[column] == pytest.approx(wanted, rel=1e-5)
        assert rows[0][column] != pytest.approx(rows[1][column], rel=1e-3)
    # All evaluation samples are those of the held-out scores here.
    (last,) = [line for line in opened.metrics if _is_last(line, name)]
    assert last["eval_recon"] == pytest.approx(whole["recon"], rel=1e-5)


def _is_last(line, cell):
    return (line["cell"], line["seed"], line["step"]) == (cell, 1, 12)


@pytest.mark.long
def test_what_gamma_resolves_is_told_where_it_is_of_what_latents_must_say(opened):
    found = {row["cell"]: row.get("resolvable") for row in opened.results}
    assert found["kappa4-d6-r3-t=1-prior=both"] is not None
    assert found["kappa4-d6-r3-t=1-prior=variance"] is None


@pytest.mark.long
def test_what_is_expected_of_each_cell(opened):
    planted, told, zero = (expected_classes(cell) for cell in opened.cells)
    assert told == (2, 0, 2, ())
    assert zero == (3, 0, 1, ())
    assert planted[:3] == (2, 1, 0)
    assert planted.mixed_shares == pytest.approx((0.2,))


IVAE = {"method": "ivae", "networks": "ivae_mlp"}
SIZES = {"kappa": (6,), "d": (8,), "r": (4,)}


@pytest.mark.parametrize(
    ("grid", "fields", "expected"),
    [
        ({**SIZES, "t": (1,)}, {"prior": "both"}, (3, 0, 3)),
        ({**SIZES, "t": (1,)}, {"decoder_told": True}, (3, 0, 3)),
        ({**SIZES, "t": (1,)}, {}, (4, 0, 2)),
        # The prior's mean needs a latent to say what u tells.
        ({**SIZES, "t": (1,), "kappa": (3,)}, {"prior": "both"}, None),
        ({**SIZES, "t": (1,), "kappa": (3,)}, {"decoder_told": True}, (3, 0, 0)),
        ({**SIZES, "t": (1,)}, {"beta": 2.0}, None),
        ({**SIZES, "t": (1,)}, {"likelihood": "bernoulli"}, None),
        ({**SIZES, "t": (1,), "d": (4,)}, {}, None),
        ({**SIZES, "kappa": (4,)}, {"data": "nested", "inner": 2}, (2, 2, 0)),
        # More latents than are needed may be shared out in several ways, and so may three classes.
        (SIZES, {"data": "nested", "inner": 2}, None),
        ({**SIZES, "kappa": (4,)}, {"data": "union"}, None),
        ({**SIZES, "kappa": (2,), "r": (2,)}, {"data": "union"}, (1, 1, 0)),
    ],
)
def test_classes_are_expected_where_a_theorem_says(tiny, grid, fields, expected):
    (cell,) = make_cells(tiny(grid, **{**IVAE, **fields}))
    found = expected_classes(cell)
    assert (found if found is None else found[:3]) == expected


def test_a_condition_that_spares_nothing_leaves_theorem_2_aside(tiny):
    grid = {"kappa": (4,), "d": (4,), "r": (4,), "t": (1,), "decoder_told": (False, True)}
    blind, told = make_cells(tiny(grid, **IVAE))
    assert not in_theorem(blind)
    assert fills_space(blind)
    assert in_theorem(told)
    assert not fills_space(told)
