"""`python -m demo`: a small module, so that Ctrl-C is met before the large ones are loaded."""

from __future__ import annotations

import sys

from processes.interruption import calm_imports, run_calmly
from processes.lasting_imports import lasting_imports

if __name__ == "__main__":
    with calm_imports(), lasting_imports():
        from demo.main_job import main
    sys.exit(run_calmly(main))
