"""Keys for masks: two parties agree on a secret, and nobody in between puts a key of its own in its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from splitcore.errors import AppError
from splitcore.masking.agreement import MaskKey, Signatory
from splitcore.wire.protocol.limits import MASK_KEY_BYTES
from splitcore.wire.transport.certificates import create_identity

PARTIES = ["a", "b", "c"]
IDENTITIES = {party: create_identity(party) for party in PARTIES}
CERTIFICATES = {party: identity.certificate_pem for party, identity in IDENTITIES.items()}
SIGNATORIES = {party: Signatory(identity.sign, CERTIFICATES) for party, identity in IDENTITIES.items()}
ATTEMPT = b"run 1, attempt 1"
Keys = dict[str, bytes]


def keys_of(context: bytes = ATTEMPT) -> dict[str, MaskKey]:
    return {party: MaskKey(party, PARTIES, context=context) for party in PARTIES}


def signed(keys: dict[str, MaskKey]) -> Keys:
    return {party: key.signed(SIGNATORIES[party]) for party, key in keys.items()}


def test_each_two_parties_have_a_secret_that_no_third_has() -> None:
    keys = keys_of()
    sent = signed(keys)
    assert {len(key) for key in sent.values()} == {MASK_KEY_BYTES}
    secrets = {party: key.secrets(sent, SIGNATORIES[party]) for party, key in keys.items()}
    assert all(secrets[one][other] == secrets[other][one] for one in PARTIES for other in secrets[one])
    assert len({secrets["a"]["b"], secrets["a"]["c"], secrets["b"]["c"]}) == 3
    assert {len(secret) for secret in secrets["a"].values()} == {32}


def test_no_two_attempts_have_a_secret_in_common() -> None:
    first, second = keys_of(), keys_of()
    assert first["a"].secrets(signed(first), SIGNATORIES["a"]) != second["a"].secrets(signed(second), SIGNATORIES["a"])


def _foreign(sent: Keys) -> Keys:
    """The server half has drawn a key for `b`, and signs it itself."""
    server = create_identity("server")
    return {**sent, "b": MaskKey("b", PARTIES, context=ATTEMPT).signed(Signatory(server.sign, {}))}


def _replaced(sent: Keys) -> Keys:
    """Its own key under the signature of `b`."""
    return {**sent, "b": MaskKey("b", PARTIES, context=ATTEMPT).signed(SIGNATORIES["b"])[:32] + sent["b"][32:]}


def _of_another_attempt(sent: Keys) -> Keys:
    return {**sent, "b": signed(keys_of(b"run 1, attempt 2"))["b"]}


def _of_another_party(sent: Keys) -> Keys:
    """A party that works with the server half gives its own key for another's."""
    return {**sent, "b": sent["c"]}


def _of_no_order(sent: Keys) -> Keys:
    """A point with which every secret is the same."""
    text = MaskKey("b", PARTIES, context=ATTEMPT)._text("b", bytes(32))
    return {**sent, "b": bytes(32) + IDENTITIES["b"].sign(text)}


def _own_replaced(sent: Keys) -> Keys:
    return {**sent, "a": signed(keys_of())["a"]}


def _left_out(sent: Keys) -> Keys:
    return {party: key for party, key in sent.items() if party != "c"}


@pytest.mark.parametrize(
    "attack",
    [_foreign, _replaced, _of_another_attempt, _of_another_party, _of_no_order, _own_replaced, _left_out],
    ids=lambda attack: attack.__name__,
)
def test_a_key_that_is_not_its_party_s_own_is_refused(attack: Callable[[Keys], Keys]) -> None:
    keys = keys_of()
    with pytest.raises(AppError, match="CL-1538"):
        keys["a"].secrets(attack(signed(keys)), SIGNATORIES["a"])
