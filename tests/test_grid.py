"""Grids become cells, and cells become groups."""

import pytest

from mdvae.config import ConfigError
from mdvae.grid import make_cells, make_groups


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
