"""The policy file."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from splitcore.errors import AppError
from splitcore.policy.schema import PrivacyBudget
from splitcore.privacy.composition import Budget
from workers.policy import SitePolicy, policy_write_default
from workers.settings import WorkerHome


def test_without_a_file_the_strict_defaults_hold(tmp_path: Path) -> None:
    policy = SitePolicy.load(tmp_path / "none.yaml")
    assert policy.topologies == ["u_shape"]
    assert (policy.min_head_layers, policy.min_tail_layers) == (1, 2)


def test_the_written_file_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    policy = SitePolicy(
        max_steps=7, hosts=["*.gpu.example"], models=["acme/tiny"], privacy_budget=PrivacyBudget(epsilon=2, delta=1e-7)
    )
    path.write_text(policy.to_yaml())
    assert SitePolicy.load(path) == policy


@pytest.mark.parametrize("text", ["{epsilon: 2, delta: 1e-5}", "{epsilon: 2.0}", "{epsilon: 2, delta: 0.00001}"])
def test_a_privacy_budget_is_read_as_people_write_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"privacy_budget: {text}\n")
    assert SitePolicy.load(path).budget == Budget(2.0, 1e-5)
    assert SitePolicy().budget is None


MISTAKES = [
    "max_step: 5",
    "version: on",
    "version: 1.0",
    "version: '1'",
    "topologies: [o_shape]",
    "topologies: []",
    "topologies:",
    "max_steps: many",
    "privacy_budget: 2.0",
    "privacy_budget: {epsilon: 0}",
    "privacy_budget: {epsilon: .inf}",
    "privacy_budget: {epsilon: many}",
    "privacy_budget: {delta: 1e-5}",
    "privacy_budget: {epsilon: 2, delta: 1}",
    "max_steps: 10\nmax_steps: null",
    "min_tail_layers: off",
    "min_head_layers: 0.0",
    "min_head_layers: '0'",
    "models: [" + "acme/tiny, " * 201 + "]",
    "- a list",
    "a: [b",
    "",
    "# approve: local\n",
    "~",
]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_the_file_is_an_error_and_not_a_default(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(AppError) as raised:
        SitePolicy.load(path)
    assert raised.value.code == "CL-1422"


def test_a_link_to_a_file_that_is_gone_is_an_error_and_is_not_written_through(tmp_path: Path) -> None:
    home, gone = WorkerHome(tmp_path), tmp_path / "gone.yaml"
    home.policy_file.symlink_to(gone)
    policy_write_default(home, "data")
    assert not gone.exists()
    with pytest.raises(AppError) as raised:
        SitePolicy.load(home.policy_file)
    assert raised.value.code == "CL-1422"


def test_the_hub_can_be_told_of_every_policy_that_is_read() -> None:
    largest = SitePolicy(
        topologies=["u_shape", "vanilla"],
        min_head_layers=2**31 - 1,
        models=["m" * 600] * 200,
        max_steps=2**53,
        max_message_bytes=2**53,
        hosts=["h" * 120] * 200,
        privacy_budget=PrivacyBudget(epsilon=1e6, delta=0.01),
    )
    assert largest.summary().models == largest.models
    beyond: dict[str, Any]
    for beyond in ({"min_tail_layers": 2**31}, {"max_steps": 2**53 + 1}, {"hosts": ["h" * 121]}):
        with pytest.raises(ValidationError):
            SitePolicy(**beyond)


def test_hosts_are_matched_by_pattern() -> None:
    policy = SitePolicy(hosts=["*.gpu.example", "10.0.0.5"])
    policy.check_host("a.GPU.example")
    with pytest.raises(AppError) as raised:
        policy.check_host("gpu.example.evil")
    assert raised.value.code == "CL-1424"
    SitePolicy().check_host("anything")


def test_a_file_of_an_earlier_version_is_read_and_says_what_it_said() -> None:
    policy = SitePolicy.load(Path(__file__).parent / "policies" / "of_75de9d2.yaml")
    assert policy.max_steps == 500
    assert policy.topologies == ["u_shape", "vanilla"]
    assert policy.peer_trust == "first_use"
    assert policy.egress_bytes_per_run is None, "what came later has its default"
    assert policy.approve == "local", "a file that does not say who approves may be one that was cut off"


def test_a_file_that_was_cut_off_anywhere_is_refused_or_asks_the_site_itself(tmp_path: Path) -> None:
    path, whole = tmp_path / "policy.yaml", SitePolicy(max_steps=500, hosts=["*.gpu.example"]).to_yaml()
    read = 0
    for length in range(len(whole) - 1):  # the last character is the end of the last line
        path.write_text(whole[:length])
        with contextlib.suppress(AppError):  # refused, as every file that can't be read
            assert SitePolicy.load(path).approve == "local", whole[:length]
            read += 1
    assert read > len(whole) // 2, "most of them can be read"
    path.write_text(whole)
    assert SitePolicy.load(path).approve == "hub"


def test_the_first_policy_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = WorkerHome(tmp_path)

    def full_disk(path: Any, to: Any) -> None:
        assert not home.policy_file.exists()
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "link", full_disk)
    with pytest.raises(OSError, match="no room"):
        policy_write_default(home, "data")
    assert list(tmp_path.iterdir()) == [], "neither the file nor a part of it"


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    for text in ("version: 2\n", "min_noise: 0.5\n"):
        path.write_text(text)
        with pytest.raises(AppError) as raised:
            SitePolicy.load(path)
        assert raised.value.code == "CL-1422"
        assert text.partition(":")[0] in raised.value.message


@pytest.mark.parametrize(("kind", "trust"), [("data", "listed"), ("both", "listed"), ("compute", "first_use")])
def test_only_a_site_that_says_it_has_no_data_starts_without_listed_certificates(
    tmp_path: Path, kind: Literal["data", "compute", "both"], trust: str
) -> None:
    policy_write_default(WorkerHome(tmp_path), kind)
    assert SitePolicy.load(WorkerHome(tmp_path).policy_file).peer_trust == trust
