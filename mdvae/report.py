"""Reports on run directories, from their files alone.

Usage:
    python -m mdvae.report DIR [DIR ...]

Writes summary.csv, report.md, report.tex and figures/ into each run directory, finished or not,
and prints the summary table. Nothing is trained.
"""

import csv
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from mdvae import cli, figures, rundir
from mdvae.analysis.statistics import Interval, fraction_interval, mean_interval
from mdvae.config import ConfigError, SweepConfig
from mdvae.grid import Cell
from mdvae.rundir import LoadedRun, Row, load_run

AVERAGED = (
    "ad",
    "ad_gap",
    "nelbo",
    "recon",
    "kl",
    "gamma",
    "neg_elbo_paper_units",
    "kl_paper_units",
)
PAPER_COLUMNS = ("ad", "recon", "kl", "gamma", "neg_elbo")


class Column(NamedTuple):
    """A column of the printed table: its title in markdown and LaTeX, and its text for a row."""

    title: str
    latex: str
    text: Any


def published_rows(name: str) -> list[Row]:
    """The published table of a name, or none for "".

    Raises:
        ConfigError: where there is no such table.
    """
    if not name:
        return []
    source = resources.files("mdvae.published") / f"{name}.csv"
    if not source.is_file():
        raise ConfigError(f"published: there is no table {name!r}; see mdvae/published")
    rows = csv.DictReader(source.read_text(encoding="utf-8").splitlines())
    return [{k: rundir.parse_value(v) for k, v in row.items()} for row in rows]


def _paper_row(cell: Cell, published: Sequence[Row]) -> Row:
    for row in published:
        if (row["kappa"], row["d"], row["r"]) == (cell.kappa, cell.d, cell.r):
            return row
    return {}


def summarise(run: LoadedRun) -> list[Row]:
    """One row per cell: statistics over seeds beside the published values."""
    published = published_rows(run.config.published)
    rows = []
    for cell in run.cells:
        mine = [row for row in run.results if row["cell"] == cell.name]
        sound = [row for row in mine if row["status"] == "ok"]
        summary: Row = {
            "cell": cell.name,
            "kappa": cell.kappa,
            "d": cell.d,
            "r": cell.r,
            "t": cell.t,
            "expected_ad": cell.expected_ad,
            "in_theorem": int(cell.in_theorem),
            "runs": len(mine),
            "diverged": len(mine) - len(sound),
        }
        for name in AVERAGED:
            interval = mean_interval([row[name] for row in sound])
            for part, value in interval._asdict().items():
                summary[f"{name}_{part}"] = value
        for rule in ("ad", "ad_gap"):
            hits = sum(row[rule] == cell.expected_ad for row in sound)
            interval = fraction_interval(hits, len(mine))
            summary[f"{rule}_correct"] = interval.mean
            summary[f"{rule}_correct_low"] = interval.low
            summary[f"{rule}_correct_high"] = interval.high
        paper = _paper_row(cell, published)
        for name in PAPER_COLUMNS:
            summary[f"paper_{name}"] = paper.get(name)
        rows.append(summary)
    return rows


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def _fixed(value: float | None, decimals: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _with_interval(row: Row, name: str, decimals: int) -> str:
    mean = _fixed(row[f"{name}_mean"], decimals)
    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return mean if math.isnan(half) else f"{mean} ± {half:.{decimals}f}"


def _fraction(row: Row, rule: str) -> str:
    runs = row["runs"]
    if runs == 0:
        return "–"
    return f"{round(row[f'{rule}_correct'] * runs)}/{runs}"


def table_columns(config: SweepConfig, rows: Sequence[Row]) -> list[Column]:
    """The columns of the printed table; the paper's only where there are published values."""
    threshold = f"{config.ad_threshold:g}"
    plain = {"kappa", "d", "r"}
    varied = any(len(row["cell"].split("-")) > len(plain) for row in rows)
    columns = [
        Column("κ", r"$\kappa$", lambda row: str(row["kappa"])),
        Column("d", "$d$", lambda row: str(row["d"])),
        Column("r", "$r$", lambda row: str(row["r"]) + ("*" if row["r"] == row["d"] else "")),
    ]
    if varied:
        columns.append(Column("else", "else", lambda row: "-".join(row["cell"].split("-")[3:])))
    paper = any(row["paper_ad"] is not None for row in rows)
    columns += [
        Column(f"AD ({threshold})", f"AD ({threshold})", lambda row: _with_interval(row, "ad", 1)),
        Column("AD (gap)", "AD (gap)", lambda row: _with_interval(row, "ad_gap", 1)),
    ]
    if paper:
        columns.append(Column("paper AD", "paper AD", lambda row: _number(row["paper_ad"], 1)))
    columns += [
        Column(
            f"AD ({threshold}) as expected",
            f"AD ({threshold}) as expected",
            lambda row: _fraction(row, "ad"),
        ),
        Column(
            "AD (gap) as expected", "AD (gap) as expected", lambda row: _fraction(row, "ad_gap")
        ),
        Column(
            "-ELBO, paper units (2x nats)",
            r"$-$ELBO, paper units ($2\times$ nats)",
            lambda row: _with_interval(row, "neg_elbo_paper_units", 1),
        ),
    ]
    if paper:
        columns.append(
            Column("paper -ELBO", "paper $-$ELBO", lambda row: _fixed(row["paper_neg_elbo"], 1))
        )
    columns += [
        Column(
            "KL, paper units (2x nats)",
            r"KL, paper units ($2\times$ nats)",
            lambda row: _fixed(row["kl_paper_units_mean"], 1),
        ),
    ]
    if paper:
        columns.append(Column("paper KL", "paper KL", lambda row: _fixed(row["paper_kl"], 1)))
    columns.append(Column("Recon", "Recon", lambda row: _number(row["recon_mean"])))
    if paper:
        columns.append(
            Column("paper Recon", "paper Recon", lambda row: _number(row["paper_recon"]))
        )
    columns.append(Column("γ", r"$\gamma$", lambda row: _number(row["gamma_mean"])))
    return columns


def markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table in markdown, its columns aligned for reading as plain text too."""
    lines = [[column.title for column in columns]]
    lines += [[column.text(row) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    texts = [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(texts)


def latex_table(columns: Sequence[Column], rows: Sequence[Row], caption: str) -> str:
    """A table for booktabs."""

    def escape(text: str) -> str:
        return text.replace("±", r"$\pm$").replace("–", "--").replace("_", r"\_")

    body = [" & ".join(escape(column.text(row)) for column in columns) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escape(caption)}}}",
            r"\begin{tabular}{" + "r" * len(columns) + "}",
            r"\toprule",
            " & ".join(column.latex for column in columns) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _fraction_text(hits: int, total: int) -> str:
    interval: Interval = fraction_interval(hits, total)
    return (
        f"{hits} of {total} ({100 * interval.mean:.0f} %, 95 % interval"
        f" {100 * interval.low:.0f}-{100 * interval.high:.0f} %)"
    )


def verdicts(run: LoadedRun, rows: Sequence[Row]) -> list[str]:
    """What the numbers say, in sentences."""
    names = {cell.name: cell for cell in run.cells}
    done = [row for row in run.results if row["status"] == "ok"]
    threshold = f"{run.config.ad_threshold:g}"
    lines = []
    kinds = {
        "with r < d and κ ≥ r (Theorem 1), AD = r": lambda cell: cell.in_theorem,
        "with κ < r (too few latents), AD = κ": lambda cell: cell.kappa < cell.r,
        "with r = d (outside Theorem 1), AD = r": lambda cell: cell.r == cell.d <= cell.kappa,
    }
    for text, belongs in kinds.items():
        mine = [row for row in run.results if belongs(names[row["cell"]])]
        if not mine:
            continue
        for rule, label in (("ad", f"by the {threshold} rule"), ("ad_gap", "by the gap rule")):
            hits = sum(row[rule] == row["expected_ad"] for row in mine)
            lines.append(f"Of runs {text} {label} in {_fraction_text(hits, len(mine))}.")
    compared = [row for row in rows if row["paper_neg_elbo"] is not None and row["runs"]]
    if compared:
        below = sum(row["neg_elbo_paper_units_mean"] <= row["paper_neg_elbo"] for row in compared)
        lines.append(
            f"The mean -ELBO is at or below the published one in {below} of {len(compared)} cells."
        )
    differ = [row for row in done if row["ad"] != row["ad_gap"]]
    if differ:
        listed = ", ".join(
            f"{row['cell']} seed {row['seed']} ({row['ad']} and "
            f"{'no gap' if row['ad_gap'] is None else row['ad_gap']})"
            for row in differ
        )
        lines.append(f"The {threshold} rule and the gap rule disagree in: {listed}.")
    diverged = [f"{row['cell']} seed {row['seed']}" for row in run.results if row not in done]
    if diverged:
        lines.append(
            f"Diverged (loss not finite), and left out of the means: {', '.join(diverged)}."
        )
    missing = len(run.cells) * len(run.seeds) - len(run.results)
    if missing:
        lines.append(f"Not finished: {missing} runs have no results yet.")
    return lines


def _recipe(config: SweepConfig) -> str:
    return (
        f"Protocol `{config.protocol}`: hidden layers {config.hidden}, {config.activation},"
        f" {config.output} output, {config.steps:,} steps of {config.batch_size:,} samples, Adam"
        f" with one-cycle peak {config.learning_rate:g}, initial log γ {config.log_gamma_init:g}."
        f" Data `{config.preset}`: {config.n_train:,} training and {config.n_eval:,} fresh"
        f" evaluation samples; seeds {config.seed} to {config.seed + config.seeds - 1}."
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
- \\* r = d: there is no manifold of lower dimension, Theorem 1 does not apply."""


def write_report(path: Path) -> None:
    """Writes the summary, report and figures of a run directory and prints the summary table."""
    run = load_run(path)
    rows = summarise(run)
    columns = table_columns(run.config, rows)
    table = markdown_table(columns, rows)
    lines = verdicts(run, rows)
    rundir.write_csv(path / rundir.SUMMARY, rows)
    pictures = figures.draw_all(run, rows, path / rundir.FIGURES)
    notes = NOTES.format(threshold=f"{run.config.ad_threshold:g}", gap=run.config.ad_min_gap)
    text = [
        f"# {run.config.name}",
        _recipe(run.config),
        _machine(run),
        "\n".join(f"- {line}" for line in lines),
        table,
        notes,
        *(f"![{title}]({rundir.FIGURES}/{file})" for file, title in pictures),
    ]
    rundir.write_atomic(path / "report.md", "\n\n".join(part for part in text if part) + "\n")
    caption = f"{run.config.name}: mean and 95 % interval over {run.config.seeds} seeds."
    rundir.write_atomic(path / "report.tex", latex_table(columns, rows, caption))
    print("\n".join(["", table, "", *lines, "", f"report: {path / 'report.md'}"]), flush=True)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    paths = [arg for arg in argv[1:] if not arg.startswith("-")]
    if any(arg in ("-h", "--help") for arg in argv):
        print((__doc__ or "").strip())
        return 0
    unknown = [arg for arg in argv[1:] if arg.startswith("-")]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such flag; give run directories")
    if not paths:
        raise ConfigError("DIR: missing; give one or more run directories")
    for path in paths:
        rundir.read_config(Path(path))
    for path in paths:
        write_report(Path(path))
    return 0


if __name__ == "__main__":
    cli.run_command(main)
