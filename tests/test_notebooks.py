"""Notebooks run from start to end on a small run made here, and are committed with outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from runs import TINY, finished_run

from mdvae.store import rundir

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# That of estimates makes its own; the others read the run directory that they are given.
ESTIMATE = ROOT / "notebooks" / "estimate.ipynb"
OF_RUNS = [path for path in NOTEBOOKS if path != ESTIMATE]


def outputs(path, monkeypatch, **variables):
    """What the code cells of a notebook come to with some variables set, each as one text."""
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    # The strict arithmetic of the tests is for our code, not for a notebook's libraries.
    for name in [name for name in os.environ if name.startswith("JAX_NUMPY")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": path.parent}}).execute()
    return [str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", OF_RUNS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_notebook_says_what_a_run_lacks(path, monkeypatch, tmp_path, tiny):
    """A run directory of other cells in which nothing is done yet."""
    rundir.write_config(tmp_path, tiny({"kappa": (4,), "d": (6,), "r": (3,)}))
    texts = outputs(path, monkeypatch, MDVAE_RUN=tmp_path)
    for text, said in zip(
        texts,
        (
            "tiny: 1 cells",
            "This run has no summary yet",
            "kappa4-d6-r3: no seed is done yet",
            "no run has a valid window for the loss slope",
            "kappa4-d6-r3: nothing logged yet",
            "this run has no trained model of a manifold of r = 2",
        ),
        strict=True,
    ):
        assert said in text


@pytest.mark.parametrize("path", OF_RUNS, ids=lambda path: path.stem)
# What the client and its kernel warn about is not ours.
@pytest.mark.filterwarnings("ignore")
def test_notebook_runs(path, monkeypatch):
    texts = outputs(path, monkeypatch, MDVAE_RUN=finished_run(TINY)[0])
    assert "tiny: 5 cells" in texts[0]
    assert "AD (gap)" in texts[1]
    assert sum("image/png" in text for text in texts) == 3


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_estimates_in_a_notebook(monkeypatch, tmp_path):
    # It trains for minutes, and so as a user's notebook would.
    for name in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    texts = outputs(ESTIMATE, monkeypatch, MDVAE_WORKDIR=tmp_path, MDVAE_EFFORT="quick")
    assert "dimension " in texts[1]
    assert (tmp_path / "tumours" / "estimate.json").is_file()
    assert sum("image/png" in text for text in texts) == 3
    assert all(f"{name}: " in texts[-1] for name in "18")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    assert sum(bool(cell.get("outputs")) for cell in notebook.cells) >= 5
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count
            assert not any(output.output_type == "error" for output in cell.outputs)
