"""How an estimate is to be read, in plain words and with its own numbers."""

import math

from mdvae.estimation.answer import Estimate, is_of_x, one_decimal
from mdvae.estimation.shown import median
from mdvae.estimation.verdict import FEW_ROWS, MANY
from mdvae.settings.words import counted

NEIGHBOURS, LEFT, CODES = "TwoNN", "TwoNN, normal law", "TwoNN of codes"


def _count(estimate: Estimate) -> float:
    """Active dimensions of the chosen model."""
    return next((median(r.ad) for r in estimate.rungs if r.kappa == estimate.kappa), math.nan)


def _opinion(estimate: Estimate, name: str) -> float:
    return next((each.value for each in estimate.estimates if each.name == name), math.nan)


def _is_given(estimate: Estimate) -> bool:
    """Whether the dimension is that of what is left once something is given."""
    return any(is_of_x(each) for each in estimate.estimates)


def _saturation(estimate: Estimate) -> str:
    widest = max(estimate.rungs, key=lambda rung: rung.kappa)
    kept = median(widest.ad)
    text = (
        "**Saturation.** A latent costs a VAE something, so it keeps those that help it to describe"
        " the data and leaves the others at the prior. With too few latents it uses all of them,"
        " and AD = κ; once there are enough, AD stays where it is however many more there are."
        " That level is what the models say of the dimension. "
    )
    if math.isnan(kept):
        return text + f"Here the widest models, κ = {widest.kappa}, have no clear count."
    if kept < widest.kappa:
        latents = counted(kept, "latent")
        return text + f"Here it is reached: the widest, of κ = {widest.kappa}, keep {latents}."
    return text + f"Here it is not reached: all κ = {widest.kappa} latents of the widest are kept."


def _neighbours(estimate: Estimate) -> str:
    raw = _opinion(estimate, NEIGHBOURS)
    text = (
        "**Nearest neighbours** need no training and follow any curve. But in many dimensions all"
        " points are about as far from one another, the neighbours of a point are no longer near,"
        " and much of the data lies at an edge, where on one side there are none. So they say too"
        f" little from about {MANY:.0f} dimensions on, the more so the fewer rows there are;"
        " what is called calibrated corrects for it as if the data were of a simple law. "
    )
    if math.isnan(raw):
        return text + "Here they have no answer."
    if _is_given(estimate):
        return text + (
            f"Here {NEIGHBOURS} says {raw:.1f} as it is, which is of x alone. Less what it sees of"
            f" what is given, and calibrated, that is {one_decimal(_opinion(estimate, LEFT))}, of"
            f" {estimate.dimension}."
        )
    short = raw < 0.95 * estimate.dimension
    return text + (
        f"Here {NEIGHBOURS} says {raw:.1f} as it is, of {estimate.dimension}"
        + (": less, as is to be expected." if short and estimate.dimension >= MANY else ".")
    )


def _codes(estimate: Estimate) -> str:
    codes, count = _opinion(estimate, CODES), _count(estimate)
    text = (
        "**Codes** are the rows in the latents that the model keeps. If the model is right they"
        " fill all of them; if they lie on a surface in there, the model needs more latents than"
        " the data have dimensions. "
    )
    if math.isnan(codes) or math.isnan(count):
        return text + "Here there are none to look at."
    return text + (
        f"Here the chosen model keeps {counted(count, 'latent')}, and the codes have"
        f" {one_decimal(codes)}."
    )


def _signs(estimate: Estimate) -> list[tuple[str, str, bool]]:
    """Kinds of disagreement: name, what each usually means, and whether there is a sign of it."""
    near = LEFT if _is_given(estimate) else NEIGHBOURS
    count, raw = _count(estimate), _opinion(estimate, near)
    said = " ".join((estimate.verdict, *estimate.warnings)).lower()
    wide = count > estimate.dimension
    noisy = not estimate.confident and raw > count == estimate.dimension
    apart = {each.dimension for each in estimate.by_class.values()}
    mixed = bool(apart - {estimate.dimension})
    few = estimate.rows < FEW_ROWS * max(estimate.dimension, 1) or "few samples" in said
    return [
        (
            "Curved",
            "AD is more than neighbours see, and the codes do not fill the latents: the data bend"
            " more than the networks can follow, and these keep the linear span. Trust the lower"
            " numbers, or train more and wider (a greater effort).",
            wide,
        ),
        (
            "Noisy",
            "neighbours see more than AD: noise has all dimensions there are, and neighbours that"
            " are no farther apart than the noise is wide count it. Trust AD, or take rows that"
            " are farther apart.",
            noisy,
        ),
        (
            "Clustered",
            "a table of several kinds has no single dimension; what is told of it lies between"
            " theirs, or is that of what sets them apart. Look at latents.png, and estimate the"
            " kinds one by one (labels).",
            mixed,
        ),
        (
            "Too few samples",
            "intervals are wide, seeds disagree, and all estimates are too low rather than too"
            " high. Add rows, or take the dimension for a lower bound.",
            few,
        ),
        (
            "Discrete columns",
            "rows that are equal in a column are at distance 0 there, so that neighbours see too"
            " little, while a network may treat the steps as one dimension more. Estimate without"
            " them, or give them as what is known (given).",
            "distinct values" in said,
        ),
    ]


def how_to_read(estimate: Estimate) -> list[str]:
    """Paragraphs of markdown with blank lines between them."""
    sure = (
        "The evidence agrees here, and the interval holds all of it that counts."
        if estimate.confident
        else "The evidence does not agree here, or is not enough: take the interval, and not the"
        " number alone."
    )
    lines = [
        "The dimension is how many numbers are needed to say where a row lies among the others."
        f" {sure}",
        _saturation(estimate),
        _neighbours(estimate),
        _codes(estimate),
        "**Where estimates differ**, this is what it usually means:",
    ]
    spaced = [part for line in lines for part in (line, "")]
    bullets = [
        f"- **{name}**{' (there is a sign of it here)' if here else ''}: {meaning}"
        for name, meaning, here in _signs(estimate)
    ]
    return [*spaced, *bullets]
