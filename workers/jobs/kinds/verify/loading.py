"""Whether a joined adapter is whole: it is fetched, compared with what was announced, and loaded as PEFT loads it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

from splitcore.adapters.peft_config import Terms
from splitcore.adapters.verify import verify_loads
from splitcore.bounds import plain
from splitcore.errors import AppError
from splitcore.models.manifest import Manifest, verify_files, verify_folder
from workers.contracts import Check
from workers.hub import HubClient
from workers.jobs.setting import JobSetting
from workers.models_registry import RegisteredModel

FILES = ("adapter_config.json", "adapter_model.safetensors")
_ADAPTER_BYTES = 64 << 20


def base_check(model: RegisteredModel, manifest: Manifest) -> Check:
    """Configuration, tokenizer and the tensors that lie here are the contract's. Raises AppError CL-1103, CL-1104."""
    if model.partial:
        verify_files(model.folder, manifest)
        return ok("Base model", "Configuration and tokenizer of the base model have the contract's hashes.")
    verify_folder(model.folder, manifest)
    return ok("Base model", "Every tensor of the local base model has the contract's hash.")


def fetch_adapter(setting: JobSetting) -> Path:
    """Download the archive, compare its hash and unpack the two files that PEFT reads. Raises AppError CL-1703."""
    assignment, archive = setting.spec.assignment, setting.folder.out / "adapter.zip"
    most = (
        _ADAPTER_BYTES + 2 * setting.registered_model.bytes
    )  # no adapter is larger than its model, but for a tiny one's
    client = HubClient.of(setting.home, setting.worker)
    try:
        digest = client.download(assignment.adapter_url, archive, most_bytes=most)
    finally:
        client.close()
    if digest != assignment.adapter_sha256:
        raise AppError("CL-1703", "The downloaded adapter differs from the announced one.")
    target = setting.folder.out / "adapter"
    target.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in FILES:  # by name: nothing else of the archive is unpacked
                with opened.open(_member(opened, name)) as source, (target / name).open("wb") as out:
                    _copy(source, out, most)
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise AppError("CL-1703", f"The archive isn't an adapter ({type(error).__name__}).") from None
    return target


def _copy(source: IO[bytes], out: IO[bytes], most: int) -> None:
    """Unpack at most so many bytes, whatever the archive says of its size. Raises AppError CL-1703."""
    while chunk := source.read(1 << 20):
        most -= len(chunk)
        if most < 0:
            raise AppError("CL-1703", "Unpacked, the archive is larger than any adapter of this model.")
        out.write(chunk)


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The entry of this file name, in whatever folder of the archive it lies."""
    return next(info for info in archive.infolist() if info.filename.rsplit("/", 1)[-1] == name)


def terms_of(setting: JobSetting) -> Terms:
    """What the contract says of the adapter, whichever party's it is."""
    config = setting.config
    ranks = {config.lora.rank, *(config.for_party(part.party).lora.rank for part in setting.clients)}
    return Terms(config.lora.alpha, config.lora.dropout, frozenset(ranks), config.data.task.classes)


def keys_check(model_folder: Path, adapter: Path, terms: Terms) -> Check:
    """Every key of the file has its place in the model and the other way round; all values are finite."""
    name = "Adapter loads"
    try:
        found = verify_loads(model_folder, adapter, terms=terms)
    except AppError as error:
        return Check(name=name, status="failed", detail=plain(error.message), code=error.code)
    if not found.ok:
        detail = (
            f"{len(found.missing)} keys missing, {len(found.unexpected)} unexpected, {len(found.mismatched)} "
            "with the wrong shape."
        )
        return Check(name=name, status="failed", detail=detail, code="CL-1703")
    return ok(name, f"PEFT loads all {found.keys} tensors, and every value is finite.")


def ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)
