"""Stages of a sweep: sweeps on its latents, each in a folder of its run directory.

A config names them: `config.stages.second = default_stage()`, with changes. What a stage does not
say it takes from the first sweep where that decides which runs there are (seeds, cells, widths),
and from the defaults elsewhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdvae.settings.config import SweepConfig, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import Cell, make_cells
from mdvae.settings.pacing import check_done
from mdvae.settings.registry import METHODS
from mdvae.store import rundir
from mdvae.store.inception_files import check_inception

LATENTS = "latents"


def _grids(name: str, cells: tuple[Cell, ...], axes: Mapping[str, Any]) -> dict[str, Any]:
    """A grid of the cells of a first sweep for each width of their latents, which it keeps.

    Codes that a method makes normal by itself are left out: a second stage learns the distribution
    of those of which no loss says that it is the prior's.

    Args:
        axes: others that the stage has.

    Raises:
        ConfigError: where that leaves none.
    """
    cells = tuple(cell for cell in cells if not METHODS.find(cell.method.kind).point)
    if not cells:
        raise ConfigError(
            f"stages.{name}: the first sweep has no model whose encoder has a variance; leave the"
            " stage out"
        )
    widths = dict.fromkeys(cell.sizes.kappa for cell in cells)
    return {
        f"kappa{kappa}": {
            "cell": tuple(cell.name for cell in cells if cell.sizes.kappa == kappa),
            "kappa": (kappa,),
            **axes,
        }
        for kappa in widths
    }


def stage_config(config: SweepConfig, name: str, first: Path) -> SweepConfig:
    """The sweep of a stage.

    Args:
        config: of the first sweep.
        first: its run directory, which has its config already.

    Raises:
        ConfigError: one line on what is wrong, the field named from `stages` on.
    """
    values: dict[str, Any] = dict(config.stages[name])
    if values.get("stages"):
        raise ConfigError(f"stages.{name}.stages: a stage has none of its own; leave them out")
    cells = make_cells(config)
    data = {"kind": LATENTS, **dict(values.get("data") or {})}
    if data["kind"] != LATENTS:
        raise ConfigError(
            f"stages.{name}.data.kind: {data['kind']!r} is not usable; it must be {LATENTS!r}"
        )
    grid = {key: value for key, value in dict(values.get("grid") or {}).items() if value != ()}
    networks = dict(values.get("networks") or {})
    if "cell" not in grid and not data.get("cell") and networks.get("kappa") is None:
        named = bool(grid) and all(isinstance(axes, Mapping) for axes in grid.values())
        if named or "kappa" in grid:
            raise ConfigError(
                f"stages.{name}.grid: says nothing of cells; give the axis cell as well"
            )
        grid = _grids(name, cells, grid)
    own = {
        "seeds": config.seeds,
        "seed": config.seed,
        "memory_gib": config.memory_gib,
        **{key: value for key, value in values.items() if value is not None},
        "name": f"{config.name}-{name}",
        "data": {**data, "first": str(first)},
        "grid": grid,
    }
    try:
        found = resolve(own)
        check_done(found, make_cells(found))
    except ConfigError as error:
        raise ConfigError(f"stages.{name}.{error}") from error
    last = config.seed + config.seeds
    if not config.seed <= found.seed <= found.seed + found.seeds <= last:
        raise ConfigError(
            f"stages.{name}.seeds: {found.seeds} from seed {found.seed} on are not all in the first"
            f" sweep, which has {config.seed} to {last - 1}"
        )
    return found


def stages_of(config: SweepConfig, first: Path) -> dict[str, SweepConfig]:
    """The sweeps of all stages, by name; see `stage_config` and `check_weights`."""
    found = {name: stage_config(config, name, first) for name in config.stages}
    for name, stage in found.items():
        check_weights(stage, first / name, f"stages.{name}.analysis.inception")
    return found


def check_weights(config: SweepConfig, path: Path, field: str = "analysis.inception") -> None:
    """Refuses weights of Inception that cannot be used, before a sweep is trained.

    Args:
        path: its run directory; a finished one may have been measured with weights that are not
            there any more.
        field: what the user calls the file.

    Raises:
        ConfigError: one line on what is wrong with the file.
    """
    inception = getattr(config.analysis, "inception", "")
    if inception and rundir.read_manifest(path).get("status") != "done":
        check_inception(Path(inception), field)
