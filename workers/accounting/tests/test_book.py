"""The privacy ledger: what counts once, what counts again, and whose spending a row shares."""

from __future__ import annotations

import math
import sqlite3
import threading
from pathlib import Path

import pytest

from splitcore.boundary.release import Plan, Reach, Sending
from splitcore.errors import AppError
from splitcore.privacy.composition import Budget, epsilon_from
from workers.accounting.accountant import JobAccountant
from workers.accounting.book import SpendingBook
from workers.accounting.rows import row_digests

KEY = bytes(range(32))
ROWS = [{"prompt": f"p{number}", "completion": "c"} for number in range(4)]
DIGESTS = row_digests(KEY, ROWS)


@pytest.fixture
def book(tmp_path: Path) -> SpendingBook:
    return SpendingBook(tmp_path / "privacy.sqlite3")


def begun(
    book: SpendingBook,
    run_id: str = "run_1",
    *,
    reach: Reach = Reach.OWN,
    digests: list[bytes] = DIGESTS,
    trained: int = 4,
    budget: Budget | None = None,
    times: int = 1,
    mechanism: str = "gaussian",
    squared: float = 1.0,
    prompts: float = 0.0,
) -> JobAccountant:
    """The accountant of a run's half that has told its plan: each row so often."""
    accountant = JobAccountant(book, run_id=run_id, party="a", digests=digests, trained=trained, budget=lambda: budget)
    accountant.begin(Plan(mechanism, reach, dict.fromkeys(range(len(digests)), (times, squared)), prompts))
    return accountant


def sent(accountant: JobAccountant, *rows: int, values: str = "v", squared: float = 1.0) -> None:
    accountant.charge([Sending(row, squared, f"{values}{row}".encode()) for row in rows])


def of(book: SpendingBook, *rows: int) -> float:
    """The square of the worst of these rows."""
    version = ",".join(map(str, rows))
    book.remember(version, [DIGESTS[row] for row in rows])
    return book.worst([version])


def test_the_same_values_sent_again_cost_nothing_and_other_values_cost_again(book: SpendingBook) -> None:
    run = begun(book)
    sent(run, 0, 1)
    sent(run, 0, 1)
    sent(begun(book), 0)  # a resumed half
    assert [of(book, row) for row in range(3)] == [1.0, 1.0, 0.0]
    sent(run, 0, values="noised anew")
    assert [of(book, 0), of(book, 1)] == [2.0, 1.0]


def test_another_run_pays_again_even_for_values_that_look_the_same(book: SpendingBook) -> None:
    sent(begun(book, "run_1"), 0)
    sent(begun(book, "run_2"), 0)
    assert of(book, 0) == 2.0
    book.remember("v", DIGESTS)
    assert [(one.run_id, one.squared, one.releases) for one in book.runs(["v"])] == [
        ("run_2", 1.0, 1),
        ("run_1", 1.0, 1),
    ]


def test_a_new_version_and_another_dataset_with_the_same_rows_start_from_what_those_have_spent(
    book: SpendingBook,
) -> None:
    sent(begun(book), 0, 1)
    book.remember("version 2", [DIGESTS[0], *row_digests(KEY, [{"prompt": "new", "completion": "c"}])])
    book.remember("other dataset", [DIGESTS[1]])
    book.remember("apart", [DIGESTS[3]])
    assert [book.worst([version]) for version in ("version 2", "other dataset", "apart")] == [1.0, 1.0, 0.0]
    assert row_digests(KEY, [dict(reversed(ROWS[0].items()))]) == DIGESTS[:1]  # whatever the order of its columns
    assert row_digests(bytes(32), ROWS[:1]) != DIGESTS[:1]


def test_rows_with_the_same_text_add_up(book: SpendingBook) -> None:
    run = begun(book, digests=[DIGESTS[0], DIGESTS[0]], trained=1)
    run.charge([Sending(0, 1.0, b"trained on"), Sending(1, 1.0, b"held out")])
    assert of(book, 0) == 2.0


def test_where_rows_train_the_head_each_bears_all_that_the_run_released_and_held_out_rows_their_own(
    book: SpendingBook,
) -> None:
    run = begun(book, reach=Reach.RUN, trained=2)
    sent(run, 0)
    sent(run, 1, 2)  # 2 and 3 are held out
    sent(run, 0, values="step 2 ")
    assert [of(book, row) for row in range(4)] == [4.0, 4.0, 1.0, 0.0]


def prompted(accountant: JobAccountant, *values: bytes) -> None:
    """Releases of public prompts."""
    accountant.charge([Sending(None, 1.0, value) for value in values])


def test_rows_that_train_the_head_bear_the_public_prompts_of_the_run_too(book: SpendingBook) -> None:
    run = begun(book, reach=Reach.RUN, trained=1, digests=DIGESTS[:2])
    prompted(run, b"before any row")
    sent(run, 0, 1)
    prompted(run, b"one", b"two")
    prompted(run, b"two")  # a resumed half
    assert [of(book, 0), of(book, 1)] == [5.0, 1.0]
    begun(book, "run_2", reach=Reach.RUN, digests=DIGESTS[2:])
    assert [of(book, row) for row in range(4)] == [5.0, 1.0, 0.0, 0.0]


def test_public_prompts_count_in_the_budget_of_rows_that_train_the_head(book: SpendingBook) -> None:
    budget = Budget(epsilon_from(5.0), 1e-5)
    with pytest.raises(AppError, match="CL-1570"):
        begun(book, reach=Reach.RUN, budget=budget, prompts=1.5)
    run = begun(book, reach=Reach.RUN, budget=budget, prompts=1.0)
    prompted(run, b"at the start")
    sent(run, 0, 1, 2, 3)
    with pytest.raises(AppError, match="CL-1570"):
        prompted(run, b"one more")
    assert of(book, 0) == 5.0
    for number in range(9):  # what prompts took in one run is no row's past in another
        other = begun(book, f"other {number}", reach=Reach.RUN, digests=DIGESTS[:1], trained=1)
        prompted(other, b"text")
    fresh = [*row_digests(KEY, [{"prompt": "fresh", "completion": "c"}])]
    prompted(begun(book, "run_3", reach=Reach.RUN, budget=budget, digests=fresh, trained=1, prompts=1.0), b"text")


def test_a_run_without_noise_leaves_its_rows_without_a_bound_for_good(book: SpendingBook) -> None:
    begun(book, reach=Reach.RUN, mechanism="", squared=math.inf, digests=DIGESTS[:2])
    sent(begun(book, "run_2", digests=DIGESTS[2:]), 0)
    assert [of(book, row) for row in range(4)] == [math.inf, math.inf, 1.0, 0.0]


# ---- the budget


def test_a_plan_beyond_the_budget_is_refused_before_anything_is_charged(book: SpendingBook) -> None:
    budget = Budget(epsilon_from(3.0), 1e-5)
    begun(book, budget=budget, squared=3.0)
    with pytest.raises(AppError) as caught:
        begun(book, "run_2", budget=budget, squared=3.1)
    assert caught.value.code == "CL-1570"
    assert of(book, 0) == 0.0
    with pytest.raises(AppError, match="no bound"):
        begun(book, "run_3", budget=budget, mechanism="", squared=math.inf)
    assert of(book, 0) == 0.0


def test_what_earlier_runs_spent_of_a_single_row_counts_in_the_plan(book: SpendingBook) -> None:
    budget = Budget(epsilon_from(3.0), 1e-5)
    sent(begun(book, "run_1"), 2, squared=2.5)
    begun(book, "run_2", budget=budget, digests=[*DIGESTS[:2], DIGESTS[3]])
    with pytest.raises(AppError, match="CL-1570"):
        begun(book, "run_3", budget=budget)


def test_a_charge_beyond_the_budget_writes_nothing_of_its_micro_batch(book: SpendingBook) -> None:
    run = begun(book, budget=Budget(epsilon_from(2.0), 1e-5))
    sent(run, 0, 1)
    sent(run, 0, values="again ")
    with pytest.raises(AppError, match="CL-1570"):
        sent(run, 3, 0, values="and again ")
    assert [of(book, 0), of(book, 3)] == [2.0, 0.0]
    sent(run, 3)


def test_a_trained_head_s_budget_is_that_of_the_row_that_has_spent_most_elsewhere(book: SpendingBook) -> None:
    budget = Budget(epsilon_from(4.0), 1e-5)
    sent(begun(book, "run_1"), 3, squared=2.0)
    with pytest.raises(AppError, match="CL-1570"):
        begun(book, "run_2", reach=Reach.RUN, budget=budget)  # four releases, which all rows bear
    run = begun(book, "run_2", reach=Reach.RUN, budget=budget, digests=DIGESTS[2:], trained=2)
    sent(run, 0, 1)
    with pytest.raises(AppError, match="CL-1570"):
        sent(run, 0, values="a release of another row ")
    assert of(book, 3) == 4.0


def test_a_resumed_run_that_used_up_its_budget_may_replay_what_it_has_sent(book: SpendingBook) -> None:
    budget = Budget(epsilon_from(4.0), 1e-5)
    sent(begun(book, reach=Reach.RUN, budget=budget), 0, 1, 2, 3)
    again = begun(book, reach=Reach.RUN, budget=budget)
    sent(again, 0, 1, 2, 3)
    with pytest.raises(AppError, match="CL-1570"):
        sent(again, 0, values="other bits ")


def test_noise_that_was_calibrated_for_the_budget_fits_into_it(book: SpendingBook) -> None:
    budget = Budget(2.0, 1e-5)
    squared = budget.squared * (1 + 1e-12)
    run = begun(book, budget=budget, squared=squared)
    sent(run, 0, squared=squared)
    with pytest.raises(AppError, match="CL-1570"):
        sent(run, 0, squared=squared, values="other bits ")


def test_two_jobs_on_the_same_rows_never_spend_the_budget_twice(book: SpendingBook, tmp_path: Path) -> None:
    budget = Budget(epsilon_from(20.0), 1e-5)
    refused: list[str] = []

    def work(name: str) -> None:
        run = begun(SpendingBook(tmp_path / "privacy.sqlite3"), name, budget=budget)
        for turn in range(15):
            try:
                sent(run, 0, 1, values=f"{turn} ")
            except AppError as error:
                refused.append(error.code)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("run_1", "run_2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert of(book, 0) == of(book, 1) == 20.0
    assert refused == ["CL-1570"] * 10


# ---- the disk


def test_where_the_ledger_cannot_be_written_nothing_leaves(book: SpendingBook, tmp_path: Path) -> None:
    run = begun(book)
    with sqlite3.connect(tmp_path / "privacy.sqlite3") as other:
        other.execute("DROP TABLE releases")
    with pytest.raises(AppError) as caught:
        sent(run, 0)
    assert caught.value.code == "CL-1820"


def test_each_charge_is_synced(book: SpendingBook) -> None:
    assert [tuple(row) for row in book._read("PRAGMA synchronous")] == [(2,)]


def test_no_transaction_takes_in_more_rows_than_a_chunk(book: SpendingBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.accounting.book.CHUNK", 7)
    statements: list[str] = []
    book._connection().set_trace_callback(statements.append)
    digests = row_digests(KEY, [{"prompt": f"p{number}"} for number in range(30)])
    begun(book, digests=digests, mechanism="", squared=math.inf)
    book.remember("v", digests)
    transactions = " ".join(statements).split("COMMIT")
    inserted = [one.count("INSERT") for one in transactions]
    assert max(inserted) == 7
    assert sum(inserted) >= 3 * 30
    assert book.worst(["v"]) == math.inf


def test_a_version_that_was_remembered_in_part_is_not_known(
    book: SpendingBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.accounting.book.CHUNK", 2)
    sent(begun(book), 3)
    connection = book._connection()
    connection.execute(
        "CREATE TRIGGER full BEFORE INSERT ON members WHEN NEW.row = 3 BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        book.remember("v", DIGESTS)
    connection.execute("DROP TRIGGER full")
    assert not book.knows("v")
    book.remember("v", DIGESTS)
    assert book.knows("v")
    assert book.worst(["v"]) == 1.0


def test_no_text_of_a_row_lies_in_the_ledger(book: SpendingBook, tmp_path: Path) -> None:
    rows = [{"prompt": "unmistakable canary", "completion": "c"}]
    sent(begun(book, digests=row_digests(KEY, rows)), 0)
    files = list(tmp_path.iterdir())
    assert files
    assert not any(b"unmistakable" in path.read_bytes() for path in files)
