"""Recorded trainings, each attacked by a process of its own, and what its guesses are worth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from splitcore.attacks.choice import AttackChoice, LeakChannel
from splitcore.attacks.figures import Truth
from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, Capture, capture
from splitcore.audit.controls import completed_truths
from splitcore.audit.leaks.evidence import evidence_of
from splitcore.audit.leaks.found import LeakCheck
from splitcore.audit.leaks.registry import looked_for
from splitcore.audit.observer import answers_of
from splitcore.audit.request import Answer, Request
from splitcore.audit.result import Shapes
from splitcore.audit.rows import Rows, SharedRows
from splitcore.audit.scoring import Scored, known_of, scored, truths_of, upload_truths
from splitcore.audit.shapes import shapes_of
from splitcore.config import RunConfig
from splitcore.fields import FULL

UPLOADS = 3  # at least: the first tells nothing, and of the others one is what luck would read of another


@dataclass(frozen=True)
class Progress:
    """What an audit does now. done, total: of its attacks, the control's included."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Seen:
    """What the party says of a recording that it made, without the tensors that crossed.

    truths: what each crossing really was, by channel. known: token ids of those that the observer knows.
    """

    truths: dict[LeakChannel, list[Truth]]
    known: dict[int, list[int]]
    leaks: list[LeakCheck]
    shapes: Shapes


class Observing:
    """One audit's trainings. The first seed draws what isn't an attack's own."""

    def __init__(
        self,
        shared: SharedRows,
        folder: Path,
        seeds: Sequence[int],
        on_progress: Callable[[Progress], None],
        attacks: Sequence[AttackChoice],
    ) -> None:
        """`attacks`: each as often as it will be started."""
        self._shared, self._folder, self._seeds = shared, folder, list(seeds)
        self._tell = _Teller(on_progress, sum(len(seeds) if attack.draws else 1 for attack in attacks))

    def attacked(
        self,
        name: str,
        config: RunConfig,
        attacks: Sequence[AttackChoice],
        targets: Rows,
        *,
        epochs: int = 1,
        known: int = 0,
        others: Rows = (),
        expects: bool = False,
    ) -> tuple[list[Scored], Seen]:
        """Record a training on `targets`, and have it attacked. Raises AppError as `audit` does.

        known: so many first targets the observer knows. others: rows of a second party. expects: whether attacks on z
        are scored against what the public model says.
        """
        self._tell.stage(f"{name}: training")
        taken = capture(config, targets, self._folder / name, epochs=epochs, others=others)
        seen = _seen(taken, self._shared.special, known, expects=expects)
        request = Request(
            config=taken.config.model_dump(mode="json", context=FULL),
            party=PARTY,
            parties=list(taken.parties),
            auxiliary=self._shared.auxiliary,
            known=seen.known,
            attacks=list(attacks),
            seeds=self._seeds,
        )
        self._tell.stage(f"{name}: attacking")
        observer = self._folder / f"{name}-observer"
        answers = answers_of(request, taken.recording, observer, on_line=self._tell.answered)
        return self._all_scored(attacks, answers, seen.truths), seen

    def uploads(self, config: RunConfig, attacks: Sequence[AttackChoice], records: int) -> list[Scored]:
        """Attack what one of two organisations uploads, with at most so many of the attacked rows each."""
        if not attacks:
            return []
        refused = [attack.refuses(config) for attack in attacks]
        if all(refused):
            answers = [
                Answer(attack=place, seed=self._seeds[0], outcome="not_run", reason=why)
                for place, why in enumerate(refused)
            ]
            for attack in attacks:
                self._tell.answered(f"{attack.name} not_run")
            return self._all_scored(attacks, answers, {LeakChannel.UPLOADS: []})
        rows = self._shared.targets[self._shared.known :]
        count = min(records, len(rows) // 2)
        epochs = ceil(UPLOADS * min(config.training.batch_size, count) / count)
        others = rows[count : 2 * count]
        return self.attacked("uploads", config, attacks, rows[:count], epochs=epochs, others=others)[0]

    def _all_scored(
        self, attacks: Sequence[AttackChoice], answers: Sequence[Answer], truths: dict[LeakChannel, list[Truth]]
    ) -> list[Scored]:
        """Each attack with its answers, one a seed."""
        own = [[answer for answer in answers if answer.attack == place] for place in range(len(attacks))]
        return [
            scored(attack, given, truths[attack.channel], common=self._shared.common, seed=self._seeds[0])
            for attack, given in zip(attacks, own, strict=True)
        ]


def _seen(taken: Capture, special: Collection[int], known: int, *, expects: bool) -> Seen:
    """The tensors are let go of again, since the attacker is about to hold all of them."""
    transcript = TranscriptReader(taken.plan, PARTY).read(taken.recording)
    truths = {channel: truths_of(taken, transcript, channel, special=special, known=known) for channel in LeakChannel}
    truths[LeakChannel.UPLOADS] = upload_truths(taken, transcript, special=special)
    if expects:
        truths[LeakChannel.OUTPUT] = completed_truths(taken, transcript)
    evidence = evidence_of(taken, transcript)
    return Seen(truths, known_of(taken, transcript, below=known), looked_for(evidence), shapes_of(evidence))


class _Teller:
    """Counts the attacks that are done."""

    def __init__(self, on_progress: Callable[[Progress], None], total: int) -> None:
        self._on_progress, self._done, self._total = on_progress, 0, total

    def stage(self, stage: str) -> None:
        """Something else begins."""
        self._on_progress(Progress(stage, self._done, self._total))

    def answered(self, line: str) -> None:
        """An attack has answered."""
        self._done += 1
        self.stage(line)
