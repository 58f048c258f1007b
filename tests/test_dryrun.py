"""The plan: complete, measured, and without a trace on the disk."""

import re
from pathlib import Path

import pytest

from mdvae import dryrun, sweep

ROOT = Path(__file__).parents[1]


def test_plan_of_two_groups(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dryrun, "TRIAL_SECONDS", 0.05)
    tiny = ROOT / "tests" / "configs" / "tiny.py"
    path = tmp_path / "run"
    argv = ["sweep", f"--config={tiny}", f"--workdir={path}", "--dry_run"]
    assert sweep.main([*argv, "--config.group_by=('d',)"]) == 0
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
    assert dryrun.duration(seconds) == text
