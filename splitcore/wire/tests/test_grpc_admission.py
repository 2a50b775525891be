"""Who is let in: attempts, versions, names, certificates and TLS itself, at both ends."""

from __future__ import annotations

import datetime
import socket
import ssl
import warnings
from dataclasses import replace

import grpc
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from splitcore.errors import AppError
from splitcore.wire.protocol.messages import ChannelError, SessionIds
from splitcore.wire.tests.doors import CLIENT, SERVER, STRANGER, call, open_door
from splitcore.wire.tests.factories import IDS, body_down, limits
from splitcore.wire.tests.relay import Relay
from splitcore.wire.transport import grpc_channel
from splitcore.wire.transport.certificates import Identity
from splitcore.wire.transport.grpc_channel import METHOD, SERVICE
from splitcore.wire.transport.grpc_listener import GrpcListener, serve
from splitcore.wire.transport.preflight import client_context


def test_a_newer_attempt_takes_over_and_the_older_one_is_told(listener: GrpcListener) -> None:
    older, at_server = call(listener.address[1]), listener.accept(timeout=5)
    newer = call(listener.address[1], ids=replace(IDS, attempt=4))
    assert listener.accept(timeout=5).session.attempt == 4
    for end in (older, at_server):
        with pytest.raises(AppError, match="CL-1306"):
            end.receive(timeout=5)
    again = call(listener.address[1])
    with pytest.raises(ChannelError, match="CL-1306"):
        again.receive(timeout=5)
    newer.close()


def test_a_client_that_goes_on_with_a_process_that_is_gone_is_no_newcomer() -> None:
    door = open_door()
    relay = Relay(door.address[1])
    client = call(relay.port)
    server = door.accept(timeout=5)
    server.send(body_down(0, torch.ones(1, 1, 16)))
    assert client.receive(timeout=5).step == 0
    with open_door() as restarted:
        relay.target = restarted.address[1]
        relay.cut()
        with pytest.raises(ChannelError, match="CL-1328"):
            client.receive(timeout=20)
        with pytest.raises(ChannelError, match="CL-1327"):
            restarted.accept(timeout=0.1)
    server.abort("CL-1328")
    door.close()
    relay.close()


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (replace(IDS, run="run-2"), "CL-1305"),
        (replace(IDS, participant="Bank"), "CL-1305"),
        (replace(IDS, attempt=2), "CL-1306"),
    ],
)
def test_a_client_of_another_run_name_or_old_attempt_is_not_let_in(
    listener: GrpcListener, ids: SessionIds, code: str
) -> None:
    client = call(listener.address[1], ids=ids)
    with pytest.raises(ChannelError, match=code):
        client.receive(timeout=5)


def test_another_version_of_the_wire_is_not_let_in(listener: GrpcListener, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = grpc_channel._Dialler._metadata
    monkeypatch.setattr(
        grpc_channel._Dialler, "_metadata", lambda self: (("cutlayer-version", "99"), *metadata(self)[1:])
    )
    client = call(listener.address[1])
    with pytest.raises(ChannelError, match="CL-1302"):
        client.receive(timeout=5)


def test_a_certificate_that_is_not_in_the_contract_is_refused(listener: GrpcListener) -> None:
    with pytest.raises(ChannelError, match="CL-1323"):
        call(listener.address[1], identity=STRANGER)
    with pytest.raises(ChannelError, match="CL-1327"):
        listener.accept(timeout=0.1)


def test_a_server_with_another_certificate_is_refused_before_anything_is_sent() -> None:
    with serve(
        identity=STRANGER,
        clients={IDS.participant: CLIENT.certificate_pem},
        limits={IDS.participant: limits("server")},
        host="127.0.0.1",
    ) as door:
        with pytest.raises(ChannelError) as caught:
            call(door.address[1])
        assert caught.value.code == "CL-1322"
        assert caught.value.details["fingerprint"] == STRANGER.fingerprint


def child_of(parent: Identity, name: str) -> Identity:
    """A certificate that the holder of a pinned one signed: the chain leads to a pin, the pin does not match."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = serialization.load_pem_private_key(parent.key_pem, None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.load_pem_x509_certificate(parent.certificate_pem.encode()).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(issuer_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(name, pem, key_pem)


def assert_refused(listener: GrpcListener, credentials: grpc.ChannelCredentials) -> None:
    """Whoever dials with these credentials gets no answer."""
    with (
        grpc.secure_channel(
            f"127.0.0.1:{listener.address[1]}", credentials, options=[("grpc.ssl_target_name_override", "w-server")]
        ) as channel,
        pytest.raises(grpc.RpcError),
    ):
        next(channel.stream_stream(f"/{SERVICE}/{METHOD}")(iter([b""]), timeout=3))


@pytest.mark.parametrize("with_chain", [False, True])
def test_a_child_of_a_pinned_certificate_is_refused(listener: GrpcListener, with_chain: bool) -> None:
    child = child_of(CLIENT, "w-client")
    if with_chain:
        child = replace(child, certificate_pem=child.certificate_pem + CLIENT.certificate_pem)
    credentials = grpc.ssl_channel_credentials(
        SERVER.certificate_pem.encode(), child.key_pem, child.certificate_pem.encode()
    )
    assert_refused(listener, credentials)
    with pytest.raises(ChannelError, match="CL-1327"):
        listener.accept(timeout=0.1)


@pytest.mark.promise(20)
def test_plain_text_and_old_tls_get_no_answer(listener: GrpcListener) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{listener.address[1]}") as channel, pytest.raises(grpc.RpcError):
        next(channel.stream_stream(f"/{SERVICE}/{METHOD}")(iter([b""]), timeout=3))
    assert handshake(listener, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(OSError, match=r"(?i)eof|reset|alert"):
            handshake(listener, version)


def handshake(listener: GrpcListener, version: ssl.TLSVersion) -> str | None:
    """What is agreed on with a client that has the right certificate and speaks that version alone."""
    context = client_context(CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(listener.address, timeout=5) as raw:
        return context.wrap_socket(raw).version()


def test_without_a_certificate_there_is_no_conversation(listener: GrpcListener) -> None:
    credentials = grpc.ssl_channel_credentials(SERVER.certificate_pem.encode())
    assert_refused(listener, credentials)
