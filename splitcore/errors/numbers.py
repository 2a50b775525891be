"""The number of any exception, and what a half tells the other one: a code of the catalogue, whatever was raised."""

from __future__ import annotations

import errno

from splitcore.errors import AppError

MEMORY_CLASSES = ("MemoryError", "OutOfMemoryError", "AcceleratorError")


def code_of(error: BaseException) -> str:
    """The number of an error."""
    if isinstance(error, AppError):
        return error.code
    if any(cls.__name__ in MEMORY_CLASSES for cls in type(error).__mro__) or _is_cpu_allocator(error):
        return "CL-1521"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "CL-1820"
    if isinstance(error, OSError) and error.errno in (errno.EDQUOT, errno.EFBIG):
        return "CL-1821"
    return "CL-1999"


def _is_cpu_allocator(error: BaseException) -> bool:
    """torch has no class of its own for a processor's memory: its allocator raises a plain RuntimeError."""
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
