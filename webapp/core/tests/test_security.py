"""Settings and headers of a hub in production (promise 35), and no request of the hub's to a user's address (38)."""

from __future__ import annotations

import ast
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client, override_settings

from webapp.orgs.tests.factories import MembershipFactory

ROOT = Path(__file__).resolve().parents[3]


def test_the_deployment_check_has_no_warning(tmp_path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "webapp.settings.production",
        "CUTLAYER_SECRET_KEY": secrets.token_urlsafe(60),
        "CUTLAYER_ALLOWED_HOSTS": "hub.example",
        "CUTLAYER_VAR_DIR": str(tmp_path),
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # the browser tests set it for themselves
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/home", "/errors/CL-1601", "/invite/cli_nope"])
def test_every_page_carries_the_strict_headers(path):
    client = Client()
    client.force_login(MembershipFactory().user)
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
@override_settings(SECURE_HSTS_SECONDS=31_536_000, SECURE_HSTS_INCLUDE_SUBDOMAINS=True, SECURE_HSTS_PRELOAD=True)
def test_an_encrypted_answer_asks_for_encryption_ever_after():
    header = Client().get("/health", secure=True).headers["Strict-Transport-Security"]
    assert header == "max-age=31536000; includeSubDomains; preload"


def test_the_production_settings_keep_cookies_to_encrypted_connections():
    source = (ROOT / "webapp" / "settings" / "production.py").read_text()
    for line in ("SESSION_COOKIE_SECURE = True", "CSRF_COOKIE_SECURE = True", "SECURE_HSTS_SECONDS = 31_536_000"):
        assert line in source


def test_the_hub_has_no_code_that_fetches_an_address():
    """No HTTP client is imported in the hub: an address that a person types in is shown, never visited."""
    clients = {
        "requests",
        "httpx",
        "aiohttp",
        "urllib.request",
        "urllib3",
        "http.client",
        "websockets",
        "ftplib",
        "socket",
    }
    found = []
    for path in (ROOT / "webapp").rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if name in clients]
    assert found == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://2130706433/",
    ],
)
def test_addresses_in_texts_cause_no_request(address, monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("the hub opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    client = Client()
    client.force_login(MembershipFactory().user)
    made = client.post("/projects/new", {"name": address, "goal": address, "lawful_basis": address})
    assert client.get(made.url).status_code == 200
    client.post("/org", {"name": address, "kind": "data", "contact_email": "", "dpo_email": ""})
    assert client.get("/org").status_code == 200
