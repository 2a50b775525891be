"""The check of a joined adapter at a recipient's site: it is loaded as anybody would load it, and measured.

Every key must have its place and every value must be finite; then plain PEFT on the full local base model answers the
site's own held-out rows, once without and once with the adapter. Numbers leave the machine, rows and answers do not.

Shapes: B rows, L tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy

from splitcore.adapters.lora import initialise
from splitcore.adapters.verify import read_lora
from splitcore.bounds import plain
from splitcore.config import RunConfig, canonical_json
from splitcore.data.batches import collate, padding_id
from splitcore.data.rows import Row, RowError, check_row
from splitcore.data.sampling import drawn
from splitcore.data.scores import Scores
from splitcore.data.tokenise import IGNORED, Encoded, encode_row, rows_with_target
from splitcore.errors import AppError
from splitcore.evaluate.answers import Question, count_exact
from splitcore.models.loading import load_whole, read_tokenizer
from splitcore.optimise.loss import loss_sum
from workers.contracts import Check, EvaluationResult
from workers.data.rows import LEAST_MEASURED
from workers.data.store import DatasetStore
from workers.jobs.kinds.verify.loading import ok
from workers.jobs.rows import rows_of
from workers.jobs.setting import JobSetting
from workers.outbox.measurements import Measurements, Selection
from workers.policy import SitePolicy

BATCH = 16
ROWS = 512  # at most so many held-out rows are measured
NEW_TOKENS = 256


@dataclass(frozen=True)
class Measured:
    """A model on the held-out rows."""

    loss: float
    exact_match: float  # of a task with labels, its accuracy
    tokens: int
    macro_f1: float | None = None


def rounded(figure: float) -> float:
    """What leaves of a measurement: four significant digits say how good an adapter is, and little of one row."""
    return float(f"{figure:.4g}")


def _rounded_if_any(figure: float | None) -> float | None:
    return None if figure is None else rounded(figure)


def measure_adapter(setting: JobSetting, folder: Path, adapter: Path) -> tuple[EvaluationResult | None, list[Check]]:
    """Base and tuned model on this site's held-out rows."""
    config = setting.config.for_party(setting.own.party)
    held = held_out_rows(setting)
    measured = drawn(held, ROWS)
    raw: Sequence[Mapping[str, Any]] = [row for place, row in enumerate(held) if place in measured]
    if not raw:
        return None, [Check(name="Evaluation", status="warning", detail="The dataset has no held-out rows.")]
    tokenizer = read_tokenizer(folder)
    # before it is asked whether so many may be measured: the contract's length decides how many have a target
    try:
        raw = rows_with_target(raw, tokenizer, config.data, config.training.max_length)
    except RowError as error:  # an evaluator's rows, which no half has looked at
        return None, [Check(name="Evaluation", status="warning", detail=plain(error.message), code=error.code)]
    if problem := _tells_of_single_rows(setting, raw):
        return None, [Check(name="Evaluation", status="warning", detail=problem, code="CL-1435")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = [check_row(row, config.data.columns) for row in raw]
    base = load_whole(folder, config.model, classes=config.data.task.classes, device=device)
    if config.data.task.classes:
        initialise(base, config.training.seed)  # its head before the first step
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
        base_macro_f1=_rounded_if_any(before.macro_f1),
        macro_f1=_rounded_if_any(after.macro_f1),
    )
    return result, [_finite_loss(after), _same_as_split(setting, config, after)]


def _tells_of_single_rows(setting: JobSetting, rows: Sequence[Mapping[str, Any]]) -> str:
    """Why these rows are not measured, if they aren't: a hub makes as many contracts as it likes, at no cost."""
    if len(rows) < LEAST_MEASURED:
        # not how many: a hub that tries one `max_length` after the other would count the prompts of each length
        few = f"Fewer than {LEAST_MEASURED} held-out rows can be measured."
        return f"{few} Their figures would reveal single rows."
    limit = SitePolicy.load(setting.home.policy_file).evaluations_per_day
    assignment = setting.spec.assignment
    marks = marks_of(rows, DatasetStore(setting.home.root).key)
    selection = Selection(setting.own.dataset_digest, assignment.contract_hash, assignment.adapter_sha256, marks)
    if Measurements(setting.home.spool_file).may_measure_rows(selection, limit=limit, least=LEAST_MEASURED):
        return ""
    return (
        f"This site evaluates at most {limit} adapters on one dataset in 24 hours, and never on rows that differ "
        f"by fewer than {LEAST_MEASURED} from those of an earlier evaluation."
    )


def marks_of(rows: Sequence[Mapping[str, Any]], key: bytes) -> list[str]:
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

    Plain text has no answer to compare; a row whose answer is cut off counts as not answered.
    """
    model.eval()
    if config.data.task.classes:
        return _measure_labels(model, tokenizer, rows, config)
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
            if not row.is_text and (answer := _answer(row, tokenizer, config)) is not None:
                asked.append((Question.of(answer, row.completion), likeliest_L))
    right = count_exact(model, tokenizer, asked, batch_size=BATCH, most_tokens=NEW_TOKENS)
    return Measured(total / max(1, tokens), right / len(rows), tokens)


def _measure_labels(model: Any, tokenizer: Any, rows: Sequence[Row], config: RunConfig) -> Measured:
    """Mean loss a row, and how well the labels are told, by the library's own classifier."""
    total = 0.0
    told: list[tuple[int, int]] = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        encoded = [encode_row(row, tokenizer, config.data, config.training.max_length) for row in part]
        batch = collate(encoded, padding=padding_id(tokenizer), device=str(model.device))
        labels_B = batch.labels_BL[batch.labels_BL != IGNORED]
        with torch.inference_mode():
            logits_BK = model(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits.float()
        total += float(cross_entropy(logits_BK, labels_B, reduction="sum"))
        told += zip(labels_B.tolist(), logits_BK.argmax(dim=-1).tolist(), strict=True)
    scores = Scores.of(told)
    return Measured(total / len(rows), scores.accuracy, len(rows), scores.macro_f1)


def _answer(row: Row, tokenizer: Any, config: RunConfig) -> Encoded | None:
    """A row with labels on its answer alone; None where the prompt fills the row, of which all tokens count."""
    data = config.data.model_copy(update={"loss_on": "completion"})
    try:
        return encode_row(row, tokenizer, data, config.training.max_length)
    except RowError as error:
        if error.code != "CL-1203":
            raise
        return None


def _finite_loss(measured: Measured) -> Check:
    """An adapter whose loss is not a number is of no use, however well it loads."""
    name = "Loss on held-out rows"
    if not math.isfinite(measured.loss):
        return Check(name=name, status="failed", detail="The adapter's loss is not finite.", code="CL-1703")
    return ok(name, "The adapter's loss on the held-out rows is finite.")


def _same_as_split(setting: JobSetting, config: RunConfig, measured: Measured) -> Check:
    """The joined adapter on the whole model against the last evaluation through the split pipeline."""
    name = "Same as the split model"
    reported = Measurements(setting.home.spool_file).last_evaluation(setting.spec.assignment.participant_id)
    if reported is None:
        return ok(name, "The split model reported no final loss on these rows, so there is nothing to compare.")
    if config.privacy.defences:
        defences = ", ".join(defence.name for defence in config.privacy.defences)
        detail = f"Held-out loss {rounded(measured.loss)}, without {defences}, which is no part of the adapter."
        return ok(name, f"{detail} The split model, with it at the cut, reported {rounded(reported)}: not compared.")
    difference = abs(reported - measured.loss)
    limit = config.wire.activations.tolerance()  # no gradient crosses in an evaluation
    detail = f"Held-out loss {rounded(measured.loss)}; the split model reported {rounded(reported)}."
    if not difference <= limit:
        return Check(name=name, status="failed", detail=detail, code="CL-1703")
    return ok(name, detail)
