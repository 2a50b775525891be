"""Every route × every kind of person: promise 1 (foreign objects are 404) and promise 36 (CSRF on unsafe methods).

The rows stand beside each app in `tests/permission_rows.py`; a route without a row fails here.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from webapp.api import api
from webapp.asgi import browser_routes, worker_routes
from webapp.core.health import sweep_done
from webapp.orgs.tests.factories import api_token
from webapp.orgs.tests.permission_table import ACTORS, Row, World, make_world

APPS = [app.removeprefix("webapp.") for app in settings.INSTALLED_APPS if app.startswith("webapp.")]
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def collected() -> list[Row]:
    """The rows of every app."""
    rows: list[Row] = []
    for app in APPS:
        name = f"webapp.{app}.tests.permission_rows"
        if importlib.util.find_spec(name):
            rows += importlib.import_module(name).ROWS
    return rows


ROWS = collected()
HTTP_ROWS = [row for row in ROWS if not row.route.startswith("ws/")]
SOCKET_ROWS = [row for row in ROWS if row.route.startswith("ws/")]


def page_routes(patterns: list[URLPattern | URLResolver], namespace: str = "") -> Iterator[str]:
    """The names of every route of the urlconf but the REST operations."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "api":
                inner = f"{pattern.namespace}:" if pattern.namespace else namespace
                yield from page_routes(pattern.url_patterns, inner)
        else:
            assert pattern.name, f"the route {pattern.pattern} has no name"
            yield f"{namespace}{pattern.name}"


def operations() -> Iterator[str]:
    """Every REST operation as "GET /api/v1/…", its parameters by their names alone."""
    for prefix, router in api._routers:
        for path, view in router.path_operations.items():
            full = "/" + "/".join(part.strip("/") for part in ("api/v1", prefix, path) if part.strip("/"))
            for operation in view.operations:
                for method in operation.methods:
                    yield f"{method} {re.sub(r'{pub:', '{', full)}"


def sockets() -> Iterator[str]:
    """Every socket route."""
    for route in [*browser_routes, *worker_routes]:
        yield str(route.pattern)


@pytest.mark.promise(1)
def test_every_route_operation_and_socket_has_a_row():
    known = {row.route for row in ROWS}
    existing = {*page_routes(get_resolver().url_patterns), *operations(), *sockets()}
    assert sorted(existing - known) == [], "routes without a row in webapp/<app>/tests/permission_rows.py"
    assert sorted(known - existing) == [], "rows of routes that do not exist"


def test_every_row_stands_once():
    routes = [row.route for row in ROWS]
    assert len(routes) == len(set(routes))


def address(row: Row, world: World) -> str:
    """The URL of a row."""
    params = {name: world.ids[value] if not value.startswith("=") else value[1:] for name, value in row.params.items()}
    if row.kind == "api":
        return re.sub(r"{(?:\w+:)?(\w+)}", lambda match: params[match[1]], row.route.split(" ", 1)[1])
    return reverse(row.route, kwargs=params)


def body(row: Row, method: str, world: World) -> dict[str, object]:
    """The data of a row, with the ids filled in."""
    text = json.dumps(row.data.get(method, {}))
    return json.loads(re.sub(r"{(\w+)}", lambda match: world.ids.get(match[1], match[0]), text))


def ask(client: Client, row: Row, method: str, actor: str, world: World) -> int:
    """The status of one request of one actor."""
    headers = {}
    if row.kind == "api" and actor != "anonymous":
        user = world.users[actor]
        headers["Authorization"] = f"Bearer {api_token(user, user.organisations.get())}"
    elif actor != "anonymous":
        client.force_login(world.users[actor])
    url, data = address(row, world), body(row, method, world)
    if row.kind != "page" and method in UNSAFE:
        return client.generic(method, url, json.dumps(data), "application/json", headers=headers).status_code
    return client.generic(method, url, **_form(method, data), headers=headers).status_code


def _form(method: str, data: dict[str, object]) -> dict[str, object]:
    if method not in UNSAFE:
        return {"QUERY_STRING": urlencode(data)}
    return {"data": urlencode(data, doseq=True), "content_type": "application/x-www-form-urlencoded"}


@pytest.mark.promise(1, figure="every route, or CI fails; foreign: 404")
@pytest.mark.django_db
@pytest.mark.parametrize("row", HTTP_ROWS, ids=lambda row: row.route)
def test_each_kind_of_person_gets_the_listed_answer(row):
    world = make_world()
    wrong = []
    for method, by_actor in row.expect.items():
        for actor in ACTORS:
            cache.clear()
            sweep_done()  # else /health tells that nothing has swept since this process began
            with transaction.atomic():
                status = ask(Client(raise_request_exception=False), row, method, actor, world)
                transaction.set_rollback(True)
            if status != by_actor[actor]:
                wrong.append(f"{method} as {actor}: {status}, listed {by_actor[actor]}")
    assert not wrong, f"{row.route}: {'; '.join(wrong)}"


def signed_in_admin(world: World, *, csrf: bool = False) -> Client:
    """A browser of the own administrator."""
    client = Client(enforce_csrf_checks=csrf)
    client.force_login(world.users["admin"])
    return client


@pytest.mark.promise(36, figure="every unsafe request")
@pytest.mark.django_db
def test_every_unsafe_request_of_a_page_needs_a_csrf_token():
    world = make_world()
    client = signed_in_admin(world, csrf=True)
    asked = [(row, method) for row in HTTP_ROWS if row.kind == "page" for method in UNSAFE & set(row.expect)]
    answers = {
        f"{method} {row.route}": client.generic(method, address(row, world)).status_code for row, method in asked
    }
    assert asked
    assert {route: status for route, status in answers.items() if status != 403} == {}


@pytest.mark.django_db
def test_pages_whose_row_lists_no_post_take_none():
    world = make_world()
    client = signed_in_admin(world)
    rows = [row for row in HTTP_ROWS if row.kind == "page" and "POST" not in row.expect]
    answers = {row.route: client.post(address(row, world)).status_code for row in rows}
    assert {route: status for route, status in answers.items() if status not in (404, 405)} == {}


@pytest.mark.django_db
def test_no_operation_of_the_api_is_changed_by_the_session():
    world = make_world()
    client = signed_in_admin(world)
    answers = {}
    for row in HTTP_ROWS:
        method = row.route.split(" ", 1)[0]
        if row.kind == "api" and method in UNSAFE:
            data = json.dumps(body(row, method, world))
            answers[row.route] = client.generic(method, address(row, world), data, "application/json").status_code
    assert {route: status for route, status in answers.items() if status != 401} == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("row", SOCKET_ROWS, ids=lambda row: row.route)
async def test_a_socket_opens_for_whom_the_table_says(row):
    from asgiref.sync import sync_to_async

    from webapp.asgi import application

    world = await sync_to_async(make_world)()
    path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: world.ids[row.params[match[1]]], row.route)
    wrong = []
    for actor, listed in row.expect["WS"].items():
        headers = [(b"origin", b"http://testserver"), (b"host", b"testserver")]
        if actor != "anonymous":
            client = Client()
            await sync_to_async(client.force_login)(world.users[actor])
            cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()))
        opened, code = await _connect(application, path, headers)
        got = 101 if opened else code
        if got != listed:
            wrong.append(f"{actor}: {got}, listed {listed}")
        if actor == "admin" and row.kind == "page":
            foreign = [(b"origin", b"https://evil.example"), *headers[1:]]
            opened, _ = await _connect(application, path, foreign)
            if opened:
                wrong.append("opened for a foreign Origin")
    assert not wrong, f"{row.route}: {'; '.join(wrong)}"


async def _connect(application, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[bool, int]:
    """Whether the socket opened, else its close code."""
    scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "websocket.connect"})
    answer = await communicator.receive_output(timeout=10)
    if answer["type"] != "websocket.accept":
        return False, int(answer.get("code") or 0)
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
    await communicator.wait(timeout=10)
    # A browser learns a close code only after the handshake: refused sockets are accepted and closed at once.
    while not communicator.output_queue.empty():
        event = communicator.output_queue.get_nowait()
        if event["type"] == "websocket.close":
            return False, int(event.get("code") or 0)
    return True, 0
