"""Who may do what with a run, as predicates; views ask them, services insist on them."""

from __future__ import annotations

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, can, require
from webapp.runs.models import Run


def participating_organisations(run: Run) -> list[Organisation]:
    """The organisations whose workers are in the run, without repetition, by name."""
    return list(Organisation.objects.filter(id__in=run.participants.values("organisation_id")).order_by("name"))


def can_edit_run(user: User, run: Run) -> bool:
    """Whether a person may change the configuration: an engineer of the run's own organisation."""
    return can(user, Action.CONFIGURE_RUN, run.organisation)


def can_start_run(user: User, run: Run) -> bool:
    """Whether a person may start the run."""
    return can(user, Action.CONTROL_RUN, run.organisation)


def can_stop_run(user: User, run: Run) -> bool:
    """Whether a person may stop the run: its own controllers, and those of each organisation in it."""
    return can_start_run(user, run) or any(
        can(user, Action.STOP_RUN, organisation) for organisation in participating_organisations(run)
    )


def held_by_of(run: Run) -> list[Organisation]:
    """The organisations that paused or stopped the run since it last went on, by name."""
    return list(Organisation.objects.filter(id__in=run.held_by).order_by("name"))


def stops_for(user: User, run: Run) -> list[Organisation]:
    """The organisations for which a person may pause and stop the run, and let it go on after that."""
    found = [o for o in participating_organisations(run) if can(user, Action.STOP_RUN, o) and o != run.organisation]
    return [run.organisation, *found] if can_start_run(user, run) else found


def resume_why_not(user: User, run: Run) -> str:
    """Why a person may not let a run go on that others hold; empty where nobody does, or the person may for one."""
    held = held_by_of(run)
    if not held or set(held) & set(stops_for(user, run)):
        return ""
    names = " and ".join(one.name for one in held)
    return f"{names} paused or stopped this run, so someone at {names} has to resume it."


def can_resume_run(user: User, run: Run) -> bool:
    """Whether a person may let the run go on, or take back what the own organisation holds of it."""
    held = held_by_of(run)
    return bool(set(held) & set(stops_for(user, run))) if held else can_start_run(user, run)


def require_stop(user: User, run: Run) -> None:
    """Raise CL-1601 unless the person may stop the run."""
    if not can_stop_run(user, run):
        require(user, Action.CONTROL_RUN, run.organisation)
        raise AppError("CL-1601")


def approvable_organisations(user: User, run: Run) -> list[Organisation]:
    """The participating organisations for which a person may decide."""
    return [o for o in participating_organisations(run) if can(user, Action.APPROVE_RUN, o)]
