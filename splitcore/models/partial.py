"""A folder with only those tensors of a base model that some segments need, fetched from a model hub (torch-free).

Of a weight file that is needed whole, the hub client's own download and cache serve. Of any other, the header is read,
then the needed tensors' ranges, next to each other in one request, and written as a safetensors file of their own.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from splitcore.errors import AppError
from splitcore.models.files import INDEX, SINGLE, TensorEntry, wanted_by, weight_map
from splitcore.models.manifest import Manifest, verify_tensors
from splitcore.models.plan import SegmentPlan
from splitcore.models.remote import NoRangesError, RemoteFile

CACHE = "cutlayer-segments"  # beside the models in the hub client's cache (HF_HUB_CACHE)
RULES = "1"  # of which tensors a segment needs: raise it when they change
COMPLETE = ".complete"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What is to be fetched: the segments of a model at a commit."""

    model: str
    commit: str
    plans: Sequence[SegmentPlan]
    tied: bool
    manifest: Manifest | None = None

    def needs(self, tensor: str) -> bool:
        """Whether one of the segments may need this tensor."""
        return any(wanted_by(tensor, plan, tied=self.tied) for plan in self.plans)

    @property
    def folder(self) -> Path:
        """Where these segments' tensors lie, by model, commit and layers."""
        spans = sorted(f"{plan.start:03}-{plan.end:03}{'e' * plan.embedding}{'o' * plan.output}" for plan in self.plans)
        name = "_".join([*spans, "tied" * self.tied, RULES])
        return Path(constants.HF_HUB_CACHE) / CACHE / self.model.replace("/", "--") / self.commit / name


def fetch_partial(small: Path, wanted: Wanted) -> Path:
    """The folder with the needed tensors and the small files, which lie in `small`; fetched where they are missing.

    Raises AppError CL-1103 for damaged files, CL-1104 for a tensor that differs from the manifest, httpx2.HTTPError.
    """
    folder = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(folder.with_suffix(".lock")):
        _link_small_files(small, folder)
        if not (folder / COMPLETE).is_file():
            shards = weight_map(small)
            if shards is None:
                _fetch_file(wanted, SINGLE, folder)
            else:
                _fetch_shards(wanted, shards, folder)
            (folder / COMPLETE).touch()
    return folder


def _link_small_files(small: Path, folder: Path) -> None:
    """Configuration and tokenizer as they lie in the hub client's cache, which may have been pruned meanwhile."""
    for path in small.iterdir():
        link = folder / path.name
        if path.is_file() and path.suffix != ".safetensors" and path.name != INDEX and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())


def _fetch_shards(wanted: Wanted, shards: dict[str, str], folder: Path) -> None:
    """The needed part of every shard, and an index of it."""
    needed = {tensor: file for tensor, file in shards.items() if wanted.needs(tensor)}
    for file in sorted(set(needed.values())):
        whole = all(tensor in needed for tensor, name in shards.items() if name == file)
        _fetch_file(wanted, file, folder, whole=whole)
    content = json.dumps({"metadata": {}, "weight_map": needed})
    (folder / INDEX).write_text(content, encoding="utf-8")


def _fetch_file(wanted: Wanted, name: str, folder: Path, *, whole: bool = False) -> None:
    """The needed tensors of one weight file."""
    target = folder / name
    if target.exists():
        return
    target.unlink(missing_ok=True)  # a link into a cache that was pruned
    cached = try_to_load_from_cache(wanted.model, name, revision=wanted.commit)
    if whole or isinstance(cached, str):
        target.symlink_to(Path(_download(wanted, name)).resolve())
        return
    remote = RemoteFile(wanted.model, wanted.commit, name)
    try:
        entries = remote.tensors()
        chosen = [entry for entry in entries if wanted.needs(entry.name)]
        if len(chosen) == len(entries):
            target.symlink_to(Path(_download(wanted, name)).resolve())
            return
        partial = _write(remote, chosen, target)
    except NoRangesError:
        log.warning("this model hub doesn't send parts of files, so %s is downloaded whole", name)
        target.symlink_to(Path(_download(wanted, name)).resolve())
        return
    _verify(partial, wanted.manifest)
    partial.rename(target)


def _download(wanted: Wanted, name: str) -> str:
    """A whole file, through the hub client's cache."""
    return hf_hub_download(wanted.model, name, revision=wanted.commit)


def _verify(partial: Path, manifest: Manifest | None) -> None:
    """Keep no tensor that differs from the manifest."""
    if manifest is None:
        return
    try:
        verify_tensors(partial, manifest)
    except AppError:
        partial.unlink()
        raise


def _write(remote: RemoteFile, entries: Sequence[TensorEntry], target: Path) -> Path:
    """Write a safetensors file of `entries` beside `target`; goes on with one that was begun before."""
    ordered = sorted(entries, key=lambda entry: (entry.offset, entry.length))
    header = _header(ordered)
    partial = target.with_suffix(".partial")
    begun = partial.stat().st_size if partial.is_file() and _begins_with(partial, header) else 0
    with partial.open("ab" if begun else "wb") as file:
        if not begun:
            file.write(header)
        reached = len(header)
        for begin, end in _runs(ordered):
            done = min(max(begun - reached, 0), end - begin)
            for piece in remote.stream(begin + done, end):
                file.write(piece)
            reached += end - begin
        file.flush()
        os.fsync(file.fileno())
    return partial


def _begins_with(path: Path, header: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _header(ordered: Sequence[TensorEntry]) -> bytes:
    """The safetensors header of a file that holds these tensors one after the other."""
    fields: dict[str, object] = {"__metadata__": {"format": "pt"}}
    reached = 0
    for entry in ordered:
        offsets = [reached, reached + entry.length]
        fields[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
        reached += entry.length
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _runs(ordered: Sequence[TensorEntry]) -> list[tuple[int, int]]:
    """Ranges of bytes that cover the tensors and nothing between them."""
    runs: list[tuple[int, int]] = []
    for entry in ordered:
        end = entry.offset + entry.length
        if runs and runs[-1][1] == entry.offset:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((entry.offset, end))
    return runs
