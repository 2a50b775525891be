"""The sections of RunConfig. Each field has type, bounds, unit, help and a level (simple or advanced)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from splitcore.boundary.choice import CutStrategy
from splitcore.bounds import LINE, MODEL_SOURCE, REVISION
from splitcore.caches.registry import CacheFieldsOfTraining, CacheFieldsOfWire
from splitcore.codecs.choice import CodecChoice
from splitcore.codecs.plain.config import Bf16
from splitcore.codecs.registry import CHOICES
from splitcore.config.older import privacy_read, wire_read
from splitcore.data.task import TASKS, Task, TextTask
from splitcore.fields import OneOf, Section, SomeOf, ui
from splitcore.privacy.registry import DEFENCES

Topology = Literal["u_shape", "vanilla"]
Codec = Annotated[CodecChoice, OneOf(CHOICES, kind="codec")]
Sha256 = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Module = Annotated[str, StringConstraints(max_length=300, pattern=r"^[A-Za-z0-9_.]+$")]
# Enough to name each linear module of the deepest models; every name is compared with every module of the model.
Modules = Annotated[list[Module], Field(max_length=1024, fail_fast=True)]
Role = Annotated[str, StringConstraints(max_length=60, pattern=LINE)]
Column = Annotated[str, StringConstraints(max_length=300, pattern=LINE)]


class ModelSection(Section):
    """The base model, pinned."""

    name_or_path: str = Field(
        min_length=1,
        max_length=400,
        pattern=MODEL_SOURCE,
        description=(
            "Public id of the base model. On the hub, this is always an id. Each worker maps it to its own folder."
        ),
        json_schema_extra=ui(label="Base model"),
    )
    revision: str | None = Field(
        None,
        max_length=100,
        pattern=REVISION,
        description="Commit of the model repository. Pinned so that every party loads the same weights.",
        json_schema_extra=ui(level="advanced", label="Revision"),
    )
    manifest: Sha256 | None = Field(
        None,
        description="SHA-256 of the model's manifest (configuration, tokenizer and every tensor).",
        json_schema_extra=ui(level="advanced", label="Manifest"),
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description=(
            "Number format of the frozen base model in memory and computation. auto: the format in the model's "
            "configuration, the same at every party (float16 is stored as float32)."
        ),
        json_schema_extra=ui(level="advanced", label="Compute format"),
    )
    quantisation: Literal["none", "int8", "int4"] = Field(
        "none",
        description=(
            "Store the linear layers of the frozen base model in fewer bits. Adapters stay in fp32. int8: one"
            " scale per output channel. int4: NF4 in blocks of 64 with 8-bit scales, about a quarter of"
            " bfloat16's memory. Dequantising them in each step takes time."
        ),
        json_schema_extra=ui(level="advanced", label="Quantised base"),
    )


class SplitSection(Section):
    """Where the model is cut, and who holds the last layers."""

    topology: Topology = Field(
        "u_shape",
        description=(
            "u_shape: the data organisation also keeps the last layers, so labels are not sent (they may still be"
            " inferred from gradients). vanilla: the compute organisation computes the loss and receives the"
            " labels."
        ),
        json_schema_extra=ui(label="Topology"),
    )
    head_layers: int = Field(
        2,
        ge=0,
        le=512,
        description="First decoder layers, after the embedding, that stay with the data organisation.",
        json_schema_extra=ui(unit="layers", label="Head layers"),
    )
    tail_layers: int = Field(
        2,
        ge=0,
        le=512,
        description=(
            "Last decoder layers that stay with the data organisation (u_shape only). With 0, only the public"
            " output head stays there, and the labels can be computed from the gradient."
        ),
        json_schema_extra=ui(unit="layers", label="Tail layers"),
    )


class LoraSection(Section):
    """The adapter."""

    rank: int = Field(8, ge=1, le=1024, description="Rank of the adapter matrices.", json_schema_extra=ui(label="Rank"))
    alpha: float = Field(
        16.0,
        gt=0,
        le=4096,
        description="Scale. The update is multiplied by alpha ÷ rank.",
        json_schema_extra=ui(label="Alpha"),
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on the adapter's input.",
        json_schema_extra=ui(level="advanced", label="Dropout"),
    )
    target_modules: Modules | Literal["all-linear"] = Field(
        "all-linear",
        description="Modules that get an adapter, or all-linear.",
        json_schema_extra=ui(level="advanced", label="Target modules"),
    )
    train_head: bool = Field(
        True,
        description=(
            "Whether the head's layers get an adapter too. Off: they stay unchanged, no gradient is sent down,"
            " and the data organisation computes less. The adapter learns less."
        ),
        json_schema_extra=ui(level="advanced", label="Train the head"),
    )


class _Optimisation(Section):
    """The fields that are there in any case."""

    steps: int | None = Field(
        100,
        ge=1,
        le=10_000_000,
        description="Optimiser steps. Leave empty to set epochs instead.",
        json_schema_extra=ui(unit="steps", label="Steps"),
    )
    epochs: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Passes over the largest dataset. Set either this or steps.",
        json_schema_extra=ui(unit="epochs", label="Epochs"),
    )
    batch_size: int = Field(
        8,
        ge=1,
        le=65_536,
        description="Rows per data organisation per optimiser step.",
        json_schema_extra=ui(unit="rows", label="Batch size"),
    )
    micro_batches: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of parts per batch. Parts overlap, so both sides compute at the same time.",
        json_schema_extra=ui(unit="parts", label="Micro-batches"),
    )
    learning_rate: float = Field(
        2e-4, gt=0, le=10, description="Peak learning rate.", json_schema_extra=ui(label="Learning rate")
    )
    optimiser: Literal["adamw", "sgd"] = Field(
        "adamw", description="Optimiser of every segment.", json_schema_extra=ui(level="advanced", label="Optimiser")
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Decoupled weight decay.",
        json_schema_extra=ui(level="advanced", label="Weight decay"),
    )
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="How the learning rate decays after the warm-up.",
        json_schema_extra=ui(level="advanced", label="Learning-rate schedule"),
    )
    warmup: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Steps during which the learning rate rises from zero.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Warm-up"),
    )
    clip_norm: float | None = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Maximum global gradient norm. Empty: no clipping.",
        json_schema_extra=ui(level="advanced", label="Gradient clipping"),
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the initial adapter and the row order.",
        json_schema_extra=ui(level="advanced", label="Seed"),
    )
    shuffle: bool = Field(
        True,
        description="Whether rows are reshuffled in each epoch.",
        json_schema_extra=ui(level="advanced", label="Shuffle"),
    )
    gradient_checkpointing: bool = Field(
        False,
        description=(
            "Keep only each layer's input from forward to backward and recompute the layer then. Saves memory on"
            " both sides for about a third more computation. The result is identical to the last bit."
        ),
        json_schema_extra=ui(level="advanced", label="Recompute activations"),
    )
    max_length: int = Field(
        512,
        ge=8,
        le=131_072,
        description=(
            "Maximum row length. Longer rows are truncated. Rows whose prompt alone is that long are left out and "
            "counted."
        ),
        json_schema_extra=ui(unit="tokens", label="Longest row"),
    )
    eval_every: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Steps between evaluations on held-out rows. 0: only at start and end.",
        json_schema_extra=ui(unit="steps", label="Evaluate every"),
    )
    checkpoint_every: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description=(
            "Steps between checkpoints of each half, and so the most that a crash can cost. 0: only at a pause or stop."
        ),
        json_schema_extra=ui(unit="steps", level="advanced", label="Checkpoint every"),
    )
    checkpoints_kept: int = Field(
        3,
        ge=2,
        le=100,
        description="Newest checkpoints kept by each half. Two are needed because the halves don't save at the same "
        "moment.",
        json_schema_extra=ui(unit="checkpoints", level="advanced", label="Checkpoints kept"),
    )
    on_non_finite: Literal["skip", "pause"] = Field(
        "skip",
        description=(
            "What happens when a loss or gradient is NaN or infinite. skip: no party applies that step. pause: as "
            "with skip, and the run pauses so that someone can check. Ten such steps in a row end the run. If it "
            "happens in an evaluation, the held-out loss is unavailable, and the run continues or pauses as set."
        ),
        json_schema_extra=ui(level="advanced", label="NaN or infinite values"),
    )


class TrainingSection(CacheFieldsOfTraining, _Optimisation):
    """The optimisation."""

    @model_validator(mode="after")
    def steps_or_epochs(self) -> TrainingSection:
        """Exactly one of steps and epochs, and micro-batches that divide the batch."""
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("Set either steps or epochs, and leave the other empty.")
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size {self.batch_size} can't be split into {self.micro_batches} equal micro_batches."
            )
        return self


class DataSection(Section):
    """What is learnt of a row, and how rows become tokens."""

    task: Annotated[Task, OneOf(TASKS, kind="task")] = Field(
        TextTask(),
        description="What the model learns of a row.",
        json_schema_extra=ui(label="Task"),
    )
    template: Literal["plain", "chat"] = Field(
        "plain",
        description="plain: the prompt followed by the completion. chat: the tokenizer's chat template.",
        json_schema_extra=ui(level="advanced", label="Template"),
    )
    loss_on: Literal["completion", "all"] = Field(
        "completion",
        description="Whether the prompt's tokens also count towards the loss.",
        json_schema_extra=ui(level="advanced", label="Loss on"),
    )
    eval_fraction: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of rows held out for evaluation if the dataset has no held-out part.",
        json_schema_extra=ui(level="advanced", label="Held-out share"),
    )
    columns: dict[Role, Column] = Field(
        default_factory=dict,
        max_length=16,
        description=(
            "For `cutlayer train` and the library: role (prompt, completion, messages, text, label) → column name. "
            "Leave empty in a run across sites, whose rows are stored by role."
        ),
        json_schema_extra=ui(level="advanced", label="Columns"),
    )


class _Formats(Section):
    """The fields that are there in any case, but for the connection's."""

    activations: Codec = Field(
        Bf16(),
        description=(
            "Format of activations between the organisations. int8 takes half the bytes of bf16, int4 a quarter,"
            " int3 a fifth, int2 an eighth. The fewer the bits, the further training departs from the exact result."
        ),
        json_schema_extra=ui(label="Activations"),
    )
    gradients: Codec = Field(
        Bf16(),
        description=(
            "Format of activation gradients between the organisations. With 4 bits or fewer, choose an unbiased"
            " rounding."
        ),
        json_schema_extra=ui(label="Gradients"),
    )
    skip_padding: bool = Field(
        False,
        description=(
            "Don't send the positions that pad shorter rows. Only the traffic changes. Both sides know the rows' "
            "lengths either way."
        ),
        json_schema_extra=ui(level="advanced", label="Omit padding"),
    )


class WireSection(CacheFieldsOfWire, _Formats):
    """Number formats on the wire."""

    @model_validator(mode="before")
    @classmethod
    def rounding_beside_its_codec(cls, data: Any) -> Any:
        """Read the older form."""
        return wire_read(data)

    patience: int = Field(
        60,
        ge=1,
        le=3600,
        description=(
            "How long to keep reconnecting before the run is interrupted and has to be resumed from its checkpoints. "
            "A longer timeout survives longer outages, but a lost machine is noticed later."
        ),
        json_schema_extra=ui(unit="seconds", level="advanced", label="Reconnect timeout"),
    )


class PrivacySection(Section):
    """Defences of what a data organisation hands over. What each costs and shows is measured; none is a promise."""

    @model_validator(mode="before")
    @classmethod
    def no_mechanism(cls, data: Any) -> Any:
        """Read the older form."""
        return privacy_read(data)

    defences: Annotated[list[CutStrategy], SomeOf(DEFENCES, kind="defence")] = Field(
        [],
        description="Defences at the cut, applied in order. None: activations can be inverted.",
        json_schema_extra=ui(level="advanced", label="Defences"),
    )
    sums: Literal["automatic", "masked", "plain"] = Field(
        "automatic",
        description=(
            "Gradients or weights of head and tail that several organisations send to be summed or handed on. masked:"
            " the compute organisation reads their sum alone, which takes twice the bytes and every organisation's"
            " part, and adapters that are handed on are encrypted. plain: it reads each one's. automatic: masked if"
            " the run has several data organisations when it is submitted, and plain with `cutlayer train`. With two"
            " organisations, each learns the other's by subtraction. Activations are not masked."
        ),
        json_schema_extra=ui(level="advanced", label="Exchanged adapters"),
    )

    @property
    def masks_sums(self) -> bool:
        """Whether what is summed is masked."""
        return self.sums == "masked"
