"""What a configuration says of what leaves: the one place of this package that knows its fields."""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.caches.choice import CacheChoice
from splitcore.config import RunConfig
from splitcore.flows.cast import Cast
from splitcore.schedules.interface import Exchange
from splitcore.wire.protocol.messages import Phase

ROOM = 45  # characters of a contract's sentence for several protections: each alone is as long as it is


@dataclass(frozen=True)
class Cut:
    """Where the model is cut, and for which data parties."""

    head_layers: int
    tail_layers: int
    parties: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """A run's configuration with its parties, in the terms in which flows differ."""

    config: RunConfig
    cast: Cast

    @property
    def exchange(self) -> Exchange:
        """What the parties' adapters have to do with each other."""
        return self.config.schedule.exchange(len(self.cast.clients))

    @property
    def cuts(self) -> list[Cut]:
        """Each place of the cut once, with the parties that have it there."""
        found: dict[tuple[int, int], list[str]] = {}
        for party in self.cast.clients:
            split = self.config.for_party(party).split
            found.setdefault((split.head_layers, split.tail_layers), []).append(party)
        if not found:
            return [Cut(self.config.split.head_layers, self.config.split.tail_layers, ())]
        return [Cut(head, tail, tuple(parties)) for (head, tail), parties in found.items()]

    @property
    def has_tail(self) -> bool:
        """Whether the last layers, and so the labels, stay with the data party."""
        return self.config.split.topology == "u_shape"

    @property
    def trains_head(self) -> bool:
        """Whether the first layers have an adapter, whose gradient comes down."""
        return self.config.lora.train_head

    @property
    def activations(self) -> str:
        """Format of hidden states."""
        return self.config.wire.activations.name

    @property
    def protections(self) -> list[str]:
        """What is done to hidden states before they leave a data party, in words; in short where that is much."""
        done = {one.name: words for one in self.config.cut_strategies if (words := one.words())}
        if len(done) < 2 or len("; ".join(done.values())) <= ROOM:
            return list(done.values())
        names = ", ".join(done)
        return [names if len(names) <= ROOM else f"{len(done)} defences, see the configuration"]

    @property
    def gradients(self) -> str:
        """Format of their gradients."""
        return self.config.wire.gradients.name

    @property
    def caches(self) -> dict[Phase, CacheChoice]:
        """What spares what has crossed of a row before, by the phase that it codes."""
        return self.config.caches_by_phase

    @property
    def sends_rows_once(self) -> bool:
        """Whether the compute party keeps the activations of every row, so that each goes up once."""
        return any(cache.spares_rows for cache in self.caches.values())

    @property
    def is_packed(self) -> bool:
        """Whether padding stays at home."""
        return self.config.wire.skip_padding or bool(self.caches)

    @property
    def masked(self) -> bool:
        """Whether what the parties send of head and tail can be read as a sum alone."""
        return self.config.privacy.masks_sums and self.exchange.sums_ends

    @property
    def sealed(self) -> bool:
        """Whether head and tail that are handed on are encrypted for their receiver."""
        return self.config.privacy.masks_sums and self.exchange.relays

    @property
    def turn_steps(self) -> int:
        """Steps of one party's turn, where adapters are handed on after it."""
        return self.exchange.relayed_every

    @property
    def in_turn(self) -> bool:
        """Whether one of several parties trains in a step."""
        return self.cast.several and self.config.schedule.in_turn

    @property
    def hands_moments_on(self) -> bool:
        """Whether the optimiser has a state that goes with relayed adapters."""
        return self.config.training.optimiser == "adamw"

    @property
    def leaves_late_ones_out(self) -> bool:
        """Whether a step may end without a party, which comes back to a later one."""
        return self.config.schedule.lateness()[0] == "continue"

    @property
    def tells_labels(self) -> bool:
        """Whether the model learns each row's label, not the text's own tokens."""
        return self.config.data.task.classes > 0

    @property
    def sends_whole_rows_as_labels(self) -> bool:
        """Whether labels are the whole text, not the completions alone."""
        return self.config.data.loss_on == "all"
