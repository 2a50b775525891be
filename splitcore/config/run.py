"""RunConfig itself: sections, per-party overrides, canonical form, YAML in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from splitcore.boundary.choice import CutStrategy
from splitcore.bounds import LINE, json_check
from splitcore.caches.choice import CacheChoice
from splitcore.caches.registry import CACHES, caches_of
from splitcore.config.older import schedule_read
from splitcore.config.sections import (
    DataSection,
    LoraSection,
    ModelSection,
    PrivacySection,
    SplitSection,
    TrainingSection,
    WireSection,
)
from splitcore.errors import AppError
from splitcore.fields import OneOf, Section, SomeOf, ui
from splitcore.methods.registry import METHODS
from splitcore.plain_yaml import YAML_CHARACTERS, PlainYamlError, yaml_read
from splitcore.schedules.interface import Schedule
from splitcore.schedules.parallel.config import Parallel
from splitcore.schedules.registry import SCHEDULES
from splitcore.wire.protocol.messages import Phase

PartyName = Annotated[str, StringConstraints(max_length=60, pattern=LINE)]


class PartyOverride(Section):
    """What one data party may set for itself where the method allows it."""

    head_layers: int | None = Field(
        None,
        ge=0,
        le=512,
        description="This party's head layers.",
        json_schema_extra=ui(unit="layers", level="advanced", label="Head layers"),
    )
    tail_layers: int | None = Field(
        None,
        ge=0,
        le=512,
        description="This party's tail layers.",
        json_schema_extra=ui(unit="layers", level="advanced", label="Tail layers"),
    )
    rank: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Adapter rank of this party's segments.",
        json_schema_extra=ui(unit="", level="advanced", label="Rank"),
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="This party's rows per step.",
        json_schema_extra=ui(unit="rows", level="advanced", label="Batch size"),
    )


_NO_GROUP = frozenset({"model_type", "dict_type", "model_attributes_type"})
_GROUP = "Fields are expected here, each as name: value"


class RunConfig(Section):
    """Everything that defines a split fine-tuning run, except who takes part and with which data."""

    model: ModelSection
    split: SplitSection = SplitSection()
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    schedule: Annotated[Schedule, OneOf(SCHEDULES, kind="schedule", older=schedule_read)] = Field(
        Parallel(),
        description="How several organisations train together.",
        json_schema_extra=ui(level="advanced", label="Schedule"),
    )
    data: DataSection = DataSection()
    wire: WireSection = WireSection()
    methods: Annotated[list[CutStrategy], SomeOf(METHODS, kind="method")] = Field(
        [],
        description="What each data organisation trains in addition to the split model.",
        json_schema_extra=ui(level="advanced", label="Methods"),
    )
    privacy: PrivacySection = PrivacySection()
    parties: dict[PartyName, PartyOverride] = Field(
        default_factory=dict, max_length=64, description="Overrides by party name."
    )

    @model_validator(mode="after")
    def caches_fit(self) -> RunConfig:
        """Each knows what it does not go with."""
        for cache in self.caches:
            if why := cache.refuses(self):
                raise ValueError(why)
        return self

    @model_validator(mode="after")
    def what_both_ends_remember_is_never_dropped(self) -> RunConfig:
        """A late contribution is dropped at one end alone, which would then remember other rows than the other."""
        if self.schedule.lateness()[0] == "continue" and self.caches:
            raise ValueError(f"schedule.straggler continue excludes {' and '.join(cache.field for cache in CACHES)}.")
        return self

    @model_validator(mode="after")
    def masks_cancel_only_among_all(self) -> RunConfig:
        """A late party's masks would stay in the others' sum."""
        if self.privacy.masks_sums and self.schedule.lateness()[0] == "continue":
            raise ValueError(
                "schedule.straggler continue excludes privacy.sums masked: without every organisation's part, the sum"
                " can't be read. Let the run wait or pause, or set the sums to plain."
            )
        return self

    @model_validator(mode="after")
    def methods_and_defences_fit(self) -> RunConfig:
        """Each knows what it does not go with."""
        for strategy in self.cut_strategies:
            if why := strategy.refuses(self):
                raise ValueError(why)
        return self

    @property
    def cut_strategies(self) -> list[CutStrategy]:
        """Methods and defences at a data party's side of the cut, in the order in which they act."""
        return [*self.methods, *self.privacy.defences]

    @property
    def caches(self) -> list[CacheChoice]:
        """What spares what has crossed of a row before."""
        return caches_of(self)

    @property
    def caches_by_phase(self) -> dict[Phase, CacheChoice]:
        """The same, by the phase that each codes."""
        return {phase: cache for cache in self.caches for phase in cache.phases}

    @classmethod
    def parse(cls, data: Any) -> RunConfig:
        """Validate `data` (a mapping). Raises AppError CL-1001 whose details list every field's error."""
        try:
            json_check(data)
        except ValueError as error:
            message = f"This isn't a valid configuration: {error}."
            raise AppError("CL-1001", message, details={"fields": [{"field": "", "message": message}]}) from None
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            fields = [
                {
                    "field": ".".join(str(part) for part in item["loc"]),
                    "message": _GROUP if item["type"] in _NO_GROUP else item["msg"].removeprefix("Value error, "),
                }
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            first = fields[0]
            raise AppError(
                "CL-1001", f"{first['field'] or 'configuration'}: {first['message']}", details={"fields": fields}
            ) from None

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Read YAML. Raises AppError CL-1001 for bad YAML or a bad field."""
        try:
            data = yaml_read(text)
        except PlainYamlError as error:
            raise AppError("CL-1001", f"This YAML can't be read: {error}.", "Correct the text at this place.") from None
        return cls.parse(data if data is not None else {})

    def to_yaml(self) -> str:
        """Write YAML that `from_yaml` reads back to an equal configuration."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def for_party(self, party: str) -> RunConfig:
        """The configuration as one data party sees it, with its overrides applied."""
        override = self.parties.get(party)
        if override is None:
            return self
        split = self.split.model_copy(
            update={k: v for k in ("head_layers", "tail_layers") if (v := getattr(override, k)) is not None}
        )
        lora = self.lora.model_copy(update={"rank": override.rank} if override.rank else {})
        training = self.training.model_copy(update={"batch_size": override.batch_size} if override.batch_size else {})
        return self.model_copy(update={"split": split, "lora": lora, "training": training})


def config_text(path: Path) -> str:
    """A configuration's file as text, no more of it than `from_yaml` takes. Raises AppError CL-1001."""
    try:
        with path.open("rb") as file:
            return file.read(4 * YAML_CHARACTERS + 4).decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise AppError("CL-1001", f"{path.name} can't be read as UTF-8 text ({type(error).__name__}).") from None


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: the bytes that a hash is taken of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
