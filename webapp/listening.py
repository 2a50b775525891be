"""Whether the hub can listen where `serve` was told to: asked before Django is loaded, which takes longer."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence

from processes.ports import PortTakenError, check_port
from splitcore.errors import AppError

HOST, PORT = "127.0.0.1", 8000


def add_address(parser: ArgumentParser) -> None:
    """The options that say where to listen."""
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=_port, default=PORT)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 1 << 16):
        raise ArgumentTypeError(f"{text[:20]} isn't a port. Use a number from 1 to 65535.")
    return int(text)


def address_check(host: str, port: int) -> None:
    """Raise CL-1903, with the process that is there, where the hub cannot listen."""
    try:
        check_port(host, port)
    except PortTakenError as reason:
        raise AppError(
            "CL-1903",
            f"The hub can't listen on {host}:{port}: {reason}.",
            f"Stop it, or choose another port, for example: manage.py serve --port {port % 65535 + 1}",
        ) from None


def early_check(arguments: Sequence[str]) -> str:
    """What to say and end with, for a command line of `manage.py`; nothing where it may go on."""
    if arguments[1:2] != ["serve"] or {"-h", "--help"} & set(arguments):
        return ""
    parser = ArgumentParser(add_help=False, exit_on_error=False)
    add_address(parser)
    try:
        options, _ = parser.parse_known_args(list(arguments[2:]))
        address_check(options.host, options.port)
    except AppError as error:
        return str(error)
    except Exception:  # options that are not understood: Django says which
        return ""
    return ""
