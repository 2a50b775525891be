"""One segment, uploaded several times at once: one file is kept, every answer is clean, nothing is left lying about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from splitcore.errors import AppError
from tests.concurrency.racing import Track
from webapp.adapters.models import Segment
from webapp.adapters.services.segments import media_path
from webapp.adapters.tests.factories import CUTS, upload
from webapp.fleet.tests.factories import give_key
from webapp.runs.tests.factories import WIDTH, World, segment_bytes, started

LANES = 4
TIMES = 10


@pytest.fixture
def lanes(transactional_db: None) -> Iterator[Track]:
    with Track(LANES) as found:
        yield found


def body(w: World, number: float = 0.5) -> bytes:
    """A segment with this number all over it."""
    arrays = {
        f"base_model.model.model.layers.{layer}.mlp.up_proj.lora_{part}.weight": np.full(shape, number, np.float32)
        for layer in CUTS["head"]
        for part, shape in (("A", (8, WIDTH)), ("B", (16, 8)))
    }
    return segment_bytes(w, "head", w.part(0).party, CUTS["head"], **arrays)


def kept(w: World) -> Segment:
    """The one segment, whose file is what its row says; no other file is in the folder."""
    (row,) = Segment.objects.filter(run=w.run)
    folder = media_path(f"segments/{w.run.id}")
    assert [path.name for path in folder.iterdir()] == [f"{w.part(0).id}-head.safetensors"]
    assert hashlib.sha256(media_path(row.path).read_bytes()).hexdigest() == row.sha256
    return row


def test_four_times_the_same_file(lanes: Track) -> None:
    w = started()
    signed, file = give_key(w.workers[0]), body(w)
    digest = hashlib.sha256(file).hexdigest()
    address = f"runs/{w.run.id}/segments/head?participant_id={w.part(0).id}&attempt=1&sha256={digest}"
    for _ in range(TIMES):
        answers = lanes.race(*[lambda: signed.put(address, file, digest).status_code] * LANES)
        assert answers == [200] * LANES
        assert kept(w).sha256 == digest


def test_four_files_that_differ(lanes: Track) -> None:
    w = started()
    files = [body(w, number) for number in range(LANES)]
    for _ in range(TIMES):
        answers = lanes.race(*[lambda file=file: upload(w, 0, "head", file).sha256 for file in files])
        assert answers == [hashlib.sha256(file).hexdigest() for file in files]
        assert kept(w).sha256 in answers


def test_refused_ones_leave_nothing_and_touch_nothing(lanes: Track) -> None:
    w = started()
    good = body(w)
    for _ in range(TIMES):
        answers = lanes.race(
            lambda: upload(w, 0, "head", good).sha256,
            lambda: upload(w, 0, "head", good[:-1]),
            lambda: upload(w, 0, "head", body(w, 9), sha256="0" * 64),
            lambda: upload(w, 0, "head", body(w, 9), attempt=7),
        )
        assert answers[0] == kept(w).sha256 == hashlib.sha256(good).hexdigest()
        assert [isinstance(answer, AppError) for answer in answers] == [False, True, True, True]
