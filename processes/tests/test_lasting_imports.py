"""What a process imports stays, and is never looked through for garbage; everything later is, as ever."""

from __future__ import annotations

import subprocess
import sys

BLOCK = """
import gc
from processes.lasting_imports import lasting_imports

def looked_through(thing):
    return any(one is thing for one in gc.get_objects())

with lasting_imports():
    import decimal
    assert not gc.isenabled()
assert gc.isenabled()
assert not looked_through(decimal.__dict__)
later = [decimal]
assert looked_through(later)
try:
    with lasting_imports():
        import nowhere_at_all
except ImportError:
    assert gc.isenabled()
    print("as ever")
"""


def test_imports_are_left_out_of_garbage_collection_and_what_comes_later_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True, check=True)
    assert done.stdout == "as ever\n"
