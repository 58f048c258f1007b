"""What theorems expect of a cell, from the truth that its kind of data states.

A kind without a truth (real images, a user's own array) states none; all here is then None or
False, and reports say nothing of right and wrong.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mdvae.settings.grid import Cell, Part, families, shares_of
from mdvae.settings.registry import NETWORKS


def spares_told(cell: Cell) -> bool:
    """Whether what the condition tells needs no latent that departs from its prior.

    So it is where the decoder is told, and where the prior's mean can say it to one that is not.
    """
    return is_decoder_told(cell) or is_carried(cell)


def is_decoder_told(cell: Cell) -> bool:
    """Whether the decoder is given the condition of the data."""
    return cell.is_told and NETWORKS.find(cell.networks.kind).tells(cell.networks)


def is_carried(cell: Cell) -> bool:
    """Whether the mean of a prior says what the condition tells to a decoder that is not given it.

    It takes a latent for each coordinate, of which the posterior is the prior.
    """
    carries = NETWORKS.find(cell.networks.kind).carries(cell.networks)
    return cell.is_told and carries and not is_decoder_told(cell)


def dimension_left(cell: Cell, part: Part) -> int | None:
    """Dimensions of x in a part of the data that latents must say: r - t, or r of a VAE."""
    if part.dimension is None:
        return None
    return part.dimension - part.told * spares_told(cell)


def is_shared(cell: Cell) -> bool:
    """Whether encoder and prior are one network."""
    return cell.value("prior") == "shared"


def is_bounded(cell: Cell) -> bool:
    """Whether Theorem 3 has the loss bounded below: one point's encoder is the next one's prior."""
    return is_shared(cell) and cell.sizes.points > 1


def resolvable_left(cell: Cell, part: Part) -> int | None:
    """`dimension_left` where data say how much x varies along just these dimensions; else None.

    They leave out what the condition tells, whether or not it spares a latent.
    """
    tells = cell.is_told and part.told and not spares_told(cell)
    return None if tells else dimension_left(cell, part)


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


class Expected(NamedTuple):
    """How many latents of a global optimum are active, mixed and passive over all samples.

    Attributes:
        mixed_shares: for how many of the samples each mixed latent is active, ascending.
    """

    active: int
    mixed: int
    passive: int
    mixed_shares: tuple[float, ...]


def expected_classes(cell: Cell) -> Expected | None:
    """What latents must be; None where no theorem says.

    Where there are parts of the data, which latents serve which is open unless there are no more
    than the part of most dimensions needs, and there is one other at most.
    """
    left = [dimension_left(cell, part) for part in cell.parts]
    known = [value for value in left if value is not None]
    kappa = cell.sizes.kappa
    outside = is_shared(cell) or not has_gamma(cell) or has_noise(cell) or not has_full_kl(cell)
    if outside or len(known) < len(left) or cell.value("log_gamma") is not None:
        return None
    if fills_space(cell) or (is_carried(cell) and kappa < (manifold_dimension(cell) or 0)):
        return None
    least, most = min(known), max(known)
    of_most = sum(value == most for value in known)
    if kappa < most or (len(known) > 1 and (kappa > most or len(known) - of_most > 1)):
        return None
    shares = shares_of(cell.parts)
    active_for = [
        sum(share for share, value in zip(shares, known, strict=True) if value >= place)
        for place in range(least + 1, most + 1)
    ]
    return Expected(least, most - least, kappa - most, tuple(sorted(active_for)))


def dimension(cell: Cell) -> float | None:
    """Dimensions of x that the model is not told, the mean over parts of the data.

    The slope of 2 nelbo in log gamma tends to d less this (Theorems 1 and 2); None where no theorem
    says.
    """
    if is_shared(cell):
        return None
    left = [dimension_left(cell, part) for part in cell.parts]
    known = [value for value in left if value is not None]
    if len(known) < len(left):
        return None
    return sum(share * value for share, value in zip(shares_of(cell.parts), known, strict=True))


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
    return cell.value("log_gamma_init") is not None or cell.value("likelihood") == "gaussian"


def has_noise(cell: Cell) -> bool:
    """Whether samples lie off the manifold."""
    return any(part.noise > 0 for part in cell.parts)


def fills_space(cell: Cell) -> bool:
    """Whether the manifold has all dimensions of its space, and no condition tells any of them."""
    spared = spares_told(cell) and told_dimensions(cell)
    return manifold_dimension(cell) == cell.sizes.d and not spared


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
    return r < cell.sizes.d or bool(spares_told(cell) and told_dimensions(cell))


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
