"""The policy file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from splitcore.errors import AppError
from workers.policy import SitePolicy, policy_write_default
from workers.settings import WorkerHome


def test_without_a_file_the_strict_defaults_hold(tmp_path: Path) -> None:
    policy = SitePolicy.load(tmp_path / "none.yaml")
    assert policy.topologies == ["u_shape"]
    assert (policy.min_head_layers, policy.min_tail_layers) == (1, 2)


def test_the_written_file_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    policy = SitePolicy(max_steps=7, hosts=["*.gpu.example"], models=["acme/tiny"])
    path.write_text(policy.to_yaml())
    assert SitePolicy.load(path) == policy


@pytest.mark.parametrize("text", ["max_step: 5", "topologies: [o_shape]", "max_steps: many", "- a list", "a: [b"])
def test_a_mistake_in_the_file_is_an_error_and_not_a_default(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(AppError) as raised:
        SitePolicy.load(path)
    assert raised.value.code == "CL-1422"


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
    assert (policy.egress_bytes_per_run, policy.approve) == (None, "hub"), "what came later has its default"


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
