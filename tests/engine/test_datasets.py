"""Data sets that are made on the host: parts, counts, padding and units; and their memory."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

from mdvae.data.base import EPOCH, DataKind, DataSizes
from mdvae.data.units import Units
from mdvae.engine.chunks import kind_of
from mdvae.engine.datasets import data_tables, stack_made
from mdvae.engine.ensemble import split_runs
from mdvae.engine.memory import Need, bytes_per_device
from mdvae.settings.fields import ConfigError, Section, number, required, whole
from mdvae.settings.grid import Part, Run, make_cells, make_groups
from mdvae.settings.registry import DATA

N_TRAIN, N_EVAL = 12, 20
UNITS = Units(mean=3.0, scale=2.0)
asked = []


@dataclasses.dataclass(frozen=True)
class Shelves(Section):
    """Constant samples, in as many parts as are asked for."""

    d: int = required(whole(1))
    shelves: int = number(1, whole(1))


class Table(NamedTuple):
    d: int
    shelves: int
    seed: int


def make(law, table, n, split, part):
    asked.append((table.shelves, split, part))
    assert part is None or part < table.shelves
    value = table.seed if part is None else 10 * part
    return {"x": np.full((n, table.d), 3.0 + 2.0 * value)}


KIND = DataKind(
    settings=Shelves,
    sizes=lambda settings, told: DataSizes(settings.d),
    samples=lambda settings: (N_TRAIN, N_EVAL),
    table=lambda settings, seed: Table(settings.d, settings.shelves, seed),
    make=make,
    shapes=lambda sizes: {"x": (sizes.d,)},
    sample_axis=0,
    parts=lambda settings: tuple(Part(k) for k in range(settings.shelves)),
    order=EPOCH,
    traced=False,
    units=lambda settings: UNITS,
)


@pytest.fixture
def shelves(tiny, monkeypatch):
    """A group of two sizes, one cell with a single part and one with three."""
    DATA.names()
    monkeypatch.setitem(DATA._kinds, "shelves", KIND)
    asked.clear()
    grid = {"one": {"kappa": (2,), "d": (4,)}, "three": {"kappa": (2,), "d": (3,), "shelves": (3,)}}
    cells = make_cells(tiny(grid, data="shelves", batch_size=5))
    (group,) = make_groups(cells)
    (placement,) = split_runs([Run(cell, seed) for seed in (0, 1) for cell in cells], 1, 1)
    return group, placement, kind_of(group)


def test_sets_are_padded_and_in_the_units_of_the_networks(shelves):
    group, placement, _ = shelves
    tables = data_tables(placement)
    found = stack_made(group, placement, None, tables, N_TRAIN, "train", None)["x"]
    assert found.shape == (4, N_TRAIN, 4)
    assert found.dtype == np.float32
    for x, run in zip(found, placement.slots, strict=True):
        np.testing.assert_array_equal(x[:, : run.cell.sizes.d], run.seed)
        assert not np.any(x[:, run.cell.sizes.d :])


def test_nobody_is_asked_for_parts_that_he_lacks(shelves):
    group, placement, _ = shelves
    tables = data_tables(placement)
    sets = [stack_made(group, placement, None, tables, N_EVAL, "eval", k)["x"] for k in range(3)]
    assert {call for call in asked if call[0] == 1} == {(1, "eval", 0)}
    assert {call for call in asked if call[0] == 3} == {(3, "eval", k) for k in range(3)}
    row = next(i for i, run in enumerate(placement.slots) if len(run.cell.parts) == 3)
    assert [x[row, 0, 0] for x in sets] == [0.0, 10.0, 20.0]


def test_other_than_the_stated_training_samples_are_refused(shelves, monkeypatch):
    group, placement, kind = shelves
    short = kind._replace(make=lambda *arguments: {"x": make(*arguments)["x"][:-1]})
    monkeypatch.setitem(DATA._kinds, "shelves", short)
    tables = data_tables(placement)
    with pytest.raises(ConfigError) as caught:
        stack_made(group, placement, None, tables, N_TRAIN, "train", None)
    assert str(caught.value) == (
        "data.kind: 'shelves' made 11 training samples and states 12; correct one of the two"
    )
    # There may be fewer to evaluate.
    found = stack_made(group, placement, None, tables, N_EVAL, "eval", 0)["x"]
    assert found.shape == (4, N_EVAL - 1, 4)


def test_evaluation_sets_stay_in_memory_where_the_host_makes_them(shelves, monkeypatch):
    group, _, kind = shelves
    need = Need(noise=0, data=0, making=0, state=0, step=0, score=0)
    of_part = N_EVAL * 4 * 4
    # All three parts of four data sets, and those that are read at once.
    assert bytes_per_device(group, need, 4, 4, 2, N_EVAL) == (4 + 1) * 3 * of_part
    monkeypatch.setitem(DATA._kinds, "shelves", kind._replace(traced=True))
    assert bytes_per_device(group, need, 4, 4, 2, N_EVAL) == of_part
