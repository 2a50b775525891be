"""What a worker tells of its privacy ledger: kept as it is told, bounded, and shown to its own organisation alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from webapp.datasets.models import Dataset
from webapp.datasets.services import dataset_offer
from webapp.datasets.tests.metadata import metadata
from webapp.fleet.presence import hello_record
from webapp.fleet.tests.factories import FACTS, make_worker
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, ProjectFactory, member
from webapp.runs.tests import factories as make
from workers.contracts import DatasetSpent, Hello, RunShare

pytestmark = pytest.mark.django_db
TITLE = "Privacy spent"


@pytest.fixture
def worker():
    worker = make_worker(OrganisationFactory())
    worker.post("datasets", metadata(name="Notes"))
    return worker


def tell(worker, *spent):
    return hello_record(worker=worker.row, hello=Hello(facts=FACTS, spent=None if None in spent else list(spent)))


def notes(epsilon=3.21, **fields):
    return DatasetSpent(epsilon=epsilon, **{"name": "Notes", "delta": 1e-5, **fields})


def page(client, user, dataset):
    client.force_login(user)
    return client.get(f"/datasets/{dataset.pk}", follow=True).content.decode()


def test_the_dataset_s_page_says_what_was_spent_of_which_budget_by_which_run_and_what_it_covers(client, worker):
    dataset, owner = Dataset.objects.get(), member(worker.row.organisation)
    shares = [RunShare(run_id="run_gone", epsilon=3.21, mechanism="gaussian")]
    tell(worker, notes(budget=8.0, runs=shares))
    text = page(client, owner, dataset)
    assert "ε = 3.21 at δ = 1e-05 for the row that has spent most." in text
    assert "ε = 3.21 of 8" in text
    assert 'max="100" value="40"' in text
    assert "run_gone" in text
    for term in ("Hidden states at the first cut", "Gradients at the second cut", "replaced by any other row"):
        assert term in text


def test_a_run_that_the_person_can_see_has_its_name_and_another_one_its_id(client):
    w = make.world()
    dataset = w.versions[0].dataset
    foreign = make.world(prefix="Other ").run
    runs = [RunShare(run_id=run.pk, epsilon=1.0, mechanism="gaussian") for run in (w.run, foreign)]
    hello_record(worker=w.workers[0], hello=Hello(facts=FACTS, spent=[notes(1.42, name=dataset.name, runs=runs)]))
    text = page(client, w.engineer, dataset)
    assert f'<a href="/runs/{w.run.pk}">First run</a>' in text
    assert foreign.pk in text
    assert f"/runs/{foreign.pk}" not in text


def test_no_bound_is_said_in_words(client, worker):
    tell(worker, notes(None, budget=8.0, runs=[RunShare(run_id="run_1", epsilon=None)]))
    text = page(client, member(worker.row.organisation), Dataset.objects.get())
    assert "No bound: hidden states of some row left without noise" in text
    assert "no noise of a known law" in text
    assert "<progress" not in text


def test_a_partner_to_whom_the_dataset_is_offered_learns_nothing_of_it(client, worker):
    dataset, owner = Dataset.objects.get(), member(worker.row.organisation)
    project = ProjectFactory(owner=worker.row.organisation)
    partner = member(ParticipationFactory(project=project).organisation)
    dataset_offer(actor=owner, dataset=dataset, project=project)
    tell(worker, notes(runs=[RunShare(run_id="run_1", epsilon=3.21)]))
    assert TITLE in page(client, owner, dataset)
    assert client.get(f"/api/v1/datasets/{dataset.pk}").json()["privacy"]["epsilon"] == 3.21
    text = page(client, partner, dataset)
    assert "Notes" in text
    assert TITLE not in text
    assert "3.21" not in text
    assert client.get(f"/api/v1/datasets/{dataset.pk}").json()["privacy"] is None


def test_what_is_not_told_stays_as_it_was_and_another_worker_s_dataset_is_not_touched(worker):
    other = make_worker(OrganisationFactory())
    other.post("datasets", metadata(name="Notes"))
    tell(worker, notes())
    tell(worker, None)  # an older worker, or one whose ledger can't be read
    tell(worker)
    assert Dataset.objects.get(worker=worker.row).privacy["epsilon"] == 3.21
    assert Dataset.objects.get(worker=other.row).privacy == {}


def test_a_worker_that_tells_nothing_leaves_the_page_without_a_figure(client, worker):
    text = page(client, member(worker.row.organisation), Dataset.objects.get())
    assert "The worker hasn't told" in text
    assert "ε =" not in text


@pytest.mark.parametrize("budget", [0.0, 5e-324, 1e-7])
def test_a_budget_that_is_none_is_refused_and_would_not_break_the_page(client, worker, budget):
    with pytest.raises(ValidationError):
        notes(budget=budget)
    Dataset.objects.update(privacy=notes().model_dump(mode="json") | {"budget": budget})
    assert "The worker hasn't told" in page(client, member(worker.row.organisation), Dataset.objects.get())


def test_the_smallest_figures_are_shown(client, worker):
    tell(worker, notes(5e-324, budget=1e-6))
    assert "ε = 1e-06 of 1e-06" in page(client, member(worker.row.organisation), Dataset.objects.get())


@pytest.mark.parametrize("epsilon", [-1.0, float("inf"), float("nan"), 1e13])
def test_an_epsilon_that_is_none_is_refused(epsilon):
    with pytest.raises(ValidationError):
        notes(epsilon)
