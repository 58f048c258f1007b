"""What a reader should know before trusting a run: warnings, and what is not finished."""

from collections.abc import Sequence

from mdvae.reports.base import Section, View

LISTED = 6


def _listed(runs: Sequence[str]) -> str:
    """The first few of a list of runs, and how many more there are."""
    more = len(runs) - LISTED
    return ", ".join(runs[:LISTED]) + (f" and {more} more (see results.csv)" if more > 0 else "")


def _sentences(view: View) -> list[str]:
    by_phrase: dict[str, list[str]] = {}
    for row in view.run.results:
        for warning in (row.get("warnings") or "").split("; "):
            phrase, _, numbers = warning.partition(": ")
            who = f"{row['cell']} seed {row['seed']}" + (f" ({numbers})" if numbers else "")
            if phrase:
                by_phrase.setdefault(phrase, []).append(who)
    lines = [f"Warning: {phrase}: {_listed(runs)}." for phrase, runs in by_phrase.items()]
    missing = len(view.run.cells) * len(view.run.seeds) - len(view.run.results)
    if missing:
        lines.append(f"Not finished: {missing} runs have no results yet.")
    return lines


SECTION = Section(order=90, applies=lambda view: True, sentences=_sentences)
