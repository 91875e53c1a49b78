"""Memory that was freed, given back to the system. A ground room: imports nothing of ours."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

__all__ = ["trimmer"]


def trimmer() -> Callable[[], object]:
    """What gives memory that was freed back to the system: glibc's `malloc_trim`, elsewhere nothing.

    VapourSynth's planes are aligned blocks, and glibc before 2.39 leaves holes where these were freed (its bug 30723):
    on 2.36 a process grew by 0.6 MB for each picture of layered shots, 2 GB in 3,000; trimmed it stays at 450 MB.

    Example:
        >>> trim = trimmer()
        >>> _ = trim()
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda: None
    return lambda: trim(ctypes.c_size_t(0))
