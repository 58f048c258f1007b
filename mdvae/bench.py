"""Measures how fast sweeps train here, or how well known dimensions are found.

Usage:
    python -m mdvae.bench [--json=FILE] [--png=FILE] [--seconds=S] [--repeats=N] [--no_growth]
    python -m mdvae.bench --images [--json=FILE] [--seconds=S] [--repeats=N]
    python -m mdvae.bench --truth [--effort=quick|normal|thorough] [--draws=N] [--first_draw=S]
                          [--n=N] [--cases=NAME,NAME] [--workdir=DIR]

    --json=FILE     all numbers, with versions and devices
    --png=FILE      the growth curves; default bench.png beside the JSON, or none
    --seconds=S     length of one timing; default 1
    --repeats=N     timings of each; medians are printed with least and largest; default 5
    --no_growth     leaves out the growth over runs, width, batch, d and devices, and the costs
    --images        the published VAE of images instead: one run, and three at once
    --truth         data of known dimension instead: what mdvae.estimate finds, and others
    --effort=E      how much it trains; default quick
    --draws=N       draws of each case; default 2
    --first_draw=S  the first of them; default 5000. Draws 100-199 are for searching recipes,
                    0-99 and 5000 up for reporting
    --n=N           rows of each data set; default 5000
    --cases=NAMES   of cases or families; default scikit-dimension; `all` for everything
    --workdir=DIR   where its tables and figure go; what is in truth.csv there is not run again;
                    default runs/truth

Speed is measured against one run at a time, PyTorch, and the device's peak. The programs are the
real ones, on the 18 cells of Table 1 of CVAE-dims, or on the net of its Table 2. PyTorch is
compared with where it is installed (extra `bench`); the cases of scikit-dimension need that library
(extra `baselines`). Run it on an otherwise idle machine.
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from mdvae import cli
from mdvae.benchmark.figures import draw_growth
from mdvae.benchmark.images import measure_images, print_images, torch_version
from mdvae.benchmark.measure import memory_bandwidth, product_peak
from mdvae.benchmark.tables import (
    Timing,
    measure_costs,
    measure_growth,
    measure_table,
    print_costs,
    print_tables,
)
from mdvae.benchmark.truth import Estimator, Found, Plan, run_truth
from mdvae.benchmark.truth_data import SCIKIT_DIMENSION, all_cases, choose_cases
from mdvae.engine.ensemble import Device
from mdvae.engine.machine import describe_machine, pick_devices, set_up_cpu
from mdvae.settings.fields import ConfigError, unusable
from mdvae.store.rundir import write_atomic

EFFORTS = ("quick", "normal", "thorough")
# Fewer rows tell nothing of a dimension; seeds of scikit-dimension are of 32 bits.
FEWEST_ROWS, DRAWS_END = 100, 2**32
# Which flags are of one benchmark only.
SPEED_FLAGS = ("json", "png", "seconds", "repeats", "no_growth")
TRUTH_FLAGS = ("effort", "draws", "first_draw", "n", "cases", "workdir")


class Options(NamedTuple):
    """The command line, checked; `truth` is None where speed is measured."""

    json: Path | None
    png: Path | None
    timing: Timing
    growth: bool
    images: bool
    truth: Plan | None = None


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
    if cli.asks_for_help(argv, __doc__):
        return None
    values = flags.FlagValues()
    flags.DEFINE_string("json", "", "", flag_values=values)
    flags.DEFINE_string("png", "", "", flag_values=values)
    flags.DEFINE_float("seconds", 1.0, "", flag_values=values)
    flags.DEFINE_integer("repeats", 5, "", flag_values=values)
    flags.DEFINE_boolean("no_growth", False, "", flag_values=values)
    flags.DEFINE_boolean("images", False, "", flag_values=values)
    flags.DEFINE_boolean("truth", False, "", flag_values=values)
    flags.DEFINE_string("effort", "quick", "", flag_values=values)
    flags.DEFINE_integer("draws", 2, "", flag_values=values)
    flags.DEFINE_integer("first_draw", 5000, "", flag_values=values)
    flags.DEFINE_integer("n", 5000, "", flag_values=values)
    flags.DEFINE_string("cases", SCIKIT_DIMENSION, "", flag_values=values)
    flags.DEFINE_string("workdir", "runs/truth", "", flag_values=values)
    stray = cli.parse_flags(argv, values)
    if stray:
        raise ConfigError(f"{stray[0]}: not a flag; see --help")
    seconds, repeats = float(values["seconds"].value or 0), int(values["repeats"].value or 0)
    if not seconds > 0:
        raise ConfigError(f"--seconds: {seconds:g} is not usable; it must be above 0")
    if repeats < 1:
        raise ConfigError(f"--repeats: {repeats} is not usable; it must be 1 or more")
    images, no_growth = bool(values["images"].value), bool(values["no_growth"].value)
    for name in ("png", "no_growth"):
        if images and values[name].value:
            raise ConfigError(f"--{name}: has no effect with --images; leave it out")
    json_file, png = (_file(name, str(values[name].value or "")) for name in ("json", "png"))
    png = png or (json_file.with_suffix(".png") if json_file else None)
    truth = _truth(values)
    return Options(json_file, png, Timing(seconds, repeats), not no_growth, images, truth)


def _truth(values: flags.FlagValues) -> Plan | None:
    """The benchmark of known truths; None where it is not asked for."""
    truth = bool(values["truth"].value)
    for name in ("images", *SPEED_FLAGS) if truth else TRUTH_FLAGS:
        if values[name].present:
            where = "with" if truth else "without"
            raise ConfigError(f"--{name}: has no effect {where} --truth; leave it out")
    if not truth:
        return None
    effort, workdir = (str(values[name].value or "") for name in ("effort", "workdir"))
    if effort not in EFFORTS:
        raise unusable("--effort", effort, f"one of {', '.join(EFFORTS)}")
    draws, first, n = (int(values[name].value or 0) for name in ("draws", "first_draw", "n"))
    if draws < 1:
        raise unusable("--draws", draws, "1 or more")
    if not 0 <= first <= DRAWS_END - draws:
        raise unusable("--first_draw", first, "0 or more, and all draws below 2^32")
    if n < FEWEST_ROWS:
        raise unusable("--n", n, f"{FEWEST_ROWS} or more")
    if not workdir:
        raise unusable("--workdir", workdir, "a folder")
    cases = choose_cases(str(values["cases"].value or "").split(","), all_cases())
    return Plan(cases, n, range(first, first + draws), effort, Path(workdir))


def _estimator(effort: str) -> Estimator:
    """What `python -m mdvae.estimate` finds, as the benchmark takes it."""
    from mdvae.estimate import estimate

    def found(x: np.ndarray, seed: int, workdir: Path) -> Found:
        answer = estimate(x, effort=effort, seed=seed, workdir=workdir)
        others = {each.name: each.value for each in answer.estimates}
        return Found(
            answer.dimension,
            answer.low,
            answer.high,
            answer.verdict,
            not answer.confident,
            others,
            answer.seconds,
        )

    return found


def _measure_images(devices: Sequence[Device], options: Options) -> dict[str, Any]:
    """The benchmark of images; what it found, for the JSON."""
    rows = measure_images(devices, options.timing)
    print_images(rows)
    return {"images": rows, "torch": torch_version()}


def _measure_vectors(devices: Sequence[Device], options: Options) -> dict[str, Any]:
    """The benchmark of Table 1; what it found, for the JSON."""
    peak = product_peak(devices, options.timing.repeats)
    bandwidth = memory_bandwidth(devices, options.timing.repeats)
    rows = measure_table(devices, options.timing, peak)
    growth = measure_growth(devices, options.timing) if options.growth else {}
    costs = measure_costs(devices, options.timing) if options.growth else []
    print_tables(rows, peak, bandwidth)
    if costs:
        print_costs(costs)
    return {
        "product_peak": peak,
        "bandwidth": bandwidth,
        "table1": rows,
        "growth": growth,
        "costs": costs,
    }


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(argv)
    if options is None:
        return 0
    set_up_cpu()
    if options.truth:
        try:
            run_truth(options.truth, _estimator(options.truth.effort))
        except KeyboardInterrupt:
            print("stopped; the same command goes on", file=sys.stderr)
            return cli.INTERRUPTED
        return 0
    devices = pick_devices(0, sys.maxsize)
    machine = describe_machine(devices)
    print(f"{len(devices)} x {machine['device']}, jax {machine['versions']['jax']}", flush=True)
    measure = _measure_images if options.images else _measure_vectors
    found = measure(devices, options)
    if options.json:
        text = json.dumps(_plain({"machine": machine, **found}), indent=2)
        write_atomic(options.json, text + "\n")
        print(f"numbers: {options.json}")
    if options.png and found.get("growth"):
        draw_growth(found["growth"], found["product_peak"], options.png)
        print(f"growth curves: {options.png}")
    return 0


if __name__ == "__main__":
    cli.run_command(main)
