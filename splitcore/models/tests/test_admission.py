"""The admission test."""

from __future__ import annotations

import pytest
from transformers import (
    BertConfig,
    BloomConfig,
    DeepseekV3Config,
    FalconConfig,
    Gemma3nTextConfig,
    Gemma4TextConfig,
    GPTNeoXConfig,
    GptOssConfig,
    MixtralConfig,
    PreTrainedConfig,
    T5Config,
    XLMConfig,
)

from splitcore.errors import AppError
from splitcore.models.admission import admit
from splitcore.models.tests.tiny import FAMILIES
from splitcore.models.twin import twin_config


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_named_families_are_admitted(family: str, topology: str) -> None:
    admit(FAMILIES[family](), topology)


@pytest.mark.parametrize(
    "config", [MixtralConfig(), DeepseekV3Config(), GptOssConfig(), BloomConfig(), FalconConfig(), GPTNeoXConfig()]
)
def test_models_of_real_size_are_admitted_by_a_small_twin(config: PreTrainedConfig) -> None:
    admit(config)


@pytest.mark.parametrize("config", [XLMConfig(), Gemma3nTextConfig()])
def test_a_model_that_cannot_be_split_exactly_is_refused_with_the_reason(config: PreTrainedConfig) -> None:
    with pytest.raises(AppError) as caught:
        admit(config)
    assert caught.value.code == "CL-1101"
    assert caught.value.details["reason"]


def test_a_model_that_is_no_decoder_is_refused() -> None:
    with pytest.raises(AppError) as caught:
        admit(T5Config())
    assert caught.value.code == "CL-1101"


def test_a_model_that_sees_the_tokens_it_should_predict_is_refused() -> None:
    with pytest.raises(AppError) as caught:
        admit(BertConfig())
    assert "sees the tokens" in caught.value.details["reason"]
    admit(BertConfig(is_decoder=True))


def test_a_type_is_refused_only_as_it_is_configured() -> None:
    with pytest.raises(AppError) as caught:
        admit(Gemma4TextConfig())
    assert "embedding of the token" in caught.value.details["reason"]
    admit(Gemma4TextConfig(hidden_size_per_layer_input=0))


def test_a_twin_keeps_every_kind_of_layer() -> None:
    config = FAMILIES["gemma3"]()
    config.num_hidden_layers = 12
    config.layer_types = ["sliding_attention"] * 11 + ["full_attention"]
    assert set(twin_config(config).layer_types) == {"sliding_attention", "full_attention"}
