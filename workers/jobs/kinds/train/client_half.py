"""The client half's job: this site's rows, the head and the tail, and the way to the compute site."""

from __future__ import annotations

import time

from splitcore.control.controller import StoppedError
from splitcore.errors import AppError
from splitcore.masking.agreement import Signatory
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.transport.grpc_channel import dial
from workers.accounting.accountant import JobAccountant
from workers.contracts import Role
from workers.jobs.folder import Peer
from workers.jobs.rows import rows_of
from workers.jobs.setting import JobSetting
from workers.models_registry import ModelRegistry
from workers.network import proxy_for
from workers.policy import SitePolicy

PEER_SECONDS = 3600.0  # how long to wait for the server half to appear
SAMPLE_TOKENS = 48


def run_client(setting: JobSetting) -> HalfResult:
    """Train this site's segments. Raises AppError."""
    model = setting.base_model()
    train_rows, eval_rows = rows_of(setting)
    accountant = JobAccountant.of(
        setting.home, run_id=setting.contract.run_id, party=setting.own.party, train=train_rows, held_out=eval_rows
    )
    first = setting.clients[0].party == setting.own.party  # the public prompts are answered once
    half = ClientHalf(
        HalfSettings(
            config=setting.config,
            parties=[part.party for part in setting.clients],
            model_source=model.source,
            out=setting.folder.out,
            run=setting.contract.run_id,
            contract=setting.spec.assignment.contract_hash,
            manifest=ModelRegistry(setting.home).manifest(model.manifest_hash),
            emit=setting.emit,
            control=setting.control(),
            checkpoints=setting.folder.checkpoints,
            accountant=accountant,
            signatory=_signatory(setting) if setting.config.privacy.masks_sums else None,
        ),
        party=setting.own.party,
        attempt=setting.spec.attempt,
        rows=train_rows,
        eval_rows=eval_rows,
        connect=lambda limits: connect(setting, limits),
        sample_prompts=tuple(setting.contract.public_prompts) if first else (),
        sample_tokens=SAMPLE_TOKENS,
    )
    return half.run()


def _signatory(setting: JobSetting) -> Signatory:
    """What this worker signs mask keys with, and the contract's certificates of all data workers. Raises AppError."""
    certificates = {part.party: setting.certificate_of(part) for part in setting.clients}
    return Signatory(setting.identity.sign, certificates)


def connect(setting: JobSetting, limits: FrameLimits) -> Channel:
    """Wait until the compute site's address is known, then dial it. Raises AppError."""
    setting.check_frames(limits)
    peer = _wait_for_peer(setting)
    return dial(
        peer.host,
        peer.port,
        identity=setting.identity,
        server_certificate=peer.certificate_pem,
        limits=limits,
        patience=setting.config.wire.patience,
        proxy=proxy_for(peer.host),
        egress=setting.frames.account(_name_of_server(setting)),
        on_link=setting.reporter.link,
    )


def _name_of_server(setting: JobSetting) -> str:
    """The compute site's worker, as the ledger names it."""
    return next(part.worker for part in setting.contract.participants if part.role is Role.SERVER)


def _wait_for_peer(setting: JobSetting) -> Peer:
    server = next(part for part in setting.contract.participants if part.role is Role.SERVER)
    control, deadline = setting.control(), time.monotonic() + PEER_SECONDS
    while time.monotonic() < deadline:
        if control() == "stop":
            raise StoppedError
        peer = setting.folder.peer()
        if peer is not None:
            SitePolicy.load(setting.home.policy_file).check_host(peer.host)
            # the contract's pin decides, not the file that the agent has written
            return peer.model_copy(update={"certificate_pem": setting.certificate_of(server)})
        time.sleep(0.1)
    raise AppError("CL-1321", "The compute site's half didn't appear.")
