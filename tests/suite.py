"""`python -m tests.suite [ARGUMENTS]`: every test, and beside it the hub's once more on PostgreSQL.

With arguments of pytest the first pass alone, with them. The second pass gives way to the first and takes the time
that its tests of the real system wait. What it prints comes at the end, in one piece.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from processes.children import end_child, start_child

ROOT = Path(__file__).parents[1]
FIRST = ("-m", "pytest", "-n", "auto", "--dist", "loadscope", "--no-loadscope-reorder")
SECOND = ("-m", "tests.postgresql")
NICE = 2  # beside what conftest.py adds; with much more, a test that waits seconds for an answer could wait in vain


def side_by_side(first: Sequence[str], second: Sequence[str]) -> int:
    """Run both with this Python; a status that is not 0 counts, the first's before the second's."""
    with tempfile.TemporaryFile() as told:
        child = start_child(["nice", "-n", str(NICE), sys.executable, *second], cwd=ROOT, output=told)
        try:
            statuses = [subprocess.run([sys.executable, *first], cwd=ROOT, check=False).returncode, child.wait()]
            return next((status for status in statuses if status), 0)
        except KeyboardInterrupt:
            return 130
        finally:
            end_child(child)
            told.seek(0)
            sys.stdout.write("\nThe hub's tests on PostgreSQL:\n" + told.read().decode(errors="replace"))


def main(arguments: Sequence[str]) -> int:
    """The status for the shell."""
    if arguments:
        return subprocess.run([sys.executable, *FIRST, *arguments], cwd=ROOT, check=False).returncode
    return side_by_side(FIRST, SECOND)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
