"""Settings and headers of a hub in production (promise 35), and no request of the hub's to a user's address (38)."""

from __future__ import annotations

import ast
import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from django.test import Client, override_settings

from webapp.orgs.tests.factories import PASSWORD, MembershipFactory, UserFactory

ROOT = Path(__file__).resolve().parents[3]


def deployment_check(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "webapp.settings.production",
        "CUTLAYER_SECRET_KEY": secrets.token_urlsafe(60),
        "CUTLAYER_ALLOWED_HOSTS": "hub.example",
        "CUTLAYER_VAR_DIR": str(tmp_path),
        **variables,
    }
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)  # the browser tests set it for themselves
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.promise(35, figure="0 warnings")
def test_the_deployment_check_has_no_warning(tmp_path):
    done = deployment_check(tmp_path, EMAIL_URL="smtp+tls://mail.example:587")
    assert done.returncode == 0, done.stderr


def test_an_open_folder_and_mail_that_reaches_nobody_are_named(tmp_path):
    (tmp_path / "hub.sqlite3").touch(mode=0o644)
    (tmp_path / "hub.sqlite3").chmod(0o644)
    done = deployment_check(tmp_path)
    assert done.returncode == 1
    assert "cutlayer.W001" in done.stderr
    assert "cutlayer.W003" in done.stderr
    assert "cutlayer.W002" in deployment_check(tmp_path, EMAIL_URL="consolemail://").stderr


def test_mail_without_a_server_is_a_file_that_its_owner_alone_reads(tmp_path, settings):
    settings.EMAIL_BACKEND = "webapp.core.file_mail.PrivateFileBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    before = os.umask(0o022)
    try:
        EmailMessage("Reset your password", "https://hub.example/reset/abc", to=["ada@lab.example"]).send()
    finally:
        os.umask(before)
    [path] = (tmp_path / "mail").iterdir()
    assert "reset/abc" in path.read_text()
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.promise(35)
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


def test_the_production_settings_keep_cookies_to_encrypted_connections_and_to_this_host():
    source = (ROOT / "webapp" / "settings" / "production.py").read_text()
    for line in ("SESSION_COOKIE_SECURE = True", "CSRF_COOKIE_SECURE = True", "SECURE_HSTS_SECONDS = 31_536_000"):
        assert line in source
    for name in ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME"):
        assert f'{name} = "__Host-' in source


@pytest.mark.django_db
@override_settings(
    SESSION_COOKIE_NAME="__Host-cutlayer_session",
    CSRF_COOKIE_NAME="__Host-cutlayer_csrf",
    DEVICE_COOKIE_NAME="__Secure-cutlayer_device",
    SESSION_COOKIE_SECURE=True,
    CSRF_COOKIE_SECURE=True,
)
def test_cookies_keep_what_their_names_promise_to_a_browser():
    person = UserFactory()
    client = Client()
    client.get("/accounts/login/", secure=True)
    client.post("/accounts/login/", {"login": person.email, "password": PASSWORD}, secure=True)
    assert set(client.cookies) >= {"__Host-cutlayer_session", "__Host-cutlayer_csrf", "__Secure-cutlayer_device"}
    for name, cookie in client.cookies.items():
        if name.startswith("__"):
            assert cookie["secure"], name
        if name.startswith("__Host-"):
            assert (cookie["path"], cookie["domain"]) == ("/", ""), name


@pytest.mark.promise(38, figure="0 requests")
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
