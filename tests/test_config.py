"""Config files become checked dataclasses, or one clear line."""

import json

import pytest
from conftest import tiny_dict
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from mdvae.config import (
    ConfigError,
    SweepConfig,
    default_config,
    differences,
    from_json,
    published_protocol,
    resolve,
)


def with_field(name, value):
    config = tiny_dict()
    with config.ignore_type():
        config[name] = value
    return config


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seeds", 0, "seeds: 0 is not usable; it must be a whole number, 1 or more"),
        ("seed", -1, "seed: -1 is not usable"),
        ("steps", -5, "steps: -5 is not usable"),
        ("steps", 1.5, "steps: 1.5 is not usable"),
        ("steps", True, "steps: True is not usable"),
        ("n_train", 0, "n_train: 0 is not usable"),
        ("n_eval", 0, "n_eval: 0 is not usable"),
        ("learning_rate", 0.0, "learning_rate: 0.0 is not usable; it must be a number above 0"),
        ("learning_rate", float("nan"), "learning_rate: nan is not usable"),
        ("hidden", (0,), "hidden: (0,) is not usable; it must be a tuple of layer widths"),
        ("hidden", 16, "hidden: 16 is not usable"),
        ("activation", "gelu", "activation: 'gelu' is not usable; it must be one of relu"),
        ("output", "softmax", "output: 'softmax' is not usable; it must be one of sigmoid, linear"),
        ("preset", "mine", "preset: 'mine' is not usable; it must be one of authors, paper"),
        ("warmup", 1.0, "warmup: 1.0 is not usable; it must be a fraction"),
        ("ad_threshold", 2.0, "ad_threshold: 2.0 is not usable"),
        ("save_every", 0, "save_every: 0 is not usable"),
        ("memory_gib", -1.0, "memory_gib: -1.0 is not usable"),
        ("name", "a/b", "name: 'a/b' is not usable; it must be a name without '/'"),
        ("protocol", "theirs", "protocol: 'theirs' is not usable; it must be one of mdvae"),
        ("batch_size", 401, "batch_size: 401 is more than n_train = 400; it must be 400 or less"),
        ("stepz", 5, "stepz: no such field; did you mean steps?"),
        ("seeds", 2**31 + 1, "seeds: 2147483649 from seed 0 on passes"),
        ("grid", {}, "grid: is empty; give at least kappa, d and r"),
        ("grid", {"kappa": (1,), "d": (2,)}, "grid.r: missing; give at least one value"),
        ("grid", {"kappa": (), "d": (2,), "r": (1,)}, "grid.kappa: () is not usable"),
        ("grid", {"kappa": (0,), "d": (2,), "r": (1,)}, "grid.kappa: 0 is not usable"),
        ("grid", {"kappa": (1,), "d": (2, 2), "r": (1,)}, "grid.d: (2, 2) repeats a value"),
        ("grid", {"kapa": (1,), "d": (2,), "r": (1,)}, "grid.kapa: no such field; did you mean"),
        ("grid", {"a": {"kappa": (1,), "d": (2,), "r": (-1,)}}, "grid.a.r: -1 is not usable"),
        (
            "grid",
            {"kappa": (1,), "d": (2,), "r": (1,), "batch_size": (500,)},
            "batch_size: 500 is more than n_train = 400",
        ),
        ("anneal", 0.5, "anneal: has no effect without levels to anneal to"),
        ("anneal", 1.0, "anneal: 1.0 is not usable; it must be a fraction, 0 or more and below 1"),
        ("sigma", -0.1, "sigma: -0.1 is not usable; it must be a number, 0 or more"),
        ("kl_warmup", -1.0, "kl_warmup: -1.0 is not usable"),
        ("group_by", ("t",), "group_by: ('t',) is not usable"),
        ("decoder_hidden", (0,), "decoder_hidden: (0,) is not usable"),
        (
            "grid",
            {"kappa": (1,), "d": (2,), "r": (1,), "log_gamma": (0.0,), "log_gamma_init": (1.0,)},
            "grid.log_gamma_init: has no effect beside log_gamma",
        ),
    ],
)
def test_bad_values_are_refused_by_name(name, value, expected):
    with pytest.raises(ConfigError) as caught:
        resolve(with_field(name, value))
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_missing_field_is_named():
    config = tiny_dict()
    del config["steps"]
    with pytest.raises(ConfigError, match=r"^steps: missing"):
        resolve(config)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**7),
    st.floats(),
    st.text(max_size=4),
    st.tuples(),
    st.tuples(st.integers(-2, 9)),
    st.lists(st.integers(-2, 9), max_size=3),
)


@given(
    name=st.sampled_from([name for name in default_config() if name != "grid"]),
    value=VALUES,
)
def test_any_value_is_accepted_or_refused_in_one_line(name, value):
    values = {**tiny_dict().to_dict(), name: value}
    if name == "protocols":
        return
    try:
        resolved = resolve(values)
    except ConfigError as error:
        assert name in str(error)
        assert "\n" not in str(error)
    else:
        given_value = tuple(value) if isinstance(value, list) else value
        assert getattr(resolved, name) == given_value


@given(st.dictionaries(st.sampled_from(["kappa", "d", "r", "log_gamma", "hidden", "q"]), VALUES))
def test_any_grid_is_accepted_or_refused_in_one_line(grid):
    try:
        resolved = resolve({**tiny_dict().to_dict(), "grid": grid})
    except ConfigError as error:
        assert str(error).startswith("grid")
        assert "\n" not in str(error)
    else:
        assert set(resolved.grids[""]) == set(grid)


def test_protocol_sets_fields_and_command_line_wins():
    config = default_config()
    config.grid = ConfigDict({"kappa": (5,), "d": (6,), "r": (2,)})
    config.protocols.authors = published_protocol()
    config.protocol = "authors"
    config.steps = 7
    published = resolve(config)
    assert (published.batch_size, published.hidden, published.output) == (100_000, (16,), "linear")
    assert published.steps == 50_000
    changed = resolve(config, overrides={"steps"})
    assert changed.steps == 7
    assert changed.batch_size == 100_000


def test_json_round_trip(tiny):
    grid = {"a": {"kappa": (3,), "d": (6,), "r": (2,), "hidden": ((4,), (8, 8))}}
    for config in (tiny(), tiny(grid, activation="tanh")):
        text = json.dumps(config.to_json())
        assert from_json(json.loads(text)) == config


def test_differences_name_the_field(tiny):
    old, new = tiny(), tiny(steps=13)
    assert differences(old, old) == []
    assert differences(old, new) == ["steps: 12 -> 13"]
    assert differences(old, tiny(memory_gib=1.0)) == []


def test_resolved_config_is_frozen(tiny):
    config: SweepConfig = tiny()
    with pytest.raises(AttributeError):
        config.steps = 3
