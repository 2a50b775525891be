"""A worker remembers where the hub's audit log ended, and reports a hub that lost it, once, until a person accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.contracts import ChainHead
from workers.witness import Witness


def head(sequence: int, letter: str = "a", epoch: str = "") -> ChainHead:
    return ChainHead(epoch=epoch, sequence=sequence, head=letter * 64)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    found = Witness(tmp_path)
    found.see(head(0))
    found.see(head(7))
    return found


def test_a_chain_that_grows_is_kept(witness: Witness) -> None:
    assert witness.see(head(9, "b")) is None
    assert witness.see(head(9, "b")) is None
    assert witness.kept() == head(9, "b")


@pytest.mark.parametrize(
    ("shown", "kind", "code"),
    [
        (head(6), "lost", "CL-1447"),
        (head(0), "lost", "CL-1447"),
        (head(7, "c"), "rewritten", "CL-1448"),
        (head(6, epoch="epo_1"), "restored", "CL-1446"),
        (head(9, epoch="epo_1"), "restored", "CL-1446"),
    ],
)
def test_a_chain_that_lost_what_was_seen_is_reported_once(
    witness: Witness, shown: ChainHead, kind: str, code: str
) -> None:
    found = witness.see(shown)
    assert found is not None
    assert (found.kind, found.error.code) == (kind, code)
    assert "entry 7" in found.error.message
    assert witness.see(shown) is None
    assert witness.finding() == found


def test_what_was_kept_stays_until_a_person_accepts(witness: Witness) -> None:
    witness.see(head(3, "d", epoch="epo_1"))
    witness.see(head(50, "e", epoch="epo_1"))
    assert witness.kept() == head(7)
    assert witness.accept() == head(3, "d", epoch="epo_1")
    assert witness.finding() is None
    assert witness.see(head(50, "e", epoch="epo_1")) is None
    assert witness.kept() == head(50, "e", epoch="epo_1")
    assert witness.accept() is None
