"""Adding a dataset in the browser: ticket, resumable upload, check, the exact metadata, confirmation."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from splitcore.bounds import json_object
from splitcore.errors import CATALOGUE, AppError
from workers.console import access
from workers.console.checking import check_of, start_check
from workers.console.site import site
from workers.contracts import DatasetMetadata
from workers.data.checking import columns_of_file
from workers.data.ingest import NAME
from workers.data.lengths import Longer
from workers.data.register import register
from workers.data.rows import LEAST_MEASURED, guess_mapping
from workers.data.store import StoredDataset
from workers.data.uploads import CHUNK_BYTES, Upload
from workers.hub import HubClient
from workers.models_registry import ModelRegistry

# What is wrong with the bytes: no free disk and no second try makes a dataset of them.
_UNUSABLE = {"CL-1210", "CL-1211", "CL-1216", "CL-1224", "CL-1225", "CL-1226", "CL-1227", "CL-1229"}


def _body(request: HttpRequest) -> dict[str, Any]:
    try:
        return json_object(request.body or b"{}")
    except ValueError:
        raise AppError("CL-1001", "The request isn't a JSON object.") from None


@require_safe
def add(request: HttpRequest) -> HttpResponse:
    """The page: it exchanges the ticket in its fragment, then takes the file."""
    context = {
        "chunk_bytes": CHUNK_BYTES,
        "models": ModelRegistry(site().home).all(),
        "uploads": _own_uploads(request) if access.may_add(request) else [],
    }
    return render(request, "console/add.html", context)


def _own_uploads(request: HttpRequest) -> list[Upload]:
    known = site().uploads.all() if site().uploads.root.exists() else []
    return [upload for upload in known if access.may_touch(request, upload.owner)]


def _own_upload(request: HttpRequest, upload_id: str) -> Upload:
    """An upload of this browser; another one's is not known. Raises AppError CL-1223."""
    found = site().uploads.get(upload_id)
    if not access.may_touch(request, found.owner):
        raise AppError("CL-1223", "This upload is unknown. Choose the file again.")
    return found


def _own_staged(request: HttpRequest, staged_id: str) -> None:
    """Let a browser at what was made of its own file, and at nothing else. Raises AppError CL-1223."""
    if access.is_unlocked(request):
        return
    jobs = [check_of(upload.id) for upload in _own_uploads(request)]
    if not any(job is not None and job.staged_id == staged_id for job in jobs):
        raise AppError("CL-1223", "This staged dataset no longer exists. Add the file again.")


@require_POST
@csrf_protect
def ticket(request: HttpRequest) -> HttpResponse:
    """Exchange the hub's ticket for this browser's right to add."""
    access.redeem_ticket(request, str(_body(request).get("ticket", "")))
    return JsonResponse({"may_add": True})


@require_POST
@access.needs_add
def begin(request: HttpRequest) -> HttpResponse:
    """Start an upload, or find the one that was cut."""
    body = _body(request)
    size, changed = _whole(body, "size"), _whole(body, "changed", 0)
    name, owner = str(body.get("name", "")), access.owner_of(request)
    held = [known for known in _own_uploads(request) if not known.refused]
    if not any(changed and (known.name, known.size, known.changed) == (name, size, changed) for known in held):
        access.start_file(request, len(held))
    used = site().datasets.used_bytes()
    upload = site().uploads.begin(name, size, changed=changed, used_bytes=used, owner=owner)
    return JsonResponse(site().uploads.to_dict(upload))


def _whole(body: dict[str, Any], key: str, default: int | None = None) -> int:
    value = body.get(key, default)
    if type(value) is not int:
        raise AppError("CL-1001", f"{key}: must be a whole number.")
    return value


@require_http_methods(["GET", "PUT", "DELETE"])
@access.needs_add
def upload(request: HttpRequest, upload_id: str) -> HttpResponse:
    """Where an upload stands; one more chunk; or forget it."""
    store = site().uploads
    _own_upload(request, upload_id)
    if request.method == "DELETE":
        store.remove(upload_id)
        job = check_of(upload_id)
        if job is not None and job.staged_id:
            with suppress(AppError):  # confirmed or discarded already
                site().datasets.discard(job.staged_id)
        return JsonResponse({})
    if request.method == "PUT":
        try:
            offset = int(request.GET.get("offset", ""))
        except ValueError:
            raise AppError("CL-1221") from None
        sha256 = request.headers.get("X-Chunk-SHA256", "")
        return JsonResponse(store.to_dict(store.append(upload_id, offset, request.body, sha256)))
    return JsonResponse(store.to_dict(store.get(upload_id)))


@require_safe
@access.needs_add
def columns(request: HttpRequest, upload_id: str) -> HttpResponse:
    """The columns of a finished upload, and the mapping that suggests itself."""
    name = _own_upload(request, upload_id).name
    try:
        source, found = columns_of_file(site().uploads.finished(upload_id), name)
    except AppError as error:
        _mark(upload_id, error.code)
        raise
    return JsonResponse({"source": source, "columns": found, "mapping": guess_mapping(found)})


def _mark(upload_id: str, code: str) -> None:
    """A file that cannot be used as it is no longer counts as one of the link's."""
    if code in _UNUSABLE:
        site().uploads.refuse(upload_id, code)


def _note_end(refusal: AppError | None, uploads: dict[str, str]) -> None:
    """Mark the one of a check's `uploads` (file → id) whose own bytes were refused; take the marks off that passed."""
    if refusal is None:
        for upload_id in uploads.values():
            site().uploads.clear(upload_id)
        return
    file = refusal.details.get("file")  # none: another mapping may do, or the check's process died of one of them
    if file is None and refusal.code == "CL-1227" and len(uploads) == 1:
        file = "train"
    if file in uploads:
        _mark(uploads[file], refusal.code)


@require_http_methods(["GET", "POST"])
@access.needs_add
def check(request: HttpRequest, upload_id: str) -> HttpResponse:
    """Start the check of every row (POST), or tell how far it is (GET)."""
    _own_upload(request, upload_id)
    if request.method == "GET":
        job = check_of(upload_id)
        return JsonResponse(job.to_dict() if job else {"done": False, "rows": 0, "staged_id": "", "error": None})
    body = _body(request)
    store = site().uploads
    options: dict[str, Any] = {"name": store.get(upload_id).name, "eval_fraction": _fraction(body)}
    options["quota"] = store.quota
    files = {"train": upload_id}
    if mapping := body.get("mapping"):
        if not isinstance(mapping, dict):
            raise AppError("CL-1001", "mapping: must be an object of roles and columns.")
        options["mapping"] = {str(role): str(column) for role, column in mapping.items() if column}
    if heldout := str(body.get("heldout_upload") or ""):
        options |= {"heldout_name": _own_upload(request, heldout).name, "heldout": store.finished(heldout)}
        files["heldout"] = heldout
    if model_id := str(body.get("model") or ""):
        options |= {"model_folder": ModelRegistry(site().home).folder_of(model_id), "tokenizer": model_id}
    path, note = store.finished(upload_id), partial(_note_end, uploads=files)
    job = start_check(upload_id, site().datasets, path, on_end=note, **options)
    return JsonResponse(job.to_dict(), status=202)


def _fraction(body: dict[str, Any]) -> float:
    value = body.get("eval_fraction", 0.1)
    if not isinstance(value, int | float) or not 0 <= value <= 0.5:
        raise AppError("CL-1001", "eval_fraction: must be a number from 0 to 0.5.")
    return float(value)


@require_safe
@access.needs_add
def staged(request: HttpRequest, staged_id: str) -> HttpResponse:
    """The report of the check: counts, bad lines by number, token lengths. No row is shown."""
    _own_staged(request, staged_id)
    report = site().datasets.staged_report(staged_id)
    problems = [problem | {"title": CATALOGUE[problem["code"]].title} for problem in report["problems"]]
    kinds = [(code, count, CATALOGUE[code]) for code, count in sorted(report["problem_counts"].items())]
    lengths = report["histogram"] or {"edges": [0], "counts": []}
    context = {
        "report": report,
        "problems": problems,
        "kinds": kinds,
        "staged_id": staged_id,
        "histogram": _bars(lengths),
        "tallest": max(lengths["counts"], default=1),
        "name": _suggested_name(staged_id),
        "longer": [Longer(**one) for one in report.get("longer", [])],
        "few_heldout": _few_heldout(report["heldout_rows"]),
    }
    return render(request, "console/staged.html", context)


def _few_heldout(rows: int) -> str:
    """What follows from few held-out rows; empty where they suffice."""
    if rows >= LEAST_MEASURED:
        return ""
    held = f"{rows or 'No'} row{' is' if rows == 1 else 's are'} held out"
    return f"{held}: a finished adapter is measured on at least {LEAST_MEASURED}."


def _bars(lengths: dict[str, list[int]]) -> list[tuple[int, int]]:
    """(longest length, rows) of each bucket, from the first that holds a row."""
    bars = list(zip(lengths["edges"][1:], lengths["counts"], strict=True))
    first = next((place for place, (_, count) in enumerate(bars) if count), 0)
    return bars[first:]


def _suggested_name(staged_id: str) -> str:
    """The file's name without its ending, if the hub may see such a name."""
    for known in site().uploads.all():
        job = check_of(known.id)
        stem = known.name.rsplit(".", 1)[0][:80]
        if job is not None and job.staged_id == staged_id and NAME.fullmatch(stem):
            return stem
    return ""


@require_POST
@access.needs_add
def propose(request: HttpRequest, staged_id: str) -> HttpResponse:
    """The exact metadata that would leave, for the confirmation panel."""
    metadata = _metadata(request, staged_id)
    context = {"metadata": metadata.model_dump_json(indent=2), "note": site().datasets.note(metadata)}
    return render(request, "console/_leaves.html", context)


def _metadata(request: HttpRequest, staged_id: str) -> DatasetMetadata:
    _own_staged(request, staged_id)
    return site().datasets.propose(
        staged_id,
        request.POST.get("name", "").strip(),
        with_lengths="with_lengths" in request.POST,
        with_columns="with_columns" in request.POST,
        with_labels="with_labels" in request.POST,
    )


@require_POST
@access.needs_add
def confirm(request: HttpRequest, staged_id: str) -> HttpResponse:
    """Store the version, and send its metadata. If the hub is away, it is sent later; nothing is lost."""
    metadata = _metadata(request, staged_id)
    stored = site().datasets.confirm(staged_id, metadata)
    _forget_upload_of(staged_id)
    access.end_adding(request)
    problem = _send(stored)
    context = {"metadata": metadata, "problem": problem, "text": metadata.model_dump_json(indent=2)}
    return render(request, "console/added.html", context)


def _forget_upload_of(staged_id: str) -> None:
    """Remove the file that a staged dataset came from: nothing is left of it to add."""
    for known in site().uploads.all():
        job = check_of(known.id)
        if job is not None and job.staged_id == staged_id:
            site().uploads.remove(known.id)


def _send(stored: StoredDataset) -> AppError | None:
    """Tell the hub now; what stands in the way is shown, and the agent tries again by itself."""
    try:
        hub = HubClient.of(site().home)
    except AppError as error:
        return error
    try:
        register(stored, hub)
    except AppError as error:
        return error
    finally:
        hub.close()
    return None


@require_POST
@access.needs_add
def discard(request: HttpRequest, staged_id: str) -> HttpResponse:
    """Forget a staged dataset."""
    _own_staged(request, staged_id)
    site().datasets.discard(staged_id)
    _forget_upload_of(staged_id)
    return redirect("console:add")
