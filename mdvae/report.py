"""Reports on run directories, from their files alone.

Usage:
    python -m mdvae.report [--cell=NAME] DIR [DIR ...]

Writes summary.csv, report.md, report.tex and figures/ into each run directory, finished or not,
and prints the summary table; rates.csv too where log gamma was held at several levels, and
part_summary.csv where the data have parts of several dimensions. Nothing is trained. --cell names
the cell whose encoder variances are shown as a matrix and a heat map.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvae import cli, figures, rundir
from mdvae.config import STATIC_AXES, ConfigError, SweepConfig
from mdvae.grid import Cell, Group, make_cells, make_groups
from mdvae.loading import LoadedRun, load_run
from mdvae.rules import SIZE_AXES
from mdvae.summary import ladder_rows, part_rows, summarise
from mdvae.tables import (
    Column,
    fixed,
    ladder_columns,
    latex_table,
    markdown_table,
    table_columns,
)
from mdvae.verdicts import verdicts

RATES, PART_SUMMARY = "rates.csv", "part_summary.csv"
MATRIX_COLUMNS = 5


def cost_table(run: LoadedRun) -> str:
    """Time per run and memory of each slice; nothing where there is only one group."""
    groups = make_groups(run.cells, run.config.group_by)
    slices = [part for part in run.manifest.get("slices", []) if part["status"] == "done"]
    if len(groups) < 2 or not slices:
        return ""
    differing = [
        axis for axis in STATIC_AXES if len({getattr(group.cells[0], axis) for group in groups}) > 1
    ]
    columns = [
        Column("d (padded)", "", lambda row: str(groups[row["group"]].d)),
        Column("κ (padded)", "", lambda row: str(groups[row["group"]].kappa)),
        Column("kind", "", lambda row: _kind(groups[row["group"]], differing)),
        Column("runs", "", lambda row: str(len(row["runs"]))),
        Column("seconds", "", lambda row: fixed(row["seconds"], 0)),
        Column("seconds per run", "", lambda row: fixed(row["seconds"] / len(row["runs"]), 2)),
        Column("data and states, GiB", "", lambda row: fixed(row["held_bytes"] / 2**30, 2)),
    ]
    return markdown_table(columns, slices)


def _kind(group: Group, settings: Sequence[str]) -> str:
    """What the cells of a group share, of some settings."""
    return ", ".join(f"{name} = {getattr(group.cells[0], name)}" for name in settings)


def variance_matrix(run: LoadedRun, cell: Cell, seed: int) -> str:
    """The variance ratios of one run, active ones bold (as CVAE-dims, Tables 10 and 11)."""
    ratios = run.spectrum(cell, seed)
    active = ratios < run.config.ad_threshold
    texts = [
        f"**{ratio:.4f}**" if on else f"{ratio:.4f}"
        for ratio, on in zip(ratios, active, strict=True)
    ]
    width = min(MATRIX_COLUMNS, len(texts))
    texts += [""] * (-len(texts) % width)
    lines = ["| " + " | ".join(texts[i : i + width]) + " |" for i in range(0, len(texts), width)]
    head = ["|" + " |" * width, "|" + "--:|" * width]
    title = (
        f"Encoder variances over the prior's, {cell.name}, seed {seed}: {int(active.sum())} below"
        f" {run.config.ad_threshold:g} (bold)"
    )
    return "\n".join([title, "", *head, *lines])


def _varied(config: SweepConfig) -> str:
    """What the grid varies, and settings that are seldom used, where they are."""
    axes: dict[str, list[Any]] = {}
    for grid in config.grids.values():
        for axis, values in grid.items():
            if axis not in SIZE_AXES:
                axes.setdefault(axis, []).extend(values)
    lines = [f"{axis} is {', '.join(map(str, dict.fromkeys(v)))}" for axis, v in axes.items()]
    seldom = ("anneal", "kl_warmup", "sigma", "t", "attention_hidden")
    lines += [f"{name} {getattr(config, name):g}" for name in seldom if getattr(config, name)]
    return f" Varied, or set apart from that: {'; '.join(lines)}." if lines else ""


def _recipe(config: SweepConfig) -> str:
    """How the runs were trained, without what the grid varies."""
    varied = {axis for grid in config.grids.values() for axis in grid}
    conditional = config.model == "cvae" or "model" in varied
    phrases = [
        ("model", "a CVAE" if config.model == "cvae" else "a VAE"),
        ("prior", f"{config.prior} prior" if conditional else ""),
        ("attention", f"{'with' if config.attention else 'no'} attention" if conditional else ""),
        ("data", f"data '{config.data}' ({config.preset})"),
        ("condition", f"condition '{config.condition}'" if conditional else ""),
        ("hidden", f"hidden layers {config.hidden}"),
        ("decoder_hidden", f"decoder {config.decoder_hidden}" if config.decoder_hidden else ""),
        ("activation", config.activation),
        ("encoder_input", f"{config.encoder_input} input of the encoder"),
        ("output", f"{config.output} output"),
        ("", f"{config.steps:,} steps"),
        ("batch_size", f"batches of {config.batch_size:,}"),
        ("learning_rate", f"Adam with one-cycle peak {config.learning_rate:g}"),
        ("log_gamma_init", f"initial log γ {config.log_gamma_init:g}"),
    ]
    told = ", ".join(text for axis, text in phrases if text and axis not in varied)
    last = config.seed + config.seeds - 1
    return (
        f"Protocol `{config.protocol}`: {told}; {config.n_train:,} training and"
        f" {config.n_eval:,} fresh evaluation samples; seeds {config.seed} to {last}."
        + _varied(config)
    )


def _machine(run: LoadedRun) -> str:
    manifest = run.manifest
    seconds = sum(part["seconds"] for part in manifest.get("slices", []))
    return (
        f"{manifest.get('n_devices', '?')} x {manifest.get('device', '?')},"
        f" jax {manifest.get('versions', {}).get('jax', '?')};"
        f" training took {seconds:,.0f} s in {len(manifest.get('slices', []))} slice(s)."
    )


NOTES = """- Units: nats inside mdvae; columns marked "paper units" are twice that, as CVAE-dims
  prints them. Recon is ||x - x_hat||^2, not halved.
- AD ({threshold}): latents whose encoder variance, averaged over fresh samples, is below
  {threshold} of the prior's. AD (gap): latents below the largest gap of the sorted log ratios, the
  prior's own level 1 being the top; gaps of less than {gap:g} nats do not count.
- ± is half of the 95 % interval of the mean over seeds (Student's t); it needs two seeds.
- r̂ (loss slope): d minus the slope of 2 nelbo in log γ. Over a ladder of held levels Theorems 1
  and 2 say that it tends to r, or r - t of a CVAE, and so does Recon/γ. Where γ is learned it is
  read off the settled end of training, a heuristic: there the loss falls because the network
  improves. It uses no threshold.
- \\* r = d: there is no manifold of lower dimension, Theorem 1 does not apply."""


def _telling_cell(run: LoadedRun) -> Cell:
    """The cell to show where none is named: done, under Theorem 1, gamma learned or least, last."""
    done = {name for name, _ in run.spectra}

    def rank(item: tuple[int, Cell]) -> tuple[bool, bool, bool, float, int]:
        place, cell = item
        level = -np.inf if cell.log_gamma is None else cell.log_gamma
        return cell.name in done, len(cell.parts) == 1, cell.in_theorem, -level, place

    return max(enumerate(run.cells), key=rank)[1]


def write_report(path: Path, cell: str | None = None) -> None:
    """Writes the summary, report and figures of a run directory and prints the summary table.

    Args:
        cell: name of the cell whose variances are shown as a matrix; by default a telling one.
    """
    run = load_run(path)
    rows, by_part = summarise(run), part_rows(run)
    whole = [row for row in rows if row["parts"] == 1]
    tables = [part for part in (whole, by_part) if part]
    ladders = ladder_rows(run)
    lines = verdicts(run, rows, by_part, ladders)
    rundir.write_csv(path / rundir.SUMMARY, rows)
    printed = [markdown_table(table_columns(run.config, part), part) for part in tables]
    printed.append("\n".join(lines))
    if by_part:
        rundir.write_csv(path / PART_SUMMARY, by_part)
    if ladders:
        rundir.write_csv(path / RATES, ladders)
        printed.insert(-1, markdown_table(ladder_columns(), ladders))
    shown = run.cell(cell) if cell else _telling_cell(run)
    spectra = [seed for seed in run.seeds if (shown.name, seed) in run.spectra]
    pictures = figures.draw_all(run, rows, by_part, ladders, shown, path / rundir.FIGURES)
    notes = NOTES.format(threshold=f"{run.config.ad_threshold:g}", gap=run.config.ad_min_gap)
    text = [
        f"# {run.config.name}",
        _recipe(run.config),
        _machine(run),
        "\n".join(f"- {line}" for line in lines),
        *printed[:-1],
        notes,
        cost_table(run),
        variance_matrix(run, shown, spectra[0]) if spectra and len(shown.parts) == 1 else "",
        *(f"![{title}]({rundir.FIGURES}/{file})" for file, title in pictures),
    ]
    rundir.write_atomic(path / "report.md", "\n\n".join(part for part in text if part) + "\n")
    caption = f"{run.config.name}: mean and 95 % interval over {run.config.seeds} seeds."
    latex = "\n".join(
        latex_table(table_columns(run.config, part), part, caption) for part in tables
    )
    if ladders:
        caption = f"{run.config.name}: rates in log gamma with 95 % bootstrap intervals."
        latex += "\n" + latex_table(ladder_columns(), ladders, caption)
    rundir.write_atomic(path / "report.tex", latex)
    print("\n\n".join(["", *printed, f"report: {path / 'report.md'}"]), flush=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if any(arg in ("-h", "--help") for arg in argv):
        print((__doc__ or "").strip())
        return 0
    cell = next((arg.partition("=")[2] for arg in argv[1:] if arg.startswith("--cell=")), None)
    rest = [arg for arg in argv[1:] if not arg.startswith("--cell=")]
    unknown = [arg for arg in rest if arg.startswith("-")]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such flag; give run directories, or --cell=NAME")
    if not rest:
        raise ConfigError("DIR: missing; give one or more run directories")
    for path in rest:
        names = [each.name for each in make_cells(rundir.read_config(Path(path)))]
        if cell is not None and cell not in names:
            raise ConfigError(f"--cell: {cell!r} is not in {path}; it has {', '.join(names)}")
    for path in rest:
        try:
            write_report(Path(path), cell)
        except PermissionError as error:
            raise ConfigError(f"{error.filename}: cannot be written; make it writable") from error
    return 0


if __name__ == "__main__":
    cli.run_command(main)
