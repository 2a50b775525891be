"""Which tokens of a captured row count, by the channel that is attacked (torch)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.figures import Truth
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import Capture, Row
from splitcore.data.tokenise import IGNORED


def truths_of(
    taken: Capture, transcript: Transcript, channel: LeakChannel, *, special: Collection[int] = ()
) -> list[Truth]:
    """What each crossing of the transcript really was.

    Through h every token of a row may be read but the `special` ones, which every row has. Through z and g the tokens
    that the training predicts are, since the last layers know of no other.
    """
    rows = [taken.rows[one.step, one.micro, one.place] for one in transcript.crossings]
    skipped = torch.tensor(sorted(special), dtype=torch.int64)
    return [
        Truth(row.ids_N, scored_N, row.number)
        for row, scored_N in zip(rows, _scored(rows, channel, skipped), strict=True)
    ]


def _scored(rows: Sequence[Row], channel: LeakChannel, skipped: torch.Tensor) -> list[torch.Tensor]:
    if channel is LeakChannel.HIDDEN or channel is LeakChannel.UPLOADS:
        return [~torch.isin(row.ids_N, skipped) for row in rows]
    found = [(row.labels_N != IGNORED) & ~torch.isin(row.ids_N, skipped) for row in rows]
    for scored_N in found:
        scored_N[0] = False  # nothing predicts the first token
    return found
