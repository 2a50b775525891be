"""Inputs and output of an attack (torch). Shapes: B rows, L tokens, N real tokens of a row, D hidden."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from splitcore.attacks.transcript import Transcript
from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At
from splitcore.control.clock import Clock
from splitcore.models.carve import Segment, hidden_width
from splitcore.models.files import weight_files
from splitcore.models.loading import load_segment, load_whole
from splitcore.privacy.secret import NAME
from splitcore.run.plan import RunPlan
from splitcore.step.stages import boundary_of
from splitcore.wire.protocol.messages import Kind, Message, Phase

UNKNOWN = -1  # the guess at a place where an attack has none
ROWS = 16  # rows per pass through the head
VALUES = 2**26  # numbers in the hidden states of the observer's own text: 256 MiB in fp32, and some minutes of training


@dataclass
class Knowledge:
    """What the observer knows besides the transcript.

    plan: the run's, from public facts, with the public base model. auxiliary: token ids (N,) of text of the observer's
    own. known: the token ids of those crossings whose row the observer knows, by their place in the transcript. seed:
    of whatever an attack draws.
    """

    plan: RunPlan
    party: str
    auxiliary: Sequence[torch.Tensor] = ()
    known: Mapping[int, torch.Tensor] = field(default_factory=dict)
    seed: int = 0

    def own_text(self, *, releases: int = 1) -> list[torch.Tensor]:
        """The observer's own rows in a drawn order: as many as memory allows so many releases of."""
        given = [row for row in self.auxiliary if len(row)]
        order = torch.randperm(len(given), generator=torch.Generator().manual_seed(self.seed)).tolist()
        room = VALUES // (self.width * releases)
        rows = list[torch.Tensor]()
        for place in order:
            room -= len(given[place])
            if room >= 0 or len(rows) < 2:
                rows.append(given[place])
        return rows

    @property
    def width(self) -> int:
        """D."""
        return hidden_width(self.plan.model_config)

    @cached_property
    def head(self) -> Segment:
        """The first layers as they are public."""
        return load_segment(self.plan.folder, self.plan.plans["head"], self.plan.settings.config.model)

    @cached_property
    def tail(self) -> Segment:
        """The last layers as they are public. Raises KeyError in a run whose client has none."""
        return load_segment(self.plan.folder, self.plan.plans["tail"], self.plan.settings.config.model)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The whole base model. Raises AppError CL-1103 where `has_whole_model` is false."""
        return load_whole(self.plan.folder, self.plan.settings.config.model)

    @property
    def has_whole_model(self) -> bool:
        """Whether all weights of the base model are here; a data party needs but those of its own layers."""
        return all(path.is_file() for path in weight_files(self.plan.folder))

    @cached_property
    def embedding(self) -> torch.Tensor:
        """The base model's input embedding (V, D)."""
        embedding: Any = self.head.model.get_input_embeddings()
        weight_VD: torch.Tensor = embedding.weight
        return weight_VD.detach().float()

    @torch.no_grad()
    def undefended(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The hidden states (N, D) that leave the public head, before a defence or a codec."""
        found = list[torch.Tensor]()
        for start in range(0, len(rows), ROWS):
            ids_BL, mask_BL = _padded(rows[start : start + ROWS])
            hidden_BLD = self.head(mask_BL, ids_BL=ids_BL).float()
            found += [row_LD[mask_L.bool()] for row_LD, mask_L in zip(hidden_BLD, mask_BL, strict=True)]
        return found

    @torch.no_grad()
    def released(self, rows: Sequence[torch.Tensor], *, draw: int = 0) -> list[torch.Tensor]:
        """What a party would hand over of these rows, as it arrives (N, D): the public head, the run's defences with a
        secret of the observer's own, and the codec. Each `draw` has noise of its own.
        """
        config, found = self.plan.settings.config, list[torch.Tensor]()
        with tempfile.TemporaryDirectory(prefix="cutlayer-attack-") as folder:
            # hidden from nobody: the noise follows from the seed, so that an attack can be repeated
            (Path(folder) / NAME).write_bytes(hashlib.sha256(f"observer {self.seed} {draw}".encode()).digest())
            place = Place(config, self.party, self.head, self.width, Path(folder))
            stages = [strategy.build(place) for strategy in config.cut_strategies]
            sender = boundary_of(config, self.party, Clock(), width=self.width, holds=False, client_stages=stages)
            receiver = boundary_of(config, self.party, Clock(), width=self.width, holds=True)
            for start in range(0, len(rows), ROWS):
                ids_BL, mask_BL = _padded(rows[start : start + ROWS])
                at = At(draw, start, mask_BL, ids_BL=ids_BL)
                leaving_BLD = sender.protect(self.head(mask_BL, ids_BL=ids_BL), Phase.HEAD_UP, at)
                sent = Message(
                    Kind.ACTIVATIONS, draw, start, Phase.HEAD_UP, tensors=sender.out(Phase.HEAD_UP, at, leaving_BLD)
                )
                hidden_BLD = receiver.back(sent, at, device="cpu", dtype=torch.float32)
                found += [row_LD[mask_L.bool()] for row_LD, mask_L in zip(hidden_BLD, mask_BL, strict=True)]
        return found


class Attack(Protocol):
    """Reads tokens from what crossed."""

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """The guessed token ids (N,) of each crossing's row, whatever the channel; UNKNOWN where there is no guess.

        An attack on uploads gives the distinct tokens of each upload of gradients instead.

        What leaves position t of the last layers is a statement about token t + 1, and so a guess at place t + 1.
        """
        ...


def _padded(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask (B, L)."""
    ids_BL = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BL, (torch.arange(ids_BL.shape[1]) < lengths_B[:, None]).long()
