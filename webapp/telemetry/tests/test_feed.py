"""The live feed of a run: in order, without a gap, and to nobody else."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from webapp.core.live import run_group
from webapp.fleet.tests.sockets import Socket, browser_socket, close_code
from webapp.orgs.models import Membership, Organisation
from webapp.orgs.tests.factories import OrganisationFactory, member
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import Run, RunState
from webapp.runs.services import run_resume
from webapp.runs.tests.factories import World, exit_part, long_config, started
from webapp.telemetry import consumers
from webapp.telemetry.tests.batches import batch, log, metric, record
from workers.contracts import ErrorInfo

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def w() -> World:
    return await sync_to_async(lambda: started(run_config=long_config()))()


@pytest.fixture
def _quick_looks(monkeypatch):
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 0.1)


def send(w: World, *records, place: int = 0) -> None:
    part = w.part(place)
    records_store(participant=part, batch=batch(part, *records))


async def opened(w: World, user, since: int = 0) -> Socket:
    socket = await browser_socket(f"/ws/runs/{w.run.id}/", user)
    assert await socket.connect()
    await socket.send_to(json.dumps({"type": "since", "since": since}))
    return socket


async def numbers(socket: Socket, through: int) -> list[int]:
    """The numbers that arrive until `through` is covered; each message continues where the last one ended."""
    seen: list[int] = []
    end = None
    while end is None or end < through:
        message = json.loads(await socket.receive_from())
        if message["type"] != "records":
            continue
        assert end is None or message["from"] == end
        seen += [entry["seq"] for entry in message["records"] if "seq" in entry]
        end = message["seq"]
    return seen


async def test_feed_brings_what_was_and_what_comes_in_order(w):
    await sync_to_async(send)(w, metric(1), metric(2))
    socket = await opened(w, w.engineer)
    before = (await Run.objects.aget(pk=w.run.pk)).record_count
    assert await numbers(socket, before) == list(range(1, before + 1))
    await sync_to_async(send)(w, metric(3), metric(4))
    assert await numbers(socket, before + 2) == [before + 1, before + 2]
    await socket.disconnect()


def fail(w: World, *, checkpoint: bool) -> None:
    """One half fails, perhaps after a checkpoint of all of them."""
    for place in range(3):
        send(w, metric(1), *([record(2, "event", name="checkpoint.saved")] if checkpoint else []), place=place)
    exit_part(w, 1, "failed", ErrorInfo(code="CL-1820", message="The worker's disk is full."))
    for place in (0, 2):
        exit_part(w, place, "stopped")
    assert w.fresh().state == RunState.FAILED


async def test_the_feed_of_a_failed_run_that_can_be_resumed_goes_on(w):
    await sync_to_async(fail)(w, checkpoint=True)
    socket = await opened(w, w.engineer)
    before = (await Run.objects.aget(pk=w.run.pk)).record_count
    assert await numbers(socket, before) == list(range(1, before + 1))
    await sync_to_async(run_resume)(actor=w.engineer, run=w.run)
    after = (await Run.objects.aget(pk=w.run.pk)).record_count
    assert after > before
    assert await numbers(socket, after) == list(range(before + 1, after + 1))
    await socket.disconnect()


async def test_the_feed_of_a_failed_run_without_a_checkpoint_ends(w):
    await sync_to_async(fail)(w, checkpoint=False)
    socket = await opened(w, w.engineer)
    seen = []
    while (message := json.loads(await socket.receive_from()))["type"] != "ended":
        seen.append(message)
    assert seen[-1]["seq"] == (await Run.objects.aget(pk=w.run.pk)).record_count, "it ends after the last record"
    await socket.disconnect()


async def test_reconnecting_page_gets_what_it_missed_without_gap_or_repeat(w):
    await sync_to_async(send)(w, *[metric(n) for n in range(1, 1201)][:500])
    await sync_to_async(send)(w, *[metric(n) for n in range(501, 1001)])
    last = (await Run.objects.aget(pk=w.run.pk)).record_count
    socket = await opened(w, w.engineer, since=17)
    assert await numbers(socket, last) == list(range(18, last + 1))
    await socket.disconnect()


async def test_strangers_run_does_not_exist(w):
    stranger = await sync_to_async(lambda: member(OrganisationFactory()))()
    socket = await browser_socket(f"/ws/runs/{w.run.id}/", stranger)
    await socket.connect()
    assert await close_code(socket) == 4404
    missing = await browser_socket("/ws/runs/run_doesnotexist/", w.engineer)
    await missing.connect()
    assert await close_code(missing) == 4404
    nobody = await browser_socket(f"/ws/runs/{w.run.id}/", None)
    await nobody.connect()
    assert await close_code(nobody) == 4401


@pytest.mark.promise(2, figure="0 foreign messages")
async def test_no_message_crosses_to_another_tenants_run(w):
    other = await sync_to_async(lambda: started(prefix="Other ", run_config=long_config()))()
    mine, theirs = await opened(w, w.engineer), await opened(other, other.engineer)
    for number in range(1, 6):
        await sync_to_async(send)(w, metric(number, loss=111.0))
        await sync_to_async(send)(other, metric(number, loss=222.0))
    for socket, world, foreign in ((mine, w, "222.0"), (theirs, other, "111.0")):
        last = (await Run.objects.aget(pk=world.run.pk)).record_count
        end = 0
        while end < last:
            text = await socket.receive_from()
            assert foreign not in text
            message = json.loads(text)
            end = message.get("seq", end)
            assert message["type"] != "records" or message["run"]["id"] == world.run.id
        await socket.disconnect()


async def test_partner_sees_metrics_but_not_the_others_log_lines(w):
    await sync_to_async(send)(w, log(1, "the line of Alpha"), metric(2))
    socket = await opened(w, w.approvers[1])
    message = json.loads(await socket.receive_from())
    assert "the line of Alpha" not in json.dumps(message)
    assert any(entry["kind"] == "metric" for entry in message["records"])
    await socket.disconnect()


@pytest.mark.usefixtures("_quick_looks")
async def test_membership_that_ends_closes_the_feed(w):
    socket = await opened(w, w.engineer)
    await socket.receive_from()
    await Membership.objects.filter(user=w.engineer).aupdate(is_active=False)
    assert await close_code(socket) == 4403


@pytest.mark.usefixtures("_quick_looks")
async def test_session_that_ends_closes_the_feed(w):
    from django.contrib.sessions.models import Session

    socket = await opened(w, w.engineer)
    await socket.receive_from()
    await Session.objects.all().adelete()
    assert await close_code(socket) == 4401


@pytest.mark.usefixtures("_quick_looks")
async def test_session_that_ends_closes_the_feed_of_a_busy_run(w, monkeypatch):
    from django.contrib.sessions.models import Session

    monkeypatch.setattr(consumers, "FRAME_SECONDS", 0.0)
    socket = await opened(w, w.engineer)
    await socket.receive_from()
    await Session.objects.all().adelete()
    end = time.monotonic() + 10
    while time.monotonic() < end:  # the bell rings faster than the feed looks
        await get_channel_layer().group_send(run_group(w.run.id), {"type": "run.changed", "seq": 0})
        if not socket.output_queue.empty():
            event = await socket.receive_output()
            if event["type"] == "websocket.close":
                assert event["code"] == 4401
                return
        await asyncio.sleep(0.01)
    pytest.fail("the feed outlived its session")


@pytest.mark.usefixtures("_quick_looks")
async def test_new_password_closes_the_feed(w):
    socket = await opened(w, w.engineer)
    await socket.receive_from()
    await sync_to_async(w.engineer.set_password)("another long phrase 7")
    await w.engineer.asave()
    assert await close_code(socket) == 4401


async def test_feed_does_not_open_for_a_member_without_the_second_factor_that_is_demanded(w):
    await Organisation.objects.filter(pk=w.organisations[1].pk).aupdate(require_second_factor=True)
    socket = await browser_socket(f"/ws/runs/{w.run.id}/", w.approvers[1])
    await socket.connect()
    assert await close_code(socket) == 4404


@pytest.mark.usefixtures("_quick_looks")
async def test_feed_closes_when_the_organisation_begins_to_demand_a_second_factor(w):
    socket = await opened(w, w.approvers[1])
    await socket.receive_from()
    await Organisation.objects.filter(pk=w.organisations[1].pk).aupdate(require_second_factor=True)
    assert await close_code(socket) == 4403


@pytest.mark.usefixtures("_quick_looks")
async def test_feed_closes_when_the_organisation_is_deactivated(w):
    socket = await opened(w, w.approvers[1])
    await socket.receive_from()
    await Organisation.objects.filter(pk=w.organisations[1].pk).aupdate(is_active=False)
    assert await close_code(socket) == 4403


@pytest.mark.usefixtures("_quick_looks")
async def test_record_arrives_even_when_its_doorbell_was_lost(w, monkeypatch):
    socket = await opened(w, w.engineer)
    before = (await Run.objects.aget(pk=w.run.pk)).record_count
    await numbers(socket, before)
    monkeypatch.setattr("webapp.core.live._send", lambda *_: None)
    await sync_to_async(send)(w, metric(1))
    assert before + 1 in await numbers(socket, before + 1)
    await socket.disconnect()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type": "since", "since": "x"}', '{"type": "since", "since": -5}'])
async def test_nonsense_from_the_page_is_survived(w, text):
    socket = await opened(w, w.engineer)
    await socket.receive_from()
    await socket.send_to(text)
    await socket.send_to('{"type": "since", "since": 0}')
    assert json.loads(await socket.receive_from())["type"] == "records"
    await socket.disconnect()
