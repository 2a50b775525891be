"""The base model's tokenizer comes into the archive as the contract's manifest pins it, and nothing else does."""

from __future__ import annotations

import hashlib
import zipfile

import pytest
from django.http import Http404

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.manifest import Manifest, TensorPin
from webapp.adapters.card import model_card, snippet
from webapp.adapters.services.tokenizer import tokenizer_files
from webapp.adapters.tests.factories import report, upload
from webapp.runs.finishing.handing_out import adapter_download
from webapp.runs.finishing.joining import adapter_join
from webapp.runs.finishing.packaging import adapter_package
from webapp.runs.finishing.uploads import tokenizer_store
from webapp.runs.models import RunState
from webapp.runs.tests import factories as make
from workers.contracts import SegmentUpload

pytestmark = pytest.mark.django_db
FILES = {"tokenizer.json": b'{"model": {}}', "tokenizer_config.json": b'{"tokenizer_class": "PreTrainedTokenizerFast"}'}
MANIFEST = Manifest(
    make.MODEL,
    None,
    {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()} | {"config.json": "c" * 64},
    {"model.norm.weight": TensorPin("F32", (8,), "d" * 64)},
)
TEXT = canonical_json(MANIFEST.to_dict()).encode()


@pytest.fixture(autouse=True)
def _media(settings, tmp_path, monkeypatch):
    settings.MEDIA_ROOT = tmp_path / "media"
    monkeypatch.setattr(make, "MANIFEST", MANIFEST.hash())


def _send(w, name, content, *, place=0, attempt=1):
    upload = SegmentUpload(participant_id=w.part(place).id, attempt=attempt, sha256=hashlib.sha256(content).hexdigest())
    tokenizer_store(worker=w.workers[place], run_id=w.run.id, name=name, upload=upload, stream=[content])


def _send_all(w):
    for name, content in {"manifest.json": TEXT, **FILES}.items():
        _send(w, name, content)


def _done(*, with_tokenizer):
    w = make.started()
    if with_tokenizer:
        _send_all(w)
    for place, names in ((0, ("head", "tail")), (1, ("head", "tail")), (2, ("body",))):
        for name in names:
            upload(w, place, name)
    for place in range(3):
        make.exit_part(w, place, "done")
    adapter_join(w.run.id)
    adapter = w.run.adapters.get()
    for place in (0, 1):
        report(w, place, adapter)
    adapter_package(w.run.id)
    adapter.refresh_from_db()
    assert w.fresh().state == RunState.DONE
    return w, adapter


def _refused(w, name, content, **options):
    with pytest.raises(AppError) as caught:
        _send(w, name, content, **options)
    return caught.value.code


def test_the_archive_holds_the_tokenizer_and_card_and_snippet_use_it(client):
    w, adapter = _done(with_tokenizer=True)
    with zipfile.ZipFile(adapter_download(actor=w.approvers[0], adapter=adapter)) as archive:
        for name, content in FILES.items():
            assert archive.read(name) == content
            assert name in archive.read("SHA256SUMS").decode()
        assert "manifest.json" not in archive.namelist()
    assert 'AutoTokenizer.from_pretrained("folder")' in snippet(adapter, "folder")
    assert "Its files are next to the adapter" in model_card(adapter)
    client.force_login(w.approvers[0])
    assert "tokenizer_config.json" in client.get(f"/adapters/{adapter.id}").content.decode()


def test_an_archive_without_a_tokenizer_says_so():
    w, adapter = _done(with_tokenizer=False)
    with zipfile.ZipFile(adapter_download(actor=w.approvers[0], adapter=adapter)) as archive:
        assert "tokenizer.json" not in archive.namelist()
        assert "The archive has no tokenizer" in archive.read("README.md").decode()
    assert "AutoTokenizer.from_pretrained(base)" in snippet(adapter, "folder")


def test_no_row_comes_in_under_the_name_of_a_tokenizer_file():
    w, row = make.started(), b'{"prompt": "a row", "completion": "of the dataset"}'
    assert _refused(w, "tokenizer.json", FILES["tokenizer.json"]) == "CL-1706"  # no manifest yet
    assert _refused(w, "manifest.json", row) == "CL-1706"
    assert _refused(w, "manifest.json", TEXT.replace(b"acme", b"evil")) == "CL-1706"
    assert _refused(w, "manifest.json", TEXT[:-1] + b',"more":"a row"}') == "CL-1706"  # the same manifest, once read
    assert _refused(w, "manifest.json", b"[" * 100_000) == "CL-1706"
    _send(w, "manifest.json", TEXT)
    assert _refused(w, "tokenizer.json", row) == "CL-1706"
    assert _refused(w, "vocab.json", row) == "CL-1706"  # not pinned
    assert tokenizer_files(w.run.id) == {}


def test_a_name_that_is_no_tokenizer_file_does_not_exist():
    w = make.started()
    _send(w, "manifest.json", TEXT)
    for name in ("config.json", "rows.jsonl", "..", "../manifest.json"):
        with pytest.raises(Http404):
            _send(w, name, b"{}")


def test_only_a_training_part_under_its_newest_attempt_may_send_it():
    w = make.started()
    assert _refused(w, "manifest.json", TEXT, place=2) == "CL-1706"
    make.claim(w, 0)
    assert _refused(w, "manifest.json", TEXT) == "CL-1503"
    _send(w, "manifest.json", TEXT, attempt=2)


def test_the_same_file_again_changes_nothing_and_a_large_one_is_cut_off(settings):
    w = make.started()
    _send_all(w)
    _send_all(w)
    assert {name: path.read_bytes() for name, path in tokenizer_files(w.run.id).items()} == FILES
    settings.TOKENIZER_MAX_BYTES = 4
    assert _refused(w, "tokenizer.json", FILES["tokenizer.json"]) == "CL-1801"
    assert list(settings.MEDIA_ROOT.rglob(".incoming-*")) == []
