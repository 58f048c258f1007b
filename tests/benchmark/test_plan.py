"""The plan: complete, measured, and without a trace on the disk."""

import re

import pytest
from runs import TINY, run_sweep

from mdvae.benchmark import plan


@pytest.mark.long
def test_plan_of_two_groups(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plan, "TRIAL_SECONDS", 0.05)
    path = tmp_path / "run"
    assert run_sweep(TINY, path, "--dry_run", "--config.group_by=('d',)") == 0
    out = capsys.readouterr().out
    assert not path.exists()
    rows = [line.split("|")[1:-1] for line in out.splitlines() if re.match(r"\|\s+\d", line)]
    table = [[cell.strip() for cell in row] for row in rows]
    assert [(row[1], row[2], row[5]) for row in table] == [("3", "6", "6"), ("2", "4", "3")]
    assert "kappa2-d6-r3" in out
    assert "5 cells x 2 seeds, 60 steps each" in out
    assert "Nothing was written" in out


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.4, "1 s"), (99.0, "99 s"), (100.0, "2 min"), (9_000.0, "2.5 h")]
)
def test_durations(seconds, text):
    assert plan.duration(seconds) == text
