"""Enrols many workers by the hub's own services, without their processes: `python -m … COUNT FILE`.

It runs in the hub's environment. FILE gets their identities: a list of [worker id, certificate, key].
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import django

django.setup()

from splitcore.wire.transport.certificates import Identity, create_identity  # noqa: E402
from webapp.accounts.models import User  # noqa: E402
from webapp.fleet.enrolment import enrolment_token_create, worker_enrol  # noqa: E402
from webapp.fleet.services import worker_confirm  # noqa: E402
from webapp.orgs.models import Organisation  # noqa: E402
from webapp.orgs.services import organisation_create  # noqa: E402
from workers.contracts import EnrolRequest, WorkerFacts  # noqa: E402

EACH = 10  # workers of one organisation


def enrolled(count: int) -> Iterator[Identity]:
    """Organisations of ten, each worker with a key of its own and confirmed."""
    user, organisation = None, None
    for number in range(count):
        if number % EACH == 0:
            user, organisation = person(number // EACH)
        assert user is not None
        assert organisation is not None
        yield worker(user, organisation, f"worker-{number}")


def person(number: int) -> tuple[User, Organisation]:
    """An organisation with its administrator, who never signs in."""
    user = User.objects.create_user(f"idle{number}@example.org", name=f"Person {number}")
    return user, organisation_create(actor=user, name=f"Organisation {number}", kind="data", contact_email=user.email)


def worker(user: User, organisation: Organisation, name: str) -> Identity:
    """One worker from its token to its confirmation."""
    made = create_identity(name)
    token = enrolment_token_create(actor=user, organisation=organisation, worker_name=name, kind="data")
    facts = WorkerFacts(cutlayer="0.1.0")
    request = EnrolRequest(
        token=token.secret, certificate_pem=made.certificate_pem, facts=facts, sent_at=datetime.now(UTC)
    )
    row = worker_confirm(actor=user, worker=worker_enrol(request=request), fingerprint=made.fingerprint)
    return Identity(row.id, made.certificate_pem, made.key_pem)


if __name__ == "__main__":
    found = [[one.worker_id, one.certificate_pem, one.key_pem.decode()] for one in enrolled(int(sys.argv[1]))]
    Path(sys.argv[2]).write_text(json.dumps(found))
