"""How fast the published VAE of images trains, beside PyTorch."""

from collections.abc import Mapping, Sequence
from importlib import metadata

from mdvae.benchmark.image_peers import torch_image_rate
from mdvae.benchmark.measure import Rate, Spread, spread, training_rate
from mdvae.benchmark.tables import Timing
from mdvae.engine.ensemble import Device
from mdvae.reports.tables import Column, Row, markdown_table, plain
from mdvae.settings.config import SweepConfig, default_config, resolve
from mdvae.settings.grid import Cell, make_cells

# Ways to train: so many runs at once here, and one run in PyTorch, channels last or not.
OURS = {"mdvae, one run": 1, "mdvae, three runs": 3}
PEERS = {"PyTorch": False, "PyTorch, channels last": True}


def images_config() -> SweepConfig:
    """The published net, batch and rate of Table 2 at κ = 16, on the images within mdvae."""
    config = default_config(data="images", networks="resnet")
    config.name = "bench"
    config.grid = {"kappa": (16,)}
    config.update(
        {
            "data": {"dataset": "mnist_sample"},
            "networks": {"channels": 5, "pooling": "mean", "evaluation": "running"},
            "optimiser": {"learning_rate": 0.002},
            "batch_size": 512,
        }
    )
    return resolve(config)


def torch_version() -> str | None:
    """Of the PyTorch that is installed; None where none is."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


def _theirs(cell: Cell, seconds: float, channels_last: bool) -> list[float]:
    """One timing of PyTorch; none where it is not installed."""
    try:
        return torch_image_rate(cell, seconds, 1, channels_last)
    except ImportError:
        return []


def measure_images(devices: Sequence[Device], timing: Timing) -> list[Row]:
    """One row per way to train: one run and three at once here, one run in PyTorch's two layouts.

    Every way takes a timing in turn, and then the next, so that a machine that becomes slower does
    so for all of them; each is made, and compiled, anew for it.
    """
    config = images_config()
    (cell,) = make_cells(config)
    rates: dict[str, list[Rate]] = {way: [] for way in OURS}
    peers: dict[str, list[float]] = {way: [] for way in PEERS}
    for i in range(timing.repeats):
        print(f"images: timing {i + 1} of {timing.repeats} ...", flush=True)
        for way, n_runs in OURS.items():
            rates[way].append(training_rate(config, devices, timing.seconds, 1, n_runs))
        for way, channels_last in PEERS.items():
            peers[way] += _theirs(cell, timing.seconds, channels_last)
    return make_rows(rates, peers)


def make_rows(
    rates: Mapping[str, Sequence[Rate]], peers: Mapping[str, Sequence[float]]
) -> list[Row]:
    """The rows of the table, and of its JSON.

    Args:
        rates: of each way to train here, a `Rate` per timing.
        peers: samples per second of each way in PyTorch, one per timing, or none.

    Returns:
        dicts: `way`; `runs` at once; `samples` per second over all of them; `over`, the ratio of
        samples per second to each way of PyTorch, of the same timing; `compile_seconds`, which only
        rows from here have. All but the first two are `Spread`s over timings, or None.
    """
    samples = {way: [rate.samples.median for rate in found] for way, found in rates.items()}
    samples |= {way: list(found) for way, found in peers.items()}
    rows = []
    for way, values in samples.items():
        ours = rates.get(way, ())
        rows.append(
            {
                "way": way,
                "runs": ours[0].runs if ours else 1,
                "samples": _spread(values),
                "over": {peer: _ratio(values, peers[peer]) for peer in peers},
                "compile_seconds": _spread([rate.compile_seconds for rate in ours]),
            }
        )
    return rows


def _spread(values: Sequence[float]) -> Spread | None:
    return spread(values) if values else None


def _ratio(values: Sequence[float], others: Sequence[float]) -> Spread | None:
    return _spread([a / b for a, b in zip(values, others, strict=True)] if others else [])


def _text(value: Spread | None, decimals: int) -> str:
    if value is None:
        return "–"
    median, low, high = (f"{each:,.{decimals}f}" for each in value)
    return f"{median} ({low}-{high})"


def print_images(rows: Sequence[Row]) -> None:
    """Prints what was measured."""

    def over(peer: str) -> Column:
        return plain(f"/ {peer}", lambda row: _text(row["over"][peer], 2))

    columns = [
        plain("", lambda row: row["way"]),
        plain("samples/s", lambda row: _text(row["samples"], 0)),
        *(over(peer) for peer in rows[0]["over"]),
        plain("compiling, s", lambda row: _text(row["compile_seconds"], 1)),
    ]
    print("\nSamples per second over all runs, and their ratio: median (least-largest)\n")
    print(markdown_table(columns, rows))
