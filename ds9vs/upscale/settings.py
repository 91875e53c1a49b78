"""Tiles and streams that were measured on this machine: kept by `tune`, found again for a picture's size, or explained.

May import the ground rooms and `registry`. A setting is a small JSON file; one that cannot be read or was measured
under other conditions is passed over with a sentence, never an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import files
from .registry import store

__all__ = ["Setting", "settings_dir", "settings_list"]

type Func = Callable[..., Any] | str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a network runs fastest on this machine, and all that this depends on."""

    model: str
    """Name of the network."""
    model_sha256: str
    """Hash of its ONNX file."""
    width: int
    """Of the picture."""
    height: int
    """Of the picture."""
    backend: str
    """The backend's name."""
    precision: str
    """What it computes in."""
    release: str
    """The plugin's release."""
    device: str
    """The processor or GPU."""
    tile: tuple[int, int] = (0, 0)
    """Width and height of a tile in source pixels; the padded picture's where it goes whole."""
    num_streams: int = 1
    """Pictures in flight at once."""
    speed: float = 0.0
    """Pictures a second that were measured."""
    memory: int | None = None
    """Bytes at the peak: of the process, or of the GPU; None where the device does not tell."""

    @property
    def path(self) -> Path:
        """Where it is kept: one file for each model, size, backend and precision."""
        return settings_dir() / f"{self.model}-{self.width}x{self.height}-{self.backend}-{self.precision}.json"

    def stale(self, now: Setting) -> str | None:
        """Why it does not hold now; None if it does."""
        for name, what in (
            ("model_sha256", "another file of that name"),
            ("release", f"release {self.release} of the plugin (now {now.release})"),
            ("device", f"{self.device} (now {now.device})"),
        ):
            if getattr(self, name) != getattr(now, name):
                return f"it was measured with {what}"
        same = ("model", "width", "height", "backend", "precision")
        return None if all(getattr(self, name) == getattr(now, name) for name in same) else "it is another one's"

    @property
    def words(self) -> str:
        """What was found, for people."""
        streams = "1 stream" if self.num_streams == 1 else f"{self.num_streams} streams"
        memory = "" if self.memory is None else f", {self.memory / 2**20:.0f} MiB at the peak"
        return f"tiles of {self.tile[0]}x{self.tile[1]}, {streams}: {self.speed:.2f} pictures a second{memory}"

    def keep(self, func: Func) -> None:
        """Write it, in place of an older one."""
        files.write_json(self.path, asdict(self), func)


def settings_dir() -> Path:
    """The user's folder of measured settings: the environment's DS9VS_SETTINGS, else beside the models.

    Example:
        >>> settings_dir().is_absolute()
        True
    """
    named = os.environ.get("DS9VS_SETTINGS")
    return Path(named).expanduser().absolute() if named else store().parent / "settings"


def find_setting(now: Setting) -> tuple[Setting | None, str | None]:
    """The setting that was measured for `now`, and why one that is there is not taken."""
    if not now.path.is_file():
        return None, None
    found = _read(now.path)
    reason = "its file cannot be read" if found is None else found.stale(now)
    return (found, None) if reason is None else (None, reason)


def settings_list() -> list[Setting]:
    """Every setting in the user's folder that can be read.

    Example:
        >>> isinstance(settings_list(), list)
        True
    """
    return [found for path in sorted(settings_dir().glob("*.json")) if (found := _read(path)) is not None]


def _read(path: Path) -> Setting | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = Setting(**values)
        tile = tuple(found.tile)
        whole = len(tile) == 2 and all(isinstance(v, int) and v > 0 for v in (*tile, found.num_streams))
        return replace(found, tile=(tile[0], tile[1])) if whole and found.num_streams <= 64 else None
    except (OSError, ValueError, TypeError):
        return None
