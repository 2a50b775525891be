"""Pages of `accounts`; signing in, e-mail addresses, second factor and sessions are allauth's below /accounts/."""

from __future__ import annotations

from django.urls import URLPattern, path

from webapp.accounts import views

app_name = "accounts"
urlpatterns: list[URLPattern] = [
    path("me", views.me, name="me"),
    path("org/tokens", views.tokens, name="tokens"),
    path("org/tokens/<pub:token_id>/revoke", views.token_revoke_view, name="token_revoke"),
]
