"""The sweep command on a table of one's own."""

import shutil
import sys

import numpy as np
import pytest
from runs import CONFIGS, killed_at_checkpoint, run_report, run_sweep

import mdvae
from mdvae import cli, sweep
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA

CONFIG = str(CONFIGS.parents[1] / "configs" / "array.py")
ROWS, D, CELL = 160, 4, "kappa3"
SMALL = (
    "--config.grid.kappa=(3,)",
    "--config.seeds=2",
    "--config.steps=60",
    "--config.batch_size=30",
    "--config.networks.hidden=(8,)",
    "--config.log_every=15",
    "--config.save_every=20",
)
FILES = ("results.csv", "metrics.jsonl", "blocks.csv", "spectra.csv")


def table():
    rng = np.random.default_rng(0)
    return 10 + 12 * np.tanh(rng.normal(size=(ROWS, 2)) @ rng.normal(size=(2, D)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "x.npy", table())
    return folder


def swept(folder, file, name, *flags, **options):
    flags = (f"--config.data.path={folder / file}", *SMALL, *flags)
    assert run_sweep(CONFIG, folder / name, *flags, **options) == 0
    return mdvae.load_run(folder / name)


@pytest.fixture(scope="module")
def whole(folder):
    return swept(folder, "x.npy", "whole", figures=True)


def test_a_report_without_a_truth(whole, folder):
    assert [(row["cell"], row["d"], row["r"]) for row in whole.results] == 2 * [(CELL, D, None)]
    assert {row["status"] for row in whole.results} == {"ok"}
    assert {row["expected_ad"] for row in whole.results} == {None}
    text = (folder / "whole" / "report.md").read_text()
    assert "AD (gap)" in text
    for word in ("as expected", "Theorem 1)", "Of runs", "r = "):
        assert word not in text
    assert "sha256" not in text
    drawn = {file.name for file in (folder / "whole" / "figures").glob("*.png")}
    assert {"spectra.png", "thresholds.png", "training.png"} <= drawn


def test_models_take_and_give_own_units(whole, folder):
    x = table()
    held = whole.samples(CELL, 0, ROWS)
    train = whole.samples(CELL, 0, ROWS, purpose="train")
    assert (len(held), len(train)) == (32, 128)
    assert set(map(tuple, np.concatenate([held, train]))) == set(map(tuple, x))
    np.testing.assert_array_equal(whole.samples(CELL, 1, ROWS), held)  # of every seed
    (row,) = [row for row in whole.results if row["seed"] == 0]
    mean, logvar = whole.encode(CELL, 0, held)
    ratios = np.exp(logvar).mean(axis=0)
    np.testing.assert_allclose(ratios, whole.spectrum(CELL, 0), rtol=1e-4)
    draws = np.random.default_rng(0).normal(size=(200, *mean.shape))
    recon = [
        ((whole.decode(CELL, 0, (mean + np.exp(logvar / 2) * e)) - held) ** 2).sum(axis=1).mean()
        for e in draws
    ]
    assert np.mean(recon) == pytest.approx(row["recon"], rel=0.1)
    found = [whole.nelbo(CELL, 0, held, draw=i).mean() for i in range(20)]
    assert np.mean(found) == pytest.approx(row["nelbo"], abs=5 * np.std(found))
    # nelbo, recon, kl and gamma of a row are in one unit.
    nll = 0.5 * (row["recon"] / row["gamma"] + D * np.log(2 * np.pi * row["gamma"]))
    assert row["nelbo"] == pytest.approx(nll + row["kl"], rel=1e-5)
    # After so few steps gamma is still near where it starts: at the data's variance.
    assert np.log(row["gamma"] / x.var(axis=0).mean()) == pytest.approx(0.0, abs=0.5)
    made = whole.generate(CELL, 0, 2_000)
    np.testing.assert_allclose(made.mean(axis=0), x.mean(axis=0), atol=x.std())
    last = [line for line in whole.metrics if line["step"] == 60 and line["seed"] == 0]
    assert last[0]["log_gamma"] == pytest.approx(np.log(row["gamma"]), abs=0.2)


def test_without_the_file_a_run_can_still_be_read(whole, folder, tmp_path):
    """On another machine, say."""
    path = tmp_path / "copy"
    shutil.copytree(folder / "whole", path)
    text = (path / "config.json").read_text()
    (path / "config.json").write_text(text.replace(str(folder / "x.npy"), "/nowhere/x.npy"))
    run = mdvae.load_run(path)
    x = table()[:5]
    np.testing.assert_array_equal(run.nelbo(CELL, 0, x), whole.nelbo(CELL, 0, x))
    np.testing.assert_array_equal(run.generate(CELL, 0, 5), whole.generate(CELL, 0, 5))
    assert run_report(path) == 0
    with pytest.raises(ConfigError, match=r"^data\.path: /nowhere/x\.npy does not exist; give"):
        run.samples(CELL, 0)


@pytest.mark.parametrize("factor", [2.0**10, 2.0**-10])
def test_another_unit_shifts_the_loss_and_nothing_else(whole, folder, factor):
    """By powers of 2 no bit of what the networks see changes, so the shift is exact."""
    file = f"x{factor:g}.npy"
    np.save(folder / file, factor * table())
    run = swept(folder, file, f"times{factor:g}")
    for row, plain in zip(run.results, whole.results, strict=True):
        shift = D * np.log(factor)
        assert row["nelbo"] - plain["nelbo"] == pytest.approx(shift, rel=1e-6)
        assert row["recon"] == pytest.approx(factor**2 * plain["recon"], rel=1e-7)
        assert row["gamma"] == pytest.approx(factor**2 * plain["gamma"], rel=1e-7)
        same = ("ad", "ad_gap", "kl", "r_hat_slope")
        assert [row[name] for name in same] == pytest.approx([plain[name] for name in same])
    for key, (nelbo, recon) in run.blocks.items():
        np.testing.assert_allclose(nelbo, whole.blocks[key][0] + shift, rtol=1e-6)
        np.testing.assert_allclose(recon, factor**2 * whole.blocks[key][1], rtol=1e-7)
    for key, ratios in run.spectra.items():
        np.testing.assert_array_equal(ratios, whole.spectra[key])
    for line, plain in zip(run.metrics, whole.metrics, strict=True):
        assert line["nelbo"] - plain["nelbo"] == pytest.approx(shift, rel=1e-6)


def test_killed_and_resumed_with_the_file_elsewhere(whole, folder, capsys):
    with killed_at_checkpoint(2):
        swept(folder, "x.npy", "broken")
    np.savez(folder / "moved.npz", x=table())
    swept(folder, "moved.npz", "broken")
    assert "resuming from step 20" in capsys.readouterr().out
    for name in FILES:
        assert (folder / "broken" / name).read_bytes() == (folder / "whole" / name).read_bytes()


@pytest.mark.parametrize("flags", [(), ("--config.data.n_eval=40",)])
def test_a_file_that_has_changed_is_refused(whole, folder, flags):
    np.save(folder / "other.npy", table() + 1e-6)
    file = "x.npy" if flags else "other.npy"
    with pytest.raises(ConfigError) as caught:
        swept(folder, file, "whole", *flags)
    field = "data.n_eval: 0.2 -> 40.0" if flags else "data.content: 'sha256:"
    assert f"belongs to another config ({field}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_beyond_the_reach_of_the_decoder_are_told(whole, folder, capsys):
    capsys.readouterr()
    swept(folder, "x.npy", "sigmoid", "--config.networks.output=sigmoid", "--config.steps=2")
    line = "warning: the decoder's output is between 0 and 1, and the data that it is to fit are"
    assert line in capsys.readouterr().out
    flags = ("--config.networks.output=sigmoid", "--config.data.scaling=none", "--config.steps=2")
    np.save(folder / "unit.npy", (table() - table().min()) / np.ptp(table()))
    swept(folder, "unit.npy", "unit", *flags)
    assert "warning: the decoder" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.grid.d=5", "grid.d: is found with data.kind 'array', not set; leave it out"),
        (
            "--config.grid.scaling=none",
            "grid.scaling: is one for the whole sweep and no axis; set data.scaling",
        ),
    ],
)
def test_what_is_no_axis(folder, flag, message):
    path = f"--config.data.path={folder / 'x.npy'}"
    with pytest.raises(ConfigError) as caught:
        sweep.parse(["sweep", f"--config={CONFIG}", path, flag])
    assert str(caught.value) == message


def test_the_kind_brings_its_own_defaults(folder):
    """A config of manifolds holds 10,000 samples out, a table a fifth of its rows."""
    flags = (f"--config.data.path={folder / 'x.npy'}", "--config.data.kind=array")
    flags += ("--config.grid.d=None", "--config.grid.r=None", "--config.batch_size=32")
    synthetic = f"--config={CONFIGS.parents[1] / 'configs' / 'synthetic.py'}"
    (cell,) = make_cells(sweep.parse(["sweep", synthetic, *flags]).config)
    assert DATA.find("array").samples(cell.data) == (ROWS - ROWS // 5, ROWS // 5)


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}] * 200), allow_pickle=True)
    argv = ["sweep", f"--config={CONFIG}", f"--config.data.path={tmp_path / 'x.npy'}"]
    monkeypatch.setattr(sys, "argv", [*argv, f"--workdir={tmp_path / 'w'}"])
    with pytest.raises(SystemExit) as stopped:
        cli.run_command(sweep.main)
    assert stopped.value.code == cli.USER_ERROR
    message = f"error: data.path: {tmp_path / 'x.npy'} holds values of type object; it must hold"
    assert capsys.readouterr().err == f"{message} real numbers\n"
    assert not (tmp_path / "w").exists()
