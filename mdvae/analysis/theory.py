"""What theorems expect of a cell, from the truth that its kind of data states.

A kind without a truth (real images, a user's own array) states none; all here is then None or
False, and reports say nothing of right and wrong.
"""

from collections.abc import Sequence

from mdvae.settings.grid import Cell, Part, families


def dimension_left(cell: Cell, part: Part) -> int | None:
    """Dimensions of x in a part of the data that the model is not told: r - t, or r of a VAE."""
    if part.dimension is None:
        return None
    return part.dimension - part.told * cell.is_told


def is_shared(cell: Cell) -> bool:
    """Whether encoder and prior are one network."""
    return cell.value("prior") == "shared"


def is_bounded(cell: Cell) -> bool:
    """Whether Theorem 3 has the loss bounded below: one point's encoder is the next one's prior."""
    return is_shared(cell) and cell.sizes.points > 1


def expected_of_part(cell: Cell, part: Part) -> int | None:
    """Active dimensions of a global optimum on a part of the data, or all kappa if fewer.

    None where no theorem says.
    """
    left = dimension_left(cell, part)
    return None if left is None or is_shared(cell) else min(left, cell.sizes.kappa)


def expected_ad(cell: Cell) -> int | None:
    """Active dimensions of a global optimum: r - t (Theorems 1 and 2), or all kappa if fewer.

    For r = d and t = 0 Theorem 1 does not apply; r is then only what one would hope for. None
    where it differs between parts of the data.
    """
    return expected_of_part(cell, cell.parts[0]) if len(cell.parts) == 1 else None


def dimension(cell: Cell) -> float | None:
    """Dimensions of x that the model is not told, the mean over parts of the data.

    The slope of 2 nelbo in log gamma tends to d less this (Theorems 1 and 2); None where no theorem
    says.
    """
    if is_shared(cell):
        return None
    left = [dimension_left(cell, part) for part in cell.parts]
    known = [value for value in left if value is not None]
    return sum(known) / len(known) if len(known) == len(left) else None


def manifold_dimension(cell: Cell) -> int | None:
    """r: of the manifold, or of the one of most dimensions."""
    known = [part.dimension for part in cell.parts if part.dimension is not None]
    return max(known) if known else None


def told_dimensions(cell: Cell) -> int | None:
    """t: how many coordinates the condition of the data tells, at most; of data with a truth."""
    has_truth = manifold_dimension(cell) is not None
    return max(part.told for part in cell.parts) if has_truth else None


def has_full_kl(cell: Cell) -> bool:
    """Whether the KL counts in full in the loss, as in the theorems."""
    return cell.value("beta") in (None, 1.0)


def has_gamma(cell: Cell) -> bool:
    """Whether the decoder has a variance gamma, as those of the theorems have."""
    return cell.value("log_gamma_init") is not None


def has_noise(cell: Cell) -> bool:
    """Whether samples lie off the manifold."""
    return any(part.noise > 0 for part in cell.parts)


def fills_space(cell: Cell) -> bool:
    """Whether the manifold has all dimensions of its space, and no condition tells any of them."""
    return manifold_dimension(cell) == cell.sizes.d and not (cell.is_told and told_dimensions(cell))


def in_theorem(cell: Cell) -> bool:
    """Whether Theorem 1 or 2 covers a cell: kappa >= r, r < d or a condition, no noise, beta 1.

    Of decoders with a variance gamma.
    """
    r = manifold_dimension(cell)
    if not has_gamma(cell) or not has_full_kl(cell) or has_noise(cell) or is_shared(cell):
        return False
    if len(cell.parts) > 1:
        return False
    if r is None or cell.sizes.kappa < r:
        return False
    return r < cell.sizes.d or bool(cell.is_told and told_dimensions(cell))


def ladders(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Names of cells at several held log gammas and else alike; each list by ascending level.

    Cells whose KL has a weight other than 1 form none: their Recon / gamma does not tend to r.
    """
    found = families([cell for cell in cells if has_full_kl(cell)], "log_gamma")
    return {name: [cell.name for cell in members] for name, members in found.items()}


def start_families(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells that differ in the initial value of a learned log gamma alone, by ascending start."""
    learned = [cell for cell in cells if cell.value("log_gamma") is None]
    return families(learned, "log_gamma_init")
