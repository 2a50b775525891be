"""What is known of a worker, one fact at a time: none of them stands for another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from interface.formatting import human_bytes, human_number
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import worker_is_online

_ALLOWED_IN = (WorkerState.ACTIVE, WorkerState.PENDING)
POLICY_UNREADABLE = "CL-1422"


@dataclass(frozen=True)
class Fact:
    """One fact: a chip (`state`, `word`) and, where there is one, the moment or the detail that goes with it."""

    name: str
    state: str
    word: str
    detail: str = ""
    moment: datetime | None = None
    remedy: str = ""


def enrolled(worker: Worker) -> Fact:
    """Whether the enrolment stands."""
    gone = worker.state in (WorkerState.REVOKED, WorkerState.LEFT)
    return Fact(
        "Enrolled",
        worker.state if gone else "enrolled",
        worker.get_state_display() if gone else "Enrolled",
        moment=worker.created_at,
    )


def confirmed(worker: Worker) -> Fact:
    """Whether a person has compared the fingerprint."""
    if worker.confirmed_at is None:
        return Fact(
            "Fingerprint",
            "awaiting_confirmation",
            "To confirm",
            remedy="Compare the fingerprint with the worker's terminal, then confirm it.",
        )
    who = f"by {worker.confirmed_by}" if worker.confirmed_by else ""
    return Fact("Fingerprint", "confirmed", "Confirmed", who, worker.confirmed_at)


def online(worker: Worker, now: datetime | None = None) -> Fact:
    """Whether the worker was heard within three beats."""
    if worker.state not in _ALLOWED_IN:
        return Fact("Connection", "offline", "Blocked", moment=worker.last_beat_at)
    if worker_is_online(worker, now):
        return Fact("Connection", "online", "Online", moment=worker.last_beat_at)
    if worker.last_beat_at is None:
        return Fact("Connection", "pending", "Not seen yet", remedy="Start it: cutlayer worker start")
    return Fact(
        "Connection",
        "offline",
        "Offline",
        moment=worker.last_beat_at,
        remedy="A running worker reconnects automatically. If it isn't running, start it there: cutlayer worker start",
    )


def version(worker: Worker) -> Fact:
    """Whether the worker runs the hub's version."""
    if not worker.version:
        return Fact("Version", "unknown", "Unknown")
    if worker.version == settings.CUTLAYER_VERSION:
        return Fact("Version", "ok", worker.version)
    return Fact(
        "Version",
        "warning",
        worker.version,
        f"The hub runs {settings.CUTLAYER_VERSION}.",
        remedy=f"Install Cutlayer {settings.CUTLAYER_VERSION} on the worker.",
    )


def doctor(worker: Worker) -> Fact:
    """The worker's own checks, summed up."""
    counts = {status: sum(check.get("status") == status for check in worker.checks) for status in ("failed", "warning")}
    if not worker.checks:
        return Fact("Doctor", "unknown", "No report")
    if counts["failed"]:
        return Fact("Doctor", "failed", f"{counts['failed']} failed")
    if counts["warning"]:
        return Fact("Doctor", "warning", f"{counts['warning']} to check")
    return Fact("Doctor", "ok", f"{len(worker.checks)} passed")


def gpu(worker: Worker) -> Fact:
    """Memory that is free on the worker's GPUs, as it last said."""
    gpus: list[dict[str, Any]] = worker.facts.get("gpus") or []
    if not gpus:
        return Fact("GPU", "inactive", "CPU only" if worker.facts else "Unknown")
    free = sum(int(entry.get("free_bytes") or 0) for entry in gpus)
    total = sum(int(entry.get("memory_bytes") or 0) for entry in gpus)
    count = f"{len(gpus)} × " if len(gpus) > 1 else ""
    return Fact("GPU", "ok", f"{human_bytes(free)} free", f"{count}{gpus[0].get('name', 'GPU')}, {human_bytes(total)}")


def busy(worker: Worker) -> Fact:
    """How many parts of runs the worker is busy with, as it last said."""
    count = len(worker.lanes) if online(worker).state == "online" else 0
    return Fact("Work", "running" if count else "inactive", f"{count} running" if count else "Idle")


def copied(worker: Worker) -> list[Fact]:
    """That a second machine has used this worker's key, where one has."""
    if worker.copied_at is None:
        return []
    remedy = (
        "Stop the copy. If there is no known copy, the key was stolen: run `cutlayer worker rotate-key` at the site,"
        " or revoke the worker."
    )
    return [
        Fact(
            "Copy", "warning", "Key used twice", "Two processes were connected with this key", worker.copied_at, remedy
        )
    ]


def facts_of(worker: Worker) -> list[Fact]:
    """All of them, in the order of a worker's life."""
    return [*copied(worker), *(fact(worker) for fact in (enrolled, confirmed, online, version, doctor, gpu, busy))]


def table_facts(worker: Worker) -> list[Fact]:
    """Those that the table of all workers has room for."""
    return [*copied(worker), *(fact(worker) for fact in (enrolled, confirmed, online, version, doctor, gpu))]


def hardware_of(worker: Worker) -> list[tuple[str, str]]:
    """Hardware and versions as label and value, empty ones left out."""
    facts = worker.facts
    ports = facts.get("tensor_ports") or []
    values = [
        ("Cutlayer", worker.version),
        ("Python", facts.get("python")),
        ("PyTorch", facts.get("torch")),
        ("System", facts.get("platform")),
        ("CPU cores", facts.get("cpus")),
        ("Memory", human_bytes(facts["memory_bytes"]) if facts.get("memory_bytes") else ""),
        ("Free disk", human_bytes(facts["disk_free_bytes"]) if facts.get("disk_free_bytes") else ""),
        *((f"GPU {place}", gpu_line(entry)) for place, entry in enumerate(facts.get("gpus") or [])),
        ("Measured speed", speed_line(facts.get("speed") or {})),
        ("Tensor address", facts.get("tensor_host")),
        ("Tensor ports", "–".join(str(port) for port in ports)),
    ]
    return [(label, str(value)) for label, value in values if value]


def gpu_line(entry: dict[str, Any]) -> str:
    """A GPU in words."""
    free, total = human_bytes(entry.get("free_bytes")), human_bytes(entry.get("memory_bytes"))
    return f"{entry.get('name', 'GPU')}: {free} free of {total}"


def speed_line(speed: dict[str, Any]) -> str:
    """What the worker measured of itself with a short matrix product, in words; empty where it did not."""
    if not speed:
        return ""
    formats = [(name, float(speed.get(name) or 0)) for name in ("float32", "bfloat16")]
    rates = ", ".join(f"{human_number(rate / 1e9, 0)} GFLOP/s in {name}" for name, rate in formats if rate)
    return f"{rates} ({str(speed.get('device', '')).upper()})"


def budget_line(budget: dict[str, float] | None) -> str:
    """The privacy budget in words."""
    return f"ε = {budget['epsilon']:g} at δ = {budget['delta']:g}" if budget else "None"


def policy_of(worker: Worker) -> list[tuple[str, str]]:
    """The site policy's limits in words; the file itself stays on the worker, which enforces it."""
    policy = worker.policy
    if not policy:
        return []
    if any(check.get("code") == POLICY_UNREADABLE for check in worker.checks):
        return [("Limits", "Unknown. The file can't be read, so the worker refuses every run.")]
    trust = (
        "Only listed fingerprints"
        if policy.get("peer_trust") == "listed"
        else "Data workers on first contact, then pinned"
    )
    return [
        ("Topologies", ", ".join(policy.get("topologies") or []) or "Any"),
        ("Minimum head layers", str(policy.get("min_head_layers", 0))),
        ("Minimum tail layers", str(policy.get("min_tail_layers", 0))),
        ("Base models", ", ".join(policy.get("models") or []) or "Any"),
        ("Maximum steps", str(policy.get("max_steps") or "No limit")),
        ("Maximum message size", human_bytes(largest) if (largest := policy.get("max_message_bytes")) else "Unknown"),
        ("Privacy budget of a row", budget_line(policy.get("privacy_budget"))),
        ("Compute hosts", ", ".join(policy.get("hosts") or []) or "Any"),
        ("Trust in peers", trust),
    ]
