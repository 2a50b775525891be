"""A run whose task is to tell labels equals the unsplit PEFT run to the last bit, and its adapter is a classifier's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, OlmoeConfig

import splitcore
from splitcore import RunConfig
from splitcore.adapters.lora import adapter_layout
from splitcore.adapters.merge import merge_adapter
from splitcore.control.events import EvaluationFinished, Event, SampleWritten
from splitcore.data.scores import Scores
from splitcore.errors import AppError
from splitcore.models.classifier import classifier_config
from splitcore.models.loading import read_config
from splitcore.models.tests.tiny import save_tokenizer
from splitcore.planning import estimate
from splitcore.planning.measure import measure_folder
from splitcore.training.tests.conftest import STEPS, run_config

Model = Callable[[str], Path]
ADAPTER = "adapter_model.safetensors"
LABELS = ["cold", "hot", "mild"]
_WORDS = {"cold": "ice snow", "hot": "sun fire", "mild": "spring"}


def labelled(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Texts of different lengths, each with the label that its words tell."""
    labels = [LABELS[place * 7 % 3] for place in range(first, first + count)]
    return [{"text": f"{_WORDS[one]}{'!' * (place % 5)} {place}", "label": one} for place, one in enumerate(labels)]


def sequence_config(folder: Path, **changes: Any) -> RunConfig:
    data = {"task": {"name": "sequence", "labels": LABELS}}
    return run_config(folder, data=data, **changes)


def save_without_classifier(folder: Path) -> Path:
    """A decoder of whose type the library has no classifier."""
    sizes = {"vocab_size": 264, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 5, "num_experts": 2}
    config = OlmoeConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, num_experts_per_tok=1, pad_token_id=0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("micro_batches", [1, 4])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_split_equals_the_unsplit_classifier_of_plain_peft(
    family: str, topology: str, micro_batches: int, model: Model, tmp_path: Path
) -> None:
    config = sequence_config(model(family), split={"topology": topology}, training={"micro_batches": micro_batches})
    held_out = labelled(9, first=50)
    split = splitcore.fine_tune(config, {"a": labelled(10)}, out=tmp_path / "split", eval_rows=held_out)
    whole = splitcore.fine_tune_unsplit(config, {"a": labelled(10)}, out=tmp_path / "whole", eval_rows=held_out)
    assert len(split.train_losses["a"]) == STEPS
    assert split.train_losses == whole.train_losses
    assert split.eval_losses == whole.eval_losses
    assert split.eval_scores == whole.eval_scores
    assert [step for step, _ in split.eval_scores] == [0, 10, 20]
    for folder in ("initial_adapter", "adapter"):
        ours, theirs = (load_file(tmp_path / run / folder / ADAPTER) for run in ("split", "whole"))
        assert ours.keys() == theirs.keys()
        assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) == 0.0
    initial, final = (load_file(tmp_path / "split" / one / ADAPTER) for one in ("initial_adapter", "adapter"))
    assert not torch.equal(initial["base_model.model.score.weight"], final["base_model.model.score.weight"])
    assert final["base_model.model.score.weight"].shape == (3, 16)


@pytest.mark.integration
def test_split_over_grpc_processes_equals_unsplit(model: Model, tmp_path: Path) -> None:
    config = sequence_config(model("llama"), training={"micro_batches": 2})
    held_out = labelled(9, first=50)
    split = splitcore.fine_tune(
        config, {"a": labelled(10)}, out=tmp_path / "split", eval_rows=held_out, transport="grpc"
    )
    whole = splitcore.fine_tune_unsplit(config, {"a": labelled(10)}, out=tmp_path / "whole", eval_rows=held_out)
    assert (split.train_losses, split.eval_scores) == (whole.train_losses, whole.eval_scores)
    ours, theirs = (load_file(tmp_path / run / "adapter" / ADAPTER) for run in ("split", "whole"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_plain_peft_loads_the_adapter_as_a_classifier_that_tells_the_same_labels(
    family: str, dtype: str, model: Model, tmp_path: Path
) -> None:
    config = sequence_config(model(family), model={"dtype": dtype}, training={"learning_rate": 0.02})
    held_out = labelled(12, first=50)
    result = splitcore.fine_tune(config, {"a": labelled(12)}, out=tmp_path, eval_rows=held_out)
    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (written["task_type"], written["modules_to_save"]) == ("SEQ_CLS", ["score"])
    base = AutoModelForSequenceClassification.from_pretrained(model(family), num_labels=3)
    tokenizer = AutoTokenizer.from_pretrained(model(family))
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    inputs = tokenizer([row["text"] for row in held_out], return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        told = loaded(**inputs).logits.argmax(dim=-1).tolist()
    own = [LABELS.index(row["label"]) for row in held_out]
    scores = Scores.of(zip(own, told, strict=True))
    assert result.eval_scores[-1] == (STEPS, scores)
    assert scores.accuracy > result.eval_scores[0][1].accuracy


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_two_parties_train_one_head_and_prompts_are_answered_with_labels(
    topology: str, model: Model, tmp_path: Path
) -> None:
    events: list[Event] = []
    config = sequence_config(model("llama"), split={"topology": topology}, training={"steps": 4, "eval_every": 0})
    shards = {"a": labelled(10), "b": labelled(8, first=20)}
    held_out = {"a": labelled(9, first=50), "b": labelled(8, first=70)}
    result = splitcore.fine_tune(
        config, shards, out=tmp_path, eval_rows=held_out, sample_prompts=["sun", "ice and snow"], on_event=events.append
    )
    answers = [event.text for event in events if isinstance(event, SampleWritten)]
    assert len(answers) == 4
    assert set(answers) <= set(LABELS)
    told = {e.party: e for e in events if isinstance(e, EvaluationFinished) and e.step == 4}
    assert {party: event.rows for party, event in told.items()} == {"a": 9, "b": 8}
    weighted = sum((event.accuracy or 0.0) * event.rows for event in told.values()) / 17
    assert result.eval_scores[-1][1].accuracy == pytest.approx(weighted)
    assert load_file(tmp_path / "adapter" / ADAPTER)["base_model.model.score.weight"].shape == (3, 16)


def test_of_fewer_than_eight_held_out_rows_no_share_is_told(model: Model, tmp_path: Path) -> None:
    config = sequence_config(model("llama"), training={"steps": 1})
    result = splitcore.fine_tune(config, {"a": labelled(6)}, out=tmp_path, eval_rows=labelled(7, first=50))
    assert len(result.eval_losses) == 2
    assert result.eval_scores == []


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"text": "sun"}, "CL-1240"),
        ({"text": "sun", "label": "warm"}, "CL-1241"),
        ({"text": " ", "label": "hot"}, "CL-1202"),
        ({"prompt": "sun", "completion": "hot"}, "CL-1201"),
    ],
)
def test_a_row_that_has_none_of_the_labels_is_refused_without_its_content(
    row: dict[str, Any], code: str, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(AppError, match=code) as caught:
        splitcore.fine_tune(sequence_config(model("llama")), {"a": [*labelled(2), row]}, out=tmp_path)
    assert caught.value.details["row"] == 3
    assert "sun" not in str(caught.value)


def test_a_model_without_such_a_head_is_refused(tmp_path: Path) -> None:
    folder = save_without_classifier(tmp_path / "model")
    with pytest.raises(AppError, match="CL-1109"):
        splitcore.fine_tune(sequence_config(folder), {"a": labelled(4)}, out=tmp_path / "run")


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_the_planned_adapter_is_the_one_that_is_trained(family: str, topology: str, model: Model) -> None:
    config = sequence_config(model(family), split={"topology": topology})
    plan = estimate(config, measure_folder(model(family)))
    layout = adapter_layout(classifier_config(read_config(model(family)), 3), config.lora)
    assert plan.adapter_parameters == sum(math.prod(shape) for shape in layout.shapes.values())


def test_merged_into_its_base_the_adapter_is_an_ordinary_classifier(model: Model, tmp_path: Path) -> None:
    config = sequence_config(model("qwen3"), training={"steps": 3})
    splitcore.fine_tune(config, {"a": labelled(8)}, out=tmp_path / "run")
    merge_adapter(tmp_path / "run" / "adapter", model("qwen3"), tmp_path / "merged")
    ids_BL = torch.randint(3, 250, (2, 7), generator=torch.Generator().manual_seed(0))
    base = AutoModelForSequenceClassification.from_pretrained(model("qwen3"), num_labels=3)
    with torch.no_grad():
        tuned = PeftModel.from_pretrained(base, str(tmp_path / "run" / "adapter")).eval()(input_ids=ids_BL).logits
        merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").eval()(input_ids=ids_BL).logits
    assert torch.allclose(tuned, merged, atol=1e-5)
