"""PEFT's configuration of a joined adapter: written from what was agreed and measured, never copied from a party.

A party's own `adapter_config.json` is free JSON, and PEFT acts on some of its fields: it imports what they name. Known
fields are read within bounds and compared; every other field ends here. Torch-free.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from splitcore.adapters.segments import CONFIG, HEAD, SegmentInfo
from splitcore.bounds import plain_line
from splitcore.errors import AppError

TARGETS = 4096  # names of target modules in one configuration
_LAYER = re.compile(r"(?P<list>[A-Za-z0-9_.]*?)\.(?P<number>\d{1,6})\.")
# the one expression that `_excluded` writes; PEFT gets no other, since an expression may compute without end
_EXCLUDED = (
    r"^[A-Za-z0-9_]{1,60}(\\\.[A-Za-z0-9_]{1,60}){0,8}\\\.\((0|[1-9][0-9]{0,5})(\|[1-9][0-9]{0,5}){0,999}\)\\\.\.\*$"
)
# fields of PEFT's that change nothing of how a plain adapter is placed and computed
_IDLE = frozenset({"base_model_name_or_path", "revision", "inference_mode", "peft_version", "qalora_group_size"})
Module = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]{1,300}$")]


@dataclass(frozen=True)
class Terms:
    """What the contract says of the adapter. `ranks` are those of the run and of each party."""

    alpha: float
    dropout: float
    ranks: frozenset[int]
    classes: int = 0  # labels that its classification head tells apart; 0: it has none


class SegmentConfig(BaseModel):
    """What is read of a segment's `adapter_config.json`: an adapter of LoRA's plain form, and nothing else."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM", "SEQ_CLS"] | None = None
    bias: Literal["none"] = "none"
    lora_alpha: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    lora_dropout: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)
    target_modules: list[Module] = Field(max_length=TARGETS)
    fan_in_fan_out: bool = False
    use_rslora: Literal[False] = False
    use_dora: Literal[False] = False

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> SegmentConfig:
        """The known fields. Raises AppError CL-1106 where one is missing or odd."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            field = plain_line(".".join(str(part)[:40] for part in error.errors()[0]["loc"]))
            raise AppError("CL-1106", f"{CONFIG} of a segment has no usable field {field}.") from None

    @property
    def has_head(self) -> bool:
        """Whether the adapter is a classifier's, and so brings a head."""
        return self.task_type == "SEQ_CLS"

    def shared(self) -> tuple[object, ...]:
        """What must be alike in every segment of an adapter."""
        return self.lora_dropout, self.fan_in_fan_out, self.has_head


class WholeConfig(SegmentConfig):
    """What is read of a whole adapter's `adapter_config.json`, whoever wrote it. What PEFT gets is built from it."""

    r: int = Field(ge=1, le=1 << 16)
    rank_pattern: dict[Module, Annotated[int, Field(ge=1, le=1 << 16)]] = Field(
        default_factory=dict, max_length=TARGETS
    )
    alpha_pattern: dict[Module, Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]] = Field(
        default_factory=dict, max_length=TARGETS
    )
    exclude_modules: Annotated[str, StringConstraints(max_length=8000, pattern=_EXCLUDED)] | None = None
    init_lora_weights: bool = True
    modules_to_save: Annotated[list[Literal["score"]], Field(min_length=1, max_length=1)] | None = None

    @model_validator(mode="after")
    def head_of_a_classifier(self) -> WholeConfig:
        """A classifier's head is the one module that is kept as a whole."""
        if self.has_head != (self.modules_to_save is not None):
            raise PydanticCustomError("head", "a head belongs to a classifier")
        return self

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> WholeConfig:
        """The known fields. Raises AppError CL-1106 where one is missing or odd, or another one asks for something."""
        asking = [key for key, value in data.items() if value and key not in cls.model_fields and key not in _IDLE]
        if asking:
            raise AppError("CL-1106", f"{CONFIG} requires more than plain LoRA: {plain_line(min(asking)[:40])}.")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            field = plain_line(".".join(str(part)[:40] for part in error.errors()[0]["loc"]))
            raise AppError("CL-1106", f"{CONFIG} has no usable field {field}.") from None

    def keywords(self) -> dict[str, Any]:
        """What `peft.LoraConfig` is built with."""
        return {**self.model_dump(exclude={"peft_type"}), "inference_mode": True}

    def check(self, terms: Terms, ranks: Mapping[str, int], head: Sequence[int] | None) -> None:
        """Rank, alpha, dropout and head are the contract's. Raises AppError CL-1106."""
        check_terms(terms, [self], ranks, head)
        if any(alpha != terms.alpha for alpha in self.alpha_pattern.values()):
            raise AppError("CL-1106", "The alpha of a module differs from the contract's.")


def check_terms(
    terms: Terms, configs: Sequence[SegmentConfig], ranks: Mapping[str, int], head: Sequence[int] | None
) -> None:
    """Rank, alpha and dropout are the contract's; fused modules take a multiple of a rank. Raises AppError CL-1106.

    `head`: the shape of the classification head, labels × width; None without one.
    """
    if (0 if head is None else head[0]) != terms.classes or any(one.has_head != bool(terms.classes) for one in configs):
        raise AppError("CL-1106", "The adapter's classification head differs from the contract's labels.")
    for config in configs:
        if (config.lora_alpha, config.lora_dropout) != (terms.alpha, terms.dropout):
            raise AppError("CL-1106", "A segment's alpha or dropout differs from the contract's.")
    for module, rank in ranks.items():
        if not any(rank % agreed == 0 for agreed in terms.ranks):
            raise AppError("CL-1106", f"The rank of {module} differs from the contract's.")


def joined_config(
    configs: Sequence[SegmentConfig], ranks: Mapping[str, int], alphas: Mapping[str, float], info: SegmentInfo
) -> dict[str, Any]:
    """The whole adapter's configuration, with a pattern for each rank and scale that is not the usual one."""
    rank, alpha = _usual(ranks.values()), _usual(alphas.values())
    kind = {"task_type": "SEQ_CLS", "modules_to_save": [HEAD]} if configs[0].has_head else {"task_type": "CAUSAL_LM"}
    return {
        "peft_type": "LORA",
        **kind,
        "base_model_name_or_path": info.model,
        "revision": info.revision,
        "inference_mode": True,
        "bias": "none",
        "fan_in_fan_out": configs[0].fan_in_fan_out,
        "use_rslora": False,
        "use_dora": False,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": configs[0].lora_dropout,
        "target_modules": _targets(configs, ranks),
        "exclude_modules": _excluded(ranks),
        "rank_pattern": {module: one for module, one in sorted(ranks.items()) if one != rank},
        "alpha_pattern": {module: one for module, one in sorted(alphas.items()) if one != alpha},
    }


def _usual(values: Any) -> Any:
    return Counter(values).most_common(1)[0][0]


def _targets(configs: Sequence[SegmentConfig], ranks: Mapping[str, int]) -> list[str]:
    """The segments' target modules, of which each names an adapted module and together they name all."""
    named = sorted({target for config in configs for target in config.target_modules})
    used = {target for target in named if any(_names(target, module) for module in ranks)}
    missed = [module for module in ranks if not any(_names(target, module) for target in used)]
    if missed:
        raise AppError("CL-1106", f"{missed[0]} isn't among the target modules of the segments' configurations.")
    return sorted(used)


def _names(target: str, module: str) -> bool:
    return module == target or module.endswith(f".{target}")


def _excluded(ranks: Mapping[str, int]) -> str | None:
    """PEFT's expression for the first layers where they have no adapter: those of a head that was not trained."""
    layers = [match for module in ranks if (match := _LAYER.match(module))]
    first = min((int(match["number"]) for match in layers), default=0)
    if not first:
        return None
    numbers = "|".join(str(number) for number in range(first))
    return rf"{re.escape(layers[0]['list'])}\.({numbers})\..*"
