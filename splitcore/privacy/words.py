"""How hub and console say what a dataset's rows have spent: never a number without its unit. Torch-free.

The fields are those that NIST SP 800-226 asks of whoever states an ε.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from splitcore.privacy.composition import in_words

TERMS: tuple[tuple[str, str], ...] = (
    ("Covers", "Hidden states at the first cut, in all runs of this site together."),
    (
        "Doesn't cover",
        "Gradients at the second cut, which tell labels; labels themselves in vanilla; how many rows there are and how "
        "long each is; summed updates of head and tail; losses; figures of audits and evaluations; what the finished "
        "adapter tells. All of these add to what can be learnt of a row.",
    ),
    ("Unit", "One row. Whoever wrote several rows, or one that is there again in other words, has more to lose."),
    ("Neighbours", "Datasets in which one row is replaced by any other row of as many tokens."),
    ("Mechanism", "Vectors clipped to a norm, Gaussian noise from a secret of the site. Composed exactly."),
    ("Trust", "The site's own worker clips and adds the noise. Nobody who receives the hidden states is trusted."),
    (
        "Rounding",
        "Up. The hub is told the next of 1, 2 and 5 times a power of ten, since an exact figure tells how long the "
        "longest row is; the worker's own page shows three digits.",
    ),
    (
        "Meaning",
        "Seeing the hidden states multiplies anyone's odds of one row against another by e^ε at most, apart from a "
        "probability of δ. At ε = 8 that is a factor of 2,981.",
    ),
)
MECHANISMS = {"": "no noise of a known law"}


@dataclass(frozen=True)
class RunLine:
    """A run that took something of a dataset's rows."""

    run_id: str
    epsilon: str  # of the row from which it took most
    mechanism: str
    name: str = ""
    url: str = ""


@dataclass(frozen=True)
class Spending:
    """What a page shows of a dataset."""

    epsilon: str
    delta: str
    budget: str  # "": the site has none
    percent: int | None  # of the budget that is spent; None where there is none, or no bound
    runs: tuple[RunLine, ...]
    terms: tuple[tuple[str, str], ...] = TERMS

    @property
    def summary(self) -> str:
        """One sentence."""
        if not self.runs:
            return "No run has sent hidden states of these rows yet."
        if self.epsilon == "no bound":
            return (
                "No bound: hidden states of some row left without noise of a known law, or through a trained head that "
                "organisations share. That can't be undone by later noise."
            )
        return f"ε = {self.epsilon} at δ = {self.delta} for the row that has spent most."

    @property
    def bar(self) -> str:
        """What is written beside the bar."""
        return f"ε = {self.epsilon} of {self.budget}"

    def named(self, names: dict[str, tuple[str, str]]) -> Spending:
        """With name and address of the runs that are known here."""
        runs = list(self.runs)
        for place, one in enumerate(runs):
            if one.run_id in names:
                name, url = names[one.run_id]
                runs[place] = replace(one, name=name, url=url)
        return replace(self, runs=tuple(runs))


def spending(
    epsilon: float | None, delta: float, budget: float | None, runs: Iterable[tuple[str, float | None, str]]
) -> Spending:
    """In words. `runs`: id, ε and mechanism of each. None as an ε: no bound."""
    percent = None if budget is None or epsilon is None else min(100, round(100 * epsilon / budget))
    lines = tuple(RunLine(run_id, in_words(taken), MECHANISMS.get(how, how)) for run_id, taken, how in runs)
    return Spending(in_words(epsilon), f"{delta:g}", "" if budget is None else f"{budget:g}", percent, lines)
