"""A run directory is checked without training: what is whole, and what is not, line by line."""

import shutil

import pytest
from runs import CONFIGS, SMALL, copy_of, finished_run, run_report

from mdvae import load_run
from mdvae.settings.fields import ConfigError
from mdvae.store import rundir

SLICE = "checkpoints/group0-slice0"
STAGED = str(CONFIGS / "staged.py")


@pytest.fixture
def small(tmp_path):
    return copy_of(SMALL, tmp_path / "small")


def contents(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def verified(path, capsys):
    """The exit code, what is wrong, and what is said at the end; nothing has changed."""
    before = contents(path)
    code = run_report("--verify", path)
    assert contents(path) == before
    out, err = capsys.readouterr()
    return code, err.splitlines(), out.splitlines()


def flip(folder):
    """A bit in the middle of each file of an item of a checkpoint."""
    for file in [each for each in folder.rglob("*") if each.is_file() and each.stat().st_size]:
        whole = file.read_bytes()
        place = len(whole) // 2
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])


def test_a_whole_directory(small, capsys):
    said = f"{small}: 2 checkpoints are whole, nothing is wrong"
    assert verified(small, capsys) == (0, [], [said])


@pytest.mark.long
def test_stages_are_checked_too(tmp_path, capsys):
    path = copy_of(STAGED, tmp_path / "staged")
    code, wrong, said = verified(path, capsys)
    assert (code, wrong) == (0, [])
    assert [line.split(":")[0] for line in said] == [str(path), str(path / "second")]
    (step, *_) = sorted((path / "second" / SLICE).iterdir())
    flip(step / "model")
    code, (line, *_), _ = verified(path, capsys)
    assert code == 1
    assert line == f"error: {step}: is damaged, or of other runs"


def test_a_bit_of_a_checkpoint(small, capsys):
    flip(small / SLICE / "60" / "model")
    code, wrong, said = verified(small, capsys)
    assert (code, wrong) == (1, [f"error: {small / SLICE / '60'}: is damaged, or of other runs"])
    assert said == [f"{small}: 1 checkpoints are whole, 1 things are wrong"]


def test_metadata_that_are_nested_too_deep(small, capsys):
    """Of any step: Orbax reads those of all."""
    file = small / SLICE / "60" / "_CHECKPOINT_METADATA"
    file.write_text("[" * 100_000)
    said = f"{file}: cannot be read (too deep); restore it, or remove its folder"
    code, wrong, _ = verified(small, capsys)
    assert (code, wrong) == (1, [f"error: {said}"])
    with pytest.raises(ConfigError) as refused:
        load_run(small).params(load_run(small).cells[0], 0)
    assert str(refused.value) == said


def test_the_last_checkpoint_is_gone(small, capsys):
    shutil.rmtree(small / SLICE / "120")
    code, wrong, _ = verified(small, capsys)
    assert (code, wrong) == (
        1,
        [f"error: {small / SLICE}: no whole checkpoint of step 120, its last"],
    )


def test_the_checkpoints_of_another_directory(small, capsys):
    """Of the same cells, seeds and shapes."""
    config = rundir.read_config(small)
    (small / rundir.CONFIG).unlink()
    rundir.write_config(small, config)
    code, wrong, _ = verified(small, capsys)
    assert code == 1
    assert wrong == [
        *(f"error: {small / SLICE / step}: is damaged, or of other runs" for step in ("60", "120")),
        f"error: {small / SLICE}: no whole checkpoint of step 120, its last",
    ]


def test_lines_of_files(small, capsys):
    metrics, results = small / rundir.METRICS, small / rundir.RESULTS
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([*lines, lines[-1], '{"cell": "a"}\n', lines[0][:20]]))
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:-1]))
    code, wrong, _ = verified(small, capsys)
    assert code == 1
    assert wrong == [
        f"error: {metrics}: kappa4-d5-r2, seed 1: step 120 after step 120",
        f"error: {metrics}: line 8 cannot be read",
        f"error: {metrics}: line 9 cannot be read",
        f"error: {results}: has no row of 1 finished runs",
    ]


def test_the_manifest(small, capsys):
    """Without it nobody knows which runs checkpoints are of."""
    manifest = small / rundir.MANIFEST
    text = manifest.read_text()
    manifest.unlink()
    code, wrong, _ = verified(small, capsys)
    assert (code, wrong) == (1, [f"error: {small / SLICE}: of no slice in manifest.json"])
    manifest.write_text(text[:-9])
    code, (line,), _ = verified(small, capsys)
    assert code == 1
    assert line.startswith(f"error: {manifest}: cannot be read")
    manifest.write_text(text.replace('"runs"', '"more"'))
    code, (line,), _ = verified(small, capsys)
    assert code == 1
    assert line.startswith(f"error: {manifest}: slices: is not usable; it must be a list of slices")


def test_no_run_directory(tmp_path):
    with pytest.raises(ConfigError, match="not a run directory"):
        run_report("--verify", tmp_path)


def test_with_what_it_goes():
    with pytest.raises(ConfigError, match=r"^--cell: has no effect with --verify; leave it out"):
        run_report("--verify", "--cell=a", finished_run(SMALL)[0])
