"""Pages of `audit`."""

from __future__ import annotations

from django.urls import URLPattern, path

from webapp.audit import views

app_name = "audit"
urlpatterns: list[URLPattern] = [
    path("audit", views.log, name="log"),
    path("audit/verify", views.verify, name="verify"),
    path("audit/hub-key", views.hub_key, name="hub_key"),
    path("audit/export/<str:form>", views.export, name="export"),
]
