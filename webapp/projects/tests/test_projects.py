"""Projects: who sees them, what they show, how organisations come and go; the home page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.datasets.models import DatasetVersion
from webapp.datasets.tests.metadata import metadata
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.invitations import invite_partner
from webapp.orgs.models import PartyKind, Role
from webapp.orgs.tests.factories import (
    MembershipFactory,
    OrganisationFactory,
    ParticipationFactory,
    ProjectFactory,
    member,
)
from webapp.projects.facts import first_steps, needs_attention, party_facts
from webapp.projects.models import Participation, Project
from webapp.projects.selectors import base_models_of, projects_visible_to
from webapp.projects.services import participation_end, project_archive, project_create, project_update
from webapp.runs.models import Participant, Run, RunState

pytestmark = pytest.mark.django_db
TABS = ("", "/organisations", "/datasets", "/runs", "/adapters", "/activity")


@pytest.fixture
def organisation():
    return OrganisationFactory(name="Clinic A")


@pytest.fixture
def admin(organisation):
    return member(organisation)


@pytest.fixture
def project(organisation, admin):
    return project_create(actor=admin, organisation=organisation, name="Letters", goal="Shorter letters")


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def run_in(project, state, **fields):
    return Run.objects.create(
        project=project, organisation=project.owner, created_by=project.created_by, name="r", state=state, **fields
    )


def test_the_owner_takes_part_from_the_start(project, organisation):
    assert list(project.organisations.all()) == [organisation]


def test_only_organisations_that_take_part_see_a_project(project, admin):
    partner, former = ParticipationFactory(project=project), ParticipationFactory(project=project, is_active=False)
    assert project in projects_visible_to(admin)
    assert project in projects_visible_to(member(partner.organisation, Role.VIEWER))
    assert project not in projects_visible_to(member(former.organisation))
    assert project not in projects_visible_to(MembershipFactory().user)


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_answers_for_every_party(project, admin, tab):
    partner = member(ParticipationFactory(project=project).organisation, Role.VIEWER)
    for user in (admin, partner):
        page = signed_in(user).get(f"/projects/{project.pk}{tab}")
        assert page.status_code == 200
        assert "Letters" in page.content.decode()


def test_an_unknown_tab_is_404(project, admin):
    assert signed_in(admin).get(f"/projects/{project.pk}/secrets").status_code == 404


def test_partners_do_not_see_whom_the_owner_has_invited(project, admin):
    invite_partner(actor=admin, project=project, email="secret@example.org", party_kind="data")
    partner = member(ParticipationFactory(project=project).organisation)
    for tab in TABS:
        assert "secret@example.org" not in signed_in(partner).get(f"/projects/{project.pk}{tab}").content.decode()
    assert "secret@example.org" in signed_in(admin).get(f"/projects/{project.pk}/organisations").content.decode()


def test_a_partners_admin_cannot_change_invite_or_remove(project):
    partner = member(ParticipationFactory(project=project).organisation)
    third = ParticipationFactory(project=project)
    client = signed_in(partner)
    assert client.post(f"/projects/{project.pk}/edit", {"name": "Mine"}).status_code == 403
    assert client.post(f"/projects/{project.pk}/archive").status_code == 403
    assert client.post(f"/projects/{project.pk}/organisations/{third.pk}/end").status_code == 403
    assert Participation.objects.get(pk=third.pk).is_active


def test_an_organisation_may_leave_but_not_the_owner(project, admin):
    participation = ParticipationFactory(project=project)
    partner = member(participation.organisation)
    participation_end(actor=partner, participation=participation)
    assert project not in projects_visible_to(partner)
    with pytest.raises(AppError, match="CL-1609"):
        participation_end(actor=admin, participation=project.participations.get(organisation=project.owner))


def test_archiving_hides_a_project_from_the_list_and_keeps_it(project, admin):
    client = signed_in(admin)
    client.post(f"/projects/{project.pk}/archive")
    assert "Letters" not in client.get("/projects").content.decode()
    assert "Letters" in client.get("/projects?archived=1").content.decode()
    client.post(f"/projects/{project.pk}/archive")
    assert not Project.objects.get().is_archived


def test_an_archived_project_takes_no_invitation(project, admin):
    Project.objects.update(is_archived=True)
    project.refresh_from_db()
    with pytest.raises(AppError, match="CL-1609"):
        invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data")


def test_the_base_models_of_submitted_runs_are_named(project):
    for name, state in (("base/a", RunState.DONE), ("base/a", RunState.FAILED), ("base/b", RunState.DRAFT)):
        run_in(project, state, config={"model": {"name_or_path": name}})
    assert base_models_of(project) == ["base/a"]


def test_each_party_has_one_chip_a_fact(project):
    ParticipationFactory(project=project, kind=PartyKind.COMPUTE)
    owner, compute = party_facts(project)
    assert [fact.label for fact in owner.facts] == ["Joined", "No worker yet", "No dataset offered"]
    assert [fact.label for fact in compute.facts] == ["Joined", "No worker yet"]


def test_a_party_s_datasets_are_counted_once_each_and_without_those_whose_rows_are_gone(organisation, project):
    worker = make_worker(organisation)
    for name, version in (("notes", 1), ("notes", 2), ("letters", 1)):
        worker.post("datasets", metadata(name=name, version=version))

    def labels():
        return [fact.label for fact in party_facts(project)[0].facts]

    for dataset in organisation.datasets.all():
        dataset.projects.add(project)
    assert "2 datasets offered" in labels()
    DatasetVersion.objects.filter(dataset__name="letters").update(missing_at=timezone.now())
    assert "1 dataset offered" in labels()
    DatasetVersion.objects.update(missing_at=timezone.now())
    assert "No dataset offered" in labels()


def test_text_from_other_organisations_is_escaped(admin, organisation):
    evil = "<script>alert(1)</script>"
    project = project_create(actor=admin, organisation=organisation, name=evil, goal=evil, lawful_basis=evil)
    for path in ("/projects", f"/projects/{project.pk}", f"/projects/{project.pk}/invite", "/home"):
        assert evil not in signed_in(admin).get(path).content.decode()


def test_the_checklist_says_what_is_done_and_who_can_do_the_rest(organisation, admin, project):
    steps = {step.label: step for step in first_steps(admin, organisation)}
    assert steps["Create your organisation"].done
    assert steps["Start a project with your partners"].done
    assert not steps["Enrol a worker"].done
    assert steps["Add a dataset"].blocked == "Enrol a worker first."
    viewer = member(organisation, Role.VIEWER)
    assert all(step.blocked for step in first_steps(viewer, organisation) if not step.done)


def test_a_worker_that_waits_for_confirmation_is_the_next_step(organisation, admin):
    worker = make_worker(organisation, state=WorkerState.PENDING).row
    steps = {step.label: step for step in first_steps(admin, organisation)}
    assert (steps["Enrol a worker"].url, steps["Enrol a worker"].action) == (f"/workers/{worker.pk}", "Compare")
    assert worker.name in steps["Enrol a worker"].text
    assert steps["Add a dataset"].blocked == "Confirm your worker first."


def test_the_activity_names_what_each_entry_is_about(project, admin):
    run = run_in(project, RunState.DONE)
    audit_record(actor=admin, action="run.stopped", project_id=project.pk, object_id=run.pk)
    audit_record(actor=admin, action="run.stopped", project_id=project.pk, object_id="run_gone")
    page = signed_in(admin).get(f"/projects/{project.pk}/activity").content.decode()
    assert f'Run stopped: <a href="/runs/{run.pk}">r</a>' in page
    assert page.count("Run stopped") == 2


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.STOPPED, RunState.TRAINING, RunState.AWAITING])
def test_training_together_is_done_when_a_run_of_ours_is(organisation, admin, project, state):
    def step():
        return next(step for step in first_steps(admin, organisation) if step.label == "Train together")

    run = run_in(project, state)
    worker = make_worker(organisation).row
    Participant.objects.create(run=run, organisation=organisation, worker=worker, role="client", party="us")
    assert not step().done
    partners = run_in(project, RunState.DONE)
    assert not step().done, "a run in which others took part"
    Participant.objects.create(run=partners, organisation=organisation, worker=worker, role="client", party="us")
    assert step().done


def test_the_checklist_counts_what_is_there_now(organisation, admin, project):
    def done():
        return {step.label for step in first_steps(admin, organisation) if step.done}

    assert "Start a project with your partners" in done()
    worker = make_worker(organisation)
    worker.post("datasets", metadata())
    assert "Add a dataset" in done()
    DatasetVersion.objects.update(missing_at=timezone.now())
    type(project).objects.update(is_archived=True)
    assert not {"Add a dataset", "Start a project with your partners"} & done()
    page = signed_in(admin).get("/home").content.decode()
    assert "2 of 6 done" in page


def test_a_compute_organisation_is_not_asked_for_data():
    organisation = OrganisationFactory(kind=PartyKind.COMPUTE)
    assert "Add a dataset" not in {step.label for step in first_steps(member(organisation), organisation)}


def test_the_home_page_shows_running_runs_and_invitations(project, admin):
    run_in(project, RunState.TRAINING, step=3, total_steps=10)
    other = MembershipFactory()
    invite_partner(
        actor=other.user,
        project=ProjectFactory(owner=other.organisation, name="Theirs"),
        email=admin.email,
        party_kind="data",
    )
    page = signed_in(admin).get("/home").content.decode()
    assert "Training" in page
    assert "Theirs" in page


def test_the_number_of_queries_of_a_list_does_not_grow_with_it(admin, organisation, django_assert_max_num_queries):
    client = signed_in(admin)
    for n in range(12):
        project_create(actor=admin, organisation=organisation, name=f"P{n} name")
    with django_assert_max_num_queries(25):
        client.get("/projects")


def test_the_home_page_names_workers_with_problems():
    now = timezone.now()
    online = {"state": WorkerState.ACTIVE, "last_beat_at": now, "connected_at": now}
    workers = [
        Worker(name="fine", **online),
        Worker(name="ill", checks=[{"name": "disk", "status": "failed"}], **online),
        Worker(name="silent", state=WorkerState.ACTIVE, last_beat_at=now - timedelta(minutes=5), connected_at=now),
        Worker(name="new", state=WorkerState.PENDING),
        Worker(name="locked", state=WorkerState.QUARANTINED),
        Worker(name="gone", state=WorkerState.REVOKED),
    ]
    found = {problem["worker"].name: problem["state"] for problem in needs_attention(workers)}
    assert found == {
        "ill": "warning",
        "silent": "offline",
        "new": "awaiting_confirmation",
        "locked": "quarantined",
    }


def test_a_project_s_name_looks_like_no_other_one_that_the_organisation_takes_part_in():
    organisation, other = OrganisationFactory(), OrganisationFactory()
    actor = member(organisation)
    ParticipationFactory(project=ProjectFactory(owner=other, name="Discharge letters"), organisation=organisation)
    for name in ("Discharge letters", "Discharge Ietters", "Discharge\u2010Letters"):
        with pytest.raises(AppError, match="CL-1615"):
            project_create(actor=actor, organisation=organisation, name=name)
    mine = project_create(actor=actor, organisation=organisation, name="Radiology")
    with pytest.raises(AppError, match="CL-1615"):
        project_update(actor=actor, project=mine, name="Discharge-letters", goal="", lawful_basis="")
    for name, code in (("R\u0430diology 2", "CL-1613"), ("The hub", "CL-1614")):
        with pytest.raises(AppError, match=code):
            project_create(actor=actor, organisation=organisation, name=name)
    project_update(actor=actor, project=mine, name="radiology", goal="", lawful_basis="")
    project_archive(actor=actor, project=mine, archived=True)
    project_create(actor=actor, organisation=organisation, name="Radiology")
    project_create(actor=member(other), organisation=other, name="Radiology")
