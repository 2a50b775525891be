"""An invited person with a browser: opens the link, accepts or declines."""

from __future__ import annotations

from django.test import Client


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def opened(client: Client, token: str) -> str:
    """Open an invitation's link as a browser does; the address on which it then is."""
    answer = client.get(f"/invite/{token}")
    assert answer.status_code == 302
    return str(answer.url)


def accept_as(user, token: str, data: dict[str, str] | None = None):
    """Open the link and press the button, as that person."""
    client = signed_in(user)
    return client.post(f"{opened(client, token)}/accept", data)


def declined(token: str, data: dict[str, str]):
    """Open the link and decline, without an account."""
    client = Client()
    return client.post(f"{opened(client, token)}/decline", data)
