"""The section on the polarised regime: counts against the truth, verdicts, and what is missing."""

import csv
import shutil
from pathlib import Path

import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import TINY, finished_run, run_report, run_sweep

from mdvae.analysis.polarised import ACTIVE, MIXED, PASSIVE
from mdvae.analysis.regime import POLARISED
from mdvae.analysis.statements import STATEMENTS
from mdvae.analysis.theory import Expected
from mdvae.reports.sections.polarised import has_right_shares, is_right
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.store.rundir import read_csv

CONFIG = str(Path(__file__).parents[1] / "configs" / "polarised.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    """A directory whose latents are as theory has them, but for one of one seed."""
    target = tmp_path / "w"
    shutil.copytree(finished_run(CONFIG)[0], target)
    rows = read_csv(target / POLARISED)
    for row in rows:
        planted, j = "nested" in row["cell"], row["latent"]
        n_active = 2 if planted or "both" in row["cell"] else 3
        row["regime"] = ACTIVE if j < n_active else MIXED if planted else PASSIVE
        row["active"] = {ACTIVE: 1.0, MIXED: 0.23, PASSIVE: 0.0}[row["regime"]]
        if planted and row["seed"] == 1 and j == 2:
            row["active"] = 0.35
        if "both" in row["cell"] and row["seed"] == 1 and j == 3:
            row["regime"] = MIXED
        for statement in STATEMENTS:
            row[statement.column] = 0.5 * statement.limit
        if row["regime"] == ACTIVE and j == 0:
            row["t2_active"] = 0.2
    write(target, rows)
    return target


def write(path, rows):
    with (path / POLARISED).open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.long
def test_counts_and_verdicts_are_told(path):
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert (
        "Where no latents are to be mixed, active, mixed and passive ones are as many as expected"
        " in 3 of 4 (75 %, 95 % interval 30-95 %) runs, and mixed ones found in 1 of 4 (25 %"
    ) in text
    assert "as many as expected in 2 of 2 (100 %" in text
    assert "shares of the samples within 0.1 in 1 of 2 (50 %" in text
    assert "0.290 of 0.2" in text
    (line,) = [line for line in text.splitlines() if "p(z) ≈ p(μ): KS" in line]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == ["Theorem 2 (ii)", "active", "p(z) ≈ p(μ): KS", "0.025", "0.20", "0.05", "8/14"]


@pytest.mark.long
def test_rows_by_another_rule_are_missing_ones(path):
    rows = (path / POLARISED).read_text().replace("margin 0.15", "margin 0.2")
    (path / POLARISED).write_text(rows)
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    assert "The latents of these models are not measured yet" in text
    assert "Where no latents" not in text


@pytest.mark.long
def test_figures_show_each_regime(tmp_path):
    target = tmp_path / "w"
    shutil.copytree(finished_run(CONFIG)[0], target)
    assert run_report(target, figures=True) == 0
    for name in ("regime", "regime_densities"):
        assert (target / "figures" / f"{name}.png").stat().st_size > 5_000
        assert f"figures/{name}.png" in (target / "report.md").read_text()


@pytest.mark.long
def test_a_report_where_all_is_unclear_has_no_densities(path):
    rows = read_csv(path / POLARISED)
    for row in rows:
        row["regime"] = "unclear"
    write(path, rows)
    assert run_report(path, figures=True) == 0
    assert "figures/regime.png" in (path / "report.md").read_text()


@pytest.mark.long
def test_a_report_refuses_rules_that_it_has_no_use_for(path, capsys):
    for argument, message in (
        ("--active_below=0.9", "analysis.passive_from: 0.5 is not usable with active_below = 0.9"),
        ("--margin=2", "--margin: 2 is not usable"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_report(path, argument)
    with pytest.raises(ConfigError, match="--margin: has no effect with"):
        run_report(finished_run(TINY)[0], "--margin=0.2")


def test_runs_that_cannot_be_classified_are_not_missing(tmp_path):
    fields = {"analysis": "polarised", "heads": "point", "method": "wae", "optimiser": "rmsprop"}
    config = tiny_dict({"kappa": (2,), "d": (6,), "r": (2,)}, batch_size=56, **fields)
    path = invented_run(resolve(config), tmp_path / "w")
    assert run_report(path) == 0
    assert "not measured yet" not in (path / "report.md").read_text()


def rows_of(*pairs):
    return [{"regime": regime, "active": share} for regime, share in pairs]


def test_what_is_right():
    expected = Expected(1, 2, 1, (0.2, 0.5))
    good = rows_of((ACTIVE, 1.0), (MIXED, 0.45), (MIXED, 0.25), (PASSIVE, 0.0))
    assert is_right(good, expected)
    assert has_right_shares(good, expected)
    far = rows_of((ACTIVE, 1.0), (MIXED, 0.65), (MIXED, 0.25), (PASSIVE, 0.0))
    assert is_right(far, expected)
    assert not has_right_shares(far, expected)
    fewer = rows_of((ACTIVE, 1.0), (ACTIVE, 0.9), (MIXED, 0.25), (PASSIVE, 0.0))
    assert not is_right(fewer, expected)
    assert not has_right_shares(fewer, expected)


@pytest.mark.long
def test_images_with_other_conditions_than_classes_have_pictures(tmp_path):
    config = tmp_path / "sprites.py"
    config.write_text(
        f"""
import sys
sys.path.insert(0, {str(ROOT / "configs")!r})
import ivae_dsprites

def get_config():
    config = ivae_dsprites.get_config()
    config.scale = "options"
    config.scales.options.update({{"steps": 4, "seeds": 1, "log_every": 2, "save_every": 4}})
    config.scales.options.update({{"eval_every": 4, "data": {{"places": (3, 2, 5, 4, 4)}}}})
    config.scales.options.networks.update({{"dense": 5, "decoder_dense": 4, "channels": 2}})
    config.grid.kappa = (3,)
    config.scales.options.grid = {{"kappa": (3,), "prior_of": ("own", "last")}}
    config.analysis.examples = 100
    return config
"""
    )
    path = tmp_path / "w"
    assert run_sweep(str(config), path, figures=True) == 0
    rows = read_csv(path / POLARISED)
    assert len(rows) == 6
    assert all(row["eq11"] >= 0 for row in rows)
    for name in ("reconstructions", "image_samples", "traversals", "regime_densities"):
        assert (path / "figures" / f"{name}.png").stat().st_size > 3_000, name
