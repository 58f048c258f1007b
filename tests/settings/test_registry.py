"""Kinds are found by name: those of a package, and those of a user's own modules."""

import sys

import pytest

from mdvae.settings.config import default_config, from_json, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA, SECTIONS, Registry

# Each file of a room adds its kinds to the room's registry, here one that the test puts in place.
ROOM = """
from rooms_for_tests import REGISTRY

REGISTRY.add({name!r}, {name!r} + "'s kind")
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules that can be imported for as long as the test runs."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(("rooms_for_tests", "mine_for_tests")):
            del sys.modules[name]


@pytest.fixture
def registry(modules):
    """The registry of a room of two files."""
    modules(
        "rooms_for_tests/__init__.py",
        "from mdvae.settings.registry import Registry\n"
        "REGISTRY = Registry('shape', 'rooms_for_tests', 'round')\n",
    )
    for name in ("round", "square"):
        modules(f"rooms_for_tests/{name}.py", ROOM.format(name=name))
    from rooms_for_tests import REGISTRY  # type: ignore[import-not-found]

    return REGISTRY


def test_every_file_of_a_room_is_read_before_the_first_look_up(registry):
    assert registry.find("square") == "square's kind"
    assert registry.names() == ["round", "square"]


def test_unknown_kind(registry):
    with pytest.raises(ConfigError) as caught:
        registry.find("oval")
    expected = "'oval' is not usable; it must be one of round, square, or module:name"
    assert str(caught.value) == f"shape.kind: {expected}"
    with pytest.raises(ConfigError) as caught:
        registry.find("oval", "grid.shape")
    assert str(caught.value) == f"grid.shape: {expected}"


def test_a_kind_of_a_module_of_ones_own(registry, modules):
    modules("mine_for_tests.py", ROOM.format(name="oval"))
    with pytest.raises(ConfigError):
        registry.find("oval")
    assert registry.find("mine_for_tests:oval") == "oval's kind"
    assert registry.names() == ["oval", "round", "square"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere_for_tests:oval", "cannot be imported (No module named 'nowhere_for_tests')"),
        ("mine_for_tests:flat", "is not usable; it must be one of round, square"),
    ],
)
def test_a_module_that_has_no_such_kind(registry, modules, name, message):
    modules("mine_for_tests.py", "")
    with pytest.raises(ConfigError) as caught:
        registry.find(name)
    assert str(caught.value).startswith(f"shape.kind: {name!r} {message}")


def test_a_kind_that_is_added_again_replaces_itself():
    registry = Registry("shape", "mdvae.settings", "round")
    registry.add("round", 1)
    registry.add("round", 2)
    assert registry.find("round") == 2


def test_every_section_has_its_default():
    for section, registry in SECTIONS.items():
        assert registry.section == section
        assert registry.default in registry.names()
        assert default_config()[section].kind == registry.default


def test_a_sweep_over_a_kind_of_ones_own(modules, monkeypatch):
    """A config may name it, and so may the files of a run directory."""
    kinds = {name: DATA.find(name) for name in DATA.names()}
    monkeypatch.setattr(DATA, "_kinds", kinds)
    modules(
        "mine_for_tests.py",
        "from mdvae.settings.registry import DATA\nDATA.add('mine', DATA.find('union'))\n",
    )
    config = default_config(data="mine_for_tests:mine")
    config.data.r = 2
    config.data.d = 4
    config.networks.kappa = 3
    resolved = resolve(config)
    (cell,) = make_cells(resolved)
    assert cell.data.kind == "mine_for_tests:mine"
    assert len(cell.parts) == 2
    assert from_json(resolved.to_json()) == resolved
