"""The benchmark: its arithmetic against the compiler's count, and its output on a small case."""

import json

import jax
import numpy as np
import pytest

from mdvae import bench
from mdvae.flops import condition_sizes, layer_sizes, step_flops
from mdvae.grid import make_cells, make_groups
from mdvae.measure import Rate, Spread, spread
from mdvae.methods import cell_hparams
from mdvae.methods.vae import vae


@pytest.mark.parametrize("encoder_input", ["raw", "whitened"])
def test_flops_are_those_of_the_compiled_step(tiny, encoder_input):
    grid = {"kappa": (20,), "d": (24,), "r": (2,)}
    config = tiny(
        grid, hidden=(64, 48), batch_size=400, encoder_input=encoder_input, activation="linear"
    )
    (cell,) = make_cells(config)
    (group,) = make_groups((cell,))
    method = vae(group, 10, 0.3)
    state = method.init(jax.random.key(0), cell)
    x = np.zeros((24, 400), np.float32)
    noise = method.noise(jax.random.key(0), 400)
    hparams = jax.tree.map(np.float32, cell_hparams(cell))
    compiled = jax.jit(method.step).lower(state, {"x": x}, noise, hparams).compile()
    analysis = compiled.cost_analysis()
    assert analysis is not None
    # The compiler counts everything elementwise as well.
    assert 0.85 * analysis["flops"] < step_flops(cell) <= analysis["flops"]


def test_layers_of_a_cell(tiny):
    grid = {"kappa": (3,), "d": (7,), "r": (2,)}
    (cell,) = make_cells(tiny(grid, hidden=(5, 4), decoder_hidden=(6,)))
    assert layer_sizes(cell) == [(7, 5), (5, 4), (4, 6), (3, 6), (6, 7)]


def test_layers_on_a_condition(tiny):
    """Each network on c spares the gradient of its own input alone, whatever widths agree."""
    grid = {"kappa": (4,), "d": (7,), "r": (5,), "t": (4,)}
    fields = {"model": "cvae", "prior": "learned", "attention": True, "encoder_input": "raw"}
    (cell,) = make_cells(tiny(grid, hidden=(4,), batch_size=1, **fields))
    stages = condition_sizes(cell)
    assert stages[0] == [(4, 4), (4, 4), (4, 4)]
    assert stages[2] == [(4, 4), (4, 4)]
    assert stages[3] == [(4, 4), (4, 4), (4, 8)]
    products = sum(3 * a * b for stage in stages for a, b in stage) - 4 * 16
    main = 3 * (7 * 4 + 4 * 8 + 4 * 4 + 4 * 7) - 7 * 4
    assert step_flops(cell) == 2 * (products + main)


def test_one_after_another_is_the_mean_of_times():
    rates = {"a": Spread(2.0, 1.0, 4.0), "b": Spread(1.0, 1.0, 1.0)}
    # Two runs at 2 and one at 1 take two units of time for three.
    assert bench._one_after_another(rates, {"a": 2, "b": 1}) == pytest.approx((1.5, 1.0, 2.0))
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)


def test_small_benchmark(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "WIDTHS", (4,))
    monkeypatch.setattr(bench, "GROWTH", {"runs": (1, 4), "d": (10,)})
    monkeypatch.setattr(bench, "COSTS", {"d": (12,), "runs": (2,)})
    monkeypatch.setattr("mdvae.measure.PRODUCT_SIZE", 64)
    monkeypatch.setattr("mdvae.measure.COPY_FLOATS", 2**12)

    def absent(*_):
        raise ImportError

    monkeypatch.setattr(bench, "torch_rate", absent)
    file = tmp_path / "bench.json"
    assert bench.main(["bench", f"--json={file}", "--seconds=0.01", "--repeats=2"]) == 0
    found = json.loads(file.read_text())
    (row,) = found["table1"]
    assert row["ensemble"]["runs"] == 18
    assert row["ensemble_90"]["runs"] == 90
    assert row["torch_eager"] is None
    for name in ("ensemble", "ensemble_90"):
        samples = row[name]["samples"]
        assert 0 < samples["low"] <= samples["median"] <= samples["high"]
    config = bench.table1_config(4)
    flops = sum(step_flops(cell) for cell in make_cells(config))
    per_sample = row["ensemble"]["flops"]["median"] / row["ensemble"]["samples"]["median"]
    assert per_sample == pytest.approx(flops / (18 * 1_000))
    assert [point["value"] for point in found["growth"]["runs"]] == [1, 4]
    assert found["machine"]["versions"]["jax"] == jax.__version__
    (cost,) = found["costs"]
    assert cost["rate"]["held_bytes"] > 2 * 101_000 * 12 * 4
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "ensemble / eager" in out
    assert "GFLOP/s" in out


def test_torch_loop_trains_the_same_model(tiny):
    torch = pytest.importorskip("torch")
    from mdvae.torch_loop import _model, torch_rate

    config = tiny({"kappa": (3,), "d": (6,), "r": (2,)})
    (cell,) = make_cells(config)
    x = np.random.default_rng(0).uniform(size=(400, 6)).astype(np.float32)
    model = _model(torch, cell, x)
    sizes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert sizes == [(outputs, inputs) for inputs, outputs in layer_sizes(cell)]
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
    from mdvae.config import ConfigError

    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", flag])
    assert str(caught.value) == message


def test_rates_are_plain_in_json():
    rate = Rate(1, Spread(1.0, 1.0, 1.0), Spread(2.0, 2.0, 2.0), 0.5, 8)
    plain = bench._plain({"a": [rate]})
    assert json.loads(json.dumps(plain))["a"][0]["flops"]["median"] == 2.0
