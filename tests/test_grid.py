"""Grids become cells, and cells become groups."""

import pytest

from mdvae.config import ConfigError
from mdvae.grid import make_cells, make_groups, size_classes


def test_product_in_order(tiny):
    cells = make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)}))
    assert [cell.name for cell in cells] == [
        "kappa3-d6-r2",
        "kappa3-d8-r2",
        "kappa5-d6-r2",
        "kappa5-d8-r2",
    ]


def test_number_axes_share_a_group_and_static_axes_split_it(tiny):
    grid = {"kappa": (3, 5), "d": (6,), "r": (2, 4), "hidden": ((4,), (8,)), "log_gamma": (-1.0,)}
    groups = make_groups(make_cells(tiny(grid)))
    assert [len(group.cells) for group in groups] == [4, 4]
    assert {(group.kappa, group.d, group.r) for group in groups} == {(5, 6, 4)}
    assert {group.cells[0].hidden for group in groups} == {(4,), (8,)}
    assert all(cell.log_gamma == -1.0 for group in groups for cell in group.cells)


def test_axis_overrides_field(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma_init": (-4.0,), "learning_rate": (0.1,)}
    (cell,) = make_cells(tiny(grid))
    assert (cell.log_gamma_init, cell.log_gamma, cell.learning_rate) == (-4.0, None, 0.1)


def test_group_by_a_size(tiny):
    cells = make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)}))
    groups = make_groups(cells, ("d",))
    assert [(group.d, len(group.cells)) for group in groups] == [(6, 2), (8, 2)]
    assert all(group.kappa == 5 for group in groups)


def test_annealed_level_starts_at_log_gamma_init(tiny):
    grid = {"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": (-4.0,)}
    (held,) = make_cells(tiny(grid))
    (annealed,) = make_cells(tiny(grid, anneal=0.5, log_gamma_init=1.0))
    assert (held.start_log_gamma, annealed.start_log_gamma) == (-4.0, 1.0)


def test_noise_is_outside_the_theorem(tiny):
    cells = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,), "sigma": (0.0, 0.1)}))
    assert [cell.in_theorem for cell in cells] == [True, False]


@pytest.mark.parametrize(
    ("kappa", "d", "r", "expected", "in_theorem"),
    [(20, 10, 4, 4, True), (5, 20, 8, 5, False), (20, 10, 10, 10, False), (4, 6, 4, 4, True)],
)
def test_expected_active_dimensions(tiny, kappa, d, r, expected, in_theorem):
    (cell,) = make_cells(tiny({"kappa": (kappa,), "d": (d,), "r": (r,)}))
    assert cell.expected_ad == expected
    assert cell.in_theorem == in_theorem


def test_manifold_wider_than_space_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^grid\.r: 7 is more than d = 6"):
        make_cells(tiny({"kappa": (3,), "d": (6,), "r": (7,)}))


def test_cell_in_two_grids_is_refused(tiny):
    axes = {"kappa": (3,), "d": (6,), "r": (2,)}
    with pytest.raises(ConfigError, match=r"^grid\.b: the cell kappa3-d6-r2 stands in two"):
        make_cells(tiny({"a": axes, "b": axes}))


CONDITIONAL = {"kappa": (8,), "d": (9,), "r": (6,), "t": (4,)}


@pytest.mark.parametrize(
    ("fields", "c", "parts"),
    [
        ({"model": "cvae"}, 4, [(4, 2)]),
        ({"model": "vae"}, 0, [(0, 6)]),
        ({"model": "cvae", "data": "varying_t"}, 4, [(2, 4), (4, 2)]),
        ({"model": "vae", "data": "varying_t"}, 0, [(2, 6), (4, 6)]),
        ({"model": "cvae", "data": "union", "t": 0}, 6, [(k, k) for k in range(1, 7)]),
    ],
)
def test_parts_and_what_a_model_is_told(tiny, fields, c, parts):
    fields = dict(fields)
    grid = {**CONDITIONAL, "t": (fields.pop("t", 4),)}
    (cell,) = make_cells(tiny(grid, **fields))
    assert cell.c == c
    assert list(cell.parts) == parts
    assert cell.expected_ad == (parts[0][1] if len(parts) == 1 else None)
    wide = cell.widened(10, 12, c + 3) if c else cell.widened(10, 12, 0)
    assert (wide.kappa, wide.d, wide.c) == (10, 12, c + 3 if c else 0)


def test_a_condition_that_tells_nothing_has_one_row(tiny):
    (cell,) = make_cells(tiny({**CONDITIONAL, "t": (0,)}, model="cvae"))
    assert (cell.c, cell.expected_ad) == (1, 6)


@pytest.mark.parametrize(
    ("t", "fields", "message"),
    [
        (7, {"model": "cvae"}, "grid.t: 7 is more than r = 6"),
        (4, {"data": "union"}, "grid.t: 4 has no effect on data='union'"),
        (3, {"data": "varying_t"}, "grid.t: 3 is not usable with data='varying_t'"),
        (0, {"data": "varying_t"}, "grid.t: 0 is not usable with data='varying_t'"),
        (4, {"prior": "learned"}, "prior: 'learned' has no effect on a VAE"),
        (4, {"attention": True}, "attention: True has no effect on a VAE"),
        (4, {"model": "cvae", "hidden": ()}, "hidden: () is not usable for a CVAE"),
        (0, {"condition": "random"}, "condition: 'random' has no effect without a t"),
        (4, {"condition": "random", "data": "varying_t"}, "condition: 'random' has no effect"),
    ],
)
def test_conditions_that_cannot_be(tiny, t, fields, message):
    with pytest.raises(ConfigError) as caught:
        make_cells(tiny({**CONDITIONAL, "t": (t,)}, **fields))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_axis_is_named_as_one(tiny):
    grid = {**CONDITIONAL, "prior": ("learned",)}
    with pytest.raises(ConfigError, match=r"^grid\.a\.prior: 'learned' has no effect on a VAE"):
        make_cells(tiny({"a": grid}))


def test_sizes_are_true_where_there_are_few_and_shared_where_there_are_many(tiny):
    few = make_groups(make_cells(tiny({"kappa": (3, 5), "d": (6, 8), "r": (2,)})))
    (group,) = few
    assert sorted((part.d, part.kappa) for part in size_classes(group)) == [
        (6, 3),
        (6, 5),
        (8, 3),
        (8, 5),
    ]
    many = tiny({"kappa": (3,), "d": tuple(range(6, 20)), "r": (2,)})
    (group,) = make_groups(make_cells(many))
    parts = size_classes(group)
    assert len(parts) == 5
    assert sum(len(part.cells) for part in parts) == 14
    for part in parts:
        assert part.d == max(cell.d for cell in part.cells)
        assert part.d - min(cell.d for cell in part.cells) <= 2
