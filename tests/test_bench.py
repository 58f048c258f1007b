"""The benchmark: its arithmetic, and its output on a small case."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from mdvae import bench
from mdvae.benchmark import tables
from mdvae.benchmark.measure import Rate, Spread, spread
from mdvae.benchmark.peers import _model, torch_rate
from mdvae.cli import load_config
from mdvae.engine.costs import step_flops
from mdvae.settings.config import default_config, resolve
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells

ROOT = Path(__file__).parents[1]


def test_one_after_another_is_the_mean_of_times():
    rates = {"a": Spread(2.0, 1.0, 4.0), "b": Spread(1.0, 1.0, 1.0)}
    # Two runs at 2 and one at 1 take two units of time for three.
    assert tables._one_after_another(rates, {"a": 2, "b": 1}) == pytest.approx((1.5, 1.0, 2.0))
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_the_cells_of_the_benchmark_are_those_of_table_1():
    config = tables.table1_config(64)
    assert config.networks.hidden == (64,)
    table1 = resolve(load_config(str(ROOT / "configs" / "table1.py")))
    names = [cell.name for cell in make_cells(config)]
    assert names == [cell.name for cell in make_cells(table1)]
    assert len(names) == 18


@pytest.mark.long
def test_small_benchmark(tmp_path, monkeypatch, capsys):
    def few_samples():
        config = default_config()
        config.data.n_train = 2_000
        return config

    monkeypatch.setattr(bench, "pick_devices", lambda *_: jax.devices()[:1])
    monkeypatch.setattr(tables, "default_config", few_samples)
    monkeypatch.setattr(tables, "MAIN", {"kappa": (4,), "d": (6,), "r": (2, 3)})
    monkeypatch.setattr(tables, "NARROW", {"kappa": (4,), "d": (6,), "r": (4,)})
    monkeypatch.setattr(tables, "WIDTHS", (4,))
    monkeypatch.setattr(tables, "GROWTH", {"runs": (4, 16)})
    monkeypatch.setattr(tables, "COSTS", {"d": (12,), "runs": (2,)})
    monkeypatch.setattr("mdvae.benchmark.measure.PRODUCT_SIZE", 64)
    monkeypatch.setattr("mdvae.benchmark.measure.COPY_FLOATS", 2**12)

    def absent(*_):
        raise ImportError

    monkeypatch.setattr(tables, "torch_rate", absent)
    file = tmp_path / "bench.json"
    assert bench.main(["bench", f"--json={file}", "--seconds=0.01", "--repeats=2"]) == 0
    found = json.loads(file.read_text())
    (row,) = found["table1"]
    assert row["ensemble"]["runs"] == 3
    assert row["ensemble_90"]["runs"] == 90
    assert row["torch_eager"] is None
    for name in ("ensemble", "ensemble_90"):
        samples = row[name]["samples"]
        assert 0 < samples["low"] <= samples["median"] <= samples["high"]
    config = tables.table1_config(4)
    flops = sum(step_flops(cell) for cell in make_cells(config))
    per_sample = row["ensemble"]["flops"]["median"] / row["ensemble"]["samples"]["median"]
    assert per_sample == pytest.approx(flops / (3 * 1_000))
    assert [point["value"] for point in found["growth"]["runs"]] == [4, 16]
    assert [point["value"] for point in found["growth"]["devices"]] == [1]
    assert found["machine"]["versions"]["jax"] == jax.__version__
    (cost,) = found["costs"]
    assert cost["rate"]["held_bytes"] > 2 * 3_000 * 12 * 4
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "ensemble / eager" in out
    assert "GFLOP/s" in out


def test_torch_loop_trains_the_same_model(tiny):
    torch = pytest.importorskip("torch")
    config = tiny({"kappa": (3,), "d": (6,), "r": (2,)})
    (cell,) = make_cells(config)
    x = np.random.default_rng(0).uniform(size=(400, 6)).astype(np.float32)
    model = _model(torch, cell, x)
    sizes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert sizes == [(8, 6), (6, 8), (8, 3), (6, 8)]  # outputs, inputs; two heads of kappa = 3
    assert len(torch_rate(config, cell, 0.01, 2, compiled=False)) == 2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--seconds=0", "--seconds: 0 is not usable; it must be above 0"),
        ("--repeats=0", "--repeats: 0 is not usable; it must be 1 or more"),
        ("--json=missing/x.json", "--json: missing is not a folder; give one that is"),
        ("--what=1", "--what: no such flag; see --help"),
        ("stray", "stray: not a flag; see --help"),
    ],
)
def test_flags_that_cannot_be_used(flag, message):
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", flag])
    assert str(caught.value) == message


def test_rates_are_plain_in_json():
    rate = Rate(1, Spread(1.0, 1.0, 1.0), Spread(2.0, 2.0, 2.0), 0.5, 8)
    plain = bench._plain({"a": [rate]})
    assert json.loads(json.dumps(plain))["a"][0]["flops"]["median"] == 2.0
