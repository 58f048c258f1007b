"""SIGKILL at any moment: the same command goes on to bit for bit what it would have been."""

import itertools
import signal
from collections import Counter

import children
import numpy as np
import pytest
from methods import METHODS, config_of

from mdvae.settings import registry
from mdvae.settings.config import resolve
from mdvae.settings.grid import make_cells

# Of each method, and in the short tests.
KILLS, FEW = 20, 3
LITTLE = 0.1
EVERYDAY = "vae"


def test_every_method_is_killed():
    """A new method needs a config in METHODS."""
    configs = [resolve(config_of(name)) for name in METHODS]
    assert all(len(make_cells(config)) == 1 for config in configs)
    killed = {config.method.kind for config in configs}
    assert killed == set(registry.METHODS.names())


def kill_often(name, kills, folder):
    """Kills and starts again, in as many directories as it takes; counts by phase.

    Every other kill comes at any time, of which most is spent before the first step; the others as
    any one of the things that a run does begins, or a little later.
    """
    whole = children.undisturbed(name)
    generator = np.random.default_rng([sorted(METHODS).index(name), kills])
    counts, paths = Counter(), (folder / f"{name}{i}" for i in itertools.count())
    path, seconds, by_time = next(paths), whole.seconds, itertools.cycle((False, True))
    while counts.total() < kills:
        child = children.start(name, path)
        if next(by_time):
            child.ended(generator.uniform(0, seconds))
        else:
            child.reach(generator.integers(len(whole.phases)))
            child.ended(generator.uniform(0, LITTLE))
        child.send(signal.SIGKILL)
        code = child.ended()
        if code == -signal.SIGKILL:
            counts[child.phase()] += 1
            continue
        assert code == 0, child.said()
        children.assert_undisturbed(path, whole.path)
        # The kill came too late, as it always would on a machine that has less to do by now.
        path, seconds = next(paths), 0.9 * seconds
    children.finish(name, path)
    children.assert_undisturbed(path, whole.path)
    return counts


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        pytest.param(EVERYDAY, FEW, id=f"{EVERYDAY}-few"),
        *(pytest.param(name, KILLS, id=name, marks=pytest.mark.long) for name in METHODS),
    ],
)
def test_killed_at_any_moment(name, kills, tmp_path, record_property):
    counts = kill_often(name, kills, tmp_path)
    phases = ", ".join(f"{phase} {counts[phase]}" for phase in children.ORDER if counts[phase])
    record_property("faults", f"{name}: {kills} kills ({phases})")
