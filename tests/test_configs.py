"""Every config file builds, at its published protocol too, and takes a small real step."""

from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

import mdvae
from mdvae import sweep
from mdvae.config import resolve
from mdvae.grid import make_cells, make_groups
from mdvae.summary import published_rows

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
SMALL = (
    "--config.steps=2",
    "--config.n_train=200",
    "--config.n_eval=50",
    "--config.batch_size=20",
    "--config.seeds=1",
)


def load(path):
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", str(path), flag_values=values)
    values(["test"])
    return values["config"].value


PROTOCOLS = [(path, name) for path in CONFIGS for name in ("mdvae", *load(path).protocols)]


@pytest.mark.parametrize(("path", "protocol"), PROTOCOLS, ids=lambda value: Path(value).stem)
def test_config_builds_and_steps(path, protocol, tmp_path, capsys):
    assert load(path).name == path.stem
    argv = ["sweep", f"--config={path}", "--workdir", str(tmp_path / "w"), *SMALL]
    assert sweep.main([*argv, f"--config.protocol={protocol}"]) == 0
    run = mdvae.load_run(tmp_path / "w")
    assert {row["status"] for row in run.results} == {"ok"}
    assert len(run.results) == len(run.cells)
    # The published networks are fed x as it is and have no output function.
    assert (run.config.output == "linear") == (protocol != "mdvae")
    assert (run.config.encoder_input == "raw") == (protocol != "mdvae")
    assert "| " in capsys.readouterr().out


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
