"""Reports on runs of sequences: shared against separate weights, and what models draw."""

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import run_report, run_sweep

import mdvae
from mdvae.reports.base import View
from mdvae.reports.sections import continuations, sharing
from mdvae.settings.config import resolve
from mdvae.store import rundir

CONFIG = """
from ml_collections import ConfigDict
from mdvae.settings.config import default_config


def get_config():
    config = default_config(data="sequences", networks="lstm")
    config.grid = ConfigDict(
        {"kappa": (3,), "d": (3,), "r": (1,), "past": (0,), "prior": ("shared",)}
    )
    config.seeds = 1
    config.steps = config.log_every = config.save_every = 2
    config.batch_size = 20
    config.data.length = 2
    config.data.n_train, config.data.n_eval = 60, 40
    config.method.model = "cvae"
    config.networks.hidden = (4,)
    return config
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A cell of two steps, and its report with figures."""
    folder = tmp_path_factory.mktemp("sequences")
    (folder / "config.py").write_text(CONFIG)
    assert run_sweep(str(folder / "config.py"), folder / "run", figures=True) == 0
    return folder / "run"


def test_a_trained_run_says_what_its_models_draw(trained):
    names = {file.name for file in (trained / "figures").glob("*.png")}
    assert names >= {"continuations.png", "autocorrelation.png"}
    assert "sharing.png" not in names
    text = (trained / "report.md").read_text()
    assert "Continued (kappa3-d3-r1-past=0-prior=shared): points vary by" in text
    assert "intervals overlap at" in text


def test_continuations_begin_where_the_data_do(trained):
    view = View(mdvae.load_run(trained))
    (cell,) = view.run.cells
    drawn = continuations.drawn_of(view, cell)
    assert drawn is not None
    stretches = view.run.stretches(cell, 0, continuations.POINTS + 1, 3)
    assert stretches.shape == (3, continuations.POINTS + 1, 3)
    whole = view.run.stretches(cell, 0, continuations.POINTS + 1, continuations.STRETCHES)
    entry = int(np.argmax(whole.std(axis=(0, 1))))
    np.testing.assert_array_equal(drawn.prefix, stretches[0, :1, entry])
    np.testing.assert_array_equal(drawn.after, stretches[0, 1 : 1 + continuations.SHOWN, entry])
    assert drawn.fan.shape == (continuations.FANNED, continuations.SHOWN)
    # Stretches do not overlap: each goes on where the one before it ended.
    long = view.run.stretches(cell, 0, 2 * stretches.shape[1], 1)[0]
    np.testing.assert_array_equal(np.concatenate([stretches[0], stretches[1]]), long)
    assert drawn.real.values.shape == (continuations.LAGS + 1,)
    # Without results nothing is drawn.
    assert continuations.SECTION.applies(view)


OWN = """
from ml_collections import ConfigDict
from mdvae.settings.config import default_config


def get_config():
    config = default_config(data="sequence_array", networks="lstm")
    config.grid = ConfigDict({"kappa": (3,)})
    config.seeds = 1
    config.steps = config.log_every = config.save_every = 2
    config.batch_size = 20
    config.data.length = 2
    config.method.model = "cvae"
    config.networks.hidden = (4,)
    return config
"""


@pytest.mark.long
def test_own_sequences_are_continued_and_reported_without_their_file(tmp_path, capsys):
    """Of all sequences that are held out; where the file is gone the rest is said."""
    file, config = tmp_path / "x.npy", tmp_path / "config.py"
    np.save(file, np.random.default_rng(0).normal(size=(200, 40, 2)))
    config.write_text(OWN)
    assert run_sweep(str(config), tmp_path / "run", f"--config.data.path={file}") == 0
    view = View(mdvae.load_run(tmp_path / "run"))
    (cell,) = view.run.cells
    assert continuations._length(cell) == 40
    assert view.run.stretches(cell, 0, 40, 100).shape == (40, 40, 2)
    assert view.run.stretches(cell, 0, 10, 100).shape == (100, 10, 2)
    assert "intervals overlap at" in capsys.readouterr().out
    file.unlink()
    assert run_report(tmp_path / "run") == 0
    assert "Continued" not in capsys.readouterr().out


def config_of(grid, seeds=3):
    kinds = {"data": "sequences", "networks": "lstm", "model": "cvae", "past": 0}
    return resolve(tiny_dict(grid, seeds=seeds, **kinds))


SIZES = {"kappa": (5,), "d": (8,), "r": (2,)}
PRIORS = {"prior": ("shared", "learned")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Invented results whose losses of shared weights are known."""
    path = tmp_path_factory.mktemp("pair") / "run"
    invented_run(config_of(SIZES | PRIORS), path)
    rows = rundir.read_csv(path / "results.csv")
    for row in rows:
        shared = "shared" in row["cell"]
        row["nelbo"] = (1.0 if shared else -20.0) + 0.1 * row["seed"]
        row["recon"], row["gamma"] = (0.5, 0.04) if shared else (1e-3, 1e-5)
    rundir.write_csv(path / "results.csv", rows)
    return path


def test_shared_weights_are_compared_with_separate_ones(pair, capsys):
    view = View(mdvae.load_run(pair))
    (row,) = sharing._learned(view)
    assert row["more"].mean == pytest.approx(42.0)
    assert row["more"].high - row["more"].low == pytest.approx(0.0, abs=1e-9)
    assert row["shared"].mean == pytest.approx(2.2)
    assert np.exp(row["ratio"].mean) == pytest.approx(500.0)
    (line,) = sharing._sentences(view)
    assert line == (
        "Shared weights (κ = 5, d = 8, r = 2): 2 nelbo less that of separate ones is 42.0 ± 0.0,"
        " Recon 500 [500, 500] times theirs; γ ends at 0.0400 or above with 3 seeds."
    )
    assert run_report(pair) == 0
    printed = capsys.readouterr().out
    assert "| 42.0 ± 0.0 |" in printed
    # Shared weights are under no theorem that expects a number of dimensions.
    assert "AD = r - t by the 0.05 rule in 3 of 3" in printed
    assert "outside Theorem 1" not in printed


@pytest.mark.long
def test_slopes_of_the_loss_at_held_levels(tmp_path):
    """Of separate weights as theory has it, d - r; of shared ones what was put there."""
    path = tmp_path / "run"
    levels = (-6.0, -5.0, -4.0, -3.0)
    invented_run(config_of({**SIZES, "log_gamma": levels, **PRIORS}), path)
    rows = rundir.read_csv(path / "results.csv")
    for row in rows:
        if "shared" in row["cell"]:
            row["nelbo"] = -0.5 * row["log_gamma"] + 0.01 * row["seed"]
    rundir.write_csv(path / "results.csv", rows)
    view = View(mdvae.load_run(path))
    found = {row["weights"]: row for row in sharing._slopes(view)}
    assert found["shared"]["slope"].mean == pytest.approx(-1.0)
    assert found["separate"]["slope"].mean == pytest.approx(8 - 2, abs=0.05)
    assert (found["separate"]["theory"], found["shared"]["theory"]) == ("6", "0 or below")
    assert {row["first"] for row in found.values()} == {-6.0}
    assert {row["last"] for row in found.values()} == {-4.0}
    # A loss that does not fall has no ladder among the rates, and is not warned of.
    assert [row["ladder"] for row in view.ladders] == ["kappa5-d8-r2-prior=learned"]
    assert run_report(path, figures=True) == 0
    assert (path / "figures" / "sharing.png").is_file()
    assert "slope of 2 nelbo" in (path / "report.md").read_text()


def test_sections_of_sequences_are_left_out_of_other_reports(tmp_path):
    path = invented_run(resolve(tiny_dict({"kappa": (3,), "d": (6,), "r": (2,)})), tmp_path / "run")
    view = View(mdvae.load_run(path))
    assert not sharing.SECTION.applies(view)
    assert not continuations.SECTION.applies(view)
    with pytest.raises(ValueError, match="stretches: kappa3-d6-r2 is of no sequences"):
        view.run.stretches(view.run.cells[0], 0, 5, 3)
