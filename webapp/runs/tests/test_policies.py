"""What a site is known to refuse stands in the preview and at the field; a refused contract can't be approved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.urls import reverse

from splitcore.config import RunConfig
from splitcore.errors import AppError
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker, WorkerModel
from webapp.fleet.shared_models import shared_shape
from webapp.runs.configure.estimating import estimate_of
from webapp.runs.configure.policies import Site, policy_conflicts
from webapp.runs.estimate import largest_message
from webapp.runs.services import PartyChoice
from webapp.runs.tests import factories as make
from webapp.runs.tests.form_data import posted

pytestmark = pytest.mark.django_db
MODEL = SimpleNamespace(manifest=make.MANIFEST, config={"hidden_size": 16}, shape=None)
POLICY = {
    "topologies": ["u_shape"],
    "min_head_layers": 1,
    "min_tail_layers": 2,
    "models": [],
    "max_steps": None,
    "hosts": [],
}


def _site(w, place, role="client", party="", **policy):
    worker = w.workers[place]
    worker.policy = {**POLICY, **policy}
    return Site(worker, role, party)


@pytest.mark.parametrize(
    ("sections", "policy", "path", "mend"),
    [
        ({"split": {"tail_layers": 1}}, {}, "split.tail_layers", "2"),
        ({"split": {"head_layers": 1}}, {"min_head_layers": 3}, "split.head_layers", "3"),
        ({"split": {"topology": "vanilla"}}, {}, "split.topology", "u_shape"),
        ({}, {"max_steps": 3}, "training.steps", "3"),
        ({}, {"models": ["acme/other"]}, "model.name_or_path", ""),
    ],
)
def test_each_limit_of_a_site_is_named_with_the_cheapest_mend(sections, policy, path, mend):
    w = make.world()
    config = RunConfig.parse(make.config(**sections))
    [conflict] = policy_conflicts(config, [_site(w, 0, **policy)])
    assert (conflict.path, conflict.mend) == (path, mend)
    assert f"{w.workers[0].name} of Alpha clinic" in conflict.message


def test_of_two_sites_the_stricter_one_counts_and_a_compute_site_has_no_say_on_the_cut():
    w = make.world()
    config = RunConfig.parse(make.config(split={"head_layers": 1, "tail_layers": 2}))
    sites = [_site(w, 0, min_head_layers=2), _site(w, 1, min_head_layers=3)]
    assert [c.mend for c in policy_conflicts(config, sites)] == ["3"]
    sites = [_site(w, 0, max_steps=3), _site(w, 1, max_steps=2)]
    assert [c.mend for c in policy_conflicts(config, sites)] == ["2"]
    assert policy_conflicts(config, [_site(w, 2, role="server", min_head_layers=5)]) == []


@pytest.mark.parametrize("override", [{"batch_size": 4}, {"head_layers": 2}, {"tail_layers": 1, "rank": 2}])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_stricter_site_counts_where_one_party_has_an_override(override, order):
    w = make.world()
    sections = {"split": {"tail_layers": 1}, "training": {"steps": 500, "batch_size": 2, "max_length": 16}}
    config = RunConfig.parse(make.config(**sections, parties={"a": override}))
    sites = [
        _site(w, 0, party="a", max_steps=400, topologies=["vanilla"]),
        _site(w, 1, party="b", min_tail_layers=4),
        _site(w, 2, role="server", max_steps=50),
    ]
    found = {one.path: one for one in policy_conflicts(config, [sites[place] for place in order])}
    mends = {path: one.mend for path, one in found.items()}
    assert mends == {"split.tail_layers": "4", "training.steps": "50", "split.topology": ""}, "u_shape suits one alone"
    assert w.workers[1].name in found["split.tail_layers"].message
    assert w.workers[2].name in found["training.steps"].message


def test_a_party_whose_override_meets_its_own_site_asks_nothing_of_the_others():
    w = make.world()
    config = RunConfig.parse(make.config(split={"tail_layers": 1}, parties={"a": {"tail_layers": 4}}))
    sites = [_site(w, 0, party="a", min_tail_layers=4), _site(w, 1, party="b", min_tail_layers=2)]
    [conflict] = policy_conflicts(config, sites)
    assert (conflict.path, conflict.mend) == ("split.tail_layers", "2")


def test_a_privacy_budget_asks_those_who_train_for_noise_and_nobody_who_only_measures():
    w = make.world()
    budget, config = {"epsilon": 1.0, "delta": 1e-5}, RunConfig.parse(make.config())
    site = _site(w, 0, privacy_budget=budget)
    [conflict] = policy_conflicts(config, [site])
    assert (conflict.path, conflict.code) == ("privacy.defences", "CL-1509")
    assert "there is no bound" in conflict.message
    assert policy_conflicts(config, [Site(site.worker, "evaluator", "a")]) == []


def test_the_size_of_a_message_is_that_of_the_masked_sums_that_the_contract_will_say():
    w = make.world()
    config = RunConfig.parse(make.config(lora={"rank": 256}, training={"steps": 4, "batch_size": 1, "max_length": 16}))
    model = SimpleNamespace(manifest=make.MANIFEST, config={}, shape=shared_shape(list(WorkerModel.objects.all())))
    most = largest_message(config, model.shape, {}, 2)
    sites = [_site(w, 0, max_message_bytes=most), _site(w, 1)]
    assert [one.path for one in policy_conflicts(config, sites, model)] == ["training.batch_size"]
    plain = RunConfig.parse({**config.model_dump(mode="json"), "privacy": {"sums": "plain"}})
    assert policy_conflicts(plain, sites, model) == []


def test_what_the_worker_accepts_is_no_conflict():
    w = make.world()
    config = RunConfig.parse(make.config(split={"head_layers": 1, "tail_layers": 2}))
    site = _site(w, 0, models=[make.MANIFEST], max_steps=4, hosts=["gpu.*"])
    server = Site(w.workers[2], "server")
    server.worker.facts = {"tensor_host": "GPU.example"}
    assert policy_conflicts(config, [site, server], MODEL) == []
    server.worker.facts = {"tensor_host": "elsewhere.example"}
    assert [c.path for c in policy_conflicts(config, [site, server], MODEL)] == ["server"]


def test_a_policy_conflict_stands_in_the_preview_and_at_the_field_with_a_button_that_mends_it(client):
    w = make.world()
    Worker.objects.filter(pk=w.workers[1].pk).update(policy=POLICY)
    client.force_login(w.engineer)
    data = posted(client, w, **{"split.tail_layers": "1"})
    page = client.post(reverse("runs:preview"), data).content.decode()
    assert page.count("At least 2 tail layers must stay at the site, but only 1 would.") == 2
    assert 'data-fills="f-split-tail_layers"' in page
    assert "Fix 1 problem" in page
    page = client.post(
        reverse("runs:preview"), {**data, "split.tail_layers": "2", "split.head_layers": "1"}
    ).content.decode()
    assert "Site policy of" not in page


def test_datasets_of_different_formats_are_told_while_the_run_is_configured(client):
    w = make.world()
    DatasetVersion.objects.filter(pk=w.versions[1].pk).update(metadata={**w.versions[1].metadata, "format": "messages"})
    client.force_login(w.engineer)
    page = client.post(reverse("runs:preview"), posted(client, w)).content.decode()
    assert page.count("CL-1004") == 2
    assert f'id="data-{w.organisations[1].id}-error"' in page


def test_the_estimate_of_the_api_names_policies_and_formats_too():
    w = make.world()
    Worker.objects.filter(pk=w.workers[0].pk).update(policy={**POLICY, "max_steps": 2})
    DatasetVersion.objects.filter(pk=w.versions[1].pk).update(metadata={"format": "messages", "rows": 1})
    parties = [
        PartyChoice("client", w.workers[0].id, w.versions[0].id),
        PartyChoice("client", w.workers[1].id, w.versions[1].id),
        PartyChoice("server", w.workers[2].id),
    ]
    problems = " ".join(estimate_of(w.project, make.config(), parties)["problems"])
    assert "At most 2 steps" in problems
    assert "CL-1004" in problems


def test_a_contract_that_a_worker_refuses_cannot_be_approved_on_the_page_or_by_the_service(client):
    w = make.world()
    make.submit(w)
    refusal = {"field": "split.tail_layers", "message": "Fewer tail layers than this site requires.", "limit": "2"}
    make.verdict(w, 1, accepted=False, refusals=[refusal])
    client.force_login(w.approvers[0])
    page = client.get(reverse("runs:approvals", args=[w.run.id])).content.decode()
    assert 'value="approve"' not in page
    assert 'value="decline"' in page
    assert f"The site policy of {w.workers[1].name} refuses this contract" in page
    with pytest.raises(AppError) as caught:
        make.approve(w, 0)
    assert caught.value.code == "CL-1509"
    assert w.run.approvals.filter(state="approved").count() == 0
    make.verdict(w, 1, accepted=True)
    make.approve(w)
    assert w.fresh().state == "starting"
