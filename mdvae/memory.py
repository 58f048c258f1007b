"""How many runs fit on a device, and the slices that this makes of a group."""

import math
from collections.abc import Sequence

import jax

from mdvae.chunks import block_length, wrap_length
from mdvae.config import SweepConfig
from mdvae.ensemble import Placement, Run, share, split_runs
from mdvae.grid import Group
from mdvae.methods import Method, padded_shapes
from mdvae.train import data_keys

FLOAT_BYTES = 4


def bytes_per_device(
    config: SweepConfig, group: Group, n_runs: int, n_data: int, n_params: int, looped: bool
) -> int:
    """Memory that one device needs for n_runs runs on n_data data sets, estimated.

    Counts the noise of a block of steps, the data and the making of one more data set, params with
    Adam's two moments and their successors, and the activations of a step and of an evaluation: of
    one run where the axis of runs is a loop (`looped`), of all runs where it is vmapped.
    """
    cell = group.cells[0]
    widths = (
        4 * group.d
        + 5 * (sum(cell.hidden) + sum(cell.decoder_hidden or cell.hidden))
        + 8 * group.kappa
    )
    if cell.model == "cvae":
        decoder = (cell.decoder_hidden or cell.hidden[::-1])[0]
        on_c = 2 * cell.hidden[0] + decoder + (cell.attention_hidden or cell.hidden[0])
        widths += 2 * group.c + 5 * on_c + 12 * group.kappa
    samples = max(cell.batch_size, config.n_eval)
    data = (config.n_train + wrap_length(cell.batch_size, config.n_train)) * (group.d + group.c)
    making = config.n_train * (2 * group.d + 4 * group.r)
    active = 1 if looped else n_runs
    noise = min(n_runs, config.seeds) * block_length(group) * group.kappa * cell.batch_size
    floats = (
        noise
        + n_data * data
        + (1 if looped else n_data) * making
        + n_runs * 6 * n_params
        + active * (samples * widths + config.n_eval * (group.d + group.c + 4 * group.r))
    )
    return FLOAT_BYTES * floats


def place_runs(
    config: SweepConfig,
    group: Group,
    method: Method,
    runs: Sequence[Run],
    n_devices: int,
    budget: int,
    looped: bool,
) -> tuple[list[Placement], int]:
    """As few equal slices as fit into the budget (bytes a device); at worst a run a device each.

    Returns:
        The slices, and the bytes that a device needs for one; more than the budget where even a
        run a device does not fit.
    """
    params = padded_shapes(method, group).params
    n_params = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    placements, need = split_runs(runs, 1, n_devices), 0
    for n_slices in range(1, math.ceil(len(runs) / n_devices) + 1):
        placements = split_runs(runs, n_slices, n_devices)
        n_data = max(len(share(data_keys(placement), n_devices).table) for placement in placements)
        need = bytes_per_device(
            config,
            group,
            n_runs=len(placements[0].slots) // n_devices,
            n_data=n_data // n_devices,
            n_params=n_params,
            looped=looped,
        )
        if need <= budget:
            break
    return placements, need
