"""What a site's worker refuses at its last door is what the hub shows beside the field: code, field and sentence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning import ModelShape
from splitcore.planning.measure import measure
from splitcore.policy.rules import RULES
from webapp.fleet.models import Worker
from webapp.orgs.models import Organisation
from webapp.runs.configure.policies import PolicyConflict, Site, policy_conflicts
from webapp.runs.estimate import largest_message
from workers.approvals import ApprovalBook
from workers.contracts import PolicySummary
from workers.models_registry import Measured, ModelRegistry, RegisteredModel
from workers.policy import SitePolicy
from workers.policy_review import Site as WorkerSite
from workers.policy_review import review
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import DIGEST, MANIFEST, PEER, assignment_for, contract_for, enrolled_home
from workers.trust import TrustBook

CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 5, "vocab_size": 64, "num_attention_heads": 2}
HOST = "elsewhere.example"
# For each rule: a policy, and what a run changes of its configuration to break it.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("topologies", {}, {"split": {"topology": "vanilla", "tail_layers": 0}}),
    ("min_head_layers", {"min_head_layers": 3}, {"split": {"head_layers": 1}}),
    ("min_tail_layers", {}, {"split": {"tail_layers": 1}}),
    ("models", {"models": ["acme/other", "cd" * 32]}, {}),
    ("max_steps", {"max_steps": 3}, {}),
    ("max_steps", {"max_steps": 3}, {"training": {"steps": None, "epochs": 1.0}}),
    ("max_message_bytes", {"max_message_bytes": 1 << 20}, {}),
    ("privacy_budget", {"privacy_budget": {"epsilon": 2.0}}, {}),
    (
        "privacy_budget",
        {"privacy_budget": {"epsilon": 2.0, "delta": 1e-7}},
        {"privacy": {"defences": [{"name": "gaussian", "noise": 2.0}]}},
    ),
    ("hosts", {"hosts": ["*.gpu.example"]}, {}),
]


@dataclass
class Model:
    """The base model as the sites have registered it."""

    shape: ModelShape | None = None
    manifest: str = MANIFEST
    config: dict[str, Any] = field(default_factory=lambda: CONFIG)


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    folder = enrolled_home(tmp_path / "home")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = RegisteredModel(
        model_id="acme/tiny", revision="r1", manifest_hash=MANIFEST, folder=tmp_path, parameters=1, bytes=1
    )
    folder.models_file.write_text(json.dumps([model.model_dump(mode="json")]))
    return folder


def told_at_the_worker(home: WorkerHome, policy: SitePolicy, contract: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Code, field and sentence of each refusal, at the door that each rule has."""
    try:
        policy.check_host(HOST)
    except AppError as error:
        return [(error.code, one["field"], one["message"]) for one in error.details["fields"]]
    enrolment = WorkerConfig.load(home).enrolment
    site = WorkerSite(
        worker_id=enrolment.worker_id,
        organisation_id=enrolment.organisation_id,
        fingerprint=enrolment.fingerprint,
        policy=policy,
        trust=TrustBook(compute=[PEER]),
        approvals=ApprovalBook(),
        models=ModelRegistry(home),
        dataset_of=lambda digest: [("notes", 1)] if digest == DIGEST else [],
    )
    found = review(assignment_for(contract), site)
    return [(found.code, refusal.field, refusal.message) for refusal in found.refusals]


def told_by_the_hub(summary: PolicySummary, config: RunConfig, shape: ModelShape | None = None) -> list[PolicyConflict]:
    """What the form shows for the very policy that the worker's hello tells."""
    organisation = Organisation(name="Hospital A")
    worker = Worker(name="worker-a", organisation=organisation, policy=summary.model_dump(mode="json"))
    server = Worker(name="gpu", organisation=organisation, facts={"tensor_host": HOST})
    return policy_conflicts(config, [Site(worker, "client"), Site(server, "server")], Model(shape))


@pytest.mark.parametrize(("rule", "policy", "sections"), CASES)
def test_the_workers_refusal_is_the_hubs_conflict(
    home: WorkerHome, rule: str, policy: dict[str, Any], sections: dict[str, Any]
) -> None:
    contract = contract_for(home)
    for section, values in sections.items():
        contract["config"].setdefault(section, {}).update(values)
    config = RunConfig.parse(contract["config"])
    contract["message_bytes"] = largest_message(config, None, CONFIG, 1)
    site = SitePolicy(**policy)
    [shown] = told_by_the_hub(site.summary(), config)
    [(code, field, sentence)] = told_at_the_worker(home, site, contract)
    assert (shown.code, shown.path, shown.message) == (
        code,
        field,
        f"Site policy of worker-a of Hospital A: {sentence}",
    )
    assert code == RULES[rule].code


def test_rows_in_other_roles_are_refused_by_every_site_and_told_by_the_hub(home: WorkerHome) -> None:
    contract = contract_for(home)
    contract["config"]["data"] = {"columns": {"prompt": "completion", "completion": "prompt"}}
    site = SitePolicy(topologies=["u_shape", "vanilla"])
    [shown] = told_by_the_hub(site.summary(), RunConfig.parse(contract["config"]))
    assert [(shown.code, shown.path, shown.message)] == told_at_the_worker(home, site, contract)
    assert shown.path == "data.columns"


def test_a_measured_layout_counts_for_both_and_before_the_configuration(home: WorkerHome) -> None:
    shape = measure(LlamaConfig(**{**CONFIG, "hidden_size": 64}))
    ModelRegistry(home).keep_measured(MANIFEST, Measured(by="this version", shape=shape))
    contract = contract_for(home)
    config = RunConfig.parse(contract["config"])
    hidden = ceil(config.training.batch_size / config.training.micro_batches) * config.training.max_length
    contract["message_bytes"] = largest_message(config, shape, CONFIG, 1)
    site = SitePolicy(max_message_bytes=hidden * 64 * 2 - 1)  # of bfloat16; a quarter as wide, it would fit
    [shown] = told_by_the_hub(site.summary(), config, shape)
    [(code, path, sentence)] = told_at_the_worker(home, site, contract)
    assert (shown.code, shown.path) == (code, path)
    assert shown.message == f"Site policy of worker-a of Hospital A: {sentence}"


def test_every_rule_is_walked() -> None:
    assert {rule for rule, _, _ in CASES} == RULES.keys()


def test_a_run_inside_the_policy_is_refused_by_neither(home: WorkerHome) -> None:
    contract = contract_for(home)
    site = SitePolicy(max_steps=100, models=[MANIFEST], hosts=[HOST])
    assert told_by_the_hub(site.summary(), RunConfig.parse(contract["config"])) == []
    assert told_at_the_worker(home, site, contract) == []
