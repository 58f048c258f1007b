"""Random damage and random command lines: a run, or one line; never anything else."""

import collections
import contextlib
import io
import random
import shutil
import sys
import traceback
import warnings
from unittest import mock

import pytest
from mutating import mutate
from runs import (
    CONFIGS,
    SMALL,
    finished_run,
    killed_at_checkpoint,
    run_sweep,
    without_figures,
)

import mdvae
from mdvae import cli, report, sweep
from mdvae.store.checkpoint import DamagedError

STAGED, POLARISED = (str(CONFIGS / f"{name}.py") for name in ("staged", "polarised"))
# What the documented exit codes of the command of a report are: done, damaged, a mistake, a disk.
CODES = {0, 1, cli.USER_ERROR, cli.UNWRITTEN}


def ended(main, *argv):
    """The exit code of a command, and the last line that it said; anything else raises."""
    out, err, codes = io.StringIO(), io.StringIO(), []
    with (
        mock.patch.object(sys, "argv", ["command", *map(str, argv)]),
        mock.patch.object(sys, "exit", side_effect=lambda code: codes.append(code)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of arithmetic on numbers that nobody has measured
        cli.run_command(main)
    (code,) = codes
    lines = err.getvalue().strip().splitlines()
    assert code in CODES, code
    assert "Traceback" not in err.getvalue()
    if code:
        assert lines
        assert all(line.startswith(("error: ", "warning: ")) for line in lines), lines
    return code, lines[-1] if lines else ""


def opened(argv):
    """What a notebook does; its errors are those that `load_run` says."""
    try:
        run = mdvae.load_run(argv[1])
        assert isinstance(run.manifest, dict)
        str(run)
        for cell in run.cells[:2]:
            with contextlib.suppress(KeyError):
                run.spectrum(cell, run.seeds[0])
            with contextlib.suppress(KeyError):
                run.params(cell, run.seeds[-1])
        run.blocks, run.mean_spectra  # noqa: B018
    except DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def looked_at(path):
    """All that is done with a directory without training; the exit codes."""
    with without_figures():
        return {
            "verify": ended(report.main, "--verify", path)[0],
            "load": ended(opened, path)[0],
            "report": ended(report.main, path)[0],
        }


def check_directories(tmp_path, seeds, configs):
    """Looks at as many damaged copies of finished runs; the counts of what became of them."""
    counts, wrong = collections.Counter(), []
    for config in set(configs):
        path = shutil.copytree(finished_run(config)[0], tmp_path / "run")
        assert looked_at(path) == {"verify": 0, "load": 0, "report": 0}
        shutil.rmtree(path)
    for seed in seeds:
        draw = random.Random(seed)
        path = shutil.copytree(finished_run(draw.choice(configs))[0], tmp_path / "run")
        told = mutate(draw, path)
        try:
            stages = [each.parent for each in path.glob("*/config.json")]
            codes = looked_at(draw.choice((path, *stages)))
        except BaseException:
            last = traceback.format_exc().strip().splitlines()
            wrong.append("\n".join([f"seed {seed}: {told}", *last[-7:]]))
        else:
            counts["used" if codes["report"] == 0 else "refused in one line"] += 1
            counts["damage said by --verify"] += codes["verify"] != 0
        shutil.rmtree(path)
    assert not wrong, f"{len(wrong)} of {len(seeds)}\n" + "\n\n".join(wrong)
    return f"{len(seeds)} damaged directories: " + ", ".join(
        f"{n} {what}" for what, n in sorted(counts.items())
    )


def test_damaged_directories(tmp_path, record_property):
    record_property("faults", check_directories(tmp_path, range(25), [SMALL]))


def half_trained(path):
    """A run directory of which the second of two checkpoints is missing, and what is after it."""
    with killed_at_checkpoint(2):
        run_sweep(SMALL, path)
    return path


def check_resumed(tmp_path, seeds):
    """Gives the command of a sweep again in damaged copies of a directory; the counts."""
    counts, wrong = collections.Counter(), []
    whole = half_trained(tmp_path / "half")
    for seed in seeds:
        draw = random.Random(seed)
        path = shutil.copytree(whole, tmp_path / "run")
        told = mutate(draw, path)
        flags = f"--config={SMALL}", f"--workdir={path}"
        try:
            with without_figures():
                code, said = ended(sweep.main, *flags)
        except BaseException:
            last = traceback.format_exc().strip().splitlines()
            wrong.append("\n".join([f"seed {seed}: {told}", *last[-7:]]))
        else:
            counts["trained to the end" if code == 0 else "refused in one line"] += 1
            if code == 0:
                assert ended(report.main, "--verify", path) == (0, ""), told
            else:
                assert str(path) in said, said
        shutil.rmtree(path)
    assert not wrong, f"{len(wrong)} of {len(seeds)}\n" + "\n\n".join(wrong)
    return f"{len(seeds)} damaged directories resumed: " + ", ".join(
        f"{n} {what}" for what, n in sorted(counts.items())
    )


def test_damaged_directories_resumed(tmp_path, record_property):
    record_property("faults", check_resumed(tmp_path, range(3)))


@pytest.mark.long
@pytest.mark.parametrize("first", [100, 110])
def test_many_damaged_directories_resumed(first, tmp_path, record_property):
    record_property("faults", check_resumed(tmp_path, range(first, first + 10)))


@pytest.mark.long
@pytest.mark.parametrize("first", [25, 75, 125, 175])
def test_many_damaged_directories(first, tmp_path, record_property):
    """With those of a second stage, and of latents that are classified."""
    configs = [SMALL] * 6 + [POLARISED, STAGED]
    record_property("faults", check_directories(tmp_path, range(first, first + 50), configs))
