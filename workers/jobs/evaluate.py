"""The check of a joined adapter at a recipient's site: it is loaded as anybody would load it, and measured.

Every key must have its place and every value must be finite; then plain PEFT on the full local base model answers the
site's own held-out rows, once without and once with the adapter. Numbers leave the machine, rows and answers do not.

Shapes: B rows, L tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
import torch
from peft import PeftModel

from splitcore.adapters.peft_config import Terms
from splitcore.adapters.verify import read_lora, verify_loads
from splitcore.bounds import plain
from splitcore.config import RunConfig, canonical_json, exchange_of
from splitcore.data.batches import collate, padding_id
from splitcore.data.rows import Row, check_row
from splitcore.data.sampling import drawn
from splitcore.data.tokenise import encode_row
from splitcore.errors import AppError
from splitcore.evaluate.answers import Question, count_exact
from splitcore.models.loading import load_whole, read_tokenizer
from splitcore.models.manifest import Manifest, verify_files, verify_folder
from splitcore.training.loss import loss_sum
from workers.agent.measurements import Measurements, Selection
from workers.contracts import Check, EvaluationResult, Phase, Role, VerifyReport
from workers.data.store import DatasetStore
from workers.hub import HubClient
from workers.jobs.client_half import rows_of
from workers.jobs.setting import JobSetting
from workers.models_registry import ModelRegistry, RegisteredModel
from workers.policy import SitePolicy

FILES = ("adapter_config.json", "adapter_model.safetensors")
BATCH = 16
ROWS = 512  # at most so many held-out rows are measured
LEAST_ROWS = 8  # figures of fewer would tell of single rows
NEW_TOKENS = 256
TIMES = 3  # a contract's adapters are measured so often: a run that fails in its last phase and is resumed has others
_ADAPTER_BYTES = 64 << 20
MEMORY_FACTOR = 1.5  # bytes needed for a byte of weights
# How far the loss may lie from what the split model reported, by the coarsest number format on the wire.
TOLERANCE = {
    "fp32": 1e-3,
    "bf16": 5e-2,
    "int8": 2e-1,
    "int6": 2e-1,
    "int5": 2.5e-1,
    "int4": 3e-1,
    "int3": 6e-1,
    "int2": 2.0,
}


@dataclass(frozen=True)
class Measured:
    """A model on the held-out rows."""

    loss: float
    exact_match: float
    tokens: int


def run_check(setting: JobSetting) -> None:
    """Check the adapter and queue the report. Raises AppError where the check itself cannot be made."""
    setting.reporter.phase(Phase.VERIFYING)
    assignment = setting.spec.assignment
    _take_place(setting)
    model = setting.base_model()
    adapter = fetch_adapter(setting)
    checks = [
        _base(model, ModelRegistry(setting.home).manifest(model.manifest_hash)),
        _keys(model.folder, adapter, terms_of(setting)),
    ]
    evaluation = None
    if all(check.status != "failed" for check in checks) and setting.own.dataset_digest:
        if model.partial:
            detail = "This machine has only its own part of the base model."
            checks.append(Check(name="Evaluation", status="warning", detail=detail))
        elif psutil.virtual_memory().available < MEMORY_FACTOR * model.bytes:
            checks.append(Check(name="Evaluation", status="warning", detail="This machine cannot hold the full model."))
        else:
            setting.reporter.phase(Phase.EVALUATING)
            evaluation, more = measure_adapter(setting, model.folder, adapter)
            checks += more
    setting.spool.post(
        run_id=assignment.run_id,
        participant_id=assignment.participant_id,
        kind="verified",
        attempt=setting.spec.attempt,
        body=VerifyReport(
            participant_id=assignment.participant_id,
            adapter_id=assignment.adapter_id,
            adapter_sha256=assignment.adapter_sha256,
            checks=checks,
            evaluation=evaluation,
        ),
    )


def _take_place(setting: JobSetting) -> None:
    """Each adapter that is measured tells something of this site's rows: the contract's own, and no others.

    A run that failed in its last phase and was resumed has other bytes than before. Raises AppError CL-1428.
    """
    if not setting.own.dataset_digest:
        return
    assignment = setting.spec.assignment
    if not Measurements(setting.home.spool_file).may_measure(
        contract_hash=assignment.contract_hash,
        party=setting.own.party,
        adapter_sha256=assignment.adapter_sha256,
        limit=TIMES * adapters_of(setting),
    ):
        raise AppError("CL-1428")


def adapters_of(setting: JobSetting) -> int:
    """How many adapters the contract gives this party to measure: one, or one per client that keeps its own."""
    clients = len(setting.clients)
    own_ends = exchange_of(setting.config.schedule, clients).own_ends
    return clients if own_ends and setting.own.role is Role.EVALUATOR else 1


def rounded(figure: float) -> float:
    """What leaves of a measurement: four significant digits say how good an adapter is, and little of one row."""
    return float(f"{figure:.4g}")


def _base(model: RegisteredModel, manifest: Manifest) -> Check:
    """Configuration, tokenizer and the tensors that lie here are the contract's. Raises AppError CL-1103, CL-1104."""
    if model.partial:
        verify_files(model.folder, manifest)
        return _ok("Base model", "Configuration and tokenizer of the base model have the contract's hashes.")
    verify_folder(model.folder, manifest)
    return _ok("Base model", "Every tensor of the local base model has the contract's hash.")


def fetch_adapter(setting: JobSetting) -> Path:
    """Download the archive, compare its hash and unpack the two files that PEFT reads. Raises AppError CL-1703."""
    assignment, archive = setting.spec.assignment, setting.folder.out / "adapter.zip"
    most = _ADAPTER_BYTES + 2 * setting.base_model().bytes  # no adapter is larger than its model, but for a tiny one's
    client = HubClient.of(setting.home, setting.worker)
    try:
        digest = client.download(assignment.adapter_url, archive, most_bytes=most)
    finally:
        client.close()
    if digest != assignment.adapter_sha256:
        raise AppError("CL-1703", "The adapter that was downloaded is not the one that was announced.")
    target = setting.folder.out / "adapter"
    target.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in FILES:  # by name: nothing else of the archive is unpacked
                with opened.open(_member(opened, name)) as source, (target / name).open("wb") as out:
                    _copy(source, out, most)
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise AppError("CL-1703", f"The archive is not an adapter ({type(error).__name__}).") from None
    return target


def _copy(source: IO[bytes], out: IO[bytes], most: int) -> None:
    """Unpack at most so many bytes, whatever the archive says of its size. Raises AppError CL-1703."""
    while chunk := source.read(1 << 20):
        most -= len(chunk)
        if most < 0:
            raise AppError("CL-1703", "The archive unpacks to more than an adapter of this model can have.")
        out.write(chunk)


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The entry of this file name, in whatever folder of the archive it lies."""
    return next(info for info in archive.infolist() if info.filename.rsplit("/", 1)[-1] == name)


def terms_of(setting: JobSetting) -> Terms:
    """What the contract says of the adapter, whichever party's it is."""
    config = setting.config
    ranks = {config.lora.rank, *(config.for_party(part.party).lora.rank for part in setting.clients)}
    return Terms(config.lora.alpha, config.lora.dropout, frozenset(ranks))


def _keys(model_folder: Path, adapter: Path, terms: Terms) -> Check:
    """Every key of the file has its place in the model and the other way round; all values are finite."""
    name = "Adapter loads"
    try:
        found = verify_loads(model_folder, adapter, terms=terms)
    except AppError as error:
        return Check(name=name, status="failed", detail=plain(error.message), code=error.code)
    if not found.ok:
        detail = (
            f"{len(found.missing)} keys missing, {len(found.unexpected)} without a place, "
            f"{len(found.mismatched)} of another shape."
        )
        return Check(name=name, status="failed", detail=detail, code="CL-1703")
    return _ok(name, f"PEFT places all {found.keys} tensors; every value is finite.")


def measure_adapter(setting: JobSetting, folder: Path, adapter: Path) -> tuple[EvaluationResult | None, list[Check]]:
    """Base and tuned model on this site's held-out rows."""
    config = setting.config.for_party(setting.own.party)
    held = held_out_rows(setting)
    measured = drawn(held, ROWS)
    raw = [row for place, row in enumerate(held) if place in measured]
    if not raw:
        return None, [Check(name="Evaluation", status="warning", detail="The dataset has no held-out rows.")]
    if problem := _tells_of_single_rows(setting, raw):
        return None, [Check(name="Evaluation", status="warning", detail=problem, code="CL-1435")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = read_tokenizer(folder)
    rows = [check_row(row, config.data.columns) for row in raw]
    base = load_whole(folder, config.model, device=device)
    before = measure(base, tokenizer, rows, config)
    tuned = PeftModel.from_pretrained(base, str(adapter), config=read_lora(adapter))
    after = measure(tuned, tokenizer, rows, config)
    result = EvaluationResult(
        base_loss=rounded(before.loss),
        base_exact_match=rounded(before.exact_match),
        loss=rounded(after.loss),
        exact_match=rounded(after.exact_match),
        rows=len(rows),
        tokens=after.tokens,
    )
    return result, [_finite_loss(after), _same_as_split(setting, config, after)]


def _tells_of_single_rows(setting: JobSetting, rows: Sequence[dict[str, Any]]) -> str:
    """Why these rows are not measured, if they aren't: a hub makes as many contracts as it likes, at no cost."""
    if len(rows) < LEAST_ROWS:
        return f"{len(rows)} held-out rows are too few: the figures would tell of single rows. {LEAST_ROWS} are needed."
    limit = SitePolicy.load(setting.home.policy_file).evaluations_per_day
    assignment = setting.spec.assignment
    marks = marks_of(rows, DatasetStore(setting.home.root).key)
    selection = Selection(setting.own.dataset_digest, assignment.contract_hash, assignment.adapter_sha256, marks)
    if Measurements(setting.home.spool_file).may_measure_rows(selection, limit=limit, least=LEAST_ROWS):
        return ""
    return (
        f"This site measures {limit} adapters on one dataset in 24 hours, and no rows that differ by fewer than"
        f" {LEAST_ROWS} from those of an earlier measurement."
    )


def marks_of(rows: Sequence[dict[str, Any]], key: bytes) -> list[str]:
    """A short hash for each row, under the site's own key; rows with the same text get different ones."""
    seen: Counter[str] = Counter()
    marks = []
    for row in rows:
        text = canonical_json(row)
        marks.append(hashlib.blake2b(f"{seen[text]}\0{text}".encode(), key=key, digest_size=8).hexdigest())
        seen[text] += 1
    return marks


def held_out_rows(setting: JobSetting) -> list[dict[str, Any]]:
    """The rows that took no part in training; an evaluator's dataset may be held out as a whole."""
    try:
        return rows_of(setting)[1]
    except AppError as error:
        if error.code != "CL-1205":
            raise
        return list(DatasetStore(setting.home.root).open(setting.own.dataset_digest).heldout_rows())


def measure(model: Any, tokenizer: Any, rows: Sequence[Row], config: RunConfig) -> Measured:
    """Mean loss a target token, as in training, and the share of rows answered exactly (greedy).

    Plain text has no answer to compare.
    """
    model.eval()
    data = config.data.model_copy(update={"loss_on": "completion"})
    total, tokens = 0.0, 0
    asked: list[tuple[Question, list[int]]] = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        encoded = [encode_row(row, tokenizer, config.data, config.training.max_length) for row in part]
        batch = collate(encoded, padding=padding_id(tokenizer), device=str(model.device))
        with torch.inference_mode():
            logits_BLV = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits
        total, tokens = total + float(loss_sum(logits_BLV, batch.labels_BL)), tokens + batch.targets
        for row, likeliest_L in zip(part, logits_BLV.argmax(-1).tolist(), strict=True):
            if not row.is_text:
                answer = encode_row(row, tokenizer, data, config.training.max_length)
                asked.append((Question.of(answer, row.completion), likeliest_L))
    right = count_exact(model, tokenizer, asked, batch_size=BATCH, most_tokens=NEW_TOKENS)
    return Measured(total / max(1, tokens), right / len(rows), tokens)


def _finite_loss(measured: Measured) -> Check:
    """An adapter whose loss is not a number is of no use, however well it loads."""
    name = "Loss on held-out rows"
    if not math.isfinite(measured.loss):
        return Check(name=name, status="failed", detail="The adapter's loss is not finite.", code="CL-1703")
    return _ok(name, "The adapter's loss on the held-out rows is finite.")


def _same_as_split(setting: JobSetting, config: RunConfig, measured: Measured) -> Check:
    """The joined adapter on the whole model against the last evaluation through the split pipeline."""
    name = "Same as the split model"
    reported = setting.spool.last_evaluation(setting.spec.assignment.participant_id)
    if reported is None:
        return _ok(name, "The split model reported no last loss on these rows, so there is nothing to compare.")
    difference = abs(reported - measured.loss)
    limit = TOLERANCE[config.wire.activations]  # no gradient crosses in an evaluation
    detail = f"Held-out loss {rounded(measured.loss)}; the split model reported {rounded(reported)}."
    if not difference <= limit:
        return Check(name=name, status="failed", detail=detail, code="CL-1703")
    return _ok(name, detail)


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)
