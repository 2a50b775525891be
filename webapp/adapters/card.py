"""The model card of an adapter: what was done, as it is on record, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from interface.formatting import human_bytes, human_duration, human_number
from splitcore.bounds import plain_line
from splitcore.config import RunConfig, config_read
from splitcore.flows import Cast, Thing
from splitcore.flows.sentences import sentences_of
from webapp.adapters.models import Adapter
from webapp.runs.configure.values import labels_of
from webapp.runs.contract import config_agreed, contract_read
from workers.contracts import ContractDocument, Role

SNIPPET = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}  # or the folder that holds this model
tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoModelForCausalLM.from_pretrained(base{revision})
model = PeftModel.from_pretrained(model, {folder}).eval()

inputs = tokenizer({prompt}, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(tokenizer.decode(output[0], skip_special_tokens=True))
"""

CLASSIFIER = """from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

base = {base}  # or the folder that holds this model
labels = {labels}
tokenizer = AutoTokenizer.from_pretrained({tokenizer})
model = AutoModelForSequenceClassification.from_pretrained(base{revision}, num_labels=len(labels))
model.config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
model = PeftModel.from_pretrained(model, {folder}).eval()

inputs = tokenizer({prompt}, return_tensors="pt")
output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
print(labels[int(output.logits.argmax())])
"""


def snippet(adapter: Adapter, folder: str = ".") -> str:
    """The Python text that uses the adapter; `folder` is where the archive was unpacked.

    The tokenizer comes from there too, where the archive holds one that loads without the base model.
    """
    config = RunConfig.parse(adapter.run.config)
    revision = f", revision={_literal(config.model.revision)}" if config.model.revision else ""
    prompts, labels = adapter.run.public_prompts, labels_of(adapter.run.config)
    return (CLASSIFIER if labels else SNIPPET).format(
        labels=json.dumps(labels, ensure_ascii=False),
        base=_literal(config.model.name_or_path),
        revision=revision,
        tokenizer=_literal(folder) if adapter.provenance.get("tokenizer_stands_alone") else f"base{revision}",
        folder=_literal(folder),
        prompt=_literal(prompts[0] if prompts else "Hello"),
    )


def _literal(text: str) -> str:
    """A text as a literal of Python: whoever wrote it, it stays a text in the program that people paste."""
    return json.dumps(text, ensure_ascii=False)


def _code(text: str) -> str:
    """A text as a code span of Markdown: whoever wrote it, no markup and no HTML comes of it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " * (longest > 0)
    return f"{fence}{space}{text}{space}{fence}"


def tokenizer_sentence(adapter: Adapter) -> str:
    """Where the tokenizer is."""
    if adapter.provenance.get("tokenizer"):
        return "The tokenizer is the base model's own, unchanged. Its files are next to the adapter."
    return (
        "The archive has no tokenizer, because no worker sent the base model's. "
        "Load it from the base model, which is unchanged."
    )


def _front_matter(config: RunConfig) -> str:
    data = {
        "base_model": config.model.name_or_path,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-classification" if config.data.task.classes else "text-generation",
        "tags": ["lora", "peft", "split-learning", "cutlayer"],
    }
    return "---\n" + yaml.safe_dump(data, sort_keys=False) + "---\n"


def _parties(document: ContractDocument) -> str:
    u_shape = config_read(document.config, document.contract_version).split.topology == "u_shape"
    names = {
        Role.CLIENT: f"contributed data and held the first {'and last ' if u_shape else ''}layers",
        Role.SERVER: f"computed the {'layers in between' if u_shape else 'other layers and the loss'}",
        Role.EVALUATOR: "measured the result",
    }
    lines = [
        f"- {plain_line(p.organisation)} {names[p.role]}"
        + (f" (dataset {plain_line(p.dataset)}, version {p.dataset_version})" if p.dataset else "")
        + "."
        for p in document.participants
    ]
    return "\n".join(lines)


def _evaluation(adapter: Adapter) -> str:
    if not adapter.evaluation:
        return "No organisation has reported an evaluation of this adapter."
    is_scored = bool(labels_of(adapter.run.config))
    match = "accuracy" if is_scored else "exact match"
    head = f"| organisation | rows | loss, base | loss, tuned | {match}, base | {match}, tuned |"
    head += f"{' macro-F1, base | macro-F1, tuned |' * is_scored}\n"
    head += f"|---|---:|---:|---:|---:|---:|{'---:|---:|' * is_scored}\n"
    document = contract_read(adapter.run.contract)
    names = {p.party: plain_line(p.organisation).replace("|", " ") for p in document.participants} if document else {}
    rows = [
        f"| {names.get(party, party)} | {e['rows']} | {human_number(e['base_loss'], 4)} | {human_number(e['loss'], 4)}"
        f" | {e['base_exact_match']:.3f} | {e['exact_match']:.3f} |"
        + (f" {_score(e, 'base_macro_f1')} | {_score(e, 'macro_f1')} |" if is_scored else "")
        for party, e in sorted(adapter.evaluation.items())
    ]
    return head + "\n".join(rows)


def _score(result: Mapping[str, Any], name: str) -> str:
    """A score; an older worker reports none."""
    return "not reported" if result.get(name) is None else f"{result[name]:.3f}"


def _labels(labels: Sequence[str]) -> str:
    """What a classifier tells, with the labels in the order of the head's rows; empty without labels."""
    names = ", ".join(f"{place}: {_code(name)}" for place, name in enumerate(labels))
    return f"It tells the label of a text, by a classification head next to it. Labels: {names}.\n" if labels else ""


# Of all that left, what can tell of the text.
_TELLING = (Thing.LABELS, Thing.ACTIVATIONS, Thing.CUT_GRADIENTS, Thing.ENDS, Thing.ANSWERS, Thing.RESULT)


def _privacy(config: RunConfig, document: ContractDocument | None) -> str:
    """What left the organisations, in the contract's words."""
    parts = document.participants if document else []
    clients = {part.party: plain_line(part.organisation) for part in parts if part.role is Role.CLIENT}
    server = next((plain_line(part.organisation) for part in parts if part.role is Role.SERVER), "")
    cast = Cast(clients, server, bool(document and document.public_prompts))
    lines = "\n".join(f"- {line}" for line in sentences_of(config, cast, _TELLING))
    defences = ", ".join(str(defence) for defence in config.privacy.defences)
    return (
        "Rows of the datasets stayed with the organisations that own them."
        f" {f'With {defences}' if defences else 'Without a defence at the cut'}, the following left them and may "
        f"reveal something about the text:\n\n{lines}\n\n"
        "Like any fine-tuned model, the adapter may reveal text that it was trained on."
    )


def model_card(adapter: Adapter) -> str:
    """README.md of the archive."""
    run = adapter.run
    config = config_agreed(run)
    document = contract_read(run.contract)
    moved = run.summary.get("bytes") or {}
    started, ended = run.started_at, adapter.created_at
    revision = f" at revision `{config.model.revision}`" if config.model.revision else ""
    loss = [run.summary.get(name) for name in ("loss_before", "loss_after")]
    losses = f"Held-out loss {loss[0]:.4f} before and {loss[1]:.4f} after training." if None not in loss else ""
    return f"""{_front_matter(config)}
# {plain_line(run.name)}{f" ({adapter.party})" if adapter.party else ""}

A LoRA adapter for `{config.model.name_or_path}`{revision}, fine-tuned by split learning across organisations
with Cutlayer. Project: {plain_line(run.project.name)}. Run: `{run.id}`. Contract: `{run.contract_hash}`.
{_labels(labels_of(run.config))}{tokenizer_sentence(adapter)}

## Use

```python
{snippet(adapter)}```

## Who took part

{_parties(document) if document else "The contract isn't available."}

## Training

{human_number(run.step)} optimiser steps, LoRA rank {config.lora.rank}, alpha {config.lora.alpha:g}, learning rate
{config.training.learning_rate:g}; topology {config.split.topology}, {config.split.head_layers} head layers,
{config.split.tail_layers} tail layers, {config.schedule.words()}.
{f"It took {human_duration((ended - started).total_seconds())}. " if started else ""}{losses}
Traffic of the training steps, without evaluations:
{human_bytes(moved.get("uplink"))} to the compute organisation, {human_bytes(moved.get("downlink"))} back,
as {config.wire.activations} activations and {config.wire.gradients} gradients. All settings: `training_config.yaml`;
every step: `metrics.csv`.

## Evaluation

Each data organisation measured the adapter on its own held-out rows, on its own machine.

{_evaluation(adapter)}

## Privacy

{_privacy(config, document)}

## Limitations

The adapter was evaluated only on the held-out rows above. The licence of the base model applies.
"""
