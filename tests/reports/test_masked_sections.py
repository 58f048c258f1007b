"""Reports on sweeps of several methods and kappas: AD against kappa, masks, what generates best."""

from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from runs import CONFIGS, run_report, run_sweep

import mdvae
from mdvae.analysis.generation import MODEL
from mdvae.analysis.measuring import GENERATED
from mdvae.cli import load_config
from mdvae.reports.base import View
from mdvae.reports.sections import generators, masks, saturation
from mdvae.settings.config import default_stage, resolve
from mdvae.settings.grid import make_cells
from mdvae.stages.measures import TWO
from mdvae.stages.plan import stage_config
from mdvae.store import rundir

MASKED = {"method": "lmgae", "optimiser": "rmsprop", "critic_steps": 2, "critic_hidden": (4,)}
KAPPAS = (2, 4, 6)
ROOT = Path(__file__).parents[2]
PUBLISHED = {
    "critic_hidden": (1024,) * 4,
    "hidden": (1024,) * 4,
    "critic_steps": 5,
    "gradient_penalty": 10.0,
    "penalised": "masked",
    "variance_penalty": 100.0,
    "variance_weight": "exp_square",
    "variance_decay": 10.0,
    "mask_recon": 1000.0,
    "polarise": 2.0,
    "polarise_power": 1.0,
    "polarise_every": 0.0,
    "polarise_cap": 2048.0,
    "theta_min": 0.0,
    "theta_max": 5.0,
    "mask_rate": 1.0,
    "mask_after": 0.0,
    "rate_decay": True,
    "learning_rate": 5e-4,
    "critic_rate": 0.2,
    "schedule": "constant",
    "initial": "glorot",
    "heads": "point",
    "encoder_input": "raw",
}


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
            told |= {"measured_with": "300 samples"}
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


def table_of(path):
    """The lines of the table of systems in a report."""
    lines = (path / "report.md").read_text().splitlines()
    head = [line.lstrip("| ").startswith("system") for line in lines].index(True)
    rows = [[field.strip() for field in line.split("|")[1:-1]] for line in lines[head:]]
    return rows[0], rows[2 : rows.index([])]


def test_second_stages_stand_beside_models_that_were_measured_alike(tmp_path):
    path, config = tmp_path / "w", tiny_dict({"kappa": (2, 4), "d": (9,), "r": (2,)}, seeds=1)
    config.analysis.compare = True
    config.stages.second = default_stage()
    config.stages.second.batch_size = 50
    config = resolve(config)
    invented_run(config, path)
    compared(path, {"vae": 10.0})
    view = View(mdvae.load_run(path))
    assert not generators.SECTION.applies(view)
    assert generators._sentences(view) == [
        "What stage second generates was not measured when this was written."
    ]
    second = invented_run(stage_config(config, "second", path), path / "second")
    rows = [
        {"cell": cell.name, "seed": 0, "source": TWO, "measure": "FCD", "n": 300, "value": 3.0}
        for cell in mdvae.load_run(second).cells
    ]
    alike = {"low": 2.5, "high": 3.5, "measured_with": "300 samples"}
    rundir.write_csv(second / GENERATED, [row | alike for row in rows])
    assert run_report(path) == 0
    titles, lines = table_of(path)
    assert titles == ["system", "measure", "κ = 2", "κ = 4"]
    assert lines == [
        ["vae", "FCD (no FID)", "12.0 (± 0.50)", "14.0 (± 0.50)"],
        ["vae with stage second", "FCD (no FID)", "3.00 (± 0.50)", "3.00 (± 0.50)"],
    ]
    other = alike | {"measured_with": "900 samples"}
    rundir.write_csv(second / GENERATED, [row | other for row in rows])
    view = View(mdvae.load_run(path))
    assert not generators.SECTION.applies(view)
    assert generators._sentences(view) == [
        "Stage second is not beside the others: it was measured with 900 samples, and they with"
        " 300 samples."
    ]


@pytest.mark.long
def test_the_report_of_a_first_sweep_is_written_once_more_after_its_stages(tmp_path):
    flags = ("--config.analysis.compare=True", "--config.analysis.generated=300")
    assert run_sweep(str(CONFIGS / "staged.py"), tmp_path / "w", *flags) == 0
    _, lines = table_of(tmp_path / "w")
    assert {line[0] for line in lines} == {"vae", "vae with stage second"}
    assert "was not measured when this was written" not in (tmp_path / "w/report.md").read_text()


def test_the_published_recipe_is_that_of_the_code():
    """Of cells of both configs, all that decides how they are trained."""
    for name in ("lmgae_mnist", "lmgae_synthetic"):
        config = load_config(str(ROOT / "configs" / f"{name}.py"))
        config.protocol = "authors"
        for cell in make_cells(resolve(config)):
            if cell.method.kind != "lmgae":
                continue
            found = {field: cell.value(field) for field in PUBLISHED}
            assert found == PUBLISHED
            assert cell.batch_size == 504


def test_vaes_beside_critics_have_a_schedule_of_their_own():
    config = load_config(str(ROOT / "configs" / "lmgae_mnist.py"))
    vaes = [cell for cell in make_cells(resolve(config)) if cell.method.kind == "vae"]
    assert {cell.optimiser.schedule for cell in vaes} == {"one_cycle"}
    assert {cell.optimiser.kind for cell in vaes} == {"adam"}
