"""What both halves share: their segments, their files, what they accept and what they show of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import nn

from splitcore.adapters.lora import (
    AdapterLayout,
    adapter_parameters,
    config_dict,
    initialise,
    lora_config,
    place,
    weights_bytes,
)
from splitcore.adapters.segments import SegmentInfo, segment_files, write_folder
from splitcore.config import LoraSection, RunConfig, config_hash
from splitcore.flows import Cast, carried_to, flows_of
from splitcore.models.admission import admit
from splitcore.models.carve import Segment, hidden_width
from splitcore.models.loading import load_segment, locate
from splitcore.models.plan import Role
from splitcore.models.recompute import return_large_blocks
from splitcore.optimise.optimiser import moment_shapes
from splitcore.run.plan import RunPlan
from splitcore.run.settings import MAX_SAMPLES
from splitcore.wire.protocol.limits import FrameLimits, Sizes, session_limits
from splitcore.wire.protocol.messages import SessionIds

MAX_IN_FLIGHT_BYTES = 1 << 28
PINNING_BYTES = 1 << 27  # activations of all parties from which it pays to map each large tensor by itself


def admit_model(plan: RunPlan) -> None:
    """The admission test, before anything is loaded. Raises AppError CL-1101."""
    admit(plan.model_config, plan.settings.config.split.topology)


def load_with_adapter(plan: RunPlan, role: Role, layout: AdapterLayout, lora: LoraSection) -> Segment:
    """A segment with its initial adapter."""
    settings, config = plan.settings, plan.settings.config
    own = [cut for name, cut in plan.plans.items() if (name == "body") == (role == "body")]  # of this role's party
    folder = locate(settings.model_source, revision=plan.folder.name, plans=own, manifest=settings.manifest)
    segment = load_segment(
        folder,
        plan.plans[role],
        config.model,
        classes=config.data.task.classes,
        device=plan.device,
        manifest=settings.manifest,
    )
    place(segment.model, layout, lora)
    initialise(segment.model, config.training.seed)
    recompute = config.training.gradient_checkpointing
    if plan.device == "cpu" and (recompute or (role == "body" and _pins_much(plan))):
        return_large_blocks()
    if recompute:
        segment.recompute(draws=lora.dropout > 0)
    return segment


def _pins_much(plan: RunPlan) -> bool:
    """Whether what several parties hold of the body would pin much memory that was freed between.

    A tensor that is mapped by itself costs the kernel a fault a page, a third of a small body's CPU time; what small
    rows can pin is little. About 20 hidden widths are held a token and layer (see `planning.memory.saved_values`).
    """
    settings, cut = plan.settings, plan.plans["body"]
    rows = sum(settings.config.for_party(party).training.batch_size for party in settings.parties)
    tokens = rows * settings.config.training.max_length
    held = tokens * (cut.end - cut.start) * 20 * hidden_width(plan.model_config) * 4
    return len(settings.parties) > 1 and held >= PINNING_BYTES


def share_embedding(head: Segment, tail: Segment) -> None:
    """Hold the embedding of a tied model once for head and tail."""
    ours, theirs = head.model.get_input_embeddings(), tail.model.get_input_embeddings()
    tied, own = getattr(theirs, "weight", None), getattr(ours, "weight", None)
    if isinstance(tied, nn.Parameter) and isinstance(own, nn.Parameter) and tied.shape == own.shape:  # a slot's is none
        own.data = tied.data


def named_adapter(*segments: Segment) -> dict[str, nn.Parameter]:
    """Canonical name → parameter of the segments' adapters."""
    return {name: parameter for segment in segments for name, parameter in adapter_parameters(segment.model)}


def public_name(name: str) -> str:
    """The base model's name as it may be published: an id, or the last part of a folder's path."""
    is_path = name.startswith(("/", ".", "~")) or Path(name).is_dir()
    return Path(name).name if is_path else name


def write_segment(
    plan: RunPlan, segment: Segment, layout: AdapterLayout, lora: LoraSection, *, party: str, step: int, folder: Path
) -> Path:
    """Write a segment's adapter files into `folder`/<role>."""
    model, cut = plan.settings.config.model, segment.plan
    model = model.model_copy(update={"name_or_path": public_name(model.name_or_path)})
    info = SegmentInfo(
        cut.role, cut.start, cut.end, cut.total, party, step, model.name_or_path, model.revision, model.manifest
    )
    weights = weights_bytes(dict(adapter_parameters(segment.model)))
    target = folder / cut.role
    write_folder(target, segment_files(info, config_dict(lora_config(layout, lora, model)), weights))
    return target


def micro_rows(config: RunConfig, party: str) -> int:
    """Rows of one micro-batch."""
    training = config.for_party(party).training
    return training.batch_size // training.micro_batches


def in_flight(config: RunConfig, party: str, width: int) -> int:
    """Micro-batches that may be under way: all of them, unless they would fill the wire's window."""
    nbytes = micro_rows(config, party) * config.training.max_length * width * 4
    return max(1, min(config.training.micro_batches, MAX_IN_FLIGHT_BYTES // max(1, nbytes)))


def wire_limits(
    plan: RunPlan, party: str, side: Literal["client", "server"], layout: AdapterLayout, body: set[str], attempt: int
) -> FrameLimits:
    """What `side` accepts in the conversation with `party`; `body` names the adapter tensors of the body."""
    config = plan.settings.config
    ends = {name: shape for name, shape in layout.shapes.items() if name not in body}
    text = plan.model_config.get_text_config(decoder=True)
    sizes = Sizes(
        rows=max(micro_rows(config, party), MAX_SAMPLES),
        length=config.training.max_length,
        width=hidden_width(plan.model_config),
        vocabulary=text.vocab_size,
        parties=len(plan.settings.parties),
        adapters=ends,
        moments=moment_shapes(ends, config.training),
    )
    flows = flows_of(config, Cast(dict.fromkeys(plan.settings.parties, "")))
    return session_limits(SessionIds(plan.settings.run, party, attempt), side, carried_to(flows), sizes)


def hello_body(plan: RunPlan) -> Mapping[str, str | int | None]:
    """What a client shows of itself and the server must show too; its rows and checkpoints come on top."""
    settings = plan.settings
    return {
        "protocol": 2,
        "contract": settings.contract,
        "config": config_hash(settings.config),
        "manifest": settings.manifest.hash() if settings.manifest else None,
        "parties": ",".join(settings.parties),
    }
