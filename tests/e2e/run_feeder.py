"""Plays workers for the run page's browser test: reads a command a line, answers with a line of JSON.

`world NAME` makes a run that three workers have taken up, `crowd COUNT` many, with people's sessions;
`steps RUN FIRST LAST` reports those steps of every worker;
`draft NAME` makes a draft, its engineer, and a site whose policy wants two tail layers;
`finish RUN` ends the run with an evaluation of each data organisation;
`fail RUN` ends the run by a full disk at the second data organisation;
`adapter` makes a finished run with its adapter, and a clone of it;
`checkpoint RUN STEP` reports a checkpoint of every worker; `resume RUN` resumes the run as its author.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import timedelta

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.utils import timezone  # noqa: E402

from webapp.adapters.tests import factories as adapters  # noqa: E402
from webapp.orgs.models import Role  # noqa: E402
from webapp.orgs.tests.factories import PASSWORD, member  # noqa: E402
from webapp.runs.finishing.packaging import adapter_package  # noqa: E402
from webapp.runs.lifecycle import participant_beat, participant_exit  # noqa: E402
from webapp.runs.lifecycle.reporting import records_store  # noqa: E402
from webapp.runs.models import Participant, Run, RunState  # noqa: E402
from webapp.runs.services import run_clone, run_resume  # noqa: E402
from webapp.runs.tests import factories as make  # noqa: E402
from workers.contracts import ErrorInfo, Exit, TelemetryBatch, TelemetryRecord  # noqa: E402


def world(name: str) -> dict[str, str]:
    """A started run, and a person who may watch it."""
    w = make.started(run_config=make.config(training={"steps": 60}), prefix=f"{name} ")
    user = member(w.organisations[0], Role.STEWARD, email=f"watcher@{name}.example")
    return {"run": w.run.id, "email": user.email, "password": PASSWORD}


def draft(name: str) -> dict[str, str]:
    """A draft, and an engineer who configures it."""
    w = make.world(prefix=f"{name} ")
    w.workers[1].policy = {"topologies": ["u_shape"], "min_head_layers": 1, "min_tail_layers": 2}
    w.workers[1].save()
    user = member(w.organisations[0], Role.ENGINEER, email=f"engineer@{name}.example")
    return {"run": w.run.id, "email": user.email, "password": PASSWORD}


def finish(run_id: str) -> dict[str, str]:
    """The run is done, and measured."""
    run = Run.objects.get(pk=run_id)
    parties = run.participants.filter(role="client").values_list("party", flat=True)
    result = {"base_loss": 4.0, "base_exact_match": 0.1, "loss": 2.0, "exact_match": 0.6, "rows": 9, "tokens": 90}
    run.summary = {**run.summary, "evaluation": dict.fromkeys(parties, result)}
    run.state, run.ended_at = RunState.DONE, timezone.now()
    run.save()
    return {"state": run.state}


def crowd(count: str) -> dict[str, list[dict[str, str]]]:
    """Many started runs of organisations of their own, each with the session of a person who may watch it."""
    found = []
    for number in range(int(count)):
        with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):  # nobody signs in
            w = make.started(run_config=make.config(training={"steps": 60}), prefix=f"Crowd {number} ")
        client = Client()
        client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
        found.append({"run": w.run.id, "session": client.cookies[settings.SESSION_COOKIE_NAME].value})
    return {"cookie": [{"name": settings.SESSION_COOKIE_NAME}], "runs": found}


def steps(run_id: str, first: str, last: str) -> dict[str, int]:
    """Metrics of these steps from every worker, an evaluation and a sample at every tenth."""
    now = timezone.now()
    for part in Participant.objects.filter(run_id=run_id):
        records = [item for step in range(int(first), int(last) + 1) for item in _records(part, step)]
        batch = TelemetryBatch(
            participant_id=part.id,
            attempt=part.attempt,
            records=[
                TelemetryRecord(
                    seq=part.last_seq + place, kind=kind, step=step, at=now + timedelta(seconds=place), payload=payload
                )
                for place, (kind, step, payload) in enumerate(records, start=1)
            ],
        )
        records_store(participant=part, batch=batch)
        participant_beat(worker=part.worker, lanes=[])
    return {"records": Run.objects.get(pk=run_id).record_count}


def _records(part: Participant, step: int) -> list[tuple[str, int, dict[str, object]]]:
    loss = 2 + 2 * math.exp(-step / 20)
    metric = {"tokens": 10, "seen_tokens": 20, "seconds": 1.0, "compute_s": 0.5, "send_s": 0.2, "wait_s": 0.3}
    found: list[tuple[str, int, dict[str, object]]] = []
    if step == 1:
        found.append(("phase", step, {"phase": "training"}))
    if part.role == "client":
        found.append(("metric", step, {**metric, "loss": loss, "bytes_up": 1000, "bytes_down": 1000}))
        if step % 10 == 0:
            found.append(("eval", step, {"loss": loss, "tokens": 100, "rows": 5}))
    else:
        found.append(("metric", step, metric))
    if part.party.endswith("alpha-clinic") and step % 10 == 0:
        found.append(("sample", step, {"prompts": ["A prompt"], "base": ["base"], "tuned": [f"tuned at {step}"]}))
    return found


def fail(run_id: str) -> dict[str, str]:
    """One worker's disk is full; the others stop."""
    error = ErrorInfo(code="CL-1820", message="The worker's disk is full.", remedy="Free some space on that worker.")
    for place in ("beta-bank", "alpha-clinic", "gamma-compute"):
        part = Participant.objects.select_related("worker").get(run_id=run_id, party__endswith=place)
        failed = place == "beta-bank"
        exit_ = Exit(
            participant_id=part.id,
            attempt=part.attempt,
            outcome="failed" if failed else "stopped",
            error=error if failed else None,
        )
        participant_exit(worker=part.worker, run_id=run_id, exit_=exit_)
    return {"state": Run.objects.get(pk=run_id).state}


def adapter() -> dict[str, str]:
    """A finished run with its adapter, a clone to compare it with, and an administrator."""
    w, joined = adapters.finished()
    for place in (0, 1):
        adapters.report(w, place, joined)
    adapter_package(w.run.id)
    clone = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    Run.objects.filter(pk=clone.pk).update(name="A long name for a run of two clinics", state=RunState.STOPPED)
    user = member(w.organisations[0], Role.ADMIN, email="admin@adapter.example")
    found = {"run": w.run.id, "clone": clone.id, "adapter": joined.id, "project": w.project.id}
    return {**found, "email": user.email, "password": PASSWORD}


def checkpoint(run_id: str, step: str) -> dict[str, int]:
    """Every worker has stored a checkpoint."""
    for part in Participant.objects.filter(run_id=run_id):
        saved = TelemetryRecord(
            seq=part.last_seq + 1,
            kind="event",
            step=int(step),
            at=timezone.now(),
            payload={"name": "checkpoint.saved"},
        )
        records_store(
            participant=part, batch=TelemetryBatch(participant_id=part.id, attempt=part.attempt, records=[saved])
        )
    return {"step": int(step)}


def resume(run_id: str) -> dict[str, str]:
    """Another person lets the run go on."""
    run = Run.objects.get(pk=run_id)
    return {"state": run_resume(actor=run.created_by, run=run).state}


COMMANDS = {
    "world": world,
    "draft": draft,
    "crowd": crowd,
    "steps": steps,
    "finish": finish,
    "fail": fail,
    "adapter": adapter,
    "checkpoint": checkpoint,
    "resume": resume,
}

if __name__ == "__main__":
    for line in sys.stdin:
        command, *words = line.split()
        answer = COMMANDS[command](*words)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
