"""Reports on methods that have a critic in the place of a likelihood."""

import numpy as np
import pytest
import runs

import mdvae
from mdvae.reports.tables import fraction

CRITIC = str(runs.CONFIGS / "critic.py")


def test_nothing_is_right_or_wrong_of_what_is_not_counted():
    row = {"runs": 2, "expected_ad": 3, "ad_correct": float("nan")}
    assert fraction(row, "ad") == "–"
    assert fraction({**row, "ad_correct": 0.5}, "ad") == "1/2"
    assert fraction({**row, "ad_correct": 0.0}, "ad") == "0/2"
    assert fraction({**row, "ad_correct": 0.5, "expected_ad": None}, "ad") == "–"


@pytest.mark.long
def test_a_sweep_of_both_is_reported_and_loaded(tmp_path):
    path = tmp_path / "w"
    assert runs.run_sweep(CRITIC, path, figures=True) == 0
    run = mdvae.load_run(path)
    wae, lmgae = (cell.name for cell in run.cells)
    assert {row["status"] for row in run.results} == {"ok"}
    for row in run.results:
        assert (row["ad"] is None) == (row["cell"] == wae)
        assert row["recon"] > 0
        assert "nelbo" not in row
    # 1 - mu in the place of a variance ratio: in spectra, and while training went on.
    theta = run.params(lmgae, 1)["theta"]
    np.testing.assert_allclose(run.spectrum(lmgae, 1), np.exp(-theta), rtol=1e-5)
    lines = [line for line in run.metrics if (line["cell"], line["seed"]) == (lmgae, 1)]
    assert [line["step"] for line in lines if "eval_ratio" in line] == [20, 40, 60]
    np.testing.assert_allclose(lines[-1]["eval_ratio"], np.exp(-theta), rtol=1e-5)
    assert {"recon", "critic_gap", "active", "polarised", "gradient_norm"} <= lines[0].keys()
    (row,) = (row for row in run.results if (row["cell"], row["seed"]) == (lmgae, 1))
    assert row["ad"] == np.sum(1.0 - np.exp(-theta) > 0.1)
    np.testing.assert_array_equal(run.blocks[lmgae, 1][0], np.nan)
    assert np.mean(run.blocks[lmgae, 1][1]) == pytest.approx(row["recon"], rel=1e-4)

    text = (path / "report.md").read_text()
    table = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| 4 |")]
    cells = {line[3].strip(): [word.strip() for word in line] for line in table[:2]}
    assert cells["wae"][4:8] == ["–"] * 4
    assert cells["lmgae"][6].endswith("/2")
    assert float(cells["wae"][8]) > 0
    assert "Recon |" in text
    assert "Theorem 1)" not in text
    for name in ("training", "growth", "samples", "spectra"):
        assert (path / "figures" / f"{name}.png").is_file()
    assert run.generate(lmgae, 0, 50).shape == (50, 5)
    assert runs.run_report(path) == 0
