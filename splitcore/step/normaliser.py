"""What each party's summed loss is divided by: target tokens, announced ahead of their step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from splitcore.config import RunConfig
from splitcore.run.plan import RunPlan
from splitcore.step.link import number, out_of_turn
from splitcore.wire.protocol.messages import Message

Tell = Callable[[str, int, int], None]  # party, step, tokens


def tokens_at_most(config: RunConfig) -> int:
    """The most target tokens that a batch can have under this party's configuration."""
    return config.training.batch_size * config.training.max_length


def tokens_of_round(plan: RunPlan) -> int:
    """The most target tokens that any party can have in a round of averages: what masked weights are divided by."""
    parties, config = plan.settings.parties, plan.settings.config
    return plan.exchange.ends_averaged_every * max(tokens_at_most(config.for_party(party)) for party in parties)


class LossNormaliser:
    """Counts the tokens of the parties of a step; sends their sum once all have arrived, or each one's own at once."""

    def __init__(
        self, *, taking_part: Callable[[int], list[str]], tell: Tell, own: bool, most: Mapping[str, int]
    ) -> None:
        """`own`: each party's loss is a mean over its own tokens; `most`: party → tokens that its batch can have."""
        self._taking_part, self._tell, self._own, self._most = taking_part, tell, own, most
        self._counts: dict[int, dict[str, int]] = {}
        self._told: dict[int, int] = {}

    def note(self, party: str, message: Message) -> None:
        """Take a party's tokens of a step. Raises AppError CL-1505."""
        counts, tokens = self._counts.setdefault(message.step, {}), int(number(message, "tokens"))
        if party not in self._taking_part(message.step) or party in counts or not 1 <= tokens <= self._most[party]:
            raise out_of_turn(message)
        counts[party] = tokens
        if self._own:
            self._tell(party, message.step, tokens)
        else:
            self._tell_if_known(message.step)

    def _tell_if_known(self, step: int) -> None:
        counts, parties = self._counts.get(step, {}), self._taking_part(step)
        if step not in self._told and parties and all(party in counts for party in parties):
            self._told[step] = sum(counts.values())
            for party in parties:
                self._tell(party, step, self._told[step])

    def told(self, step: int) -> bool:
        """Whether the parties of a step know their denominator, so that nobody can be added."""
        return step in self._told or (self._own and bool(self._counts.get(step)))

    def awaited(self, step: int) -> list[str]:
        """Parties whose token counts the others are waiting for."""
        if self._own or self.told(step):
            return []
        return [party for party in self._taking_part(step) if party not in self._counts.get(step, {})]

    def of(self, party: str, step: int) -> int | None:
        """The denominator of a party; None while it is unknown."""
        return self._counts.get(step, {}).get(party) if self._own else self._told.get(step)

    def without(self, party: str) -> None:
        """A party leaves: where a sum has been told it stays in it, see `close`; where not, it no longer counts."""
        for step, counts in self._counts.items():
            if step not in self._told:
                counts.pop(party, None)
                self._tell_if_known(step)

    def close(self, step: int, parties: Sequence[str]) -> tuple[dict[str, int], float]:
        """The tokens of those who took part, and what their sum of gradients is to be multiplied by."""
        counts = self._counts.pop(step)
        told, present = self._told.pop(step, None), {party: counts[party] for party in parties}
        total = sum(present.values())
        return present, 1.0 if told is None or told == total else told / total
