"""The site's own memory of the hub's audit chain: a hub that loses its end, or writes it anew, is found out.

Each look at the hub's list brings the chain's end (sequence, hash), of which this worker keeps the highest: the
parties of a hub are each other's witnesses. A hub that was restored from a backup says so by a new epoch. It is
reported all the same, once, until a person of this site accepts the new chain. The hub is told of both: an honest one
shows it to its auditors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from processes.private_files import replace_private
from splitcore.errors import AppError
from workers.contracts import ChainHead, ChainLoss, WitnessReport

Loss = Literal["restored", "lost", "rewritten", "hidden"]
_CODES: dict[Loss, str] = {"restored": "CL-1446", "lost": "CL-1447", "rewritten": "CL-1448", "hidden": "CL-1456"}


@dataclass(frozen=True)
class Finding:
    """What is wrong with the chain that the hub shows now, given the one that it showed before."""

    kind: Loss
    kept: ChainHead
    shown: ChainHead

    @property
    def loss(self) -> ChainLoss:
        """As it is reported to the hub."""
        return ChainLoss(kind=self.kind, kept=self.kept, shown=self.shown)

    @property
    def error(self) -> AppError:
        """As a person reads it."""
        entry = f"entry {self.shown.sequence} ({self.shown.head[:12] or 'none'})"
        return AppError(
            _CODES[self.kind],
            f"The hub's audit log ended at entry {self.kept.sequence} ({self.kept.head[:12]}); now it shows"
            f" {'nothing of it' if self.kind == 'hidden' else entry}.",
        )


class Witness:
    """What this worker was told, in small files: the highest end, what it found, and what the hub was told of that."""

    def __init__(self, root: Path) -> None:
        self._kept, self.finding_file = root / "witness.json", root / "witness_finding.json"
        self._told = root / "witness_told.json"

    def kept(self) -> ChainHead | None:
        """The highest end that the hub has shown. Raises AppError CL-1449."""
        with _readable(self._kept):
            return ChainHead.model_validate_json(self._kept.read_bytes()) if self._kept.exists() else None

    def finding(self) -> Finding | None:
        """What no person has accepted yet. Raises AppError CL-1449."""
        with _readable(self.finding_file):
            if not self.finding_file.exists():
                return None
            told = json.loads(self.finding_file.read_bytes())
            return Finding(told["kind"], ChainHead(**told["kept"]), ChainHead(**told["shown"]))

    def see(self, shown: ChainHead | None, before: Callable[[Finding], None] = lambda _: None) -> Finding | None:
        """Compare with what was kept; returns a finding that is new. Nothing is kept while one waits for a person.

        None: the hub shows no end. That is a finding once it has shown one, and ends when it shows the chain again.

        `before` is called ahead of the finding's being written: what it does is done again if this process dies in
        between. Raises AppError CL-1449, CL-1820.
        """
        kept, waiting = self.kept(), self.finding()
        is_hidden = waiting is not None and waiting.kind == "hidden"
        if shown is None:
            kind: Loss | None = "hidden" if kept is not None and waiting is None else None
        elif waiting is not None and not is_hidden and waiting.shown.epoch == shown.epoch:
            return None
        else:
            kind = _loss(kept, shown) if kept is not None else None
            if kind is None:
                self._keep(kept, shown, is_hidden)
        if kind is None or kept is None:
            return None
        finding = Finding(kind, kept, shown or ChainHead())
        before(finding)
        told = {"kind": kind, "kept": kept.model_dump(), "shown": finding.shown.model_dump()}
        _write(self.finding_file, json.dumps(told))
        return finding

    def _keep(self, kept: ChainHead | None, shown: ChainHead, was_hidden: bool) -> None:
        """The chain goes on from where it was."""
        if kept != shown:
            _write(self._kept, shown.model_dump_json())
        if was_hidden:
            self.finding_file.unlink(missing_ok=True)

    def accept(self) -> ChainHead | None:
        """A person of this site accepts the chain that the hub shows now: it is kept from here on.

        Raises AppError CL-1449, CL-1820.
        """
        finding = self.finding()
        if finding is None:
            return None
        if finding.kind == "hidden":  # nothing is kept until the hub shows an end again
            self._kept.unlink(missing_ok=True)
        else:
            _write(self._kept, finding.shown.model_dump_json())
        self.finding_file.unlink()
        return finding.shown

    def untold(self) -> WitnessReport | None:
        """What the hub is to be told: a finding, or that it was accepted. None where it was told already.

        Raises AppError CL-1449.
        """
        finding = self.finding()
        report = WitnessReport(loss=finding.loss if finding else None)
        with _readable(self._told):
            told = self._told.read_text() if self._told.exists() else WitnessReport().model_dump_json()
        return None if report.model_dump_json() == told else report

    def told(self, report: WitnessReport) -> None:
        """The hub has it. Raises AppError CL-1820."""
        _write(self._told, report.model_dump_json())

    def forget(self) -> None:
        """The enrolment ends: another hub has another chain."""
        for path in (self._kept, self.finding_file, self._told):
            path.unlink(missing_ok=True)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError):
        raise AppError("CL-1449", f"{path} can't be read.") from None


def _write(path: Path, text: str) -> None:
    try:
        replace_private(path, text.encode())
    except OSError as error:
        raise AppError("CL-1820", f"{path} can't be written ({type(error).__name__}).") from None


def _loss(kept: ChainHead, shown: ChainHead) -> Loss | None:
    if shown.epoch != kept.epoch:
        return "restored"
    if shown.sequence < kept.sequence:
        return "lost"
    return "rewritten" if shown.sequence == kept.sequence and shown.head != kept.head else None
