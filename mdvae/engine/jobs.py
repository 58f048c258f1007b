"""What is to be trained: runs cut into slices that fit, and the programs that train them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jax.sharding import Mesh

from mdvae.engine import processes
from mdvae.engine.done import watched_steps
from mdvae.engine.ensemble import AXIS, Device, Placement, filled, run_mesh
from mdvae.engine.machine import GIB, memory_budget
from mdvae.engine.memory import piece_of, place_runs
from mdvae.engine.trainer import Trainer
from mdvae.methods.base import make_method
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Cell, Group, Run, make_groups
from mdvae.store import slices
from mdvae.store.rundir import describe_sections


class Job(NamedTuple):
    """A slice of a program: what to train, where its files are, what to call it.

    Attributes:
        group, index: the place of the program, and of the slice in it.
        name: for messages.
        entry: of the manifest.
    """

    trainer: Trainer
    placement: Placement
    group: int
    index: int
    name: str
    entry: dict[str, Any]

    @property
    def runs(self) -> tuple[Run, ...]:
        """The real runs."""
        return self.placement.slots[: self.placement.n_runs]

    @property
    def can_be_halved(self) -> bool:
        """Whether half of its runs take less of each device."""
        return self.placement.n_runs > self.trainer.n_devices

    @property
    def batch_size(self) -> int:
        """Samples that one run sees in a step."""
        return self.placement.slots[0].cell.batch_size


def _budget(config: SweepConfig, devices: Sequence[Device]) -> int:
    """Bytes a device; all processes must cut the same slices, so the poorest decides."""
    return -int(processes.agree(-memory_budget(config.memory_gib, devices))[0])


def _mesh(devices: Sequence[Device], n_runs: int, groups: Sequence[Group]) -> Mesh:
    return run_mesh(devices, n_runs, [group.cells[0].batch_size for group in groups])


def _alike(missing: Sequence[Run]) -> list[tuple[list[Cell], list[int]]]:
    """Runs as products of cells and seeds: cells of which the same seeds are missing, together."""
    seeds: dict[str, list[int]] = {}
    for run in missing:
        seeds.setdefault(run.cell.name, []).append(run.seed)
    cells = {run.cell.name: run.cell for run in missing}
    found: dict[tuple[int, ...], list[Cell]] = {}
    for name, own in seeds.items():
        found.setdefault(tuple(own), []).append(cells[name])
    return [(mine, list(own)) for own, mine in found.items()]


def add_missing(config: SweepConfig, devices: Sequence[Device], manifest: dict[str, Any]) -> None:
    """Adds programs and as few slices as fit for the runs of a config that are in none."""
    manifest["programs"] = list(slices.programs_of(config, manifest))
    manifest.setdefault("slices", [])
    manifest.setdefault("runs", [])
    missing = slices.missing_runs(config, manifest)
    products = [
        (group, seeds)
        for cells, seeds in _alike(missing)
        for group in make_groups(cells, config.group_by)
    ]
    if not products:
        return
    budget = _budget(config, devices)
    n_runs = max(len(group.cells) * len(seeds) for group, seeds in products)
    rows = _mesh(devices, n_runs, [group for group, _ in products]).shape[AXIS]
    for group, seeds in products:
        runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
        plan = place_runs(group, make_method(group, config.steps), runs, rows, budget)
        if plan.need > budget:
            print(
                f"warning: one run a device needs about {plan.need / GIB:.1f} GiB and"
                f" {budget / GIB:.1f} are free; trying anyway",
                flush=True,
            )
        place = len(manifest["programs"])
        manifest["programs"].append(slices.new_program(group.cells, plan.piece))
        for index, placement in enumerate(plan.placements):
            mine = [(run.cell.name, run.seed) for run in placement.slots[: placement.n_runs]]
            manifest["slices"].append(slices.new_slice(place, index, mine))
            manifest["runs"] += [
                {"cell": cell, "seed": seed, "status": slices.PENDING} for cell, seed in mine
            ]


def make_jobs(
    config: SweepConfig, devices: Sequence[Device], manifest: Mapping[str, Any], first: int = 0
) -> list[Job]:
    """The slices of a manifest with their programs.

    Args:
        first: the program to begin with.
    """
    groups = slices.groups_of(config, manifest)
    by_group: list[list[dict[str, Any]]] = [[] for _ in groups]
    for entry in manifest["slices"]:
        by_group[entry["group"]].append(entry)
    n_runs = max(sum(len(each["runs"]) for each in entries) for entries in by_group)
    mesh, programs = _mesh(devices, n_runs, groups), slices.programs_of(config, manifest)
    jobs = []
    for place, (group, entries) in enumerate(zip(groups, by_group, strict=True)):
        if place < first or not entries:
            continue
        runs = [slices.runs_of(entry, group) for entry in entries]
        most = max(map(len, runs))
        placements = [filled(mine, most, mesh.shape[AXIS]) for mine in runs]

        def make(group: Group) -> Any:
            return make_method(group, config.steps)

        piece = programs[place]["piece"]
        if piece is None:
            piece = piece_of(group, make(group), _budget(config, devices))
        trainer = Trainer(group, make, mesh, placements, piece, watched_steps(config))
        for entry, placement in zip(entries, placements, strict=True):
            name = f"group {place + 1}/{len(groups)}" if len(groups) > 1 else "sweep"
            if len(entries) > 1:
                name += f", slice {entry['slice'] + 1}/{len(entries)}"
            jobs.append(Job(trainer, placement, place, entry["slice"], name, entry))
    return jobs


def start_manifest(
    command: str,
    config: SweepConfig,
    old: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of a start: what the directory says of its slices, and this machine.

    Args:
        old: the manifest of an earlier start, or {}.
    """
    kept = {name: old[name] for name in ("programs", "runs", "slices") if name in old}
    sections = describe_sections(config)
    return {"command": command, "sections": sections, **machine, "status": "running", **kept}
