"""Writes that meet: whichever comes first, neither ends in a deadlock, and the end is the one that both wanted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from tests.concurrency.racing import ROUNDS, Track
from webapp.audit.models import AuditEntry
from webapp.audit.selectors import verify_chain
from webapp.datasets.models import DatasetVersion
from webapp.datasets.services import dataset_version_withdraw
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import beat_record
from webapp.fleet.services import worker_revoke
from webapp.orgs.invitations import invitation_resend, invitation_revoke, invite_partner
from webapp.orgs.models import Invitation, InvitationState, Organisation, PartyKind, Role
from webapp.orgs.tests.factories import OrganisationFactory, member
from webapp.projects.models import Participation
from webapp.runs.lifecycle import participant_exit
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import ApprovalState, DesiredState, Participant, RunState
from webapp.runs.services import approval_decide, run_stop
from webapp.runs.sweeping import sweep
from webapp.runs.tests.factories import World, approve, hub_watched, long_config, started, submit, world
from webapp.telemetry.models import Record
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import Beat, Exit


def rewind(w: World, state: RunState = RunState.TRAINING) -> None:
    """The run as it was before the race."""
    type(w.run).objects.filter(pk=w.run.pk).update(state=state, desired=DesiredState.RUNNING, failure=None)
    w.run.participants.update(error=None, phase="training")
    w.halves.update(outcome="", ended_at=None)
    Worker.objects.filter(pk__in=[worker.pk for worker in w.workers]).update(state=WorkerState.ACTIVE)


def beat(w: World, place: int) -> Any:
    part = w.part(place)
    lane = {"run_id": w.run.id, "participant_id": part.id, "attempt": part.attempt, "phase": "training", "step": 1}
    return lambda: beat_record(worker=w.workers[place], beat=Beat(lanes=[lane]))


def test_revoke_and_stop(track: Track) -> None:
    w = started()
    admin = member(w.organisations[0])
    for _ in range(ROUNDS):
        rewind(w)
        answers = track.race(
            lambda: worker_revoke(actor=admin, worker=w.workers[0]), lambda: run_stop(actor=w.engineer, run=w.run)
        )
        assert not isinstance(answers[0], Exception)  # the revocation is never what fails
        assert Worker.objects.get(pk=w.workers[0].pk).state == WorkerState.REVOKED
        assert w.fresh().state == RunState.STOPPING
        assert w.run.desired == DesiredState.STOPPED
        assert w.part(0).outcome == "failed"
    entries = AuditEntry.objects.filter(action__in=["worker.revoked", "run.stopped"])
    assert entries.filter(action="worker.revoked").count() == ROUNDS
    assert verify_chain().ok


def test_revocations_of_two_workers_in_the_same_runs(track: Track) -> None:
    w = started()
    admins = [member(organisation) for organisation in w.organisations]
    for _ in range(ROUNDS):
        rewind(w)
        answers = track.race(
            lambda: worker_revoke(actor=admins[0], worker=w.workers[0]),
            lambda: worker_revoke(actor=admins[2], worker=w.workers[2]),
        )
        assert not any(isinstance(answer, Exception) for answer in answers)
        assert [w.part(place).outcome for place in (0, 2)] == ["failed", "failed"]
    assert verify_chain().ok


def test_beat_and_telemetry(track: Track) -> None:
    w = started(run_config=long_config())
    rewind(w)
    for number in range(1, ROUNDS + 1):
        Participant.objects.filter(pk=w.part(0).pk).update(phase="dropped")
        part = w.part(0)
        answers = track.race(
            beat(w, 0),
            lambda part=part, n=number: records_store(participant=part, batch=batch(part, metric(n, step=n))),
        )
        assert answers[1].stored_through == number
        assert w.part(0).phase != "dropped"
        assert w.part(0).step == number
    assert Record.objects.filter(kind="metric").count() == ROUNDS
    assert Record.objects.filter(payload__name="participant.returned").count() == ROUNDS


def test_a_beat_does_not_write_over_an_exit(track: Track) -> None:
    w = started()
    for _ in range(ROUNDS):
        rewind(w)
        part = w.part(0)
        part_exit = Exit(participant_id=part.id, attempt=part.attempt, outcome="done")
        track.race(beat(w, 0), lambda e=part_exit: participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=e))
        assert (w.part(0).outcome, w.part(0).phase) == ("done", "done")


def test_answer_and_revoke(track: Track) -> None:
    w = world()
    admin = member(w.organisations[0])
    guests = [member(OrganisationFactory(), Role.ADMIN) for _ in range(2)]
    clients = [Client(raise_request_exception=True) for _ in guests]
    for client, guest in zip(clients, guests, strict=True):
        client.force_login(guest)
    for number in range(ROUNDS):
        guest, client = guests[number % 2], clients[number % 2]
        Participation.objects.filter(organisation__memberships__user=guest).delete()
        invitation, _ = invite_partner(actor=admin, project=w.project, email=guest.email, party_kind=PartyKind.DATA)
        form = {"organisation": "new", "name": f"New organisation {number}", "understood": "on"}
        answers = track.race(
            lambda c=client, i=invitation, f=form: c.post(f"/invite/{i.pk}/accept", f).status_code,
            lambda i=invitation: invitation_revoke(actor=admin, invitation=i),
        )
        accepted = Invitation.objects.get(pk=invitation.pk).state == InvitationState.ACCEPTED
        assert answers[0] == 302 if accepted else answers[0] in (403, 404, 410)
        assert isinstance(answers[1], AppError) == accepted
        # Refused as a whole: no organisation is left of an acceptance that came too late.
        assert Organisation.objects.filter(name=form["name"]).exists() == accepted
    assert verify_chain().ok


def test_two_new_links_for_one_invitation(track: Track) -> None:
    w = world()
    admin = member(w.organisations[0])
    for number in range(ROUNDS):
        Invitation.objects.all().delete()
        address = f"person{number}@example.net"
        first, _ = invite_partner(actor=admin, project=w.project, email=address, party_kind=PartyKind.DATA)
        track.race(
            lambda i=first: invitation_resend(actor=admin, invitation=i),
            lambda a=address: invite_partner(actor=admin, project=w.project, email=a, party_kind=PartyKind.DATA),
        )
        assert Invitation.objects.filter(email=address, state=InvitationState.PENDING).count() == 1


def test_approve_and_withdraw(track: Track) -> None:
    w = world()
    admin = member(w.organisations[1])
    for _ in range(ROUNDS):
        DatasetVersion.objects.update(withdrawn_at=None)
        type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.DRAFT, desired=DesiredState.NONE)
        w.run.approvals.all().delete()
        w.run.participants.update(policy_verdict=None)
        submit(w)
        approve(w, 0, 2)
        wanted = w.run.contract_hash
        answers = track.race(
            lambda h=wanted: approval_decide(
                actor=w.approvers[1], run=w.run, organisation=w.organisations[1], approve=True, contract_hash=h
            ),
            lambda: dataset_version_withdraw(actor=admin, version=w.versions[1]),
        )
        assert not isinstance(answers[1], Exception)
        assert DatasetVersion.objects.get(pk=w.versions[1].pk).withdrawn_at is not None
        agreed = w.run.approvals.filter(contract_hash=wanted, state=ApprovalState.APPROVED).count() == 3
        assert agreed or w.fresh().state == RunState.DRAFT
    assert verify_chain().ok


def test_two_sweeps(track: Track) -> None:
    w = started()
    for number in range(1, ROUNDS + 1):
        rewind(w)
        hub_watched()  # a round that took long is no absence of the hub
        w.run.participants.update(last_beat_at=timezone.now() - timedelta(hours=1))
        track.race(sweep, sweep)
        assert set(w.run.participants.values_list("phase", flat=True)) == {"dropped"}
        assert Record.objects.filter(payload__name="participant.dropped").count() == 3 * number
