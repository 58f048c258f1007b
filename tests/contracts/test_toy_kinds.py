"""A data kind, networks, a method and a report section of one's own, from this file alone.

All that a new system brings is defined here: arrays made on the host with samples first, read in
epochs; a linear auto-encoder with a running mean; two optimisers that take turns. The commands
train, resume and report it without knowing any of it.
"""

import dataclasses
import json
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
from ml_collections import ConfigDict

import mdvae
from mdvae import cli, report, sweep
from mdvae.data.base import EPOCH, DataKind, DataSizes
from mdvae.methods import vae
from mdvae.methods.base import Method, MethodKind, TrainState, networks_of
from mdvae.networks.base import Diagonal, Networks, NetworksKind
from mdvae.settings.config import default_config
from mdvae.settings.fields import ABOVE_ZERO, ConfigError, Section, fixed, number, required, whole
from mdvae.settings.grid import Part
from mdvae.settings.registry import DATA, METHODS, NETWORKS

# ---- data ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Lines(Section):
    """Points on a line through 0 in R^d, with noise, as rows of a table."""

    d: int = required(whole(2))
    spread: float = number(1.0, ABOVE_ZERO)
    rows: int = fixed(96, whole(8))


class LinesTable(NamedTuple):
    seed: int
    d: int
    spread: float


def make_lines(law, table, n, split, part):
    rng = np.random.default_rng([table.seed, table.d, split == "eval"])
    direction = np.random.default_rng(table.seed).normal(size=table.d)
    x = table.spread * rng.normal(size=(n, 1)) * direction + 0.1 * rng.normal(size=(n, table.d))
    halves = {None: slice(None), 0: slice(None, n // 2), 1: slice(n // 2, None)}
    return {"x": x[halves[part]].astype(np.float32)}


LINES = DataKind(
    settings=Lines,
    sizes=lambda settings, told: DataSizes(settings.d),
    samples=lambda settings: (settings.rows, 40),
    table=lambda settings, seed: LinesTable(seed, settings.d, settings.spread),
    make=make_lines,
    shapes=lambda sizes: {"x": (sizes.d,)},
    sample_axis=0,
    parts=lambda settings: (Part(0), Part(1)),
    order=EPOCH,
    traced=False,
)

# ---- networks ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Linear(Section):
    """z = W (x - running mean), x = V z + running mean."""

    kappa: int = required(whole(1))


def make_linear(settings, sizes):
    def init(key):
        keys = jax.random.split(key)
        params = {
            "encoder": 0.3 * jax.random.normal(keys[0], (sizes.kappa, sizes.d)),
            "decoder": 0.3 * jax.random.normal(keys[1], (sizes.d, sizes.kappa)),
        }
        return params, {"mean": jnp.zeros(sizes.d)}

    def encode(params, stats, batch, train):
        x_BD = batch["x"]
        if train:
            stats = {"mean": 0.9 * stats["mean"] + 0.1 * x_BD.mean(axis=0)}
        z_KB = params["encoder"] @ (x_BD - stats["mean"][None, :]).T
        return Diagonal(z_KB, jnp.zeros_like(z_KB)), stats

    def decode(params, stats, z_KB, batch, train):
        return (params["decoder"] @ z_KB).T + stats["mean"][None, :], stats

    return Networks(init, encode, decode)


LINEAR = NetworksKind(settings=Linear, make=make_linear)

# ---- method --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TurnTaking(Section):
    """Encoder and decoder are trained in turns, by an optimiser each."""

    jitter: float = number(0.01, ABOVE_ZERO)


def make_turns(group, steps, networks):
    optimisers = {"encoder": optax.sgd(0.01), "decoder": optax.adam(0.01)}

    def init(key, cell):
        params, stats = networks_of(cell).init(key)
        opt = {name: optimiser.init(params[name]) for name, optimiser in optimisers.items()}
        return TrainState(params, stats, opt, jnp.zeros((), jnp.int32))

    def errors(params, stats, batch, noise, numbers, train):
        posterior, stats = networks.encode(params, stats, batch, train)
        z_KB = posterior.mean + numbers["jitter"] * noise
        mask_K = (jnp.arange(group.sizes.kappa) < numbers["kappa"].astype(int)).astype(noise.dtype)
        x_hat, stats = networks.decode(params, stats, z_KB * mask_K[:, None], batch, train)
        return jnp.sum((batch["x"] - x_hat) ** 2, axis=1), stats

    def step(state, batch, noise, numbers):
        def loss(params):
            found, stats = errors(params, state.stats, batch, noise, numbers, True)
            return found.mean(), stats

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        params, opt = dict(state.params), dict(state.opt)
        for turn, (name, optimiser) in enumerate(optimisers.items()):
            with jax.numpy_dtype_promotion("standard"):
                change, new = optimiser.update(grads[name], opt[name])
            mine = state.step % 2 == turn
            params[name] = params[name] + jnp.where(mine, change, 0.0)
            opt[name] = jax.tree.map(lambda a, b, mine=mine: jnp.where(mine, a, b), new, opt[name])
        turned = {"error": value, "turn": (state.step % 2).astype(jnp.float32)}
        return TrainState(params, stats, opt, state.step + 1), turned

    def score(state, batch, noise, numbers):
        found, _ = errors(state.params, state.stats, batch, noise, numbers, False)
        return {"error": found, "size": jnp.sum(batch["x"] ** 2, axis=1)}

    return Method(
        init=init,
        start=lambda state, numbers: state,
        noise=lambda key, n: jax.random.normal(key, (group.sizes.kappa, n)),
        step=step,
        score=score,
        logged=("error", "turn"),
        blocks=("error",),
    )


TURNS = MethodKind(settings=TurnTaking, make=make_turns)


# ---- what the commands make of them --------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch):
    """The kinds, registered as a module of one's own would, for one test."""
    for registry, name, kind in (
        (DATA, "lines", LINES),
        (NETWORKS, "linear", LINEAR),
        (METHODS, "turns", TURNS),
    ):
        registry.names()
        monkeypatch.setitem(registry._kinds, name, kind)


CONFIG = """
from test_toy_kinds import toy_config as get_config
"""


def toy_config() -> ConfigDict:
    """Four cells of three sizes in one program."""
    config = default_config(data="lines", networks="linear", method="turns")
    config.name = "toy"
    config.grid = ConfigDict({"kappa": (1, 3), "d": (3, 5)})
    config.update({"seeds": 2, "steps": 400, "batch_size": 16})
    config.update({"log_every": 50, "save_every": 100, "eval_every": 100})
    return config


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    """A config file that imports this module, as a user's would import his own."""
    monkeypatch.syspath_prepend(str(__file__).rpartition("/")[0])
    path = tmp_path / "toy.py"
    path.write_text(CONFIG)
    return path


def run_sweep(config_file, workdir, *flags):
    return sweep.main(["sweep", f"--config={config_file}", f"--workdir={workdir}", *flags])


FILES = ("results.csv", "metrics.jsonl", "blocks.csv", "parts.csv")


def test_own_kinds_train_resume_and_report(registered, config_file, tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run_sweep(config_file, whole) == 0
    output = capsys.readouterr().out
    assert "1 group(s)" in output
    assert "median error" in output
    assert "Theorem" not in output  # data without a truth: nothing is right or wrong

    # Killed before its third checkpoint: in the middle of an epoch.
    with runs.killed_at_checkpoint(3):
        run_sweep(config_file, broken)
    assert run_sweep(config_file, broken) == 0
    assert "resuming from step 200" in capsys.readouterr().out
    for name in FILES:
        assert (broken / name).read_bytes() == (whole / name).read_bytes()

    run = mdvae.load_run(whole)
    assert len(run.results) == 8
    assert {row["status"] for row in run.results} == {"ok"}
    assert {tuple(row)[6:10] for row in run.results} == {("status", "steps", "error", "size")}
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert list(lines[0]) == ["cell", "seed", "step", "error", "turn"]
    scored = [line["step"] for line in lines if "eval_error" in line and "eval_size" in line]
    assert scored == [step for step in (100, 200, 300, 400) for _ in range(8)]
    text = (whole / "report.md").read_text()
    assert "| error |" in " ".join(text.split())
    assert "error and turn over training" in text
    assert (whole / "figures" / "training.png").is_file()
    assert report.main(["report", str(whole)]) == 0
    assert (whole / "report.md").read_text() == text


@pytest.mark.long
def test_own_method_learns_the_line_and_can_be_applied(registered, config_file, tmp_path):
    assert run_sweep(config_file, tmp_path / "w", "--config.seeds=1") == 0
    run = mdvae.load_run(tmp_path / "w")
    for row in run.results:
        # One latent is enough for a line; the rest is noise of 0.01 a dimension.
        assert row["error"] < 0.1 * row["size"]
    x = run.samples("kappa1-d5", 0, 40)
    assert x.shape == (40, 5)
    z, _ = run.encode("kappa1-d5", 0, x)
    x_hat = run.decode("kappa1-d5", 0, z)
    assert z.shape == (40, 1)
    assert np.mean((x - x_hat) ** 2) < 0.1 * np.var(x)
    stats = run.model("kappa1-d5", 0).stats
    # The running mean has seen the training data and kept still in evaluation.
    train = run.samples("kappa1-d5", 0, 96, purpose="train")
    np.testing.assert_allclose(stats["mean"], train.mean(axis=0), atol=0.5 * train.std())
    assert np.abs(stats["mean"]).max() > 0


@pytest.mark.long
def test_own_kinds_are_padded_and_grouped(registered, config_file, tmp_path):
    """A cell in the sweep has the numbers that it has alone."""
    assert run_sweep(config_file, tmp_path / "all", "--config.seeds=1") == 0
    flags = ("--config.seeds=1", "--config.grid.kappa=(1,)", "--config.grid.d=(3,)")
    assert run_sweep(config_file, tmp_path / "one", *flags) == 0
    (alone,) = mdvae.load_run(tmp_path / "one").results
    (among,) = (
        row for row in mdvae.load_run(tmp_path / "all").results if row["cell"] == alone["cell"]
    )
    assert among["error"] == pytest.approx(alone["error"], rel=1e-3)


def test_own_fields_are_axes_with_rules(registered, config_file, tmp_path):
    # Axes that the file's grid does not have.
    flags = ("--config.grid.spread=(0.5,2.)", "--config.grid.jitter=(0.1,)", "--config.steps=4")
    assert run_sweep(config_file, tmp_path / "w", *flags) == 0
    run = mdvae.load_run(tmp_path / "w")
    assert len(run.cells) == 8
    assert len(run.manifest["programs"]) == 1
    assert run.cells[0].name == "kappa1-d3-spread=0.5-jitter=0.1"
    assert "| spread |" in " ".join((tmp_path / "w" / "report.md").read_text().split())
    for flag, message in (
        ("--config.data.spread=-1", "data.spread: -1.0 is not usable; it must be a number above"),
        ("--config.data.sprad=1", "data.sprad: no such field; did you mean spread?"),
        ("--config.grid.d=(1,)", "grid.d: 1 is not usable; it must be a whole number, 2 or more"),
        ("--config.batch_size=97", "batch_size: 97 is more than n_train = 96"),
    ):
        with pytest.raises(ConfigError) as caught:
            run_sweep(config_file, tmp_path / "x", flag)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


@pytest.mark.long
def test_a_kind_of_a_module_is_found_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "import dataclasses\n"
        "from mdvae.networks.mlp import MLP, make\n"
        "from mdvae.networks.base import NetworksKind\n"
        "from mdvae.settings.registry import NETWORKS\n"
        'NETWORKS.add("mine", NetworksKind(settings=MLP, make=make))\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(NETWORKS, "_kinds", dict(NETWORKS._kinds))
    config = default_config(networks="my_models:mine")
    assert config.networks.kind == "my_models:mine"
    path = tmp_path / "own.py"
    path.write_text(
        "from mdvae.settings.config import default_config\n\n"
        "def get_config():\n"
        '    config = default_config(networks="my_models:mine")\n'
        '    config.grid = {"kappa": (2,), "d": (4,), "r": (2,)}\n'
        '    config.update({"seeds": 1, "steps": 2, "batch_size": 10})\n'
        '    config.data.update({"n_train": 50, "n_eval": 20})\n'
        "    return config\n"
    )
    assert run_sweep(path, tmp_path / "w") == 0
    assert mdvae.load_run(tmp_path / "w").config.networks.kind == "my_models:mine"
    assert cli.USER_ERROR == 2
    with pytest.raises(ConfigError, match=r"^networks\.kind: 'nowhere:x' cannot be imported"):
        run_sweep(path, tmp_path / "v", "--config.networks.kind=nowhere:x")


def make_plain(group, steps, networks):
    """The VAE under other names, and without counts of its dimensions."""
    method = vae.make(group, steps, networks)

    def step(*arguments):
        state, info = method.step(*arguments)
        return state, {"error": info["recon"]}

    def score(*arguments):
        found = method.score(*arguments)
        return {"error": found["recon"], "cost": found["nelbo"]}

    return method._replace(step=step, score=score, logged=("error",), blocks=("error",))


PLAIN = MethodKind(settings=vae.VAE, make=make_plain, numbers=vae.numbers)


@pytest.mark.long
def test_methods_of_other_names_stand_in_one_report(tmp_path, monkeypatch):
    """Nothing is asked of a method that it does not score, and nothing said of it."""
    METHODS.names()
    monkeypatch.setitem(METHODS._kinds, "plain", PLAIN)
    path = tmp_path / "w"
    flags = ("--config.grid.method=('plain','vae')", "--config.eval_every=40")
    assert runs.run_sweep(runs.SMALL, path, *flags, figures=True) == 0
    rows = mdvae.load_run(path).results
    assert [row["error"] is None for row in rows] == [row["nelbo"] is not None for row in rows]
    assert [row["ad"] is None for row in rows] == ["plain" in row["cell"] for row in rows]
    assert not any("plain" in row["cell"] and row["warnings"] for row in rows)
    text = (path / "report.md").read_text()
    assert re.search(r"AD = r by the 0.05 rule in \d of 2 ", text)  # the runs of the VAE alone
    own = text.partition("small: other scores, mean and 95 % interval over 2 seeds.\n\n")[2]
    header, _, only, end, *_ = own.splitlines()
    assert [word.strip() for word in header.split("|")[-5:-1]] == [
        "method",
        "cost",
        "error",
        "runs",
    ]
    assert only.split("|")[4].strip() == "plain"
    assert end == ""
    assert "![error, nelbo and γ over training]" in text
    # Without any counts the same scores are the main table.
    few = "--config.grid.method=('plain',)"
    assert runs.run_sweep(runs.SMALL, tmp_path / "few", few) == 0
    main = (tmp_path / "few" / "report.md").read_text()
    assert re.search(r"\| +cost \| +error \| +runs \|", main)
    assert "other scores" not in main
