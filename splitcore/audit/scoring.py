"""What the attacks' guesses are worth: which tokens of a captured row count, and how many were read (torch)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from splitcore.attacks.choice import AttackChoice, LeakChannel
from splitcore.attacks.figures import Truth, figures_of, token_share
from splitcore.attacks.measured import Figures
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import Capture, Row
from splitcore.audit.null import null_figures
from splitcore.audit.request import Answer
from splitcore.audit.result import AttackResult
from splitcore.data.tokenise import IGNORED

SAME_ROWS = "Every upload is of the same rows, so that nothing shows what luck would read of others."
NOTHING_COUNTS = "No token counts on this channel: none is predicted but special ones."


@dataclass(frozen=True)
class Scored:
    """An attack's result, with the guesses and the truth that it comes from, which stay with the party.

    Of an attack that ran they are those of one epoch.
    """

    result: AttackResult
    guesses: list[torch.Tensor]
    truths: Sequence[Truth]

    @property
    def figures(self) -> Figures | None:
        """None where the attack gave no answer."""
        return self.result.figures


def scored(
    attack: AttackChoice, answers: Sequence[Answer], truths: Sequence[Truth], *, common: Collection[int], seed: int
) -> Scored:
    """The best of an attack's answers, and of it the epoch in which it reads most. `answers`: at least one.

    An attacker may draw as often as he likes. And what was read of a row once is known: a mean over epochs would be
    less than what the observer has.
    """
    ran = [[torch.tensor(ids, dtype=torch.int64) for ids in one.guesses] for one in answers if one.outcome == "ran"]
    if not ran:
        first = answers[0]
        result = AttackResult(attack=str(attack), channel=attack.channel, outcome=first.outcome, reason=first.reason)
        return Scored(result, [], truths)
    if not any(bool(truth.scored_N.any()) for truth in truths):
        result = AttackResult(attack=str(attack), channel=attack.channel, outcome="not_run", reason=NOTHING_COUNTS)
        return Scored(result, [], truths)
    tried = [([guesses[place] for place in places], places) for guesses in ran for places in _epochs(truths)]
    best, places = max(tried, key=lambda one: token_share(one[0], [truths[place] for place in one[1]]))
    truths = [truths[place] for place in places]
    null = null_figures(best, truths, common=common, seed=seed)
    if null is None and attack.channel is LeakChannel.UPLOADS:
        result = AttackResult(attack=str(attack), channel=attack.channel, outcome="not_run", reason=SAME_ROWS)
        return Scored(result, [], truths)
    result = AttackResult(
        attack=str(attack),
        channel=attack.channel,
        outcome="ran",
        figures=figures_of(best, truths, common=common, seed=seed),
        null=null,
        seconds=sum(one.seconds for one in answers),
    )
    return Scored(result, best, truths)


def _epochs(truths: Sequence[Truth]) -> list[list[int]]:
    """The places of each record's first crossing, of its second one, and so on, as long as every record has one."""
    crossed, places = Counter[int](), defaultdict[int, list[int]](list)
    for place, truth in enumerate(truths):
        places[crossed[truth.record]].append(place)
        crossed[truth.record] += 1
    return [places[epoch] for epoch in range(min(crossed.values()))]


def truths_of(
    taken: Capture, transcript: Transcript, channel: LeakChannel, *, special: Collection[int] = (), known: int = 0
) -> list[Truth]:
    """What each crossing of the transcript really was. Nothing counts of the rows whose number is below `known`.

    Through h every token of a row may be read but the `special` ones and a chat template's, which every row has.
    Through z and g the tokens that the training predicts are, since the last layers know of no other.
    """
    rows = [taken.rows[one.step, one.micro, one.place] for one in transcript.crossings]
    skipped = torch.tensor(sorted(special), dtype=torch.int64)
    return [
        Truth(row.ids_N, scored_N & (row.number >= known), row.number)
        for row, scored_N in zip(rows, _scored(rows, channel, skipped), strict=True)
    ]


def upload_truths(taken: Capture, transcript: Transcript, *, special: Collection[int] = ()) -> list[Truth]:
    """The distinct tokens of each upload of gradients. Nothing counts of the first one, before which B is zero."""
    skipped, found = torch.tensor(sorted(special), dtype=torch.int64), list[Truth]()
    for upload in transcript.uploads:
        if upload.is_gradient:
            own = [row.ids_N for (step, _, _), row in taken.rows.items() if step == upload.step]
            ids_N = torch.cat(own).unique()
            scored_N = ~torch.isin(ids_N, skipped) & (upload.step > 0)
            found.append(Truth(ids_N, scored_N, upload.step, is_bag=True))
    return found


def known_of(taken: Capture, transcript: Transcript, *, below: int) -> dict[int, list[int]]:
    """The token ids of each crossing of a row whose number is below that."""
    rows = [taken.rows[one.step, one.micro, one.place] for one in transcript.crossings]
    return {place: row.ids_N.tolist() for place, row in enumerate(rows) if row.number < below}


def _scored(rows: Sequence[Row], channel: LeakChannel, skipped: torch.Tensor) -> list[torch.Tensor]:
    own = [~torch.isin(row.ids_N, skipped) & ~_template(row) for row in rows]
    if channel is LeakChannel.HIDDEN:
        return own
    found = [(row.labels_N != IGNORED) & own_N for row, own_N in zip(rows, own, strict=True)]
    for scored_N in found:
        scored_N[0] = False  # nothing predicts the first token
    return found


def _template(row: Row) -> torch.Tensor:
    return torch.zeros(len(row.ids_N), dtype=torch.bool) if row.template_N is None else row.template_N
