"""Reports on sweeps of several methods and kappas: AD against kappa, masks, what generates best."""

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import run_report

import mdvae
from mdvae.analysis.generation import MODEL
from mdvae.analysis.measuring import GENERATED
from mdvae.reports.base import View
from mdvae.reports.sections import generators, masks, saturation
from mdvae.settings.config import resolve
from mdvae.store import rundir

MASKED = {"method": "lmgae", "optimiser": "rmsprop", "critic_steps": 2, "critic_hidden": (4,)}
KAPPAS = (2, 4, 6)


def invented(path, grid, **fields):
    """A finished directory; the models of kappas of 2 or more of r = 4 know it."""
    config = tiny_dict(grid, **{"heads": "point", "batch_size": 40, **MASKED, **fields})
    config.analysis.ad_threshold = 0.9
    config.analysis.compare = True
    config.analysis.published = "lmgae_fid"
    return invented_run(resolve(config), path)


def with_lines(path, ratios):
    """Metrics in which the ratios of latents were logged at three steps."""
    lines = [
        {"cell": "kappa4-d6-r3", "seed": seed, "step": step, "recon": 1.0, "eval_ratio": own}
        for seed in (0, 1)
        for step, own in zip((10, 20, 30), ratios, strict=True)
    ]
    rundir.append_metrics(path, lines)


def test_ad_is_counted_against_the_truth_where_kappa_varies(tmp_path):
    grid = {"kappa": KAPPAS, "d": (9,), "r": (4,)}
    path = invented(tmp_path / "w", grid, seeds=2)
    assert run_report(path, figures=True) == 0
    text = (path / "report.md").read_text()
    assert "d9-r4: for κ = 2, 4, 6 AD (0.9) 2.0 ± 0.0, 4.0 ± 0.0, 4.0 ± 0.0" in text
    assert (
        "d9-r4: AD (0.9) is within 1 of r = 4 in 4 of 4 (100 %, 95 % interval 51-100 %) of runs"
        " with κ ≥ r, r itself in 4; and all of κ in 2 of 2 runs with κ < r = 4.\n"
    ) in text
    assert "1 - mask, averaged over fresh samples" in text.replace("\n  ", " ").replace(")", "")
    assert (path / "figures" / "saturation.png").is_file()
    # Of two kappas nothing is drawn against them, and AD is against r.
    few = invented(tmp_path / "few", {"kappa": (4, 6), "d": (9,), "r": (4,)})
    assert not saturation.SECTION.applies(View(mdvae.load_run(few)))
    # A wae counts none.
    both = {"l": grid, "w": {**grid, "method": ("wae",)}}
    view = View(mdvae.load_run(invented(tmp_path / "both", both)))
    for row in view.run.results:
        if "wae" in row["cell"]:
            row["ad"] = row["ad_threshold"] = None
    assert [len(cells) for cells in saturation._families(view).values()] == [3]


def test_masks_are_shown_in_the_order_of_their_end(tmp_path):
    grid = {"kappa": (4,), "d": (6,), "r": (3,)}
    path = invented(tmp_path / "w", grid, seeds=2)
    view = View(mdvae.load_run(path))
    assert not masks.SECTION.applies(view)
    with_lines(path, [[0.5, 0.5, 0.5, 0.5], [0.2, 0.9, 0.4, 0.3], [0.1, 1.0, 0.95, 0.0]])
    view = View(mdvae.load_run(path))
    steps, found = masks.masks_of(view, view.run.cells[0])
    assert steps.tolist() == [10, 20, 30]
    np.testing.assert_allclose(found[:, -1], [1.0, 0.9, 0.05, 0.0], atol=1e-12)
    np.testing.assert_allclose(found[0], [0.5, 0.7, 1.0])
    assert run_report(path, figures=True) == 0
    assert (path / "figures" / "masks.png").is_file()
    assert (
        "![Masks of latents over training, first seed](figures/masks.png)"
        in (path / "report.md").read_text()
    )
    # The ratios of a VAE are no masks.
    vae = tiny_dict(grid, seeds=2)
    other = invented_run(resolve(vae), tmp_path / "vae")
    with_lines(other, [[0.5, 0.5, 0.5, 0.5]] * 3)
    assert not masks.SECTION.applies(View(mdvae.load_run(other)))


def compared(path, values):
    """Distances of models of each method: of seed 1 a unit more, intervals of 0.5."""
    run, rows = mdvae.load_run(path), []
    for cell in run.cells:
        for seed in run.seeds:
            value = values[cell.method.kind] + cell.sizes.kappa + seed
            told = {"cell": cell.name, "seed": seed, "source": MODEL, "measure": "FCD", "n": 300}
            rows.append({**told, "value": value, "low": value - 0.5, "high": value + 0.5})
    rundir.write_csv(path / GENERATED, rows)


def test_methods_stand_side_by_side_at_each_kappa(tmp_path):
    grid = {
        "l": {"kappa": (2, 4), "d": (9,), "r": (2,)},
        "w": {"kappa": (4,), "d": (9,), "r": (2,), "method": ("wae",)},
    }
    path = invented(tmp_path / "w", grid, seeds=2)
    compared(path, {"lmgae": 10.0, "wae": 20.0})
    assert run_report(path) == 0
    text = (path / "report.md").read_text()
    starts = [line.lstrip("| ").startswith("system") for line in text.splitlines()]
    head = starts.index(True)
    lines = [
        [field.strip() for field in line.split("|")[1:-1]]
        for line in text.splitlines()[head : head + 4]
    ]
    assert lines[0] == ["system", "measure", "κ = 2", "κ = 4"]
    assert lines[2] == ["lmgae", "FCD (no FID)", "12.5 ± 6.4 (± 0.50)", "14.5 ± 6.4 (± 0.50)"]
    assert lines[3] == ["wae", "FCD (no FID)", "–", "24.5 ± 6.4 (± 0.50)"]
    # Of one method nothing stands side by side.
    alone = invented(tmp_path / "alone", {"kappa": (2, 4), "d": (9,), "r": (2, 4)})
    compared(alone, {"lmgae": 10.0})
    assert not generators.SECTION.applies(View(mdvae.load_run(alone)))


@pytest.mark.parametrize(
    ("method", "stage", "dataset", "expected"),
    [
        ("lmgae", "", "mnist", "10.5"),
        ("wae", "", "fashion_mnist", "31.5"),
        ("vae", "second", "mnist", "12.6"),
        ("lmgae", "second", "mnist", ""),
        ("lmgae", "", "mnist_sample", ""),
    ],
)
def test_a_published_distance_is_that_of_its_system(tmp_path, method, stage, dataset, expected):
    path = invented(tmp_path / "w", {"kappa": (2,), "d": (9,), "r": (2,)})
    view = View(mdvae.load_run(path))
    system = generators.System((), stage, method, dataset, {})
    assert generators._published(view, system) == expected
