"""Every causal-LM type that the library registers: split exactly, or refused with its reason."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from splitcore.adapters.lora import adapter_layout, adapter_parameters, place
from splitcore.config import LoraSection
from splitcore.errors import AppError
from splitcore.models.admission import admit, difference_of
from splitcore.models.tests.configurations import configuration
from splitcore.models.twin import build_twin
from splitcore.models.types import CONDITIONAL, EXACT, REFUSED, refusal_of

FIRST_PASS = {"rwkv"}  # what forbids it happens in the first pass, which a twin has had when it is cut
TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def with_adapter(model: PreTrainedModel) -> PreTrainedModel:
    """LoRA on every linear module of the layers, nothing zero, and every weight of the model trained."""
    lora = LoraSection(rank=2, alpha=4)
    place(model, adapter_layout(model.config, lora), lora)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, parameter in adapter_parameters(model):
            parameter.normal_(std=0.1, generator=generator)
    return model.requires_grad_(True)


def measured(config: PreTrainedConfig) -> str:
    """What the test without the lists finds."""
    try:
        return difference_of(config, build_twin(config))
    except AppError as error:
        return error.message


def test_every_type_stands_in_exactly_one_list() -> None:
    assert set(TYPES) == EXACT | REFUSED.keys()
    assert not EXACT & REFUSED.keys()
    assert CONDITIONAL.keys() <= EXACT


@pytest.mark.parametrize("model_type", TYPES)
def test_a_type_is_split_exactly_or_refused_with_its_reason(model_type: str) -> None:
    config = configuration(model_type)
    if model_type in REFUSED:
        with pytest.raises(AppError) as caught:
            admit(config)
        assert caught.value.code == "CL-1101"
        assert caught.value.details == {"model_type": model_type, "reason": REFUSED[model_type].reason}
        assert measured(config) or model_type in FIRST_PASS, "it can be split after all"
        return
    assert not refusal_of(model_type, config.get_text_config(decoder=True))
    assert difference_of(config, with_adapter(build_twin(config))) == ""
