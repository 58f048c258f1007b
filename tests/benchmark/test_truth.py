"""The benchmark of known truths: its data, its statistics, resuming, and its output."""

import csv
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from skdim.datasets import BenchmarkManifolds

from mdvae import bench, cli
from mdvae.analysis.statistics import fraction_interval
from mdvae.benchmark import truth, truth_data, truth_figure, truth_tables
from mdvae.benchmark.truth import Found, Plan, run_cases, run_truth
from mdvae.benchmark.truth_data import all_cases, draw_case
from mdvae.settings.fields import ConfigError

CASES = all_cases()
OWN = [case for case in CASES.values() if case.family != truth_data.SCIKIT_DIMENSION]
COLUMNS = {
    "sphere2": 3,
    "sphere5": 6,
    "torus3": 6,
    "revolution2": 3,
    "circle_plane3": 4,
    "sphere_interval5": 6,
    "torus3_noise1": 6,
    "torus3_noise5": 6,
    "sphere5_raised": 100,
    "revolution2_raised": 100,
    "torus3_small": 6,
    "sphere5_small": 6,
    "plane2_sphere5": 6,
    "circle1_torus3": 6,
}


def by_name(case):
    return case.name


def local_ranks(x, anchors):
    """How many directions neighbours of some rows take up, [anchors]."""
    ranks = []
    for row in x[:anchors]:
        far = ((x - row) ** 2).sum(axis=1)
        near = x[np.argpartition(far, 60)[:60]]
        spectrum = np.linalg.svd(near - near.mean(axis=0), compute_uv=False)
        # What is not along the manifold is its curvature, a tenth, or noise, four tenths.
        ranks.append(int((spectrum > 0.5 * spectrum[0]).sum()))
    return ranks


@pytest.mark.parametrize("case", OWN, ids=by_name)
def test_own_cases_have_their_shape_and_dimension(case):
    x = draw_case(case, 700, 3)
    assert x.shape == (500 if case.family == "small" else 700, COLUMNS[case.name])
    assert x.dtype == np.float64
    dense = draw_case(case._replace(rows=None), 50_000 if case.family == "raised" else 200_000, 3)
    ranks = local_ranks(dense, 40)
    for member in case.members:
        # By chance a few neighbourhoods in five dimensions leave out one of them.
        assert ranks.count(member) >= 0.25 * len(ranks)
    assert sum(map(ranks.count, case.members)) >= 0.9 * len(ranks)
    assert case.dimension == max(case.members)


def test_own_families():
    families = {case.family for case in OWN}
    assert families == {"smooth", "noise", "raised", "small", "unions"}
    assert set(COLUMNS) == {case.name for case in OWN}
    assert all(len(case.members) == (2 if case.family == "unions" else 1) for case in OWN)


def test_noise_is_the_stated_share():
    for name, size in (("torus3_noise1", 0.01), ("torus3_noise5", 0.05)):
        x = draw_case(CASES[name], 20_000, 0)
        radius = np.hypot(x[:, :3], x[:, 3:])
        # The columns of a unit circle deviate by the root of one half.
        assert radius.std() == pytest.approx(size * 0.5**0.5, rel=0.03)


def test_rotation_keeps_distances():
    x = draw_case(CASES["sphere5_raised"], 300, 0)
    assert np.linalg.norm(x, axis=1) == pytest.approx(np.ones(300))
    assert np.linalg.matrix_rank(x) == 6
    assert (abs(x).max(axis=0) > 0.01).all()


def test_members_of_unions_are_apart():
    x = draw_case(CASES["plane2_sphere5"], 401, 0)
    flat = x[:, 0] == -1
    assert flat.sum() == 200
    assert (x[flat, 3:] == 0).all()
    assert np.linalg.norm(x[~flat], axis=1) == pytest.approx(np.ones(201))
    assert not flat[:100].all()
    assert flat[:100].any()
    x = draw_case(CASES["circle1_torus3"], 400, 0)
    circle = np.hypot(x[:, 0], x[:, 1]) > 2
    assert circle.sum() == 200
    gaps = np.linalg.norm(x[circle][:, None] - x[~circle], axis=2)
    assert gaps.min() > 1.5


@pytest.mark.parametrize("case", CASES.values(), ids=by_name)
def test_draws_are_reproducible_and_differ(case):
    first = draw_case(case, 120, 5000)
    np.testing.assert_array_equal(draw_case(case, 120, 5000), first)
    assert not np.isclose(draw_case(case, 120, 5001), first).all()
    assert np.isfinite(first).all()


def test_draws_of_scikit_dimension_are_its_own():
    known = BenchmarkManifolds(random_state=7)
    x = known.generate(name="all", n=200)
    dimensions = known.truth["Intrinsic Dimension"].to_dict()
    assert dimensions.pop("M10d_Cubic") == 70
    assert dimensions == truth_data.SKDIM_DIMENSIONS
    for name in dimensions:
        assert CASES[name].dimension == dimensions[name]
    for name in ("M1_Sphere", "M12_Norm", "Mp3_Paraboloid"):
        np.testing.assert_array_equal(draw_case(CASES[name], 200, 7), x[name])


def test_splits():
    draws = {"reporting": (0, 99, 5000, 9999), "searching": (100, 199), "neither": (200, 4999)}
    for split, numbers in draws.items():
        assert {truth_data.split_of(number) for number in numbers} == {split}


def made_up(case, truth, dimension, twonn=None, **more):
    """A row of truth.csv."""
    row = {"case": case, "family": "smooth", "n": 100, "draw": 0, "effort": "quick"}
    row |= {"truth": truth, "dimension": dimension, "low": None, "high": None}
    return row | {"doubts": 0, "seconds": 1.0, "estimate_TwoNN": twonn} | more


ROWS = [
    made_up("a", 2, 2, 2.5, low=1.5, high=2.0, seconds=3.0),
    made_up("b", 4, 5, 3.6, low=4.5, high=5.5, doubts=1, seconds=10.0),
    made_up("c", 10, 8, None),
    made_up("d", 5, 5, float("nan"), low=4.0, high=6.0, doubts=1, seconds=2.0),
]


def test_scores_by_hand():
    ours = truth_tables.score(ROWS, "mdvae")
    assert (ours["n"], ours["mae"], ours["mae_rounded"]) == (4, 0.75, 0.75)
    assert ours["mre"] == pytest.approx((0 + 0.25 + 0.2 + 0) / 4)
    assert ours["exact"] == (2, fraction_interval(2, 4))
    assert ours["covered"] == (2, fraction_interval(2, 3))  # an end counts; c gives none
    assert ours["doubted_wrong"] == (1, fraction_interval(1, 2))
    assert ours["doubted_right"] == (1, fraction_interval(1, 2))
    assert (ours["seconds_median"], ours["seconds_most"]) == (2.5, 10.0)
    theirs = truth_tables.score(ROWS, "TwoNN")
    assert theirs["n"] == 2
    assert theirs["mae"] == pytest.approx((0.5 + 0.4) / 2)
    assert theirs["mre"] == pytest.approx((0.25 + 0.1) / 2)
    assert theirs["mae_rounded"] == 0.5  # 2.5 becomes 3, 3.6 becomes 4
    assert theirs["mre_rounded"] == 0.25
    assert theirs["exact"] == (1, fraction_interval(1, 2))
    assert "covered" not in theirs
    # Wilson's interval of one of two: (1/2 + z^2/4 ± z sqrt(1/8 + z^2/16)) / (1 + z^2/2) / ...
    z = 1.959964
    middle, half = 0.5, z / (1 + z**2 / 2) * math.sqrt(0.25 / 2 + z**2 / 16)
    assert theirs["exact"].fraction[2:4] == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_scores_of_nothing():
    nothing = truth_tables.score([made_up("a", 2, 2)], "TwoNN")
    assert nothing["n"] == 0
    assert math.isnan(nothing["mae"])
    line = {"family": "f", "estimator": "TwoNN", **nothing}
    assert truth_tables.score_table([line]).split("\n")[2].count("–") == 5


def test_rounding_is_upwards():
    assert [truth_tables.rounded(value) for value in (0.5, 1.5, 2.5, 2.49)] == [1, 2, 3, 2]
    assert math.isinf(truth_tables.rounded(math.inf))


def test_summary_has_families_and_cases():
    summary = truth_tables.summarise([*ROWS, made_up("u", 5, 5, 5.0, family="unions")])
    keys = [(row["family"], row["case"], row["estimator"]) for row in summary]
    assert keys[:4] == [(f, "", e) for f in ("smooth", "unions") for e in ("mdvae", "TwoNN")]
    assert len(keys) == len(set(keys)) == 2 * (2 + 5)
    assert summary[2]["exact"].hits == 1


def test_tables():
    more = made_up("b", 4, 4, 3.8, draw=1, low=3.5, high=4.5)
    lines = truth_tables.case_table([*ROWS, more]).splitlines()
    cells = [[part.strip() for part in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["case", "n", "truth", "found", "interval", "right", "in doubt", "TwoNN"]
    assert cells[3] == ["b", "100", "4", "5?, 4", "4.5-5.5, 3.5-4.5", "1 of 2", "1 of 2", "3.70"]
    assert cells[4] == ["c", "100", "10", "8", "–", "0 of 1", "0 of 1", "–"]
    text = truth_tables.make_report([*ROWS, more, made_up("e", 1, 1, draw=5000)])
    assert "Draws: 0-1, 5000 (reporting)" in text
    assert "scikit-dimension" not in text
    assert "150 (searching)" in truth_tables.make_report([made_up("a", 2, 2, draw=150)])


class Fake:
    """An estimator that answers the number of columns less one, and counts its calls."""

    def __init__(self, most=10**9, estimates=None):
        self.calls, self.most = [], most
        self.estimates = {"TwoNN": 1.25, "MLE": float("nan")} if estimates is None else estimates

    def __call__(self, x, seed, workdir):
        if len(self.calls) == self.most:
            raise KeyboardInterrupt
        self.calls.append((workdir.name, seed, x.shape))
        found = x.shape[1] - 1
        words = "found,\nas a test\tdoes"
        return Found(found, found - 0.5, math.nan, words, found > 3, self.estimates, 1 / 3)


def plan_of(workdir, names=("sphere2", "torus3_small"), draws=(5000, 5001), effort="quick"):
    return Plan([CASES[name] for name in names], 120, draws, effort, workdir)


def test_rows_and_calls(tmp_path, capsys):
    fake = Fake()
    rows = run_cases(plan_of(tmp_path / "new"), fake)
    assert fake.calls == [
        ("sphere2-n120-draw5000-quick", 5000, (120, 3)),
        ("torus3_small-n500-draw5000-quick", 5000, (500, 6)),
        ("sphere2-n120-draw5001-quick", 5001, (120, 3)),
        ("torus3_small-n500-draw5001-quick", 5001, (500, 6)),
    ]
    expected = {"case": "torus3_small", "family": "small", "n": 500, "draw": 5000, "truth": 3}
    expected |= {"effort": "quick", "dimension": 5, "low": 4.5, "high": None, "doubts": 1}
    expected |= {"verdict": "found, as a test does", "estimate_TwoNN": 1.25, "estimate_MLE": None}
    assert {name: rows[1][name] for name in expected} == expected
    assert rows[1]["seconds"] == pytest.approx(1 / 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("truth: 2/4 torus3_small, draw 5000: 5 of 3, in doubt, 0 s; ")
    assert lines[-1].endswith("; 0 s left")


@pytest.mark.parametrize("torn", [False, True])
def test_resumes_after_a_kill(tmp_path, torn, capsys):
    whole = run_cases(plan_of(tmp_path / "whole"), Fake())
    plan = plan_of(tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        run_cases(plan, Fake(most=3))
    file = plan.workdir / truth.RESULTS
    if torn:
        text = file.read_text()
        file.write_text(text[: -len("ound, as a test does,1,0.333333333,1.25,\n")])
    capsys.readouterr()
    fake = Fake()
    assert run_cases(plan, fake) == whole
    assert len(fake.calls) == (2 if torn else 1)
    assert f"truth: {4 - len(fake.calls)} of 4 data sets are in {file}" in capsys.readouterr().out
    assert file.read_text() == (tmp_path / "whole" / truth.RESULTS).read_text()
    again = Fake()
    assert run_cases(plan, again) == whole
    assert again.calls == []


def test_a_torn_header_is_no_table(tmp_path):
    file = tmp_path / truth.RESULTS
    file.write_text("case,fam")
    assert len(run_cases(plan_of(tmp_path), Fake())) == 4
    assert file.read_text().startswith("case,family,")


def test_other_efforts_and_estimators_keep_their_rows(tmp_path):
    first = run_cases(plan_of(tmp_path, draws=(0,)), Fake())
    fake = Fake(estimates={"new": 2.0})
    (row,) = run_cases(plan_of(tmp_path, names=("sphere2",), draws=(0,), effort="normal"), fake)
    assert len(fake.calls) == 1
    assert (row["estimate_new"], row["estimate_TwoNN"]) == (2.0, None)
    with open(tmp_path / truth.RESULTS, newline="") as file:
        assert [each["effort"] for each in csv.DictReader(file)] == ["quick", "quick", "normal"]
    again = run_cases(plan_of(tmp_path, draws=(0,)), Fake(most=0))
    assert again == [{**each, "estimate_new": None} for each in first]


def test_outputs(tmp_path, capsys):
    names = ("M7_Roll", "sphere2", "plane2_sphere5")
    run_truth(plan_of(tmp_path, names), Fake())
    out = capsys.readouterr().out
    report = (tmp_path / truth.REPORT).read_text()
    assert report in out
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    assert titles == ["## By case", "## The manifolds of scikit-dimension", "## The other families"]
    assert "2 of 2 (34-100 %)" in report
    with open(tmp_path / truth.SUMMARY, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (3 + 3)
    (roll,) = (row for row in rows if row["case"] == "M7_Roll" and row["estimator"] == "mdvae")
    assert (roll["exact"], roll["exact_of"], roll["covered_of"]) == ("2", "2", "0")
    assert float(roll["exact_low"]) == pytest.approx(fraction_interval(2, 2).low)
    assert (tmp_path / truth.FIGURE).read_bytes().startswith(b"\x89PNG")


def test_figure_of_one_draw_and_of_odd_values(tmp_path):
    file = tmp_path / "odd.png"
    odd = made_up("b", 3, 3, math.inf, estimate_MLE=None, low=2.5)
    truth_figure.draw_truth([ROWS[0], odd], file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    file = tmp_path / truth.RESULTS
    file.write_text("x,y\n1,2\n")
    with pytest.raises(ConfigError, match="is not a table of this benchmark; give another folder"):
        run_cases(plan_of(tmp_path), Fake())
    assert file.read_text() == "x,y\n1,2\n"
    with pytest.raises(ConfigError, match=r"cannot be written \(.*\); give a folder that can"):
        run_cases(plan_of(file), Fake())


def test_without_scikit_dimension(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skdim.datasets", None)
    with pytest.raises(ConfigError) as caught:
        run_cases(plan_of(tmp_path, ("M7_Roll",)), Fake())
    assert str(caught.value) == (
        "--cases: M7_Roll needs scikit-dimension and pandas; pip install '.[baselines]'"
    )
    assert len(run_cases(plan_of(tmp_path, ("sphere2",)), Fake())) == 2


def test_command_runs_the_estimator(tmp_path, monkeypatch, capsys):
    asked = []

    def estimate(x, *, effort, seed, workdir):
        asked.append((x.shape, effort, seed))
        others = [SimpleNamespace(name="TwoNN", value=2.1, low=2.0, high=2.2)]
        return SimpleNamespace(
            dimension=2,
            low=1.8,
            high=2.2,
            verdict="two",
            warnings=[],
            estimates=others,
            seconds=0.5,
            confident=False,
        )

    monkeypatch.setitem(sys.modules, "mdvae.estimate", SimpleNamespace(estimate=estimate))
    argv = ["bench", "--truth", "--cases=sphere2,revolution2", "--n=100", "--draws=1"]
    argv += ["--first_draw=4", "--effort=thorough", f"--workdir={tmp_path}"]
    assert bench.main(argv) == 0
    assert asked == [((100, 3), "thorough", 4)] * 2
    out = capsys.readouterr().out
    assert "2?" in out
    assert "4 (reporting)" in out


def test_a_stopped_command_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    """Ctrl-C amid the second data set: its own folder is gone on with, the first is left alone."""
    asked, stops = [], [2]

    def estimate(x, *, effort, seed, workdir):
        asked.append(workdir)
        if len(asked) in stops:
            raise KeyboardInterrupt
        return SimpleNamespace(
            dimension=2, low=2.0, high=2.0, verdict="two", estimates=[], seconds=0.5, confident=True
        )

    monkeypatch.setitem(sys.modules, "mdvae.estimate", SimpleNamespace(estimate=estimate))
    argv = ["bench", "--truth", "--cases=sphere2", "--n=100", "--draws=3", f"--workdir={tmp_path}"]
    assert bench.main(argv) == cli.INTERRUPTED
    assert "stopped; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / truth.REPORT).exists()
    assert bench.main(argv) == 0
    assert [path.name.split("-")[2] for path in asked] == [
        *("draw5000", "draw5001", "draw5001", "draw5002")
    ]
    assert asked[1] == asked[2]
    assert "truth: 1 of 3 data sets are in" in capsys.readouterr().out


def test_flags_and_what_they_are_by_default():
    assert bench.parse(["bench"]).truth is None
    plan = bench.parse(["bench", "--truth"]).truth
    assert [case.name for case in plan.cases] == list(truth_data.SKDIM_DIMENSIONS)
    assert (plan.n, list(plan.draws), plan.effort) == (5000, [5000, 5001], "quick")
    assert str(plan.workdir) == "runs/truth"
    everything = bench.parse(["bench", "--truth", "--cases=all"]).truth
    assert len(everything.cases) == len(CASES) == 37
    some = bench.parse(["bench", "--truth", "--cases=unions,sphere2"]).truth
    assert [case.name for case in some.cases] == ["sphere2", "plane2_sphere5", "circle1_torus3"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--draws=0", "--draws: 0 is not usable; it must be 1 or more"),
        ("--n=99", "--n: 99 is not usable; it must be 100 or more"),
        (
            "--first_draw=-1",
            "--first_draw: -1 is not usable; it must be 0 or more, and all draws below 2^32",
        ),
        (
            "--effort=more",
            "--effort: 'more' is not usable; it must be one of quick, normal, thorough",
        ),
        ("--workdir=", "--workdir: '' is not usable; it must be a folder"),
        ("--n=some", "--n: 'some' is not usable; it must be a whole number"),
        ("--json=x.json", "--json: has no effect with --truth; leave it out"),
        ("--images", "--images: has no effect with --truth; leave it out"),
    ],
)
def test_flags_that_cannot_be_used(flags, message):
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", "--truth", flags])
    assert str(caught.value) == message


def test_cases_that_there_are_not():
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", "--truth", "--cases=sphere2,M10d_Cubic"])
    message = str(caught.value)
    assert message.startswith(
        "--cases: 'M10d_Cubic' is not usable; it must be all, one of the families noise, raised,"
    )
    assert "\n" not in message


@pytest.mark.parametrize("flag", ["--draws=3", "--effort=quick"])
def test_flags_of_truth_alone(flag):
    name = flag.split("=")[0]
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", flag])
    assert str(caught.value) == f"{name}: has no effect without --truth; leave it out"
