"""The files of a run directory: numbers survive them, and what is cut short is no harm."""

import json
import os

import numpy as np
import pytest

from mdvae.settings.config import FORMAT
from mdvae.settings.fields import ConfigError
from mdvae.settings.registry import SECTIONS
from mdvae.store import records, rundir


def test_metrics_survive_a_line_cut_short(tmp_path):
    rundir.append_metrics(tmp_path, [{"cell": "a", "seed": 0, "step": 1, "nelbo": float("nan")}])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"cell": "a", "se')
    assert rundir.read_metrics(tmp_path) == [{"cell": "a", "seed": 0, "step": 1, "nelbo": None}]


def test_metrics_of_some_runs_are_rewound(tmp_path):
    lines = [{"cell": cell, "seed": 0, "step": step} for step in (5, 10) for cell in ("a", "b")]
    rundir.append_metrics(tmp_path, lines)
    rundir.rewind_metrics(tmp_path, {("a", 0)}, 5)
    assert rundir.read_metrics(tmp_path) == [line for line in lines if line != lines[2]]


def test_csv_keeps_a_float32(tmp_path):
    value = float(np.float32(0.1) + np.float32(1e-8))
    rundir.write_csv(tmp_path / "a.csv", [{"x": value, "y": None, "z": "text", "n": 3}])
    (row,) = rundir.read_csv(tmp_path / "a.csv")
    assert np.float32(row["x"]) == np.float32(value)
    assert (row["y"], row["z"], row["n"]) == (None, "text", 3)
    assert os.listdir(tmp_path) == ["a.csv"]


def test_csv_of_rows_with_different_columns(tmp_path):
    """The header has all of them in the order in which they come; what a row has not is empty."""
    rows = [{"cell": "a", "ad": 3}, {"cell": "b,c", "score": 0.5}, {"ad": 1, "note": "x"}]
    rundir.write_csv(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_text() == 'cell,ad,score,note\na,3,,\n"b,c",,0.5,\n,1,,x\n'
    assert rundir.read_csv(tmp_path / "a.csv") == [
        {"cell": "a", "ad": 3, "score": None, "note": None},
        {"cell": "b,c", "ad": None, "score": 0.5, "note": None},
        {"cell": None, "ad": 1, "score": None, "note": "x"},
    ]
    rundir.write_csv(tmp_path / "b.csv", [])
    assert rundir.read_csv(tmp_path / "b.csv") == []
    assert rundir.read_csv(tmp_path / "missing.csv") == []


def test_a_csv_field_may_have_any_text(tmp_path):
    """Quotes, commas and line breaks survive; what has none of them is written as it is."""
    rows = [{"cell": 'said "so", twice', "note": "two\nlines"}, {"cell": "κ = 3", "note": "a b"}]
    rundir.write_csv(tmp_path / "a.csv", rows)
    assert rundir.read_csv(tmp_path / "a.csv") == rows
    assert (tmp_path / "a.csv").read_bytes().endswith("\nκ = 3,a b\n".encode())


HEADER, COUNT = "cell,seed,part,active,fraction", "a,0,0,2,0.5"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"{HEADER},\0", f"{COUNT},1"], r"'\\x00' is no name of a column; restore it"),
        ([f"{HEADER},a d", f"{COUNT},1"], "'a d' is no name of a column; restore it"),
        ([f"{HEADER},seed", f"{COUNT},0"], "a column stands twice; restore it"),
        (["cell,seed,part,active", "a,0,0,2"], "has no column 'fraction'; restore it"),
        ([HEADER, COUNT, "a,0,0,3"], "line 3 has 4 of 5 fields; restore it"),
        ([HEADER, "a,0,0,2,x"], "line 2 has 'x' for fraction, which must be a number; restore it"),
        ([HEADER, "a,0.5,0,2,1"], "line 2 has 0.5 for seed, which must be a whole number"),
        ([HEADER, COUNT, COUNT], "cell a, seed 0, part 0, active 2 stands twice; leave one"),
    ],
)
def test_a_table_that_nothing_of_ours_wrote_is_refused(tmp_path, lines, message):
    (tmp_path / "counts.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=message):
        rundir.read_csv(tmp_path / "counts.csv")


@pytest.mark.parametrize("text", ["1_000", "1_0.5", "infinity", " 1", "1e", "0x10", "True", "1,2"])
def test_what_only_looks_like_a_number_stays_a_text(text):
    assert records.parse_value(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("12", 12), ("-3", -3), ("1.5", 1.5), (".5", 0.5), ("2.", 2.0), ("1e-07", 1e-7)],
)
def test_numbers_are_parsed(text, value):
    parsed = records.parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("value", [0.1, -1e-300, 3, float("inf"), -float("inf"), "kappa3-d6", None])
def test_a_value_is_parsed_as_it_was_written(value):
    assert records.parse_value(rundir.format_value(value)) == value
    assert rundir.format_value(float("nan")) == ""


def test_sections_are_described_by_kind_and_a_hash_of_their_values(tiny):
    config, wider = tiny(), tiny(hidden=(9,))
    described, other = rundir.describe_sections(config), rundir.describe_sections(wider)
    assert list(described) == list(SECTIONS)
    for name, entry in described.items():
        assert entry["kind"] == getattr(config, name).kind
        assert len(bytes.fromhex(entry["hash"])) == 6
        assert (entry == other[name]) == (name != "networks")
    assert rundir.describe_sections(tiny()) == described


def test_config_is_written_with_its_format(tmp_path, tiny):
    config = tiny()
    rundir.write_config(tmp_path, config)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["format"] == FORMAT
    assert rundir.read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a run directory"),
        ('{"name": "old", "hidden": [8]}', "format: 1 is not usable; this version of mdvae reads"),
        (f'{{"format": {FORMAT + 1}}}', f"format: {FORMAT + 1} is not usable"),
        ('{"format": "2"}', "format: '2' is not usable"),
        ('{"format": 2, "name"', "cannot be read as a config"),
        ('{"format": 2}', "cannot be read as a config|missing"),
        ("[]", "format: 1 is not usable"),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        rundir.read_config(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_manifest_is_one_line(tmp_path):
    assert rundir.read_manifest(tmp_path) == {}
    (tmp_path / "manifest.json").write_text('{"status": ')
    with pytest.raises(ConfigError, match=r"manifest\.json: cannot be read") as caught:
        rundir.read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_belongs_to_the_numbers_of_a_config(tmp_path, tiny):
    """What decides no numbers may change and is written down."""
    assert not rundir.claim_directory(tmp_path, tiny())
    other = tiny(log_every=2, save_every=3, name="other", ad_threshold=0.5)
    assert not rundir.claim_directory(tmp_path, other)
    assert rundir.read_config(tmp_path) == other
    with pytest.raises(ConfigError, match=r"another config \(networks.hidden: \(8,\) -> \(4,\)\)"):
        rundir.claim_directory(tmp_path, tiny(hidden=(4,)))
    assert rundir.read_config(tmp_path) == other


def test_settings_of_the_analysis_are_those_of_the_results(tmp_path, tiny):
    """Where there are results, other settings are told but not written down before new ones."""
    rundir.claim_directory(tmp_path, tiny())
    rundir.write_csv(tmp_path / rundir.RESULTS, [{"cell": "kappa3-d6-r2", "seed": 0}])
    assert not rundir.claim_directory(tmp_path, tiny(log_every=2))
    assert rundir.claim_directory(tmp_path, tiny(log_every=2, ad_threshold=0.5))
    assert rundir.read_config(tmp_path) == tiny(log_every=2)
    rundir.write_manifest(tmp_path, {"status": "done", "sections": {}})
    new = tiny(log_every=2, ad_threshold=0.5)
    rundir.write_analysis(tmp_path, new)
    assert rundir.read_config(tmp_path) == new
    assert rundir.read_manifest(tmp_path) == {
        "status": "done",
        "sections": rundir.describe_sections(new),
    }


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    """Where writing fails the old text stays."""
    rundir.write_atomic(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rundir.write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
