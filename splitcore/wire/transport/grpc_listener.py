"""The server half's end of the tensor connection: one port, mutual TLS, only the certificates of the contract."""

from __future__ import annotations

import queue
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread, Timer
from typing import Any
from urllib.parse import unquote

import grpc

from splitcore.wire.protocol import frames
from splitcore.wire.protocol.channel import Closing
from splitcore.wire.protocol.egress import Egress
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, FrameError, SessionIds
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.session import Session
from splitcore.wire.transport.certificates import Identity, check_pin, fingerprint, fingerprint_der
from splitcore.wire.transport.grpc_channel import ARRIVED, METHOD, SERVICE, options

STREAMS_PER_CLIENT = 4  # the live stream, and broken ones that have not ended yet
FAREWELL_SECONDS = 2.0  # in which a peer whose conversation failed may read why


def serve(
    *,
    identity: Identity,
    clients: Mapping[str, str],
    limits: Mapping[str, FrameLimits],
    host: str = "0.0.0.0",  # noqa: S104 - the compute site listens for other sites; TLS decides who may speak
    ports: tuple[int, int] = (0, 0),
    patience: float = 120.0,
    window: Window | None = None,
    egress: Callable[[str], Egress] | None = None,
) -> GrpcListener:
    """Open the server half's door on the first free port of `ports` (inclusive; (0, 0) takes any).

    `clients` maps each participant to the PEM of the certificate that the contract pins, `limits` to what it may send
    (`session_limits(..., side="server")`, whose attempt is the least that is let in).
    `egress` opens the account that counts what leaves for a participant. Raises ChannelError CL-1325, 1330.
    """
    check_pin(identity.certificate_pem)
    for certificate in clients.values():
        check_pin(certificate)
    desk = _Desk(clients, limits, patience, window, egress)
    largest = max(limit.max_frame_bytes for limit in limits.values())
    credentials = grpc.ssl_server_credentials(
        [(identity.key_pem, identity.certificate_pem.encode())],
        root_certificates="".join(clients.values()).encode(),
        require_client_auth=True,
    )
    for port in range(ports[0], ports[1] + 1):
        pool = ThreadPoolExecutor(STREAMS_PER_CLIENT * len(clients) + 1, thread_name_prefix="tensors")
        server = grpc.server(
            pool,
            options=[
                *options(largest),
                ("grpc.so_reuseport", 0),  # else two servers share one port without an error
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.http2.max_ping_strikes", 0),
            ],
        )
        handler = grpc.stream_stream_rpc_method_handler(desk.converse)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        try:
            bound = server.add_secure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", credentials)
        except RuntimeError:
            bound = 0
        if bound:
            server.start()
            return GrpcListener(server, desk, (host, bound))
        pool.shutdown(wait=False)
    raise ChannelError("CL-1325", details={"host": host, "ports": list(ports)})


class GrpcListener(Closing):
    """A `Listener` on a gRPC server."""

    def __init__(self, server: grpc.Server, desk: _Desk, address: tuple[str, int]) -> None:
        self._server, self._desk, self.address = server, desk, address

    def accept(self, *, timeout: float | None = None) -> Session:
        """See `Listener.accept`."""
        try:
            return self._desk.newcomers.get(timeout=timeout)
        except queue.Empty:
            raise ChannelError("CL-1327", "No data organisation connected in time.") from None

    def close(self) -> None:
        """See `Listener.close`."""
        for session in self._desk.sessions():
            session.close()
        self._server.stop(grace=1.0).wait()


class _RefusedError(Exception):
    """A stream that is not let in, with the status and code that its client is told."""

    def __init__(self, status: grpc.StatusCode, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class _Desk:
    """Checks who comes in, and joins each stream to its session."""

    def __init__(
        self,
        clients: Mapping[str, str],
        limits: Mapping[str, FrameLimits],
        patience: float,
        window: Window | None,
        egress: Callable[[str], Egress] | None,
    ) -> None:
        self._participants = {fingerprint(certificate): name for name, certificate in clients.items()}
        self._limits, self._patience, self._window, self._egress = limits, patience, window, egress
        self._sessions: dict[str, tuple[str, Session]] = {}
        self._streams: Counter[str] = Counter()
        self._lock = Lock()
        self.newcomers: queue.Queue[Session] = queue.Queue()

    def sessions(self) -> list[Session]:
        """Every participant's current session."""
        with self._lock:
            return [session for _, session in self._sessions.values()]

    def converse(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """The handler of a stream: gRPC calls it in a thread of its pool."""
        try:
            participant = self._authenticate(context)
            self._take_place(participant, context)
            session, arrived = self._admit(participant, dict(context.invocation_metadata()))
            generation, have = session.attach(arrived)
        except _RefusedError as refusal:
            context.abort(refusal.status, refusal.code)
        except FrameError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.code)
        # first of all, since what follows raises where the connection is gone already
        if not context.add_callback(lambda: session.detach(generation)):
            session.detach(generation)
        context.send_initial_metadata(((ARRIVED, str(have)),))
        reader = (requests, context, session, generation)
        Thread(target=_read, args=reader, name=f"tensors-{participant}", daemon=True).start()
        while (frame := session.next_frame(generation)) is not None:
            yield frame

    def _authenticate(self, context: grpc.ServicerContext) -> str:
        """The participant whose pinned certificate this is; being signed by a pinned one is not enough."""
        shown = context.auth_context().get("x509_pem_cert", [])
        participant = self._participants.get(_fingerprint(shown[0])) if len(shown) == 1 else None
        if participant is None:
            raise _RefusedError(grpc.StatusCode.UNAUTHENTICATED, "CL-1323")
        return participant

    def _take_place(self, participant: str, context: grpc.ServicerContext) -> None:
        """Count a stream until it ends: one client's streams must not take the threads of all the others."""
        with self._lock:
            if self._streams[participant] >= STREAMS_PER_CLIENT:
                raise _RefusedError(grpc.StatusCode.UNAVAILABLE, "too many connections")
            self._streams[participant] += 1
        if not context.add_callback(lambda: self._leave_place(participant)):
            self._leave_place(participant)

    def _leave_place(self, participant: str) -> None:
        with self._lock:
            self._streams[participant] -= 1

    def _admit(self, participant: str, metadata: Mapping[str, Any]) -> tuple[Session, int]:
        """The session that the stream belongs to, made where it is a new attempt, and what the client has of it."""
        if metadata.get("cutlayer-version") != str(frames.VERSION):
            raise _RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "CL-1302")
        limits = self._limits[participant]
        run, name = (unquote(str(metadata.get(f"cutlayer-{key}", ""))) for key in ("run", "participant"))
        attempt, arrived = (str(metadata.get(key, "")) for key in ("cutlayer-attempt", ARRIVED))
        if (run, name) != (limits.session.run, participant) or not (_is_number(attempt) and _is_number(arrived)):
            raise _RefusedError(grpc.StatusCode.PERMISSION_DENIED, "CL-1305")
        ids, nonce = SessionIds(run, participant, int(attempt)), str(metadata.get("cutlayer-session", ""))
        with self._lock:
            known = self._sessions.get(participant)
            least = limits.session.attempt if known is None else known[1].session.attempt
            if ids.attempt < least or (known and ids.attempt == least and known[0] != nonce):
                raise _RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "CL-1306")
            if known is not None and ids.attempt == least:
                if known[1].over:
                    raise _RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "CL-1328")
                return known[1], int(arrived)
            if int(arrived):  # it goes on with a process that is gone: no newcomer, nobody is to wait for its hello
                raise _RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "CL-1328")
            session = Session(
                limits.for_session(ids),
                window=self._window,
                patience=self._patience,
                authentic=True,
                egress=self._egress(participant) if self._egress else None,
            )
            self._sessions[participant] = (nonce, session)
        if known is not None:
            known[1].fail(ChannelError("CL-1306", details={"newer": ids.attempt}), tell="CL-1306")
        self.newcomers.put(session)
        return session, int(arrived)


def _read(requests: Iterator[bytes], context: grpc.ServicerContext, session: Session, generation: int) -> None:
    """Take in a stream until it ends or the conversation does; a peer that then stays is shut out."""
    try:
        for data in requests:
            session.deliver(generation, data)
            if session.over:
                farewell = Timer(FAREWELL_SECONDS, context.cancel)
                farewell.daemon = True
                farewell.start()
                return  # what it sends now stays in its own machine; the handler still says why
    except grpc.RpcError:
        pass  # the callback of the handler's context has told the session
    session.detach(generation)


def _fingerprint(certificate_pem: bytes) -> str:
    return fingerprint_der(ssl.PEM_cert_to_DER_cert(certificate_pem.decode("ascii")))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
