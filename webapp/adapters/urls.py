"""Pages of `adapters`."""

from __future__ import annotations

from django.urls import path

from webapp.adapters import views

app_name = "adapters"
urlpatterns = [
    path("adapters/<pub:adapter_id>", views.detail, name="detail"),
    path("adapters/<pub:adapter_id>/download", views.download, name="download"),
]
