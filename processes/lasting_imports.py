"""What a process imports stays until it ends: it need not be looked through for garbage again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """What is imported within the block is never looked through for garbage, neither within it nor later.

    That is a sixth of the time that importing torch and transformers takes. A forked process, whose collections would
    copy the memory that it shares with its parent, is spared it as well.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
