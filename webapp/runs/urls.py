"""Pages of `runs`."""

from __future__ import annotations

from django.urls import path, re_path

from webapp.runs.views import audits, configure, contract, lists, run

app_name = "runs"
urlpatterns = [
    path("inbox", contract.inbox, name="inbox"),
    path("runs", lists.run_list, name="list"),
    path("runs/new", configure.run_new, name="new"),
    path("runs/preview", configure.run_preview, name="preview"),
    path("runs/compare", lists.compare, name="compare"),
    path("runs/<pub:run_id>", run.detail, name="detail"),
    path("runs/<pub:run_id>/edit", configure.run_edit, name="edit"),
    path("runs/<pub:run_id>/live", run.live, name="live"),
    path("runs/<pub:run_id>/logs", run.logs, name="logs"),
    path("runs/<pub:run_id>/config", run.config, name="config"),
    path("runs/<pub:run_id>/privacy", run.privacy, name="privacy"),
    path("runs/<pub:run_id>/parts/<pub:part_id>/audits", audits.start, name="audit"),
    path("runs/<pub:run_id>/parts/<pub:part_id>/audits/<slug:subject>", audits.report, name="audit_report"),
    path("runs/<pub:run_id>/parts/<pub:part_id>/audits/<slug:subject>/cancel", audits.cancel, name="audit_cancel"),
    path("runs/<pub:run_id>/artefacts", run.artefacts, name="artefacts"),
    path("runs/<pub:run_id>/approvals", contract.approvals, name="approvals"),
    path("runs/<pub:run_id>/decide", contract.decide, name="decide"),
    path("runs/<pub:run_id>/delete", run.delete, name="delete"),
    path("runs/<pub:run_id>/clone", run.clone, name="clone"),
    re_path(
        r"^runs/(?P<run_id>[a-z]{3}_[0-9a-z]{16})/(?P<action>start|stop|pause|resume|archive|restore)$",
        run.control,
        name="control",
    ),
]
