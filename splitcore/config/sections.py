"""The sections of RunConfig. Each field has type, bounds, unit, help and a level (simple or advanced)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from splitcore.bounds import MODEL_SOURCE, REVISION
from splitcore.config.base import Section, ui

Topology = Literal["u_shape", "vanilla"]
ChangeName = Literal["int4", "int3", "int2", "ternary"]
Rounding = Literal["nearest", "stochastic", "rotated"]
CodecName = Literal["fp32", "bf16", "int8", "int6", "int5", "int4", "int3", "int2"]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ModelSection(Section):
    """The base model, pinned."""

    name_or_path: str = Field(
        min_length=1,
        max_length=400,
        pattern=MODEL_SOURCE,
        description="Public id of the base model. On the hub always an id; each worker maps it to its own folder.",
        json_schema_extra=ui(label="Base model"),
    )
    revision: str | None = Field(
        None,
        max_length=100,
        pattern=REVISION,
        description="Commit of the model repository. Pinned, so that every party loads the same weights.",
        json_schema_extra=ui(level="advanced", label="Revision"),
    )
    manifest: Sha256 | None = Field(
        None,
        description="SHA-256 of the model's manifest (configuration, tokenizer and each tensor).",
        json_schema_extra=ui(level="advanced", label="Manifest"),
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description=(
            "Number format in which the frozen base model is held and computed. auto: the one that the model's "
            "configuration names, the same at every party (float16 is held as float32)."
        ),
        json_schema_extra=ui(level="advanced", label="Compute format"),
    )
    quantisation: Literal["none", "int8", "int4"] = Field(
        "none",
        description=(
            "Hold the linear layers of the frozen base model in fewer bits; adapters stay in fp32. int8: one scale per "
            "output channel. int4: NF4 in blocks of 64 with 8-bit scales, about a quarter of bfloat16's memory. "
            "Each step dequantises them, which costs time."
        ),
        json_schema_extra=ui(level="advanced", label="Quantised base"),
    )


class SplitSection(Section):
    """Where the model is cut, and who holds the last layers."""

    topology: Topology = Field(
        "u_shape",
        description=(
            "u_shape: the data organisation keeps the last layers too, so labels are not sent (they may still be "
            "inferred from gradients). vanilla: the compute organisation computes the loss and receives the labels."
        ),
        json_schema_extra=ui(label="Topology"),
    )
    head_layers: int = Field(
        2,
        ge=0,
        le=512,
        description="Decoder layers at the start that stay with the data organisation, after the embedding.",
        json_schema_extra=ui(unit="layers", label="Head layers"),
    )
    tail_layers: int = Field(
        2,
        ge=0,
        le=512,
        description=(
            "Decoder layers at the end that stay with the data organisation (u_shape only). "
            "With 0, only the public output head is there and the labels can be computed from the gradient."
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
        description="Scale: the update is multiplied by alpha ÷ rank.",
        json_schema_extra=ui(label="Alpha"),
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout on the adapter's input.",
        json_schema_extra=ui(level="advanced", label="Dropout"),
    )
    target_modules: list[str] | Literal["all-linear"] = Field(
        "all-linear",
        description="Names of the modules that get an adapter, or all-linear.",
        json_schema_extra=ui(level="advanced", label="Target modules"),
    )
    train_head: bool = Field(
        True,
        description=(
            "Whether the head's layers get an adapter too. Off: they stay as they are, no gradient is sent "
            "down, and the data organisation computes less; the adapter learns less."
        ),
        json_schema_extra=ui(level="advanced", label="Train the head"),
    )


class TrainingSection(Section):
    """The optimisation."""

    steps: int | None = Field(
        100,
        ge=1,
        le=10_000_000,
        description="Optimiser steps. Leave empty to train by epochs.",
        json_schema_extra=ui(unit="steps", label="Steps"),
    )
    epochs: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Passes over the largest dataset, instead of steps.",
        json_schema_extra=ui(unit="epochs", label="Epochs"),
    )
    batch_size: int = Field(
        8,
        ge=1,
        le=65_536,
        description="Rows of each data organisation in one optimiser step.",
        json_schema_extra=ui(unit="rows", label="Batch size"),
    )
    micro_batches: int = Field(
        1,
        ge=1,
        le=1024,
        description="Parts that a batch is cut into; parts overlap, so that both sides compute at once.",
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
        description="How the learning rate falls after the warm-up.",
        json_schema_extra=ui(level="advanced", label="Learning-rate schedule"),
    )
    warmup: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Steps over which the learning rate rises from zero.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Warm-up"),
    )
    clip_norm: float | None = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Largest global norm of the gradient; empty for none.",
        json_schema_extra=ui(level="advanced", label="Gradient clipping"),
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Seed of the initial adapter and of the order of rows.",
        json_schema_extra=ui(level="advanced", label="Seed"),
    )
    shuffle: bool = Field(
        True,
        description="Whether rows come in a new random order in each epoch.",
        json_schema_extra=ui(level="advanced", label="Shuffle"),
    )
    gradient_checkpointing: bool = Field(
        False,
        description=(
            "Hold only the input of each layer from forward to backward, and compute the layer again then: less memory "
            "on both sides for about a third more computation; the result is the same to the last bit."
        ),
        json_schema_extra=ui(level="advanced", label="Recompute activations"),
    )
    max_length: int = Field(
        512,
        ge=8,
        le=131_072,
        description="Longest row; longer rows are cut off.",
        json_schema_extra=ui(unit="tokens", label="Longest row"),
    )
    eval_every: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="Steps between evaluations on held-out rows; 0 evaluates at start and end only.",
        json_schema_extra=ui(unit="steps", label="Evaluate every"),
    )
    checkpoint_every: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description=(
            "Steps between two checkpoints of every half; what a crash can cost. 0 saves at a pause or stop only."
        ),
        json_schema_extra=ui(unit="steps", level="advanced", label="Checkpoint every"),
    )
    checkpoints_kept: int = Field(
        3,
        ge=2,
        le=100,
        description="Newest checkpoints that each half keeps; two, since the halves save one after the other.",
        json_schema_extra=ui(unit="checkpoints", level="advanced", label="Checkpoints kept"),
    )
    on_non_finite: Literal["skip", "pause"] = Field(
        "skip",
        description=(
            "What follows a loss or gradient that is NaN or infinite. skip: no party applies that step. "
            "pause: neither, and the run pauses for a person to look. Ten such steps in a row end the run. "
            "In an evaluation its held-out loss is not available, and the run goes on or pauses alike."
        ),
        json_schema_extra=ui(level="advanced", label="Values that are not finite"),
    )
    cache_activations: bool = Field(
        False,
        description=(
            "With a head that is not trained: the compute organisation keeps each row's activations, so that every row "
            "crosses once and the head computes only in the first epoch. What is kept can be turned back into text; "
            "it is deleted when the run ends."
        ),
        json_schema_extra=ui(level="advanced", label="Keep activations"),
    )

    @model_validator(mode="after")
    def steps_or_epochs(self) -> TrainingSection:
        """Exactly one of steps and epochs, and micro-batches that divide the batch."""
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("Give either steps or epochs, and leave the other empty.")
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.micro_batches} equal micro_batches."
            )
        return self


class ScheduleSection(Section):
    """How several data organisations train together."""

    mode: Literal["parallel", "sequential", "splitfed_v1", "personalised"] = Field(
        "parallel",
        description=(
            "parallel: every organisation takes part in every step, on one shared adapter. sequential: one after the "
            "other, in the contract's order. splitfed_v1: each organisation trains a model of its own, and all of "
            "them are averaged in rounds. personalised: a shared body, and a head and tail of its own for each."
        ),
        json_schema_extra=ui(level="advanced", label="Mode"),
    )
    aggregate_every: int = Field(
        1,
        ge=0,
        le=1_000_000,
        description=(
            "parallel: how head and tail adapters are kept together. 1: gradients are summed in every step (equals "
            "central training). k > 1: weights are averaged every k steps (approximate). 0: as personalised. "
            "splitfed_v1: steps of a round, after which all adapters are averaged. No effect in other modes."
        ),
        json_schema_extra=ui(unit="steps", level="advanced", label="Aggregate every"),
    )
    turn_steps: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="sequential: steps that one organisation trains before the next one's turn.",
        json_schema_extra=ui(unit="steps", level="advanced", label="Steps of a turn"),
    )
    relay: bool = Field(
        True,
        description=(
            "sequential: hand the head and tail adapters on, through the compute organisation, to the one whose turn "
            "is next. Off: each organisation keeps its own, and one adapter for each comes out."
        ),
        json_schema_extra=ui(level="advanced", label="Hand head and tail on"),
    )
    group_clients: bool = Field(
        False,
        description=(
            "Compute the same micro-batch of all organisations as one batch in the body. Faster where micro-batches "
            "are small; the server half then waits for every organisation's part. No effect in sequential."
        ),
        json_schema_extra=ui(level="advanced", label="Group micro-batches"),
    )

    straggler: Literal["wait", "continue", "pause"] = Field(
        "wait",
        description=(
            "What happens when an organisation is late for a step. wait: the others wait for it. continue: the step "
            "goes on with those present, and what comes late is dropped; which steps that are depends on the clock, so "
            "a repeated run is not the same. pause: the run ends where it stands and can be resumed. In the modes "
            "parallel (aggregate_every 1 or 0) and personalised."
        ),
        json_schema_extra=ui(level="advanced", label="Late organisation"),
    )
    deadline_factor: float = Field(
        1.5,
        ge=1.05,
        le=100,
        description="An organisation is late after this many times the median time of a step.",
        json_schema_extra=ui(unit="× median", level="advanced", label="Deadline"),
    )

    @model_validator(mode="after")
    def rounds_have_an_end(self) -> ScheduleSection:
        """Adapters that are never averaged would be as many separate runs."""
        if self.mode == "splitfed_v1" and self.aggregate_every == 0:
            raise ValueError("splitfed_v1 averages: give aggregate_every, the steps of a round, as 1 or more.")
        return self

    @model_validator(mode="after")
    def a_deadline_needs_parts_that_can_be_left_out(self) -> ScheduleSection:
        """Where the others wait for a part in the middle of a step, or weights are exchanged, none can be left out."""
        fits = self.mode == "personalised" or (self.mode == "parallel" and self.aggregate_every <= 1)
        if self.straggler != "wait" and (not fits or self.group_clients):
            raise ValueError(
                "straggler continue or pause needs mode parallel with aggregate_every 1 or 0, or personalised, "
                "without group_clients."
            )
        return self


class DataSection(Section):
    """How rows become tokens."""

    template: Literal["plain", "chat"] = Field(
        "plain",
        description="plain: prompt followed by completion. chat: the tokenizer's own chat template.",
        json_schema_extra=ui(level="advanced", label="Template"),
    )
    loss_on: Literal["completion", "all"] = Field(
        "completion",
        description="Whether the prompt's tokens count in the loss too.",
        json_schema_extra=ui(level="advanced", label="Loss on"),
    )
    eval_fraction: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of rows that is held out for evaluation, where the dataset has no held-out part.",
        json_schema_extra=ui(level="advanced", label="Held-out share"),
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Column mapping: role (prompt, completion, messages, text) → column name. Empty: as registered.",
        json_schema_extra=ui(level="advanced", label="Columns"),
    )


class WireSection(Section):
    """Number formats on the wire."""

    activations: CodecName = Field(
        "bf16",
        description=(
            "Format of activations between the organisations. int8 takes half the bytes of bf16, int4 a quarter, "
            "int3 a fifth, int2 an eighth; the fewer bits, the further training departs from the exact one."
        ),
        json_schema_extra=ui(label="Activations"),
    )
    gradients: CodecName = Field(
        "bf16",
        description=(
            "Format of activation gradients between the organisations; with 4 bits or less, choose a rounding that is "
            "right on average."
        ),
        json_schema_extra=ui(label="Gradients"),
    )
    gradient_rounding: Rounding = Field(
        "nearest",
        description=(
            "How gradients are rounded to formats of 8 bits or less. nearest: least error, but always the same way. "
            "stochastic: by chance, right on average, with more noise. rotated: to the nearest after a random "
            "rotation, right on average with little noise; the choice for 4 bits and less."
        ),
        json_schema_extra=ui(level="advanced", label="Rounding of gradients"),
    )
    skip_padding: bool = Field(
        False,
        description=(
            "Leave out positions that only fill up shorter rows. Changes nothing but the traffic; both sides know the "
            "rows' lengths in any case."
        ),
        json_schema_extra=ui(level="advanced", label="Leave padding out"),
    )
    changes: ChangeName | None = Field(
        None,
        description=(
            "From a row's second visit on, send only how its activations have changed since the last one, in this "
            "format (ternary: 1.6 bits). Both sides keep the activations of every row in a cache. Padding is left out."
        ),
        json_schema_extra=ui(level="advanced", label="Changes of activations"),
    )
    cache_mb: int = Field(
        2_000,
        ge=1,
        le=10_000_000,
        description=(
            "Room for each cache of activations at a party. Rows for which none is left are sent in full at each visit."
        ),
        json_schema_extra=ui(unit="MB", level="advanced", label="Cache limit"),
    )
    cache_on: Literal["memory", "disk"] = Field(
        "memory",
        description="Where caches of activations lie. On disk they have no name and end with the run's process.",
        json_schema_extra=ui(level="advanced", label="Caches"),
    )
    patience: int = Field(
        60,
        ge=1,
        le=3600,
        description=(
            "How long a broken connection is dialled again before the run is interrupted, to be resumed from its "
            "checkpoints. Longer survives longer cuts; a half whose machine died is noticed later."
        ),
        json_schema_extra=ui(unit="seconds", level="advanced", label="Patience with the network"),
    )


class PrivacySection(Section):
    """Room for the privacy mechanisms; none is built yet, so none can be chosen."""

    mechanism: Literal["none"] = Field(
        "none",
        description="Mechanism at the cut. Activations can be inverted: see docs/threat-model.md.",
        json_schema_extra=ui(level="advanced", label="Mechanism"),
    )
