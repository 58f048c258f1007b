"""The report of an estimate, and its second opinions as a table to read on with."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdvae.analysis.neighbours import Opinion
from mdvae.analysis.statistics import mean_interval
from mdvae.estimation.answer import Estimate, counts, lines_of
from mdvae.estimation.classes import TOGETHER
from mdvae.estimation.folder import FIGURES, OPINIONS, REPORT
from mdvae.estimation.reading import how_to_read
from mdvae.reports.tables import fixed, markdown_table, number, plain
from mdvae.store.rundir import Row, write_atomic, write_csv

OURS = "mdvae"
CAPTIONS = {
    "ladder.png": "Held-out nelbo (less is better) and active dimensions of the models by κ, a"
    " point for each seed; the band is the interval of the dimension.",
    "spectra.png": "Variance of the encoder over the prior's, latent by latent, for the seed of"
    " the chosen model at each κ: a latent far below 1 is in use, one near 1 is not. The step is"
    " where AD is counted.",
    "estimates.png": "What each way to estimate says, with its 95 % interval for other draws of the"
    " rows; bias is not in it. Where something is given, some are of x alone, as they say.",
    "residuals.png": "What the chosen model leaves over of each column on held-out rows, by codes"
    " without noise. √γ is mostly more: it is learned with noise, falls from above while the model"
    " trains, and is one number for all columns.",
    "latents.png": "The rows in the active latents of the chosen model.",
    "classes.png": "Dimension by class: from models of its rows alone, and as active latents of"
    " that class in one CVAE that is told the class.",
}


def _safe(text: str) -> str:
    """Text of a user's own as a field of a markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _interval(low: float, high: float) -> str:
    known = math.isfinite(low) and math.isfinite(high)
    return f"{low:.1f} to {high:.1f}" if known else "–"


def _mean(values: Sequence[float]) -> float:
    return mean_interval(values).mean


def _range(values: Sequence[float]) -> str:
    known = [value for value in values if math.isfinite(value)]
    text = f"{min(known):.2f} to {max(known):.2f}" if known else "–"
    return text + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def rungs_table(estimate: Estimate) -> str:
    """What the models of each kappa show, the chosen one marked."""

    def codes(row: Any) -> str:
        value = fixed(_mean(row["codes"]), 1)
        if value == "–":
            return value
        return f"{value} ({_interval(_mean(row['codes_low']), _mean(row['codes_high']))})"

    columns = [
        plain("κ", lambda row: f"{'**' if row['chosen'] else ''}{row['kappa']}" + row["chosen"]),
        plain("nelbo, nats", lambda row: fixed(_mean(row["nelbo"]), 2)),
        plain("range over seeds", lambda row: _range(row["nelbo"])),
        plain("AD (gap)", lambda row: counts(row["ad"])),
        plain("AD (0.05)", lambda row: counts(row["ad_paper"])),
        plain("γ", lambda row: number(_mean(row["gamma"]))),
        plain("dimension of codes", codes),
        plain("still moving", lambda row: "yes" if any(row["moving"]) else "no"),
    ]
    rows = [
        {**rung._asdict(), "chosen": "**" if rung.kappa == estimate.kappa else ""}
        for rung in estimate.rungs
    ]
    return markdown_table(columns, rows)


def opinions_of(estimate: Estimate) -> list[Row]:
    """The dimension, then all second opinions: name, value, low, high and note."""
    # Of the dimension the verdict is the note.
    ours = Opinion(OURS, estimate.dimension, estimate.low, estimate.high, estimate.verdict)
    return [dict(each._asdict()) for each in (ours, *estimate.estimates)]


def opinions_table(estimate: Estimate) -> str:
    """Second opinions with their intervals; one that failed says why in its note."""
    columns = [
        plain("estimate", lambda row: _safe(row["name"])),
        plain("dimension", lambda row: fixed(row["value"], 1).replace("–", "no answer")),
        plain("interval", lambda row: _interval(row["low"], row["high"])),
        plain("note", lambda row: _safe(row["note"])),
    ]
    return markdown_table(columns, opinions_of(estimate))


def classes_table(estimate: Estimate) -> str:
    """Classes by themselves, and in the CVAE of all."""

    def together(row: Any) -> str:
        found = [each for each in row["estimates"] if each.name == TOGETHER]
        if not found or not math.isfinite(found[0].value):
            return "–"
        low, high = found[0].low, found[0].high
        ends = f" ({_interval(low, high)})" if math.isfinite(low) else ""
        return fixed(found[0].value, 1) + ends

    columns = [
        plain("class", lambda row: _safe(row["class"])),
        plain("rows", lambda row: f"{row['rows']:,}"),
        plain("dimension", lambda row: str(row["dimension"])),
        plain("interval", lambda row: _interval(row["low"], row["high"])),
        plain("in the CVAE of all", together),
        plain("doubts", lambda row: "no" if row["confident"] else "yes"),
        plain("report", lambda row: row["link"]),
    ]
    rows: list[Row] = []
    for name, each in estimate.by_class.items():
        path = each.workdir.relative_to(estimate.workdir) / REPORT
        values = {field.name: getattr(each, field.name) for field in dataclasses.fields(each)}
        rows.append({**values, "class": name, "link": f"[{path.parent.name}]({path.as_posix()})"})
    return markdown_table(columns, rows)


def _figures(workdir: Path) -> list[str]:
    """Those that were drawn, each over what it shows."""
    lines = []
    for name, caption in CAPTIONS.items():
        if (workdir / FIGURES / name).is_file():
            lines += [f"![{name.partition('.')[0]}]({FIGURES}/{name})", "", caption, ""]
    return ["## Figures", "", *lines] if lines else []


def text_of(estimate: Estimate) -> str:
    """The report as markdown; its figures are those that lie in the folder."""
    lines = [
        f"# Dimension {estimate.dimension}",
        "",
        *(f"- {line}" for line in lines_of(estimate)),
        "",
        "## Models",
        "",
        "Each κ is a VAE with so many latents, trained from several seeds; the chosen one is bold."
        " AD is how many latents it keeps.",
        "",
        rungs_table(estimate),
        "",
        "## Second opinions",
        "",
        opinions_table(estimate),
        "",
    ]
    if estimate.by_class:
        lines += ["## Classes", "", classes_table(estimate), ""]
    lines += _figures(estimate.workdir)
    lines += ["## How to read this", "", *how_to_read(estimate), ""]
    return "\n".join(lines)


def write_report(estimate: Estimate) -> Path:
    """Writes report.md and estimates.csv into the folder of an estimate; returns the report."""
    write_csv(estimate.workdir / OPINIONS, opinions_of(estimate))
    write_atomic(estimate.workdir / REPORT, text_of(estimate))
    return estimate.workdir / REPORT
