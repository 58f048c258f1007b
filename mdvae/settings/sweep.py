"""What a sweep is asked to do, checked: the fields at the top of a config, and its sections."""

import dataclasses
from typing import Any

from mdvae.settings import fields
from mdvae.settings.fields import Rule, Section, fixed, static
from mdvae.settings.protocols import NO_SCALE, OWN_PROTOCOL

# Of the files of a run directory; raised where an older mdvae could not read a newer one's.
FORMAT = 2

# Sizes that lead a cell's name and its place, as kappa20-d30-r6.
LEADING = ("kappa", "d", "r")

# Folders that a run directory has already.
OWN_FOLDERS = ("checkpoints", "figures")

# Trainings of a sweep; each is an object for each of them, before anything is trained.
MOST_RUNS = 100_000

Axes = dict[str, tuple[Any, ...]]


def _is_name(value: Any) -> bool:
    """Whether a value is a text that may stand for a folder."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or value in (".", ".."):
        return False
    return "/" not in value and value.isprintable()


_NAME = Rule(_is_name, "a name without '/' and line breaks, of 200 letters at most", str)
_SEED = Rule(
    lambda v: fields.is_whole(v) and 0 <= v < 2**31, "a whole number from 0 to 2147483647", int
)
_GIB = Rule(fields.NOT_NEGATIVE.accepts, "a number of GiB, or 0 to ask the device", float)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Everything that decides the numbers of a sweep and of its report, checked.

    Attributes:
        name: of the config; also of its default run directory.
        protocol: "mdvae" for this project's recipe, or one of the config's published ones.
        scale: one of the config's scales, or "" where it has none.
        grids: named products of axes; their union is the sweep. An axis names a field of a section
            by its last name, or a section, whose kind it then varies.
        seeds, seed: how many seeds, and the first of them.
        steps, batch_size: of training; batch_size may be an axis.
        epochs: the steps as a number of times that all training samples are seen, whole batches
            of them; 0 where steps says how many.
        log_every, save_every: steps between lines of metrics, and between checkpoints.
        keep_checkpoints: how many of the newest are kept.
        restarts: how often a run that diverges is started again, from its last sound checkpoint
            and with a lower learning rate.
        eval_every: steps between lines of metrics that have scores on held-out samples too, a
            multiple of log_every; 0 for none.
        done_nats: a run is done once nothing has moved by more than so many nats, see
            `engine.done`; 0 has all runs take all steps.
        done_share: of the steps that it has taken, for how long.
        memory_gib: what one device may use; 0 asks the device.
        group_by: sizes (of kappa, d, r) whose every value gets a program of its own, where
            padding to the largest would waste more than compiling again.
        stages: sweeps on the latents of this one, by name, each in a folder of that name: what they
            have other than the defaults; see `stages.plan`.
        data, method, networks, optimiser, analysis: the sections; see the file of each kind.
    """

    name: str = fixed("sweep", _NAME, decides=False)
    protocol: str = fixed(OWN_PROTOCOL, fields.TEXT, decides=False)
    scale: str = fixed(NO_SCALE, fields.TEXT, decides=False)
    grids: dict[str, Axes] = dataclasses.field(default_factory=dict)
    seeds: int = fixed(5, fields.whole(1, MOST_RUNS))
    seed: int = fixed(0, _SEED)
    steps: int = fixed(50_000, fields.whole(1))
    epochs: int = fixed(0, fields.whole(0))
    batch_size: int = static(1_000, fields.whole(1))
    log_every: int = fixed(500, fields.whole(1), decides=False)
    save_every: int = fixed(5_000, fields.whole(1), decides=False)
    keep_checkpoints: int = fixed(3, fields.whole(1), decides=False)
    restarts: int = fixed(0, fields.whole(0), decides=False)
    # It decides no run, but what a line of metrics holds: lines of one directory must agree in it.
    eval_every: int = fixed(0, fields.whole(0))
    done_nats: float = fixed(0.0, fields.NOT_NEGATIVE)
    done_share: float = fixed(0.3, fields.BETWEEN)
    memory_gib: float = fixed(0.0, _GIB, decides=False)
    group_by: tuple[str, ...] = fixed((), fields.some_of(LEADING))
    stages: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: Any = dataclasses.field(default_factory=Section)
    method: Any = dataclasses.field(default_factory=Section)
    networks: Any = dataclasses.field(default_factory=Section)
    optimiser: Any = dataclasses.field(default_factory=Section)
    analysis: Any = dataclasses.field(default_factory=Section)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values, with the format; `from_json` is its inverse."""
        return {"format": FORMAT, **dataclasses.asdict(self)}
