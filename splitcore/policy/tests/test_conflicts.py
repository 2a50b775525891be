"""What a run breaks of its parties' policies, and what holds where several have one."""

from __future__ import annotations

from typing import Any

import pytest

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.policy import Policy, Subject, conflicts, demands, strictest
from splitcore.policy.rules import DECIDED_AT_THE_SITE, RULES

OPEN = {"topologies": [], "min_head_layers": 0, "min_tail_layers": 0}


def run_of(**sections: Any) -> Subject:
    return Subject.of(RunConfig.parse({"model": {"name_or_path": "acme/tiny"}, **sections}))


def test_every_field_of_a_policy_is_a_rule_or_is_decided_at_the_site() -> None:
    assert set(Policy.model_fields) == RULES.keys() | DECIDED_AT_THE_SITE.keys()
    assert not RULES.keys() & DECIDED_AT_THE_SITE.keys()


def test_a_site_that_keeps_its_labels_refuses_the_topology_that_sends_them() -> None:
    run = run_of(split={"topology": "vanilla", "tail_layers": 0})
    [found] = conflicts(demands({"topologies": ["u_shape"]}), run)
    assert (found.field, found.allowed, found.mend, found.code) == ("split.topology", "u_shape", "u_shape", "CL-1509")
    assert "it sends the labels, which are the target tokens themselves." in found.sentence


def test_too_few_layers_are_refused_with_what_they_tell() -> None:
    asked = demands(OPEN | {"min_head_layers": 3, "min_tail_layers": 2})
    head, tail = conflicts(asked, run_of(split={"head_layers": 2, "tail_layers": 1}))
    assert (head.field, head.allowed, tail.field, tail.allowed) == ("split.head_layers", "3", "split.tail_layers", "2")
    assert "turned back into text" in head.sentence
    assert "may be inferred" in tail.sentence
    assert not list(conflicts(asked, run_of(split={"head_layers": 3, "tail_layers": 2})))


def test_a_compute_party_has_no_say_in_what_leaves_the_data_parties() -> None:
    policy = Policy(min_head_layers=9, hosts=["gpu.example"], max_steps=3).model_dump()
    assert {demand.rule for demand in demands(policy, has_data=False)} == {"max_steps", "max_message_bytes"}


NOISE = {"name": "gaussian", "clip": 10.0, "noise": 2.0}  # one token: sensitivity/σ = 1, so ε = 4.38 at δ = 1e-5


@pytest.mark.parametrize(
    ("defences", "epsilon", "words"),
    [([], 1e6, "there is no bound"), ([NOISE], 4.3, "a single token has ε = 4.38"), ([NOISE], 4.4, "")],
    ids=["no noise", "too little noise", "enough noise"],
)
def test_a_privacy_budget_refuses_runs_without_a_bound_and_noise_that_one_token_exceeds(
    defences: list[dict[str, Any]], epsilon: float, words: str
) -> None:
    asked = demands(Policy(privacy_budget={"epsilon": epsilon}).model_dump() | OPEN)  # type: ignore[arg-type]
    found = list(conflicts(asked, run_of(privacy={"defences": defences})))
    assert [one.field for one in found] == ["privacy.defences"] * bool(words)
    assert all(words in one.sentence and one.code == "CL-1509" for one in found)


def test_a_party_that_only_measures_sends_no_hidden_states_and_asks_for_no_noise() -> None:
    policy = Policy(privacy_budget={"epsilon": 1.0}).model_dump()  # type: ignore[arg-type]
    assert "privacy_budget" in {demand.rule for demand in demands(policy)}
    assert "privacy_budget" not in {demand.rule for demand in demands(policy, trains=False)}


def test_what_an_older_worker_did_not_tell_asks_nothing() -> None:
    assert demands({}) == []
    assert [demand.rule for demand in demands({"max_steps": 3, "hosts": []})] == ["max_steps"]


def test_of_several_policies_the_strictest_number_holds_and_names_who_asks_it() -> None:
    asked = strictest(
        demands(OPEN | values, by=by)
        for by, values in (
            ("A", {"min_head_layers": 2, "max_steps": 9}),
            ("B", {"min_head_layers": 3, "max_steps": 4}),
            ("C", {"min_head_layers": 3}),
        )
    )
    assert [(one.rule, one.value, one.by) for one in asked] == [
        ("min_head_layers", 3, ("B", "C")),
        ("max_steps", 4, ("B",)),
    ]


def test_of_several_topologies_the_common_ones_hold_and_none_may_be_left() -> None:
    both, one, other = ["u_shape", "vanilla"], ["u_shape"], ["vanilla"]
    [asked] = strictest([demands({"topologies": both}, by="A"), demands({"topologies": one}, by="B")])
    assert (asked.value, asked.by) == (("u_shape",), ("B",))
    nothing = strictest([demands({"topologies": one}, by="A"), demands({"topologies": other}, by="B")])
    [found] = conflicts(nothing, run_of())
    assert found.by == ("A", "B")
    assert "no topology" in found.sentence


def test_each_list_of_models_holds_by_itself() -> None:
    """A model may be listed by its name at one site and by its manifest's hash at another."""
    lists = [demands({"models": ["acme/tiny"]}, by="A"), demands({"models": ["ab" * 32]}, by="B")]
    config = RunConfig.parse({"model": {"name_or_path": "acme/tiny"}})
    assert not list(conflicts(strictest(lists), Subject.of(config, manifest="ab" * 32)))
    [found] = conflicts(strictest(lists), Subject.of(config, manifest="cd" * 32))
    assert found.by == ("B",)


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("", 0),
        ("a.GPU.example", 0),
        ("gpu.example.evil", 1),
        ("evil.example#.gpu.example", 1),
        ("evil.example:443 HTTP/1.1 .gpu.example", 1),
        ("evil.example/.gpu.example", 1),
        ("user@evil.example?.gpu.example", 1),
    ],
)
def test_a_host_fits_a_pattern_or_is_refused_once_it_is_known(host: str, refused: int) -> None:
    run = Subject.of(RunConfig.parse({"model": {"name_or_path": "m"}}), host=host)
    assert [found.code for found in conflicts(demands({"hosts": ["*.gpu.example"]}), run)] == ["CL-1424"] * refused


@pytest.mark.parametrize("host", ["evil.example#", "evil.example:443 HTTP/1.1", "gpu\u00e9.example", "a\nb", ""])
def test_what_is_no_host_is_refused_by_a_policy_that_lists_none(host: str) -> None:
    with pytest.raises(AppError) as refused:
        Policy().check_host(host)
    assert refused.value.code == "CL-1424"


@pytest.mark.parametrize("host", ["gpu.example.", "gpu_1", "10.0.0.5", "fe80::1%eth0", "[::1]"])
def test_names_and_addresses_are_hosts_of_which_a_list_lets_in_its_own_alone(host: str) -> None:
    Policy().check_host(host)
    with pytest.raises(AppError, match="CL-1424"):
        Policy(hosts=["other.example"]).check_host(host)


@pytest.mark.parametrize("delta", [1e-5, 2.5e-6, 1e-10, 0.001])
def test_a_privacy_budget_is_read_back_as_it_is_written(delta: float) -> None:
    policy = Policy(privacy_budget={"epsilon": 2.5, "delta": delta})  # type: ignore[arg-type]
    assert Policy.parse(policy.to_yaml(), "policy.yaml") == policy


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "1.0e-5", "0.00001", "1.0E-05"])
def test_a_small_number_may_be_written_as_people_write_it(text: str) -> None:
    read = Policy.parse(f"privacy_budget: {{epsilon: 1.0, delta: {text}}}\n", "policy.yaml")
    assert read.privacy_budget is not None
    assert read.privacy_budget.delta == 1e-5
