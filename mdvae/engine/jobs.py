"""What is to be trained: the slices of all groups, and what the manifest says of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mdvae.engine import processes
from mdvae.engine.ensemble import AXIS, Device, Placement, run_mesh, split_runs
from mdvae.engine.machine import GIB, memory_budget
from mdvae.engine.memory import place_runs
from mdvae.engine.trainer import Trainer
from mdvae.methods.base import Method, make_method
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Group, Run
from mdvae.store.rundir import describe_sections


class Job(NamedTuple):
    """A slice of a group: what to train, where its files are, what to call it.

    Attributes:
        group, index: the place of the group, and of the slice in it.
        name: for messages.
    """

    trainer: Trainer
    placement: Placement
    group: int
    index: int
    name: str

    @property
    def runs(self) -> tuple[Run, ...]:
        """The real runs."""
        return self.placement.slots[: self.placement.n_runs]

    @property
    def batch_size(self) -> int:
        """Samples that one run sees in a step."""
        return self.placement.slots[0].cell.batch_size


def make_jobs(
    config: SweepConfig,
    groups: Sequence[Group],
    devices: Sequence[Device],
    n_slices: Sequence[int] | None = None,
) -> list[Job]:
    """All slices of all groups.

    Args:
        n_slices: of each group, for a run that was begun already; by default as few as fit.
    """
    seeds = range(config.seed, config.seed + config.seeds)
    # All processes must cut the same slices, so the poorest decides.
    budget = -int(processes.agree(-memory_budget(config.memory_gib, devices))[0])
    n_runs = max(len(group.cells) for group in groups) * config.seeds
    batch_sizes = [group.cells[0].batch_size for group in groups]
    jobs, mesh = [], run_mesh(devices, n_runs, batch_sizes)
    rows = mesh.shape[AXIS]

    def make(group: Group) -> Method:
        return make_method(group, config.steps)

    for i, group in enumerate(groups):
        runs = [Run(cell, seed) for seed in seeds for cell in group.cells]
        plan = place_runs(group, make(group), runs, rows, budget)
        placements = plan.placements
        if n_slices is not None:
            placements = split_runs(runs, n_slices[i], rows)
        elif plan.need > budget:
            print(
                f"warning: one run a device needs about {plan.need / GIB:.1f} GiB and"
                f" {budget / GIB:.1f} are free; trying anyway",
                flush=True,
            )
        trainer = Trainer(group, make, mesh, placements, plan.piece)
        for k, placement in enumerate(placements):
            name = f"group {i + 1}/{len(groups)}" if len(groups) > 1 else "sweep"
            if len(placements) > 1:
                name += f", slice {k + 1}/{len(placements)}"
            jobs.append(Job(trainer, placement, i, k, name))
    return jobs


def _entry(job: Job) -> dict[str, Any]:
    return {
        "group": job.group,
        "slice": job.index,
        "status": "pending",
        "step": 0,
        "seconds": 0.0,
        "held_bytes": 0,
        "runs": [[run.cell.name, run.seed] for run in job.runs],
    }


def start_manifest(
    command: str,
    config: SweepConfig,
    old: dict[str, Any],
    jobs: Sequence[Job],
    machine: dict[str, Any],
) -> dict[str, Any]:
    """The manifest of a start: what the directory says of finished slices, and this machine.

    Args:
        old: the manifest of an earlier start, or {}.
    """
    groups = 1 + max(job.group for job in jobs)
    pending = [
        {"cell": run.cell.name, "seed": run.seed, "status": "pending"}
        for job in jobs
        for run in job.runs
    ]
    return {
        "command": command,
        "sections": describe_sections(config),
        **machine,
        "status": "running",
        "groups": groups,
        "n_slices": [sum(job.group == i for job in jobs) for i in range(groups)],
        "runs": old.get("runs") or pending,
        "slices": old.get("slices") or [_entry(job) for job in jobs],
    }
