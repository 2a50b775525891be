"""How the data parties of an attempt agree on their masks, before the first step: the server half passes keys on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from splitcore.codecs.tensors import decode
from splitcore.config import config_hash
from splitcore.config.run import canonical_json
from splitcore.errors import AppError
from splitcore.masking.agreement import MaskKey
from splitcore.masking.masks import Masks
from splitcore.masking.seals import Seals
from splitcore.run.plan import RunPlan
from splitcore.step.link import Link, TensorsIn, out_of_turn
from splitcore.wire.protocol.messages import Kind

KEYS = "keys"


@dataclass(frozen=True)
class Hiding:
    """What a data party hides from the server half what it sends of head and tail with; none where it does not."""

    masks: Masks | None = None
    seals: Seals | None = None


def agreed_hiding(plan: RunPlan, party: str, link: Link, *, step: int, branch: str) -> Hiding:
    """A data party's masks or seals from `step` on, under keys that no other attempt has.

    Raises AppError CL-1538 for a key that its party's certificate has not signed for this attempt, CL-1505.
    """
    settings, parties = plan.settings, list(plan.settings.parties)
    if not (plan.masked or plan.sealed):
        return Hiding()
    signatory = settings.signatory
    if signatory is None:
        raise RuntimeError("masked sums need this worker's signature and the others' certificates")
    named = [settings.run, settings.contract, config_hash(settings.config), parties, branch, step]
    key = MaskKey(party, parties, context=canonical_json(named).encode())
    link.send(Kind.MASK_KEYS, tensors=_sent([key.signed(signatory)]))
    answer = link.receive()
    if answer.kind is not Kind.MASK_KEYS:
        raise out_of_turn(answer)
    rows = [bytes(row.tolist()) for row in decode(answer.tensors[KEYS])]
    if len(rows) != len(parties):
        raise AppError("CL-1505", "The server half passed on too few mask keys.")
    secrets = key.secrets(dict(zip(parties, rows, strict=True)), signatory)
    return Hiding(seals=Seals(party, secrets)) if plan.sealed else Hiding(masks=Masks(party, parties, secrets))


def pass_keys_on(plan: RunPlan, links: Sequence[Link]) -> None:
    """At the server half: what each party has sent goes to all, in the contract's order. Raises AppError CL-1505."""
    if not (plan.masked or plan.sealed):
        return
    keys: list[bytes] = []
    for link in links:
        message = link.receive()
        if message.kind is not Kind.MASK_KEYS:
            raise out_of_turn(message)
        keys.append(bytes(decode(message.tensors[KEYS])[0].tolist()))
    for link in links:
        link.send(Kind.MASK_KEYS, tensors=_sent(keys))


def _sent(keys: Sequence[bytes]) -> TensorsIn:
    return {KEYS: (torch.tensor([list(key) for key in keys], dtype=torch.uint8), "u8")}
