"""The checks without which an audit's figures mean nothing (torch)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import torch

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.figures import Truth
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.measured import Interval
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import PARTY, Capture, plan_of
from splitcore.audit.null import shuffled
from splitcore.audit.result import Control
from splitcore.audit.scoring import Scored
from splitcore.config import RunConfig

# of the tokens, where nothing is in the attacks' way; through z, of what the public model says, often by a hair
ENOUGH = {LeakChannel.HIDDEN: 0.99, LeakChannel.GRADIENT: 0.99, LeakChannel.OUTPUT: 0.95}


def undefended(config: RunConfig) -> RunConfig:
    """The same run with nothing in an attacker's way: no defence, full precision on the wire, the head as it is public.

    The last layers are the bare output head, through which labels are read from gradients. Whether attacks read that
    shows whether they work on this model and this text at all.
    """
    data = config.model_dump(mode="json")
    plain = {"privacy": {}, "methods": [], "wire": {"activations": "fp32", "gradients": "fp32"}}
    tail = {} if config.split.topology == "vanilla" else {"tail_layers": 0}
    split, lora = {**data["split"], **tail}, {**data["lora"], "train_head": False}
    return RunConfig.parse({**data, **plain, "split": split, "lora": lora})


def no_defence(found: Sequence[Scored], channel: LeakChannel) -> Control:
    """Whether one of the attacks on this channel read such a run."""
    shares = [one.figures.tokens.value for one in found if one.figures is not None and one.result.channel is channel]
    share, least = max(shares, default=0.0), ENOUGH[channel]
    wanted = Interval(value=1.0, low=least, high=1.0)
    return Control(name="no_defence", channel=channel, passed=share >= least, found=share, wanted=wanted)


@torch.no_grad()
def completed_truths(taken: Capture, transcript: Transcript) -> list[Truth]:
    """What an attack on z must say of the first step: what the public model says after each row's true prefix.

    What else it says of the text depends on the model, and shows nothing of the attack.
    """
    model = Knowledge(plan_of(taken.config), PARTY).model
    truths = list[Truth]()
    for one in transcript.crossings:
        row = taken.rows[one.step, one.micro, one.place]
        told_N, scored_N = row.ids_N.clone(), torch.zeros(len(row.ids_N), dtype=torch.bool)
        if not one.step:
            told_N[1:] = model(row.ids_N.unsqueeze(0)).logits[0].argmax(1)[:-1]
            scored_N[1:] = True
        truths.append(Truth(told_N, scored_N, row.number))
    return truths


def steady(one: Scored, *, seed: int) -> Control:
    """Whether an attack's null is like the mean of other swaps of its records; else its records hang together."""
    null = one.result.null
    if null is None:
        wanted = Interval(value=0.0, low=0.0, high=0.0)
        return Control(name="shuffled", channel=one.result.channel, passed=False, found=1.0, wanted=wanted)
    mean = fmean(shuffled(one.guesses, one.truths, seed=seed))
    passed = null.tokens.low <= mean <= null.tokens.high
    return Control(name="shuffled", channel=one.result.channel, passed=passed, found=mean, wanted=null.tokens)
