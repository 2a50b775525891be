"""RunConfig: the one definition of every field of a split fine-tuning run (torch-free)."""

from splitcore.config.dtype import resolve_dtype
from splitcore.config.exchange import Exchange, exchange_of
from splitcore.config.idle import idle_fields
from splitcore.config.overrides import override_problems
from splitcore.config.run import (
    PartyOverride,
    RunConfig,
    canonical_json,
    config_hash,
    config_text,
)
from splitcore.config.sections import (
    DataSection,
    LoraSection,
    ModelSection,
    PrivacySection,
    ScheduleSection,
    SplitSection,
    TrainingSection,
    WireSection,
)

__all__ = [
    "DataSection",
    "Exchange",
    "LoraSection",
    "ModelSection",
    "PartyOverride",
    "PrivacySection",
    "RunConfig",
    "ScheduleSection",
    "SplitSection",
    "TrainingSection",
    "WireSection",
    "canonical_json",
    "config_hash",
    "config_text",
    "exchange_of",
    "idle_fields",
    "override_problems",
    "resolve_dtype",
]
