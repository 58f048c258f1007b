"""Tables as text: the columns of a report, in markdown and LaTeX."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mdvae.config import SweepConfig
from mdvae.rundir import Row


class Column(NamedTuple):
    """A column of the printed table: its title in markdown and LaTeX, and its text for a row."""

    title: str
    latex: str
    text: Callable[[Mapping[str, Any]], str]


def number(value: float | None, digits: int = 3) -> str:
    """A value to some significant digits, or a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def fixed(value: float | None, decimals: int) -> str:
    """A value to some decimals, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def with_interval(row: Mapping[str, Any], name: str, decimals: int) -> str:
    """A mean of the summary and half of its interval."""
    mean = fixed(row[f"{name}_mean"], decimals)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None or math.isnan(low):
        return mean
    return f"{mean} ± {(high - low) / 2:.{decimals}f}"


def fraction(row: Row, rule: str) -> str:
    """How many of a cell's runs have the expected dimension."""
    runs = row["runs"]
    if runs == 0:
        return "–"
    return f"{round((row[f'{rule}_correct'] or 0) * runs)}/{runs}"


def _else(row: Mapping[str, Any]) -> str:
    """What a cell's name says beyond kappa, d and r."""
    return row["cell"].removeprefix(f"kappa{row['kappa']}-d{row['d']}-r{row['r']}").lstrip("-")


def _full(row: Mapping[str, Any]) -> bool:
    """Whether the data fill their space, and no condition tells any of it."""
    return row["r"] == row["d"] and not row["t"]


def _gap(row: Mapping[str, Any]) -> str:
    """AD by the gap rule; runs without a gap are not in the mean, so their number is said."""
    without = row["no_gap"]
    text = with_interval(row, "ad_gap", 1)
    return f"{text} (no gap: {without})" if without else text


def table_columns(config: SweepConfig, rows: Sequence[Row]) -> list[Column]:
    """The columns of the printed table; the paper's only where there are published values."""
    threshold = f"{config.ad_threshold:g}"
    varied = any(_else(row) for row in rows)
    columns = [
        Column("κ", r"$\kappa$", lambda row: str(row["kappa"])),
        Column("d", "$d$", lambda row: str(row["d"])),
        Column("r", "$r$", lambda row: str(row["r"]) + ("*" if _full(row) else "")),
    ]
    if "part" in rows[0]:
        columns.append(Column("part", "part", lambda row: str(row["part"])))
    if "part" in rows[0] or any(row["t"] for row in rows):
        columns.append(Column("expected AD", "expected AD", lambda row: str(row["expected_ad"])))
    if varied:
        columns.append(Column("else", "else", _else))
    paper = any(row["paper_ad"] is not None for row in rows)
    columns += [
        Column(f"AD ({threshold})", f"AD ({threshold})", lambda row: with_interval(row, "ad", 1)),
        Column("AD (gap)", "AD (gap)", _gap),
    ]
    if paper:
        columns.append(Column("paper AD", "paper AD", lambda row: number(row["paper_ad"], 1)))
    columns += [
        Column(
            f"AD ({threshold}) as expected",
            f"AD ({threshold}) as expected",
            lambda row: fraction(row, "ad"),
        ),
        Column("AD (gap) as expected", "AD (gap) as expected", lambda row: fraction(row, "ad_gap")),
        Column(
            "-ELBO, paper units (2x nats)",
            r"$-$ELBO, paper units ($2\times$ nats)",
            lambda row: with_interval(row, "neg_elbo_paper_units", 1),
        ),
    ]
    if paper:
        columns.append(
            Column("paper -ELBO", "paper $-$ELBO", lambda row: fixed(row["paper_neg_elbo"], 1))
        )
    columns += [
        Column(
            "KL, paper units (2x nats)",
            r"KL, paper units ($2\times$ nats)",
            lambda row: fixed(row["kl_paper_units_mean"], 1),
        ),
    ]
    if any(row["paper_kl"] is not None for row in rows):
        columns.append(Column("paper KL", "paper KL", lambda row: fixed(row["paper_kl"], 1)))
    columns.append(Column("Recon", "Recon", lambda row: number(row["recon_mean"])))
    if any(row["paper_recon"] is not None for row in rows):
        columns.append(Column("paper Recon", "paper Recon", lambda row: number(row["paper_recon"])))
    if any(fixed(row["r_hat_slope_mean"], 1) != "–" for row in rows):
        columns.append(
            Column(
                "r̂ (loss slope)",
                r"$\hat r$ (loss slope)",
                lambda row: with_interval(row, "r_hat_slope", 1),
            )
        )
    if any(fixed(row["r_hat_recon_mean"], 1) != "–" for row in rows):
        columns.append(
            Column(
                "r̂ (Recon/γ)",
                r"$\hat r$ (Recon/$\gamma$)",
                lambda row: with_interval(row, "r_hat_recon", 1),
            )
        )
    columns.append(Column("γ", r"$\gamma$", lambda row: number(row["gamma_mean"])))
    return columns


def ladder_columns() -> list[Column]:
    """The columns of the table of ladders."""

    def shown(name: str, decimals: int) -> Callable[[Mapping[str, Any]], str]:
        def text(row: Mapping[str, Any]) -> str:
            value, low, high = (row[name], row[f"{name}_low"], row[f"{name}_high"])
            if row["window_low"] is None:
                return "no window"
            if low is None or math.isnan(low):  # of a single seed
                return fixed(value, decimals)
            return f"{fixed(value, decimals)} [{fixed(low, decimals)}, {fixed(high, decimals)}]"

        return text

    def window(row: Mapping[str, Any]) -> str:
        none = row["window_low"] is None
        return "none" if none else f"{row['window_low']:g} to {row['window_high']:g}"

    return [
        Column("κ", r"$\kappa$", lambda row: str(row["kappa"])),
        Column("d", "$d$", lambda row: str(row["d"])),
        Column("r", "$r$", lambda row: str(row["r"])),
        Column("t", "$t$", lambda row: str(row["t"])),
        Column("window (log γ)", r"window ($\log\gamma$)", window),
        Column("slope of 2 nelbo", r"slope of $2\,$nelbo", shown("nelbo", 2)),
        Column("theory", "theory", lambda row: f"{row['theory']:g}"),
        Column("r̂ (loss slope)", r"$\hat r$ (loss slope)", shown("r_hat_slope", 2)),
        Column("r̂ (Recon/γ)", r"$\hat r$ (Recon/$\gamma$)", shown("r_hat_recon", 2)),
        Column("slope of log Recon (1)", r"slope of $\log$ Recon (1)", shown("recon", 3)),
        Column("of active variances (1)", "of active variances (1)", shown("active", 2)),
        Column("of inactive ones (0)", "of inactive ones (0)", shown("inactive", 3)),
    ]


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
