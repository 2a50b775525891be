"""The checks without which an audit's figures mean nothing (torch)."""

from __future__ import annotations

from collections.abc import Sequence

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.measured import Interval
from splitcore.audit.null import shuffled
from splitcore.audit.result import Control
from splitcore.audit.scoring import Scored
from splitcore.config import RunConfig

ENOUGH = 0.99  # of the tokens, where nothing is in the attacks' way


def undefended(config: RunConfig) -> RunConfig:
    """The same run with nothing in an attacker's way: no defence, full precision on the wire, the head as it is public.

    Whether attacks read that shows whether they work on this model and this text at all.
    """
    data = config.model_dump(mode="json")
    plain = {"privacy": {}, "methods": [], "wire": {"activations": "fp32", "gradients": "fp32"}}
    return RunConfig.parse({**data, **plain, "lora": {**data["lora"], "train_head": False}})


def no_defence(found: Sequence[Scored]) -> Control:
    """Whether one of the attacks read such a run."""
    share = max((one.figures.tokens.value for one in found if one.figures is not None), default=0.0)
    wanted = Interval(value=1.0, low=ENOUGH, high=1.0)
    return Control(name="no_defence", channel=LeakChannel.HIDDEN, passed=share >= ENOUGH, found=share, wanted=wanted)


def steady(one: Scored, *, seed: int) -> Control:
    """Whether an attack's null is like the mean of other swaps of its records; else its records hang together."""
    null = one.result.null
    if null is None:
        wanted = Interval(value=0.0, low=0.0, high=0.0)
        return Control(name="shuffled", channel=one.result.channel, passed=False, found=1.0, wanted=wanted)
    mean = shuffled(one.guesses, one.truths, seed=seed)
    passed = null.tokens.low <= mean <= null.tokens.high
    return Control(name="shuffled", channel=one.result.channel, passed=passed, found=mean, wanted=null.tokens)
