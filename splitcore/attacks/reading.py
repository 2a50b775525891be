"""From the frames of a conversation to what they held, by the public algorithm alone (torch).

The observer decodes as the compute party does: with a boundary of its own, built from the run's configuration, so that
every codec and cache is undone. It has no tensor of a party but those of the frames.

Shapes: B rows of a micro-batch, L tokens, N real tokens of a row, D hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from splitcore.attacks.transcript import Crossing, Told, Transcript, Upload
from splitcore.boundary.boundary import ROWS
from splitcore.boundary.stages import At
from splitcore.codecs.tensors import decode, decode_all
from splitcore.control.clock import Clock
from splitcore.masking.fixed_point import from_fixed
from splitcore.models.carve import hidden_width
from splitcore.run.plan import RunPlan
from splitcore.step.link import number
from splitcore.step.stages import boundary_of
from splitcore.training.halves import wire_limits
from splitcore.wire.protocol.messages import FrameError, Kind, Message, Phase
from splitcore.wire.transport.recording import recorded_messages

FIELDS = {
    Phase.HEAD_UP: "hidden_ND",
    Phase.BODY_DOWN: "output_ND",
    Phase.TAIL_UP: "gradient_ND",
    Phase.BODY_GRAD_DOWN: "returned_ND",
}
UPLOADED = {Kind.ADAPTER_GRADIENTS: True, Kind.ADAPTER_WEIGHTS: False}
Slot = tuple[int, int, bool]


@dataclass
class _MicroBatch:
    """What has crossed of a micro-batch so far."""

    at: At
    numbers: tuple[int, ...] | None
    rows: dict[str, list[torch.Tensor]] = field(default_factory=dict)


class TranscriptReader:
    """Reads one party's recording. `plan`: of the run, from public facts alone."""

    def __init__(self, plan: RunPlan, party: str) -> None:
        config = plan.settings.config
        width = hidden_width(plan.model_config)
        self._plan, self._party = plan, party
        # caches at both ends, since what came down is coded too
        self._server = boundary_of(config, party, Clock(), width=width, holds=True)
        self._client = boundary_of(config, party, Clock(), width=width, holds=False)
        self._found: dict[Slot, _MicroBatch] = {}
        self._uploads: list[Upload] = []
        self._step = self._steps = 0
        self._told: dict[int, Told] = {}

    def read(self, path: Path) -> Transcript:
        """The whole conversation. Raises FrameError where it is none of this run, AppError CL-1309, CL-1313."""
        for message in self._messages(path):
            self._settle_before(message)
            if message.phase in FIELDS:
                self._take(message)
            elif message.kind in UPLOADED and message.tensors:
                self._uploads.append(Upload(message.step, UPLOADED[message.kind], self._uploaded(message)))
            self._note(message)
        crossings = [crossing for slot, found in self._found.items() for crossing in _crossings(slot, found)]
        return Transcript(self._party, crossings, self._uploads, self._steps, self._told)

    def _uploaded(self, message: Message) -> dict[str, torch.Tensor]:
        """The adapter's tensors; under masks, the numbers that they look like."""
        tensors = decode_all(message.tensors)
        return from_fixed(tensors) if self._plan.masked else tensors

    def _messages(self, path: Path) -> Iterator[Message]:
        plan, lora = self._plan, self._plan.settings.config.for_party(self._party).lora
        layout = plan.layout(lora)
        body = {name for name in layout.shapes if layout.held_by(name, plan.plans["body"])}
        up = wire_limits(plan, self._party, "server", layout, body, 1)
        down = wire_limits(plan, self._party, "client", layout, body, 1)
        return recorded_messages(path, up=up, down=down)

    def _note(self, message: Message) -> None:
        """What is said of the run's length and of a step."""
        if message.kind is Kind.WELCOME:
            self._steps = int(number(message, "steps"))
        elif message.kind is Kind.STEP_TOTAL:
            self._told[message.step] = Told(int(number(message, "tokens")))
        elif message.kind is Kind.AGGREGATE and "where" not in message.body and message.step in self._told:
            self._told[message.step] = replace(self._told[message.step], norm=number(message, "norm"))

    def _settle_before(self, message: Message) -> None:
        """What is remembered of rows counts from the end of a step on."""
        if message.phase in FIELDS and not message.evaluation and message.step != self._step:
            self._server.settle()
            self._client.settle()
            self._step = message.step

    def _take(self, message: Message) -> None:
        slot = message.step, message.micro, message.evaluation
        if message.phase is Phase.HEAD_UP:
            told = message.tensors.get(ROWS)
            numbers = None if told is None else tuple(int(row) for row in decode(told))
            self._found[slot] = _MicroBatch(self._server.at(message, "cpu"), numbers)
        found = self._found.get(slot)
        if found is None:
            raise FrameError("CL-1307", details={"phase": str(message.phase)})
        boundary = self._server if message.phase in (Phase.HEAD_UP, Phase.TAIL_UP) else self._client
        tensor_BLD = boundary.back(message, found.at, device="cpu", dtype=torch.float32)
        mask_BL = found.at.mask_BL.bool()
        found.rows[FIELDS[message.phase]] = [row_LD[mask_L] for row_LD, mask_L in zip(tensor_BLD, mask_BL, strict=True)]


def _crossings(slot: Slot, found: _MicroBatch) -> Iterator[Crossing]:
    step, micro, evaluation = slot
    for place in range(len(found.at.mask_BL)):
        tensors = {name: rows[place] for name, rows in found.rows.items()}
        number = None if found.numbers is None else found.numbers[place]
        yield Crossing(step, micro, place, evaluation, row=number, **tensors)
