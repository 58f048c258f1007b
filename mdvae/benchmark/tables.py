"""What the benchmark measures, and the tables that it prints."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mdvae.benchmark.measure import Rate, Spread, spread, training_rate
from mdvae.benchmark.peers import torch_rate
from mdvae.engine.ensemble import Device
from mdvae.engine.machine import GIB
from mdvae.reports.tables import markdown_table, plain
from mdvae.settings.config import SweepConfig, default_config, resolve
from mdvae.settings.grid import Cell, make_cells

WIDTHS = (16, 64, 128)
MAIN = {"kappa": (20,), "d": (10, 20, 30), "r": (2, 4, 6, 8, 10)}
NARROW = {"kappa": (5,), "d": (20,), "r": (6, 8, 10)}
# Sizes of the table of costs: kappa = 48 as in configs/ladder.py, and its number of steps.
COSTS = {"d": (32, 64, 128, 256), "runs": (1, 8, 32)}
COST_STEPS = 20_000
GROWTH = {
    "runs": (1, 2, 4, 8, 16, 32, 64, 128),
    "width": (16, 32, 64, 128, 256),
    "batch": (100, 300, 1_000, 3_000, 10_000),
    "d": (10, 30, 100, 300),
}


class Timing(NamedTuple):
    """How each thing is timed.

    Attributes:
        seconds: of one timing.
        repeats: timings of each.
    """

    seconds: float
    repeats: int


def table1_config(width: int, seeds: int = 1, batch_size: int = 1_000) -> SweepConfig:
    """The cells and data of Table 1 with hidden layers of some width."""
    config = default_config()
    config.name = "bench"
    config.grid = {"main": MAIN, "narrow": NARROW}
    config.update({"networks": {"hidden": (width,)}, "seeds": seeds, "batch_size": batch_size})
    return resolve(config)


def one_shape_config(width: int, batch_size: int, d: int, kappa: int = 20) -> SweepConfig:
    """Cells of one shape, for the growth curves."""
    config = default_config()
    config.grid = {"kappa": (kappa,), "d": (d,), "r": (2, 4, 6, 8, 10)}
    config.update({"networks": {"hidden": (width,)}, "batch_size": batch_size})
    return resolve(config)


def _alone(config: SweepConfig, devices: Sequence[Device], timing: Timing) -> dict[str, Any]:
    """The cells one after another, each compiled by itself; one per shape is timed."""
    by_shape: dict[Any, list[Cell]] = {}
    for cell in make_cells(config):
        by_shape.setdefault(cell.sizes._replace(r=0), []).append(cell)
    rates = {
        shape: training_rate(config, devices, timing.seconds, timing.repeats, 1, [cells[0]])
        for shape, cells in by_shape.items()
    }
    counts = {shape: len(cells) for shape, cells in by_shape.items()}
    compiling = sum(rates[shape].compile_seconds * n for shape, n in counts.items())
    return {
        "samples": _one_after_another({s: rate.samples for s, rate in rates.items()}, counts),
        "compile_seconds": compiling,
    }


def _one_after_another(rates: dict[Any, Spread], counts: dict[Any, int]) -> Spread:
    """The rate over all cells where each shape's cells train at their own rate in turn."""
    total = sum(counts.values())
    return Spread(
        *(total / sum(n / rates[shape][i] for shape, n in counts.items()) for i in range(3))
    )


def _torch(config: SweepConfig, timing: Timing, compiled: bool, threads: int) -> Spread | None:
    counts: dict[Cell, int] = {}
    for cell in make_cells(config):
        shape = cell.sizes._replace(r=0)
        same = (known for known in counts if known.sizes._replace(r=0) == shape)
        first = next(same, cell)
        counts[first] = counts.get(first, 0) + 1
    try:
        rates = {
            cell: spread(
                torch_rate(config, cell, timing.seconds, timing.repeats, compiled, threads)
            )
            for cell in counts
        }
    except ImportError:
        return None
    except Exception as error:
        # torch.compile needs a C++ compiler and may fail for many reasons that are not ours.
        print(f"torch.compile does not work here: {str(error).strip().splitlines()[0]}")
        return None
    return _one_after_another(rates, counts)


def _million(value: Spread | None) -> str:
    if value is None:
        return "–"
    return f"{value.median / 1e6:.2f} ({value.low / 1e6:.2f}-{value.high / 1e6:.2f})"


def _ratio(a: Spread, b: Spread | None) -> str:
    return "–" if b is None else f"{a.median / b.median:.1f}"


def measure_table(devices: Sequence[Device], timing: Timing, peak: Spread) -> list[dict]:
    """One row per width: the ensemble, the same cells alone, and PyTorch."""
    rows = []
    for width in WIDTHS:
        config = table1_config(width)
        print(f"width {width}: the ensemble ...", flush=True)
        rate = training_rate(config, devices, timing.seconds, timing.repeats)
        print(f"width {width}: 90 runs ...", flush=True)
        ninety = training_rate(config, devices, timing.seconds, timing.repeats, 90)
        print(f"width {width}: one run after another ...", flush=True)
        alone = _alone(config, devices, timing)
        print(f"width {width}: PyTorch ...", flush=True)
        rows.append(
            {
                "width": width,
                "ensemble": rate,
                "ensemble_90": ninety,
                "alone": alone,
                "torch_eager": _torch(config, timing, False, 0),
                "torch_eager_one_thread": _torch(config, timing, False, 1),
                "torch_compile": _torch(config, timing, True, 0),
                "peak_fraction": rate.flops.median / peak.median,
            }
        )
    return rows


def measure_growth(devices: Sequence[Device], timing: Timing) -> dict[str, list[dict]]:
    """Rates over runs, width, batch, d and devices, the others at 16 runs, 64, 1,000, 30, all."""
    found: dict[str, list[dict]] = {}

    def add(axis: str, value: int, rate: Rate) -> None:
        found.setdefault(axis, []).append({"value": value, "rate": rate})
        print(f"growth, {axis} {value}: {_million(rate.samples)} M samples/s", flush=True)

    def rate(width: int = 64, batch: int = 1_000, d: int = 30, runs: int = 16, on=devices) -> Rate:
        config = one_shape_config(width, batch, d)
        return training_rate(config, on, timing.seconds, timing.repeats, runs)

    for axis, values in GROWTH.items():
        for value in values:
            add(axis, value, rate(**{axis: value}))
    counts = [2**i for i in range(len(devices).bit_length()) if 2**i <= len(devices)]
    for n in dict.fromkeys([*counts, len(devices)]):
        add("devices", n, rate(on=devices[:n]))
    return found


def measure_costs(devices: Sequence[Device], timing: Timing) -> list[dict]:
    """Seconds per run and memory by d and by number of runs."""
    rows = []
    for d in COSTS["d"]:
        config = one_shape_config(64, 1_000, d, kappa=48)
        for runs in COSTS["runs"]:
            rate = training_rate(config, devices, timing.seconds, timing.repeats, runs)
            per_run = COST_STEPS * 1_000 / rate.samples.median
            rows.append({"d": d, "rate": rate, "seconds_per_run": per_run})
            print(f"cost, d {d}, {runs} runs: {per_run:.2f} s per run", flush=True)
    return rows


def print_costs(costs: Sequence[dict]) -> None:
    """Prints the table of costs."""
    columns = [
        plain("d", lambda row: str(row["d"])),
        plain("runs", lambda row: str(row["rate"].runs)),
        plain("seconds per run", lambda row: f"{row['seconds_per_run']:.2f}"),
        plain("GiB per run", lambda row: f"{_gib(row) / row['rate'].runs:.3f}"),
        plain("GiB", lambda row: f"{_gib(row):.2f}"),
    ]
    print(
        f"\nCost of a run: {COST_STEPS:,} steps of 1,000 samples, κ = 48, 64 units; memory is"
        " that of data and states\n"
    )
    print(markdown_table(columns, costs))


def _gib(row: Mapping[str, Any]) -> float:
    return row["rate"].held_bytes / GIB


def print_tables(rows: Sequence[dict], peak: Spread, bandwidth: Spread) -> None:
    """Prints what was measured."""
    columns = [
        plain("hidden units", lambda row: str(row["width"])),
        plain("ensemble of 18", lambda row: _million(row["ensemble"].samples)),
        plain("of 90", lambda row: _million(row["ensemble_90"].samples)),
        plain("one after another", lambda row: _million(row["alone"]["samples"])),
        plain("PyTorch eager", lambda row: _million(row["torch_eager"])),
        plain("eager, 1 thread", lambda row: _million(row["torch_eager_one_thread"])),
        plain("torch.compile", lambda row: _million(row["torch_compile"])),
        plain(
            "ensemble / alone",
            lambda row: _ratio(row["ensemble"].samples, row["alone"]["samples"]),
        ),
        plain("ensemble / eager", lambda row: _ratio(row["ensemble"].samples, row["torch_eager"])),
        plain("GFLOP/s", lambda row: f"{row['ensemble'].flops.median / 1e9:.0f}"),
        plain("of peak", lambda row: f"{100 * row['peak_fraction']:.0f} %"),
        plain("compiling, s", lambda row: f"{row['ensemble'].compile_seconds:.1f}"),
    ]
    print("\nMillions of samples per second over all runs: median (least-largest)\n")
    print(markdown_table(columns, rows))
    print(
        f"\nMatrix products here: {peak.median / 1e9:.0f} GFLOP/s"
        f" ({peak.low / 1e9:.0f}-{peak.high / 1e9:.0f}), memory {bandwidth.median / 1e9:.1f} GB/s"
        f" ({bandwidth.low / 1e9:.1f}-{bandwidth.high / 1e9:.1f})."
    )
