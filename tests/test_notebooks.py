"""Notebooks run from start to end on a small run made here, and are committed with outputs."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from runs import TINY, finished_run

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# What the client and its kernel warn about is not ours.
@pytest.mark.filterwarnings("ignore")
def test_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("MDVAE_RUN", str(finished_run(TINY)[0]))
    # The strict arithmetic of the tests is for our code, not for a notebook's libraries.
    for name in [name for name in os.environ if name.startswith("JAX_NUMPY")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": path.parent}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    texts = [str(cell.outputs) for cell in code]
    assert "tiny: 5 cells" in texts[0]
    assert "AD (gap)" in texts[1]
    assert sum("image/png" in text for text in texts) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs
            assert not any(output.output_type == "error" for output in cell.outputs)
