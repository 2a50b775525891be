"""What is told of a site's rows: per dataset, rounded up, and refused before a run where it is known by then."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitcore.boundary.release import Plan, Reach, Sending
from splitcore.errors import AppError
from splitcore.policy.schema import PrivacyBudget
from splitcore.privacy.composition import Budget, epsilon_from, in_words
from workers.accounting.accountant import JobAccountant
from workers.accounting.summary import Spending, spending_of_all, spent_of
from workers.accounting.told import SpendingTold
from workers.data.store import DatasetStore
from workers.policy import SitePolicy
from workers.policy_review import Site, review
from workers.settings import WorkerConfig, WorkerHome
from workers.tests.support import DIGEST, assignment_for, contract_for, enrolled_home, equip

ROWS = [{"prompt": f"p{number}", "completion": "c"} for number in range(3)]
NOISE = {"privacy": {"defences": [{"name": "gaussian", "noise": 2.0}]}}  # a token has (sensitivity/σ)² = 1


@pytest.fixture
def home(tmp_path: Path) -> WorkerHome:
    home = enrolled_home(tmp_path / "home")
    equip(home, model_folder=tmp_path)
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (home.datasets / "notes" / "v1" / "train.jsonl").write_text(text)
    return home


def spend(home: WorkerHome, squared: float, *rows: dict[str, Any], run_id: str = "run_0") -> None:
    """A run has released these rows."""
    accountant = JobAccountant.of(home, run_id=run_id, party="a", train=rows, held_out=[])
    unbounded = math.isinf(squared)
    plan = Plan("" if unbounded else "gaussian", Reach.OWN, dict.fromkeys(range(len(rows)), (1, squared)))
    accountant.begin(plan)
    if not unbounded:
        accountant.charge([Sending(number, squared, str(number).encode()) for number in range(len(rows))])


def test_looking_makes_no_ledger_and_a_dataset_that_never_left_has_spent_nothing(home: WorkerHome) -> None:
    (found,) = spending_of_all(home, None)
    assert (found.name, found.epsilon(), found.runs) == ("notes", 0.0, [])
    assert spent_of(home, DIGEST, but="") == 0.0
    assert not home.privacy_file.exists()
    assert found.told().in_words().summary == "No run has sent hidden states of these rows yet."


def test_a_dataset_is_told_by_its_worst_row_and_by_every_run_that_took_something_of_it(home: WorkerHome) -> None:
    spend(home, 1.0, *ROWS)
    spend(home, 2.0, ROWS[1], run_id="run_1")
    spend(home, 9.0, {"prompt": "of another dataset", "completion": "c"}, run_id="run_2")
    (found,) = spending_of_all(home, Budget(20.0, 1e-6))
    told, exact = found.told(), epsilon_from(3.0, 1e-6)
    shown = found.epsilon()
    assert shown == pytest.approx(exact, rel=0.01)
    assert shown is not None
    assert told.epsilon is not None
    assert told.epsilon >= shown >= exact
    assert found.in_words().epsilon == in_words(exact)
    assert (told.delta, told.budget) == (1e-6, 20.0)
    assert [run.run_id for run in told.runs] == ["run_1", "run_0"]
    assert told.in_words().percent == round(100 * told.epsilon / 20)


def test_no_bound_is_said_in_words_and_never_as_a_number(home: WorkerHome) -> None:
    spend(home, math.inf, ROWS[0])
    told = spending_of_all(home, Budget(8.0))[0].told()
    words = told.in_words()
    assert told.epsilon is None
    assert (words.epsilon, words.percent) == ("no bound", None)
    assert words.summary.startswith("No bound")
    assert "inf" not in told.model_dump_json().lower()


def test_the_hello_follows_the_ledger_and_the_policy(home: WorkerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.accounting.told.LOOK_SECONDS", 0.0)
    told = SpendingTold(home)
    assert [one.epsilon for one in told.told() or []] == [0.0]
    spend(home, 1.0, ROWS[0])
    assert [one.epsilon for one in told.told() or []] == [5.0]
    home.policy_file.write_text(SitePolicy(privacy_budget=PrivacyBudget(epsilon=8, delta=1e-5)).to_yaml())
    assert [one.budget for one in told.told() or []] == [8.0]


def test_what_the_hub_is_told_is_the_same_for_rows_of_about_the_same_length(home: WorkerHome) -> None:
    """The exact figure of a frozen head is a function of the longest row's tokens."""
    square = 4 / 2.0**2  # of one token
    found = [Spending("notes", square * tokens, [], None) for tokens in range(60, 101)]
    assert len({one.epsilon() for one in found}) == len(found)
    assert {one.told().epsilon for one in found} == {100.0}
    assert [Spending("notes", square * 60, [], Budget(limit)).told().epsilon for limit in (70.0, 8.0)] == [70.0, 100.0]


# ---- the review of a contract


def refused(home: WorkerHome, *, epsilon: float, clients: int = 1, **config: Any) -> list[str]:
    """Fields that the site refuses of a contract."""
    contract = contract_for(home)
    contract["config"] |= NOISE | config
    for number in range(1, clients):
        other = contract["participants"][0] | {
            "party": f"other-{number}",
            "worker_id": "wrk_other",
            "fingerprint": "9" * 64,
        }
        contract["participants"].append(other)
    site = Site.load(home, WorkerConfig.load(home))
    policy = SitePolicy(privacy_budget=PrivacyBudget(epsilon=epsilon, delta=1e-5))
    return [refusal.field for refusal in review(assignment_for(contract), replace(site, policy=policy)).refusals]


def test_a_run_is_refused_before_it_starts_where_a_row_has_too_little_left(home: WorkerHome) -> None:
    budget = epsilon_from(3.0)
    assert refused(home, epsilon=budget) == []
    spend(home, 2.5, ROWS[2])
    assert refused(home, epsilon=budget) == ["participants.dataset"]
    assert refused(home, epsilon=epsilon_from(3.5)) == []


def test_what_the_run_itself_has_spent_does_not_keep_it_from_going_on(home: WorkerHome) -> None:
    spend(home, 2.5, ROWS[2], run_id="run_1")  # the contract's
    assert refused(home, epsilon=epsilon_from(3.0)) == []


def test_under_another_key_nothing_is_told_and_nothing_starts(home: WorkerHome) -> None:
    """Otherwise all rows would look new, and their budget would be whole again."""
    spend(home, 2.5, ROWS[2])
    DatasetStore(home.root).key_file.unlink()
    for look in (
        lambda: spending_of_all(home, None),
        lambda: spent_of(home, DIGEST, but=""),
        lambda: spend(home, 1.0, ROWS[2], run_id="run_2"),
    ):
        with pytest.raises(AppError) as caught:
            look()
        assert caught.value.code == "CL-1571"
    assert refused(home, epsilon=8.0) == ["participants.dataset"]
    home.privacy_file.unlink()
    for beside in home.root.glob(f"{home.privacy_file.name}-*"):
        beside.unlink()
    assert refused(home, epsilon=8.0) == []


def test_with_a_budget_no_row_may_train_a_head_that_organisations_share(home: WorkerHome) -> None:
    assert refused(home, epsilon=8.0, clients=2) == ["lora.train_head"]
    assert refused(home, epsilon=8.0, clients=2, lora={"train_head": False}) == []
    assert refused(home, epsilon=8.0, clients=2, schedule={"name": "personalised"}) == []
