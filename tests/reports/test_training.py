"""What the figure over training shows: what each method logs, held-out scores dashed beside it."""

import json

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run

from mdvae.reports.base import View
from mdvae.reports.sections.training import SECTION
from mdvae.settings.config import resolve
from mdvae.store.loading import load_run


@pytest.fixture
def path(tmp_path):
    return invented_run(resolve(tiny_dict({"kappa": (4,), "d": (6,), "r": (2, 3)})), tmp_path / "w")


def rewrite(path, change):
    """Changes the lines of metrics."""
    file = path / "metrics.jsonl"
    lines = [change(json.loads(line)) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def panels(path):
    """The title, and the axes of each row."""
    (picture,) = SECTION.pictures(View(load_run(path)))
    return picture.title, [axes for axes in picture.figure.axes if axes.get_visible()]


def test_without_held_out_scores_styles_tell_r(path):
    title, (loss, gamma) = panels(path)
    assert title == "nelbo and γ over training"
    assert {line.get_linestyle() for line in loss.lines} == {"-", "--"}
    assert [line.get_label() for line in gamma.lines] == ["r = 2", "r = 3"]


def test_held_out_scores_are_dashed_at_their_steps(path):
    def scored(line):
        return line | ({"eval_nelbo": 100.0 + line["seed"]} if line["step"] % 6 == 0 else {})

    rewrite(path, scored)
    title, (loss, gamma) = panels(path)
    assert title == "nelbo and γ over training"
    solid, dashed = (
        [line for line in loss.lines if line.get_linestyle() == style] for style in ("-", "--")
    )
    assert len(solid) == len(dashed) == len(gamma.lines) == 2
    for line, own in zip(dashed, solid, strict=True):
        assert line.get_label() == "held out"
        assert line.get_color() is not None
        np.testing.assert_array_equal(line.get_color(), own.get_color())
        steps, values = line.get_data()
        assert list(steps) == [6, 12]
        assert list(values) == [100.5, 100.5]  # the median of two seeds
    labels = [text.get_text() for text in loss.figure.legends[0].get_texts()]
    assert labels == ["r = 2", "r = 3", "held out"]


def test_names_are_those_of_all_lines(path):
    """The first method logs one thing, the other three, of which none is gamma."""

    def renamed(line):
        place = {name: line[name] for name in ("cell", "seed", "step")}
        if line["cell"].endswith("r2"):
            return place | {"error": 1.0}
        return place | {"cost": 2.0, "turn": None, "more": 3.0}

    rewrite(path, renamed)
    title, axes = panels(path)
    assert title == "error, cost and turn over training"
    assert [len(each.lines) for each in axes] == [1, 1, 1]


def test_a_method_that_logs_nothing_has_no_figure(path):
    rewrite(path, lambda line: {name: line[name] for name in ("cell", "seed", "step")})
    assert SECTION.pictures(View(load_run(path))) == []
