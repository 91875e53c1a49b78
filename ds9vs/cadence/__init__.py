"""Cadence: what every field of the tape is.

model (data) · measure (evidence) · solve (partition) · override (corrections by hand) · again (solve around them) ·
show (a drawing) · exchange, adopt (to and from other formats). May import the ground rooms and its own files.
`analyse` does the work and writes a map; `load_cadence` reads one in a moment.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import vapoursynth as vs

from ..errors import CustomValueError, FileWasNotFoundError
from ..files import existing
from .measure import check_tape, content_hash, measure_fields, user_cache
from .model import Cadence, Picture, Shot, Tape
from .override import Override, load_overrides
from .solve import solve_cadence

__all__ = ["Cadence", "Picture", "Shot", "Tape", "analyse", "content_hash", "load_cadence"]


def analyse(
    tape: vs.VideoNode,
    *,
    save: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    overrides: Sequence[Override] | str | os.PathLike[str] = (),
    progress: bool = True,
) -> Cadence:
    """Find what every field of a tape is: shots, their cadence (film, 30p, 60i, layered), pictures, how sure.

    One pass over the tape, then a global optimum over all fields. The pass is cached: stopped or killed it goes on
    where it was, and a second call only solves. Costs some 1.2 KB a field on disk.

    Args:
        tape: Woven fields as `source` gives them: YUV or GRAY, 8 to 16 bits, 29.97 or 25 frames a second, with
            `_FieldBased`.
        save: Also write the map to this file (JSON).
        cache: Folder for the evidence; default: `ds9vs-cache` beside `save`, else the user's cache folder.
        overrides: Corrections by hand, or the TOML file of them; everything else is solved around them.
        progress: Whether to draw a progress bar on standard error.

    Returns:
        The cadence; the same tape gives the same.

    Raises:
        CustomValueError: The clip is progressive, of a variable rate or of a format that no tape has, or its fields are
            in the order opposite to what it says; the sentence names what to type.
        CustomRuntimeError: A plugin is missing, or a folder cannot be written.
        FileWasNotFoundError: There is no such file of corrections.

    Example:
        >>> tape = core.std.BlankClip(width=64, height=64, length=3, fpsnum=30000, fpsden=1001, format=vs.YUV420P8)
        >>> cadence = analyse(tape.std.SetFieldBased(2), cache=tmp_path, progress=False)
        >>> len(cadence), cadence.shots[0].kind, cadence.shots[0].notes
        (3, 'film', ('still', 'dark'))
    """
    if cache is None:
        cache = Path(save).parent / "ds9vs-cache" if save is not None else user_cache()
    evidence = measure_fields(tape, cache=cache, show_progress=progress, func=analyse)
    if isinstance(overrides, (str, os.PathLike)):
        known = Tape(frames=tape.num_frames, fps=evidence.fps, tff=evidence.tff, content=evidence.content)
        overrides = load_overrides(existing(overrides, analyse), known)
    cadence = solve_cadence(evidence, tape, overrides=overrides, func=analyse)
    if save is not None:
        cadence.save(save)
    return cadence


def load_cadence(path: str | os.PathLike[str], tape: vs.VideoNode | None = None) -> Cadence:
    """Read a map that `analyse` wrote; with the tape, check that it is the map of that tape (some 16 frames are read).

    Raises:
        FileWasNotFoundError: There is none yet; the sentence is the command to type.
        CustomValueError: It is truncated, of a later version, or of another tape.

    Example:
        >>> Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(
        ...     Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.9),)).save(tmp_path / "a.json")
        >>> len(load_cadence(tmp_path / "a.json"))
        4
    """
    if not Path(path).exists():
        raise FileWasNotFoundError(
            f"There is no cadence map {str(path)!r} yet; type: ds9vs analyse <source> -o {path}", load_cadence
        )
    cadence = Cadence.load(existing(path, load_cadence))
    if tape is None:
        return cadence
    tff = check_tape(tape, load_cadence)
    again = f"make one of this tape: ds9vs analyse <source> -o {path}"
    if cadence.tape.frames != tape.num_frames:
        raise CustomValueError(
            f"The map {str(path)!r} is of a tape of {cadence.tape.frames} frames, this has {tape.num_frames}; {again}",
            load_cadence,
        )
    if cadence.tape.tff != tff:
        order = "top" if cadence.tape.tff else "bottom"
        raise CustomValueError(
            f"The map {str(path)!r} is of a tape with the {order} field first, this says the opposite; {again}",
            load_cadence,
        )
    if cadence.tape.content != content_hash(tape):
        raise CustomValueError(f"The map {str(path)!r} is of another tape: its pictures differ; {again}", load_cadence)
    return cadence
