"""Who takes part, as far as it decides what leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cast:
    """The parties of a run: data party → its organisation in the contract's order, and the compute organisation."""

    clients: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    prompts: bool = False  # whether the contract has public prompts

    @property
    def several(self) -> bool:
        """Whether more than one data party trains."""
        return len(self.clients) > 1


def anyone(count: int = 2, *, prompts: bool = True) -> Cast:
    """A run of so many data parties without a name, for what is said of runs in general."""
    return Cast({f"party-{number + 1}": "" for number in range(count)}, prompts=prompts)
