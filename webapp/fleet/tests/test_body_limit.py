"""What is checked of a worker's file before any of it is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import sync_to_async

from webapp.adapters.services.segment_limits import segment_limits
from webapp.asgi import application
from webapp.fleet.body_limit import BodyLimit
from webapp.fleet.models import SpentNonce
from webapp.fleet.tests.factories import SigningWorker, give_key
from webapp.runs.models import Run, RunState
from webapp.runs.tests import factories as make
from workers.contracts import API_PREFIX

pytestmark = pytest.mark.django_db(transaction=True)
DIGEST = "a" * 64


class Upload:
    """One request for a file; `read` is whether anything asked for its body."""

    def __init__(self, run_id: str, name: str, signer: SigningWorker, query: dict[str, Any], length: int = 0) -> None:
        path, text = f"{API_PREFIX}/runs/{run_id}/{name}", urlencode(query)
        headers = signer.headers("PUT", f"{path}?{text}", digest=str(query.get("sha256", "")))
        pairs = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        self.scope = {
            "type": "http", "method": "PUT", "path": path, "query_string": text.encode(),
            "headers": [*pairs, (b"host", b"testserver"), (b"content-length", str(length).encode())],
        }  # fmt: skip
        self.read = False

    async def send_to(self, app: Any, body: bytes = b"") -> tuple[int, str]:
        """The status and the code that `app` answers."""
        self.read = False
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if self.read:
                await asyncio.Event().wait()  # the client stays, and sends no more
            self.read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(dict(self.scope), receive, send)
        told = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], str(json.loads(told or b"{}").get("code", ""))


async def reached(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the hub behind the limit: it reads the body and says so."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
async def w() -> make.World:
    return await sync_to_async(make.started)()


async def signer_of(w: make.World) -> tuple[SigningWorker, dict[str, Any]]:
    part = await sync_to_async(w.part)(0)
    signer = await sync_to_async(give_key)(w.workers[0])
    return signer, {"participant_id": part.id, "attempt": part.attempt, "sha256": DIGEST}


@pytest.mark.parametrize("name", ["segments/head", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"participant_id": "prt_of_nobody"}, "CL-1404"),
        ({"attempt": 7}, "CL-1503"),
        ({"attempt": "x"}, "CL-1415"),
        ({"sha256": "no hash"}, "CL-1415"),
    ],
)
async def test_a_file_that_nobody_waits_for_is_refused_unread(w, name, change, code):
    signer, query = await signer_of(w)
    upload = Upload(w.run.id, name, signer, {**query, **change})
    assert (await upload.send_to(BodyLimit(reached)))[1] == code
    assert not upload.read
    assert not await SpentNonce.objects.aexists(), "the worker may correct it and send the call again"


async def test_a_file_for_a_run_that_does_not_exist_or_wants_none_is_refused_unread(w):
    signer, query = await signer_of(w)
    for run_id in ("run_0000000000000000", w.run.id):
        await Run.objects.filter(pk=w.run.pk).aupdate(state=RunState.DONE)
        upload = Upload(run_id, "segments/head", signer, query)
        assert (await upload.send_to(BodyLimit(reached)))[1] in ("CL-1404", "CL-1504")
        assert not upload.read


@pytest.mark.parametrize("name", ["segments/head", "tokenizer/tokenizer.json"])
async def test_a_signature_lets_one_file_in(w, name):
    signer, query = await signer_of(w)
    upload = Upload(w.run.id, name, signer, query)
    assert await upload.send_to(BodyLimit(reached)) == (200, "")
    assert upload.read
    assert (await upload.send_to(BodyLimit(reached)))[1] == "CL-1409"
    assert not upload.read


async def test_a_file_larger_than_the_contract_has_room_for_is_refused_unread(w, settings):
    signer, query = await signer_of(w)
    limit = (await sync_to_async(lambda: segment_limits(w.run, w.part(0)))()).bytes
    assert limit < settings.ARTEFACT_MAX_BYTES
    upload = Upload(w.run.id, "segments/head", signer, query, length=limit + 1)
    assert await upload.send_to(BodyLimit(reached)) == (413, "CL-1802")
    assert not upload.read


async def test_the_hub_takes_a_file_whose_nonce_the_limit_has_spent(w, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    signer, query = await signer_of(w)
    upload = Upload(w.run.id, "segments/head", signer, query)
    status, code = await upload.send_to(application, b"no segment")
    assert (status, code) == (400, "CL-1702"), "it got to the view, which reads the file"
    assert (await upload.send_to(application, b"no segment"))[1] == "CL-1409"
