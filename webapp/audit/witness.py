"""Where the chain ends, as it is told to workers.

Workers keep the highest end that they were told. A hub, or whoever has its database, can then neither cut the chain's
end off nor write it anew without one of the parties being able to show it.
"""

from __future__ import annotations

from webapp.audit.models import AuditEntry, Restoration
from webapp.core.ids import new_id
from workers.contracts import ChainHead


def chain_head() -> ChainHead:
    """The newest entry's number and hash, and the epoch: another one after each restore from a backup."""
    last = AuditEntry.objects.order_by("-sequence").values_list("sequence", "hash").first()
    epoch = Restoration.objects.order_by("-number").values_list("epoch", flat=True).first()
    sequence, head = last or (0, "")
    return ChainHead(epoch=epoch or "", sequence=sequence, head=head)


def restoration_record(*, sequence: int, head: str) -> Restoration:
    """Begin a new epoch: the chain goes on from this entry, and what came after it is gone."""
    return Restoration.objects.create(epoch=new_id("epo"), sequence=sequence, head=head)
