"""What the manifest of a run directory says of its programs and slices.

A program is compiled once, for the cells of a group; a slice is some of its runs, which are trained
together and share checkpoints. A directory that grows gets more programs: what is trained already
keeps its own, and with that the shapes and the places of its checkpoints.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, Group, Run, largest, make_cells, make_groups
from mdvae.store.rundir import MANIFEST

# How a slice stands. One that was replaced has handed its runs on to later ones.
PENDING, DONE, REPLACED = "pending", "done", "replaced"

Manifest = Mapping[str, Any]


def _slowed(cell: Cell, rate: float) -> Cell:
    """A cell whose runs learn more slowly than the config says."""
    if rate == 1.0:
        return cell
    own = cell.optimiser
    slower = dataclasses.replace(own, learning_rate=rate * own.learning_rate)
    return dataclasses.replace(cell, optimiser=slower)


def programs_of(config: SweepConfig, manifest: Manifest) -> list[dict[str, Any]]:
    """The programs of a directory; those of one that does not list them are its config's groups."""
    if "programs" in manifest:
        return manifest["programs"]
    groups = make_groups(make_cells(config), config.group_by)
    return [new_program(group.cells, None) for group in groups] if manifest.get("slices") else []


def new_program(cells: Sequence[Cell], piece: int | None) -> dict[str, Any]:
    """A program, as the manifest has it.

    Args:
        piece: samples that are evaluated at once; None where that is not known.
    """
    return {"cells": [cell.name for cell in cells], "piece": piece, "rate": 1.0}


def groups_of(config: SweepConfig, manifest: Manifest) -> tuple[Group, ...]:
    """The groups of the programs of a directory.

    Raises:
        ConfigError: where the manifest names a cell that the config does not have.
    """
    cells = {cell.name: cell for cell in make_cells(config)}
    groups = []
    for each in programs_of(config, manifest):
        for name in each["cells"]:
            if name not in cells:
                raise ConfigError(f"{MANIFEST}: the config has no cell {name!r}; restore it")
        mine = tuple(_slowed(cells[name], each["rate"]) for name in each["cells"])
        groups.append(Group(mine, largest(mine)))
    return tuple(groups)


def runs_of(entry: Mapping[str, Any], group: Group) -> list[Run]:
    """The runs of a slice.

    Raises:
        ConfigError: where it has a cell that its program does not have.
    """
    cells = {cell.name: cell for cell in group.cells}
    for name, _ in entry["runs"]:
        if name not in cells:
            raise ConfigError(f"{MANIFEST}: slices: no program of one has {name!r}; restore it")
    return [Run(cells[name], seed) for name, seed in entry["runs"]]


def new_slice(group: int, index: int, runs: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """The entry of a slice that is to be trained.

    Args:
        group, index: the place of its program, and its own among the slices of that.
        runs: cells by name, and seeds.
    """
    return {
        "group": group,
        "slice": index,
        "status": PENDING,
        "step": 0,
        "seconds": 0.0,
        "held_bytes": 0,
        "runs": [list(run) for run in runs],
    }


def missing_runs(config: SweepConfig, manifest: Manifest) -> list[Run]:
    """Runs of a config that no slice has."""
    known = {tuple(run) for each in manifest.get("slices", []) for run in each["runs"]}
    seeds = range(config.seed, config.seed + config.seeds)
    cells = make_cells(config)
    return [Run(cell, seed) for cell in cells for seed in seeds if (cell.name, seed) not in known]


def is_trained(entry: Mapping[str, Any], config: SweepConfig) -> bool:
    """Whether a slice has nothing left to do; one that was trained for fewer steps has."""
    if entry["status"] == REPLACED:
        return True
    return entry["status"] == DONE and entry.get("steps", config.steps) >= config.steps


def may_restart(record: Mapping[str, Any], config: SweepConfig) -> bool:
    """Whether a run is to be started again, by its record."""
    return record["status"] == "diverged" and record.get("restarts", 0) < config.restarts


def is_finished(config: SweepConfig, manifest: Manifest) -> bool:
    """Whether all runs of a config are trained for all of its steps."""
    return (
        all(is_trained(each, config) for each in manifest.get("slices", []))
        and not missing_runs(config, manifest)
        and not any(may_restart(each, config) for each in manifest.get("runs", []))
    )
