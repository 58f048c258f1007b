"""Reports on run directories, from their files alone.

Usage:
    python -m mdvae.report [--cell=NAME] [--SETTING=VALUE ...] DIR [DIR ...]
    python -m mdvae.report --verify DIR [DIR ...]

Writes summary.csv, report.md, report.tex and figures/ into each run directory, finished or not,
and prints the summary table; rates.csv too where log gamma was held at several levels, and
part_summary.csv where the data have parts of several dimensions. Nothing is trained. Several
directories are then set side by side in comparison-with-NAME.md of the first: the cells that they
share, and the settings that differ.

    --cell=NAME             the cell of which details are shown, such as its variances
    --ad_threshold=X        counts again with another threshold, from the checkpoints
    --ad_min_gap=X          counts again with another least gap (nats)
    --published=TABLE       compares with another published table, or with none ('')
    --compare=True          compares samples of each run with held-out ones of its data
    --generated=N           with so many of each
    --active_below=X, --passive_from=X, --margin=X, --examples=N
                            classifies latents by another rule, where the analysis is "polarised"
    --verify                says whether checkpoints and files are whole, and writes nothing
"""

if __name__ == "__main__":  # before the imports below, which last for seconds
    from mdvae import interrupts

    interrupts.end_in_one_line()

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from mdvae import cli
from mdvae.analysis.generation import check_comparable, is_compared
from mdvae.analysis.measuring import MEASURED_WITH
from mdvae.analysis.settings import own_settings
from mdvae.analysis.summary import published_rows
from mdvae.engine.machine import pick_devices, set_up_cpu
from mdvae.engine.verifying import verify
from mdvae.overrides import read
from mdvae.reports.comparison import write_comparison
from mdvae.reports.report import analyse_again, with_analysis, write_report
from mdvae.settings.config import SweepConfig
from mdvae.settings.fields import ConfigError, check, fields_of
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import ANALYSES
from mdvae.stages.measures import measure_samples
from mdvae.stages.plan import LATENTS
from mdvae.store import checkpoint, opening, rundir
from mdvae.store.inception_files import check_inception
from mdvae.store.lock import lock_directory

# Settings of the analysis that say only what results are compared with.
NOT_COUNTED = {"published", "compare", *MEASURED_WITH}
# Those that what is measured of samples and codes depends on.
MEASURED = {"compare", "ad_threshold", *MEASURED_WITH}
# Flags that are no settings of an analysis.
NO_SETTINGS = ("cell", "verify")


def _define_flags() -> flags.FlagValues:
    """The flag --cell, and one for each setting of any analysis."""
    values = flags.FlagValues()
    flags.DEFINE_string("cell", None, "cell to show", flag_values=values)
    flags.DEFINE_bool("verify", False, "check a directory", flag_values=values)
    for kind in ANALYSES.names():
        for name, field in fields_of(ANALYSES.find(kind).settings).items():
            if name not in values:
                flags.DEFINE_string(name, None, field.rule.words, flag_values=values)
    return values


def _changes(values: flags.FlagValues, config: SweepConfig) -> dict[str, Any]:
    """The settings of the analysis that the command line gives and that differ.

    Raises:
        ConfigError: where one cannot be used, or is of another kind of analysis.
    """
    found = {}
    own = fields_of(config.analysis)
    others = [n for n in values if n not in (*own, *NO_SETTINGS) and values[n].value is not None]
    if others:
        raise ConfigError(
            f"--{others[0]}: has no effect with analysis.kind {config.analysis.kind!r}; leave it"
            " out"
        )
    for name, field in own.items():
        if values[name].value is not None:
            value = check(f"--{name}", field, read(str(values[name].value), field.rule.type))
            if value != getattr(config.analysis, name):
                found[name] = value
    with_analysis(config, found).analysis.completed()
    return found


def _check_effects(path: Path, config: SweepConfig, changes: dict[str, Any]) -> None:
    """Refuses settings of what is measured of samples where none are, or all are anyway."""
    changed = with_analysis(config, changes)
    if config.data.kind == LATENTS:
        if "compare" in changes:
            raise ConfigError(
                f"--compare: has no effect on {path}, a second stage, whose samples always are;"
                " leave it out"
            )
        return
    check_comparable(changed)
    for name in changes.keys() & MEASURED_WITH if not is_compared(changed) else ():
        raise ConfigError(
            f"--{name}: has no effect on {path}, which is no second stage and whose samples are not"
            " compared; give --compare=True as well, or leave it out"
        )


def _report(path: Path, cell: str | None, changes: dict[str, Any]) -> None:
    """Analyses a run directory again where settings change, and reports on it."""
    if changes:
        # A sweep that is still running may be reported on, but not analysed in its place.
        with lock_directory(path):
            config = with_analysis(rundir.read_config(path), changes)
            of_kind = own_settings(config.analysis)
            if set(changes) - NOT_COUNTED - of_kind:
                set_up_cpu()
                devices = pick_devices(0, len(make_cells(config)) * config.seeds)
                analyse_again(path, config, devices)
            else:
                rundir.write_analysis(path, config)
            if changes.keys() & (MEASURED | of_kind):
                measure_samples(path)
    write_report(path, cell)


def _verify(paths: Sequence[Path], values: flags.FlagValues) -> int:
    """Says whether run directories, with their stages, are whole; 1 where one is not."""
    others = [name for name in values if name != "verify" and values[name].value is not None]
    if others:
        raise ConfigError(f"--{others[0]}: has no effect with --verify; leave it out")
    code = 0
    for path in paths:
        rundir.read_config(path)  # a folder that is no run directory is a mistake
        stages = sorted(each.parent for each in path.glob(f"*/{rundir.CONFIG}"))
        for each in stages:
            opening.inside(each, path)
        for each in (path, *stages):
            n_whole, wrong = verify(each)
            for line in wrong:
                print(f"error: {line}", file=sys.stderr)
            state = f"{len(wrong)} things are wrong" if wrong else "nothing is wrong"
            print(f"{each}: {n_whole} checkpoints are whole, {state}")
            code = max(code, int(bool(wrong)))
    return code


def main(argv: Sequence[str]) -> int:
    """The command; returns its exit code."""
    if cli.asks_for_help(argv, __doc__):
        return 0
    values = _define_flags()
    paths = [Path(each) for each in cli.parse_flags(argv, values)]
    if not paths:
        raise ConfigError("DIR: missing; give one or more run directories")
    if values["verify"].value:
        return _verify(paths, values)
    cell = values["cell"].value
    changes = {}
    for path in paths:
        config = rundir.read_config(path)
        names = [each.name for each in make_cells(config)]
        if cell is not None and cell not in names:
            raise ConfigError(f"--cell: {cell!r} is not in {path}; it has {', '.join(names)}")
        changes[path] = _changes(values, config)
        published_rows(changes[path].get("published", ""))
        _check_effects(path, config, changes[path])
        if changes[path].get("inception"):
            check_inception(Path(changes[path]["inception"]), "--inception")
    try:
        for path in paths:
            _report(path, cell, changes[path])
        distinct = list({path.resolve(): path for path in paths}.values())
        if len(distinct) > 1:
            write_comparison(distinct)
    except checkpoint.DamagedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    cli.run_command(main)
