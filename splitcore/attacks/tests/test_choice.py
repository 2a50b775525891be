"""Which runs an attack fits."""

from __future__ import annotations

import pytest

from splitcore.attacks.choice import AttackChoice, LeakChannel
from splitcore.attacks.interface import Attack
from splitcore.config import RunConfig


def choice(channel_: LeakChannel) -> AttackChoice:
    class Some(AttackChoice):
        name: str = "some"
        channel = channel_

        def build(self) -> Attack:
            raise AssertionError("whether an attack fits is asked before it is built")

    return Some()


def config(topology: str) -> RunConfig:
    return RunConfig.parse({"model": {"name_or_path": "some/model"}, "split": {"topology": topology}})


@pytest.mark.parametrize("channel", [LeakChannel.OUTPUT, LeakChannel.GRADIENT])
def test_where_the_server_has_the_last_layers_it_is_sent_the_targets(channel: LeakChannel) -> None:
    assert "sent the target tokens" in choice(channel).refuses(config("vanilla"))
    assert choice(channel).refuses(config("u_shape")) == ""


@pytest.mark.parametrize("channel", [LeakChannel.HIDDEN, LeakChannel.UPLOADS])
def test_hidden_states_and_uploads_cross_in_every_topology(channel: LeakChannel) -> None:
    assert not any(choice(channel).refuses(config(topology)) for topology in ("vanilla", "u_shape"))
