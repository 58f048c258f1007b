"""How often something holds, and how sure that is."""

from typing import NamedTuple

from mdvae.analysis.statistics import Interval, fraction_interval


class Share(NamedTuple):
    """How often something holds: how many times, and the fraction with its Wilson interval."""

    hits: int
    fraction: Interval


def share(hits: int, total: int) -> Share:
    """So many of a total."""
    return Share(hits, fraction_interval(hits, total))


def share_text(value: Share | None) -> str:
    """Such as "9 of 10 (60-98 %)"; a dash where there is nothing to count."""
    if value is None or value.fraction.n == 0:
        return "–"
    low, high = 100 * value.fraction.low, 100 * value.fraction.high
    return f"{value.hits} of {value.fraction.n} ({low:.0f}-{high:.0f} %)"
