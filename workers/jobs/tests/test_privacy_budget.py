"""A site's privacy budget in its half's own process: refused before anything leaves, and kept in the ledger."""

from __future__ import annotations

from pathlib import Path

from splitcore.policy.schema import PrivacyBudget
from workers.accounting.summary import spending_of_all
from workers.jobs.tests.door import code_of
from workers.jobs.tests.pair import Pair, make_pair
from workers.ledger.book import Book
from workers.policy import SitePolicy

# 32 tokens a row, (sensitivity/σ)² = 4 · 32 / 40² = 0.08: ε = 1.06 for the one release of a head that isn't trained
NOISE = {"defences": [{"name": "gaussian", "clip": 10.0, "noise": 40.0}]}
TRAINING = {"steps": 3, "batch_size": 4, "max_length": 32, "eval_every": 1}


def allow(pair: Pair, epsilon: float) -> SitePolicy:
    policy = SitePolicy(privacy_budget=PrivacyBudget(epsilon=epsilon, delta=1e-5))
    pair.client.home.policy_file.write_text(policy.to_yaml())
    return policy


def run(pair: Pair, attempt: int) -> None:
    halves = [job.start(attempt) for job in (pair.server, pair.client)]
    pair.introduce(attempt)
    for half in halves:
        half.wait(timeout=200)


def sent(pair: Pair) -> set[str]:
    return {line.kind for line in Book(pair.client.home.ledger_file).lines("run_1")}


def test_a_plan_beyond_the_budget_ends_before_a_hidden_state_leaves_and_within_it_each_row_pays_once(
    tmp_path: Path,
) -> None:
    pair = make_pair(tmp_path, training=TRAINING, privacy=NOISE, lora={"train_head": False}, data={"loss_on": "all"})
    allow(pair, 1.0)
    run(pair, attempt=1)
    assert code_of(pair.client.folder) == "CL-1570"
    assert code_of(pair.server.folder) == "CL-1329"  # the other half reported an error
    assert "activations:head_up" not in sent(pair)

    policy = allow(pair, 1.1)
    for job in (pair.client, pair.server):
        job.folder.renew()
    run(pair, attempt=2)
    assert "activations:head_up" in sent(pair)
    (found,) = spending_of_all(pair.client.home, policy.budget)
    assert found.epsilon() == 1.07
    (taken,) = found.runs
    assert (taken.run_id, taken.mechanism) == ("run_1", "gaussian")
    assert taken.releases == taken.rows  # four evaluations of the held-out rows are one release of each
