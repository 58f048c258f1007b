"""What theorems expect of a cell, from the truth that its kind of data states."""

import dataclasses

import pytest

from mdvae.analysis import theory
from mdvae.settings.grid import Part, make_cells

CONDITIONAL = {"kappa": (8,), "d": (9,), "r": (6,), "t": (4,)}
CLASSES = {"kappa": (8,), "d": (9,), "r": (6,)}


@pytest.mark.parametrize(
    ("kappa", "d", "r", "expected", "in_theorem"),
    [(20, 10, 4, 4, True), (5, 20, 8, 5, False), (20, 10, 10, 10, False), (4, 6, 4, 4, True)],
)
def test_expected_active_dimensions(tiny, kappa, d, r, expected, in_theorem):
    (cell,) = make_cells(tiny({"kappa": (kappa,), "d": (d,), "r": (r,)}))
    assert theory.expected_ad(cell) == expected
    assert theory.in_theorem(cell) == in_theorem
    assert theory.fills_space(cell) == (r == d)
    assert theory.manifold_dimension(cell) == r
    assert theory.dimension(cell) == r


def test_noise_is_outside_the_theorem(tiny):
    cells = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,), "sigma": (0.0, 0.1)}))
    assert [theory.in_theorem(cell) for cell in cells] == [True, False]
    assert [theory.has_noise(cell) for cell in cells] == [False, True]


def test_another_weight_of_the_kl_is_outside_the_theorem(tiny):
    cells = make_cells(tiny({"kappa": (3,), "d": (6,), "r": (2,), "beta": (0.5, 1.0, 2.0)}))
    assert [theory.in_theorem(cell) for cell in cells] == [False, True, False]
    assert {theory.expected_ad(cell) for cell in cells} == {2}


@pytest.mark.parametrize(
    ("grid", "fields", "left", "dimension"),
    [
        (CONDITIONAL, {"model": "cvae"}, [2], 2.0),
        (CONDITIONAL, {"model": "vae"}, [6], 6.0),
        (CONDITIONAL, {"model": "cvae", "data": "varying_t"}, [4, 2], 3.0),
        (CONDITIONAL, {"model": "vae", "data": "varying_t"}, [6, 6], 6.0),
        (CLASSES, {"model": "cvae", "data": "union"}, [1, 2, 3, 4, 5, 6], 3.5),
        (CLASSES, {"model": "vae", "data": "union"}, [1, 2, 3, 4, 5, 6], 3.5),
        ({**CONDITIONAL, "t": (0,)}, {"model": "cvae"}, [6], 6.0),
    ],
)
def test_what_a_condition_leaves_to_encode(tiny, grid, fields, left, dimension):
    (cell,) = make_cells(tiny(grid, **fields))
    assert [theory.expected_of_part(cell, part) for part in cell.parts] == left
    assert [theory.dimension_left(cell, part) for part in cell.parts] == left
    assert theory.expected_ad(cell) == (left[0] if len(left) == 1 else None)
    assert theory.dimension(cell) == dimension
    assert theory.in_theorem(cell) == (len(left) == 1)


def test_no_more_is_expected_than_there_are_latents(tiny):
    (cell,) = make_cells(tiny({**CLASSES, "kappa": (3,)}, data="union"))
    expected = [theory.expected_of_part(cell, part) for part in cell.parts]
    assert expected == [1, 2, 3, 3, 3, 3]
    assert theory.dimension(cell) == 3.5  # of the data, whatever the model


def test_a_condition_makes_room_where_a_manifold_fills_its_space(tiny):
    """Theorem 2 covers r = d where the condition tells a part; a VAE is not told, nor is t = 0."""
    grid = {"kappa": (8,), "d": (6,), "r": (6,), "t": (2, 0)}
    told = make_cells(tiny(grid, model="cvae"))
    assert [theory.in_theorem(cell) for cell in told] == [True, False]
    assert [theory.fills_space(cell) for cell in told] == [False, True]
    assert [theory.told_dimensions(cell) for cell in told] == [2, 0]
    assert not any(theory.in_theorem(cell) for cell in make_cells(tiny(grid)))


def test_data_of_which_no_truth_is_known_are_expected_to_have_none(tiny):
    (cell, _) = make_cells(tiny())
    unknown = dataclasses.replace(cell, parts=(Part(), Part(1)))
    assert theory.expected_ad(dataclasses.replace(cell, parts=(Part(),))) is None
    assert theory.expected_ad(unknown) is None
    assert theory.dimension(unknown) is None
    assert theory.manifold_dimension(unknown) is None
    assert theory.told_dimensions(unknown) is None
    assert not theory.in_theorem(unknown)
    assert not theory.fills_space(unknown)
    # Where only some parts are known there is no mean over all.
    assert theory.dimension(dataclasses.replace(cell, parts=(Part(0, 2), Part(1)))) is None


def test_ladders_and_starts(tiny):
    sizes = {"kappa": (3,), "d": (6,), "r": (2,)}
    grid = {
        "ladder": {**sizes, "log_gamma": (-1.0, -3.0)},
        "starts": {**sizes, "log_gamma_init": (0.0, -2.0)},
        "wide": {"kappa": (5,), "d": (6,), "r": (2,)},
    }
    cells = make_cells(tiny(grid))
    names = [f"kappa3-d6-r2-log_gamma={level}" for level in (-3, -1)]
    assert theory.ladders(cells) == {"kappa3-d6-r2": names}
    (members,) = theory.start_families(cells).values()
    assert [cell.method.log_gamma_init for cell in members] == [-2.0, 0.0]
    # An annealed level starts somewhere too, but its start is not what is learned from.
    annealed = tiny({**sizes, "log_gamma": (-4.0,), "log_gamma_init": (0.0, 1.0)}, anneal=0.5)
    assert theory.start_families(make_cells(annealed)) == {}


def test_no_theorem_expects_a_number_of_a_model_whose_prior_is_its_encoder(tiny):
    """Theorem 3: its loss is bounded below, so that no latent need become active."""
    grid = {"kappa": (5,), "d": (8,), "r": (2,), "prior": ("shared", "learned", "standard")}
    kinds = {"data": "sequences", "networks": "lstm", "model": "cvae"}
    shared, *others = make_cells(tiny(grid, **kinds))
    assert theory.is_shared(shared)
    assert (theory.expected_ad(shared), theory.dimension(shared)) == (None, None)
    assert not theory.in_theorem(shared)
    for cell in others:
        assert (theory.expected_ad(cell), theory.dimension(cell)) == (2, 2)
        assert theory.in_theorem(cell)
    # Of a point, given those before it; no point tells any of its own coordinates.
    assert theory.manifold_dimension(shared) == 2
    assert theory.told_dimensions(shared) == 0


def test_theorems_are_of_decoders_with_a_variance(tiny):
    """An LMGAE is to find r latents too, but no theorem of CVAE-dims says so."""
    grid = {"kappa": (6,), "d": (9,), "r": (4,)}
    (cell,) = make_cells(tiny(grid, method="lmgae", optimiser="rmsprop", batch_size=40))
    (vae,) = make_cells(tiny(grid))
    assert [theory.has_gamma(each) for each in (cell, vae)] == [False, True]
    assert [theory.in_theorem(each) for each in (cell, vae)] == [False, True]
    assert [theory.expected_ad(each) for each in (cell, vae)] == [4, 4]
