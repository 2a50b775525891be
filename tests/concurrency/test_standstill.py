"""A restore has PostgreSQL for itself: it begins while no process of the hub is connected, and none connects later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from splitcore.errors import AppError
from webapp.audit.witness import chain_head
from webapp.backups.standstill import standstill
from webapp.core.outages import StandstillError
from webapp.orgs.tests.factories import OrganisationFactory, api_token, member

pytestmark = pytest.mark.django_db(transaction=True)


def elsewhere(act: Callable[[], Any]) -> Any:
    """What an act returns, or the exception that ends it, over a connection of its own."""

    def run() -> Any:
        try:
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(60)


def test_nobody_else_uses_the_database_meanwhile() -> None:
    organisation = OrganisationFactory()
    headers = {"Authorization": f"Bearer {api_token(member(organisation), organisation)}"}

    def project(name: str) -> tuple[int, str]:
        answer = Client(headers=headers).post("/api/v1/projects", {"name": name}, content_type="application/json")
        return answer.status_code, answer.json().get("code", "")

    with standstill():
        assert isinstance(elsewhere(chain_head), StandstillError)
        assert elsewhere(lambda: project("Never answered with 201, to be gone a moment later")) == (503, "CL-1905")
        assert chain_head().sequence >= 0, "the restore itself works with it"
    assert elsewhere(lambda: project("Afterwards")) == (201, "")


def test_whoever_is_signed_in_gets_a_page_that_says_so() -> None:
    client = Client(raise_request_exception=False)
    client.force_login(member(OrganisationFactory()), backend="django.contrib.auth.backends.ModelBackend")
    with standstill():
        for path in ("/projects", "/accounts/login/"):
            answer = elsewhere(lambda path=path: client.get(path))
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5")
            assert "CL-1905" in answer.content.decode()
        assert elsewhere(lambda: Client().get("/health/alive")).status_code == 200
    assert client.get("/projects").status_code == 200


def test_it_does_not_begin_while_a_process_is_connected() -> None:
    connected, ended = threading.Event(), threading.Event()

    def stay() -> bool:
        chain_head()
        connected.set()
        return ended.wait(60)

    def begin() -> None:
        with standstill():
            pass

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(elsewhere, stay)
        assert connected.wait(60)
        with pytest.raises(AppError) as refused:
            begin()
        ended.set()
        assert other.result(60)
    assert refused.value.code == "CL-1921"
    begin()


def test_of_two_that_begin_at_once_one_is_refused() -> None:
    def begin() -> None:
        with standstill():
            pass

    with standstill():
        assert isinstance(elsewhere(begin), AppError)
