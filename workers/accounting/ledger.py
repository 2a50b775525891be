"""The privacy ledger of a worker, which knows its rows by the site's key: under another one all would look new."""

from __future__ import annotations

from splitcore.errors import AppError
from workers.accounting.book import SpendingBook
from workers.accounting.rows import key_fingerprint
from workers.data.store import DatasetStore
from workers.settings import WorkerHome


def ledger_of(home: WorkerHome) -> SpendingBook:
    """The book, made on first use. Raises AppError CL-1232, and CL-1571 where it was written under another key."""
    book = SpendingBook(home.privacy_file)
    if not book.is_of(key_fingerprint(DatasetStore(home.root).key)):
        raise AppError("CL-1571")
    return book
