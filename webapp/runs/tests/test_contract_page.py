"""The contract's page: verdicts, decisions, and the buttons of whoever may press them."""

from __future__ import annotations

import pytest
from django.urls import reverse

from webapp.runs.models import Run
from webapp.runs.services import approval_decide
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def test_the_contract_page_shows_verdicts_with_their_reasons_and_the_buttons_of_the_approver_alone(client):
    w = make.world()
    make.submit(w)
    make.verdict(
        w, 1, accepted=False, refusals=[{"field": "split.head_layers", "message": "At least 3.", "limit": "3"}]
    )
    address = reverse("runs:approvals", args=[w.run.id])
    client.force_login(w.approvers[1])
    page = client.get(address).content.decode()
    assert "At least 3." in page
    assert "Head layers" in page
    assert "split.head_layers</code>" not in page
    assert page.count('value="decline"') == 1
    client.force_login(w.engineer)
    page = client.get(address).content.decode()
    assert 'value="approve"' not in page
    assert "you need the role" in page


def test_the_contract_page_shows_the_command_that_a_site_has_to_run(client):
    w = make.world()
    make.submit(w)
    command = f"cutlayer worker trust {'ab' * 32}"
    refusals = [{"field": "participants.fingerprint", "message": f"Not trusted here. Run: `{command}`."}]
    make.verdict(w, 1, accepted=False, refusals=refusals)
    make.verdict(w, 0, accepted=False, refusals=[{"field": "approve", "message": "Waiting: `cutlayer worker approve`"}])
    client.force_login(w.approvers[1])
    page = client.get(reverse("runs:approvals", args=[w.run.id])).content.decode()
    assert f"<code>{command}</code>" in page
    assert f"{w.workers[1].name} doesn&#x27;t trust a certificate in this contract yet" in page
    assert "Change it and resubmit" not in page
    assert "Waiting for the site" in page


def test_the_contract_page_names_what_a_worker_refuses_in_the_words_of_the_form(client):
    w = make.world()
    make.submit(w)
    refusals = [
        {"field": "participants.dataset", "message": "The rows of notes v1 aren't on this worker."},
        {"field": "made.up", "message": "Something newer."},
    ]
    make.verdict(w, 1, accepted=False, refusals=refusals)
    client.force_login(w.approvers[1])
    page = client.get(reverse("runs:approvals", args=[w.run.id])).content.decode()
    assert "<strong>Dataset.</strong> The rows of notes v1" in page
    assert "participants.dataset" not in page
    assert "<strong>made.up.</strong>" in page, "a newer worker's field keeps its name"


def test_approving_on_the_page_approves_exactly_the_hash_that_was_shown(client):
    w = make.world()
    make.submit(w)
    client.force_login(w.approvers[0])
    address = reverse("runs:decide", args=[w.run.id])
    client.post(address, {"decision": "approve", "contract_hash": "0" * 64})
    assert w.run.approvals.filter(state="approved").count() == 0
    client.post(address, {"decision": "approve", "contract_hash": w.fresh().contract_hash})
    assert w.run.approvals.get(state="approved").organisation == w.organisations[0]


def test_the_contract_page_keeps_earlier_decisions_with_their_reasons_and_no_others(client):
    w = make.world()
    make.submit(w)
    decline = {"actor": w.approvers[1], "organisation": w.organisations[1], "approve": False}
    approval_decide(run=w.fresh(), contract_hash=w.fresh().contract_hash, reason="At most 10 steps.", **decline)
    address = reverse("runs:approvals", args=[w.run.id])
    client.force_login(w.engineer)
    page = client.get(address).content.decode()
    assert "Earlier contracts" not in page, "nothing was changed yet"
    assert page.count("Not decided") == len(w.organisations) - 1, "nobody is waited for any more"
    Run.objects.filter(pk=w.run.pk).update(contract_hash="0" * 64)
    earlier = client.get(address).content.decode().partition("Earlier contracts of this run")[2]
    assert "At most 10 steps." in earlier
    assert "Beta bank" in earlier
    assert w.organisations[0].name not in earlier, "it had not decided"


def test_withdrawing_a_run_is_asked_back_and_names_the_way_to_change_it(client):
    w = make.world()
    make.submit(w)
    address = reverse("runs:approvals", args=[w.run.id])
    client.force_login(w.engineer)
    page = client.get(address).content.decode()
    assert 'data-dialog-open="withdraw-run"' in page
    assert "can't be reopened" in page
    assert "use Change instead" in page
    client.force_login(w.approvers[1])
    assert "use Change instead" not in client.get(address).content.decode(), "a partner cannot change it"
