"""One way out for every connection of a worker: the site's proxies, the site's CA bundle, TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from splitcore.errors import AppError
from workers.ledger.book import Book
from workers.ledger.requests import Take, hooks
from workers.settings import WorkerEnvironment

ANSWER_BYTES = 1 << 20  # the hub's answers are small but for the list of assignments
_NOT_KEPT = ("content-encoding", "content-length", "transfer-encoding")
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def tls_context() -> ssl.SSLContext:
    """The authorities to trust: the system's, and those of CUTLAYER_CA_BUNDLE. Raises AppError CL-1431."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    bundle = WorkerEnvironment().ca_bundle
    if bundle is not None:
        try:
            context.load_verify_locations(cafile=str(Path(bundle).expanduser()))
        except (OSError, ssl.SSLError) as error:
            raise AppError(
                "CL-1431", f"CUTLAYER_CA_BUNDLE names {bundle}, which can't be read ({type(error).__name__})."
            ) from None
    return context


def http_client(base_url: str, book: Book | None = None, take: Take | None = None) -> httpx.Client:
    """A client for the hub, whose requests are counted in `book`. It reads the proxies and follows no redirect.

    `take` is asked before each request whether its run's budget allows it.
    """
    return httpx.Client(
        base_url=base_url, verify=tls_context(), timeout=TIMEOUT, follow_redirects=False, event_hooks=hooks(book, take)
    )


def ask_bounded(
    client: httpx.Client, method: str, target: str, *, most_bytes: int = ANSWER_BYTES, **options: Any
) -> httpx.Response:
    """Send a request and read its answer up to a bound, unpacking nothing. Raises AppError CL-1436 beyond it."""
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity"}
    with client.stream(method, target, headers=headers, **options) as response:
        content = bytearray()
        for chunk in response.iter_raw(65536):
            content += chunk
            if len(content) > most_bytes:
                raise AppError("CL-1436", f"The response from {client.base_url} is larger than {most_bytes} bytes.")
        # Without the encoding's header: what came packed although nobody asked for it stays packed, and is no JSON.
        kept = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
        return httpx.Response(response.status_code, headers=kept, content=bytes(content), request=response.request)


def hub_address(url: str) -> str:
    """A hub's address in its plain form. Raises AppError CL-1433 for what is no address."""
    parts = urlsplit(url.strip().rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise AppError("CL-1433", f"{url!r} isn't a hub's address, which starts with https://.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise AppError("CL-1433", "Over a network, a worker connects to its hub only over https://.")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    return host in ("localhost", "::1") or host.startswith("127.")


def proxy_for(host: str) -> str | None:
    """The site's proxy for a TLS connection to a host; none for this machine and for what NO_PROXY lists."""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get("https")


def socket_address(hub_url: str, path: str) -> str:
    """The WebSocket address below a hub's address."""
    return hub_url.replace("http", "ws", 1) + path


def network_error(error: httpx.HTTPError | OSError, url: str) -> AppError:
    """What a failed connection means to a person."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AppError("CL-1431", f"The certificate of {url} isn't trusted: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            return AppError("CL-1431", f"{url} failed the TLS handshake ({cause.reason}).")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ProxyError):
        return AppError("CL-1432", f"The proxy refused the connection to {url}.")
    kind = "did not respond in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return AppError("CL-1430", f"{url} {kind}.")
