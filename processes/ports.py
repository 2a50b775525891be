"""Whether a program may listen at an address, and who is there already."""

from __future__ import annotations

import socket

import psutil

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # compared, not bound


class PortTakenError(OSError):
    """Nobody can listen there; the text says why, and names the process where this account may see it."""


def own_address(host: str, port: int) -> str:
    """A server's address as a browser on this machine types it."""
    name = _EVERYWHERE.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def check_port(host: str, port: int) -> None:
    """Raise PortTakenError where one cannot listen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        owner = _owner(port)
        reason = f"{owner} listens there already" if owner else (error.strerror or type(error).__name__)
        raise PortTakenError(reason) from None


def _owner(port: int) -> str:
    try:
        for link in psutil.net_connections(kind="tcp"):
            if link.status == psutil.CONN_LISTEN and link.laddr and link.laddr.port == port and link.pid:
                return f"process {link.pid} ({' '.join(psutil.Process(link.pid).cmdline())[:120]})"
    except psutil.Error:
        return ""
    return ""
