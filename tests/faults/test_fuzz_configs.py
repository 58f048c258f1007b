"""Random command lines of a sweep: accepted, or refused in one line; never anything else."""

import contextlib
import io
import os
import random
import resource
import time
import traceback
import warnings
from pathlib import Path

import jax
import pytest
from drawing import command_line, known_fields
from runs import CONFIGS, run_sweep

from mdvae import sweep
from mdvae.analysis.generation import check_comparable
from mdvae.analysis.summary import published_rows
from mdvae.engine.costs import kept_shapes
from mdvae.engine.jobs import add_missing
from mdvae.methods.base import make_method
from mdvae.methods.padding import padded_shapes
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells, make_groups
from mdvae.settings.registry import DATA
from mdvae.stages.plan import stages_of
from mdvae.store import rundir

SHIPPED = Path(__file__).parents[2] / "configs"
ALL = (*sorted(SHIPPED.glob("*.py")), *sorted(CONFIGS.glob("*.py")))
# Those of the tests' own that are trained in a moment.
TINY = (CONFIGS / "small.py", CONFIGS / "tiny.py")
# More memory than this, beside what there is, is taken by nothing that is checked before training.
ROOM = 6 * 2**30
# Nor does it take longer than this, on a machine that has other things to do.
SECONDS = 30.0
# A step is traced only of cells that are made in a moment.
TRACED = 4


@contextlib.contextmanager
def little_room():
    """No more memory than ROOM can be had: to take it is a MemoryError, not the machine's end."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def checked(argv, folder):
    """What a sweep does before it trains, but for data and compilation; the config."""
    arguments = sweep.parse(["sweep", *argv])
    config = arguments.config
    cells = make_cells(config)
    groups = make_groups(cells, config.group_by)
    published_rows(config.analysis.published)
    check_comparable(config)
    with contextlib.redirect_stdout(io.StringIO()):
        rundir.write_config(folder, config)
        stages_of(config, folder)
    assert rundir.read_config(folder) == config
    for group in groups[:TRACED]:
        method = make_method(group, config.steps)
        padded_shapes(method, group)
        cell = group.cells[0]
        kept_shapes(group, DATA.find(cell.data.kind).samples(cell.data)[0])
        jax.eval_shape(lambda key, m=method, c=cell: m.noise(key, c.batch_size), jax.random.key(0))
    if is_affordable(config, groups):
        with contextlib.redirect_stdout(io.StringIO()):
            add_missing(config, jax.local_devices(), {})
    return config


def is_affordable(config, groups):
    """Whether steps are traced in a moment: not those of networks on images and of critics."""
    kinds = {cell.networks.kind for group in groups for cell in group.cells}
    return (
        kinds <= {"mlp", "ivae_mlp"} and config.method.kind in ("vae", "ivae") and len(groups) < 3
    )


def outcome(argv, folder):
    """The config of a command line, or the line that refuses it; anything else raises."""
    started = time.monotonic()
    try:
        found = checked(argv, folder)
    except ConfigError as error:
        found = str(error)
        assert found
        assert len(found.splitlines()) == 1, found
        assert len(found) < 4_000, found[:300]
        assert ":" in found, found
    assert time.monotonic() - started < SECONDS
    return found


def check_lines(folder, seeds, configs=ALL):
    """Checks as many command lines; the configs that were accepted, and the counts in words."""
    fields, accepted, wrong = known_fields(), [], []
    for seed in seeds:
        argv = command_line(random.Random(seed), configs, fields)
        rundir.make_directory(folder / str(seed))
        try:
            with little_room(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = outcome(argv, folder / str(seed))
        except Exception:
            last = traceback.format_exc().strip().splitlines()
            wrong.append("\n".join([f"seed {seed}: {[each[:200] for each in argv]}", *last[-7:]]))
            continue
        if not isinstance(found, str):
            accepted.append((argv, found))
    assert not wrong, f"{len(wrong)} of {len(seeds)}\n" + "\n\n".join(wrong)
    n, n_accepted = len(seeds), len(accepted)
    return accepted, f"{n} configs: {n_accepted} accepted, {n - n_accepted} refused in one line"


def test_random_command_lines(tmp_path, record_property):
    accepted, said = check_lines(tmp_path, range(60))
    assert 4 <= len(accepted) <= 50  # what is drawn tells both
    record_property("faults", said)


@pytest.mark.long
def test_many_random_command_lines(tmp_path, record_property):
    _, said = check_lines(tmp_path, range(60, 560))
    record_property("faults", said)


def is_small(argv, config):
    """Whether a few steps of a config take a moment: flags may have made it large."""
    sizes = [cell.sizes for cell in make_cells(config)]
    largest = max(max(each.kappa, each.d) for each in sizes)
    return (
        "stages" not in " ".join(argv)
        and max(config.data.n_train, config.data.n_eval) <= 10_000
        and max(largest, *getattr(config.networks, "hidden", ())) <= 100
    )


@pytest.mark.long
def test_random_command_lines_that_are_accepted_train_to_their_end(tmp_path, record_property):
    """Lines of tiny configs are drawn until five were accepted and stayed small."""
    capped = ("--config.steps=4", "--config.epochs=0", "--config.seeds=2")
    capped += ("--config.log_every=2", "--config.eval_every=0", "--config.save_every=2")
    chosen, seed = [], 560
    while len(chosen) < 5:
        accepted, _ = check_lines(tmp_path, [seed], TINY)
        chosen += [argv for argv, config in accepted if is_small(argv, config)]
        seed += 1
        assert seed < 860, "hardly any line of a tiny config is accepted"
    for number, (file, *flags) in enumerate(chosen):
        path = tmp_path / f"trained{number}"
        own = [each for each in flags if each.startswith("--config.")]
        assert run_sweep(file.partition("=")[2], path, *own, *capped) in (0, 1), (file, *flags)
        assert (path / "results.csv").is_file()
    record_property("faults", f"{seed - 560} lines of tiny configs: 5 trained to their end")
