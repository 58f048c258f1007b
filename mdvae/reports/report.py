"""Writes the report of a run directory from its files alone; and its results, counted again."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mdvae.analysis import theory
from mdvae.analysis.dims import PRIOR_LEVEL
from mdvae.analysis.results import save_results
from mdvae.data.base import EPOCH
from mdvae.engine import processes
from mdvae.engine.ensemble import Device
from mdvae.engine.jobs import make_jobs
from mdvae.engine.runner import evaluate_again
from mdvae.methods.vae import ADAM, CLOSED, OWN_RATE
from mdvae.reports.base import Picture, Section, View, all_sections
from mdvae.reports.generated import CODES_SUMMARY, GENERATED_SUMMARY
from mdvae.reports.plotting import STYLE
from mdvae.reports.tables import Table, latex_table, markdown_table
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import FOUND, fields_of
from mdvae.settings.grid import Cell, format_axis
from mdvae.settings.registry import DATA
from mdvae.store import opening, rundir
from mdvae.store.loading import LoadedRun, load_run
from mdvae.store.slices import DONE

RATES, PART_SUMMARY = "rates.csv", "part_summary.csv"

NOTES = """- Units: nats inside mdvae; columns marked "paper units" are twice that, as CVAE-dims
  prints them. Recon is ||x - x_hat||^2, not halved.
- AD ({threshold}): latents whose ratio ({ratio}), averaged over fresh samples, is below
  {threshold}. AD (gap): latents below the largest gap of the sorted log odds
  log(ratio / (1 - ratio)), ratios capped at {prior:g}, the level of latents left alone, which is
  the top as well; gaps of less than {gap:g} nats do not count, and with all latents at the cap AD
  is 0.
- ± is half of the 95 % interval of the mean over seeds (Student's t); it needs two seeds. After
  a mean "(2 of 5)" says that the other runs diverged or have no such value, and are not in it."""
SLOPE_NOTE = """- r̂ (loss slope): d minus the slope of 2 nelbo in log γ. Over a ladder of held
  levels Theorems 1 and 2 say that it tends to r, or r - t of a CVAE, and so does Recon/γ. Where γ
  is learned it is read off the settled end of training, a heuristic of one value a run: there the
  loss falls because the network improves. It uses no threshold."""
GAMMA_NOTES = {
    ADAM: "learned as a parameter like others",
    OWN_RATE: "learned as a parameter with a rate of its own",
    CLOSED: """the least of the loss of each batch, mean ||x - x_hat||^2 / d; a model is
  evaluated with a running mean of its log""",
}
FULL_NOTE = "- \\* r = d: there is no manifold of lower dimension, Theorem 1 does not apply."


def _way_of_gamma(cell: Cell) -> str | None:
    """How gamma is learned; None where there is none."""
    if cell.value("likelihood") == "gaussian":
        return CLOSED
    return cell.value("gamma")


def _told(value: Any) -> str:
    return format_axis(value) if value != () else "()"


def _epochs(cells: Sequence[Cell], steps: int) -> str:
    """How often each training sample is seen, where batches go through all before any again."""
    found = set()
    for cell in cells:
        kind = DATA.find(cell.data.kind)
        if kind.order_of(cell.data) != EPOCH:
            return ""
        found.add(steps / (kind.samples(cell.data)[0] // cell.batch_size))
    if len(found) != 1:
        return ""
    (epochs,) = found
    return f" ({epochs:.4g} epoch{'' if epochs == 1 else 's'})"


def _recipe(config: SweepConfig, cells: Sequence[Cell]) -> str:
    """How the runs were trained: kinds, their settings that are not zero or off, what varies."""
    varied: dict[str, list[Any]] = {}
    for grid in config.grids.values():
        for axis, values in grid.items():
            varied.setdefault(axis, []).extend(values)
    texts = [f"{config.steps:,} steps"]
    if "batch_size" not in varied:
        texts[0] += f" of {config.batch_size:,} samples"
    texts[0] += _epochs(cells, config.steps)
    for section in ("data", "method", "networks", "optimiser"):
        own = getattr(config, section)
        changed = [
            f"{name} {_told(getattr(own, name))}"
            for name, field in fields_of(own).items()
            if name not in varied
            and field.role != FOUND
            and (getattr(own, name) or getattr(own, name) != field.default)
            and getattr(own, name) is not None
        ]
        words = f" ({', '.join(changed)})" if changed else ""
        texts.append(f"{section}{words}" if section in varied else f"{section} `{own.kind}`{words}")
    axes = [
        f"{axis} is {', '.join(format_axis(v) for v in dict.fromkeys(values))}"
        for axis, values in varied.items()
    ]
    last = config.seed + config.seeds - 1
    scale = f", scale `{config.scale}`" if config.scale else ""
    return (
        f"Protocol `{config.protocol}`{scale}: {'; '.join(texts)}; {len(cells)} cells, seeds"
        f" {config.seed} to {last}. Varied: {'; '.join(axes) or 'nothing'}."
    )


def _machine(run: LoadedRun) -> str:
    manifest = run.manifest
    seconds = sum(each["seconds"] for each in manifest.get("slices", []))
    return (
        f"{manifest.get('n_devices', '?')} x {manifest.get('device', '?')},"
        f" jax {manifest.get('versions', {}).get('jax', '?')};"
        f" training took {seconds:,.0f} s in {len(manifest.get('slices', []))} slice(s)."
    )


def _notes(view: View) -> str:
    """How columns are to be read, of those that there are."""
    if not view.has_counts:
        return ""
    analysis = view.run.config.analysis
    told = {"threshold": view.threshold, "gap": analysis.ad_min_gap, "prior": PRIOR_LEVEL}
    notes = [NOTES.format(ratio=view.ratio, **told)]
    if any(row.get("r_hat_slope") is not None for row in view.run.results):
        notes.append(SLOPE_NOTE)
    learned = [cell for cell in view.run.cells if cell.value("log_gamma") is None]
    ways = dict.fromkeys(_way_of_gamma(cell) for cell in learned)
    learning = [GAMMA_NOTES[way] for way in ways if way in GAMMA_NOTES]
    if learning:
        notes.append(f"- γ: {'; or '.join(learning)}.")
    if any(theory.fills_space(cell) for cell in view.run.cells):
        notes.append(FULL_NOTE)
    return "\n".join(notes)


def _table_text(table: Table) -> str:
    text = markdown_table(table.columns, table.rows)
    return f"{table.caption}\n\n{text}" if table.caption and not table.printed else text


def _draw(sections: Sequence[Section], view: View, folder: Path) -> list[Picture]:
    opening.make_folder(folder, folder.parent)
    with mpl.rc_context(STYLE):
        pictures = [picture for section in sections for picture in section.pictures(view)]
        for picture in pictures:
            _save(picture.figure, folder / picture.file)
    return pictures


def _save(figure: Figure, file: Path) -> None:
    with opening.replacing(file) as opened:
        figure.savefig(opened, format=file.suffix[1:])


def write_report(path: Path, cell: str | None = None) -> None:
    """Writes summaries, report and figures of a run directory, and prints the tables.

    Args:
        cell: name of the cell of which details are shown; by default a telling one.
    """
    view = View(load_run(path), cell)
    run = view.run
    rundir.write_csv(path / rundir.SUMMARY, view.rows)
    if view.by_part:
        rundir.write_csv(path / PART_SUMMARY, view.by_part)
    if view.ladders:
        rundir.write_csv(path / RATES, view.ladders)
    if view.generated:
        rundir.write_csv(path / GENERATED_SUMMARY, view.generated)
    if view.codes:
        rundir.write_csv(path / CODES_SUMMARY, view.codes)
    sections = [section for section in all_sections() if section.applies(view)]
    tables = [table for section in sections for table in section.tables(view) if table.rows]
    lines = [line for section in sections for line in section.sentences(view)]
    pictures = _draw(sections, view, path / rundir.FIGURES)
    text = [
        f"# {run.config.name}",
        _recipe(run.config, run.cells),
        _machine(run),
        "\n".join(f"- {line}" for line in lines),
        *(_table_text(table) for table in tables if table.printed),
        _notes(view),
        *(_table_text(table) for table in tables if not table.printed),
        *(f"![{each.title}]({rundir.FIGURES}/{each.file})" for each in pictures),
    ]
    rundir.write_atomic(path / "report.md", "\n\n".join(each for each in text if each) + "\n")
    latex = [
        latex_table(table.columns, table.rows, table.caption) for table in tables if table.latex
    ]
    rundir.write_atomic(path / "report.tex", "\n".join(latex))
    printed = [markdown_table(each.columns, each.rows) for each in tables if each.printed]
    end = ["\n".join(lines), f"report: {path / 'report.md'}"]
    print("\n\n".join(["", *printed, *end]), flush=True)


def analyse_again(path: Path, config: SweepConfig, devices: Sequence[Device]) -> None:
    """Counts the results of a run directory anew, from the checkpoints of its finished slices.

    Args:
        config: of the directory, with the settings of the analysis that are wanted now; they are
            written down once the results are.

    Raises:
        ConfigError: where there are no checkpoints.
    """
    manifest = rundir.read_manifest(path)
    jobs = make_jobs(config, devices, manifest) if manifest.get("slices") else []
    done = [job for job in jobs if job.entry["status"] == DONE]
    # All of them first: where one cannot be read, nothing is written.
    evaluations = [evaluate_again(job, path) for job in done]
    if processes.is_first():
        for job, again in zip(done, evaluations, strict=True):
            save_results(path, job.runs, again.evaluation, config, again.taken, again.due)
        rundir.write_analysis(path, config)


def with_analysis(config: SweepConfig, changes: dict[str, Any]) -> SweepConfig:
    """A config with some settings of its analysis changed, unchecked."""
    return dataclasses.replace(config, analysis=dataclasses.replace(config.analysis, **changes))
