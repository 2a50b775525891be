"""Fields of the attack `completion`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from splitcore.attacks.choice import AttackChoice, LeakChannel

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack
    from splitcore.config import RunConfig


class Completion(AttackChoice):
    """Take for the next token the one that the public last layers find likeliest after the body's output."""

    channel: ClassVar[LeakChannel] = LeakChannel.OUTPUT
    name: Literal["completion"] = "completion"

    def refuses(self, config: RunConfig) -> str:
        """See `AttackChoice.refuses`."""
        if config.data.task.classes:
            return "The last layers tell labels of whole rows, and no next token."
        return super().refuses(config)

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.completion.attack import CompletionAttack

        return CompletionAttack()
