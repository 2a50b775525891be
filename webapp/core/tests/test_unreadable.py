"""Requests that no browser sends: a stranger gets a code for them and causes no fault."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from webapp.fleet.tests.sockets import ORIGIN, Socket, close_code

pytestmark = pytest.mark.django_db
PATHS = ("/", "/home", "/accounts/login/", "/errors/", "/api/v1/me")
LOGIN = "/accounts/login/"


def stranger() -> Client:
    return Client(raise_request_exception=False)


BODY = b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\na\r\n--x--\r\n'


def post(charset: str = "", path: str = LOGIN, **more):
    content_type = "multipart/form-data; boundary=x" + (f"; charset={charset}" if charset else "")
    return stranger().generic("POST", path, BODY, content_type=content_type, **more)


@pytest.mark.parametrize("path", PATHS)
def test_a_session_cookie_with_a_control_character_is_refused_with_a_code(path: str):
    cookie = f'{settings.SESSION_COOKIE_NAME}="aaaaaaaaaaaa\\000"'
    answer = stranger().get(path, HTTP_COOKIE=cookie)
    assert answer.status_code == 400
    assert "CL-1621" in answer.content.decode()


@pytest.mark.parametrize("charset", ["rot13", "hex", "base64", "idna", "undefined", "utf-7", "punycode", "none"])
@pytest.mark.parametrize("path", [LOGIN, "/api/v1/projects", "/api/worker/v1/enrol"])
def test_a_form_in_no_encoding_of_text_is_refused_with_a_code(path: str, charset: str):
    answer = post(charset, path=path)
    assert answer.status_code == 400
    assert "CL-1621" in answer.content.decode()


@pytest.mark.parametrize("charset", ["", "utf-8", "UTF8", '"utf-8"', "us-ascii", "latin-1", "windows-1252"])
def test_a_form_in_plain_text_is_read(charset: str):
    assert post(charset).status_code == 200


def test_the_answer_to_a_program_is_json():
    answer = post("rot13", HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "CL-1621")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("value", [b'"aaaaaaaaaaaa\\000"', b"a\x00b", b"\xff\xfe\xc3", b"\x9f", b"a" * 4000])
@pytest.mark.parametrize("path", ["/ws/fleet/", "/ws/runs/run_0123456789abcdef/"])
async def test_a_socket_with_a_session_cookie_that_cannot_be_read_is_a_strangers(path: str, value: bytes):
    cookie = settings.SESSION_COOKIE_NAME.encode() + b"=" + value
    socket = Socket(path, [(b"host", b"testserver"), ORIGIN, (b"cookie", cookie)])
    assert await socket.connect()
    assert await close_code(socket) == 4401
