"""No memory: a slice that does not fit is halved and goes on; one run that does not is said."""

import jax
import pytest
from runs import SMALL, finished_run, run_report, run_sweep

import mdvae
from mdvae.engine.trainer import Trainer
from mdvae.settings.fields import ConfigError
from mdvae.store import rundir

FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 4294967296 bytes."


def out_of_memory(monkeypatch, n_slots, method="chunk", from_step=0, kind=None):
    """No slice of more than so many slots fits, in a function of the trainer."""
    function = getattr(Trainer, method)

    def full(self, loaded, state, *rest):
        step = rest[0] if rest else 0
        if len(loaded.placement.slots) > n_slots and step >= from_step:
            raise kind or jax.errors.JaxRuntimeError(FULL)
        return function(self, loaded, state, *rest)

    monkeypatch.setattr(Trainer, method, full)


def results(path):
    return {(row["cell"], row["seed"]): row for row in mdvae.load_run(path).results}


def assert_like(path, whole):
    assert results(path).keys() == results(whole).keys()
    for key, row in results(path).items():
        assert row["ad"] == results(whole)[key]["ad"]
        assert row["nelbo"] == pytest.approx(results(whole)[key]["nelbo"], rel=1e-4)
    lines = [(row["seed"], row["step"]) for row in rundir.read_metrics(path)]
    assert len(set(lines)) == len(lines) == 3 * len(results(path))
    assert run_report("--verify", path) == 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "w"
    assert run_sweep(SMALL, path, "--config.seeds=7") == 0
    return path


@pytest.mark.parametrize(
    ("method", "from_step", "kind"),
    [
        pytest.param("chunk", 60, None, id="while it trains"),
        pytest.param("evaluate", 0, MemoryError(), id="as it evaluates", marks=pytest.mark.long),
        pytest.param("chunk", 0, None, id="at once", marks=pytest.mark.long),
    ],
)
def test_it_is_halved_and_goes_on(tmp_path, whole, monkeypatch, capsys, method, from_step, kind):
    """Seven runs on two devices: halves of four and three, and those of two at the most."""
    path = tmp_path / "w"
    out_of_memory(monkeypatch, 2, method, from_step, kind)
    assert run_sweep(SMALL, path, "--config.seeds=7") == 0
    assert_like(path, whole)
    slices = rundir.read_manifest(path)["slices"]
    assert [(len(each["runs"]), each["status"]) for each in slices] == [
        (7, "replaced"),
        (4, "replaced"),
        (3, "replaced"),
        *[(2, "done")] * 3,
        (1, "done"),
    ]
    out = capsys.readouterr().out
    assert out.count("going on with halves of it") == 3
    assert "Traceback" not in out
    # From where the whole one was saved, not from the start.
    assert out.count("resuming from step 60" if from_step else "resuming from step 120") == (
        6 if from_step else 6 if method == "evaluate" else 0
    )


def test_a_run_that_does_not_fit_alone(tmp_path, monkeypatch):
    out_of_memory(monkeypatch, 0)
    path = tmp_path / "w"
    with pytest.raises(ConfigError, match="batch_size: 50 is too many for the memory that there"):
        run_sweep(SMALL, path)
    monkeypatch.undo()
    assert run_sweep(SMALL, path) == 0
    assert_like(path, finished_run(SMALL)[0])


def test_other_errors_are_no_matter_of_memory(tmp_path, monkeypatch):
    out_of_memory(monkeypatch, 0, kind=jax.errors.JaxRuntimeError("INTERNAL: no such thing"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run_sweep(SMALL, tmp_path / "w")
