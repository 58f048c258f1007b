"""Which changes of a config a run directory can grow by, what is trained there left as it is."""

import dataclasses

from mdvae.settings.config import SweepConfig, differences
from mdvae.settings.grid import make_cells
from mdvae.settings.pacing import paced_by


def _seeds(config: SweepConfig) -> range:
    return range(config.seed, config.seed + config.seeds)


def obstacles(old: SweepConfig, new: SweepConfig) -> list[str]:
    """What keeps a directory of a config from growing into that of another, a phrase each.

    It may get more seeds on either side, more cells, and more steps where no setting is paced by
    how many there are.
    """
    found = []
    if not set(_seeds(old)) <= set(_seeds(new)):
        found.append(
            f"seeds: {old.seed} to {_seeds(old)[-1]} are not all in {new.seed} to {_seeds(new)[-1]}"
        )
    names = {cell.name for cell in make_cells(new)}
    lost = [cell.name for cell in make_cells(old) if cell.name not in names]
    grown = dataclasses.replace(
        new, seeds=old.seeds, seed=old.seed, steps=old.steps, epochs=old.epochs, grids=old.grids
    )
    others = differences(old, grown)
    if lost and not others:
        found.append(f"grid: {lost[0]} is not in it any more")
    if new.steps < old.steps:
        found.append(f"steps: {new.steps} are less than {old.steps}")
    if new.steps > old.steps:
        paces = [pace for cell in make_cells(old) for pace in paced_by(cell)]
        if new.stages:
            paces.append("stages are trained on what they would change")
        if new.done_nats:
            paces.append(f"done_nats = {new.done_nats:g} is paced by them")
        found += [f"steps: {pace}" for pace in dict.fromkeys(paces)]
    return [*found, *others]
