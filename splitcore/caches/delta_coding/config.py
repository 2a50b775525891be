"""Field, flows and cost of delta coding. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from splitcore.caches.choice import CacheChoice, CachePlace
from splitcore.fields import Section, ui
from splitcore.flow import STEPS, Degree, Flow, Part, Reveal, Thing
from splitcore.wire.protocol.declared import Carried, Content, Tensor
from splitcore.wire.protocol.messages import Kind, Phase

if TYPE_CHECKING:
    from splitcore.boundary.coding import Coding
    from splitcore.config import RunConfig

ChangeName = Literal["int4", "int3", "int2", "ternary"]


class DeltaCodingField(Section):
    """What asks for it."""

    changes: ChangeName | None = Field(
        None,
        description=(
            "From a row's second visit on, send only the change in its activations since the last visit, in this"
            " format (ternary: 1.6 bits). Both sides cache the activations of every row. Padding is omitted."
        ),
        json_schema_extra=ui(level="advanced", label="Delta-encode activations"),
    )


class DeltaCodingChoice(CacheChoice):
    """From a row's second visit on, only the change since the last one crosses, in a coarser format."""

    name, field = "delta_coding", "wire.changes"
    phases = (Phase.HEAD_UP, Phase.BODY_DOWN)

    def __init__(self, codec: ChangeName) -> None:
        self._codec = codec

    @classmethod
    def asked(cls, config: RunConfig) -> Self | None:
        """See `CacheChoice.asked`."""
        return None if config.wire.changes is None else cls(config.wire.changes)

    def flows(self, phase: Phase) -> Iterator[Flow]:
        """See `CacheChoice.flows`."""
        up = phase is Phase.HEAD_UP
        text = Reveal(
            Thing.ROWS,
            Degree.INFERABLE,
            "With the cached rows, they can be turned back into text.",
            "activations can be turned back into text",
        )
        yield Flow(
            Thing.ACTIVATIONS,
            f"the change in a row's activations at the {'first' if up else 'second'} cut since they were last sent",
            Part.CLIENT if up else Part.SERVER,
            Part.SERVER if up else Part.CLIENT,
            STEPS,
            form=f"as {self._codec}",
            reveals=(text,) if up else (),
            only=f"with `{self.field}`",
            kept="Both sides keep every row's activations until the run ends, including in their checkpoints.",
            seen="of every data organisation; can be turned back into text" if up else "",
            carried=(
                Carried(
                    Kind.ACTIVATIONS,
                    phase,
                    (
                        Tensor("changes", self._codec, Content.PACKED, is_required=False),
                        Tensor("check", "u8", Content.CHECKSUM, is_required=False),
                    ),
                ),
            ),
        )

    def form(self) -> str:
        """See `CacheChoice.form`."""
        return f", then changes as {self._codec}"

    def later(self, full: float, bytes_as: Callable[[str], float]) -> float:
        """See `CacheChoice.later`."""
        return bytes_as(self._codec)

    def saving(self) -> str:
        """See `CacheChoice.saving`."""
        return f"From a row's second visit on, activations are sent as {self._codec} changes: the low figure."

    def build(self, place: CachePlace) -> Coding:
        """See `CacheChoice.build`."""
        from splitcore.caches.delta_coding.coding import DeltaCoding

        return DeltaCoding(place, self._codec)
