"""The errors that this package raises: vs-jetpack's kind, safe for any text.

A ground room: imports nothing of ours. jetpytools runs `str.format` over the message when it is shown, so that a brace
in a file's name would raise a KeyError in place of the sentence; here braces are doubled first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jetpytools

__all__ = ["CustomError", "CustomRuntimeError", "CustomValueError", "FileWasNotFoundError"]

type Func = Callable[..., Any] | str

CustomError = jetpytools.CustomError
"""What all of them are."""


def _plain(text: object) -> str:
    return str(text).replace("{", "{{").replace("}", "}}")


class CustomValueError(jetpytools.CustomValueError):
    """What was given cannot be: a value, a format, a file that holds something else.

    Example:
        >>> str(CustomValueError("There is no preset '{x}'.", "example"))
        "(example) There is no preset '{x}'."
    """

    def __init__(self, message: str, func: Func, reason: object = None) -> None:
        super().__init__(_plain(message), func, None if reason is None else _plain(reason))


class CustomRuntimeError(jetpytools.CustomRuntimeError):
    """What was asked cannot be done here: a program, plugin or folder is missing or fails."""

    def __init__(self, message: str, func: Func, reason: object = None) -> None:
        super().__init__(_plain(message), func, None if reason is None else _plain(reason))


class FileWasNotFoundError(jetpytools.FileWasNotFoundError):
    """There is no such file or folder."""

    def __init__(self, message: str, func: Func, reason: object = None) -> None:
        super().__init__(_plain(message), func, None if reason is None else _plain(reason))
