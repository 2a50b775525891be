"""What both halves and the evaluation share: the checked contract, the base model's folder, the way to talk."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from splitcore.config import RunConfig
from splitcore.control.events import Event, PhaseChanged
from splitcore.errors import AppError
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.transport.certificates import Identity, fingerprint, load_identity
from workers.contracts import ContractDocument, ContractParticipant, Desired, Role
from workers.jobs.folder import JobFolder, JobSpec
from workers.jobs.lines import model_line
from workers.jobs.report import Reporter
from workers.ledger.frames import FrameLedger
from workers.models_registry import ModelRegistry, RegisteredModel
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome

Wish = Literal["run", "pause", "stop"]
CONTROL: dict[Desired, Wish] = {Desired.PAUSED: "pause", Desired.STOPPED: "stop"}
LOOK = 0.1  # seconds for which the answer of the last look at `desired` holds


@dataclass(frozen=True)
class JobSetting:
    """A job, with everything read and checked that both halves need."""

    home: WorkerHome
    worker: WorkerConfig
    folder: JobFolder
    spec: JobSpec
    contract: ContractDocument
    config: RunConfig
    own: ContractParticipant
    reporter: Reporter
    spool: Spool
    frames: FrameLedger  # counts what leaves to other sites, once it is entered

    @property
    def clients(self) -> list[ContractParticipant]:
        """The data parties that train, in the contract's order."""
        return [part for part in self.contract.participants if part.role is Role.CLIENT]

    @property
    def identity(self) -> Identity:
        """This worker's key and certificate."""
        return load_identity(self.home.keys)

    @property
    def registered_model(self) -> RegisteredModel:
        """The contract's base model as it is registered here. Raises AppError CL-1120."""
        return ModelRegistry(self.home).get(self.config.model.manifest)

    def base_model(self) -> RegisteredModel:
        """The same, told in the log: once per job. Raises AppError CL-1120."""
        model = self.registered_model
        self.reporter.log(model_line(model.parameters, model.bytes))
        return model

    def certificate_of(self, part: ContractParticipant) -> str:
        """The PEM that has the contract's fingerprint. Raises AppError CL-1425 where the hub sent none."""
        for pem in self.spec.assignment.certificates:
            if fingerprint(pem) == part.fingerprint:
                return pem
        raise AppError("CL-1425", f"The hub sent no certificate with the fingerprint of {part.worker}.")

    def check_frames(self, limits: FrameLimits) -> None:
        """The wire's own limit is within what this site allows of a message. Raises AppError CL-1509."""
        most = SitePolicy.load(self.home.policy_file).max_message_bytes
        if limits.max_frame_bytes > most:
            raise AppError(
                "CL-1509", f"A message can have {limits.max_frame_bytes} bytes, but this site allows {most}."
            )

    def emit(self, event: Event) -> None:
        """Take an event of the engine. A half stops when the other one says so too, whatever `control` tells."""
        if isinstance(event, PhaseChanged) and event.phase == "stopping":
            with suppress(OSError):  # on a full disk it is no better off than one that has not seen the stop
                self.folder.acknowledge_stop()
        self.reporter.emit(event)

    def control(self) -> Callable[[], Wish]:
        """A cheap look at what the hub wants: "run", "pause" or "stop"."""
        seen_at = -LOOK
        answer: Wish = "run"

        def look() -> Wish:
            nonlocal seen_at, answer
            now = time.monotonic()
            if now - seen_at >= LOOK:
                seen_at, answer = now, CONTROL.get(self.folder.desired(), "run")
            return answer

        return look
