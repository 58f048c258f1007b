"""Measures how fast sweeps train here: against one run at a time, PyTorch, and the device's peak.

Usage:
    python -m mdvae.bench [--json=FILE] [--png=FILE] [--seconds=S] [--repeats=N] [--no_growth]

    --json=FILE     all numbers, with versions and devices
    --png=FILE      the growth curves; default bench.png beside the JSON, or none
    --seconds=S     length of one timing; default 1
    --repeats=N     timings of each; medians are printed with least and largest; default 5
    --no_growth     leaves out the growth over runs, width, batch, d and devices, and the costs

The programs are the real ones, on the 18 cells of Table 1 of CVAE-dims. PyTorch is compared with
where it is installed (extra `bench`). Run it on an otherwise idle machine.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from mdvae import cli
from mdvae.config import ConfigError, SweepConfig, default_config, resolve
from mdvae.ensemble import Device
from mdvae.figures_bench import draw_growth
from mdvae.grid import Cell, make_cells
from mdvae.machine import GIB, describe_machine, pick_devices, set_up_cpu
from mdvae.measure import Rate, Spread, memory_bandwidth, product_peak, spread, training_rate
from mdvae.rundir import write_atomic
from mdvae.tables import Column, markdown_table
from mdvae.torch_loop import torch_rate

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


class Options(NamedTuple):
    """The command line, checked."""

    json: Path | None
    png: Path | None
    seconds: float
    repeats: int
    growth: bool


def table1_config(width: int, seeds: int = 1, batch_size: int = 1_000) -> SweepConfig:
    """The cells and data of Table 1 with hidden layers of some width."""
    config = default_config()
    config.name = "bench"
    config.grid = {"main": MAIN, "narrow": NARROW}
    config.update({"hidden": (width,), "seeds": seeds, "batch_size": batch_size})
    return resolve(config)


def one_shape_config(width: int, batch_size: int, d: int, kappa: int = 20) -> SweepConfig:
    """Cells of one shape, for the growth curves."""
    config = default_config()
    config.grid = {"kappa": (kappa,), "d": (d,), "r": (2, 4, 6, 8, 10)}
    config.update({"hidden": (width,), "batch_size": batch_size})
    return resolve(config)


def _alone(config: SweepConfig, devices: Sequence[Device], options: Options) -> dict[str, Any]:
    """The cells one after another, each compiled by itself; one per shape is timed."""
    by_shape: dict[tuple[int, int], list[Cell]] = {}
    for cell in make_cells(config):
        by_shape.setdefault((cell.kappa, cell.d), []).append(cell)
    rates = {
        shape: training_rate(config, devices, options.seconds, options.repeats, 1, [cells[0]])
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


def _torch(config: SweepConfig, options: Options, compiled: bool, threads: int) -> Spread | None:
    counts: dict[Cell, int] = {}
    for cell in make_cells(config):
        same = (known for known in counts if (known.kappa, known.d) == (cell.kappa, cell.d))
        first = next(same, cell)
        counts[first] = counts.get(first, 0) + 1
    try:
        rates = {
            cell: spread(
                torch_rate(config, cell, options.seconds, options.repeats, compiled, threads)
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


def measure_table(devices: Sequence[Device], options: Options, peak: Spread) -> list[dict]:
    """One row per width: the ensemble, the same cells alone, and PyTorch."""
    rows = []
    for width in WIDTHS:
        config = table1_config(width)
        print(f"width {width}: the ensemble ...", flush=True)
        rate = training_rate(config, devices, options.seconds, options.repeats)
        print(f"width {width}: 90 runs ...", flush=True)
        ninety = training_rate(config, devices, options.seconds, options.repeats, 90)
        print(f"width {width}: one run after another ...", flush=True)
        alone = _alone(config, devices, options)
        print(f"width {width}: PyTorch ...", flush=True)
        rows.append(
            {
                "width": width,
                "ensemble": rate,
                "ensemble_90": ninety,
                "alone": alone,
                "torch_eager": _torch(config, options, False, 0),
                "torch_eager_one_thread": _torch(config, options, False, 1),
                "torch_compile": _torch(config, options, True, 0),
                "peak_fraction": rate.flops.median / peak.median,
            }
        )
    return rows


def measure_growth(devices: Sequence[Device], options: Options) -> dict[str, list[dict]]:
    """Rates over runs, width, batch, d and devices, the others at 16 runs, 64, 1,000, 30, all."""
    found: dict[str, list[dict]] = {}

    def add(axis: str, value: int, rate: Rate) -> None:
        found.setdefault(axis, []).append({"value": value, "rate": rate})
        print(f"growth, {axis} {value}: {_million(rate.samples)} M samples/s", flush=True)

    def rate(width: int = 64, batch: int = 1_000, d: int = 30, runs: int = 16, on=devices) -> Rate:
        config = one_shape_config(width, batch, d)
        return training_rate(config, on, options.seconds, options.repeats, runs)

    for axis, values in GROWTH.items():
        for value in values:
            add(axis, value, rate(**{axis: value}))
    counts = [2**i for i in range(len(devices).bit_length()) if 2**i <= len(devices)]
    for n in dict.fromkeys([*counts, len(devices)]):
        add("devices", n, rate(on=devices[:n]))
    return found


def measure_costs(devices: Sequence[Device], options: Options) -> list[dict]:
    """Seconds per run and memory by d and by number of runs."""
    rows = []
    for d in COSTS["d"]:
        config = one_shape_config(64, 1_000, d, kappa=48)
        for runs in COSTS["runs"]:
            rate = training_rate(config, devices, options.seconds, options.repeats, runs)
            per_run = COST_STEPS * 1_000 / rate.samples.median
            rows.append({"d": d, "rate": rate, "seconds_per_run": per_run})
            print(f"cost, d {d}, {runs} runs: {per_run:.2f} s per run", flush=True)
    return rows


def print_costs(costs: Sequence[dict]) -> None:
    """Prints the table of costs."""
    columns = [
        Column("d", "", lambda row: str(row["d"])),
        Column("runs", "", lambda row: str(row["rate"].runs)),
        Column("seconds per run", "", lambda row: f"{row['seconds_per_run']:.2f}"),
        Column("GiB per run", "", lambda row: f"{_gib(row) / row['rate'].runs:.3f}"),
        Column("GiB", "", lambda row: f"{_gib(row):.2f}"),
    ]
    print(
        f"\nCost of a run: {COST_STEPS:,} steps of 1,000 samples, κ = 48, 64 units; memory is"
        " that of data and states\n"
    )
    print(markdown_table(columns, costs))


def _gib(row: dict) -> float:
    return row["rate"].held_bytes / GIB


def print_tables(rows: Sequence[dict], peak: Spread, bandwidth: Spread) -> None:
    """Prints what was measured."""
    columns = [
        Column("hidden units", "", lambda row: str(row["width"])),
        Column("ensemble of 18", "", lambda row: _million(row["ensemble"].samples)),
        Column("of 90", "", lambda row: _million(row["ensemble_90"].samples)),
        Column("one after another", "", lambda row: _million(row["alone"]["samples"])),
        Column("PyTorch eager", "", lambda row: _million(row["torch_eager"])),
        Column("eager, 1 thread", "", lambda row: _million(row["torch_eager_one_thread"])),
        Column("torch.compile", "", lambda row: _million(row["torch_compile"])),
        Column(
            "ensemble / alone",
            "",
            lambda row: _ratio(row["ensemble"].samples, row["alone"]["samples"]),
        ),
        Column(
            "ensemble / eager", "", lambda row: _ratio(row["ensemble"].samples, row["torch_eager"])
        ),
        Column("GFLOP/s", "", lambda row: f"{row['ensemble'].flops.median / 1e9:.0f}"),
        Column("of peak", "", lambda row: f"{100 * row['peak_fraction']:.0f} %"),
        Column("compiling, s", "", lambda row: f"{row['ensemble'].compile_seconds:.1f}"),
    ]
    print("\nMillions of samples per second over all runs: median (least-largest)\n")
    print(markdown_table(columns, rows))
    print(
        f"\nMatrix products here: {peak.median / 1e9:.0f} GFLOP/s"
        f" ({peak.low / 1e9:.0f}-{peak.high / 1e9:.0f}), memory {bandwidth.median / 1e9:.1f} GB/s"
        f" ({bandwidth.low / 1e9:.1f}-{bandwidth.high / 1e9:.1f})."
    )


def _plain(value: Any) -> Any:
    """Named tuples as dicts, all the way down."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _file(name: str, text: str) -> Path | None:
    if text and not Path(text).parent.is_dir():
        raise ConfigError(f"--{name}: {Path(text).parent} is not a folder; give one that is")
    return Path(text) if text else None


def parse(argv: Sequence[str]) -> Options | None:
    """Reads the command line; None where only help was asked for.

    Raises:
        ConfigError: one line on what is wrong.
    """
    if any(arg in ("-h", "--help") for arg in argv):
        print((__doc__ or "").strip())
        return None
    values = flags.FlagValues()
    flags.DEFINE_string("json", "", "", flag_values=values)
    flags.DEFINE_string("png", "", "", flag_values=values)
    flags.DEFINE_float("seconds", 1.0, "", flag_values=values)
    flags.DEFINE_integer("repeats", 5, "", flag_values=values)
    flags.DEFINE_boolean("no_growth", False, "", flag_values=values)
    stray = cli.parse_flags(argv, values)
    if stray:
        raise ConfigError(f"{stray[0]}: not a flag; see --help")
    seconds, repeats = float(values["seconds"].value or 0), int(values["repeats"].value or 0)
    if not seconds > 0:
        raise ConfigError(f"--seconds: {seconds:g} is not usable; it must be above 0")
    if repeats < 1:
        raise ConfigError(f"--repeats: {repeats} is not usable; it must be 1 or more")
    json_file, png = (_file(name, str(values[name].value or "")) for name in ("json", "png"))
    png = png or (json_file.with_suffix(".png") if json_file else None)
    return Options(json_file, png, seconds, repeats, growth=not values["no_growth"].value)


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(argv)
    if options is None:
        return 0
    set_up_cpu()
    devices = pick_devices(0, sys.maxsize)
    machine = describe_machine(devices)
    print(f"{len(devices)} x {machine['device']}, jax {machine['versions']['jax']}", flush=True)
    peak = product_peak(devices, options.repeats)
    bandwidth = memory_bandwidth(devices, options.repeats)
    rows = measure_table(devices, options, peak)
    growth = measure_growth(devices, options) if options.growth else {}
    costs = measure_costs(devices, options) if options.growth else []
    print_tables(rows, peak, bandwidth)
    if costs:
        print_costs(costs)
    if options.json:
        found = {
            "product_peak": peak,
            "bandwidth": bandwidth,
            "table1": rows,
            "growth": growth,
            "costs": costs,
        }
        text = json.dumps(_plain({"machine": machine, **found}), indent=2)
        write_atomic(options.json, text + "\n")
        print(f"numbers: {options.json}")
    if options.png and growth:
        draw_growth(growth, peak, options.png)
        print(f"growth curves: {options.png}")
    return 0


if __name__ == "__main__":
    cli.run_command(main)
