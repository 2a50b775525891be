"""One thing that leaves a party, and who it goes to; all else about what leaves is worked out from a list of these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from splitcore.wire.protocol.declared import Carried

ALWAYS = "in every step and evaluation"
STEPS = "in every step"


class Part(StrEnum):
    """An end of a flow: the words for it, where no organisation is named."""

    CLIENT = "data organisation"  # each that trains, with what is its own
    CLIENTS = "every data organisation"  # what is of all of them
    NEXT = "the data organisation whose turn is next"
    FIRST = "the first data organisation"
    SERVER = "compute organisation"
    WORKER = "each worker"
    MEASURING = "each worker with rows"
    RECIPIENTS = "the recipients that the contract names"
    HUB = "hub"
    RUN = "hub and everyone in the run"
    PARTNERS = "hub and the project's partners"

    @property
    def roles(self) -> frozenset[str]:
        """The roles of a run that it stands for."""
        return _ROLES[self]


_CLIENT, _ALL = frozenset({"client"}), frozenset({"client", "server", "evaluator"})
_ROLES: dict[Part, frozenset[str]] = {
    Part.CLIENT: _CLIENT,
    Part.CLIENTS: _CLIENT,
    Part.NEXT: _CLIENT,
    Part.FIRST: _CLIENT,
    Part.SERVER: frozenset({"server"}),
    Part.WORKER: _ALL,
    Part.MEASURING: frozenset({"client", "evaluator"}),
    Part.RECIPIENTS: _ALL,
    Part.HUB: frozenset({"hub"}),
    Part.RUN: _ALL | {"hub"},
    Part.PARTNERS: _ALL | {"hub"},
}


class Thing(StrEnum):
    """A kind of thing that somebody may see or not: a row of the tables. The value is its name."""

    ROWS = "Rows of text"
    LABELS = "Labels"
    SIZES = "Lengths and counts"
    ACTIVATIONS = "Activations"
    CUT_GRADIENTS = "Gradients at the cut"
    ENDS = "Head and tail adapters"
    NORMS = "Gradient norms"
    BODY = "Body adapter"
    KEYS = "Public keys and encrypted adapters"
    FIGURES = "Losses, times, byte counts"
    ANSWERS = "Answers to the public prompts"
    RESULT = "The finished adapter"
    TOKENIZER = "The base model's tokenizer"
    COURSE = "Phases and events"
    METADATA = "Metadata of datasets"
    WORKERS = "Facts about workers"
    LOGS = "Raw logs and error texts"


class Degree(StrEnum):
    """How surely one thing follows from another."""

    CONTAINED = "contained"
    COMPUTABLE = "computable"
    INFERABLE = "inferable"
    REPEATED = "repeated"  # a model may say again what it was trained on


@dataclass(frozen=True)
class Reveal:
    """What a receiver learns of a thing that was not sent: in a sentence, and as a note in a cell of a table."""

    thing: Thing
    degree: Degree
    how: str
    note: str = ""


@dataclass(frozen=True)
class Flow:
    """Something that leaves `sender`.

    `what` and `when` hold for every run in which it leaves; `only` says which those are, and is empty where all are.
    `form` is what this run's configuration makes of it, and may be empty.
    """

    thing: Thing
    what: str
    sender: Part
    receiver: Part
    when: str
    form: str = ""
    reveals: tuple[Reveal, ...] = ()
    only: str = ""
    kept: str = ""  # what the receiver keeps of it, where that outlives the step
    seen: str = ""  # the note in the receiver's cell of a table
    is_sum: bool = False  # over the parties
    is_noised: bool = False  # by a protection, before it leaves
    parties: tuple[str, ...] = ()  # the data parties that it concerns; none named: all
    carried: tuple[Carried, ...] = ()  # between the halves
    records: frozenset[str] = frozenset()  # kinds of record, to the hub
    requests: frozenset[str] = frozenset()  # of a worker's API at the hub, by the name of their route; or a socket's

    @property
    def key(self) -> tuple[str, Part, Part]:
        """What makes two flows of two runs the same."""
        return self.what, self.sender, self.receiver
