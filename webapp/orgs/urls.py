"""Pages of `orgs`."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "orgs"
urlpatterns: list[URLPattern] = []
