"""Pages of `adapters`."""

from __future__ import annotations

from django.urls import URLPattern

app_name = "adapters"
urlpatterns: list[URLPattern] = []
