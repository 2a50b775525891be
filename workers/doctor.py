"""The worker's own examination: each check with its result and, where it failed, what to do. Loads no torch."""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import psutil

from processes.private_files import first_lax
from splitcore.bounds import plain, without_folders
from splitcore.errors import CATALOGUE, AppError
from splitcore.wire.transport.certificates import load_identity
from workers.agent.broker import find_server
from workers.contracts import Check
from workers.copies import copy_seen
from workers.facts import disk_free, find_gpus, package_version
from workers.hub import HubClient, HubError
from workers.ledger.book import Book
from workers.models_registry import ModelRegistry
from workers.network import ask_bounded, http_client, network_error
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerEnvironment, WorkerHome
from workers.speed import find_speed, human_rate
from workers.trust import TrustBook
from workers.witness import Witness

log = logging.getLogger(__name__)
SKEW_WARNING, SKEW_FAILURE = 30.0, 300.0  # seconds
DISK_WARNING = 5 * 10**9
MEMORY_WARNING = 2 * 10**9


def run_checks(home: WorkerHome) -> list[Check]:
    """Every check, in the order in which a person would look. Never raises for what a check finds."""
    try:
        config = WorkerConfig.load(home)
    except AppError as error:
        return [_failed("Enrolment", error)]
    checks = [_ok("Enrolment", f"{config.enrolment.worker_name} of {config.enrolment.organisation_name}")]
    steps: dict[str, Callable[[WorkerHome, WorkerConfig], Check]] = {
        "Key and certificate": _key,
        "Single instance": _copies,
        "Folder": _folder,
        "Hub and clock": _hub,
        "Signature": _confirmed,
        "Hub's audit log": _audit_log,
        "Versions": _versions,
        "Disk": _storage,
        "Memory": _memory,
        "GPU": _gpu,
        "Speed": _speed,
        "Local queue": _queue,
        "Site policy": _policy,
        "Base models": _models,
        "Tensor ports": _ports,
    }
    for name, step in steps.items():
        try:
            checks.append(step(home, config))
        except AppError as error:
            checks.append(_failed(name, error))
        except Exception as error:  # one check's fault hides none of the others
            log.exception("the check %s failed", name)
            checks.append(_failed(name, AppError("CL-1999", f"The check ended with {type(error).__name__}.")))
    return checks


def _audit_log(home: WorkerHome, config: WorkerConfig) -> Check:
    witness = Witness(home.root)
    finding = witness.finding()
    if finding is not None:
        raise finding.error
    kept = witness.kept()
    return _ok("Hub's audit log", f"Seen up to entry {kept.sequence}." if kept else "Not seen yet.")


def _ok(name: str, detail: str = "") -> Check:
    return Check(name=name, status="ok", detail=plain(detail))


def _warning(name: str, detail: str, remedy: str = "") -> Check:
    return Check(name=name, status="warning", detail=plain(detail), remedy=plain(remedy))


def _failed(name: str, error: AppError) -> Check:
    return Check(
        name=name,
        status="failed",
        detail=plain(without_folders(error.message)),
        code=error.code,
        remedy=plain(error.remedy),
    )


def _key(home: WorkerHome, config: WorkerConfig) -> Check:
    """The key fits the enrolment."""
    identity = load_identity(home.keys)
    if identity.fingerprint != config.enrolment.fingerprint:
        raise AppError("CL-1330", "The key isn't the enrolled one.")
    return _ok("Key and certificate", f"fingerprint {identity.fingerprint[:16]}…")


def _folder(home: WorkerHome, config: WorkerConfig) -> Check:
    """Other accounts of this machine have no rights in the worker's folder."""
    found = first_lax(home.root)
    if found is None:
        return _ok("Folder", "not accessible to other accounts on this machine.")
    return _warning(
        "Folder",
        f"Other accounts on this machine can access {_inside(home, found)}.",
        "Start the worker, which restricts access.",
    )


def _inside(home: WorkerHome, found: Path) -> str:
    """Which part of the worker's folder it is: the checks go to the hub, and names of files may tell of people."""
    parts = found.relative_to(home.root).parts
    if not parts:
        return "the worker's folder"
    return f"the worker's folder, in {parts[0]}" if len(parts) > 1 else f"the worker's folder, {parts[0]}"


def _hub(home: WorkerHome, config: WorkerConfig) -> Check:
    """The hub answers, and both clocks agree."""
    client = http_client(config.hub_url, Book(home.ledger_file))
    started = time.monotonic()
    try:
        response = ask_bounded(client, "GET", "/health")
    except httpx.HTTPError as error:
        raise network_error(error, config.hub_url) from None
    finally:
        client.close()
    milliseconds = (time.monotonic() - started) * 1000
    try:
        skew = abs((parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC)).total_seconds())
    except (KeyError, ValueError, TypeError, OverflowError):
        return _ok("Hub and clock", f"{config.hub_url} responds in {milliseconds:.0f} ms, but doesn't send its time.")
    if skew > SKEW_FAILURE:
        raise AppError("CL-1406", f"This clock and the hub's differ by {skew:.0f} s.")
    if skew > SKEW_WARNING:
        return _warning("Hub and clock", f"This clock and the hub's differ by {skew:.0f} s.", "Set the clock with NTP.")
    return _ok("Hub and clock", f"{config.hub_url} responds in {milliseconds:.0f} ms. The clocks agree.")


def _confirmed(home: WorkerHome, config: WorkerConfig) -> Check:
    """The hub accepts this worker's signature and lets it act."""
    client = HubClient.of(home, config)
    try:
        client.assignments()
    except HubError as error:
        if error.code == "CL-1414":
            return Check(name="Confirmation", status="pending", detail=error.message, code=error.code)
        raise
    finally:
        client.close()
    return _ok("Signature", "The hub accepts this worker's signature.")


def _versions(home: WorkerHome, config: WorkerConfig) -> Check:
    names = ("cutlayer", "torch", "transformers", "peft", "grpcio")
    missing = [name for name in names if not package_version(name)]
    if missing:
        raise AppError("CL-1407", f"Not installed here: {', '.join(missing)}.", "Install Cutlayer again.")
    found = ", ".join(f"{name} {package_version(name)}" for name in names)
    return _ok("Versions", f"Python {sys.version.split()[0]}, {found}")


def _storage(home: WorkerHome, config: WorkerConfig) -> Check:
    """There is room, and the folder can be written."""
    probe = home.root / ".doctor"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise AppError("CL-1820", f"The worker's folder can't be written ({type(error).__name__}).") from None
    free = disk_free(home.root)
    if free < WorkerEnvironment().min_free_bytes:
        raise AppError("CL-1820", f"Only {free / 1e9:.1f} GB are free for the worker's folder.")
    if free < DISK_WARNING:
        return _warning(
            "Disk", f"{free / 1e9:.1f} GB are free for the worker's folder.", "Free some space for checkpoints."
        )
    return _ok("Disk", f"{free / 1e9:.0f} GB are free for the worker's folder.")


def _memory(home: WorkerHome, config: WorkerConfig) -> Check:
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are available."
    if memory.available < MEMORY_WARNING:
        return _warning("Memory", text, "A half needs about 1 GB besides its part of the model.")
    return _ok("Memory", text)


def _gpu(home: WorkerHome, config: WorkerConfig) -> Check:
    gpus = find_gpus()
    if gpus:
        return _ok("GPU", ", ".join(f"{gpu.name} ({gpu.free_bytes / 1e9:.0f} GB free)" for gpu in gpus))
    if config.enrolment.kind == "data":
        return _ok("GPU", "None found. For small models, a data worker can use its CPU.")
    return _warning("GPU", "None found. The body is computed on the CPU.", "If there should be one, check nvidia-smi.")


def _speed(home: WorkerHome, config: WorkerConfig) -> Check:
    """How fast this machine multiplies matrices: measured once, then known until the machine changes."""
    speed = find_speed(home)
    if speed is None:
        remedy = "The time of a run can't be estimated until a first run has finished."
        return _warning("Speed", "It could not be measured.", remedy)
    half = f", {human_rate(speed.bfloat16)} in bfloat16" if speed.bfloat16 else ""
    return _ok("Speed", f"{human_rate(speed.float32)} in float32{half} on the {speed.device.upper()}")


def _queue(home: WorkerHome, config: WorkerConfig) -> Check:
    """A Redis-compatible server is there to be started."""
    program = find_server()
    if program is None:
        raise AppError("CL-1441")
    return _ok("Local queue", Path(program).name)


def _copies(home: WorkerHome, config: WorkerConfig) -> Check:
    """The hub hasn't seen a second process with this worker's key."""
    if (seen := copy_seen(home)) is not None:
        raise AppError("CL-1419", f"The hub saw a second process with this worker's key ({seen:%Y-%m-%d %H:%M} UTC).")
    return _ok("Single instance", "The hub hasn't seen a second process with this worker's key.")


def _policy(home: WorkerHome, config: WorkerConfig) -> Check:
    policy = SitePolicy.load(home.policy_file)
    TrustBook.load(home)
    limits = (
        f"{', '.join(policy.topologies)}; at least {policy.min_head_layers} head, {policy.min_tail_layers} tail layers"
    )
    return _ok("Site policy", limits)


def _models(home: WorkerHome, config: WorkerConfig) -> Check:
    """The folders of the registered base models are still there."""
    models = ModelRegistry(home).all()
    gone = [model.model_id for model in models if not (model.folder / "config.json").is_file()]
    if gone:
        raise AppError("CL-1120", f"The folder of {', '.join(gone)} no longer exists.")
    if not models:
        remedy = "Run `cutlayer worker model add ID|FOLDER`."
        return _warning("Base models", "No base models are registered yet.", remedy)
    return _ok("Base models", ", ".join(model.model_id for model in models))


def _ports(home: WorkerHome, config: WorkerConfig) -> Check:
    """A compute worker has a port for the tensors."""
    first, last = config.tensor_ports
    if config.enrolment.kind == "data":
        return _ok("Tensor ports", "Not needed. A data worker only makes outbound connections.")
    if not any(_is_free(config.tensor_bind, port) for port in range(first, last + 1)):
        raise AppError("CL-1325", f"No port of {first}–{last} is free.", CATALOGUE["CL-1325"].remedy)
    return _ok("Tensor ports", f"Data organisations reach {config.tensor_host}, ports {first}–{last}.")


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
