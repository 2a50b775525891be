"""Every route of the console."""

from __future__ import annotations

from django.urls import include, path

from workers.console.views import adding, deciding, metrics, pages

app_name = "console"
_routes = [
    path("", pages.status, name="status"),
    path("pin", pages.pin, name="pin"),
    path("datasets", pages.datasets, name="datasets"),
    path("datasets/<str:name>/<int:version>", pages.preview, name="preview"),
    path("datasets/<str:name>/<int:version>/delete", pages.delete, name="delete"),
    path("datasets/<str:name>/<int:version>/send", pages.send_again, name="send_again"),
    path("ledger", pages.ledger, name="ledger"),
    path("policy", pages.policy, name="policy"),
    path("decisions", deciding.decisions, name="decisions"),
    path("decisions/trust", deciding.trust, name="trust"),
    path("decisions/approve", deciding.approve, name="approve"),
    path("doctor", pages.doctor, name="doctor"),
    path("logs", pages.logs, name="logs"),
    path("metrics", metrics.metrics, name="metrics"),
    path("add", adding.add, name="add"),
    path("ticket", adding.ticket, name="ticket"),
    path("uploads", adding.begin, name="begin"),
    path("uploads/<str:upload_id>", adding.upload, name="upload"),
    path("uploads/<str:upload_id>/columns", adding.columns, name="columns"),
    path("uploads/<str:upload_id>/check", adding.check, name="check"),
    path("staged/<str:staged_id>", adding.staged, name="staged"),
    path("staged/<str:staged_id>/propose", adding.propose, name="propose"),
    path("staged/<str:staged_id>/confirm", adding.confirm, name="confirm"),
    path("staged/<str:staged_id>/discard", adding.discard, name="discard"),
]
urlpatterns = [path("", include((_routes, "console")))]
handler400 = "workers.console.views.refusing.bad_request"
handler403 = "workers.console.views.refusing.forbidden"
handler404 = "workers.console.views.refusing.not_found"
handler500 = "workers.console.views.refusing.server_error"
