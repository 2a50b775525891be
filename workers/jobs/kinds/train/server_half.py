"""The server half's job: the body, one port for the data organisations of the contract, and no rows."""

from __future__ import annotations

from collections.abc import Mapping

from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.training.server import ServerHalf
from splitcore.wire.protocol.channel import Listener
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.transport.grpc_listener import serve
from workers.contracts import Ready
from workers.jobs.setting import JobSetting
from workers.models_registry import ModelRegistry


def run_server(setting: JobSetting) -> HalfResult:
    """Train the body's segment. Raises AppError."""
    model = setting.base_model()
    half = ServerHalf(
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
        ),
        listen=lambda limits: listen(setting, limits),
        attempt=setting.spec.attempt,
        attempts=setting.spec.assignment.client_attempts,
        ready=lambda address: announce(setting, address),
    )
    return half.run()


def listen(setting: JobSetting, limits: Mapping[str, FrameLimits]) -> Listener:
    """Open the first free port of the site's range to the contract's certificates. Raises AppError CL-1325."""
    for of_party in limits.values():
        setting.check_frames(of_party)
    return serve(
        identity=setting.identity,
        clients={part.party: setting.certificate_of(part) for part in setting.clients},
        limits=limits,
        host=setting.worker.tensor_bind,
        ports=setting.worker.tensor_ports,
        patience=setting.config.wire.patience,
        egress=setting.frames.account,
    )


def announce(setting: JobSetting, address: tuple[str, int]) -> None:
    """Tell the hub where this half listens, by the name under which other sites reach it."""
    participant_id = setting.spec.assignment.participant_id
    setting.spool.post(
        run_id=setting.contract.run_id,
        participant_id=participant_id,
        kind="ready",
        attempt=setting.spec.attempt,
        body=Ready(
            participant_id=participant_id,
            attempt=setting.spec.attempt,
            host=setting.worker.tensor_host,
            port=address[1],
        ),
    )
