"""A server half's door on loopback and a call at it, for the tests of the real network."""

from __future__ import annotations

from splitcore.wire.protocol.messages import SessionIds
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.factories import IDS, limits
from splitcore.wire.transport.certificates import Identity, create_identity
from splitcore.wire.transport.grpc_channel import OnLink, dial
from splitcore.wire.transport.grpc_listener import GrpcListener, serve

SERVER, CLIENT, STRANGER = create_identity("w-server"), create_identity("w-client"), create_identity("w-stranger")


def open_door(patience: float = 20.0, ports: tuple[int, int] = (0, 0)) -> GrpcListener:
    return serve(
        identity=SERVER,
        clients={IDS.participant: CLIENT.certificate_pem},
        limits={IDS.participant: limits("server")},
        host="127.0.0.1",
        ports=ports,
        patience=patience,
    )


def call(
    port: int,
    *,
    ids: SessionIds = IDS,
    identity: Identity = CLIENT,
    patience: float = 20.0,
    on_link: OnLink | None = None,
) -> Session:
    return dial(
        "127.0.0.1",
        port,
        identity=identity,
        server_certificate=SERVER.certificate_pem,
        limits=limits("client", ids=ids),
        connect_timeout=5,
        patience=patience,
        on_link=on_link,
    )
