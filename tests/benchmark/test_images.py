"""The benchmark of images: its net in PyTorch, its table, and its output on a small case."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from mdvae import bench
from mdvae.benchmark import images
from mdvae.benchmark.image_peers import image_model, torch_image_rate
from mdvae.benchmark.measure import Rate, Spread
from mdvae.networks.base import shapes_of
from mdvae.settings.fields import ConfigError
from mdvae.settings.grid import make_cells
from mdvae.settings.registry import NETWORKS


def made_up(samples, runs=1):
    """A rate of a single timing."""
    return Rate(runs, Spread(samples, samples, samples), Spread(2e9, 2e9, 2e9), 4.0, 8)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_net_has_the_published_numbers_of_parameters():
    torch = pytest.importorskip("torch")
    model = image_model(torch, (28, 28, 1), kappa=32, channels=5)
    assert count(model.encoder) == 4_490
    assert count(model.decoder) == 9_437
    assert count(model) == 4_490 + 9_437 + 1  # log gamma


def test_both_sides_train_a_net_of_the_same_size():
    torch = pytest.importorskip("torch")
    (cell,) = make_cells(images.images_config())
    networks = NETWORKS.find(cell.networks.kind).make(cell.networks, cell.sizes)
    params, _ = shapes_of(networks)
    ours = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    model = image_model(torch, cell.sizes.shape, cell.sizes.kappa, cell.networks.channels)
    assert count(model) == ours + 1  # log gamma is the method's


def test_parts_of_the_net_are_the_published_ones():
    torch = pytest.importorskip("torch")
    model = image_model(torch, (28, 28, 1), kappa=16, channels=5)
    slopes = [part.weight for part in model.modules() if isinstance(part, torch.nn.PReLU)]
    assert [slope.tolist() for slope in slopes] == [[0.25]] * 11
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, norm.affine) for norm in norms} == {(1e-5, 0.1, True)}
    biased = [part for part in model.modules() if getattr(part, "bias", None) is not None]
    assert not any(isinstance(part, torch.nn.Conv2d) for part in biased)
    assert sum(isinstance(part, torch.nn.ConvTranspose2d) for part in biased) == 2


@pytest.mark.parametrize("shape", [(12, 12, 3), pytest.param((28, 28, 1), marks=pytest.mark.long)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_net_learns_images_of_any_side(shape, channels_last):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    side, _, colours = shape
    model = image_model(torch, shape, kappa=3, channels=2).to(memory_format=layout)
    pixels = np.full((8, colours, side, side), 51, np.uint8)
    x = torch.from_numpy(pixels).contiguous(memory_format=layout)
    heads = model.encoder(x.float())
    assert tuple(heads.shape) == (8, 6)
    drawn = model.decoder(heads[:, :3])
    assert tuple(drawn.shape) == x.shape
    assert 0 <= float(drawn.min().detach()) <= float(drawn.max().detach()) <= 1
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = model(x)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    # With gamma = 1 no more than log 2 pi / 2 a pixel is lost, but for errors and the KL.
    least = 0.5 * side**2 * colours * np.log(2 * np.pi)
    assert least < losses[0]
    assert losses[-1] < losses[0]


def test_the_config_is_that_of_the_published_net():
    config = images.images_config()
    (cell,) = make_cells(config)
    assert cell.sizes.shape == (28, 28, 1)
    assert (cell.networks.kappa, cell.networks.channels, cell.batch_size) == (16, 5, 512)
    assert cell.optimiser.learning_rate == 0.002


def test_rows_and_table_of_made_up_rates(capsys):
    rates = {
        "one": [made_up(2_000.0), made_up(3_000.0), made_up(2_500.0)],
        "three": [made_up(6_000.0, 3)] * 3,
    }
    peers = {"PyTorch": [1_000.0, 1_000.0, 500.0], "PyTorch, channels last": [2_000.0] * 3}
    one, three, eager, last = images.make_rows(rates, peers)
    assert (one["way"], one["runs"], three["runs"], eager["runs"]) == ("one", 1, 3, 1)
    assert one["samples"] == (2_500.0, 2_000.0, 3_000.0)
    assert one["over"]["PyTorch"] == (3.0, 2.0, 5.0)  # each timing over that of its turn
    assert last["over"]["PyTorch"] == (2.0, 2.0, 4.0)
    assert eager["compile_seconds"] is None
    images.print_images([one, three, eager, last])
    lines = capsys.readouterr().out.splitlines()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert rows[0][1:4] == ["samples/s", "/ PyTorch", "/ PyTorch, channels last"]
    assert rows[2] == [
        "one",
        "2,500 (2,000-3,000)",
        "3.00 (2.00-5.00)",
        "1.25 (1.00-1.50)",
        "4.0 (4.0-4.0)",
    ]
    assert rows[4][-2:] == ["0.50 (0.25-0.50)", "–"]


def test_table_without_pytorch(capsys):
    rows = images.make_rows({"one": [made_up(2_000.0)]}, {"PyTorch": []})
    assert rows[1]["samples"] is None
    assert rows[0]["over"] == {"PyTorch": None}
    images.print_images(rows)
    assert "2,000 (2,000-2,000)" in capsys.readouterr().out
    assert json.loads(json.dumps(bench._plain(rows)))[0]["samples"]["low"] == 2_000.0


def test_ways_take_turns(monkeypatch):
    turns = []

    def ours(config, devices, seconds, repeats, n_runs):
        turns.append(n_runs)
        return made_up(100.0 * n_runs, n_runs)

    def theirs(cell, seconds, repeats, channels_last):
        turns.append(channels_last)
        return [50.0] * repeats

    monkeypatch.setattr(images, "training_rate", ours)
    monkeypatch.setattr(images, "torch_image_rate", theirs)
    rows = images.measure_images(jax.devices()[:1], images.Timing(1.0, 2))
    assert turns == [1, 3, False, True] * 2
    assert [row["samples"].median for row in rows] == [100.0, 300.0, 50.0, 50.0]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--png=growth.png", "--png: has no effect with --images; leave it out"),
        ("--no_growth", "--no_growth: has no effect with --images; leave it out"),
        ("--repeats=0", "--repeats: 0 is not usable; it must be 1 or more"),
        ("--images=7", "--images: '7' is not usable; it must be True or False"),
    ],
)
def test_flags_that_cannot_be_used(flag, message):
    with pytest.raises(ConfigError) as caught:
        bench.parse(["bench", "--images", flag])
    assert str(caught.value) == message


def test_flag_chooses_the_benchmark():
    assert not bench.parse(["bench"]).images
    assert bench.parse(["bench", "--images"]).images


def test_torch_loop_trains_the_config():
    torch = pytest.importorskip("torch")
    (cell,) = make_cells(images.images_config())
    small = dataclasses.replace(cell, batch_size=8)
    threads = torch.get_num_threads()
    rates = torch_image_rate(small, 0.01, 2, channels_last=True, threads=1)
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
    assert torch.get_num_threads() == threads


@pytest.mark.long
@pytest.mark.usefixtures("optimised")
def test_small_benchmark(tmp_path, capsys):
    file = tmp_path / "images.json"
    assert bench.main(["bench", "--images", "--seconds=0.01", "--repeats=1", f"--json={file}"]) == 0
    found = json.loads(file.read_text())
    ours = found["images"][:2]
    assert [row["runs"] for row in ours] == [1, 3]
    for row in ours:
        assert row["samples"]["median"] > 0
        assert row["compile_seconds"]["median"] > 0
    for row in found["images"][2:]:
        assert (row["samples"] is None) == (found["torch"] is None)
    out = capsys.readouterr().out
    assert "PyTorch, channels last" in out
    assert "numbers: " in out
