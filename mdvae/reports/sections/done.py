"""How many runs were done before their last step; see `engine.done`."""

from mdvae.reports.base import Section, View


def _sentences(view: View) -> list[str]:
    config = view.run.config
    sound = [row["steps"] for row in view.run.results if row["status"] == "ok"]
    early = sorted(steps for steps in sound if steps < config.steps)
    if not early:
        return [f"Of {len(sound)} runs none was done before step {config.steps:,}."]
    ends = f"step {early[0]:,}"
    ends += f" to {early[-1]:,}" if early[0] < early[-1] else ""
    spared = (len(sound) * config.steps - sum(sound)) / (len(sound) * config.steps)
    return [
        f"Of {len(sound)} runs {len(early)} were done before step {config.steps:,}, at {ends}:"
        f" nothing had moved by more than {config.done_nats:g} nats in the last"
        f" {config.done_share:.0%} of their steps. {spared:.0%} of all steps were not taken."
    ]


SECTION = Section(
    order=11,
    applies=lambda view: view.run.config.done_nats > 0 and bool(view.run.results),
    sentences=_sentences,
)
