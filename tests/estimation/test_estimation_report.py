"""The report of an estimate and its figures, of one that is invented."""

import csv
import dataclasses
import math

import numpy as np
import pytest

from mdvae.analysis.neighbours import Opinion
from mdvae.data.intake import check_intake
from mdvae.data.intake_doubts import of_discrete
from mdvae.estimation import answer, figures, flow, model_figures, report
from mdvae.estimation.answer import Estimate
from mdvae.estimation.classes import MOST_APART, TOGETHER
from mdvae.estimation.evidence import left_by, look
from mdvae.estimation.folder import CLASSES, FIGURES, OPINIONS, REPORT, claim, request_of
from mdvae.estimation.model_figures import Fitted, draw_latents, draw_residuals, plane_of
from mdvae.estimation.opinions import ask
from mdvae.estimation.reading import how_to_read
from mdvae.estimation.shown import OF_X, Evidence, Rung

NAN = math.nan
SIGN = "(there is a sign of it here)"


def rung(kappa, nelbo, ad):
    return Rung(
        kappa=kappa,
        nelbo=nelbo,
        ad=ad,
        ad_paper=ad,
        gamma=(0.25, 0.35),
        codes=(2.0, 2.2),
        codes_low=(1.8, 1.9),
        codes_high=(2.2, 2.3),
        moving=(False, True),
    )


def invented(workdir, **changes):
    """An estimate of dimension 3 without models."""
    values = {
        "dimension": 3,
        "low": 2.5,
        "high": 3.25,
        "confident": True,
        "verdict": "it was made up",
        "warnings": (),
        "notes": ("nothing was done",),
        "estimates": (
            Opinion("TwoNN", 2.875, 2.75, 3.0, "first|second"),
            Opinion("DANCo", NAN, NAN, NAN, "failed: no $reason"),
            Opinion("MLE", 2.5, NAN, NAN, ""),
        ),
        "rungs": (rung(2, (400.0, 300.0), (2, 2)), rung(4, (-7.0, -8.0), (3, 3)), *WIDE),
        "by_class": {},
        "ladder": "ladder",
        "kappa": 4,
        "seed": 0,
        "columns": ("a", "b", "c", "d"),
        "scales": (),
        "rows": 500,
        "effort": "quick",
        "seconds": 60.0,
        "workdir": workdir,
    }
    return Estimate(**{**values, **changes})


RUNGS_OF_TWO = (rung(4, (-7.0, -8.0), (2, 2)),)
WIDE = (rung(8, (-7.0, NAN), (3, None)),)


def with_classes(workdir):
    told = Opinion(TOGETHER, 2.5, 2.0, 3.0, "2 of 2 seeds")
    failed = Opinion(TOGETHER, NAN, NAN, NAN, "0 of 2 seeds")
    names = {"$five": told, "_two$|": failed, "three": None}
    by_class = {
        name: invented(
            workdir / CLASSES / str(i), dimension=i + 2, estimates=(each,) if each else ()
        )
        for i, (name, each) in enumerate(names.items())
    }
    return invented(workdir, by_class=by_class)


def cells_of(table):
    """Fields of a markdown table, row by row, without its head."""
    lines = table.splitlines()
    return [[field.strip() for field in line[1:-1].split(" | ")] for line in lines[2:]]


def test_table_of_rungs(tmp_path):
    rows = cells_of(report.rungs_table(invented(tmp_path)))
    assert rows[1] == [
        *("**4**", "-7.50", "-8.00 to -7.00", "3/3", "3/3", "0.300", "2.1 (1.9 to 2.2)", "yes")
    ]
    assert rows[0][0] == "2"
    # One seed of the widest diverged.
    assert rows[2][1:4] == ["-7.00", "-7.00 to -7.00 (1 of 2)", "3/–"]


def test_table_of_opinions(tmp_path):
    rows = cells_of(report.opinions_table(invented(tmp_path)))
    assert rows == [
        ["mdvae", "3.0", "2.5 to 3.2", "it was made up"],
        ["TwoNN", "2.9", "2.8 to 3.0", "first\\|second"],
        ["DANCo", "no answer", "–", "failed: no $reason"],
        ["MLE", "2.5", "–", ""],
    ]


def test_table_of_classes(tmp_path):
    rows = cells_of(report.classes_table(with_classes(tmp_path)))
    assert rows[0] == [
        *("$five", "500", "2", "2.5 to 3.2", "2.5 (2.0 to 3.0)", "no", "[0](classes/0/report.md)")
    ]
    assert rows[1][0] == "_two$\\|"
    assert [row[4] for row in rows[1:]] == ["–", "–"]


def test_files_of_an_estimate_without_figures(tmp_path):
    estimate = invented(tmp_path)
    assert report.write_report(estimate) == tmp_path / REPORT
    text = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert text.startswith("# Dimension 3\n")
    assert "- dimension 3, between 2.5 and 3.2; the evidence agrees" in text
    assert "- note: nothing was done" in text
    assert "## How to read this" in text
    assert "## Classes" not in text
    assert "![" not in text
    with open(tmp_path / OPINIONS, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "value", "low", "high", "note"]
    assert rows[1] == ["mdvae", "3", "2.5", "3.25", "it was made up"]
    assert rows[3] == ["DANCo", "", "", "", "failed: no $reason"]


def test_figures_without_models(tmp_path, capsys):
    estimate = with_classes(tmp_path)
    files = figures.draw(estimate)
    assert [file.name for file in files] == ["ladder.png", "estimates.png", "classes.png"]
    assert all(file.stat().st_size > 5_000 for file in files)
    assert capsys.readouterr().err == ""
    report.write_report(estimate)
    text = (tmp_path / REPORT).read_text(encoding="utf-8")
    assert "## Classes" in text
    assert [name for name in report.CAPTIONS if f"({FIGURES}/{name})" in text] == [
        file.name for file in files
    ]


def test_a_figure_that_fails_is_told_of(tmp_path, capsys, monkeypatch):
    def fails(_):
        raise ValueError("no ink")

    monkeypatch.setattr(figures, "draw_ladder", fails)
    assert [file.name for file in figures.draw(invented(tmp_path))] == ["estimates.png"]
    assert "warning: ladder.png could not be drawn (no ink)" in capsys.readouterr().err


def test_figures_of_little_and_of_much(tmp_path):
    """No finite loss, no answer at all, opinions that are far apart, and many classes."""
    nothing = invented(
        tmp_path / "nothing",
        dimension=0,
        low=0.0,
        high=0.0,
        estimates=(Opinion("TwoNN", NAN, NAN, NAN, "too few"),),
        rungs=(rung(4, (NAN, NAN), (None, None)),),
    )
    one = invented(tmp_path)
    much = dataclasses.replace(
        one,
        workdir=tmp_path / "much",
        estimates=(*one.estimates, Opinion("PCA", 300.0, 250.0, 350.0, "")),
        by_class={f"number {i}": one for i in range(MOST_APART)},
    )
    for estimate, count in ((nothing, 2), (much, 3)):
        assert len(figures.draw(estimate)) == count
    told = "\n".join(how_to_read(nothing))
    for words in ("κ = 4, have no clear count", "Here they have no answer", "none to look at"):
        assert words in told
    assert "Here TwoNN says 2.9 as it is, of 3." in "\n".join(how_to_read(much))


def test_opinions_of_x_alone_say_so(tmp_path):
    """Where something is given: in the lines, the reading and the figure."""
    left = Opinion("TwoNN, normal law", 2.0, 1.5, 2.5, "calibrated")
    alone = Opinion("TwoNN", 5.0, 4.5, 5.5, OF_X)
    told = invented(tmp_path, dimension=2, estimates=(alone, left), low=2.0, rungs=RUNGS_OF_TWO)
    lines = answer.lines_of(told)
    assert "others: TwoNN, normal law 2.0" in lines
    assert f"{OF_X}: TwoNN 5.0" in lines
    text = "\n".join(how_to_read(told))
    assert "Here TwoNN says 5.0 as it is, which is of x alone." in text
    assert "that is 2.0, of 2." in text
    # Of more dimensions in x alone there is no sign of noise.
    assert SIGN not in "\n".join(how_to_read(dataclasses.replace(told, confident=False)))
    (axes,) = figures.draw_estimates(told).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["TwoNN, of x alone", "TwoNN, normal law"]
    assert answer.lines_of(invented(tmp_path))[3] == "others: TwoNN 2.9, MLE 2.5"


@pytest.mark.parametrize("told", [False, True])
def test_who_is_asked_of_x_alone(told):
    x = np.random.default_rng(0).normal(size=(150, 3))
    seen = left_by(look(x), x[:, :1] if told else None)
    rungs = (rung(4, (-7.0, -8.0), (3, 3)),)
    known = {name: getattr(seen, name) for name in seen._fields if name in Evidence._fields}
    evidence = Evidence(
        **known,
        n=150,
        d=3,
        rungs=rungs,
        neighbours_low=seen.low,
        neighbours_high=seen.high,
        gaussian=NAN,
        told=told,
        settled=True,
    )
    found = ask(seen, evidence, quick=True)
    alone = [each.name for each in found if answer.is_of_x(each)]
    assert alone == (["TwoNN", "MLE", "local PCA", "TwoNN calibrated"] if told else [])
    assert next(each for each in found if each.name == "MLE").note.endswith("for k from 5 to 100")


def test_what_is_told_of_saturation(tmp_path):
    assert "the widest, of κ = 8, keep 3 latents." in "\n".join(how_to_read(invented(tmp_path)))
    full = invented(tmp_path, rungs=(rung(2, (1.0, 1.0), (2, 2)),), kappa=2)
    assert "all κ = 2 latents of the widest are kept" in "\n".join(how_to_read(full))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"dimension": 2}, "Curved"),
        (
            {
                "confident": False,
                "estimates": (Opinion("TwoNN", 9.0, 8.0, 10.0, ""),),
            },
            "Noisy",
        ),
        ({"rows": 40}, "Too few samples"),
        ({"warnings": tuple(of_discrete(("a", "b")))}, "Discrete columns"),
    ],
)
def test_signs_of_a_disagreement(tmp_path, changes, kind):
    told = [line for line in how_to_read(invented(tmp_path, **changes)) if SIGN in line]
    assert [line.partition("**")[2].partition("**")[0] for line in told] == [kind]


def test_classes_of_other_dimensions_are_a_sign_of_clusters(tmp_path):
    told = [line for line in how_to_read(with_classes(tmp_path)) if SIGN in line]
    assert ["Clustered" in line for line in told] == [True]
    assert not [line for line in how_to_read(invented(tmp_path)) if SIGN in line]


def fitted(active, columns, classes=()):
    generator = np.random.default_rng(0)
    return Fitted(
        codes=generator.normal(size=(300, active)),
        labels=generator.integers(0, len(classes), 300) if classes else None,
        classes=classes,
        residuals=np.linspace(0.1, 0.9, columns),
        gamma=np.full(columns, 0.2),
        columns=tuple(f"$ column {j}" for j in range(columns)),
    )


@pytest.mark.parametrize("columns", [3, model_figures.MOST_BARS, model_figures.MOST_BARS + 1])
def test_residuals(tmp_path, columns):
    figure = draw_residuals(fitted(2, columns))
    bad = int(np.sum(np.linspace(0.1, 0.9, columns) >= model_figures.NOT_FOLLOWED))
    assert f"does not follow {bad} of {columns} columns" in figure.axes[0].get_title()
    figure.savefig(tmp_path / "residuals.png")


@pytest.mark.parametrize("active", [0, 1, 2, 5])
@pytest.mark.parametrize("classes", [(), ("_a", "b$")])
def test_latents(tmp_path, active, classes):
    figure = draw_latents(fitted(active, 4, classes))
    figure.savefig(tmp_path / "latents.png")
    plane, names = plane_of(fitted(active, 4).codes)
    assert plane.shape == (300, min(active, 2))
    assert len(names) == min(active, 2)
    if classes and active:
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert sorted(labels) == ["class _a", r"class b\$"]


def test_classes_beyond_the_markers_are_shown_together():
    many = tuple(f"number {i}" for i in range(30))
    labels = [t.get_text() for t in draw_latents(fitted(3, 4, many)).legends[0].get_texts()]
    assert len(labels) == len(model_figures.MARKERS)
    assert labels[-1] == "21 other classes"


@pytest.mark.parametrize("drawn", [True, False])
def test_an_estimate_that_was_stopped_before_its_report_gets_it(tmp_path, drawn):
    table = check_intake(np.random.default_rng(0).normal(size=(200, 4)))
    options = flow.Options("quick", 0, tmp_path, lambda config, path: pytest.fail("trains"))
    claim(tmp_path, request_of(table, effort="quick", seed=0))
    answer.save(invented(tmp_path))
    assert flow.run(table, options, figures=drawn).dimension == 3
    assert (tmp_path / REPORT).is_file()
    assert (tmp_path / FIGURES / "ladder.png").is_file() == drawn


def test_an_estimate_is_not_lost_for_its_report(tmp_path, capsys, monkeypatch):
    def fails(_):
        raise OSError("no space")

    monkeypatch.setattr(report, "write_report", fails)
    flow.write_report_of(invented(tmp_path), figures=False)
    assert "warning: the report could not be written (no space)" in capsys.readouterr().err
