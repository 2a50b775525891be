"""The worker's control socket and the fleet's feed for browsers."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from splitcore.wire.transport.certificates import create_identity
from webapp.audit.models import AuditEntry
from webapp.core.live import notify_org, wake_worker
from webapp.core.origins import is_own
from webapp.fleet import consumers, services
from webapp.fleet.facts import facts_of
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import is_online
from webapp.fleet.services import worker_copied, worker_quarantine, worker_revoke, worker_rotate
from webapp.fleet.tests.factories import FACTS, SigningWorker, make_certificate, make_worker
from webapp.fleet.tests.sockets import browser_socket, close_code, worker_socket
from webapp.orgs.models import Membership
from webapp.orgs.tests.factories import OrganisationFactory, member
from workers.contracts import HEADER_PROTOCOL, PROTOCOL_VERSION, SOCKET_PATH, Beat, Check, Hello

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def worker() -> SigningWorker:
    return await sync_to_async(lambda: make_worker(OrganisationFactory()))()


async def fresh(worker: SigningWorker) -> Worker:
    return await Worker.objects.aget(pk=worker.row.pk)


async def settled(socket) -> None:
    """Messages are taken in order: what was sent is done when the refusal of a bad one comes."""
    await socket.send_to("{}x")
    assert await close_code(socket) == 4400


@pytest.mark.parametrize(("header", "kept"), [("7", 7), (None, 2)])
async def test_the_newest_protocol_that_a_worker_reads_is_kept(worker, header, kept):
    headers = worker.headers("GET", SOCKET_PATH) | ({HEADER_PROTOCOL: header} if header else {})
    socket = worker_socket(worker, headers)
    assert await socket.connect()
    await settled(socket)
    assert (await fresh(worker)).protocol == kept


async def test_hello_and_beats_are_kept(worker):
    socket = worker_socket(worker)
    assert await socket.connect()
    hello = Hello(facts=FACTS, checks=[Check(name="clock", status="ok")], console_url="http://127.0.0.1:8733")
    await socket.send_to(hello.model_dump_json())
    beat = Beat(lanes=[{"run_id": "run_x", "participant_id": "prt_x", "attempt": 1, "phase": "training", "step": 3}])
    await socket.send_to(beat.model_dump_json())
    deadline = time.monotonic() + 20
    while not (row := await fresh(worker)).lanes and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert await socket.receive_nothing(0.05)
    assert row.checks[0]["name"] == "clock"
    assert row.console_url == "http://127.0.0.1:8733"
    assert row.lanes[0]["step"] == 3
    assert is_online(last_beat_at=row.last_beat_at, connected_at=row.connected_at)
    await socket.disconnect()
    row = await fresh(worker)
    assert not is_online(last_beat_at=row.last_beat_at, connected_at=row.connected_at)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "hello", "facts": {"cutlayer": "1", "gpus": [{"name": "GPU", "note": "Patient Mary Canary"}]}},
        {"type": "beat", "lanes": [{"run_id": "run_x", "row": "Patient Mary Canary"}]},
    ],
)
async def test_unlisted_keys_of_facts_and_lanes_are_refused_and_not_stored(worker, message):
    socket = worker_socket(worker)
    await socket.connect()
    await socket.send_to(json.dumps(message))
    refusal = json.loads(await socket.receive_from())
    assert refusal["code"] == "CL-1415"
    assert "Canary" not in json.dumps(refusal)
    row = await fresh(worker)
    assert "Canary" not in json.dumps([row.facts, row.lanes])


async def test_wake_reaches_the_worker_it_is_for_alone(worker):
    other = await sync_to_async(lambda: make_worker(OrganisationFactory()))()
    socket, silent = worker_socket(worker), worker_socket(other)
    await socket.connect()
    await silent.connect()
    await sync_to_async(wake_worker)(worker.row.id, "assignment")
    assert json.loads(await socket.receive_from()) == {"type": "wake", "reason": "assignment"}
    assert await silent.receive_nothing(0.2)
    await socket.disconnect()
    await silent.disconnect()


@pytest.mark.parametrize("write", [worker_revoke, worker_quarantine])
async def test_socket_is_closed_within_two_seconds_of_a_revocation(worker, write):
    socket = worker_socket(worker)
    await socket.connect()
    begin = time.monotonic()
    admin = await sync_to_async(member)(worker.row.organisation)
    await sync_to_async(write)(actor=admin, worker=worker.row)
    assert await close_code(socket) == 4403
    assert time.monotonic() - begin < 2
    again = worker_socket(worker)
    await again.connect()
    assert await close_code(again) == 4403


async def test_beat_of_a_revoked_worker_closes_even_when_the_doorbell_was_lost(worker):
    socket = worker_socket(worker)
    await socket.connect()
    await Worker.objects.filter(pk=worker.row.pk).aupdate(state=WorkerState.REVOKED)
    await socket.send_to(Beat().model_dump_json())
    assert await close_code(socket) == 4403


async def test_opening_cannot_be_replayed_or_forged(worker):
    headers = worker.headers("GET", SOCKET_PATH)
    first = worker_socket(worker, headers)
    await first.connect()
    replay = worker_socket(worker, headers)
    await replay.connect()
    assert json.loads(await replay.receive_from())["code"] == "CL-1409"
    assert await close_code(replay) == 4401
    other = await sync_to_async(lambda: make_worker(OrganisationFactory()))()
    forged = worker_socket(SigningWorker(row=worker.row, key=other.key))
    await forged.connect()
    assert await close_code(forged) == 4401
    await first.disconnect()


@pytest.mark.parametrize("text", ["[]", "null", '{"type": "row", "text": "x"}', "{", "[" * 5000, '{"lanes": 1}'])
async def test_anything_but_hello_and_beat_ends_the_connection(worker, text):
    socket = worker_socket(worker)
    await socket.connect()
    await socket.send_to(text)
    assert await close_code(socket) == 4400


async def test_message_above_one_mebibyte_closes_with_1009(worker):
    socket = worker_socket(worker)
    await socket.connect()
    await socket.send_to("x" * (settings.WORKER_BODY_MAX_BYTES + 1))
    assert await close_code(socket) == 1009


async def test_fleet_feed_tells_members_of_their_own_organisation_alone():
    own, other = await sync_to_async(lambda: (OrganisationFactory(), OrganisationFactory()))()
    user = await sync_to_async(member)(own)
    socket = await browser_socket("/ws/fleet/", user)
    await socket.connect()
    assert await socket.receive_nothing(0.2)
    await sync_to_async(notify_org)(other.id, "worker", "wrk_other")
    await sync_to_async(notify_org)(own.id, "worker", "wrk_own")
    assert json.loads(await socket.receive_from()) == {"type": "changed", "what": "worker", "id": "wrk_own"}
    await Membership.objects.filter(user=user).aupdate(is_active=False)
    await sync_to_async(notify_org)(own.id, "worker", "wrk_own")
    assert await close_code(socket) == 4403


async def test_fleet_feed_wants_a_session_and_the_own_origin():
    socket = await browser_socket("/ws/fleet/", None)
    await socket.connect()
    assert await close_code(socket) == 4401
    user = await sync_to_async(lambda: member(OrganisationFactory()))()
    own = await browser_socket("/ws/fleet/", user)
    assert await own.connect()
    await own.disconnect()


FOREIGN = [
    b"https://evil.example",
    b"http://testserver:9999",
    b"https://testserver",
    b"http://testserver:443",
    b"http://evil.example:80@testserver",
    b"http://testserver.evil.example",
    b"http://testserver/path",
    b"http://testserver:port",
    b"http://[testserver",
    b"null",
    b"",
    b"file://",
    None,
]


@pytest.mark.parametrize("origin", FOREIGN, ids=range(len(FOREIGN)))
async def test_a_socket_from_another_origin_is_refused(origin):
    user = await sync_to_async(lambda: member(OrganisationFactory()))()
    socket = await browser_socket("/ws/fleet/", user, origin=None if origin is None else (b"origin", origin))
    assert not await socket.connect()


def _is_own(origin, *headers, scheme="ws", host=b"testserver"):
    return is_own({"scheme": scheme, "headers": [(b"host", host), (b"origin", origin), *headers]})


def test_an_origin_is_compared_by_scheme_host_and_port(settings):
    settings.BASE_URL, settings.CSRF_TRUSTED_ORIGINS = "https://hub.example", ["https://pages.example:8443"]
    assert _is_own(b"http://testserver:80")
    assert _is_own(b"http://127.0.0.1:8000", host=b"127.0.0.1:8000")
    assert not _is_own(b"http://127.0.0.1:8733", host=b"127.0.0.1:8000")
    assert _is_own(b"https://hub.example")
    assert _is_own(b"https://pages.example:8443")
    assert not _is_own(b"https://pages.example")
    assert not _is_own(b"http://rebound.example", host=b"rebound.example")
    assert not _is_own(b"http://testserver", (b"origin", b"https://evil.example"))
    assert not _is_own(b"http://testserver", (b"host", b"evil.example"))


def test_behind_a_proxy_the_scheme_is_the_one_that_it_names(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert _is_own(b"https://testserver", (b"x-forwarded-proto", b"https"))
    assert not _is_own(b"http://testserver", (b"x-forwarded-proto", b"https"))
    assert _is_own(b"https://testserver", scheme="wss")


@pytest.fixture
def _quick_looks(monkeypatch):
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 0.1)


@pytest.mark.usefixtures("_quick_looks")
async def test_fleet_feed_closes_when_its_session_ends_though_nothing_rings():
    from django.contrib.sessions.models import Session

    user = await sync_to_async(lambda: member(OrganisationFactory()))()
    socket = await browser_socket("/ws/fleet/", user)
    await socket.connect()
    await Session.objects.all().adelete()
    assert await close_code(socket) == 4401


@pytest.mark.usefixtures("_quick_looks")
async def test_fleet_feed_closes_when_the_membership_ends_though_nothing_rings():
    user = await sync_to_async(lambda: member(OrganisationFactory()))()
    socket = await browser_socket("/ws/fleet/", user)
    await socket.connect()
    await Membership.objects.filter(user=user).aupdate(is_active=False)
    assert await close_code(socket) == 4403


async def test_fleet_feed_does_not_open_for_a_member_without_the_second_factor_that_is_demanded():
    user = await sync_to_async(lambda: member(OrganisationFactory(require_second_factor=True)))()
    socket = await browser_socket("/ws/fleet/", user)
    await socket.connect()
    assert await close_code(socket) == 4403


async def test_two_connections_that_speak_at_once_are_told_to_the_organisation_and_to_both(worker):
    first, second = worker_socket(worker), worker_socket(worker)
    await first.connect()
    await second.connect()
    for _ in range(3):  # as two agents with one copied folder do
        await first.send_to(Beat().model_dump_json())
        await second.send_to(Beat().model_dump_json())
    for socket in (first, second):
        assert json.loads(await socket.receive_from())["reason"] == "copy"
    assert (await fresh(worker)).copied_at is not None
    facts = await sync_to_async(lambda: facts_of(Worker.objects.get(pk=worker.row.pk)))()
    assert facts[0].name == "Copy"
    assert await sync_to_async(AuditEntry.objects.filter(action="worker.copied").count)() == 1
    await second.disconnect()
    await first.send_to(Beat().model_dump_json())
    await settled_beat(first)
    assert is_online(**await presence(worker)), "the one that goes on is the worker"
    await first.disconnect()


async def test_a_worker_has_so_many_connections_and_no_more(worker, monkeypatch):
    """Each of them takes turns at the database with everybody else: a thousand would keep all others waiting."""
    monkeypatch.setattr(consumers, "CONNECTIONS", 3)
    sockets = [worker_socket(worker) for _ in range(3)]
    assert [await socket.connect() for socket in sockets] == [True] * 3
    assert not await worker_socket(worker).connect()
    other = worker_socket(await sync_to_async(lambda: make_worker(OrganisationFactory()))())
    assert await other.connect()
    await sockets[0].disconnect()
    again = worker_socket(worker)
    assert await again.connect()
    monkeypatch.setattr(consumers, "message_take", None)  # a fault of the hub's ends the connection without a word
    for socket in (*sockets[1:], again):
        await socket.send_to(Beat().model_dump_json())
        with pytest.raises(TypeError):
            await socket.wait(3)
    assert await worker_socket(worker).connect(), "what has ended by a fault does not count either"
    await other.disconnect()


async def test_a_worker_that_connects_again_is_no_copy(worker):
    first = worker_socket(worker)
    await first.connect()
    await first.send_to(Beat().model_dump_json())
    second = worker_socket(worker)
    await second.connect()
    await first.send_to(Beat().model_dump_json())  # it was under way when the line broke
    for _ in range(4):
        await second.send_to(Beat().model_dump_json())
    assert await second.receive_nothing(0.3)
    assert (await fresh(worker)).copied_at is None
    await first.disconnect()
    await second.disconnect()


async def test_a_new_key_ends_the_notice_of_a_copy(worker):
    await sync_to_async(worker_copied)(worker=worker.row)
    certificate = create_identity("worker-next").certificate_pem
    await sync_to_async(worker_rotate)(worker=worker.row, certificate_pem=certificate)
    assert (await fresh(worker)).copied_at is None


@pytest.mark.parametrize("bell_rings", [True, False])
async def test_socket_of_an_old_key_is_closed_and_changes_nothing(worker, bell_rings, monkeypatch):
    thief = worker_socket(worker)
    await thief.connect()
    key, pem = make_certificate()
    if not bell_rings:
        monkeypatch.setattr(services, "close_worker", lambda *_args, **_options: None)
    await sync_to_async(worker_rotate)(worker=await fresh(worker), certificate_pem=pem)
    renewed = SigningWorker(row=await fresh(worker), key=key)
    socket = worker_socket(renewed)
    await socket.connect()
    if not bell_rings:
        await thief.send_to(Hello(facts=FACTS, console_url="http://evil.example:8733").model_dump_json())
    assert await close_code(thief) == 4403
    assert (await fresh(worker)).console_url == ""
    await sync_to_async(wake_worker)(worker.row.id, "assignment")
    assert json.loads(await socket.receive_from())["reason"] == "assignment", "the new key's socket stays open"
    await socket.disconnect()


@pytest.mark.parametrize("message", [Beat(), None])
async def test_message_with_an_old_key_closes_without_being_counted(worker, message, monkeypatch):
    thief = worker_socket(worker)
    await thief.connect()
    while (await fresh(worker)).connected_at is None:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(services, "close_worker", lambda *_args, **_options: None)
    await sync_to_async(worker_rotate)(worker=await fresh(worker), certificate_pem=make_certificate()[1])
    await Worker.objects.filter(pk=worker.row.pk).aupdate(last_beat_at=None)
    if message is None:  # a doorbell for the worker is none for the thief
        await sync_to_async(wake_worker)(worker.row.id, "assignment")
    else:
        await thief.send_to(message.model_dump_json())
    event = await thief.receive_output(3)
    assert (event["type"], event["code"]) == ("websocket.close", 4403)
    assert (await fresh(worker)).last_beat_at is None


async def test_hello_of_a_revoked_worker_closes_even_when_the_doorbell_was_lost(worker):
    socket = worker_socket(worker)
    await socket.connect()
    await Worker.objects.filter(pk=worker.row.pk).aupdate(state=WorkerState.REVOKED)
    await socket.send_to(Hello(facts=FACTS, console_url="http://evil.example:1").model_dump_json())
    assert await close_code(socket) == 4403
    assert (await fresh(worker)).console_url == ""


async def test_a_copy_that_sends_only_hellos_is_told_too_and_the_newest_connection_s_hello_stands(worker):
    copy, socket = worker_socket(worker), worker_socket(worker)
    await copy.connect()
    await socket.connect()
    await socket.send_to(Hello(facts=FACTS, console_url="http://127.0.0.1:8733").model_dump_json())
    for _ in range(3):
        await copy.send_to(Hello(facts=FACTS, console_url="http://evil.example:8733").model_dump_json())
    for both in (copy, socket):
        assert json.loads(await both.receive_from())["reason"] == "copy"
    row = await fresh(worker)
    assert row.copied_at is not None
    assert row.console_url == "http://127.0.0.1:8733"
    await copy.disconnect()
    await socket.disconnect()


async def settled_beat(socket) -> None:
    """Wait until what was sent is taken."""
    assert await socket.receive_nothing(0.2)


async def presence(worker) -> dict[str, object]:
    row = await fresh(worker)
    return {"last_beat_at": row.last_beat_at, "connected_at": row.connected_at}


async def test_hello_of_another_version_is_told_both_versions_and_sent_to_look(worker):
    socket = worker_socket(worker)
    await socket.connect()
    hello = {**Hello(facts=FACTS).model_dump(mode="json"), "protocol": 99, "a field of tomorrow": 1}
    await socket.send_to(json.dumps(hello))
    refusal = json.loads(await socket.receive_from())
    assert refusal["code"] == "CL-1407"
    assert "version 99" in refusal["message"]
    assert f"2 to {PROTOCOL_VERSION}" in refusal["message"]
    assert await close_code(socket) == 4401
