"""Measures how fast sweeps train here, how well known dimensions are found, or how soon.

Usage:
    python -m mdvae.bench [--json=FILE] [--png=FILE] [--seconds=S] [--repeats=N] [--no_growth]
    python -m mdvae.bench --images [--json=FILE] [--seconds=S] [--repeats=N]
    python -m mdvae.bench --truth [--effort=quick|normal|thorough] [--draws=N] [--first_draw=S]
                          [--n=N] [--cases=NAME,NAME] [--workdir=DIR]
    python -m mdvae.bench --answer --config=FILE [--config.field=value ...]
                          [--budgets=PART,PART] [--workdir=DIR]

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
    --answer        samples and seconds until a config's cells have the right dimension instead
    --budgets=PARTS of the config's steps, each of which is trained; default 0.1,0.2,0.4,0.7,1
    --workdir=DIR   where run directories, tables and figure go; what is trained there is not
                    trained again; default runs/answer-NAME, NAME being the config's name

Speed is measured against one run at a time, PyTorch, and the device's peak. The programs are the
real ones, on the 18 cells of Table 1 of CVAE-dims, or on the net of its Table 2. PyTorch is
compared with where it is installed (extra `bench`); the cases of scikit-dimension need that library
(extra `baselines`). Run it on an otherwise idle machine.
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from mdvae import cli
from mdvae.benchmark.answer import BUDGETS, AnswerPlan, make_plan, run_answer
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
from mdvae.settings.sweep import SweepConfig
from mdvae.store.checkpoint import DamagedError
from mdvae.store.rundir import write_atomic
from mdvae.sweep import StoppedError, trainer

EFFORTS = ("quick", "normal", "thorough")
# Fewer rows tell nothing of a dimension; seeds of scikit-dimension are of 32 bits.
FEWEST_ROWS, DRAWS_END = 100, 2**32
# Which flags are of one benchmark only.
SPEED_FLAGS = ("json", "png", "seconds", "repeats", "no_growth")
TRUTH_FLAGS = ("effort", "draws", "first_draw", "n", "cases", "workdir")
ANSWER_FLAGS = ("budgets", "workdir")


class Options(NamedTuple):
    """The command line, checked; `truth` and `answer` are None where speed is measured."""

    json: Path | None
    png: Path | None
    timing: Timing
    growth: bool
    images: bool
    truth: Plan | None = None
    answer: AnswerPlan | None = None


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
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.DEFINE_boolean("answer", False, "", flag_values=values)
    flags.DEFINE_list("budgets", list(map(str, BUDGETS)), "", flag_values=values)
    config = None
    if any(arg.startswith(("--config", "-config")) for arg in argv[1:]):
        config, stray = cli.parse_config(argv, values)
    else:
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
    timing, growth = Timing(seconds, repeats), not no_growth
    if values["answer"].value:
        answer = _answer(config, values)
        return Options(json_file, png, timing, growth, images, answer=answer)
    if config is not None:
        raise ConfigError("--config: has no effect without --answer; leave it out")
    return Options(json_file, png, timing, growth, images, _truth(values))


def _only(names: Sequence[str], values: flags.FlagValues, where: str) -> None:
    """Refuses flags that have no effect."""
    for name in names:
        if values[name].present:
            raise ConfigError(f"--{name}: has no effect {where}; leave it out")


def _answer(config: SweepConfig | None, values: flags.FlagValues) -> AnswerPlan:
    """The benchmark of how much training the answer takes."""
    if config is None:
        raise ConfigError("--config: missing; give a config file, such as configs/table1.py")
    others = ("truth", "images", *SPEED_FLAGS, *TRUTH_FLAGS)
    _only([name for name in others if name not in ANSWER_FLAGS], values, "with --answer")
    workdir = _workdir(values, f"runs/answer-{config.name}")
    return make_plan(config, list(values["budgets"].value or [""]), workdir)


def _workdir(values: flags.FlagValues, default: str) -> Path:
    """The folder that was given, or else the default."""
    given = values["workdir"].value
    if given == "":
        raise unusable("--workdir", given, "a folder")
    return Path(str(default if given is None else given))


def _truth(values: flags.FlagValues) -> Plan | None:
    """The benchmark of known truths; None where it is not asked for."""
    truth = bool(values["truth"].value)
    _only(["budgets"], values, "without --answer")
    if not truth:
        _only(["workdir"], values, "without --truth or --answer")
        _only(TRUTH_FLAGS, values, "without --truth")
        return None
    _only(["images", *SPEED_FLAGS], values, "with --truth")
    effort = str(values["effort"].value or "")
    workdir = _workdir(values, "runs/truth")
    if effort not in EFFORTS:
        raise unusable("--effort", effort, f"one of {', '.join(EFFORTS)}")
    draws, first, n = (int(values[name].value or 0) for name in ("draws", "first_draw", "n"))
    if draws < 1:
        raise unusable("--draws", draws, "1 or more")
    if not 0 <= first <= DRAWS_END - draws:
        raise unusable("--first_draw", first, "0 or more, and all draws below 2^32")
    if n < FEWEST_ROWS:
        raise unusable("--n", n, f"{FEWEST_ROWS} or more")
    cases = choose_cases(str(values["cases"].value or "").split(","), all_cases())
    return Plan(cases, n, range(first, first + draws), effort, workdir)


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


def _run_answer(plan: AnswerPlan, command: str) -> int:
    """The benchmark of how much training the answer takes; `command` goes on where it stopped."""
    try:
        run_answer(plan, trainer(command))
    except StoppedError:
        return cli.INTERRUPTED
    except DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = parse(argv)
    if options is None:
        return 0
    set_up_cpu()
    if options.answer:
        return _run_answer(options.answer, "python -m mdvae.bench " + shlex.join(argv[1:]))
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
