"""Every config file builds, at its published protocol too, and takes a small real step."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

import mdvae
from mdvae import sweep
from mdvae.config import resolve
from mdvae.ensemble import Run, run_mesh, split_runs
from mdvae.grid import make_cells, make_groups
from mdvae.loading import make_method
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
REPORTED = ("quickstart", "table5", "plane")


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
    assert sweep.main(argv) == 0
    run = mdvae.load_run(tmp_path / "w")
    assert {row["status"] for row in run.results} == {"ok"}
    assert len(run.results) == len(run.cells)
    assert "| " in capsys.readouterr().out
    figures = {file.name for file in (tmp_path / "w" / "figures").iterdir()}
    if name == "table5":
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
        report = (tmp_path / "w" / "report.md").read_text()
        assert "attention=True: AD by the 0.05 rule is as expected in" in report
        assert (tmp_path / "w" / "part_summary.csv").is_file()
    if name == "plane":
        assert "samples.png" in figures
        assert "Remark 1: turned into" in (tmp_path / "w" / "report.md").read_text()
        (learned,) = [cell for cell in run.cells if cell.prior == "learned"]
        batch = run.batch(learned, 0, 50)
        before = run.nelbo(learned, 0, *batch)
        after = run.nelbo(learned, 0, *batch, standard_prior=True)
        np.testing.assert_allclose(after, before, rtol=1e-10)
        (row,) = [row for row in run.results if row["cell"] == learned.name]
        assert before.mean() == pytest.approx(row["nelbo"], rel=0.1)  # other draws of z


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
