"""What cells of several seeds amount to: one entry for each model, task, defence, strength and channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.measured import Interval
from splitcore.audit.result import ChannelResult
from tests.benchmarks.privacy.cell import Cell
from tests.benchmarks.privacy.settings import NONE


def summed_up(cells: Sequence[Cell]) -> dict[str, Any]:
    """`controls` and `cells`, as the summary has them."""
    return {"controls": controls(cells), "cells": list(entries(cells))}


def controls(cells: Sequence[Cell]) -> dict[str, Any]:
    """The worst of all audits.

    no_defence: read of hidden states where nothing protects them. null_shift: how far random swaps are from the null.
    """
    all_controls = [control for cell in cells for control in cell.result.controls]
    plain = [one.found for one in all_controls if one.name == "no_defence" and one.channel is LeakChannel.HIDDEN]
    shifts = [abs(one.found - one.wanted.value) for one in all_controls if one.name == "shuffled"]
    return {
        "no_defence": min(plain, default=None),
        "null_shift": max(shifts, default=None),
        "invalid": sorted(f"{one.model} {one.defence} {one.strength}".strip() for one in cells if not one.result.valid),
    }


def entries(cells: Sequence[Cell]) -> Iterable[dict[str, Any]]:
    """Means over the seeds; an interval from the lowest end of all seeds to the highest one."""
    gains = {(one.model, one.task, one.seed): one.before - one.after for one in cells if one.defence == NONE}
    groups = defaultdict[tuple[str, str, str, str], list[Cell]](list)
    for cell in cells:
        groups[cell.model, cell.task, cell.defence, cell.strength].append(cell)
    for (model, task, defence, strength), group in groups.items():
        kept = [
            (one.before - one.after) / gains[model, task, one.seed] for one in group if (model, task, one.seed) in gains
        ]
        shared = {
            "model": model,
            "task": task,
            "defence": defence,
            "strength": strength,
            "gain_kept": fmean(kept) if kept else None,
            "gain_kept_runs": kept,
            "loss": fmean(one.after for one in group),
            "bytes": round(fmean(one.bytes for one in group)),
            "seconds": fmean(one.seconds for one in group),
            "seeds": len(group),
            "valid": all(one.result.valid for one in group),
        }
        for channel in LeakChannel:
            found = [each for one in group for each in one.result.channels if each.channel is channel]
            if found:
                yield {**shared, **_read(channel, found), **_ceiling(channel, group)}


def _read(channel: LeakChannel, found: Sequence[ChannelResult]) -> dict[str, Any]:
    recovery = _together([one.figures.tokens for one in found])
    nulls = [one.null.tokens for one in found if one.null is not None]
    null = _together(nulls) if nulls else None
    return {
        "channel": channel.value,
        "attacks": sorted({one.attack for one in found}),
        "recovery": recovery,
        "null": {"value": null["value"], "high": null["high"]} if null else None,
    }


def _together(intervals: Sequence[Interval]) -> dict[str, float]:
    return {
        "value": fmean(one.value for one in intervals),
        "low": min(one.low for one in intervals),
        "high": max(one.high for one in intervals),
    }


def _ceiling(channel: LeakChannel, group: Sequence[Cell]) -> dict[str, Any]:
    """The highest of the seeds, on hidden states alone: nothing bounds the other channels.

    B1 of records at the null's upper end. B2 there would need the success of a reader of the text so far, which nobody
    knows and which is higher: its bits per token stand beside.
    """
    ceilings = [one.result.ceiling for one in group]
    if channel is not LeakChannel.HIDDEN or not all(one and one.at_null for one in ceilings):
        return {"ceiling": None, "bits_per_token": None}
    return {
        "ceiling": max(one.at_null.value for one in ceilings if one and one.at_null),
        "bits_per_token": max(one.token_bits for one in ceilings if one),
    }
