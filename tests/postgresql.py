"""`python -m tests.postgresql [PYTEST ARGS]`: the hub's tests on PostgreSQL, one server, a database per process.

Without arguments: the hub's whole suite, and the races that only a database with row locks can show.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from processes.children import start_child
from processes.postgres_server import PostgresNotFoundError, postgres_url

ROOT = Path(__file__).parents[1]
SUITE = ("tests/concurrency", "webapp")  # the longest group first
SPREAD = ("-n", "auto", "--dist", "loadscope", "--no-loadscope-reorder")


def main(arguments: list[str]) -> int:
    """Start the server, run pytest on it, and give back its status."""
    try:
        with postgres_url() as url:
            command = [sys.executable, "-m", "pytest", *(arguments or [*SUITE, *SPREAD])]
            environment = {**os.environ, "CUTLAYER_TEST_DATABASE_URL": url}
            return start_child(command, env=environment, cwd=ROOT, new_group=False).wait()
    except PostgresNotFoundError as error:
        sys.stderr.write(f"The hub's tests did not run on PostgreSQL. {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
