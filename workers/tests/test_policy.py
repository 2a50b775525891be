"""The policy file and the book of trusted certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitcore.errors import AppError
from workers.policy import SitePolicy
from workers.tests.support import enrolled_home
from workers.trust import TrustBook


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
    assert policy.allows_host("a.GPU.example")
    assert not policy.allows_host("gpu.example.evil")
    assert SitePolicy().allows_host("anything")


def test_a_fingerprint_is_listed_in_any_grouping(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path)
    book = TrustBook.load(home)
    assert book.add(" ".join(["ABCD"] * 16)) == "abcd" * 16
    with pytest.raises(AppError, match="CL-1423"):
        book.add("abcd")
    book.save(home)
    assert TrustBook.load(home).trusts("wrk_1", "abcd" * 16, first_use=False)


def test_a_damaged_book_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    home = enrolled_home(tmp_path)
    home.trust_file.write_text("{")
    with pytest.raises(AppError, match="CL-1423"):
        TrustBook.load(home)
