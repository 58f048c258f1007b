"""The examples of docs/extending.md: the text quotes them, its commands run, padding is kept."""

import re
import subprocess
import sys
from pathlib import Path

import contracts.test_contracts as contracts
import numpy as np
import pytest
from runs import SMALL as SMALL_CONFIG
from runs import run_sweep

import mdvae
from mdvae import sweep
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA, METHODS, NETWORKS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()
EXAMPLES = ("ring", "residual", "iwae")
COMMAND = re.compile(r"^\.venv/bin/python -m mdvae\.sweep --config examples/(\w+)\.py$", re.M)
SMALL = ("--config.steps=20", "--config.log_every=10", "--config.batch_size=50")
SMALL += ("--config.data.n_train=200", "--config.data.n_eval=100", "--config.seeds=2")
# Kinds of data, method, networks and optimiser, and choices of them; see `test_contracts`.
CASES = {
    "ring": ("examples.ring:ring", "vae", "mlp", "adam", {}),
    "residual": ("manifold", "vae", "examples.residual:residual", "adam", {"width": 6}),
    "iwae": ("manifold", "examples.iwae:iwae", "mlp", "adam", {"samples": 3}),
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    """As of a command in the repository's root; what the examples add is taken away again."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    for name in EXAMPLES:
        monkeypatch.delitem(sys.modules, f"examples.{name}", raising=False)
    for registry in (DATA, NETWORKS, METHODS):
        registry.names()
        monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
    yield
    for name in EXAMPLES:
        sys.modules.pop(f"examples.{name}", None)


def swept(name, path, *flags):
    assert run_sweep(f"examples/{name}.py", path, *SMALL, *flags) == 0
    run = mdvae.load_run(path)
    assert len(run.results) == len(run.cells) * 2
    assert {row["status"] for row in run.results} == {"ok"}
    return run, (path / "report.md").read_text()


def test_the_text_names_each_example_with_its_command():
    assert COMMAND.findall(TEXT) == ["spiral", *EXAMPLES]
    for name in EXAMPLES:
        assert (
            f"python -m mdvae.sweep --config examples/{name}.py"
            in (ROOT / "examples" / f"{name}.py").read_text().partition('"""\n\nimport')[0]
        )


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.S))
def test_the_text_quotes_the_files(block):
    assert any(block in (ROOT / "examples" / f"{name}.py").read_text() for name in EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_finds_the_example(name, tmp_path):
    """In a process of its own, as a user's; it stops at a mistake once all is imported."""
    flags = ("--config", f"examples/{name}.py", "--config.steps=0", f"--workdir={tmp_path}")
    done = subprocess.run(
        [sys.executable, "-m", "mdvae.sweep", *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stderr == "error: steps: 0 is not usable; it must be a whole number, 1 or more\n"
    assert done.returncode == 2


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_padding_is_kept(case):
    contracts.test_padded_equals_unpadded(case)


def test_ring_trains_and_has_a_truth(tmp_path):
    run, text = swept("ring", tmp_path / "w", "--config.grid.turn=(0.5,0.9)")
    assert [cell.name for cell in run.cells] == ["kappa5-d6-turn=0.5", "kappa5-d6-turn=0.9"]
    assert {(row["r"], row["expected_ad"]) for row in run.results} == {(1, 1)}
    assert "with r < d and κ ≥ r (Theorem 1), AD = r" in text
    x = run.samples(run.cells[0], 0, 500)
    centred = x - 0.5
    assert (centred**2).sum(axis=1) == pytest.approx(0.16, rel=1e-4)  # the radius
    # Half a turn lies on one side of a line through the middle, nine tenths of one do not.
    sides = [(run.samples(cell, 0, 500) - 0.5) @ centred.mean(axis=0) for cell in run.cells]
    assert sides[0].min() > -1e-3
    assert sides[1].min() < -0.01


@pytest.mark.long
def test_residual_trains_with_its_own_fields(tmp_path):
    run, _ = swept("residual", tmp_path / "w", "--config.networks.blocks=3")
    params = run.params(run.cells[0], 0)
    assert len(params["encoder"]["Trunk_0"]) == 4  # one to the width, and three blocks
    flags = ("--config.method.model=cvae", "--config.data.t=1")
    with pytest.raises(ConfigError) as caught:
        swept("residual", tmp_path / "v", *flags)
    assert str(caught.value).startswith(
        "networks.kind: 'examples.residual:residual' is not usable with a condition; it must be"
    )


@pytest.mark.long
def test_iwae_tightens_its_bound(tmp_path):
    run, text = swept("iwae", tmp_path / "w")
    for row in run.results:
        if run.cell(row["cell"]).method.samples == 1:
            assert row["bound"] == pytest.approx(row["nelbo"], rel=1e-5)
        else:
            assert row["bound"] < row["nelbo"] - 1e-3
    assert "iwae: other scores, mean and 95 % interval over 2 seeds." in text
    assert re.search(r"\| +samples \| +bound \| +runs \|", text)


@pytest.mark.long
def test_methods_stand_beside_each_other(tmp_path):
    path = tmp_path / "w"
    flags = ("--config.grid.method=('vae','examples.iwae:iwae')", "--config.eval_every=40")
    assert run_sweep(SMALL_CONFIG, path, *flags, figures=True) == 0
    run = mdvae.load_run(path)
    bounds = {cell.method.kind: cell.name for cell in run.cells}
    assert set(bounds) == {"vae", "examples.iwae:iwae"}
    for row in run.results:
        assert (row.get("bound") is None) == (row["cell"] == bounds["vae"])
        assert row["nelbo"] is not None
        assert row["ad"] is not None
    text = (path / "report.md").read_text()
    assert "![bound, nelbo and γ over training]" in text or "![nelbo, bound and γ over" in text
    own = text.partition("other scores")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert own.count("| examples.iwae:iwae |") == 1
    assert "| vae |" not in own
    assert "method = examples.iwae:iwae, samples = 5 |" in text  # among the costs, no field of vae


@pytest.mark.parametrize("behind", ["=", " "])
def test_a_kind_can_be_chosen_beside_a_config(behind):
    chosen = f"--config.networks.kind{behind}examples.residual:residual".split()
    flags = (*chosen, "--config.networks.width=16")
    config = sweep.parse(["sweep", "--config=configs/synthetic.py", *flags]).config
    assert {cell.networks.width for cell in make_cells(config)} == {16}
    assert {cell.networks.blocks for cell in make_cells(config)} == {2}  # its own default


@pytest.mark.long
def test_iwae_reports_in_the_units_of_a_table(tmp_path):
    """A thousand times a table: nelbo and the bound grow by d log 1000, Recon by its square."""
    x = np.random.default_rng(0).normal(5.0, 2.0, (300, 3)) @ np.diag([1.0, 0.5, 0.01])
    flags = ("--config.method.kind=examples.iwae:iwae", "--config.grid.kappa=(2,)")
    rows = []
    for name, factor in (("one", 1.0), ("thousand", 1e3)):
        np.save(tmp_path / f"{name}.npy", factor * x)
        own = (f"--config.data.path={tmp_path / name}.npy", "--config.data.n_eval=60")
        short = [flag for flag in SMALL if "data" not in flag]
        assert run_sweep("configs/array.py", tmp_path / name, *short, *flags, *own) == 0
        rows.append(mdvae.load_run(tmp_path / name).results[0])
    for name in ("nelbo", "bound"):
        shift = rows[1][name] - rows[0][name]
        assert shift == pytest.approx(3 * np.log(1e3), rel=1e-4)
    assert rows[1]["recon"] / rows[0]["recon"] == pytest.approx(1e6, rel=1e-3)
