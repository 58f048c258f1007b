"""Every config file builds, at its published protocol too, and takes a small real step."""

import csv
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

import mdvae
from mdvae import report, sweep
from mdvae.config import resolve
from mdvae.ensemble import Run, run_mesh, split_runs
from mdvae.grid import make_cells, make_groups
from mdvae.loading import make_method
from mdvae.methods.vae import cell_networks
from mdvae.summary import published_rows
from mdvae.train import Trainer

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
SMALL = (
    "--config.steps=2",
    "--config.n_train=200",
    "--config.n_eval=50",
    "--config.batch_size=20",
    "--config.seeds=1",
)


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """These programs run for a few steps: compiling them is what takes the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def load(path):
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", str(path), flag_values=values)
    values(["test"])
    return values["config"].value


PROTOCOLS = [(path, name) for path in CONFIGS for name in ("mdvae", *load(path).protocols)]
REPORTED = ("quickstart", "table5", "table6", "table7", "theorem2", "plane")


@pytest.mark.parametrize(("path", "protocol"), PROTOCOLS, ids=lambda value: Path(value).stem)
def test_config_builds_and_takes_a_step(path, protocol):
    """The first and the last cell of its first and last group train and are evaluated."""
    config = load(path)
    assert config.name == path.stem
    config.update({"protocol": protocol, "n_train": 200, "n_eval": 50, "seeds": 1, "steps": 2})
    resolved = resolve({**config.to_dict(), "batch_size": 20}, {"batch_size", "steps"})
    # The published networks are fed x as it is and have no output function.
    assert (resolved.output == "linear") == (protocol != "mdvae")
    assert (resolved.encoder_input == "raw") == (protocol != "mdvae")
    groups = make_groups(make_cells(resolved), resolved.group_by)
    for group in {group.cells[0].name: group for group in (groups[0], groups[-1])}.values():
        (ends,) = make_groups(tuple(dict.fromkeys((group.cells[0], group.cells[-1]))))
        runs = [Run(cell, resolved.seed) for cell in ends.cells]
        (placement,) = placements = split_runs(runs, 1, 1)
        make = partial(make_method, resolved)
        trainer = Trainer(resolved, ends, make, run_mesh(jax.devices()[:1]), placements)
        part = trainer.load(placement)
        state = trainer.chunk(part, trainer.init(part), 0, 1)
        assert np.all(np.isfinite(trainer.evaluate(part, state).nelbo))


@pytest.mark.parametrize("name", REPORTED)
def test_config_trains_and_reports(name, tmp_path, capsys):
    path = ROOT / "configs" / f"{name}.py"
    argv = ["sweep", f"--config={path}", "--workdir", str(tmp_path / "w"), *SMALL]
    if name == "theorem2":
        argv += ["--config.seeds=2", "--config.grid.t=(2,5)", "--config.grid.log_gamma=(-4.,-3.)"]
    assert sweep.main(argv) == 0
    run = mdvae.load_run(tmp_path / "w")
    assert {row["status"] for row in run.results} == {"ok"}
    assert len(run.results) == len(run.cells) * len(run.seeds)
    assert "| " in capsys.readouterr().out
    figures = {file.name for file in (tmp_path / "w" / "figures").iterdir()}
    text = (tmp_path / "w" / "report.md").read_text()
    if name == "table6":
        assert {(row["part"], row["expected_ad"]) for row in run.parts} == {
            (t, 12 - t) for t in (2, 4, 6, 8, 10)
        }
        assert "parts.png" in figures
    if name == "table7":
        assert {"ad_against_start.png"} <= figures
        assert text.count("from initial log γ = -20, -10, 0, 10, 20, AD (0.05) is") == 6
        assert "AD = r - t by" not in text  # bad starts say nothing on the theorem
    if name == "theorem2":
        with open(tmp_path / "w" / "rates.csv", newline="") as file:
            rates = list(csv.DictReader(file))
        # Theorem 2: d - r + t, with d = 20 and r = 6.
        assert [float(row["theory"]) for row in rates] == [16.0, 19.0]
        assert "rates.png" in figures
    if name == "table5":
        run.metrics = [{"cell": run.cells[0].name, "step": step} for step in (0, 1, 2)]
        assert [line["step"] for line in run.nelbo_metrics] == [1, 2]  # 0.3 of 2 steps rise
        assert len(run.parts) == 2 * 5  # classes, with and without attention
        assert {row["expected_ad"] for row in run.parts} == {1, 2, 3, 4, 5}
        for cell in run.cells:
            mine = [row["fraction"] for row in run.counts if row["cell"] == cell.name]
            assert sum(mine) == pytest.approx(5.0, rel=1e-5)
            for row in (row for row in run.parts if row["cell"] == cell.name):
                ratios = run.spectrum(cell, 0, row["part"])
                assert ratios.shape == (40,)
                assert row["ad"] == np.sum(ratios < run.config.ad_threshold)
                assert not np.array_equal(ratios, run.spectrum(cell, 0))
        assert {"parts.png", "samples.png"} <= figures
        assert "attention=True: AD by the 0.05 rule is as expected in" in text
        assert (tmp_path / "w" / "part_summary.csv").is_file()
    if name == "plane":
        assert "samples.png" in figures
        assert "Remark 1: turned into" in text
        (learned,) = [cell for cell in run.cells if cell.prior == "learned"]
        batch = run.batch(learned, 0, 50)
        before = run.nelbo(learned, 0, *batch)
        after = run.nelbo(learned, 0, *batch, standard_prior=True)
        np.testing.assert_allclose(after, before, rtol=1e-10)
        (row,) = [row for row in run.results if row["cell"] == learned.name]
        assert before.mean() == pytest.approx(row["nelbo"], rel=0.1)  # other draws of z
        samples_of_the_prior_and_decoder(run, learned, batch[1][:1])
    report_without_the_last_run(tmp_path / "w", capsys)


def samples_of_the_prior_and_decoder(run, cell, c):
    """Samples given c have the moments of z ~ p(z | c) decoded, and of gamma on top."""
    n, params = 20_000, run.params(cell, 0)
    prior = cell_networks(cell).prior
    mean, logvar = (np.asarray(part) for part in prior(params, c.T))
    z = mean.T + np.exp(0.5 * logvar.T) * np.random.default_rng(0).normal(size=(n, cell.kappa))
    many = np.repeat(c, n, axis=0)
    expected = run.decode(cell, 0, z.astype(np.float32), many)
    samples = run.generate(cell, 0, n, c)
    tolerance = 5 * expected.std(axis=0).max() / np.sqrt(n)
    np.testing.assert_allclose(samples.mean(axis=0), expected.mean(axis=0), atol=tolerance)
    np.testing.assert_allclose(samples.std(axis=0), expected.std(axis=0), rtol=0.05)
    # A prior N(0, I) would show.
    wrong = run.decode(cell, 0, (z - mean.T).astype(np.float32), many).mean(axis=0)
    assert np.abs(wrong - expected.mean(axis=0)).max() > 2 * tolerance
    noisy = run.generate(cell, 0, n, c, noise=True)
    gamma = float(np.exp(params["log_gamma"]))
    np.testing.assert_allclose(noisy.var(axis=0), samples.var(axis=0) + gamma, rtol=0.05)


def report_without_the_last_run(path, capsys):
    """A run directory whose last run is not there yet can be reported on."""
    with open(path / "results.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    for file in path.glob("*.csv"):
        lines = file.read_text().splitlines(keepends=True)
        start = f"{last['cell']},{last['seed']},"
        file.write_text("".join(line for line in lines if not line.startswith(start)))
    assert report.main(["report", str(path)]) == 0
    assert "Not finished: 1 runs have no results yet" in capsys.readouterr().out


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_has_the_common_fields_and_states_its_command(path):
    config = load(path)
    for name in ("steps", "batch_size", "n_train", "n_eval", "learning_rate", "hidden"):
        assert name in config
    for name in ("log_gamma_init", "save_every", "seeds", "seed", "protocol"):
        assert name in config
    text = path.read_text()
    assert f"python -m mdvae.sweep --config configs/{path.name}" in text
    assert "CPU" in text


def test_table1_is_the_published_table():
    cells = make_cells(resolve(load(ROOT / "configs" / "table1.py")))
    published = published_rows("table1")
    assert len(make_groups(cells)) == 1
    assert {(cell.kappa, cell.d, cell.r) for cell in cells} == {
        (row["kappa"], row["d"], row["r"]) for row in published
    }
    assert len(cells) == len(published) == 18
    # Values copied from the printed table.
    by_cell = {(row["kappa"], row["d"], row["r"]): row for row in published}
    assert by_cell[20, 30, 2]["neg_elbo"] == -176.74
    assert by_cell[20, 10, 8]["ad"] == 7
    assert by_cell[5, 20, 10]["gamma"] == 1.113e-2


def test_authors_protocol_of_table1_is_the_published_recipe():
    config = load(ROOT / "configs" / "table1.py")
    config.protocol = "authors"
    resolved = resolve(config)
    assert resolved.batch_size == resolved.n_train == 100_000
    assert (resolved.hidden, resolved.activation, resolved.output) == ((16,), "relu", "linear")
    assert (resolved.steps, resolved.learning_rate, resolved.log_gamma_init) == (50_000, 0.005, 0.0)
