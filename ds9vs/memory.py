"""Memory that was freed, given back to the system. A ground room: imports nothing of ours."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from collections.abc import Callable
from pathlib import Path

__all__ = ["give_back", "trimmer"]


GROWN = 96 << 20
"""Bytes by which a process may grow before freed memory is given back: it has to be faulted in again."""


def trimmer() -> Callable[[], object]:
    """What gives memory that was freed back to the system: glibc's `malloc_trim`, elsewhere nothing.

    VapourSynth's planes are aligned blocks, and glibc before 2.39 leaves holes where these were freed (its bug 30723):
    on 2.36 a process grew by 0.6 MB for each picture of layered shots, 2 GB in 3,000; trimmed it stays at 450 MB. To be
    called often: it trims when the process has grown by `GROWN` since it last did.

    Example:
        >>> trim = trimmer()
        >>> _ = trim()
    """
    least = 0
    with contextlib.suppress(OSError):
        least = _resident()

    def trim() -> None:
        nonlocal least
        held = _resident()
        if held > least + GROWN:
            give_back()
            least = _resident()
        else:
            least = min(least, held)

    return trim if least else lambda: None


def give_back() -> None:
    """Give memory that was freed back to the system now, where the C library can.

    Example:
        >>> give_back()
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _resident() -> int:
    """Bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
