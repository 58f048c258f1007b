"""Which axes a grid may have, and in what order."""

import dataclasses
from typing import NamedTuple

import pytest
from conftest import tiny_dict

from mdvae.settings.axes import known_axes, of_kind
from mdvae.settings.config import resolve
from mdvae.settings.fields import FIXED, ConfigError, Section, number, whole
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA, NETWORKS, SECTIONS

CELL_KINDS = {name: registry.names() for name, registry in SECTIONS.items() if name != "analysis"}


def test_sizes_come_first_and_programs_last():
    axes = known_axes(CELL_KINDS)
    names = list(axes)
    assert names[:3] == ["kappa", "d", "r"]
    numbers, sections, programs = (
        [names.index(name) for name in group]
        for group in (
            ("t", "sigma", "log_gamma", "learning_rate"),
            CELL_KINDS,
            ("condition", "model", "hidden", "batch_size"),
        )
    )
    assert min(numbers) > 2
    assert max(numbers) < min(sections)
    assert max(sections) < min(programs)


def test_what_is_one_for_the_whole_sweep_is_no_axis():
    axes = known_axes(CELL_KINDS)
    assert all(axis.field.role != FIXED for axis in axes.values())
    assert not {"n_train", "preset", "warmup", "steps", "ad_threshold"} & set(axes)
    assert axes["hidden"].section == "networks"
    assert axes["batch_size"].section == ""


def test_axes_are_those_of_the_kinds():
    assert "t" in known_axes({"data": ["manifold"]})
    assert "t" not in known_axes({"data": ["union"]})
    assert "t" in known_axes({"data": ["union", "manifold"]})


class OtherKind(NamedTuple):
    settings: type


@dataclasses.dataclass(frozen=True)
class Clashing(Section):
    sigma: int = number(0, whole(0))


def test_an_axis_is_told_by_its_name_alone(monkeypatch):
    monkeypatch.setattr(NETWORKS, "_kinds", {**NETWORKS._kinds, "clashing": OtherKind(Clashing)})
    with pytest.raises(ConfigError, match=r"^networks\.sigma: data has a field of this name too;"):
        known_axes({"data": ["manifold"], "networks": ["clashing"]})
    known_axes({"networks": ["clashing"]})


def test_another_kind_keeps_the_fields_that_both_have():
    manifold = DATA.find("manifold").settings(kind="manifold", d=6, r=2, t=1, sigma=0.5, n_eval=7)
    union = of_kind(manifold, DATA, "union")
    assert union == DATA.find("union").settings(kind="union", d=6, r=2, sigma=0.5, n_eval=7)


def test_a_field_is_set_where_any_grid_has_a_kind_for_it():
    sizes = {"kappa": (3,), "d": (6,), "r": (2,)}
    own = {"method": "lmgae", "optimiser": "rmsprop", "batch_size": 56, "polarise": 5.0}
    grids = {"mask": {**sizes, "method": ("lmgae",)}, "vae": {**sizes, "method": ("vae",)}}
    cells = make_cells(resolve(tiny_dict(grids, **own)))
    assert [cell.value("polarise") for cell in cells] == [5.0, None]
    message = r"^method\.polarise: 5\.0 has no effect with any kind of the axis grid\.method; leave"
    for none in ({**sizes, "method": ("wae", "vae")}, dict.fromkeys(grids, grids["vae"])):
        with pytest.raises(ConfigError, match=message):
            resolve(tiny_dict(none, **own))
    # A named grid that is None is not there, nor an axis: the sweep is of the section's own kind.
    (cell,) = make_cells(resolve(tiny_dict({**grids, "vae": None}, **own)))
    assert cell.method.kind == "lmgae"
    (cell,) = make_cells(resolve(tiny_dict({**sizes, "method": None}, **own)))
    assert cell.method.kind == "lmgae"


def test_another_kind_takes_no_value_that_it_may_not_have():
    """Adam's rate is halved, which RMSProp's has no way of being."""
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "optimiser": ("adam", "rmsprop")}
    own = {"optimiser": "adam", "schedule": "halved", "warmup": 0.1}
    adam, rms = make_cells(resolve(tiny_dict(grid, **own)))
    assert (adam.optimiser.schedule, rms.optimiser.schedule) == ("halved", "constant")
    assert rms.optimiser.warmup == 0.1
