"""Joining a hub, changing the key, leaving. The key pair is born here and its private half never leaves."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from splitcore.errors import AppError
from splitcore.hub_key import hub_public_key
from splitcore.wire.transport.certificates import CERTIFICATE_FILE, Identity, create_identity, load_identity
from workers.contracts import (
    API_PREFIX,
    HEADER_PROTOCOL,
    PROTOCOL_VERSION,
    EnrolReply,
    EnrolRequest,
    Message,
    RotateRequest,
    rotation_input,
)
from workers.copies import copy_forget
from workers.facts import gather_facts
from workers.hub import HubClient, HubError, Signer, hub_version, older_form, read_answer
from workers.ledger.book import Book
from workers.network import ask_bounded, http_client, hub_address, is_loopback, network_error
from workers.policy import Kind, policy_write_default
from workers.settings import WorkerConfig, WorkerHome
from workers.versions import message_json
from workers.witness import Witness

ALL_INTERFACES = "0.0.0.0"  # noqa: S104  # mutual TLS guards the port


@dataclass(frozen=True)
class JoinOptions:
    """What the operator chose on the command line."""

    console_host: str = "127.0.0.1"
    console_port: int = 8733
    tensor_host: str = ""
    tensor_ports: tuple[int, int] = (9100, 9110)
    kind: Kind = "data"  # decides how careful the first policy is, so it is never taken from the hub


def fingerprint_groups(fingerprint: str) -> str:
    """A fingerprint in groups of four, as the hub's page shows it too."""
    return " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))


def join(home: WorkerHome, url: str, token: str, options: JoinOptions) -> tuple[WorkerConfig, bool]:
    """Enrol this folder with a hub. Returns the configuration, and whether it was enrolled just now.

    Running it again for the same hub changes nothing but the options. Raises AppError.
    """
    url = hub_address(url)
    existing = _existing(home)
    if existing is not None:
        if existing.hub_url != url:
            raise AppError("CL-1421", f"{home.root} is enrolled with {existing.hub_url}, not with {url}.")
        if existing.joined_with and existing.joined_with != _digest(token):
            raise AppError(
                "CL-1421",
                f"{home.root} already contains the worker {existing.enrolment.worker_name}, which joined with another "
                "token. "
                "Nothing was changed, and the new token is still valid.",
                "For a second worker on this machine, use a separate folder: cutlayer worker join … --home FOLDER "
                "--console-port PORT.",
            )
        config = _with_options(existing, options)
        config.save(home)
        return config, False
    home.create()
    identity = _identity(home)
    host = options.tensor_host or _default_tensor_host(url)
    facts = gather_facts(home, tensor_host=host, tensor_ports=options.tensor_ports)
    request = EnrolRequest(
        token=token,
        certificate_pem=identity.certificate_pem,
        facts=facts,
        console_url=f"http://{options.console_host}:{options.console_port}/",
        sent_at=datetime.now(UTC),
    )
    reply = _enrol(url, request, Book(home.ledger_file))
    _check_reply(reply, identity)
    config = _with_options(WorkerConfig(hub_url=url, enrolment=reply, joined_with=_digest(token)), options)
    policy_write_default(home, options.kind)  # first: no enrolled worker is without one
    config.save(home)
    return config, True


def rotate_key(home: WorkerHome) -> WorkerConfig:
    """Make a new key and certificate, told to the hub under the old one. The old files are kept until it has agreed."""
    config = WorkerConfig.load(home)
    fresh, staged = create_identity(config.worker_id), home.keys / "next"
    fresh.save(staged)
    client = HubClient.of(home, config)
    present = load_identity(home.keys).fingerprint
    proof = Signer(fresh, config.worker_id).signature(rotation_input(config.worker_id, present, fresh.fingerprint))
    request = RotateRequest(certificate_pem=fresh.certificate_pem, proof=proof)
    try:
        reply = client.call("POST", "/rotate", request, reply=EnrolReply)
    finally:
        client.close()
    _check_reply(reply, fresh)
    fresh.save(home.keys)
    shutil.rmtree(staged)
    copy_forget(home)
    config = config.model_copy(update={"enrolment": reply})
    config.save(home)
    return config


def recover_rotation(home: WorkerHome, config: WorkerConfig) -> WorkerConfig:
    """Finish a change of the key that was cut off after the hub had agreed: the staged key is the enrolled one then."""
    staged = home.keys / "next"
    if not (staged / CERTIFICATE_FILE).exists():
        return config
    identity = load_identity(staged)
    client = HubClient(config.hub_url, Signer(identity, config.worker_id), Book(home.ledger_file))
    try:
        client.assignments()
    except HubError:
        return config
    finally:
        client.close()
    identity.save(home.keys)
    shutil.rmtree(staged)
    enrolment = config.enrolment.model_copy(update={"fingerprint": identity.fingerprint})
    config = config.model_copy(update={"enrolment": enrolment})
    config.save(home)
    return config


def leave(home: WorkerHome, *, tell: Callable[[AppError], None]) -> None:
    """End the enrolment: tell the hub if it can be reached, and forget the key. Datasets and policy stay."""
    config = WorkerConfig.load(home)
    try:
        client = HubClient.of(home, config)
        client.post("/leave", Message())
    except AppError as error:
        tell(error)
    shutil.rmtree(home.keys / "next", ignore_errors=True)
    for path in (*home.keys.glob("worker.*.pem"), home.config_file, home.trust_file, home.approvals_file):
        path.unlink(missing_ok=True)
    copy_forget(home)
    Witness(home.root).forget()
    for path in home.root.glob(f"{home.spool_file.name}*"):
        path.unlink()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _existing(home: WorkerHome) -> WorkerConfig | None:
    return WorkerConfig.load(home) if home.config_file.exists() else None


def _identity(home: WorkerHome) -> Identity:
    """The key pair of an earlier try, else a new one: the same token may then be sent again."""
    if (home.keys / CERTIFICATE_FILE).exists():
        return load_identity(home.keys)
    identity = create_identity(f"worker-{secrets.token_hex(8)}")
    identity.save(home.keys)
    return identity


def _enrol(url: str, request: EnrolRequest, book: Book) -> EnrolReply:
    client = http_client(url, book)
    content = message_json(request, PROTOCOL_VERSION)
    try:
        try:
            data = _ask_to_enrol(client, url, content)
        except HubError as error:
            older = older_form(request, content, error)
            if older is None:
                raise
            data = _ask_to_enrol(client, url, older)
    finally:
        client.close()
    try:
        return EnrolReply.model_validate(data)
    except ValueError:
        raise AppError("CL-1433", f"The server at {url} isn't a hub of this version.") from None


def _check_reply(reply: EnrolReply, identity: Identity) -> None:
    """What is kept of the hub names this worker's key, and a key that only the hub can sign with."""
    if reply.fingerprint != identity.fingerprint:
        raise AppError("CL-1431", "The hub recorded a different fingerprint. Something in between alters the traffic.")
    try:
        hub_public_key(reply.hub_public_key_pem)
    except ValueError as error:
        raise AppError("CL-1433", f"The hub's signing key can't be used. {error}") from None


def _ask_to_enrol(client: httpx.Client, url: str, content: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", HEADER_PROTOCOL: str(PROTOCOL_VERSION)}
    try:
        response = ask_bounded(client, "POST", f"{API_PREFIX}/enrol", content=content, headers=headers)
    except httpx.HTTPError as error:
        raise network_error(error, url) from None
    data = read_answer(response, url, words=True)
    hub_version(response)
    return data


def _with_options(config: WorkerConfig, options: JoinOptions) -> WorkerConfig:
    host = options.tensor_host or _default_tensor_host(config.hub_url)
    return config.model_copy(
        update={
            "console_host": options.console_host,
            "console_port": options.console_port,
            "tensor_host": host,
            "tensor_bind": host if is_loopback(host) else ALL_INTERFACES,
            "tensor_ports": options.tensor_ports,
        }
    )


def _default_tensor_host(url: str) -> str:
    """Beside a hub on this machine: loopback. Else this machine's name, which the operator may have to correct."""
    return "127.0.0.1" if is_loopback(urlsplit(url).hostname or "") else socket.getfqdn()
