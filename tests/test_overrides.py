"""What the command line says of a config is read as its fields are declared."""

import pytest
from conftest import tiny_dict
from ml_collections import ConfigDict

from mdvae import overrides
from mdvae.settings.config import resolve
from mdvae.settings.fields import ConfigError


def overridden(*arguments, config=None):
    """A small config with what a command line sets, resolved."""
    config = config or tiny_dict()
    texts, rest = overrides.split(arguments)
    assert rest == []
    overrides.apply(config, texts)
    return resolve(config, texts)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1e3", int, 1000.0),
        ("1_000", int, 1000),
        ("007", int, 7),
        ("0x10", int, 16),
        ("None", float, None),
        ("5", str, "5"),
        ("", str, ""),
        ("true", bool, True),
        ("False", bool, False),
        ("perhaps", bool, "perhaps"),
        ("20", tuple, (20,)),
        ("learned", tuple, ("learned",)),
        ("(2, 4)", tuple, (2, 4)),
        ("[2, 4]", tuple, (2, 4)),
        ("((8,), [4, 4])", tuple, ((8,), (4, 4))),
        ("range(2, 6)", tuple, (2, 3, 4, 5)),
        ("range(2,9,3)", tuple, (2, 5, 8)),
        ("range(x)", tuple, ("range(x)",)),
        ("(2, x)", tuple, "(2, x)"),
        ("None", tuple, None),
        ("{'a': 1}", object, {"a": 1}),
    ],
)
def test_a_text_is_read_as_what_it_is_to_be(text, kind, value):
    found = overrides.read(text, kind)
    assert found == value
    assert type(found) is type(value)


def test_overrides_are_told_from_other_arguments():
    arguments = [
        "--config.seeds=2",
        "--workdir",
        "w",
        "-config.seeds=3",
        "--config.steps",
        "7",
        "x",
    ]
    texts, rest = overrides.split(arguments)
    assert texts == {"seeds": "3", "steps": "7"}
    assert rest == ["--workdir", "w", "x"]


def test_a_choice_of_two_needs_no_value():
    assert overridden("--config.networks.attention").networks.attention is True
    assert overridden("--noconfig.networks.attention").networks.attention is False
    with pytest.raises(ConfigError, match=r"^steps: False is not usable"):
        overridden("--noconfig.steps")


def test_fields_are_read_by_their_declaration_and_not_by_what_a_file_has_there():
    config = tiny_dict()
    config.grid.r = 2
    config.steps = 1e3
    config.method.log_gamma = -1
    found = overridden(
        "--config.grid.r=(2,3)",
        "--config.steps=40",
        "--config.method.log_gamma=None",
        config=config,
    )
    assert (found.grids[""]["r"], found.steps, found.method.log_gamma) == ((2, 3), 40, None)


def test_an_axis_can_be_taken_away():
    config = tiny_dict({"kappa": (3,), "d": (6,), "r": (2,), "log_gamma": (-1.0, 0.0)})
    assert set(overridden("--config.grid.log_gamma=None", config=config).grids[""]) == {
        "kappa",
        "d",
        "r",
    }


def test_a_field_of_a_protocol_is_read_as_the_field_that_it_changes():
    config = tiny_dict()
    config.protocols.short = ConfigDict({"steps": 5, "networks": {"hidden": (4,)}})
    flags = ("--config.protocol=short", "--config.protocols.short.steps=2e0")
    found = overridden(*flags, "--config.protocols.short.networks.hidden=9", config=config)
    assert (found.steps, found.networks.hidden) == (2, (9,))


def test_what_is_no_field_is_refused_with_what_was_meant():
    for argument, message in (
        ("--config.stepz=3", "stepz: no such field; did you mean steps?"),
        ("--config.hidden=3", "hidden: no such field; did you mean networks.hidden?"),
        ("--config.steps.x=3", "steps.x: no such field"),
    ):
        with pytest.raises(ConfigError) as caught:
            overridden(argument)
        assert str(caught.value).startswith(message)
