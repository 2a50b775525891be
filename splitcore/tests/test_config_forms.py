"""The forms of a configuration: short, full, older, and the one that a contract carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import splitcore
from splitcore.attacks.registry import ATTACKS
from splitcore.caches.choice import CacheChoice
from splitcore.caches.registry import CACHES
from splitcore.codecs.registry import CHOICES
from splitcore.config import RunConfig, config_hash, config_read, decided, written
from splitcore.config.written import NEWEST, frozen_defaults
from splitcore.errors import AppError
from splitcore.fields import FULL, names_of
from splitcore.methods.registry import METHODS
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.registry import DEFENCES
from splitcore.schedules.registry import SCHEDULES

DOCS = Path(__file__).parents[2] / "docs" / "methods"
MODEL = {"name_or_path": "acme/tiny"}
REGISTRIES: dict[str, list[Any]] = {
    "codecs": CHOICES,
    "caches": CACHES,
    "schedules": SCHEDULES,
    "methods": METHODS,
    "privacy": DEFENCES,
    "attacks": ATTACKS,
}
NEWER = {"wire": {"activations": {"name": "int8", "rounding": "stochastic"}}}


def parsed(**sections: Any) -> RunConfig:
    return RunConfig.parse({"model": MODEL, **sections})


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ({"schedule": "sequential"}, {"schedule": {"name": "sequential", "turn_steps": 1, "relay": True}}),
        ({"wire": {"gradients": "int4"}}, {"wire": {"gradients": {"name": "int4", "rounding": "nearest"}}}),
    ],
)
def test_a_name_alone_is_the_short_form_of_a_strategy(short: dict[str, Any], full: dict[str, Any]) -> None:
    assert parsed(**short) == parsed(**full)
    assert RunConfig.from_yaml(parsed(**full).to_yaml()) == parsed(**short)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"schedule": {"mode": "sequential", "turn_steps": 3}}, {"schedule": {"name": "sequential", "turn_steps": 3}}),
        ({"schedule": {"mode": "parallel", "turn_steps": 3}}, {"schedule": "parallel"}),
        ({"schedule": {"straggler": "pause"}}, {"schedule": {"name": "parallel", "straggler": "pause"}}),
        (
            {"wire": {"gradients": "int4", "gradient_rounding": "rotated"}},
            {"wire": {"gradients": {"name": "int4", "rounding": "rotated"}}},
        ),
        ({"wire": {"gradients": "bf16", "gradient_rounding": "rotated"}}, {"wire": {"gradients": "bf16"}}),
    ],
)
def test_the_older_form_is_read_as_what_it_meant(older: dict[str, Any], newer: dict[str, Any]) -> None:
    assert parsed(**older) == parsed(**newer)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"schedule": "sequentail"}, "Did you mean 'sequential'"),
        (
            {"schedule": {"name": "sequential", "aggregate_every": 2}},
            "isn't a field of the schedule sequential. It belongs to parallel",
        ),
        ({"schedule": {"mode": "sequential", "straggler": "pause"}}, "It belongs to parallel, personalised"),
        ({"schedule": {"name": []}}, "Name a schedule: parallel"),
        ({"schedule": None}, "Name a schedule"),
        ({"wire": {"activations": {"name": {"int8": 1}}}}, "Name a codec"),
        ({"methods": [{"name": []}]}, "Name a method"),
        ({"privacy": {"defences": ["gaussian", {"name": "gaussian", "clip": 2}]}}, "gaussian appears twice"),
        ({"privacy": {"mechanism": "noise"}}, "List the defences to apply"),
        ({"schedule": {"name": "parallel", "agregate_every": 2}}, "Did you mean 'aggregate_every'"),
        ({"wire": {"activations": "int9"}}, "Did you mean 'int8'"),
        ({"wire": {"gradients": {"name": "int8", "rounding": "rotated"}}}, "wire.gradients.int8.rounding"),
        ({"wire": {"gradient_rounding": "up"}}, "one of nearest, stochastic, rotated"),
        ({"wire": {"gradients": {"name": "int8"}, "gradient_rounding": "stochastic"}}, "not both"),
    ],
)
def test_a_wrong_strategy_or_field_is_named_with_what_is_right(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError, match="CL-1001") as caught:
        parsed(**sections)
    assert message in caught.value.message


def test_what_schema_1_can_say_is_written_in_it_and_in_full() -> None:
    config = parsed(
        schedule={"name": "sequential", "relay": False}, wire={"gradients": {"name": "int4", "rounding": "rotated"}}
    )
    schema, data = written(config)
    assert schema == 1
    assert data["schedule"] == frozen_defaults(1)["schedule"] | {"mode": "sequential", "relay": False}
    assert (data["wire"]["gradients"], data["wire"]["gradient_rounding"]) == ("int4", "rotated")
    assert data.keys() == frozen_defaults(1).keys()
    assert config_read(data, 1) == config


SEQUENCE = {"data": {"task": {"name": "sequence", "labels": ["cold", "hot"]}}}


@pytest.mark.parametrize(("schema", "sections"), [(2, NEWER), (3, SEQUENCE), (4, {"privacy": {"sums": "masked"}})])
def test_what_schema_1_cannot_say_is_written_in_the_oldest_that_can_without_its_defaults(
    schema: int, sections: dict[str, Any]
) -> None:
    config = parsed(**sections)
    assert written(config) == (schema, {"model": MODEL, **sections})
    assert config_read(written(config)[1], schema) == config


@pytest.mark.parametrize("defence", [defence for defence in DEFENCES if defence is not Gaussian])
def test_a_defence_that_came_later_raises_the_schema_so_that_an_older_version_names_the_one_it_needs(
    defence: type[Any],
) -> None:
    config = parsed(privacy={"defences": [defence.model_fields["name"].default]}, schedule="personalised")
    schema, data = written(config)
    assert schema == 4
    assert config_read(data, schema) == config
    assert config_read(data, 2) == config  # as it was written at first


def test_what_needs_no_newer_schema_keeps_the_hash_that_older_versions_computed() -> None:
    assert config_hash(parsed(**NEWER)) == "7b9bb5440bf04ec6a3bb676d6bace25cca01e8f7efed79ac2101b5280a40c0df"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "at least two labels"),
        (["hot"], "at least two labels"),
        (["hot", "hot"], "hot appears twice"),
        (["hot", "a,b"], "match"),
        (["hot", "=1+1"], "match"),
        (["hot", "a\nb"], "match"),
        (["hot", "x" * 61], "at most 60"),
        (["hot", "a\u202eb"], "can't be seen"),
        (["hot", "a\u200b"], "can't be seen"),
        (["hot", "a\ue000"], "can't be seen"),
        (["hot", "a\U000e0080"], "can't be seen"),
        ([str(number) for number in range(101)], "at most 100"),
    ],
)
def test_labels_that_cannot_be_told_apart_or_shown_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(AppError, match="CL-1001") as caught:
        parsed(data={"task": {"name": "sequence", "labels": labels}})
    assert message in caught.value.message


@pytest.mark.parametrize("sections", [{}, NEWER])
def test_plain_sums_are_written_as_before_there_were_others(sections: dict[str, Any]) -> None:
    before = written(parsed(**sections))
    assert before[0] < 3
    assert written(parsed(privacy={"sums": "plain"}, **sections)) == before
    assert not config_read(before[1], before[0]).privacy.masks_sums


@pytest.mark.parametrize(
    ("schedule", "organisations", "sums"),
    [
        ("parallel", ["one", "other"], "masked"),
        ("splitfed_v1", ["one", "other", "other"], "masked"),
        ("parallel", ["one"], "automatic"),
        ("parallel", ["one", "one"], "automatic"),  # two workers of one organisation hide nothing from it
        ("personalised", ["one", "other"], "automatic"),
        ("sequential", ["one", "other"], "masked"),
        ({"name": "sequential", "relay": False}, ["one", "other"], "automatic"),
        ({"name": "parallel", "straggler": "continue"}, ["one", "other"], "automatic"),
    ],
)
def test_sums_of_several_organisations_are_masked_unless_somebody_says_otherwise(
    schedule: Any, organisations: list[str], sums: str
) -> None:
    assert decided(parsed(schedule=schedule), organisations).privacy.sums == sums
    plain = parsed(schedule=schedule, privacy={"sums": "plain"})
    assert decided(plain, organisations) == plain


def test_a_strategy_is_written_with_all_its_fields_since_a_later_version_may_have_other_defaults() -> None:
    schema, data = written(parsed(privacy={"defences": ["gaussian"]}, schedule="splitfed_v1"))
    assert data["privacy"]["defences"] == [{"name": "gaussian", "clip": 10.0, "noise": 0.1}]
    assert data["schedule"] == {"name": "splitfed_v1", "group_clients": False, "aggregate_every": 1}
    assert config_read(data, schema) == parsed(privacy={"defences": ["gaussian"]}, schedule="splitfed_v1")


def test_a_contract_of_the_first_version_keeps_its_hash() -> None:
    config = parsed(
        schedule={"mode": "splitfed_v1", "aggregate_every": 4}, wire={"activations": "int8"}, lora={"rank": 4}
    )
    assert config_hash(config) == "08cf615b0a33274f971a0c35221aa2244ef1f75aec4776651b1ba109521f8a62"


def test_a_schema_of_a_later_version_is_refused_with_its_number() -> None:
    with pytest.raises(AppError, match="CL-1008") as caught:
        config_read({"model": MODEL}, NEWEST + 1)
    assert caught.value.details == {"schema": NEWEST + 1, "newest": NEWEST}


def test_the_defaults_of_the_newest_schema_are_the_ones_of_today() -> None:
    """Whoever changes a default, or adds a field, adds a schema: contracts leave defaults out."""
    today = parsed().model_dump(mode="json", context=FULL)
    assert frozen_defaults(NEWEST) == today | {"model": today["model"] | {"name_or_path": None}}


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [(kind, strategy) for kind, strategies in REGISTRIES.items() for strategy in strategies],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_each_strategy_lies_in_a_folder_with_its_name_and_a_page_of_it(kind: str, strategy: type[Any]) -> None:
    folder = strategy.__module__.split(".")[-2]
    assert strategy.__module__ == f"splitcore.{kind}.{folder}.config"
    assert kind == "codecs" or names_of_strategy(strategy) == (folder,)
    assert (DOCS / f"{folder}.md").is_file()


@pytest.mark.parametrize("kind", REGISTRIES)
def test_each_folder_of_strategies_is_in_its_registry(kind: str) -> None:
    folders = {path.parent.name for path in (Path(splitcore.__file__).parent / kind).glob("*/config.py")}
    assert folders == {strategy.__module__.split(".")[-2] for strategy in REGISTRIES[kind]}


def names_of_strategy(strategy: type[Any]) -> tuple[str, ...]:
    """A cache is asked for by a field of its own, and has its name beside it."""
    return (strategy.name,) if issubclass(strategy, CacheChoice) else names_of(strategy)
