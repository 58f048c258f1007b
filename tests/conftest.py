"""Strict arithmetic, two host devices and one folder of shared work for all tests."""

import os
import shutil
import tempfile

os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of what tests run is compiled for a moment's work: without optimisation, and with the older
# of two ways to fuse, that takes a third of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# What workers, and the processes that tests start, share: what one of them has compiled, which is
# most of the time of all, and what it has trained for others to look at.
if "MDVAE_TESTS_FOLDER" not in os.environ:
    os.environ["MDVAE_TESTS_FOLDER"] = tempfile.mkdtemp(prefix="mdvae-tests-")
    os.environ["MDVAE_TESTS_OWNER"] = str(os.getpid())
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", os.path.join(os.environ["MDVAE_TESTS_FOLDER"], "compiled")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import hypothesis
import jax
import pytest
from ml_collections import ConfigDict

from mdvae.settings.config import SweepConfig, default_config, resolve
from mdvae.settings.registry import SECTIONS

jax.config.update("jax_num_cpu_devices", 2)
# The first example of a property may compile, and no test depends on timing or on chance.
hypothesis.settings.register_profile("mdvae", deadline=None, derandomize=True)
hypothesis.settings.load_profile("mdvae")


@pytest.fixture
def optimised():
    """For what trains for more than a moment."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module", autouse=True)
def _forgets_programs():
    """Compiled programs of a module go with it: those of all are gigabytes by the end."""
    yield
    jax.clear_caches()


def pytest_sessionfinish():
    """Removes what is shared, in the process that made the folder."""
    if os.environ.get("MDVAE_TESTS_OWNER") == str(os.getpid()):
        shutil.rmtree(os.environ["MDVAE_TESTS_FOLDER"], ignore_errors=True)


def pytest_terminal_summary(terminalreporter):
    """Says what faults were injected, as tests have recorded it."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties if report.when == "call" else ():
            if name == "faults":
                terminalreporter.write_line(f"faults: {line}")


TINY = {
    "name": "tiny",
    "seeds": 2,
    "data.n_train": 400,
    "data.n_eval": 200,
    "networks.hidden": (8,),
    "steps": 12,
    "batch_size": 50,
    "log_every": 4,
    "save_every": 6,
}


@pytest.fixture
def tiny():
    """Makes a small config; keyword arguments change it as those of `tiny_dict` do."""

    def make(grid=None, **fields) -> SweepConfig:
        return resolve(tiny_dict(grid, **fields))

    return make


def tiny_dict(grid=None, **fields) -> ConfigDict:
    """Two cells of different shapes, two seeds, a few steps of a narrow model.

    Args:
        grid: axes, or named grids of axes.
        **fields: by name or dotted name, such as hidden=(8,) or **{"networks.hidden": (8,)}; the
            name of a section chooses its kind, as data="union".
    """
    kinds = {section: fields.pop(section) for section in SECTIONS if section in fields}
    config = default_config(**kinds)
    config.grid = ConfigDict(grid or {"kappa": (3, 5), "d": (6,), "r": (2,)})
    for path, value in TINY.items():
        section, _, leaf = path.rpartition(".")
        if leaf in (config[section] if section else config):
            set_field(config, path, value)
    for name, value in fields.items():
        set_field(config, path_of(config, name), value)
    return config


def path_of(config, name) -> str:
    """The dotted name of a field: the field at the top, or that of the one section that has it."""
    if "." in name or name in config:
        return name
    (section,) = [section for section in SECTIONS if name in config[section]]
    return f"{section}.{name}"


def set_field(config, path, value) -> None:
    """Sets a field by its dotted name; the type of the value may be wrong, as a user's may."""
    section, _, leaf = path.rpartition(".")
    place = config[section] if section else config
    with place.ignore_type():
        place[leaf] = value
