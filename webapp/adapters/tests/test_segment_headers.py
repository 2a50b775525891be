"""A segment's header is judged by its form before anything is multiplied, and its size by the contract."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from splitcore.errors import AppError
from webapp.adapters.services.segment_limits import segment_limits
from webapp.adapters.services.segments import read_header, read_metadata
from webapp.fleet.services import worker_quarantine, worker_revoke
from webapp.orgs.tests.factories import member
from webapp.runs.finishing.uploads import segment_store
from webapp.runs.tests import factories as make
from webapp.runs.tests.factories import started
from workers.contracts import SegmentUpload

NAME = "base_model.model.model.layers.0.q_proj.lora_A.weight"


def _file(folder: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "segment.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def _tensor(shape: object, stop: int = 4) -> dict[str, object]:
    return {NAME: {"dtype": "F32", "shape": shape, "data_offsets": [0, stop]}}


@pytest.mark.parametrize("dimensions", [450_000, 1_000_000], ids=["0.9 MiB", "2 MiB"])
def test_a_shape_of_many_dimensions_is_refused_at_once(tmp_path: Path, dimensions: int) -> None:
    path = _file(tmp_path, _tensor([9] * dimensions).__repr__().replace("'", '"').replace(" ", "").encode(), b"1234")
    begun = time.process_time()
    with pytest.raises(AppError, match="CL-1702"):
        read_header(path, most_tensors=100)
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize(
    "shape",
    [[1], [1, 1, 1], [0, 1], [-1, -1], [1.0, 1], [True, 1], ["1", 1], [2**31 + 1, 1], [10**400, 1], None, {}, 1, "11"],
    ids=str,
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, shape: object) -> None:
    with pytest.raises(AppError, match="CL-1702"):
        read_header(_file(tmp_path, _tensor(shape), b"1234"), most_tensors=100)
    assert read_header(_file(tmp_path, _tensor([1, 1]), b"1234"), most_tensors=100)


@pytest.mark.parametrize("header", [b"[" * 9000, b'{"a": NaN}', b"\xff\xfe", b"[]", b"{}", b'"x"'])
def test_a_header_that_is_no_json_of_tensors_is_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(AppError, match="CL-1702"):
        read_header(_file(tmp_path, header), most_tensors=100)


@pytest.mark.parametrize(("rows", "classes"), [(1, 0), (1, 2), (2, 1)])
def test_a_classification_head_of_other_labels_than_the_contracts_is_refused(
    tmp_path: Path, rows: int, classes: int
) -> None:
    [tensor] = _tensor([rows, 1], stop=4 * rows).values()
    header = {"base_model.model.score.weight": tensor}
    with pytest.raises(AppError, match="CL-1702"):
        read_header(_file(tmp_path, header, b"1234" * rows), most_tensors=100, classes=classes)
    assert read_header(_file(tmp_path, header, b"1234" * rows), most_tensors=100, classes=rows)


def test_more_tensors_than_the_contract_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="CL-1702"):
        read_header(_file(tmp_path, _tensor([1, 1]), b"1234"), most_tensors=0)


@pytest.mark.django_db
def test_an_upload_ends_at_what_the_contract_leaves_room_for(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    w = started()
    part = w.part(0)
    limits = segment_limits(w.run, part)
    assert limits.bytes < settings.ARTEFACT_MAX_BYTES / 100
    taken = 0

    def stream():
        nonlocal taken
        for _ in range(1000):
            taken += 1 << 20
            yield b"x" * (1 << 20)

    upload = SegmentUpload(participant_id=part.id, attempt=part.attempt, sha256=hashlib.sha256(b"").hexdigest())
    with pytest.raises(AppError, match="CL-1801"):
        segment_store(worker=w.workers[0], run_id=w.run.id, name="head", upload=upload, stream=stream())
    assert taken <= limits.bytes + (2 << 20)


@pytest.mark.parametrize("metadata", [{"a": "\ud800"}, {"\udfff": "a"}, {"a": "\x00"}, {"a": 1}, ["a"], "a"])
def test_metadata_that_no_file_can_hold_is_refused(tmp_path: Path, metadata: object) -> None:
    path = _file(tmp_path, {**_tensor([1, 1]), "__metadata__": metadata}, b"1234")
    for read in (read_metadata, lambda path: read_header(path, most_tensors=100)):
        with pytest.raises(AppError, match="CL-1702"):
            read(path)


def test_a_tensors_name_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    tensor = {f"{NAME}\ud800": _tensor([1, 1])[NAME]}
    with pytest.raises(AppError, match="CL-1702"):
        read_header(_file(tmp_path, tensor, b"1234"), most_tensors=100)


@pytest.mark.django_db
@pytest.mark.parametrize("act", [worker_quarantine, worker_revoke, "rotate"])
def test_a_segment_is_not_stored_when_its_worker_is_shut_out_while_it_comes(settings, tmp_path: Path, act) -> None:
    settings.MEDIA_ROOT = tmp_path
    w = started()
    part, admin = w.part(0), member(w.organisations[0])
    body = make.segment_bytes(w, "head", part.party, range(2))

    def stream():
        yield body[:100]
        if act == "rotate":
            type(part.worker).objects.filter(pk=part.worker_id).update(fingerprint="f" * 64)
        else:
            act(actor=admin, worker=w.workers[0])
        yield body[100:]

    upload = SegmentUpload(participant_id=part.id, attempt=1, sha256=hashlib.sha256(body).hexdigest())
    with pytest.raises(AppError) as raised:
        segment_store(worker=w.workers[0], run_id=w.run.id, name="head", upload=upload, stream=stream())
    assert raised.value.code in ("CL-1411", "CL-1412", "CL-1413")
    assert not w.run.segments.exists()
    assert list(tmp_path.rglob("*.safetensors")) == []
