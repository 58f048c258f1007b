"""Grids become cells, and cells become groups."""

import pytest
from conftest import tiny_dict

from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import (
    Part,
    Sizes,
    families,
    format_axis,
    largest,
    make_cells,
    make_groups,
    size_classes,
)


def test_product_in_order(tiny):
    cells = make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)}))
    assert [cell.name for cell in cells] == [
        "kappa3-d6-r2",
        "kappa3-d8-r2",
        "kappa5-d6-r2",
        "kappa5-d8-r2",
    ]
    assert [cell.sizes for cell in cells] == [
        Sizes(kappa, d, 0, 2) for kappa in (3, 5) for d in (6, 8)
    ]
    assert cells[1].point == (("kappa", 3), ("d", 8), ("r", 2))


def test_number_axes_share_a_group_and_static_axes_split_it(tiny):
    grid = {"kappa": (3, 5), "d": (6,), "r": (2, 4), "hidden": ((4,), (8,)), "log_gamma": (-1.0,)}
    groups = make_groups(make_cells(tiny(grid)))
    assert [len(group.cells) for group in groups] == [4, 4]
    assert {group.sizes for group in groups} == {Sizes(kappa=5, d=6, c=0, r=4)}
    assert {group.cells[0].networks.hidden for group in groups} == {(4,), (8,)}
    assert all(cell.method.log_gamma == -1.0 for group in groups for cell in group.cells)


def test_axis_overrides_field(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma_init": (-4.0,), "learning_rate": (0.1,)}
    (cell,) = make_cells(tiny(grid, log_gamma_init=1.0))
    assert (cell.method.log_gamma_init, cell.method.log_gamma) == (-4.0, None)
    assert cell.optimiser.learning_rate == 0.1
    assert (cell.value("log_gamma_init"), cell.value("learning_rate")) == (-4.0, 0.1)
    assert cell.value("factors") is None


def test_batch_size_is_an_axis_that_makes_groups(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "batch_size": (50, 100)}
    cells = make_cells(tiny(grid))
    assert [cell.batch_size for cell in cells] == [50, 100]
    assert cells[0].name == "kappa3-d6-r2-batch_size=50"
    assert len(make_groups(cells)) == 2


def test_sizes_may_be_given_in_their_sections(tiny):
    """A field that must be given may stand in the grid or in its section."""
    in_grid = make_cells(tiny({"kappa": (5,), "d": (6, 8), "r": (2,)}))
    in_sections = make_cells(tiny({"d": (6, 8)}, kappa=5, r=2))
    assert [cell.name for cell in in_sections] == ["d6", "d8"]
    for mine, theirs in zip(in_sections, in_grid, strict=True):
        assert mine.sizes == theirs.sizes
        assert (mine.data, mine.networks) == (theirs.data, theirs.networks)
    with pytest.raises(ConfigError, match=r"^grid\.r: missing; give at least one value"):
        tiny({"d": (6,)}, kappa=5)
    # The grid wins, and a grid of no axes is one cell.
    (cell,) = make_cells(tiny({"r": (3,)}, kappa=5, d=6, r=2))
    assert (cell.name, cell.data.r) == ("r3", 3)
    (cell,) = make_cells(resolve({"grid": {}, "networks": {"kappa": 5}, "data": {"d": 6, "r": 2}}))
    assert (cell.name, cell.sizes) == ("cell", Sizes(5, 6, 0, 2))


def test_a_kind_is_an_axis(tiny):
    grid = {"kappa": (5,), "d": (6,), "r": (2,), "data": ("manifold", "union"), "sigma": (0.1,)}
    cells = make_cells(tiny(grid, n_eval=70))
    assert [cell.name for cell in cells] == [
        "kappa5-d6-r2-sigma=0.1-data=manifold",
        "kappa5-d6-r2-sigma=0.1-data=union",
    ]
    assert [cell.data.kind for cell in cells] == ["manifold", "union"]
    assert [len(cell.parts) for cell in cells] == [1, 2]
    # What both kinds have is the same in both, whether field or axis.
    assert {(cell.data.n_eval, cell.data.sigma) for cell in cells} == {(70, 0.1)}
    assert [len(group.cells) for group in make_groups(cells)] == [1, 1]


def test_an_axis_must_have_an_effect_on_every_kind(tiny):
    grid = {**CONDITIONAL, "data": ("manifold", "union")}
    with pytest.raises(ConfigError) as caught:
        make_cells(tiny({"a": grid}))
    expected = "grid.a.t: has no effect on every kind of this grid; split it"
    assert str(caught.value) == expected


def test_values_of_an_axis_never_read_alike(tiny):
    sigmas = (0.1234567, 0.1234568, 0.5, 1e-5)
    cells = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,), "sigma": sigmas}))
    assert [cell.name for cell in cells] == [
        "kappa3-d6-r2-sigma=0.1234567",
        "kappa3-d6-r2-sigma=0.1234568",
        "kappa3-d6-r2-sigma=0.5",
        "kappa3-d6-r2-sigma=1e-05",
    ]
    assert format_axis(2.0) == "2"
    assert format_axis((8, 16)) == "8x16"


def test_group_by_a_size(tiny):
    cells = make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)}))
    groups = make_groups(cells, ("d",))
    assert [(group.sizes.d, len(group.cells)) for group in groups] == [(6, 2), (8, 2)]
    assert all(group.sizes.kappa == 5 for group in groups)


def test_the_largest_sizes_need_not_be_those_of_one_cell(tiny):
    grid = {
        "a": {"kappa": (9,), "d": (6,), "r": (2,), "t": (1,)},
        "b": {"kappa": (3,), "d": (8,), "r": (4,), "t": (2,)},
    }
    cells = make_cells(tiny(grid, model="cvae"))
    assert largest(cells) == Sizes(kappa=9, d=8, c=2, r=4)
    (group,) = make_groups(cells)
    assert group.sizes == largest(cells)


def test_manifold_wider_than_space_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^grid\.r: 7 is more than d = 6"):
        make_cells(tiny({"kappa": (3,), "d": (6,), "r": (7,)}))
    with pytest.raises(ConfigError, match=r"^data\.r: 7 is more than d = 6"):
        make_cells(tiny({"kappa": (3,), "d": (6,)}, r=7, data="union"))


def test_cell_in_two_grids_is_refused(tiny):
    axes = {"kappa": (3,), "d": (6,), "r": (2,)}
    with pytest.raises(ConfigError, match=r"^grid\.b: the cell kappa3-d6-r2 stands in two"):
        make_cells(tiny({"a": axes, "b": axes}))


CONDITIONAL = {"kappa": (8,), "d": (9,), "r": (6,), "t": (4,)}
CLASSES = {"kappa": (8,), "d": (9,), "r": (6,)}


@pytest.mark.parametrize(
    ("grid", "fields", "c", "parts"),
    [
        (CONDITIONAL, {"model": "cvae"}, 4, [Part(4, 6, 4)]),
        (CONDITIONAL, {"model": "vae"}, 0, [Part(4, 6, 4)]),
        (
            CONDITIONAL,
            {"model": "cvae", "data": "varying_t"},
            4,
            [Part(2, 6, 2), Part(4, 6, 4)],
        ),
        (CONDITIONAL, {"model": "vae", "data": "varying_t"}, 0, [Part(2, 6, 2), Part(4, 6, 4)]),
        (
            CLASSES,
            {"model": "cvae", "data": "union", "sigma": 0.5},
            6,
            [Part(k, k, 0, 0.5) for k in range(1, 7)],
        ),
    ],
)
def test_parts_and_what_a_model_is_told(tiny, grid, fields, c, parts):
    (cell,) = make_cells(tiny(grid, **fields))
    assert cell.sizes == Sizes(kappa=8, d=9, c=c, r=6)
    assert list(cell.parts) == parts
    assert cell.is_told == (fields["model"] == "cvae")


def test_a_condition_that_tells_nothing_has_one_row(tiny):
    (cell,) = make_cells(tiny({**CONDITIONAL, "t": (0,)}, model="cvae"))
    assert cell.sizes.c == 1
    assert cell.parts == (Part(0, 6, 0),)


@pytest.mark.parametrize(
    ("t", "fields", "message"),
    [
        (7, {"model": "cvae"}, "grid.t: 7 is more than r = 6"),
        (8, {"data": "varying_t"}, "grid.t: 8 is more than r = 6"),
        (4, {"data": "union"}, "grid.t: no such field"),
        (3, {"data": "varying_t"}, "grid.t: 3 is not usable with data.kind 'varying_t'"),
        (0, {"data": "varying_t"}, "grid.t: 0 is not usable with data.kind 'varying_t'"),
        (4, {"prior": "learned"}, "networks.prior: 'learned' has no effect on a VAE"),
        (4, {"attention": True}, "networks.attention: True has no effect on a VAE"),
        (4, {"model": "cvae", "hidden": ()}, "networks.hidden: () is not usable for a CVAE"),
        (0, {"condition": "random"}, "data.condition: 'random' has no effect without a t"),
        (
            4,
            {"data.condition": "random", "data": "varying_t"},
            "data.condition: 'random' has no effect with data.kind 'varying_t'",
        ),
    ],
)
def test_conditions_that_cannot_be(tiny, t, fields, message):
    with pytest.raises(ConfigError) as caught:
        make_cells(tiny({**CONDITIONAL, "t": (t,)}, **fields))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_field_is_named_as_one(tiny):
    with pytest.raises(ConfigError, match=r"^data\.t: 7 is more than r = 6"):
        make_cells(tiny(CLASSES, t=7))
    with pytest.raises(ConfigError, match=r"^data\.t: 4 has no effect with data\.kind 'union'"):
        tiny(CLASSES, **{"data": "union", "data.t": 4})


def test_an_axis_is_named_as_one(tiny):
    grid = {**CONDITIONAL, "prior": ("learned",)}
    with pytest.raises(ConfigError, match=r"^grid\.a\.prior: 'learned' has no effect on a VAE"):
        make_cells(tiny({"a": grid}))


def test_families_are_cells_that_differ_in_one_axis_alone(tiny):
    ladder = {"kappa": (3,), "d": (6, 8), "r": (2,), "log_gamma": (-1.0, -4.0, 0.5)}
    grid = {
        "ladder": ladder,
        "learned": {"kappa": (3,), "d": (6,), "r": (2,)},
        "single": {"kappa": (5,), "d": (6,), "r": (2,), "log_gamma": (-1.0,)},
    }
    cells = make_cells(tiny(grid))
    found = families(cells, "log_gamma")
    assert list(found) == ["kappa3-d6-r2", "kappa3-d8-r2"]
    for name, d in (("kappa3-d6-r2", 6), ("kappa3-d8-r2", 8)):
        assert [cell.method.log_gamma for cell in found[name]] == [-4.0, -1.0, 0.5]
        assert {cell.sizes.d for cell in found[name]} == {d}
    by_d = families(cells, "d")
    # The learned cell of d = 6 has no partner, nor is it one of those that hold log gamma.
    assert list(by_d) == [f"kappa3-r2-log_gamma={level}" for level in ("-1", "-4", "0.5")]
    assert all([cell.sizes.d for cell in members] == [6, 8] for members in by_d.values())
    assert families(cells, "learning_rate") == {}


def test_a_cell_that_has_none_of_an_axis_is_in_no_family(tiny):
    levels = (None, -1.0, -2.0)
    cells = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": levels}))
    assert [cell.method.log_gamma for cell in cells] == list(levels)
    (members,) = families(cells, "log_gamma").values()
    assert [cell.method.log_gamma for cell in members] == [-2.0, -1.0]


def test_sizes_are_true_where_there_are_few_and_shared_where_there_are_many(tiny):
    few = make_groups(make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)})))
    (group,) = few
    assert sorted((each.sizes.d, each.sizes.kappa) for each in size_classes(group)) == [
        (6, 3),
        (6, 5),
        (8, 3),
        (8, 5),
    ]
    many = tiny({"kappa": (3,), "d": tuple(range(6, 20)), "r": (2,)})
    (group,) = make_groups(make_cells(many))
    classes = size_classes(group)
    assert len(classes) == 5
    assert sum(len(each.cells) for each in classes) == 14
    for each in classes:
        assert each.sizes.d == max(cell.sizes.d for cell in each.cells)
        assert each.sizes.d - min(cell.sizes.d for cell in each.cells) <= 2


def test_cells_do_not_depend_on_the_order_that_axes_are_written_in():
    config = tiny_dict()
    values = {
        **config.to_dict(),
        "grid": {"r": (2,), "log_gamma": (-1.0,), "d": (6,), "kappa": (3,)},
    }
    (cell,) = make_cells(resolve(values))
    assert cell.name == "kappa3-d6-r2-log_gamma=-1"
