"""What a data party's half charges its rows for: each release, before it leaves, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from splitcore.boundary.release import Plan, Reach, Sending
from splitcore.config import RunConfig
from splitcore.control.events import StepFinished
from splitcore.errors import AppError
from splitcore.launch.threads import run_in_threads
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfSettings
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Kind, Message, Phase
from splitcore.wire.protocol.session import Session

Model = Callable[[str], Path]
NOISE = {"defences": [{"name": "gaussian", "clip": 5.0, "noise": 2.0}]}
FROZEN = {"rank": 2, "train_head": False}
TRAINED, HELD_OUT = 6, 3
PROMPT = "item 3"


class Notes:
    """An accountant that lets `most` releases leave."""

    def __init__(self, most: int = 10**9) -> None:
        self.plans: list[Plan] = []
        self.sendings: list[Sending] = []
        self.order: list[str] = []  # of charges and of messages with hidden states
        self.most = most

    def begin(self, plan: Plan) -> None:
        """See `Accountant.begin`."""
        self.plans.append(plan)

    def charge(self, sendings: Sequence[Sending]) -> None:
        """See `Accountant.charge`."""
        if len(self.sendings) + len(sendings) > self.most:
            raise AppError("CL-1570")
        self.sendings += sendings
        self.order.append("charge")

    @property
    def times(self) -> dict[int | None, int]:
        """How often each row was sent; None: public prompts."""
        return dict(Counter(sending.row for sending in self.sendings))

    @property
    def releases(self) -> dict[int | None, int]:
        """How many different releases each row had."""
        return dict(Counter(row for row, _ in {(sending.row, sending.digest) for sending in self.sendings}))


@pytest.fixture
def train(model: Model, tmp_path: Path) -> Callable[..., Notes]:
    def run(
        notes: Notes, *, data: Sequence[dict[str, Any]] = (), prompts: Sequence[str] = (PROMPT,), **changes: Any
    ) -> Notes:
        config: RunConfig = run_config(model("llama"), **{"privacy": NOISE, **changes})
        settings = HalfSettings(
            config, ["a"], config.model.name_or_path, tmp_path / str(len(changes)), accountant=notes
        )
        run_in_threads(settings, {"a": data or rows(TRAINED)}, {"a": rows(HELD_OUT, word="held")}, prompts)
        return notes

    return run


TRAINING = {"steps": 6, "batch_size": 2, "eval_every": 2}  # two epochs, four evaluations


@pytest.mark.parametrize("cache", [False, True], ids=["sent each time", "kept by the server"])
def test_a_frozen_head_makes_one_release_of_a_row_however_often_it_is_sent(
    train: Callable[..., Notes], cache: bool
) -> None:
    notes = train(Notes(), lora=FROZEN, training={**TRAINING, "cache_activations": cache})
    assert notes.releases == dict.fromkeys(range(TRAINED + HELD_OUT), 1)
    assert [notes.times[row] for row in range(TRAINED)] == [1 if cache else 2] * TRAINED
    assert [notes.times[row] for row in range(TRAINED, TRAINED + HELD_OUT)] == [4] * HELD_OUT
    (plan,) = notes.plans
    assert (plan.mechanism, plan.reach) == ("gaussian", Reach.OWN)
    assert {row: times for row, (times, _) in plan.sendings.items()} == notes.releases


def test_a_trained_head_makes_a_release_of_every_sending_and_the_plan_knows_how_many(
    train: Callable[..., Notes],
) -> None:
    notes = train(Notes(), training=TRAINING)
    prompts = {None: notes.times[None]}
    assert notes.times == {**dict.fromkeys(range(6), 2), **dict.fromkeys(range(6, 9), 4), **prompts}
    assert notes.releases == notes.times
    (plan,) = notes.plans
    assert plan.reach is Reach.RUN
    assert {row: times for row, (times, _) in plan.sendings.items()} | prompts == notes.times
    planned = {row: squared for row, (_, squared) in plan.sendings.items()}
    assert all(one.squared == planned[one.row] for one in notes.sendings if one.row is not None)


@pytest.mark.parametrize("texts", [(PROMPT,), (PROMPT, "another item")], ids=["one", "two"])
def test_behind_a_trained_head_every_hidden_state_of_a_prompt_is_charged_and_planned(
    train: Callable[..., Notes], monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]
) -> None:
    monkeypatch.setattr("splitcore.step.evaluate.next_tokens", lambda logits_BLV, mask_BL: [7] * len(mask_BL))
    notes = train(Notes(), prompts=texts, training={**TRAINING, "max_length": 40})
    squares = [one.squared for one in notes.sendings if one.row is None]
    assert len(squares) == notes.releases[None] > 4 * len(texts) * 8  # evaluations, prompts, turns
    assert notes.plans[0].prompts == pytest.approx(math.fsum(squares))  # no answer ended early


def test_a_charge_is_by_the_row_s_own_length(train: Callable[..., Notes]) -> None:
    short, long = {"prompt": "a", "completion": " b"}, {"prompt": "a", "completion": " b" + " b" * 9}
    notes = train(Notes(), data=[short, long], lora=FROZEN, training={**TRAINING, "batch_size": 1})
    squared = {sending.row: sending.squared for sending in notes.sendings}
    tokens = {row: square * 2.0**2 / 4 for row, square in squared.items()}  # (2C√tokens / σC)²
    assert tokens[1] > tokens[0]
    assert all(math.isclose(value, round(value)) for value in tokens.values())


def test_rows_that_are_left_out_shift_nobody_s_number(train: Callable[..., Notes]) -> None:
    data = rows(4)
    data[1] = {"prompt": "x" * 60, "completion": " y"}  # fills the longest row by itself
    notes = train(Notes(), data=data, lora=FROZEN, training=TRAINING)
    assert set(notes.releases) == {0, 2, 3, 4, 5, 6}
    assert set(notes.plans[0].sendings) == {0, 2, 3, 4, 5, 6}


def test_every_message_with_hidden_states_of_rows_comes_after_its_charge(
    train: Callable[..., Notes], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, send = Notes(), Session.send

    def told(session: Session, message: Message, **how: Any) -> int:
        if message.kind is Kind.ACTIVATIONS and message.phase is Phase.HEAD_UP:
            notes.order.append("sent")
        return send(session, message, **how)

    monkeypatch.setattr(Session, "send", told)
    train(notes, training={**TRAINING, "eval_every": 0, "micro_batches": 2}, lora=FROZEN, prompts=())
    assert notes.order == ["charge", "sent"] * (6 * 2 + 2 * 3)  # two micro-batches a step; held-out rows twice, by one


def test_behind_a_frozen_head_public_prompts_are_not_charged(train: Callable[..., Notes]) -> None:
    notes = Notes()
    train(notes, training={**TRAINING, "steps": 1, "batch_size": TRAINED}, lora=FROZEN)
    assert notes.times == {**dict.fromkeys(range(TRAINED), 1), **dict.fromkeys(range(TRAINED, TRAINED + HELD_OUT), 2)}
    assert notes.plans[0].prompts == 0.0


def test_a_run_without_noise_is_noted_once_and_has_no_bound(train: Callable[..., Notes]) -> None:
    notes = train(Notes(), privacy={"defences": []}, training=TRAINING)
    assert notes.sendings == []
    (plan,) = notes.plans
    assert plan.mechanism == ""
    assert plan.sendings == dict.fromkeys(range(TRAINED + HELD_OUT), (1, math.inf))


def test_whoever_may_send_no_more_stops_within_the_step(
    train: Callable[..., Notes], model: Model, tmp_path: Path
) -> None:
    events: list[Any] = []
    config = run_config(model("llama"), privacy=NOISE, training={**TRAINING, "eval_every": 0})
    notes = Notes(most=HELD_OUT + 3 * 2)  # the first evaluation, and three steps
    settings = HalfSettings(config, ["a"], config.model.name_or_path, tmp_path, accountant=notes, emit=events.append)
    with pytest.raises(AppError) as caught:
        run_in_threads(settings, {"a": rows(TRAINED)}, {"a": rows(HELD_OUT, word="held")}, [])
    assert caught.value.code == "CL-1570"
    assert max(event.step for event in events if isinstance(event, StepFinished)) == 3
