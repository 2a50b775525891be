"""An audit from beginning to end: a training is recorded, attacked by another process, and what it read is scored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from splitcore.attacks.choice import AttackChoice, LeakChannel
from splitcore.attacks.figures import Truth
from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, Capture, capture, plan_of
from splitcore.audit.ceiling import ceiling_of
from splitcore.audit.controls import no_defence, steady, undefended
from splitcore.audit.observer import answers_of
from splitcore.audit.portfolio import Portfolio
from splitcore.audit.request import Answer, Request
from splitcore.audit.result import AuditResult, ChannelResult, Control
from splitcore.audit.rows import Rows, SharedRows, share_out
from splitcore.audit.scoring import Scored, known_of, scored, truths_of
from splitcore.config import RunConfig
from splitcore.fields import FULL


@dataclass(frozen=True)
class Progress:
    """What an audit does now. done, total: of its attacks, the control's included."""

    stage: str
    done: int
    total: int


def audit(
    config: RunConfig,
    rows: Rows,
    folder: Path,
    chosen: Portfolio,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> AuditResult:
    """Measure what an observer at the compute party reads of `rows` in a run of this configuration.

    Some rows are attacked, by `chosen`. Of the others the observer has as many as that says: text of the same source,
    which is a strong assumption. `folder` is left with frames and guesses, which are the party's text: delete it, or
    keep it where the rows are.

    Raises AppError CL-1550 for fewer rows than the audit needs, CL-1551, else as `fine_tune`.
    """
    begin = perf_counter()
    config = _from_anywhere(config)
    plan = plan_of(config.model_copy(update={"parties": {}}))
    shared = share_out(plan, rows, chosen, seed=seed)
    seeds = [seed + draw for draw in range(chosen.seeds)]
    on_hidden = [attack for attack in chosen.attacks if attack.channel is LeakChannel.HIDDEN]
    tell = _Teller(on_progress, _answers([*on_hidden, *chosen.attacks], seeds))

    def attacked(
        name: str, run: RunConfig, attacks: Sequence[AttackChoice], targets: Rows, epochs: int, known: int = 0
    ) -> list[Scored]:
        tell.stage(f"{name}: training")
        taken = capture(run, targets, folder / name, epochs=epochs)
        truths, given = _truths(taken, shared.special, known)
        request = Request(
            config=taken.config.model_dump(mode="json", context=FULL),
            party=PARTY,
            auxiliary=shared.auxiliary,
            known=given,
            attacks=list(attacks),
            seeds=seeds,
        )
        tell.stage(f"{name}: attacking")
        answers = answers_of(request, taken.recording, folder / f"{name}-observer", on_line=tell.answered)
        return _all_scored(attacks, answers, truths, shared.common, seed)

    unprotected = shared.targets[-chosen.control_records :]
    control = no_defence(attacked("control", undefended(config), on_hidden, unprotected, 1))
    found = attacked("run", config, chosen.attacks, shared.targets, chosen.epochs, shared.known)
    result = _result(chosen, shared, found, control, seed)
    ceiling = ceiling_of(plan, shared, blind=_blind(result), seed=seed)
    return result.model_copy(update={"ceiling": ceiling, "seconds": perf_counter() - begin})


def _result(chosen: Portfolio, shared: SharedRows, found: Sequence[Scored], control: Control, seed: int) -> AuditResult:
    """Everything but the ceiling and the time."""
    best = _best_by_channel(found)
    controls = [control, *(steady(one, seed=seed) for one in best)]
    return AuditResult(
        size=chosen.size,
        portfolio=chosen.version,
        at=datetime.now(UTC),
        valid=bool(best) and all(one.passed for one in controls),
        records=len(shared.targets) - shared.known,
        known=shared.known,
        auxiliary=len(shared.auxiliary),
        epochs=chosen.epochs,
        attacks=[one.result for one in found],
        controls=controls,
        channels=[ChannelResult.of(one.result) for one in best],
        seconds=0.0,
    )


def _blind(result: AuditResult) -> float | None:
    """The upper end of what the best attack on hidden states read of other records."""
    nulls = [one.null for one in result.channels if one.channel is LeakChannel.HIDDEN]
    return nulls[0].tokens.high if nulls and nulls[0] is not None else None


def _from_anywhere(config: RunConfig) -> RunConfig:
    """With the base model's folder in full: the attacker works in another one."""
    folder = Path(config.model.name_or_path)
    if not folder.is_dir():
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"name_or_path": str(folder.resolve())})})


def _truths(
    taken: Capture, special: Collection[int], known: int
) -> tuple[dict[LeakChannel, list[Truth]], dict[int, list[int]]]:
    """What each crossing really was, by channel, and the token ids of those that the observer knows.

    The tensors that crossed are let go of again, since the attacker is about to hold all of them.
    """
    transcript = TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording)
    truths = {channel: truths_of(taken, transcript, channel, special=special, known=known) for channel in LeakChannel}
    return truths, known_of(taken, transcript, below=known)


def _answers(attacks: Sequence[AttackChoice], seeds: Sequence[int]) -> int:
    return sum(len(seeds) if attack.draws else 1 for attack in attacks)


def _all_scored(
    attacks: Sequence[AttackChoice],
    answers: Sequence[Answer],
    truths: dict[LeakChannel, list[Truth]],
    common: Collection[int],
    seed: int,
) -> list[Scored]:
    """Each attack with its answers, one a seed."""
    own = [[answer for answer in answers if answer.attack == place] for place in range(len(attacks))]
    return [
        scored(attack, given, truths[attack.channel], common=common, seed=seed)
        for attack, given in zip(attacks, own, strict=True)
    ]


def _best_by_channel(found: Sequence[Scored]) -> list[Scored]:
    """The attack that read most on each channel that was attacked."""
    best = dict[LeakChannel, Scored]()
    for one in found:
        if one.figures is not None:
            other = best.get(one.result.channel)
            if other is None or other.figures is None or one.figures.tokens.value > other.figures.tokens.value:
                best[one.result.channel] = one
    return list(best.values())


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
