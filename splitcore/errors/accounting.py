"""CL-157x: what a dataset's rows have spent of their privacy budget."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1570": ErrorHelp(
        "A row's privacy budget would be exceeded",
        "What the run is about to release of its rows would take the ε of one of them beyond privacy_budget in "
        "policy.yaml at its site. Earlier runs with the same rows count. It wasn't sent.",
        "Use more noise, a head that isn't trained, fewer steps or other rows, or raise privacy_budget in policy.yaml. "
        "What has been spent doesn't come back: a new run and a copy of the dataset start from it.",
    ),
    "CL-1571": ErrorHelp(
        "The privacy ledger was written under another key",
        "privacy.sqlite3 knows rows by keys/datasets.key of its site, which is another one than when it was written. "
        "All rows would look as if nothing of them had ever left.",
        "Restore keys/datasets.key from a copy. Without one, what was spent can't be told any more. Whoever answers "
        "for the rows may delete privacy.sqlite3, and every row starts from nothing.",
    ),
}
