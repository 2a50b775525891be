"""What an audit found, as it is stored and shown: figures and names, never text. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from interface.formatting import human_share
from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.measured import Count, Figures, Interval, Share
from splitcore.audit.leaks.found import LeakCheck
from splitcore.audit.leaks.planted import PlantedRecord
from splitcore.audit.membership.told import Membership
from splitcore.audit.portfolio import Size
from splitcore.bounds import LINE, TEXT, Moment

Text = Annotated[str, Field(max_length=400, pattern=TEXT)]
Name = Annotated[str, Field(max_length=120, pattern=LINE)]
Bits = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttackResult(_Part):
    """One attack of the portfolio. null: the same attack's guesses scored against other records."""

    attack: Name  # with its options, in words
    channel: LeakChannel
    outcome: Literal["ran", "not_run", "failed"]
    reason: Text = ""
    figures: Figures | None = None
    null: Figures | None = None
    seconds: Seconds = 0.0


class Control(_Part):
    """One of the checks without which the figures mean nothing."""

    name: Literal["no_defence", "shuffled"]
    channel: LeakChannel
    passed: bool
    found: Share
    wanted: Interval

    @property
    def words(self) -> str:
        """What was checked, and what came out."""
        found, low, high = (human_share(share) for share in (self.found, self.wanted.low, self.wanted.high))
        if self.name == "no_defence":
            what = "of what the public model says" if self.channel is LeakChannel.OUTPUT else "of tokens"
            return (
                f"{self.channel.words}: without defences, in full precision and with the public first and last layers, "
                f"the attacks read {found} {what}; at least {low} is wanted."
            )
        return (
            f"{self.channel.words}: on records that were swapped at random, the attack gets {found}; "
            f"{low} to {high} is wanted."
        )


class ChannelResult(_Part):
    """The best attack on a channel, by tokens. It is the lower bound of what leaks."""

    channel: LeakChannel
    attack: Name
    figures: Figures
    null: Figures | None

    @classmethod
    def of(cls, result: AttackResult) -> ChannelResult:
        """Of an attack that ran."""
        assert result.figures is not None
        return cls(channel=result.channel, attack=result.attack, figures=result.figures, null=result.null)


class CeilingPoint(_Part):
    """What somebody who guesses the share `kappa` of the tokens without the hidden states gets with them at most.

    In a curve, kappa is that of a reader with the rest of the text, since one of the bounds is for him; others guess
    less without them. bound: which says so. says_something: whether it is low enough to tell anything.
    """

    kappa: Share
    value: Share
    bound: Literal["record", "bits", "token"]
    says_something: bool


class Gains(_Part):
    """What hidden states add to any success at most: for someone with nothing else, with the text so far, the rest."""

    record: Share
    bits: Share
    token: Share


class CeilingResult(_Part):
    """What no attacker can exceed on hidden states, or why nothing bounds that.

    Tokens of prompts alone are counted: labels may be told by gradients. at_null: for someone who guesses, without
    the hidden states and the rest of the text, as much as the upper end of what the best attack on them read of those
    tokens of other records.
    """

    why_none: Text = ""
    at_null: CeilingPoint | None = None
    curve: Annotated[list[CeilingPoint], Field(max_length=20)] = []
    gains: Gains | None = None
    record_bits: Bits = 0.0
    token_bits: Bits = 0.0
    tokens: Count = 0

    @property
    def telling(self) -> list[CeilingPoint]:
        """The points that say something."""
        return [point for point in self.curve if point.says_something]

    @property
    def says_something(self) -> bool:
        """Whether any point does."""
        return bool(self.telling) or bool(self.at_null and self.at_null.says_something)


class Shapes(_Part):
    """What lengths and zeros tell of rows, without any attack.

    exact: rows whose length in tokens is known. alone: rows that no other one shares its length with. bits: of what a
    row's length says on average of which row it is. prompts: rows of which zeros tell where the prompt ends.
    """

    rows: Count
    exact: Share
    alone: Share
    bits: Bits
    prompts: Share

    @property
    def words(self) -> str:
        """What they tell, for people."""
        text = (
            f"The exact length is told of {human_share(self.exact)} of rows. By its length alone, "
            f"{human_share(self.alone)} of them are told from every other one ({self.bits:.1f} bits per row)."
        )
        if self.prompts:
            text += f" Zeros among the gradients tell where the prompt ends in {human_share(self.prompts)} of rows."
        return text


class AuditResult(_Part):
    """valid: whether the controls passed. An audit that failed one says nothing, above all not that text is safe.

    shapes: what is told without any attack. leaks: what must not be in the frames by the run's own declaration, and
    whether it is. planted: how well those detectors find what was planted.
    membership: what the released adapter tells.
    """

    size: Size
    portfolio: Annotated[int, Field(ge=1, le=1 << 20)]
    at: Moment
    valid: bool
    records: Count
    auxiliary: Count
    known: Count = 0
    epochs: Count
    attacks: Annotated[list[AttackResult], Field(max_length=100)]
    controls: Annotated[list[Control], Field(max_length=100)]
    channels: Annotated[list[ChannelResult], Field(max_length=len(LeakChannel))]
    ceiling: CeilingResult | None = None
    shapes: Shapes | None = None
    leaks: Annotated[list[LeakCheck], Field(max_length=20)] = []
    planted: PlantedRecord | None = None
    membership: Membership | None = None
    seconds: Seconds

    @property
    def assumption(self) -> str:
        """What the observer is assumed to have, in a sentence."""
        text = f"{self.auxiliary} other rows of the same source" if self.auxiliary else "no text of the same source"
        if self.known:
            text += f", and knows {self.known} more rows that crossed"
        return (
            f"The observer is the compute organisation. It keeps every frame of {self.epochs} "
            f"{'epoch' if self.epochs == 1 else 'epochs'}, has the public base model, knows the algorithm and the "
            f"defences but not their secrets, and has {text}."
        )

    @property
    def found_leaks(self) -> list[LeakCheck]:
        """What is in the frames and must not be."""
        return [one for one in self.leaks if one.outcome == "found"]

    @property
    def not_run(self) -> list[AttackResult]:
        """The attacks of the portfolio without a figure."""
        return [attack for attack in self.attacks if attack.outcome != "ran"]

    @property
    def unmeasured(self) -> list[LeakChannel]:
        """Channels that were to be attacked, of which no attack gave a figure."""
        measured = {one.channel for one in self.channels}
        return [channel for channel in dict.fromkeys(one.channel for one in self.attacks) if channel not in measured]

    @property
    def why_not_run(self) -> list[str]:
        """The reasons, each once."""
        return list(dict.fromkeys(attack.reason for attack in self.not_run))
