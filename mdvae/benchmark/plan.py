"""What a sweep would do: cells, groups, memory, and a time that is measured, not guessed."""

from collections.abc import Sequence

import numpy as np

from mdvae.benchmark.measure import try_training
from mdvae.engine.ensemble import Device
from mdvae.engine.jobs import Job
from mdvae.engine.machine import GIB
from mdvae.reports.tables import fixed, markdown_table, plain
from mdvae.settings.config import SweepConfig
from mdvae.settings.grid import Group

TRIAL_SECONDS = 2.0


def duration(seconds: float) -> str:
    """Seconds as a reader would say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def print_plan(
    config: SweepConfig, groups: Sequence[Group], jobs: Sequence[Job], devices: Sequence[Device]
) -> None:
    """Prints the groups of a sweep with the memory and the time that each would take."""
    rows = []
    for i, group in enumerate(groups):
        mine = [job for job in jobs if job.group == i]
        print(f"group {i + 1}/{len(groups)}: trying {TRIAL_SECONDS:.0f} s of training ...")
        job = mine[0]
        trial = try_training(
            job.trainer, lambda job=job: job.trainer.load(job.placement), TRIAL_SECONDS / 2, 1
        )
        training = config.steps / float(np.median(trial.steps_per_second))
        rows.append(
            {
                "group": i + 1,
                "cells": len(group.cells),
                "runs": sum(job.placement.n_runs for job in mine),
                "slices": len(mine),
                "kappa": group.sizes.kappa,
                "d": group.sizes.d,
                "networks": group.cells[0].networks.kind,
                "batch": mine[0].batch_size,
                "held": trial.held_bytes,
                "compile": trial.compile_seconds,
                "seconds": trial.compile_seconds + len(mine) * (training + trial.load_seconds),
            }
        )
    columns = [
        plain(title, lambda row, name=name: str(row[name]))
        for title, name in (
            ("group", "group"),
            ("cells", "cells"),
            ("runs", "runs"),
            ("slices", "slices"),
            ("κ (padded)", "kappa"),
            ("d (padded)", "d"),
            ("networks", "networks"),
            ("batch", "batch"),
        )
    ]
    columns += [
        plain("data and states, GiB", lambda row: fixed(row["held"] / GIB, 2)),
        plain("compiling", lambda row: duration(row["compile"])),
        plain("expected time", lambda row: duration(row["seconds"])),
    ]
    print(markdown_table(columns, rows))
    names = [cell.name for group in groups for cell in group.cells]
    print(f"cells: {', '.join(names)}")
    total = duration(sum(row["seconds"] for row in rows))
    print(
        f"{len(names)} cells x {config.seeds} seeds, {config.steps:,} steps each, on"
        f" {len(devices)} x {devices[0].device_kind}: about {total}. Nothing was written."
    )
