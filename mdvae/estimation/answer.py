"""What an estimate says: its file, and its ten lines on a terminal."""

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mdvae.analysis.neighbours import Opinion
from mdvae.data.array_given import standardised
from mdvae.data.intake_words import clean
from mdvae.estimation.folder import GIVEN
from mdvae.estimation.shown import OF_X, Rung, active_latents, cell_at
from mdvae.estimation.verdict import Verdict
from mdvae.settings.fields import ConfigError
from mdvae.settings.words import counted
from mdvae.store.loading import load_run
from mdvae.store.rundir import write_atomic

ANSWER, LADDER = "estimate.json", "ladder"


@dataclasses.dataclass(frozen=True)
class Estimate(Verdict):
    """The dimension of a table: a verdict, and what else is known.

    Attributes:
        notes: what was done to the table, a sentence each.
        estimates: what others say, and the codes of the chosen model.
        rungs: what the models of each kappa show.
        by_class: the estimates of each class apart, where there are labels.
        ladder: the folder of the models that decided.
        seed: of the model that `transform` uses: of the chosen kappa the one of least held-out
            nelbo.
        columns: names of the columns that were used.
        scales: what each was divided by; () where they were left as they are.
        rows: of the table, after repairs.
        effort: quick, normal or thorough.
        seconds: that it took, over all processes that worked on it; of one that was killed the
            last few are not counted (`clock.BEAT`).
        workdir: with the models, the report and the figures.
        to_come: what is not done yet of an estimate that was stopped: classes, and the CVAE of all.
    """

    notes: tuple[str, ...]
    estimates: tuple[Opinion, ...]
    rungs: tuple[Rung, ...]
    by_class: dict[str, "Estimate"]
    ladder: str
    seed: int
    columns: tuple[str, ...]
    scales: tuple[float, ...]
    rows: int
    effort: str
    seconds: float
    workdir: Path
    to_come: tuple[str, ...] = ()

    def transform(self, x: Any, given: Any = None) -> np.ndarray:
        """Active coordinates of samples, [n, active]: the posterior means of a trained model.

        Args:
            x: [n, columns], the columns that the estimate was given or those that it used.
            given: [n, c], where the estimate was given something.

        Raises:
            ConfigError: for another number of columns.
        """
        table, c = self._used(x), self._told(given, len(x))
        run = load_run(self.workdir / self.ladder)
        cell = cell_at(run, self.kappa)
        mean, _ = run.encode(cell, self.seed, table, c)
        return mean[:, active_latents(run, cell, self.seed)]

    def _told(self, given: Any, n: int) -> np.ndarray | None:
        """What is given of samples, as models are told it."""
        file = self.workdir / f"{self.ladder}-{GIVEN}"
        if given is None and not file.is_file():
            return None
        known = np.load(file) if file.is_file() else np.empty((0, 0))
        rows = None if given is None else np.asarray(given, np.float64).reshape(n, -1)
        if rows is None or rows.shape[1] != known.shape[1]:
            found = "missing" if rows is None else f"has {counted(rows.shape[1], 'column')}"
            right = f"[rows, {counted(known.shape[1], 'column')}]"
            raise ConfigError(f"given: {found}; it must be {right}")
        return standardised(rows, known)

    def _used(self, x: Any) -> np.ndarray:
        """Samples with the columns that models were given, scaled as they were."""
        if hasattr(x, "columns"):
            places = {clean(str(name)): j for j, name in enumerate(x.columns)}
            if set(self.columns) <= set(places):
                x = x.iloc[:, [places[name] for name in self.columns]]
        table = np.asarray(x, np.float64)
        table = table.reshape(len(table), -1) if table.ndim > 1 else table
        if table.ndim == 2 and table.shape[1] != len(self.columns):
            found = [re.fullmatch(r"column (\d+)", name) for name in self.columns]
            places = [int(match[1]) for match in found if match]
            if len(places) == len(self.columns) and max(places) < table.shape[1]:
                table = table[:, places]
        if table.ndim != 2 or table.shape[1] != len(self.columns):
            raise ConfigError(
                f"x: has shape {table.shape}; it must be"
                f" [rows, {counted(len(self.columns), 'column')}]"
            )
        return table / np.array(self.scales) if self.scales else table


def _plain(value: Any) -> Any:
    """Values of JSON: what is not finite is null, named tuples are objects."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def to_json(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain values."""
    fields = {f.name: getattr(estimate, f.name) for f in dataclasses.fields(estimate)}
    fields["by_class"] = {name: to_json(each) for name, each in estimate.by_class.items()}
    return _plain(fields)


def _back(value: Any) -> float:
    return math.nan if value is None else float(value)


def from_json(values: dict[str, Any], workdir: Path) -> Estimate:
    """The inverse of `to_json`; the folder is where the file lies now."""
    numbers = {"nelbo", "gamma", "codes", "codes_low", "codes_high"}

    def told(name: str, value: Any) -> Any:
        if name == "kappa":
            return value
        return tuple(_back(v) if name in numbers else v for v in value)

    rungs = tuple(
        Rung(**{name: told(name, v) for name, v in rung.items()}) for rung in values["rungs"]
    )
    opinions = tuple(
        Opinion(o["name"], _back(o["value"]), _back(o["low"]), _back(o["high"]), o["note"])
        for o in values["estimates"]
    )
    by_class = {
        name: from_json(each, workdir / Path(each["workdir"]).relative_to(values["workdir"]))
        for name, each in values["by_class"].items()
    }
    tuples = {name: tuple(values[name]) for name in ("warnings", "notes", "columns", "scales")}
    # Of what was written before there was any.
    tuples["to_come"] = tuple(values.get("to_come", ()))
    found = {"rungs": rungs, "estimates": opinions, "by_class": by_class, "workdir": workdir}
    return Estimate(**{**values, **tuples, **found})


def save(estimate: Estimate) -> None:
    """Writes an estimate into its folder."""
    text = json.dumps(to_json(estimate), indent=2, ensure_ascii=False) + "\n"
    write_atomic(estimate.workdir / ANSWER, text)


def read(workdir: Path) -> Estimate | None:
    """The estimate of a folder; None where there is none yet."""
    file = workdir / ANSWER
    if not file.is_file():
        return None
    try:
        return from_json(json.loads(file.read_text(encoding="utf-8")), workdir)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{file}: cannot be read as an estimate ({error}); remove it, and it is made again"
        ) from error


def one_decimal(value: float) -> str:
    """A dimension by neighbours, in words."""
    return f"{value:.1f}" if math.isfinite(value) else "none"


def is_of_x(opinion: Opinion) -> bool:
    """Whether an opinion is of the table alone, although something is given."""
    return opinion.note.startswith(OF_X)


def counts(values: Sequence[int | None]) -> str:
    """Active dimensions of the seeds of a rung, in words."""
    return "/".join("–" if value is None else str(value) for value in values)


def lines_of(estimate: Estimate) -> list[str]:
    """An estimate in ten lines or so."""
    word = "the evidence agrees" if estimate.confident else "not to be trusted as it stands"
    told = {True: [], False: []}
    for each in estimate.estimates:
        if math.isfinite(each.value):
            told[is_of_x(each)].append(f"{each.name} {one_decimal(each.value)}")
    ladder = ", ".join(f"{rung.kappa}: {counts(rung.ad)}" for rung in estimate.rungs)
    lines = [
        f"dimension {estimate.dimension}, between {estimate.low:.1f} and {estimate.high:.1f};"
        f" {word}",
        f"why: {estimate.verdict}",
        f"active dimensions by κ: {ladder}",
        f"others: {', '.join(told[False])}",
        *([f"{OF_X}: {', '.join(told[True])}"] if told[True] else []),
        *(f"doubt: {warning}" for warning in estimate.warnings),
        *(f"note: {note}" for note in estimate.notes),
    ]
    for name, each in estimate.by_class.items():
        sure = "" if each.confident else " (doubtful)"
        lines.append(f"class {name}: {each.dimension}, {each.low:.1f} to {each.high:.1f}{sure}")
    if estimate.to_come:
        lines.append(
            f"still to come: {', '.join(estimate.to_come)}; the same estimate in the same workdir"
            " goes on"
        )
    lines.append(
        f"{estimate.rows:,} rows, {counted(len(estimate.columns), 'column')}, effort"
        f" {estimate.effort}, {estimate.seconds:.0f} s; {estimate.workdir}"
    )
    return lines
