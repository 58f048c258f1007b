"""Which settings of a cell make a step depend on how many there are in all."""

import math
from collections.abc import Iterable, Iterator

from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError, fields_of
from mdvae.settings.grid import CELL_SECTIONS, Cell
from mdvae.settings.registry import METHODS

# Held-out scores that a run must have stood still at; fewer say nothing of what has not moved.
LEAST_LOOKS = 3


def paced_by(cell: Cell) -> Iterator[str]:
    """The settings by which a step of a cell depends on how many there are in all.

    More steps would not go on where fewer ended, but be another training.
    """
    for name in CELL_SECTIONS:
        section = getattr(cell, name)
        for field in fields_of(section).values():
            value = getattr(section, field.name)
            if field.paced_but is not None and value is not None and value != field.paced_but:
                yield f"{name}.{field.name} = {value!r} is paced by them"


def check_done(config: SweepConfig, cells: Iterable[Cell]) -> None:
    """Refuses `done_nats` for cells of which a run that stands still may yet move.

    Raises:
        ConfigError: where the method has no variances, or changes its loss as steps go by; or
            where there are too few looks at a run.
    """
    if not config.done_nats:
        return
    last = (config.steps - 1) // config.eval_every
    if last + 1 - math.ceil((1.0 - config.done_share) * last) < LEAST_LOOKS:
        raise ConfigError(
            f"done_nats: {config.done_nats:g} has no effect with eval_every = {config.eval_every},"
            f" by which {config.done_share:g} of {config.steps} steps never have {LEAST_LOOKS}"
            " held-out scores; lower that"
        )
    for cell in cells:
        if METHODS.find(cell.method.kind).point:
            raise ConfigError(
                f"done_nats: {config.done_nats:g} has no effect on method {cell.method.kind!r},"
                " whose encoder has no variances; it must be 0"
            )
        for pace in paced_by(cell):
            if not pace.startswith("optimiser."):
                raise ConfigError(
                    f"done_nats: {config.done_nats:g} is not usable, for {pace.split(' = ')[0]}"
                    " changes the loss as steps go by; set one of them to 0"
                )
