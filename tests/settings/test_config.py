"""Config files become checked dataclasses, or one clear line."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import set_field, tiny_dict
from hypothesis import assume, given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from mdvae.settings.config import (
    FORMAT,
    SweepConfig,
    default_config,
    differences,
    from_json,
    resolve,
)
from mdvae.settings.fields import ConfigError, fields_of
from mdvae.settings.grid import make_cells
from mdvae.settings.protocols import published_protocol
from mdvae.settings.registry import DATA, SECTIONS

SIZES = {"kappa": (1,), "d": (2,), "r": (1,)}
KINDS = [(section, kind) for section, registry in SECTIONS.items() for kind in registry.names()]


def with_field(path, value):
    config = tiny_dict()
    set_field(config, path, value)
    return config


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("seeds", 0, "seeds: 0 is not usable; it must be a whole number, 1 or more"),
        ("seed", -1, "seed: -1 is not usable"),
        ("steps", -5, "steps: -5 is not usable"),
        ("steps", 1.5, "steps: 1.5 is not usable"),
        ("steps", True, "steps: True is not usable"),
        ("data.n_train", 0, "data.n_train: 0 is not usable"),
        ("data.n_eval", 0, "data.n_eval: 0 is not usable"),
        (
            "optimiser.learning_rate",
            0.0,
            "optimiser.learning_rate: 0.0 is not usable; it must be a number above 0",
        ),
        ("optimiser.learning_rate", float("nan"), "optimiser.learning_rate: nan is not usable"),
        (
            "networks.hidden",
            (0,),
            "networks.hidden: (0,) is not usable; it must be a tuple of layer widths",
        ),
        ("networks.hidden", 16, "networks.hidden: 16 is not usable"),
        (
            "networks.activation",
            "gelu",
            "networks.activation: 'gelu' is not usable; it must be one of relu",
        ),
        (
            "networks.output",
            "softmax",
            "networks.output: 'softmax' is not usable; it must be one of sigmoid, linear",
        ),
        (
            "data.preset",
            "mine",
            "data.preset: 'mine' is not usable; it must be one of authors, paper",
        ),
        ("optimiser.warmup", 1.0, "optimiser.warmup: 1.0 is not usable; it must be a fraction"),
        ("analysis.ad_threshold", 2.0, "analysis.ad_threshold: 2.0 is not usable"),
        ("save_every", 0, "save_every: 0 is not usable"),
        ("eval_every", -4, "eval_every: -4 is not usable; it must be a whole number, 0 or more"),
        (
            "eval_every",
            6,
            "eval_every: 6 is not usable; it must be a multiple of log_every = 4, or",
        ),
        ("memory_gib", -1.0, "memory_gib: -1.0 is not usable"),
        ("name", "a/b", "name: 'a/b' is not usable; it must be a name without '/'"),
        ("protocol", "theirs", "protocol: 'theirs' is not usable; it must be one of mdvae"),
        ("batch_size", 401, "batch_size: 401 is more than n_train = 400; it must be 400 or less"),
        ("stepz", 5, "stepz: no such field; did you mean steps?"),
        ("hidden", (8,), "hidden: no such field; did you mean networks.hidden?"),
        ("networks.hiden", (8,), "networks.hiden: no such field; did you mean hidden?"),
        ("networks", "mlp", "networks: 'mlp' is not usable; it must map fields to values"),
        ("seed", 2**31 - 1, "seeds: 2 from seed 2147483647 on passes"),
        ("seeds", 10**9, "seeds: 1000000000 is not usable; it must be a whole number, 1 or more,"),
        ("data.n_train", 10**12, "data.n_train: 1000000000000 is not usable"),
        ("networks.hidden", (1,) * 101, "networks.hidden: (1, 1,"),
        ("name", "a\nb", "name: 'a\\nb' is not usable; it must be a name without"),
        ("grid", (3, 5), "grid: (3, 5) is not usable; it must map axes to tuples of values"),
        ("grid", {}, "grid.kappa: missing; give at least one value"),
        ("grid", {"kappa": (1,), "d": (2,)}, "grid.r: missing; give at least one value"),
        ("grid", {**SIZES, "kappa": ()}, "grid.kappa: () is not usable"),
        ("grid", {**SIZES, "kappa": (0,)}, "grid.kappa: 0 is not usable"),
        ("grid", {**SIZES, "d": (2, 2)}, "grid.d: (2, 2) repeats a value"),
        (
            "grid",
            {"kapa": (1,), "d": (2,), "r": (1,)},
            "grid.kapa: no such field; did you mean kappa?",
        ),
        (
            "grid",
            {**SIZES, "n_train": (5,)},
            "grid.n_train: is one for the whole sweep and no axis; set data.n_train",
        ),
        ("grid", {"a": {**SIZES, "r": (-1,)}}, "grid.a.r: -1 is not usable"),
        (
            "grid",
            {**SIZES, "batch_size": (500,)},
            "grid.batch_size: 500 is more than n_train = 400",
        ),
        ("method.anneal", 0.5, "method.anneal: has no effect without levels to anneal to"),
        ("grid", {**SIZES, "anneal": (0.5,)}, "grid.anneal: has no effect without levels"),
        (
            "method.anneal",
            1.0,
            "method.anneal: 1.0 is not usable; it must be a fraction, 0 or more and below 1",
        ),
        ("data.sigma", -0.1, "data.sigma: -0.1 is not usable; it must be a number, 0 or more"),
        ("method.kl_warmup", -1.0, "method.kl_warmup: -1.0 is not usable"),
        ("group_by", ("t",), "group_by: ('t',) is not usable"),
        ("networks.decoder_hidden", (0,), "networks.decoder_hidden: (0,) is not usable"),
        (
            "grid",
            {**SIZES, "log_gamma": (0.0,), "log_gamma_init": (1.0,)},
            "grid.log_gamma_init: has no effect beside log_gamma",
        ),
    ],
)
def test_bad_values_are_refused_by_name(path, value, expected):
    with pytest.raises(ConfigError) as caught:
        make_cells(resolve(with_field(path, value)))
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "stored"),
    [
        ("steps", 1e3, 1000),
        ("seeds", np.int64(3), 3),
        ("steps", np.float32(7), 7),
        ("steps", np.array(7), 7),
        ("memory_gib", np.float64(0.5), 0.5),
        ("optimiser.learning_rate", np.float64(0.01), 0.01),
        ("networks.hidden", [64.0, np.int32(8)], (64, 8)),
        ("networks.hidden", np.array([64, 8]), (64, 8)),
        ("networks.hidden", range(3, 5), (3, 4)),
        ("grid", {**SIZES, "kappa": 20}, {**SIZES, "kappa": (20,)}),
        ("grid", {**SIZES, "r": range(1, 3)}, {**SIZES, "r": (1, 2)}),
        ("grid", {**SIZES, "r": np.arange(1, 3)}, {**SIZES, "r": (1, 2)}),
        ("grid", {**SIZES, "kappa": (1e0, np.uint8(2))}, {**SIZES, "kappa": (1, 2)}),
        ("grid", {**SIZES, "model": "cvae"}, {**SIZES, "model": ("cvae",)}),
        (
            "grid",
            {**SIZES, "hidden": np.array([[8, 4], [4, 2]])},
            {**SIZES, "hidden": ((8, 4), (4, 2))},
        ),
        (
            "grid",
            {**SIZES, "learning_rate": np.array([0.5, 1.0])},
            {**SIZES, "learning_rate": (0.5, 1.0)},
        ),
    ],
)
def test_a_value_is_stored_as_what_it_stands_for(path, value, stored):
    """Whole numbers however they are written, ranges, NumPy's numbers and arrays."""
    found = resolve(with_field(path, value))
    if path == "grid":
        found = found.grids[""]
        values = [each for axis in found.values() for each in axis]
    else:
        for name in path.split("."):
            found = getattr(found, name)
        values = [found]
    assert found == stored
    assert repr(found) == repr(stored)  # no number of NumPy is left
    assert all(type(each) in (int, float, str, tuple) for each in values)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "steps",
            np.float64(1.5),
            "steps: 1.5 is not usable; it must be a whole number, 1 or more",
        ),
        ("steps", np.zeros((2, 1)), "steps: ((0.0,), (0.0,)) is not usable"),
        ("steps", "1\n2", "steps: '1\\n2' is not usable"),
        ("networks.hidden", (8.5,), "networks.hidden: (8.5,) is not usable"),
        ("grid", {**SIZES, "r": range(2)}, "grid.r: 0 is not usable; it must be a whole number"),
        ("grid", {**SIZES, "r": range(2, 2)}, "grid.r: () is not usable; it must be a tuple with"),
        ("grid", {**SIZES, "r": (1, 1.0)}, "grid.r: (1, 1) repeats a value"),
        ("grid", {**SIZES, "r": "two"}, "grid.r: 'two' is not usable; it must be a whole number"),
        ("grid", {**SIZES, "r": {1, 2}}, "grid.r: {1, 2} is not usable; it must be a whole number"),
    ],
)
def test_what_only_looks_like_a_number_is_refused(path, value, expected):
    with pytest.raises(ConfigError) as caught:
        resolve(with_field(path, value))
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_config_takes_values_of_any_type_and_resolving_refuses_them():
    """ml_collections would refuse them where they are set, with neither section nor rule."""
    config = default_config()
    config.grid = ConfigDict({"wide": ConfigDict(SIZES), "narrow": SIZES})
    config.grid.wide.kappa = 20
    config.protocols.authors = published_protocol()
    config.protocols.authors.steps = "all"
    config.data.n_train = 1.5
    config.update({"seeds": 3.0})
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    message = "data.n_train: 1.5 is not usable; it must be a whole number, 1 or more"
    assert str(caught.value) == message
    config.data.n_train = 2e3
    resolved = resolve(config)
    assert resolved.grids["wide"]["kappa"] == (20,)
    assert (resolved.data.n_train, resolved.seeds) == (2000, 3)
    config.protocol = "authors"
    with pytest.raises(ConfigError, match=r"^steps: 'all' is not usable; it must be a whole"):
        resolve(config)


@pytest.mark.parametrize("path", ["steps", "networks.hidden", "data", "analysis"])
def test_what_is_missing_takes_its_default(path):
    config = tiny_dict()
    section, _, leaf = path.rpartition(".")
    del (config[section] if section else config)[leaf]
    resolved, default = resolve(config), resolve({**default_config().to_dict(), "grid": SIZES})
    for name in path.split("."):
        resolved, default = getattr(resolved, name), getattr(default, name)
    assert resolved == default


def test_an_empty_config_needs_a_grid_alone():
    assert resolve({"grid": SIZES}) == resolve({**default_config().to_dict(), "grid": SIZES})
    (cell,) = make_cells(resolve({"grid": SIZES}))
    assert cell.name == "kappa1-d2-r1"


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


def leaves():
    """Dotted names of all fields of the usual config, the kinds of its sections apart."""
    for name, value in default_config().items():
        if name in SECTIONS:
            yield from (f"{name}.{field}" for field in value if field != "kind")
        elif name not in ("grid", "protocols", "scales"):
            yield name


@given(path=st.sampled_from(list(leaves())), value=VALUES)
def test_any_value_is_accepted_or_refused_in_one_line(path, value):
    values = tiny_dict().to_dict()
    section, _, name = path.rpartition(".")
    (values[section] if section else values)[name] = value
    try:
        resolved = resolve(values)
    except ConfigError as error:
        assert str(error).startswith(path)
        assert "\n" not in str(error)
    else:
        given_value = tuple(value) if isinstance(value, list) else value
        place = getattr(resolved, section) if section else resolved
        assert getattr(place, name) == given_value


@pytest.mark.parametrize("field", ["protocols", "scales"])
def test_changes_that_are_none_are_refused(field):
    with pytest.raises(ConfigError, match=rf"^{field}: True is not usable; it must map names to"):
        resolve({"grid": SIZES, field: True})


def test_a_scale_makes_its_changes_and_the_command_line_wins():
    config = tiny_dict()
    config.scales = {"cpu": {"steps": 7, "seeds": 3}, "gpu": {"steps": 70}}
    config.scale = "gpu"
    assert resolve(config).steps == 70
    config.scale = "cpu"
    resolved = resolve(config, {"seeds"})
    assert (resolved.scale, resolved.steps, resolved.seeds) == ("cpu", 7, tiny_dict().seeds)
    again = from_json(json.loads(json.dumps(resolved.to_json())))
    assert again == resolved
    config.scale = "tpu"
    with pytest.raises(ConfigError, match=r"^scale: 'tpu' is not usable; it must be one of cpu, g"):
        resolve(config)
    with pytest.raises(ConfigError, match=r"^scale: 'cpu' has no effect on a config w"):
        resolve({"grid": SIZES, "scale": "cpu"})


def test_epochs_are_steps_over_whole_batches():
    config = tiny_dict(**{"data.n_train": 130, "batch_size": 40})
    config.epochs = 5
    assert resolve(config).steps == 5 * 3
    assert resolve(config, {"steps"}).steps == tiny_dict().steps
    assert from_json(json.loads(json.dumps(resolve(config).to_json()))) == resolve(config)
    config.grid.batch_size = (40, 43)
    assert resolve(config).steps == 15
    config.grid.batch_size = (40, 50)
    with pytest.raises(ConfigError, match=r"^epochs: 5 is not usable where epochs have 2 and 3 st"):
        resolve(config)


def test_epochs_of_cells_that_cannot_be_are_left_to_their_own_refusal():
    images = {"data": "images", "networks": "mlp", "n_train": 0, "epochs": 2}
    cases = (
        ({"dataset": ("mnist_sample", "file")}, r"^grid.dataset: 'file' is no value of an axis"),
        ({"dataset": ("file",)}, r"^grid.dataset: 'file' is no value of an axis"),
        ({"batch_size": (50, 2_000)}, r"^grid.batch_size: 2000 is more than n_train = 1600"),
    )
    for grid, message in cases:
        config = resolve(tiny_dict({"kappa": (3,), **grid}, **images))
        with pytest.raises(ConfigError, match=message):
            make_cells(config)


@given(section=st.sampled_from(list(SECTIONS)), value=st.text(min_size=1, max_size=4))
def test_an_unknown_kind_is_refused_in_one_line(section, value):
    assume(value not in SECTIONS[section].names())  # it tries words that stand in the code
    values = tiny_dict().to_dict()
    values[section]["kind"] = value
    with pytest.raises(ConfigError) as caught:
        resolve(values)
    assert str(caught.value).startswith(f"{section}.kind: {value!r} ")
    assert "\n" not in str(caught.value)


@given(
    st.dictionaries(
        st.sampled_from(["kappa", "d", "r", "log_gamma", "hidden", "data", "model", "q"]), VALUES
    )
)
def test_any_grid_is_accepted_or_refused_in_one_line(grid):
    try:
        resolved = resolve({**tiny_dict().to_dict(), "grid": grid})
    except ConfigError as error:
        assert str(error).startswith("grid")
        assert "\n" not in str(error)
    else:
        assert set(resolved.grids[""]) == {axis for axis in grid if grid[axis] is not None}


def test_an_axis_that_is_none_is_not_there(tiny):
    """A command line takes an axis away so."""
    with_axis = {**SIZES, "log_gamma": (-1.0,)}
    assert resolve({**tiny_dict().to_dict(), "grid": {**with_axis, "log_gamma": None}}) == tiny(
        SIZES
    )
    assert tiny(with_axis) != tiny(SIZES)


@pytest.mark.parametrize(("section", "kind"), KINDS)
def test_every_kind_has_a_config_of_its_own(section, kind):
    config = default_config(**{section: kind})
    registered = SECTIONS[section].find(kind)
    fields = fields_of(registered.settings)
    assert set(config[section]) == {"kind", *fields}
    assert config[section].kind == kind
    for field in fields.values():
        assert config[section][field.name] == field.default
    # The defaults pass the rules that the fields themselves declare.
    rest = {"protocols": None, "grid": given_sizes(config)}
    if kind in ("array", "array_given", "sequence_array"):  # which cannot do without a file
        with pytest.raises(ConfigError, match=r"^data\.path: missing; give a \.npy or \.npz file$"):
            resolve({**config.to_dict(), **rest})
        return
    if kind == "latents":  # nor this one without a sweep
        with pytest.raises(ConfigError, match=r"^data\.first: missing; give the run directory"):
            resolve({**config.to_dict(), **rest})
        return
    resolved = resolve({**config.to_dict(), **rest})
    own = getattr(resolved, section)
    assert own == registered.settings(kind=kind)


def given_sizes(config):
    """An axis of one value for each field that a config must be given."""
    return {
        name: (1,)
        for section, registry in SECTIONS.items()
        for name, field in fields_of(registry.find(config[section].kind).settings).items()
        if field.required
    }


def test_a_config_of_another_kind():
    config = default_config(data="union")
    assert config.data.kind == "union"
    assert "t" not in config.data
    config.grid = ConfigDict(SIZES)
    assert resolve(config).data == SECTIONS["data"].find("union").settings(kind="union")
    with pytest.raises(ConfigError, match=r"^dat: no such field; did you mean data\?$"):
        default_config(dat="union")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError) as caught:
        default_config(data="sphere")
    message = "data.kind: 'sphere' is not usable; it must be one of "
    assert str(caught.value).startswith(message)
    assert ", ".join(DATA.names()) in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        resolve(with_field("data.kind", "sphere"))
    assert str(caught.value).startswith(message)
    with pytest.raises(ConfigError) as caught:
        resolve(with_field("grid", {**SIZES, "data": ("manifold", "sphere")}))
    assert str(caught.value).startswith("grid.data: 'sphere' is not usable; it must be one of ")


def test_fields_of_another_kind_are_refused_unless_at_their_default():
    """A command line that changes the kind of a section leaves the other fields behind."""
    union = SECTIONS["data"].find("union").settings
    config = with_field("data.kind", "union")
    assert config.data.t == 0
    assert resolve(config).data == union(kind="union", n_train=400, n_eval=200)
    config.data.t = 4
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    expected = "data.t: 4 has no effect with data.kind 'union'; leave it out"
    assert str(caught.value) == expected
    config.data.t = 0
    config.data.condition = "random"
    with pytest.raises(ConfigError, match=r"^data\.condition: 'random' has no effect with"):
        resolve(config)


def test_protocol_sets_fields_and_command_line_wins():
    config = default_config()
    config.grid = ConfigDict({"kappa": (5,), "d": (6,), "r": (2,)})
    config.protocols.authors = published_protocol()
    config.protocol = "authors"
    config.steps = 7
    config.networks.hidden = (9,)
    config.networks.attention_hidden = 3
    published = resolve(config)
    networks = published.networks
    assert (published.batch_size, networks.hidden, networks.output) == (100_000, (16,), "linear")
    assert published.steps == 50_000
    assert networks.attention_hidden == 3  # of what a protocol does not name nothing is changed
    changed = resolve(config, overrides={"steps", "networks.hidden"})
    assert (changed.steps, changed.networks.hidden) == (7, (9,))
    assert (changed.batch_size, changed.networks.output) == (100_000, "linear")
    # A name without its section is another field, and a protocol not chosen changes nothing.
    assert resolve(config, overrides={"hidden"}).networks.hidden == (16,)
    config.protocol = "mdvae"
    assert (resolve(config).steps, resolve(config).networks.hidden) == (7, (9,))


def test_a_protocol_may_stand_where_a_section_does_not():
    values = {"grid": SIZES, "protocol": "p", "protocols": {"p": {"data": {"sigma": 0.5}}}}
    assert resolve(values).data.sigma == 0.5
    # A protocol is checked as what it changes is.
    values["protocols"]["p"] = {"networks": {"hiden": (3,)}}
    with pytest.raises(ConfigError, match=r"^networks\.hiden: no such field"):
        resolve(values)


def test_resolving_leaves_the_config_as_it_was():
    config = tiny_dict()
    config.protocols.authors = published_protocol()
    config.protocol = "authors"
    before = config.to_dict()
    resolve(config)
    assert config.to_dict() == before


def test_json_round_trip(tiny):
    grid = {"a": {"kappa": (3,), "d": (6,), "r": (2,), "hidden": ((4,), (8, 8))}}
    sections = {"data": "union", "model": "cvae", "prior": "learned", "log_gamma": -2.0}
    for config in (tiny(), tiny(grid, activation="tanh"), tiny(**sections, group_by=("d", "r"))):
        text = json.dumps(config.to_json())
        assert json.loads(text)["format"] == FORMAT
        assert from_json(json.loads(text)) == config


def test_json_keeps_the_name_of_a_protocol():
    config = tiny_dict()
    config.protocols.authors = published_protocol()
    config.protocol = "authors"
    config.data.n_train = 100_000
    resolved = resolve(config)
    read = from_json(json.loads(json.dumps(resolved.to_json())))
    assert read.protocol == "authors"
    assert read == resolved


@pytest.mark.parametrize("written", [FORMAT - 1, FORMAT + 1, str(FORMAT), None])
def test_json_of_another_format_is_refused(tiny, written):
    values = {**tiny().to_json(), "format": written}
    with pytest.raises(ConfigError) as caught:
        from_json(values)
    expected = f"format: {written!r} is not usable; this version of mdvae reads format {FORMAT}"
    assert str(caught.value).startswith(expected)


def test_json_without_a_format_is_older_and_refused(tiny):
    values = tiny().to_json()
    del values["format"]
    with pytest.raises(ConfigError, match=r"^format: 1 is not usable"):
        from_json(values)


def test_json_takes_defaults_for_fields_that_came_later(tiny):
    values = json.loads(json.dumps(tiny(activation="tanh", group_by=("d",)).to_json()))
    del values["networks"]["hidden"], values["optimiser"], values["group_by"], values["protocol"]
    read = from_json(values)
    assert (read.networks.hidden, read.networks.activation) == ((64,), "tanh")
    assert read.optimiser.learning_rate == 0.005
    assert read.group_by == ()
    assert read.protocol == "mdvae"


def test_differences_name_the_field(tiny):
    old, new = tiny(), tiny(steps=13)
    assert differences(old, old) == []
    assert differences(old, new) == ["steps: 12 -> 13"]
    # Lines of metrics with and without held-out scores do not stand in one directory.
    assert differences(old, tiny(eval_every=8)) == ["eval_every: 0 -> 8"]
    assert differences(old, tiny(hidden=(9,))) == ["networks.hidden: (8,) -> (9,)"]
    assert differences(old, tiny(data="union")) == ["data.kind: 'manifold' -> 'union'"]
    (only,) = differences(old, tiny(SIZES))
    assert only.startswith("grid: {'': {'kappa': (3, 5), ")
    both = differences(old, tiny(sigma=0.5, model="cvae"))
    assert both == ["data.sigma: 0.0 -> 0.5", "method.model: 'vae' -> 'cvae'"]


def test_differences_pass_over_what_decides_no_number(tiny):
    old = tiny()
    for change in (
        {"memory_gib": 1.0},
        {"log_every": 3},
        {"save_every": 1},
        {"name": "other"},
        {"ad_threshold": 0.1, "ad_min_gap": 2.0, "published": "table1"},
    ):
        assert tiny(**change) != old
        assert differences(old, tiny(**change)) == []
    assert differences(old, dataclasses.replace(old, protocol="authors")) == []


def test_resolved_config_is_frozen(tiny):
    config: SweepConfig = tiny()
    with pytest.raises(AttributeError):
        config.steps = 3
    with pytest.raises(AttributeError):
        config.networks.hidden = (3,)
