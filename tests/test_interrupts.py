"""Ctrl-C ends every command in one line, whatever it is doing; no test of these waits for a moment.

The signal is raised from inside: where a module is imported, or where a function is called.
"""

import signal
import subprocess
import sys

import pytest
from runs import SMALL, copy_of, environment

from mdvae import cli, interrupts

# Raises the signal where a module is looked for; found by Python as it starts.
AT_IMPORT = """
import os, signal, sys

class Interrupting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""

# Runs a command as python -m does, with a signal at the first call of a function, or as soon as
# the first program of a name is compiled.
AT_CALL = """
import pkgutil, re, runpy, signal, sys
import jax

kind, place, command, *sys.argv[1:] = sys.argv[1:]

def interrupting(function):
    def called(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        setattr(owner, name, function)
        return function(*args, **kwargs)
    return called

def listen(event, _, **details):
    if event.endswith("backend_compile_duration") and place in details.get("fun_name", ""):
        jax.monitoring.unregister_event_duration_listener(listen)
        signal.raise_signal(signal.SIGINT)

if kind == "call":
    path, name = re.split(r"[:.](?=\\w+$)", place)
    owner = pkgutil.resolve_name(path)
    setattr(owner, name, interrupting(getattr(owner, name)))
else:
    jax.monitoring.register_event_duration_secs_listener(listen)
runpy.run_module(f"mdvae.{command}", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(autouse=True)
def with_a_signal():
    """Under nohup, or behind an &, children would be born deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ended(*arguments, **variables):
    """A command that was interrupted."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(**variables),
    )


def assert_one_line(done):
    assert done.stderr == "interrupted\n"
    assert done.returncode == interrupts.EXIT_CODE == 130


@pytest.mark.parametrize(
    ("command", "module"),
    [
        pytest.param("sweep", "absl", marks=pytest.mark.long),
        ("sweep", "jax"),
        pytest.param("sweep", "orbax.checkpoint", marks=pytest.mark.long),
        pytest.param("report", "jax", marks=pytest.mark.long),
        ("report", "matplotlib"),
        ("bench", "jax"),
    ],
)
def test_while_importing(tmp_path, command, module):
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT)
    arguments = [f"--config={SMALL}", f"--workdir={tmp_path / 'w'}"] if command == "sweep" else []
    path = f"{tmp_path}:{environment().get('PYTHONPATH', '')}"
    done = ended("-m", f"mdvae.{command}", *arguments, PYTHONPATH=path, INTERRUPT_AT=module)
    assert_one_line(done)
    assert done.stdout == ""
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("kind", "place"),
    [("call", "mdvae.engine.trainer:Trainer.load"), ("compile", "chunk")],
    ids=["making data", "compiling"],
)
def test_before_the_first_step_of_a_sweep(tmp_path, kind, place):
    """Training has begun, and ends as an interrupted training does."""
    arguments = [f"--config={SMALL}", f"--workdir={tmp_path / 'w'}"]
    done = ended("-c", AT_CALL, kind, place, "sweep", *arguments)
    assert done.returncode == cli.INTERRUPTED, done.stderr
    assert done.stderr == ""
    assert "SIGINT: finishing the steps in hand, then saving ..." in done.stdout
    assert done.stdout.splitlines()[-1].startswith("stopped by SIGINT; saved. To go on: ")


@pytest.mark.parametrize(
    ("kind", "place", "command"),
    [
        ("call", "mdvae.engine.machine:describe_machine", "sweep"),
        ("call", "matplotlib.figure:Figure.savefig", "sweep"),
        ("call", "matplotlib.figure:Figure.savefig", "report"),
        ("compile", "", "bench"),
    ],
    ids=["setting up a sweep", "reporting on a sweep", "reporting", "compiling a benchmark"],
)
def test_where_there_is_nothing_to_save(tmp_path, kind, place, command):
    arguments = []
    if command != "bench":
        path = copy_of(SMALL, tmp_path / "w")
        if "describe" in place:
            path = tmp_path / "new"
        arguments = [path] if command == "report" else [f"--config={SMALL}", f"--workdir={path}"]
    assert_one_line(ended("-c", AT_CALL, kind, place, command, *arguments))


def test_a_signal_that_the_caller_has_ignored_stays_ignored():
    """As of a command that runs on in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.end_in_one_line()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
