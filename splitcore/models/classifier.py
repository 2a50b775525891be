"""A decoder that tells labels: the library's own sequence classifier on the same layers, with a head named `score`.

Shapes: B rows, L tokens, D hidden, K labels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedConfig, PreTrainedModel

from splitcore.errors import AppError

HEAD = "score"  # the module of the head, in every decoder's classifier that fits
HEAD_WEIGHT = f"{HEAD}.weight"  # its one parameter, K × D
_PROBLEM: Literal["single_label_classification"] = (
    "single_label_classification"  # the library's own word for one label a row
)


def language_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy of `config` that stands for the model that predicts tokens, whatever its checkpoint was trained for."""
    config = copy.deepcopy(config)
    config.problem_type = None
    return config


def classifier_config(config: PreTrainedConfig, classes: int) -> PreTrainedConfig:
    """A copy of `config` that stands for a classifier of so many labels; with 0, for the model that predicts tokens."""
    if not classes:
        return config
    config = copy.deepcopy(config)
    config.problem_type, config.num_labels, config.tie_word_embeddings = _PROBLEM, classes, False
    return config


def is_classifier(config: PreTrainedConfig) -> bool:
    """Whether a configuration stands for a classifier."""
    return bool(config.problem_type == _PROBLEM)


def labels_of(config: PreTrainedConfig) -> int:
    """How many labels the classifier of a configuration tells apart; 0 where it stands for none."""
    return len(config.id2label or {}) if is_classifier(config) else 0


def classifier_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The library's own sequence classifier of a configuration. Raises AppError CL-1109."""
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise AppError("CL-1109", f"The model type '{config.model_type}' has no sequence classifier.")
    found: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    return cast("type[PreTrainedModel]", found[0] if isinstance(found, tuple) else found)


def check_head(model: PreTrainedModel, layers: str, layers_of_decoder: str) -> None:
    """The classifier has the decoder's layers under the same name, and one matrix behind them. Raises AppError CL-1109.

    Then its segments are the decoder's, and the adapter's tensors have the same names.
    """
    head = getattr(model, HEAD, None)
    if layers != layers_of_decoder or not isinstance(head, nn.Linear) or head.bias is not None:
        raise AppError("CL-1109", f"{type(model).__name__} has no single matrix named {HEAD} behind the same layers.")


def compute_in_own_format(model: PreTrainedModel) -> None:
    """Let the head compute in its weight's number format: it is trained in fp32, also on a base in bf16."""

    def as_weight(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(one.to(next(module.parameters()).dtype) for one in inputs)

    model.get_submodule(HEAD).register_forward_pre_hook(as_weight)


def token_scores(model: PreTrainedModel, inputs: Mapping[str, Any]) -> torch.Tensor:
    """The output head's scores for every token: logits (B, L, V) of a decoder, (B, L, K) of a classifier.

    A classifier itself answers with those of one token a row, which it finds by the token ids: no tail has them.
    """
    if not is_classifier(model.config):
        logits_BLV: torch.Tensor = model(**inputs).logits
        return logits_BLV
    hidden_BLD = model.base_model(**inputs).last_hidden_state
    scores_BLK: torch.Tensor = model.get_submodule(HEAD)(hidden_BLD)
    return scores_BLK
