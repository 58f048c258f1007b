"""Stages of a sweep: their configs, their data, what they generate, and that they go on."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import tiny_dict
from invented import invented_run
from ml_collections import ConfigDict
from runs import CONFIGS, copy_of, finished_run, killed_at_checkpoint, run_report, run_sweep

from mdvae import cli, sweep
from mdvae.analysis import measuring
from mdvae.analysis.distances import energy_distance, mmd
from mdvae.analysis.frechet import frechet_interval
from mdvae.analysis.measuring import GENERATED, TRUTH
from mdvae.cli import load_config
from mdvae.data.keys import purpose_key
from mdvae.networks.features import FID, Extractor
from mdvae.settings.config import default_config, from_json, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import DATA
from mdvae.stages import measures
from mdvae.stages.latents import Latents, first_of, hash_of, latents_of
from mdvae.stages.pipeline import load_stages
from mdvae.stages.plan import stage_config, stages_of
from mdvae.store.posteriors import draw_latents
from mdvae.store.rundir import read_csv, read_manifest, write_manifest
from mdvae.store.samples import batch_of

STAGED = str(CONFIGS / "staged.py")
CELLS = ["kappa3-cell=kappa3-d6-r2", "kappa4-cell=kappa4-d6-r2"]


@pytest.fixture(scope="module")
def path():
    return finished_run(STAGED)[0]


@pytest.fixture(scope="module")
def stages(path):
    return load_stages(path / "second")


def test_a_stage_has_the_seeds_cells_and_widths_of_the_first(stages):
    assert [cell.name for cell in stages.second.cells] == CELLS
    assert stages.second.seeds == stages.first.seeds == (0, 1)
    for cell in stages.second.cells:
        assert cell.sizes.d == cell.sizes.kappa == stages.first.cell(cell.data.cell).sizes.kappa


def test_samples_are_posteriors_of_the_first(stages):
    """Means and deviations of training samples by the trained encoder; their draws by a key."""
    cell, seed = stages.second.cell(CELLS[1]), 1
    x = stages.first.samples("kappa4-d6-r2", seed, 300, "train")
    mean, logvar = stages.first.encode("kappa4-d6-r2", seed, x)
    found = latents_of(stages.first, "kappa4-d6-r2", seed, 300, "train")
    np.testing.assert_allclose(found[0], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], np.exp(logvar / 2), rtol=1e-5)
    held_out = stages.second.samples(cell, seed, 400)
    mean, sd = stages.latents(cell.name, seed, 400)
    key = jax.random.fold_in(purpose_key(seed, "latents"), 0)
    wanted = mean + sd * np.asarray(jax.random.normal(key, mean.shape))
    np.testing.assert_allclose(held_out, wanted, rtol=1e-5, atol=1e-6)
    assert not np.allclose(draw_latents(mean, sd, seed, 1), wanted, atol=0.1)


def test_what_two_stages_generate_goes_through_both_decoders(stages):
    pair = stages.pair(CELLS[0], 0)
    z = stages.second.generate(CELLS[0], 0, 50, noise=True, draw=3)
    x = pair.generate(50, draw=3)
    np.testing.assert_allclose(x, stages.first.decode("kappa3-d6-r2", 0, z), rtol=1e-6)
    assert not np.allclose(x, pair.generate(50, draw=3, noise=False))
    first = stages.first.generate("kappa3-d6-r2", 0, 50)
    np.testing.assert_array_equal(pair.generate_first(50), first)
    mean, _ = stages.first.encode("kappa3-d6-r2", 0, x)
    through = pair.reconstruct(x, sampled=False)
    np.testing.assert_allclose(through, stages.first.decode("kappa3-d6-r2", 0, mean), rtol=1e-6)


def test_every_source_of_every_run_is_measured(path, stages):
    rows = read_csv(path / "second" / GENERATED)
    found = {(row["cell"], row["seed"], row["source"], row["measure"]) for row in rows}
    wanted = {
        (cell, seed, source, measure)
        for cell in CELLS
        for seed in (0, 1)
        for source in measures.SOURCES
        for measure in ("energy distance", "MMD", "Fréchet distance")
    }
    assert found == wanted
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] == 300 for row in rows)
    # Models of 60 steps are far from the data, and the data are not.
    energy = {r["source"]: r["value"] for r in rows if r["measure"] == "energy distance"}
    assert energy[measures.ONE] > 10 * abs(energy[TRUTH])
    spectra = read_csv(path / "second" / measures.SINGULAR)
    normal = [r["value"] for r in spectra if r["source"] == measures.NORMAL]
    assert len(normal) == 2 * (3 + 4)
    assert max(abs(np.log(normal))) < 0.3


def test_distances_are_those_of_the_sources(path, stages):
    """Each with a generator of its own, whose draws decide the interval."""
    reference, samples = measures.sources_of(stages, CELLS[1], 1, 300)
    own = iter(np.random.default_rng(1).spawn(12))
    wanted = {
        (source, name): distance(reference, x, measuring.DRAWS, next(own))
        for name, distance in (
            ("energy distance", energy_distance),
            ("MMD", mmd),
            ("Fréchet distance", frechet_interval),
        )
        for source, x in samples.items()
    }
    rows = [
        row
        for row in read_csv(path / "second" / GENERATED)
        if (row["cell"], row["seed"]) == (CELLS[1], 1)
    ]
    assert len(rows) == len(wanted) == 12
    for row in rows:
        found = wanted[row["source"], row["measure"]]
        assert (row["value"], row["low"], row["high"]) == pytest.approx(tuple(found), rel=1e-4)


def test_a_measured_run_is_not_measured_again(path, stages, tmp_path, monkeypatch, capsys):
    shutil.copytree(path, tmp_path / "run")
    second = tmp_path / "run" / "second"
    before = (second / GENERATED).read_bytes()
    measures.measure(second)
    assert "measuring" not in capsys.readouterr().out
    lines = before.decode().splitlines(keepends=True)
    (second / GENERATED).write_text("".join(lines[:25]))  # the header and two runs
    measures.measure(second)
    assert "1 of 2" in capsys.readouterr().out
    assert (second / GENERATED).read_bytes() == before


@pytest.mark.long
def test_a_report_with_other_samples_measures_again(path, tmp_path, capsys):
    shutil.copytree(path, tmp_path / "run")
    second = tmp_path / "run" / "second"
    results = (second / "results.csv").read_bytes()
    assert run_report(second, "--generated=200") == 0
    assert {row["n"] for row in read_csv(second / GENERATED)} == {200}
    assert (second / "results.csv").read_bytes() == results
    assert load_stages(second).second.config.analysis.generated == 200
    with pytest.raises(
        ConfigError, match=r"--generated: has no effect on .*, which is no second stage and whose"
    ):
        run_report(tmp_path / "run", "--generated=200")
    with pytest.raises(ConfigError, match=r"--compare: has no effect on .*, a second stage, whose"):
        run_report(second, "--compare=True")


def test_moved_together_stages_are_found(path, tmp_path):
    shutil.copytree(path, tmp_path / "moved")
    config = tmp_path / "moved" / "second" / "config.json"
    values = json.loads(config.read_text())
    values["data"]["first"] = str(tmp_path / "gone")
    config.write_text(json.dumps(values))
    assert load_stages(tmp_path / "moved" / "second").first.path == tmp_path / "moved"
    values["data"]["first_config"] = "0"
    config.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"data\.first: .*gone is not there any more, or was"):
        load_stages(tmp_path / "moved" / "second")


@pytest.mark.long
def test_a_stage_killed_and_resumed_is_undisturbed(path, tmp_path):
    """Killed in its second checkpoint, which comes after both of the first sweep."""
    with killed_at_checkpoint(4):
        run_sweep(STAGED, tmp_path / "broken")
    assert (tmp_path / "broken" / "results.csv").is_file()
    assert not (tmp_path / "broken" / "second" / "results.csv").is_file()
    assert run_sweep(STAGED, tmp_path / "broken") == 0
    for name in ("results.csv", "metrics.jsonl", GENERATED, measures.SINGULAR):
        broken, whole = (each / "second" / name for each in (tmp_path / "broken", path))
        assert broken.read_bytes() == whole.read_bytes(), name


def test_a_first_sweep_is_known_by_what_decides_its_numbers():
    config = resolve(load_config(STAGED))
    same, longer = resolve(changed(log_every=10)), resolve(changed(steps=61))
    assert hash_of(config) == hash_of(same) == hash_of(from_json(config.to_json()))
    assert hash_of(config) != hash_of(longer)


def changed(**changes):
    config = load_config(STAGED)
    for name, value in changes.items():
        place, *names = name.split("__")
        target = config.stages if place == "stages" else config
        for each in names[:-1] if place == "stages" else [place, *names][:-1]:
            target = target[each]
        target[names[-1] if names else place] = value
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages__second": 3}, r"stages\.second: 3 is not usable; it must map fields to values"),
        ({"stages__figures": {}}, r"stages: 'figures' is not usable as a name"),
        (
            {"stages__second__steps": 0},
            r"stages\.second\.steps: 0 is not usable; it must be a whole number",
        ),
        (
            {"stages__second__data__cell": "kappa9", "stages__second__networks__kappa": 3},
            r"stages\.second\.data\.cell: 'kappa9' is not a cell of .*; it must be one of kappa3",
        ),
        (
            {"stages__second__data__first_config": "0"},
            r"stages\.second\.data\.first_config: is found in the first sweep; leave it out",
        ),
        (
            {"stages__second__data__n_train": 2_000},
            r"stages\.second\.data\.n_train: 2000 is more than the first sweep has; .* 1000",
        ),
        (
            {"analysis__inception": "none.npz"},
            r"^analysis\.inception: none\.npz does not exist; give pt_inception-2015",
        ),
        (
            {"stages__second__analysis__inception": "none.npz"},
            r"^stages\.second\.analysis\.inception: none\.npz does not exist; give pt_inception",
        ),
        (
            {"stages__second__analysis__inception": STAGED},
            r"^stages\.second\.analysis\.inception: .*staged\.py has the SHA-256 .*; that of pt_i",
        ),
        (
            {"stages__second": {"stages": {"third": {}}}},
            r"stages\.second\.stages: a stage has none of its own; leave them out",
        ),
        ({"stages__second__seeds": 3}, r"stages\.second\.seeds: 3 from seed 0 on are not all in"),
        (
            {"stages__second__data__kind": "manifold"},
            r"stages\.second\.data\.kind: 'manifold' is not usable; it must be 'latents'",
        ),
        (
            {"stages__second__grid": {"kappa": (3,)}},
            r"stages\.second\.grid: says nothing of cells; give the axis cell as well",
        ),
        (
            {"method__model": "cvae", "data__t": 1},
            r"stages\.second\.data\.first: kappa3-d6-r2 is of a CVAE; a second stage needs",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr("mdvae.sweep.cli.load_config", lambda _: changed(**changes))
    with pytest.raises(ConfigError, match=message):
        run_sweep(STAGED, tmp_path / "run")
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_the_command_line_reaches_a_stage(tmp_path, capsys):
    flags = ("--config.stages.second.networks.hidden=(5,4)", "--config.stages.second.steps=20")
    assert run_sweep(STAGED, tmp_path / "run", "--dry_run", *flags) == 0
    assert "stage second, when that is trained: 2 cells x 2 seeds, 20 steps" in (
        capsys.readouterr().out
    )
    with pytest.raises(ConfigError, match=r"stages\.second\.stepz: no such field; did you mean"):
        run_sweep(STAGED, tmp_path / "run", "--config.stages.second.stepz=3")
    with pytest.raises(ConfigError, match=r"stages\.third: no such field; known: second"):
        run_sweep(STAGED, tmp_path / "run", "--config.stages.third.steps=3")


def test_cells_of_unlike_numbers_of_samples_keep_their_own():
    """As of data sets on one axis, which may differ in that."""
    found = {"cells": ("a", "b"), "kappas": (3, 4), "trained": (30, 40), "evaluated": (20, 25)}
    kind = DATA.find("latents")
    own = Latents(kind="latents", first=".", cell="b", first_config="0", **found)
    assert kind.samples(own) == (40, 25)
    assert kind.sizes(own, False).d == 4
    assert kind.samples(replace(own, cell="a", n_train=10)) == (10, 20)


@pytest.mark.long
def test_fewer_held_out_samples_are_compared_with_as_many_others(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(600, 6)))
    config = default_config(data="array")
    staged = changed(seeds=1)
    config.update({"steps": 10, "seeds": 1, "batch_size": 50})
    config.data.path = str(tmp_path / "x.npy")
    config.grid = ConfigDict({"kappa": (3,)})
    config.networks.hidden, config.networks.output = (4,), "linear"
    config.stages.second = staged.stages.second
    monkeypatch.setattr("mdvae.sweep.cli.load_config", lambda _: config)
    assert run_sweep(STAGED, tmp_path / "run") == 0
    stages = load_stages(tmp_path / "run" / "second")
    reference, samples = measures.sources_of(stages, stages.second.cells[0].name, 0, 10_000)
    assert [len(reference), *map(len, samples.values())] == [120] * 5


def test_an_axis_of_a_stage_multiplies_its_cells(path):
    config = load_config(STAGED)
    config.stages.second.grid.batch_size = (50, 60)
    found = stage_config(resolve(config), "second", path)
    assert [cell.name for cell in make_cells(found)] == [
        f"{name}-batch_size={size}" for name in CELLS for size in (50, 60)
    ]


def test_codes_that_are_made_normal_need_no_second_stage(tmp_path):
    """A stage is of the cells whose encoder has a variance, unless it names others."""
    both = {"kappa": (3, 4), "d": (6,), "r": (2,)}
    config = tiny_dict(
        {"critics": {**both, "method": ("lmgae", "wae")}, "vae": {**both, "method": ("vae",)}},
        method="lmgae",
        optimiser="rmsprop",
        batch_size=56,
    )
    config.stages = {"second": {"networks": {"hidden": (8,)}, "batch_size": 50}}
    path = tmp_path / "w"
    found = stage_config(resolve(config), "second", invented_run(resolve(config), path))
    assert {cell.data.cell for cell in make_cells(found)} == {
        "kappa3-d6-r2-method=vae",
        "kappa4-d6-r2-method=vae",
    }
    config.grid = {**both, "method": ("lmgae", "wae")}
    message = "^stages.second: the first sweep has no model whose encoder has a variance; leave the"
    with pytest.raises(ConfigError, match=message):
        stage_config(resolve(config), "second", path)


def test_an_unfinished_first_sweep_is_refused(tmp_path):
    copied = copy_of(STAGED, tmp_path / "run")
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    config = default_config(data="latents")
    config.data.first, config.data.cell = str(copied), "kappa3-d6-r2"
    config.networks.kappa = 3
    (cell,) = make_cells(resolve(config))
    with pytest.raises(ConfigError, match=r"data\.first: .* is not finished; train it first"):
        batch_of(cell, 0, 100, "train", None)


def test_a_folder_that_is_none_is_refused():
    config = default_config(data="latents")
    config.networks.kappa = 3
    with pytest.raises(ConfigError, match=r"data\.first: missing; give the run directory"):
        resolve(config)
    config.data.first = str(Path(__file__).parent)
    with pytest.raises(ConfigError, match="not a run directory"):
        resolve(config)


@pytest.mark.parametrize("field", ["first_config", "cells", "kappas", "trained", "evaluated"])
def test_what_is_found_is_not_to_be_set(path, field):
    config = default_config(data="latents")
    config.data.first, config.data.cell = str(path), "kappa3-d6-r2"
    config.networks.kappa = 3
    complete = resolve(config)
    config.data[field] = getattr(complete.data, field)
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    assert str(caught.value) == f"data.{field}: is found in the first sweep; leave it out"
    # As a run directory has it, with all that was found, it is taken.
    assert from_json(complete.to_json()) == complete


def test_weights_that_were_replaced_are_opened_again(tmp_path, monkeypatch):
    """By their time or by their size; otherwise they are kept open."""
    file, opened = tmp_path / "weights.npz", []

    def extractor(path, field):
        opened.append(Path(path).read_text())
        return Extractor(FID, 1, lambda images: np.zeros((len(images), 1), np.float32))

    monkeypatch.setattr(measuring, "inception_extractor", extractor)
    for text, changed in (("one", 5), ("one", 5), ("two", 6), ("three", 6), ("three", 6)):
        file.write_text(text)
        os.utime(file, ns=(0, changed))
        assert [each.name for each in measuring.extractors("none", str(file))] == [FID]
    assert opened == ["one", "two", "three"]


def test_a_first_sweep_that_was_written_anew_is_opened_again(tmp_path):
    first = copy_of(STAGED, tmp_path / "run")
    settings = load_stages(first / "second").second.config.data
    settings = replace(settings, first=str(first))
    run = first_of(settings)
    assert first_of(settings) is run
    manifest = read_manifest(first)
    write_manifest(first, {**manifest, "note": "another"})
    assert first_of(settings).manifest["note"] == "another"
    write_manifest(first, {**manifest, "status": "interrupted"})
    with pytest.raises(ConfigError, match=r"data\.first: .* is not finished; train it first"):
        first_of(settings)


@pytest.mark.parametrize("stage", ["", "stages.second."])
@pytest.mark.parametrize("dry_run", [[], ["--dry_run"]])
def test_no_weights_are_a_mistake_in_one_line(stage, dry_run, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "weights.npz"
    weights.write_text("no archive")
    field = f"{stage}analysis.inception"
    given = [f"--config={STAGED}", f"--config.{field}={weights}", f"--workdir={tmp_path / 'run'}"]
    monkeypatch.setattr("sys.argv", ["sweep", *given, *dry_run])
    with pytest.raises(SystemExit) as caught:
        cli.run_command(sweep.main)
    assert caught.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {field}: {weights} cannot be read (")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_finished_stage_may_have_lost_its_weights(path, tmp_path):
    """It was measured with them; what is there is reported."""
    config = resolve(changed(stages__second__analysis__inception="none.npz"))
    assert stages_of(config, path)["second"].analysis.inception == "none.npz"
    with pytest.raises(ConfigError, match=r"stages\.second\.analysis\.inception: none\.npz does"):
        stages_of(config, copy_without_manifest(path, tmp_path / "run"))


def copy_without_manifest(path, to):
    shutil.copytree(path, to)
    (to / "second" / "manifest.json").unlink()
    return to


def test_a_report_with_no_weights_leaves_the_settings(path, tmp_path):
    shutil.copytree(path, tmp_path / "run")
    second = tmp_path / "run" / "second"
    with pytest.raises(ConfigError, match=r"^--inception: none\.npz does not exist; give pt_inc"):
        run_report(second, "--inception=none.npz")
    assert load_stages(second).second.config.analysis.inception == ""
