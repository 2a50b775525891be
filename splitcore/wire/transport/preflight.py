"""Why a connection cannot be made, in words: each step of dialling tried by itself, since gRPC says "Socket closed"."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from splitcore.wire.protocol.messages import ChannelError
from splitcore.wire.transport.certificates import Identity, fingerprint, fingerprint_der


def preflight(
    host: str,
    port: int,
    *,
    identity: Identity,
    server_certificate: str,
    timeout: float = 10.0,
    proxy: str | None = None,
) -> None:
    """Reach the server half, compare its certificate with the pin, and see that it takes ours.

    Raises ChannelError: CL-1320 refused, CL-1321 no answer, CL-1322 another certificate than the pinned one,
    CL-1323 our certificate refused, CL-1324 no TLS 1.2 or newer.
    """
    where = {"host": host, "port": port}
    deadline = monotonic() + timeout
    with _connect(host, port, timeout, proxy) as raw:
        raw.settimeout(max(0.1, deadline - monotonic()))
        try:
            with client_context(identity).wrap_socket(raw, server_hostname=None) as tls:
                shown = fingerprint_der(tls.getpeercert(binary_form=True) or b"")
                if shown != fingerprint(server_certificate):
                    raise ChannelError("CL-1322", details={**where, "fingerprint": shown})
                _await_settings(tls)
        except TimeoutError:
            raise ChannelError("CL-1321", details=where) from None
        except (ssl.SSLError, OSError) as error:
            raise ChannelError("CL-1324", details={**where, "reason": type(error).__name__}) from None


def _await_settings(tls: ssl.SSLSocket) -> None:
    """The server speaks first once it has accepted the handshake; in TLS 1.3 a refusal shows only here."""
    try:
        accepted = tls.recv(1)
    except TimeoutError:
        raise
    except (ssl.SSLError, OSError):
        accepted = b""
    if not accepted:
        raise ChannelError("CL-1323")


def _connect(host: str, port: int, timeout: float, proxy: str | None) -> socket.socket:
    where = {"host": host, "port": port}
    try:
        if proxy is None:
            return socket.create_connection((host, port), timeout=timeout)
        return _through_proxy(host, port, timeout, proxy)
    except ConnectionRefusedError:
        raise ChannelError("CL-1320", details=where) from None
    except OSError as error:  # a name that does not resolve, an unreachable network, a time-out
        raise ChannelError("CL-1321", details={**where, "reason": type(error).__name__}) from None


def _through_proxy(host: str, port: int, timeout: float, proxy: str) -> socket.socket:
    parts = urlsplit(proxy)
    raw = socket.create_connection((parts.hostname or "", parts.port or 3128), timeout=timeout)
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < 8192:
        part = raw.recv(1)
        if not part:
            break
        answer += part
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        raw.close()
        raise ChannelError("CL-1321", "The proxy didn't connect to the compute site.", details={"host": host})
    return raw


def client_context(identity: Identity) -> ssl.SSLContext:
    """TLS as gRPC speaks it, but without a check of its own: the fingerprint is compared by hand."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with _as_file(identity.key_pem + b"\n" + identity.certificate_pem.encode()) as path:
            context.load_cert_chain(path)
    except ssl.SSLError:
        raise ChannelError("CL-1330") from None
    return context


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """The ssl module reads keys from files only: one in memory, without a name, where the system has such (Linux)."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.TemporaryDirectory() as folder:  # 0700
        path = Path(folder) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)
