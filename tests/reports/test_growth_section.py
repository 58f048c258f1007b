"""AD over training: what its figure has room for."""

import json

from runs import SMALL, lines_of, run_sweep

import mdvae
from mdvae.reports.base import View
from mdvae.reports.sections import growth
from mdvae.store import rundir


def test_panels_show_all_counts(tmp_path):
    """A cell of one latent in use comes before one of four, and panels share an axis."""
    flags = ("--config.grid.learning_rate=(0.01,0.02)", "--config.eval_every=40")
    assert run_sweep(SMALL, tmp_path / "w", *flags) == 0
    lines = lines_of(tmp_path / "w")
    for line in lines:
        line["eval_ratio"] = [0.01, *[0.99 if line["cell"].endswith("0.01") else 0.01] * 3]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "w" / rundir.METRICS).write_text(text)
    (picture,) = growth.SECTION.pictures(View(mdvae.load_run(tmp_path / "w")))
    panels = picture.figure.axes[:2]
    tops = [max(max(line.get_ydata()) for line in axes.lines) for axes in panels]
    assert tops == [1.0, 4.0]
    assert all(axes.get_ylim()[1] >= 4.0 for axes in panels)
