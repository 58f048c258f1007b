"""Analysis "dimensions": how active dimensions are counted, and what they are compared with.

None of its fields decides what is trained: a run directory can be analysed again with others.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mdvae.settings.fields import (
    NOT_NEGATIVE,
    TEXT,
    TRUTH,
    Rule,
    Section,
    fields_of,
    fixed,
    is_number,
    whole,
)
from mdvae.settings.registry import ANALYSES

_RATIO = Rule(lambda v: is_number(v) and 0 < v < 1, "a ratio between 0 and 1", float)
_NATS = Rule(NOT_NEGATIVE.accepts, "a number of nats, 0 or more", float)
_TABLE = Rule(lambda v: isinstance(v, str), "the name of a published table, or ''", str)


@dataclasses.dataclass(frozen=True)
class Dimensions(Section):
    """How active dimensions are counted.

    Attributes:
        ad_threshold: the paper's rule calls a dimension active below this variance ratio.
        ad_min_gap: least gap between the sorted log odds of the ratios (nats) that counts as a gap.
        compare: whether samples of each run are compared with held-out ones of its data; those of
            a second stage always are.
        generated: how many are compared with as many of the data.
        stretch: whether every generated image is stretched to [0, 1] before that, as in the
            published evaluation.
        inception: file with the weights of Inception for the FID; "" takes no FID.
        published: name of the table of published numbers to compare with, or "".
    """

    ad_threshold: float = fixed(0.05, _RATIO, decides=False)
    ad_min_gap: float = fixed(1.0, _NATS, decides=False)
    compare: bool = fixed(False, TRUTH, decides=False)
    generated: int = fixed(10_000, whole(100), decides=False)
    stretch: bool = fixed(False, TRUTH, decides=False)
    inception: str = fixed("", TEXT, decides=False)
    published: str = fixed("", _TABLE, decides=False)


class AnalysisKind(NamedTuple):
    """A kind of analysis.

    Attributes:
        settings: the class of its section.
        measure: run directory -> what it has to measure of trained models, once they are; None
            where evaluations say all.
    """

    settings: type[Any]
    measure: Callable[[Path], None] | None = None


def own_settings(analysis: Any) -> set[str]:
    """Settings by which a kind of analysis measures trained models, beside those of all kinds."""
    kind = ANALYSES.find(analysis.kind)
    shared = fields_of(Dimensions).keys()
    return set() if kind.measure is None else set(fields_of(kind.settings)) - set(shared)


ANALYSES.add("dimensions", AnalysisKind(Dimensions))
