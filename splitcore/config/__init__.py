"""RunConfig: the one definition of every field of a split fine-tuning run (torch-free)."""

from splitcore.config.deciding import decided
from splitcore.config.dtype import resolve_dtype
from splitcore.config.idle import idle_fields
from splitcore.config.overrides import override_problems
from splitcore.config.run import (
    PartyOverride,
    RunConfig,
    canonical_json,
    config_text,
)
from splitcore.config.sections import (
    DataSection,
    LoraSection,
    ModelSection,
    PrivacySection,
    SplitSection,
    TrainingSection,
    WireSection,
)
from splitcore.config.written import config_hash, config_read, written

__all__ = [
    "DataSection",
    "LoraSection",
    "ModelSection",
    "PartyOverride",
    "PrivacySection",
    "RunConfig",
    "SplitSection",
    "TrainingSection",
    "WireSection",
    "canonical_json",
    "config_hash",
    "config_read",
    "config_text",
    "decided",
    "idle_fields",
    "override_problems",
    "resolve_dtype",
    "written",
]
