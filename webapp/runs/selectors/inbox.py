"""What waits for a person, what waits for others, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from webapp.accounts.models import User
from webapp.fleet.models import Worker, WorkerState
from webapp.orgs.models import Invitation, InvitationState, Organisation
from webapp.orgs.permissions import Action, organisations_where
from webapp.orgs.selectors import invitations_addressed_to, organisations_of
from webapp.runs.models import Approval, ApprovalState, Run, RunState
from webapp.runs.selectors.access import runs_visible_to
from webapp.runs.words import withdrawal_words


@dataclass(frozen=True)
class InboxItem:
    """One line of the inbox."""

    kind: str  # run | worker | invitation
    title: str
    text: str
    url: str
    since: datetime
    state: str
    organisation: str = ""
    parties: list[dict[str, Any]] = field(default_factory=list)


_DECISIONS = (Action.APPROVE_RUN, Action.CONFIRM_WORKER, Action.CONFIGURE_RUN)
Permitted = Mapping[Action, list[Organisation]]


def _open_approvals(permitted: Permitted) -> QuerySet[Approval]:
    """Decisions that this person may make now."""
    return Approval.objects.filter(
        organisation__in=permitted[Action.APPROVE_RUN],
        state=ApprovalState.PENDING,
        run__state=RunState.AWAITING,
        contract_hash=F("run__contract_hash"),
    ).select_related("run", "run__project", "run__organisation", "organisation")


def _open_workers(permitted: Permitted) -> QuerySet[Worker]:
    return Worker.objects.filter(
        organisation__in=permitted[Action.CONFIRM_WORKER], state=WorkerState.PENDING
    ).select_related("organisation")


def _declined_runs(permitted: Permitted) -> QuerySet[Run]:
    """Runs of the own organisations that a partner declined, and that nobody has changed or archived since."""
    own = permitted[Action.CONFIGURE_RUN]
    return Run.objects.filter(organisation__in=own, state=RunState.DECLINED, is_archived=False)


def _withdrawn_runs(permitted: Permitted) -> QuerySet[Run]:
    """Runs of the own organisations that a partner took back before they started, until they are archived or cloned."""
    own = permitted[Action.CONFIGURE_RUN]
    withdrawn = Run.objects.filter(organisation__in=own, state=RunState.STOPPED, summary__withdrawn__by_owner=False)
    return withdrawn.filter(is_archived=False).exclude(clones__created_at__gte=F("state_since"))


def _withdrawn_item(run: Run) -> InboxItem:
    return InboxItem("run", run.name, f"{withdrawal_words(run.summary)} Clone it to submit it again, or archive it.",
                     f"/runs/{run.id}", run.state_since, "withdrawn", run.organisation.name)  # fmt: skip


def _declined_item(run: Run) -> InboxItem:
    approvals = run.approvals.filter(contract_hash=run.contract_hash).select_related("organisation")
    no = approvals.filter(state=ApprovalState.DECLINED).first()
    said = f"{no.organisation} declined: {no.reason} " if no else ""
    parties = [{"name": a.organisation.name, "state": a.state} for a in approvals]
    return InboxItem("run", run.name, f"{said}Change the run and resubmit it, or archive it.", f"/runs/{run.id}",
                     run.state_since, "declined", run.organisation.name, parties)  # fmt: skip


def needs_action_count(user: User) -> int:
    """How many things wait for this person."""
    permitted = organisations_where(user, *_DECISIONS)
    waiting = (
        _open_approvals(permitted),
        _open_workers(permitted),
        _declined_runs(permitted),
        _withdrawn_runs(permitted),
    )
    return invitations_addressed_to(user).count() + sum(things.count() for things in waiting)


def inbox_for(user: User) -> dict[str, list[InboxItem]]:
    """The three lists of the inbox, newest first; `decide` oldest first."""
    permitted = organisations_where(user, *_DECISIONS)
    decide = [_run_item(a, f"Approve or decline for {a.organisation}.") for a in _open_approvals(permitted)]
    decide += [
        InboxItem("worker", w.name, "Compare and confirm the fingerprint.", f"/workers/{w.id}", w.created_at,
                  "awaiting_confirmation", w.organisation.name)
        for w in _open_workers(permitted)
    ]  # fmt: skip
    decide += [
        InboxItem("invitation", str(i.project or i.organisation), f"{i.organisation} invited you. Read and answer.",
                  f"/invite/{i.id}", i.created_at, "invited", i.organisation.name)
        for i in invitations_addressed_to(user)
    ]  # fmt: skip
    decide += [_declined_item(run) for run in _declined_runs(permitted).select_related("organisation")]
    decide += [_withdrawn_item(run) for run in _withdrawn_runs(permitted).select_related("organisation")]
    return {
        "decide": sorted(decide, key=lambda item: item.since),
        "waiting": _waiting(user),
        "history": _history(user),
    }


def _run_item(approval: Approval, text: str) -> InboxItem:
    run = approval.run
    return InboxItem(
        "run", run.name, text, f"/runs/{run.id}/approvals", approval.created_at, approval.state,
        approval.organisation.name, _parties(approval),
    )  # fmt: skip


def _parties(approval: Approval) -> list[dict[str, Any]]:
    others = approval.run.approvals.filter(contract_hash=approval.contract_hash).select_related("organisation")
    return [{"name": other.organisation.name, "state": other.state} for other in others]


def _waiting(user: User) -> list[InboxItem]:
    mine = {organisation.id for organisation in organisations_of(user)}
    items = []
    for run in runs_visible_to(user).filter(state=RunState.AWAITING).prefetch_related("approvals__organisation"):
        current = [a for a in run.approvals.all() if a.contract_hash == run.contract_hash]
        missing = [a for a in current if a.state == ApprovalState.PENDING and a.organisation_id not in mine]
        if missing:
            names = ", ".join(a.organisation.name for a in missing)
            parties = [{"name": a.organisation.name, "state": a.state} for a in current]
            items.append(
                InboxItem("run", run.name, f"Waiting for {names}.", f"/runs/{run.id}/approvals", run.state_since,
                          "pending", run.organisation.name, parties)
            )  # fmt: skip
    sent = Invitation.objects.filter(
        organisation_id__in=mine, state=InvitationState.PENDING, expires_at__gt=timezone.now()
    ).select_related("project")
    items += [
        InboxItem("invitation", f"{i.email} → {i.project or i.organisation}", "Not answered yet.",
                  f"/projects/{i.project_id}" if i.project_id else "/org/invitations", i.created_at, "invited")
        for i in sent
    ]  # fmt: skip
    return sorted(items, key=lambda item: item.since, reverse=True)


def _history(user: User) -> list[InboxItem]:
    decided = (
        Approval.objects.filter(organisation__in=organisations_of(user), decided_at__isnull=False)
        .select_related("run", "organisation", "decided_by")
        .order_by("-decided_at")[:50]
    )
    items = [
        InboxItem("run", a.run.name, f"{a.organisation}: {a.reason or a.get_state_display()} ({a.decided_by})",
                  f"/runs/{a.run_id}/approvals", a.decided_at or a.created_at, a.state, a.organisation.name)
        for a in decided
    ]  # fmt: skip
    items += [
        InboxItem("run", run.name, withdrawal_words(run.summary), f"/runs/{run.id}", run.state_since, "withdrawn",
                  run.organisation.name)
        for run in runs_visible_to(user).filter(summary__withdrawn__isnull=False).order_by("-state_since")[:50]
    ]  # fmt: skip
    answered = Invitation.objects.filter(
        organisation__in=organisations_of(user),
        state__in=[InvitationState.ACCEPTED, InvitationState.DECLINED],
        decided_at__isnull=False,
    ).select_related("project", "organisation")[:50]
    items += [
        InboxItem("invitation", f"{i.email} → {i.project or i.organisation}", i.decline_reason or i.get_state_display(),
                  f"/projects/{i.project_id}" if i.project_id else "/org/invitations", i.decided_at or i.created_at,
                  i.state, i.organisation.name)
        for i in answered
    ]  # fmt: skip
    return sorted(items, key=lambda item: item.since, reverse=True)[:50]
