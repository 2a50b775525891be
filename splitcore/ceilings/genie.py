"""B3q: a reader who holds the rest of the text and a model of text, and when that is a ceiling (torch).

Its score of a token is ln q(token | rest) + ln p(release | token, rest). On text that was *drawn from q* it is the
exact Bayes attacker, and no one is right more often. On any other text its prior is wrong, which can cost it more than
the rest of the text gives it: it is one more attack there, and bounds nothing.

Scoring every token of a vocabulary is slow, so only those of a list are. To stay a ceiling, a token counts as read
if its own score is not below the best one of the list, whether it is in the list or not: an over-count for every list.
An attack may not look: it is right where the best one of the list is the token.

Shapes: N tokens that were guessed, L tokens of the list.
"""

from __future__ import annotations

from enum import StrEnum

import torch

from splitcore.ceilings.confidence import Hits


class Text(StrEnum):
    """Where the guessed text is from."""

    DRAWN = "drawn from the prior"
    REAL = "real"


class Role(StrEnum):
    """What a figure says."""

    CEILING = "ceiling"  # no attacker of this world is right more often
    ATTACK = "attack"  # an attacker was right so often


def role_of(text: Text) -> Role:
    """What a model's prior makes of a figure on such text."""
    return Role.CEILING if text is Text.DRAWN else Role.ATTACK


def genie(own_N: torch.Tensor, listed_NL: torch.Tensor, place_N: torch.Tensor, *, text: Text) -> tuple[Role, Hits]:
    """The figure and what it is. own_N: score of the true token. place_N: its place in the list, −1 where it isn't."""
    role = role_of(text)
    hit_N = own_N >= listed_NL.max(1).values if role is Role.CEILING else listed_NL.argmax(1) == place_N
    return role, Hits(int(hit_N.sum()), len(hit_N))
