"""Files and processes: whole or not at all, without a shell, with progress.

A ground room: imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .errors import CustomError, CustomRuntimeError, FileWasNotFoundError

__all__ = ["atomic", "existing", "progress", "run", "tool", "user_folder", "write_json", "write_text"]

type Func = Callable[..., Any] | str


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], func: Func) -> Iterator[Path]:
    """A temporary path beside `path`; it takes that name when the block ends well, and vanishes when it does not.

    Raises:
        CustomRuntimeError: The folder is missing, full or read-only.

    Example:
        >>> with atomic(tmp_path / "a.txt", "example") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (tmp_path / "a.txt").read_text()
        'whole'
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise CustomRuntimeError(
            f"The folder {str(target.parent)!r} cannot be written ({error.strerror}); give a folder that can.", func
        ) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except CustomError:
        raise
    except OSError as error:
        raise CustomRuntimeError(f"{str(target)!r} cannot be written ({error.strerror}).", func) from error
    finally:
        temporary.unlink(missing_ok=True)


def user_folder(kind: Literal["cache", "data"]) -> Path:
    """The folder of a user's own things, as the platform has it; it may not exist yet.

    `%LOCALAPPDATA%` on Windows, `~/Library` on macOS, `$XDG_CACHE_HOME` or `~/.cache` (`$XDG_DATA_HOME` or
    `~/.local/share`) elsewhere.

    Example:
        >>> user_folder("cache").name
        'ds9vs'
    """
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / ("Caches" if kind == "cache" else "Application Support")
    elif kind == "cache":
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "ds9vs"


def write_text(path: str | os.PathLike[str], text: str, func: Func) -> None:
    """Write a text file (UTF-8) as a whole."""
    with atomic(path, func) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any, func: Func) -> None:
    """Write a JSON file as a whole, keys in the order given."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", func)


def existing(path: str | os.PathLike[str], func: Func) -> Path:
    """The path, if there is something under it.

    Raises:
        FileWasNotFoundError: There is nothing there.
    """
    found = Path(path)
    if not found.exists():
        raise FileWasNotFoundError(f"There is no file or folder {str(path)!r}; check the name.", func)
    return found


def tool(name: str, func: Func) -> str:
    """The full path of a command line program: beside this Python (vspipe must be its own), else on PATH.

    Raises:
        CustomRuntimeError: It is not installed.
    """
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        package = {
            "mkvmerge": "mkvtoolnix",
            "mkvextract": "mkvtoolnix",
            "ffprobe": "ffmpeg",
            "spumux": "dvdauthor",
        }.get(name, name)
        raise CustomRuntimeError(
            f"The program {name!r} is not on PATH; install {package!r} (Debian: apt-get install {package}).", func
        )
    return found


def run(
    command: Sequence[str | os.PathLike[str]],
    func: Func,
    *,
    cwd: str | os.PathLike[str] | None = None,
    good: tuple[int, ...] = (0,),
) -> str:
    """Run a program to its end without a shell; return what it printed on standard output.

    `good` lists the exit codes that are no failure (mkvmerge gives 1 for a mere warning).

    Raises:
        CustomRuntimeError: It could not be started or failed; the end of what it said is in the message.
    """
    words = [tool(str(command[0]), func), *map(str, command[1:])]
    done = subprocess.run(
        words,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode not in good:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise CustomRuntimeError(f"{Path(words[0]).name} failed with code {done.returncode}: {said}", func)
    return done.stdout


@contextlib.contextmanager
def progress(what: str, total: int, *, show: bool = True) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error (standard output belongs to pipes); call what it yields with the count done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
