"""Fields of the attack `known_plaintext`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice, Need
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class KnownPlaintext(AttackChoice):
    """Find from known rows by which linear map the hidden states differ from the public ones, and undo it."""

    name: Literal["known_plaintext"] = "known_plaintext"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.KNOWN})
    draws: ClassVar[bool] = True
    map: Literal["any", "linear", "rotation"] = Field(
        "any",
        description=(
            "Which maps are tried. A rotation needs fewer known tokens; any takes what reads held-out known rows best."
        ),
        json_schema_extra=ui(label="Map", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.known_plaintext.attack import KnownPlaintextAttack

        return KnownPlaintextAttack(self)
