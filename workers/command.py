"""The entry of the command `cutlayer`: a small module, so that Ctrl-C is met before the large ones are loaded."""

from __future__ import annotations

import sys

from processes.interruption import calm_imports, run_calmly
from processes.lasting_imports import lasting_imports


def main() -> None:
    """Load the command and run it."""
    with calm_imports(), lasting_imports():
        from workers.cli import main as command
    sys.exit(run_calmly(command))
