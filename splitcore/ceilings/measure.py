"""B1 and B2 of a run, measured on a party's real rows with the public head alone (torch).

They bound what *hidden states* tell of each scored token, to an attacker who may know everything else, labels
included, if κ is that attacker's. What leaves beside them without noise of a known law bounds nothing itself: labels
that are sent, or that gradients tell. `Record.of` scores no label.

References come from other text. A row's length is known to everyone, and so are the places that are scored.

Shapes: N tokens of a row, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from splitcore.ceilings import bits
from splitcore.ceilings.bits import Reference
from splitcore.ceilings.confidence import ALPHA, ROUNDING, Sampled
from splitcore.ceilings.figure import KAPPAS, Ceilings
from splitcore.ceilings.rows import ClippedHead, centre_of, spread_of
from splitcore.ceilings.tradeoff import Distances
from splitcore.data.tokenise import IGNORED, Encoded

POSITIONS = 200  # tokens that are measured against the rest of their record
PILOTS = 40  # more of them, from which a typical distance is taken
REPLACEMENTS = 8


@dataclass(frozen=True)
class Record:
    """Token ids (N,) and which of them a guess would be scored for."""

    ids_N: torch.Tensor
    scored_N: torch.Tensor

    @classmethod
    def of(cls, encoded: Encoded) -> Record:
        """A row whose labels are told elsewhere: its other tokens are scored."""
        return cls(torch.tensor(encoded.ids), torch.tensor(encoded.labels) == IGNORED)


@dataclass(frozen=True)
class Measured:
    """The ceilings of a run's hidden states, and what they are made of.

    record_nats: B2 per record, on average; token_nats: per scored token, its upper end. records, tokens: how many.
    """

    ceilings: Ceilings
    record_nats: float
    token_nats: float
    records: int
    tokens: int


def measure(
    head: ClippedHead,
    records: Sequence[Record],
    auxiliary: Sequence[torch.Tensor],
    *,
    longest: int,
    positions: int = POSITIONS,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Measured:
    """The ceilings of these records (B1; of a sample of their tokens) and of the text that they are a sample of (B2).

    auxiliary: ids (N,) of other text, public or of another party. longest: tokens that no row exceeds. alpha: the
    probability that any of the sampled bounds is too low. Raises ValueError where a record is among the other text, and
    where no token is scored.
    """
    _check_other(records, auxiliary)
    records = [record for record in records if bool(record.scored_N.any())]
    if not records:
        raise ValueError("no token is scored")
    rows, others = head.rows([record.ids_N for record in records]), head.rows(auxiliary)
    centre_LD = centre_of(others, longest)
    scored_R = torch.tensor([int(record.scored_N.sum()) for record in records])
    reference = _reference(others, centre_LD)
    nats_R = torch.tensor([reference.nats(row_ND) for row_ND in rows], dtype=torch.float64)
    most = reference.largest(head.radius, longest, whole=head.clips_whole)
    token_nats = bits.per_token_upper(nats_R, scored_R, largest=most, longest=longest, alpha=alpha / 2)
    record = Distances(record_distances(rows, centre_LD, head.radius, whole=head.clips_whole), scored_R)
    token = _token(head, records, rows, auxiliary, longest, positions, alpha / 2, seed)
    return Measured(
        Ceilings(record, token, token_nats), float(nats_R.mean()), token_nats, len(rows), int(scored_R.sum())
    )


def record_distances(
    rows: Sequence[torch.Tensor], centre_LD: torch.Tensor, radius: float, *, whole: bool = False
) -> torch.Tensor:
    """Of whole records from the centre (R,), in σ. Raises ValueError where a row is beyond the clip.

    `whole`: the clip is of a record's rows together.
    """
    _check_clip([row_ND.flatten().unsqueeze(0) for row_ND in rows] if whole else rows, radius)
    return torch.stack([(row_ND.double() - centre_LD[: len(row_ND)]).norm() for row_ND in rows])


def token_distances(
    head: ClippedHead,
    rows: Sequence[torch.Tensor],
    records: Sequence[Record],
    places: Sequence[tuple[int, int]],
    replacing: torch.Tensor,
    draw: torch.Generator,
) -> torch.Tensor:
    """Of each (record, token) from the mean of its rows with other tokens there, over the rows that they act on.

    The others are drawn from `replacing` (ids) without a look at the true one, else the mean would depend on it.
    """
    found = list[torch.Tensor]()
    for number, place in places:
        replaced_KN = records[number].ids_N.repeat(REPLACEMENTS, 1)
        replaced_KN[:, place] = replacing[torch.randint(len(replacing), (REPLACEMENTS,), generator=draw)]
        since = head.acts_from(place)
        centre_ND = torch.stack([row_ND[since:] for row_ND in head.rows(list(replaced_KN))]).double().mean(0)
        found.append((rows[number][since:].double() - centre_ND).norm())
    return torch.stack(found)


def label_distances(gradients: Sequence[torch.Tensor], radius: float) -> torch.Tensor:
    """Of each label from zero: norms of its clipped gradient row over σ, for last layers that are a norm and a head.

    The mean gradient over labels is zero, and zero depends on no label. A tail with blocks lets a label act on the rows
    before it, too: there the distance of any label is at most its record's, the root of the sum of squares. Raises
    ValueError where a row is beyond the clip.
    """
    _check_clip(gradients, radius)
    return torch.cat([gradient_ND.double().norm(dim=1) for gradient_ND in gradients])


def clip_distances(lengths_R: torch.Tensor, radius: float, releases: int = 1) -> torch.Tensor:
    """R√(T E)/σ: what no record of T rows exceeds, released E times with any head. Needs no data."""
    return radius * (lengths_R.double() * releases).sqrt()


def _token(
    head: ClippedHead,
    records: Sequence[Record],
    rows: Sequence[torch.Tensor],
    auxiliary: Sequence[torch.Tensor],
    longest: int,
    positions: int,
    alpha: float,
    seed: int,
) -> Sampled:
    """Of tokens drawn from all scored ones."""
    draw, replacing = torch.Generator().manual_seed(seed), torch.cat(list(auxiliary))
    every = [(number, int(place)) for number, one in enumerate(records) for place in one.scored_N.nonzero().flatten()]
    drawn = [every[int(one)] for one in torch.randint(len(every), (PILOTS + positions,), generator=draw)]
    m_N = token_distances(head, rows, records, drawn, replacing, draw)
    largest = 2 * head.reach(longest) * (1 + ROUNDING)
    return Sampled(
        m_N[PILOTS:], largest, float(m_N[:PILOTS].median()), alpha, shares=len(KAPPAS) + 2
    )  # the curve, a point and the gain


def _reference(others: Sequence[torch.Tensor], centre_LD: torch.Tensor) -> Reference:
    """With or without the spread of other text's rows: what tells less of one half of them, known from the other."""
    one, half = others[::2], others[1::2]
    if not half:
        return Reference(centre_LD)
    trial_LD = centre_of(one, len(centre_LD))
    plain, shaped = Reference(trial_LD), Reference(trial_LD, spread_of(one, trial_LD))
    if sum(map(shaped.nats, half)) < sum(map(plain.nats, half)):
        return Reference(centre_LD, spread_of(others, centre_LD))
    return Reference(centre_LD)


def _check_other(records: Sequence[Record], auxiliary: Sequence[torch.Tensor]) -> None:
    own = {tuple(record.ids_N.tolist()) for record in records}
    if any(tuple(ids_N.tolist()) in own for ids_N in auxiliary):
        raise ValueError("a reference is taken from other text than what is measured")


def _check_clip(rows: Sequence[torch.Tensor], radius: float) -> None:
    if max(float(row_ND.double().norm(dim=1).max()) for row_ND in rows) > radius * (1 + ROUNDING):
        raise ValueError("a row is longer than the clip allows")
