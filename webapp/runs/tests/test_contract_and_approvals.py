"""From draft to approved: the hash, what a change does to it, and who may decide."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.configure.privacy import Party, who_sees_what
from webapp.runs.contract import config_agreed, contract_diff, contract_read
from webapp.runs.lifecycle.assignments import assignments_for
from webapp.runs.live.status import Status, status_of
from webapp.runs.models import ApprovalState, Run, RunState
from webapp.runs.selectors import inbox_for, needs_action_count
from webapp.runs.services import (
    PartyChoice,
    approval_decide,
    run_clone,
    run_draft_save,
    run_start,
    run_stop,
    run_submit,
)
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def _decide(w, place, *, actor=None, approve=True, reason="", contract_hash=None):
    return approval_decide(
        actor=actor or w.approvers[place],
        run=w.run,
        organisation=w.organisations[place],
        approve=approve,
        reason=reason,
        contract_hash=contract_hash or w.fresh().contract_hash,
    )


def _edit(w, **sections):
    run = w.fresh()
    run_draft_save(
        actor=w.engineer, project=w.project, organisation=run.organisation, name=run.name, run=run,
        config={**run.config, **sections},
    )  # fmt: skip
    return w.fresh()


def test_the_hash_is_taken_of_the_very_text_that_is_stored():
    w = make.world()
    run = make.submit(w)
    assert run.state == RunState.AWAITING
    assert run.contract_hash == hashlib.sha256(run.contract.encode()).hexdigest()
    document = contract_read(run.contract)
    assert [p.party for p in document.participants] == ["alpha-clinic", "beta-bank", "gamma-compute"]
    assert document.config["model"]["manifest"] == make.MANIFEST
    assert [p.receives_adapter for p in document.participants] == [True, True, False]


def test_every_organisation_has_to_approve_before_the_run_starts():
    w = make.world()
    make.submit(w)
    make.approve(w, 0, 1)
    assert w.fresh().state == RunState.AWAITING
    make.approve(w, 2)
    assert w.fresh().state == RunState.STARTING  # drafts start by themselves unless told otherwise
    assert w.run.desired == "running"


def test_a_change_voids_approvals_and_shows_the_field_that_changed():
    w = make.world()
    first = make.submit(w).contract_hash
    make.approve(w, 0)
    _edit(w, lora={"alpha": 4})
    assert w.run.state == RunState.DRAFT
    assert set(w.run.approvals.values_list("state", flat=True)) == {ApprovalState.VOIDED}
    run_submit(actor=w.engineer, run=w.run)
    run = w.fresh()
    assert run.contract_hash != first
    changes = {change.field: (change.old, change.new) for change in contract_diff(run.approved_contract, run.contract)}
    assert changes == {"config.lora.alpha": (16.0, 4.0)}


def test_a_change_after_a_decline_shows_what_is_different_from_what_was_declined():
    w = make.world()
    make.submit(w)
    _decide(w, 1, approve=False, reason="Two head layers are too few for us.")
    _edit(w, lora={"alpha": 4})
    run_submit(actor=w.engineer, run=w.run)
    run = w.fresh()
    assert [change.field for change in contract_diff(run.approved_contract, run.contract)] == ["config.lora.alpha"]


def test_a_decision_on_an_older_contract_is_refused():
    w = make.world()
    old = make.submit(w).contract_hash
    _edit(w, lora={"alpha": 4})
    run_submit(actor=w.engineer, run=w.run)
    with pytest.raises(AppError) as caught:
        _decide(w, 0, contract_hash=old)
    assert caught.value.code == "CL-1502"


def test_a_decline_needs_a_reason_and_ends_the_asking():
    w = make.world()
    make.submit(w)
    with pytest.raises(AppError):
        _decide(w, 1, approve=False)
    _decide(w, 1, approve=False, reason="Two head layers are too few for us.")
    assert w.fresh().state == RunState.DECLINED


def test_an_engineer_may_not_approve_and_a_steward_not_for_another_organisation():
    w = make.world()
    make.submit(w)
    for actor, place in ((w.engineer, 0), (w.approvers[0], 1), (member(w.organisations[0], Role.VIEWER), 0)):
        with pytest.raises(AppError) as caught:
            _decide(w, place, actor=actor)
        assert caught.value.code == "CL-1601"


def test_a_workers_refusal_keeps_an_approved_contract_from_starting_until_it_is_withdrawn():
    w = make.world()
    make.submit(w)
    make.approve(w, 0, 1)
    make.verdict(w, 1, accepted=False, refusals=[{"field": "split.head_layers", "message": "At least 3 head layers."}])
    with pytest.raises(AppError, match="CL-1509"):
        make.approve(w, 2)
    assert w.fresh().state == RunState.AWAITING
    make.verdict(w, 1, accepted=True)
    make.approve(w, 2)
    assert w.fresh().state == RunState.STARTING


def test_a_run_that_a_site_refuses_after_its_approval_is_not_started_until_the_refusal_is_withdrawn():
    w = make.world()
    Run.objects.filter(pk=w.run.id).update(start_when_approved=False)
    make.submit(w)
    make.approve(w)
    assert _status(w).text == "Every organisation has approved."
    make.verdict(w, 1, accepted=False, refusals=[{"field": "split.head_layers", "message": "At least 3 head layers."}])
    assert w.fresh().state == RunState.APPROVED
    assert _status(w).text == f"The site policy of Beta bank ({w.workers[1].name}) refuses the contract."
    with pytest.raises(AppError) as caught:
        run_start(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1509"
    assert f"{w.workers[1].name} of Beta bank refuses this contract, so it can't be started" in caught.value.message
    assert w.fresh().state == RunState.APPROVED
    make.verdict(w, 1, accepted=True)
    assert _status(w).text == "Every organisation has approved."
    run_start(actor=w.engineer, run=w.run)
    assert w.fresh().state == RunState.STARTING


def test_the_start_of_a_run_that_a_site_refuses_is_a_disabled_button_that_says_why(client):
    w = make.world()
    Run.objects.filter(pk=w.run.id).update(start_when_approved=False)
    make.submit(w)
    make.approve(w)
    client.force_login(w.engineer)
    pages = (f"/runs/{w.run.id}", f"/runs/{w.run.id}/approvals")
    start = f'action="/runs/{w.run.id}/start"'
    assert all(start in client.get(page).content.decode() for page in pages)
    make.verdict(w, 1, accepted=False, refusals=[{"field": "training.steps", "message": "At most 10 steps."}])
    for page in pages:
        shown = client.get(page).content.decode()
        assert start not in shown
        assert "refuses this contract, so it can&#x27;t be started" in shown


def _status(w: make.World) -> Status:
    return status_of(w.fresh(), list(w.run.participants.select_related("organisation", "worker")))


def test_a_site_that_approves_itself_is_waited_for_and_is_asked_until_it_has():
    w = make.world()
    make.submit(w)
    make.verdict(w, 1, accepted=False, refusals=[{"field": "approve", "message": "Waiting for the site: …"}])
    make.approve(w)
    run = w.fresh()
    assert run.state == RunState.AWAITING
    assert w.part(1).waits_for_site
    status = status_of(run, list(run.participants.select_related("organisation", "worker")))
    assert status.text.startswith("Waiting for Beta bank")
    assert status.tone == "attention"
    assert [item.kind for item in assignments_for(w.workers[1])] == ["review"]
    make.verdict(w, 1, accepted=True)
    assert w.fresh().state == RunState.STARTING
    assert not w.part(1).waits_for_site


def test_a_worker_that_refuses_is_asked_again_since_its_people_may_change_their_mind():
    w = make.world()
    make.submit(w)
    make.verdict(w, 1, accepted=False, refusals=[{"field": "participants.fingerprint", "message": "Not trusted."}])
    assert [item.kind for item in assignments_for(w.workers[1])] == ["review"]
    run = w.fresh()
    status = status_of(run, list(run.participants.select_related("organisation", "worker")))
    assert "doesn't trust a certificate" in status.text
    assert status.next_actor == "the operator of Beta bank"
    make.verdict(w, 1, accepted=True)
    assert [item.kind for item in assignments_for(w.workers[1])] == ["review"], "until the run starts"


def test_a_run_that_was_started_waits_for_a_site_without_an_end():
    w = make.world()
    make.submit(w)
    make.approve(w)
    make.verdict(w, 1, accepted=False, refusals=[{"field": "approve", "message": "Waiting for the site: …"}])
    Run.objects.filter(pk=w.run.id).update(state_since=timezone.now() - timedelta(hours=3))
    sweep()
    run = w.fresh()
    assert run.state == RunState.STARTING
    status = status_of(run, list(run.participants.select_related("organisation", "worker")))
    assert status.text.startswith("Waiting for Beta bank")


@pytest.mark.parametrize(
    ("sections", "code"),
    [
        ({"lora": {"rang": 4}}, "CL-1001"),
        ({"split": {"head_layers": 4, "tail_layers": 2}}, "CL-1002"),
        ({"model": {"name_or_path": "acme/unknown"}}, "CL-1005"),
        ({"parties": {"nobody": {"rank": 4}}}, "CL-1001"),
    ],
)
def test_a_wrong_configuration_is_kept_as_typed_but_cannot_be_submitted(sections, code):
    w = make.world(run_config=make.config(**sections))
    with pytest.raises(AppError) as caught:
        make.submit(w)
    assert caught.value.code == code
    assert w.fresh().state == RunState.DRAFT
    assert w.run.config == make.config(**sections)


def test_datasets_of_different_formats_cannot_train_together():
    w = make.world()
    w.versions[1].metadata = {**w.versions[1].metadata, "format": "text"}
    w.versions[1].save()
    with pytest.raises(AppError) as caught:
        make.submit(w)
    assert caught.value.code == "CL-1004"


def test_a_dataset_that_is_not_offered_to_the_project_cannot_be_chosen():
    w, other = make.world(), make.world(prefix="Other ")
    with pytest.raises(AppError) as caught:
        run_draft_save(
            actor=w.engineer, project=w.project, organisation=w.organisations[0], name="x", config={}, run=w.run,
            parties=[PartyChoice("client", other.workers[0].id, other.versions[0].id)],
        )  # fmt: skip
    assert caught.value.code == "CL-1003"


def test_a_clone_starts_as_a_draft_with_the_same_parties_and_remembers_its_parent():
    w = make.started()
    clone = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    assert (clone.state, clone.parent_id, clone.config) == (RunState.DRAFT, w.run.id, w.run.config)
    assert list(clone.participants.values_list("party", flat=True)) == list(
        w.run.participants.values_list("party", flat=True)
    )


def test_the_matrix_reads_the_contract_and_has_one_column_per_organisation(client):
    w = make.world()
    gpu = make.WorkerFactory(organisation=w.organisations[1], kind="compute")
    run_draft_save(
        actor=w.engineer, project=w.project, organisation=w.organisations[0], name="Own compute", run=w.run,
        config=make.config(),
        parties=[
            PartyChoice("client", w.workers[0].id, w.versions[0].id, receives_adapter=True),
            PartyChoice("evaluator", w.workers[1].id, w.versions[1].id, receives_adapter=False),
            PartyChoice("server", gpu.id, receives_adapter=False),
        ],
    )  # fmt: skip
    make.submit(w)
    client.force_login(w.engineer)
    matrix = client.get(reverse("runs:approvals", args=[w.run.id])).context["matrix"]
    assert matrix["parties"] == ["Alpha clinic", "Beta bank", "Hub"]
    cells = {row["label"]: [(cell["level"], cell["note"]) for cell in row["cells"]] for row in matrix["rows"]}
    assert cells["The finished adapter"][:2] == [
        ("yes", "a recipient may download it"),
        ("yes", "not a recipient; its worker loads it to evaluate it"),
    ]
    assert cells["Activations"][1] == ("yes", "of every data organisation; can be turned back into text")
    assert [level for level, _ in cells["Rows of text"]] == ["own", "own", "no"]
    assert cells["Rows of text"][1][1] == "of others: activations can be turned back into text"
    assert [level for level, _ in cells["Answers to the public prompts"]] == ["yes", "yes", "yes"]


def test_a_compute_organisation_that_is_no_recipient_never_sees_the_adapter():
    w = make.world()
    make.submit(w)
    parties = [Party(p.organisation, p.role, p.receives_adapter) for p in contract_read(w.run.contract).participants]
    rows = who_sees_what(RunConfig.parse(w.run.config), parties)["rows"]
    [result] = [row["cells"] for row in rows if row["label"] == "The finished adapter"]
    assert [cell["level"] for cell in result] == ["yes", "yes", "no", "yes"]


def test_the_contract_lists_everything_that_crosses():
    w = make.world()
    make.submit(w)
    traffic = " ".join(contract_read(w.run.contract).traffic)
    for words in (
        "the length of each row",
        "the number of training rows",
        "target tokens",
        "gradient norms",
        "public prompts",
        "on its held-out rows",
        "tokenizer",
    ):
        assert words in traffic
    alone = run_draft_save(
        actor=w.engineer, project=w.project, organisation=w.organisations[0], name="Alone", config=make.config(),
        parties=[PartyChoice("client", w.workers[0].id, w.versions[0].id), PartyChoice("server", w.workers[2].id)],
    )  # fmt: skip
    run_submit(actor=w.engineer, run=alone)
    alone.refresh_from_db()
    traffic = " ".join(contract_read(alone.contract).traffic)
    assert "one norm of the gradient of each head and tail adapter tensor" in traffic
    assert "to the public prompts" not in traffic


def test_a_newer_schema_is_no_change_of_what_it_says():
    w = make.world()
    make.submit(w)
    make.approve(w, 0)
    _edit(w, privacy={"defences": ["gaussian"]})
    run_submit(actor=w.engineer, run=w.run)
    run = w.fresh()
    changes = {change.field: change.new for change in contract_diff(run.approved_contract, run.contract)}
    assert changes.pop("config.privacy.defences") == ["gaussian"]
    assert all(field.startswith("traffic.") for field in changes)  # the sentence on activations names the noise


def test_a_run_that_a_partner_withdrew_says_who_did_and_stays_in_the_owner_s_inbox(client):
    w = make.world()
    make.submit(w)
    before = needs_action_count(w.engineer)
    run_stop(actor=w.approvers[1], run=w.run, reason="The study was called off.")
    words = (
        f"{w.approvers[1]} ({w.organisations[1].name}) withdrew this run before it started. The study was called off."
    )
    [item] = inbox_for(w.engineer)["decide"]
    assert (item.state, item.url) == ("withdrawn", f"/runs/{w.run.id}")
    assert item.text.startswith(words)
    assert needs_action_count(w.engineer) == before + 1
    assert [one.text for one in inbox_for(w.approvers[1])["history"] if one.state == "withdrawn"] == [words]
    client.force_login(w.engineer)
    assert words in client.get(f"/runs/{w.run.id}").content.decode()
    run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    assert inbox_for(w.engineer)["decide"] == []


def test_a_partner_s_reason_fills_no_inbox_however_long_it_is():
    w = make.world()
    make.submit(w)
    run_stop(actor=w.approvers[1], run=w.run, reason="no " * 100_000)
    [item] = inbox_for(w.engineer)["decide"]
    assert len(item.text) < 1000


def test_a_run_that_its_owner_withdrew_asks_nothing_of_the_owner():
    w = make.world()
    make.submit(w)
    run_stop(actor=w.engineer, run=w.run)
    assert inbox_for(w.engineer)["decide"] == []
    assert w.fresh().summary["withdrawn"]["by_owner"]


def test_a_run_that_is_stopped_while_it_runs_was_not_withdrawn():
    w = make.started()
    run_stop(actor=w.approvers[1], run=w.run)
    assert "withdrawn" not in w.fresh().summary


def test_sums_of_several_organisations_are_masked_and_the_contract_says_what_that_hides():
    w = make.world()
    document = contract_read(make.submit(w).contract)
    assert (document.contract_version, document.config["privacy"]) == (4, {"sums": "masked"})
    sent = " ".join(document.traffic)
    assert "Alpha clinic and Beta bank → Gamma compute: masked gradients of the head and tail adapters" in sent
    assert "reads the sum over the organisations alone" in sent
    assert "With two data organisations, each learns the other's by subtraction." in sent


def test_what_is_decided_by_who_takes_part_stays_open_in_the_draft():
    w = make.world()
    make.submit(w)
    run = w.fresh()
    assert contract_read(run.contract).config["privacy"] == {"sums": "masked"}
    assert run.config["privacy"]["sums"] == "automatic"
    assert config_agreed(run).privacy.sums == "masked"
    RunConfig.parse({**run.config, "schedule": {"name": "parallel", "straggler": "continue"}})


def test_plain_sums_stay_plain_under_a_contract_that_an_older_worker_reads():
    w = make.world(run_config=make.config(privacy={"sums": "plain"}))
    document = contract_read(make.submit(w).contract)
    assert document.contract_version < 3
    assert "masked gradients" not in " ".join(document.traffic)


def test_a_run_of_one_data_organisation_or_one_that_goes_on_without_late_parties_has_no_masks():
    w = make.world(run_config=make.config(schedule={"straggler": "continue"}))
    assert contract_read(make.submit(w).contract).contract_version < 3
    alone = make.world(prefix="Lone ")
    alone.run.participants.filter(worker=alone.workers[1]).delete()
    assert contract_read(make.submit(alone).contract).contract_version < 3
