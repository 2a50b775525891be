"""Writes that people cause: drafts, contracts and approvals, start and stop."""

from webapp.runs.services.approvals import approval_decide, run_submit
from webapp.runs.services.audits import audit_cancel, audit_request
from webapp.runs.services.choices import PartyChoice
from webapp.runs.services.control import run_archive, run_delete, run_pause, run_resume, run_start, run_stop
from webapp.runs.services.draft_versions import Basis
from webapp.runs.services.drafts import party_names, run_clone, run_draft_save

__all__ = [
    "Basis",
    "PartyChoice",
    "approval_decide",
    "audit_cancel",
    "audit_request",
    "party_names",
    "run_archive",
    "run_clone",
    "run_delete",
    "run_draft_save",
    "run_pause",
    "run_resume",
    "run_start",
    "run_stop",
    "run_submit",
]
