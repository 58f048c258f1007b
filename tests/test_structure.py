"""The structure of the code: imports run in one direction, and no module is a second book."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mdvae"
# Each room may import from itself and from those before it.
ROOMS = (
    "settings",
    "data",
    "networks",
    "methods",
    "store",
    "engine",
    "analysis",
    "stages",
    "reports",
    "estimation",
    "benchmark",
    "",  # the commands, and the package itself
)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "published")
MOST_LINES = 300


def room_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported_rooms(path):
    """The rooms of this package from which a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "mdvae" and rest:
                yield rest[0] if (PACKAGE / rest[0]).is_dir() else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_in_one_direction(path):
    place = ROOMS.index(room_of(path))
    for room in imported_rooms(path):
        assert ROOMS.index(room) <= place, f"{path.name} imports from {room}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_libraries_stay_in_their_rooms():
    """Flax is for networks alone, Orbax for checkpoints, and analysis knows no training."""
    for path in MODULES:
        text = path.read_text()
        assert "flax" not in text or room_of(path) == "networks" or path.name == "machine.py", path
        assert "import orbax" not in text or path.name == "checkpoint.py", path
        if room_of(path) == "analysis":
            assert "engine" not in set(imported_rooms(path)), path
