"""Which causal-LM types of the library can be split (torch-free): the lists that the tests prove and the docs print.

A type that stands in neither list is decided by the admission test alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_EXACT = """
afmoe apertus arcee aria_text axk1 axk2 bailing_hybrid bamba bart beam bert bert-generation big_bird
bigbird_pegasus biogpt bitnet blenderbot blenderbot-small bloom camembert codegen cohere cohere2 cohere2_moe
cohere_compass_text ctrl cwm data2vec-text dbrx deepseek_v2 deepseek_v3 deepseek_v32 diffllama doge dots1
dots3_note dots3_note_text electra emu3 ernie ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon falcon_h1
falcon_mamba flex_olmo flint fuyu gemma gemma2 gemma3 gemma3_text gemma4 gemma4_text gemma4_unified
gemma4_unified_text git glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa got_ocr2 gpt-sw3 gpt2 gpt_bigcode
gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite granite_swa granitemoe granitemoe_swa
granitemoehybrid granitemoeshared helium hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax inkling_text
internlm3 iquestcoder jais2 jamba jetmoe kimi_linear kolibri1 laguna lfm2 lfm2_moe lfm3 llama llama4
llama4_text longcat_flash mamba mamba2 marian mbart megatron-bert mellum mimo_v2_flash minicpm3 minimax
minimax_m2 minimax_m3_vl_text ministral ministral3 mistral mixtral modernbert-decoder moshi
moss_transcribe_diarize mpt mvp nanochat nemotron nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openai-gpt
opt pegasus persimmon phi phi3 phi4_multimodal phimoe plbart qwen2 qwen2_moe qwen3 qwen3_5 qwen3_5_moe
qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_next qwen4_exp qwen4_exp_text recurrent_gemma rembert roberta
roberta-prelayernorm roc_bert roformer seed_oss smollm3 solar_open stablelm starcoder2 trocr vaultgemma
whisper xglm xlm-roberta xlm-roberta-xl xlstm youtu
"""
EXACT = frozenset(_EXACT.split())


@dataclass(frozen=True)
class Refusal:
    """Why a type cannot be split, as people read it; with `field`, only where a configuration sets that field."""

    reason: str
    field: str = ""

    def holds(self, text: Any) -> bool:
        """Whether it applies to a text configuration."""
        return not self.field or bool(getattr(text, self.field, None))


_BY_IDS = "every layer also reads an embedding of the token itself, so the body would need the text"
_SOME_BY_IDS = "some layers also read embeddings of the tokens themselves, so the body would need the text"
_STREAMS = "more than one stream of hidden states runs between the layers, and only one crosses a cut"
_AUDIO = "it predicts several audio codebooks at each step, not the next token of a text"
_DRAFT = "it is a draft model: it reads the hidden states and keys of the model that it speeds up"
REFUSED: Mapping[str, Refusal] = {
    "blt": Refusal("it reads bytes through encoders and patches of its own, and has no one list of decoder layers"),
    "cpmant": Refusal("its forward pass takes token ids only, in every part, so the body would need the text"),
    "deepseek_v4": Refusal("it picks experts by the token's id inside the layers, so the body would need the text"),
    "gemma3n": Refusal(_BY_IDS),
    "gemma3n_text": Refusal(_BY_IDS),
    "gemma4_assistant": Refusal(_DRAFT),
    "gemma4_unified_assistant": Refusal(_DRAFT),
    "hrm_text": Refusal("it runs through its layers several times in cycles, so no cut is crossed once"),
    "hy_v4": Refusal("some layers reuse the positions that an earlier layer picked, which lies beyond the cut"),
    "inkling2_text": Refusal("later layers read the hidden states of all earlier blocks, beyond the cut"),
    "mllama": Refusal("its cross-attention layers are left out for text, and a cut beside one is never reached"),
    "musicgen": Refusal(_AUDIO),
    "musicgen_melody": Refusal(_AUDIO),
    "prophetnet": Refusal("it predicts several tokens ahead in parallel streams: " + _STREAMS),
    "reformer": Refusal("its reversible layers carry two streams: " + _STREAMS),
    "rwkv": Refusal("its first forward pass rescales the weights of every layer, also of those that a party lacks"),
    "xlm": Refusal("the parts of a layer lie in four lists side by side, so there is no list of layers to cut"),
    "xlnet": Refusal("it predicts in a permuted order and not from left to right, and has no causal order to cut"),
    "xmod": Refusal("its forward pass looks for the language adapters inside the first layer, which one party holds"),
    "zamba": Refusal("layers of every part share the weights of one attention block, which no one party holds"),
    "zamba2": Refusal("layers of every part share one attention block, and read the token embeddings again"),
    "zaya": Refusal("each router reads the state of the router before it: " + _STREAMS),
}
CONDITIONAL: Mapping[str, Refusal] = {
    "gemma4": Refusal(_BY_IDS, "hidden_size_per_layer_input"),
    "gemma4_text": Refusal(_BY_IDS, "hidden_size_per_layer_input"),
    "qwen4_exp": Refusal(_SOME_BY_IDS, "ple_layer_ids"),
    "qwen4_exp_text": Refusal(_SOME_BY_IDS, "ple_layer_ids"),
}


def refusal_of(model_type: str, text: Any) -> str:
    """The declared reason why a configuration cannot be split; empty where there is none."""
    declared = REFUSED.get(model_type) or CONDITIONAL.get(model_type)
    return declared.reason if declared and declared.holds(text) else ""
