"""The client half's end of the tensor connection: one gRPC bidirectional stream under mutual TLS, dialled again when
it breaks. The compute thread only touches the session; one thread reads, gRPC's own thread writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from threading import Event, Thread
from time import monotonic
from urllib.parse import quote

import grpc

from splitcore.errors import CATALOGUE
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.egress import Egress
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, FrameError
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.session import Session
from splitcore.wire.transport.certificates import Identity, check_pin, common_name
from splitcore.wire.transport.preflight import preflight

OnLink = Callable[[bool, bool], None]  # connected, again
SERVICE, METHOD = "cutlayer.Tensors", "Converse"
ARRIVED = "cutlayer-arrived"
SILENCE_MS = 20_000  # long enough for a slow uplink whose buffers are full
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before each further dial; the last one repeats
RETRYABLE = ("CL-1320", "CL-1321")


def options(max_frame_bytes: int) -> list[tuple[str, int | str]]:
    """Settings that both ends share."""
    return [
        ("grpc.max_receive_message_length", max_frame_bytes),
        ("grpc.max_send_message_length", max_frame_bytes),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", SILENCE_MS),
        # its own default of a minute would outlast the keep-alive's
        ("grpc.http2.ping_timeout_ms", SILENCE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def dial(
    host: str,
    port: int,
    *,
    identity: Identity,
    server_certificate: str,
    limits: FrameLimits,
    connect_timeout: float = 30.0,
    patience: float = 120.0,
    window: Window | None = None,
    proxy: str | None = None,
    egress: Egress | None = None,
    on_link: OnLink | None = None,
) -> Session:
    """Connect to the server half; returns the channel.

    Parameters
    ----------
    server_certificate
        PEM of the certificate that the contract pins for the compute worker.
    limits
        `session_limits(..., side="client")` of this run, participant and attempt.
    connect_timeout
        Seconds in which a server that is not there yet may appear.
    patience
        Seconds for which a broken connection is dialled again before the channel fails with CL-1326.
    proxy
        Address of an HTTP proxy for this connection; the environment's proxy settings do not apply to it.
    egress
        Who counts the frames that leave.
    on_link
        Called with (connected, again) when the connection stands, and when it breaks. It must not raise.

    Raises
    ------
    ChannelError
        CL-1320 to 1324 as `preflight` says, CL-1330 for an unusable certificate.
    """
    check_pin(server_certificate)
    check_pin(identity.certificate_pem)
    deadline = monotonic() + connect_timeout
    pauses = iter(PAUSES)
    while True:
        try:
            left = max(0.5, deadline - monotonic())
            preflight(host, port, identity=identity, server_certificate=server_certificate, timeout=left, proxy=proxy)
            break
        except ChannelError as error:
            pause = next(pauses, PAUSES[-1])
            if error.code not in RETRYABLE or monotonic() + pause >= deadline:
                raise
            Event().wait(pause)
    session = Session(limits, window=window, patience=patience, authentic=True, egress=egress)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    dialler = _Dialler(session, target, identity, server_certificate, limits, proxy, on_link or (lambda *_: None))
    Thread(target=dialler.run, name=f"tensors-{limits.session.participant}", daemon=True).start()
    return session


class _Dialler:
    """Keeps a session connected until it is over."""

    def __init__(
        self,
        session: Session,
        target: str,
        identity: Identity,
        server_certificate: str,
        limits: FrameLimits,
        proxy: str | None,
        on_link: OnLink,
    ) -> None:
        self._session, self._target, self._on_link = session, target, on_link
        self._nonce = secrets.token_hex(16)
        self._credentials = grpc.ssl_channel_credentials(
            root_certificates=server_certificate.encode(),
            private_key=identity.key_pem,
            certificate_chain=identity.certificate_pem.encode(),
        )
        self._options = [
            *options(limits.max_frame_bytes),
            ("grpc.ssl_target_name_override", common_name(server_certificate)),
            # every dial is a new connection, not one that waits out another's back-off
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.min_reconnect_backoff_ms", 5_000),  # the time that one attempt may take
            ("grpc.enable_http_proxy", 0 if proxy is None else 1),
            *([] if proxy is None else [("grpc.http_proxy", proxy)]),
        ]

    def run(self) -> None:
        """Converse, and dial again after a break, with growing pauses."""
        failures = 0
        while not self._session.lost():
            failures += 1
            try:
                if self._converse():
                    failures = 0
            except grpc.RpcError as error:
                if self._is_final(error):
                    return
            except FrameError as error:
                self._session.fail(error)
                return
            if not self._session.over:
                Event().wait(PAUSES[min(failures, len(PAUSES) - 1)])

    def _converse(self) -> bool:
        """One connection, from the dial to its end; whether it stood. Raises RpcError where it was refused."""
        attached: list[int] = []
        gate = Event()

        def outgoing() -> Iterator[bytes]:
            gate.wait()
            while attached and (frame := self._session.next_frame(attached[0])) is not None:
                yield frame

        with grpc.secure_channel(self._target, self._credentials, options=self._options) as channel:
            call = channel.stream_stream(f"/{SERVICE}/{METHOD}")(outgoing(), metadata=self._metadata())
            try:
                answer = dict(call.initial_metadata() or ())
                if ARRIVED in answer:
                    attached.append(self._session.attach(int(answer[ARRIVED]))[0])
                    self._on_link(True, attached[0] > 1)
                gate.set()
                for data in call:  # raises at once where the server refused
                    if attached:
                        self._session.deliver(attached[0], data)
            except grpc.RpcError as error:
                if not attached or self._is_final(error):
                    raise
            finally:
                gate.set()
                if attached:
                    self._session.detach(attached[0])
                    if not self._session.ending:
                        self._on_link(False, False)
        return bool(attached)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        ids = self._session.session
        return (
            ("cutlayer-version", str(frames.VERSION)),
            ("cutlayer-run", quote(ids.run, safe="")),
            ("cutlayer-participant", quote(ids.participant, safe="")),
            ("cutlayer-attempt", str(ids.attempt)),
            ("cutlayer-session", self._nonce),
            (ARRIVED, str(self._session.arrived)),
        )

    def _is_final(self, error: grpc.RpcError) -> bool:
        """Whether dialling again is of no use; the session then fails with the code that the server gave."""
        details = (error.details() or "") if isinstance(error, grpc.Call) else ""
        code = details.split(" ", 1)[0]
        if code in CATALOGUE:
            self._session.fail(ChannelError(code))
            return True
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._session.fail(FrameError("CL-1304"))
            return True
        return False
