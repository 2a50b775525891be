"""An audit from beginning to end: trainings are recorded, attacked by another process, and what it read is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from splitcore.attacks.choice import LeakChannel
from splitcore.audit.capture import plan_of
from splitcore.audit.ceiling import blind_of, ceiling_of
from splitcore.audit.controls import ENOUGH, no_defence, steady, undefended
from splitcore.audit.leaks.planted import planted_record
from splitcore.audit.membership.figures import membership_of
from splitcore.audit.membership.scores import calibrated
from splitcore.audit.membership.told import Membership
from splitcore.audit.observing import Observing, Progress
from splitcore.audit.portfolio import Portfolio
from splitcore.audit.result import AuditResult, ChannelResult
from splitcore.audit.rows import Rows, SharedRows, share_out
from splitcore.audit.scoring import Scored
from splitcore.config import RunConfig
from splitcore.run.plan import RunPlan

__all__ = ["Progress", "audit"]


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
    tried = [attack for attack in chosen.attacks if attack.channel in ENOUGH]
    in_run = [attack for attack in chosen.attacks if attack.channel is not LeakChannel.UPLOADS]
    on_uploads = [attack for attack in chosen.attacks if attack.channel is LeakChannel.UPLOADS]
    seeds = [seed + draw for draw in range(chosen.seeds)]
    observing = Observing(shared, folder, seeds, on_progress, [*tried, *in_run, *on_uploads])

    unprotected = shared.targets[-chosen.control_records :]
    control, _ = observing.attacked("control", undefended(config), tried, unprotected, expects=True)
    found, seen = observing.attacked("run", config, in_run, shared.targets, epochs=chosen.epochs, known=shared.known)
    found += observing.uploads(config, on_uploads, chosen.upload_records)
    result = _result(chosen, shared, found, control, seed)
    adapter = folder / "run" / "run" / "adapter"
    more = {
        "shapes": seen.shapes,
        "leaks": seen.leaks,
        "planted": planted_record(),
        "membership": _membership(plan, adapter, shared, seed),
        "ceiling": ceiling_of(plan, shared, blind=blind_of(plan, shared, _on_hidden(found), seed=seed), seed=seed),
        "seconds": perf_counter() - begin,
    }
    return result.model_copy(update=more)


def _result(
    chosen: Portfolio, shared: SharedRows, found: Sequence[Scored], control: Sequence[Scored], seed: int
) -> AuditResult:
    """What the attacks and their controls say."""
    best = _best_by_channel(found)
    measured = [one.result.channel for one in best if one.result.channel in ENOUGH]
    controls = [*(no_defence(control, channel) for channel in measured), *(steady(one, seed=seed) for one in best)]
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


def _membership(plan: RunPlan, adapter: Path, shared: SharedRows, seed: int) -> Membership | None:
    """How well the adapter of the audit's own training tells the rows that it has seen. None without other rows."""
    if not shared.outsiders:
        return None
    count = len(shared.targets)
    scores = calibrated(plan, adapter, [*shared.targets, *shared.outsiders])
    return membership_of(scores[:count], scores[count:], seed=seed)


def _on_hidden(found: Sequence[Scored]) -> Scored | None:
    """The attack that read most of hidden states, if one gave an answer."""
    return next((one for one in _best_by_channel(found) if one.result.channel is LeakChannel.HIDDEN), None)


def _from_anywhere(config: RunConfig) -> RunConfig:
    """With the base model's folder in full: the attacker works in another one."""
    folder = Path(config.model.name_or_path)
    if not folder.is_dir():
        return config
    return config.model_copy(update={"model": config.model.model_copy(update={"name_or_path": str(folder.resolve())})})


def _best_by_channel(found: Sequence[Scored]) -> list[Scored]:
    """The attack that read most on each channel that was attacked."""
    best = dict[LeakChannel, Scored]()
    for one in found:
        if one.figures is not None:
            other = best.get(one.result.channel)
            if other is None or other.figures is None or one.figures.tokens.value > other.figures.tokens.value:
                best[one.result.channel] = one
    return list(best.values())
