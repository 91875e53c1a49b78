"""Solve a tape again from what was measured before: a correction is heard in seconds, without the disc.

May import the ground rooms and the other files of `cadence`. Reads no clip.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import CustomError
from .measure import CHUNK, Evidence, evidence_folder, user_cache
from .model import Cadence, Tape
from .override import Override
from .solve import solve_cadence

__all__ = ["find_evidence", "solve_again"]


def find_evidence(tape: Tape, path: str | os.PathLike[str]) -> Evidence | None:
    """The whole evidence of a tape, if it is still cached beside its map or in the user's folder.

    Args:
        tape: Which tape: `cadence.tape` of its map.
        path: Its map.

    Example:
        >>> tape = Tape(frames=5, fps=(30000, 1001), tff=True, content="0c1f")
        >>> find_evidence(tape, tmp_path / "ep.json") is None
        True
    """
    fields = 2 * tape.frames
    for cache in (Path(path).parent / "ds9vs-cache", user_cache()):
        folder = evidence_folder(cache, tape.content, tape.tff)
        found = Evidence(folder=folder, fields=fields, fps=tape.fps, tff=tape.tff, content=tape.content)
        try:
            for first in range(0, fields, CHUNK):
                found.read(first, min(fields, first + 1))
        except CustomError:
            continue
        return found
    return None


def solve_again(cadence: Cadence, path: str | os.PathLike[str], overrides: Sequence[Override]) -> Cadence | None:
    """A map solved again around corrections, from cached evidence; None if that is gone. Writes nothing.

    Args:
        cadence: The map as it is.
        path: Its file, beside which the evidence is looked for.
        overrides: All corrections of the tape.

    Example:
        >>> import vapoursynth as vs
        >>> from ds9vs.cadence import analyse
        >>> clip = core.std.BlankClip(width=64, height=64, length=4, format=vs.YUV420P8, fpsnum=30000, fpsden=1001)
        >>> cadence = analyse(clip.std.SetFieldBased(2), save=tmp_path / "ep.json", progress=False)
        >>> again = solve_again(cadence, tmp_path / "ep.json", [Override(first=0, stop=8, kind="60i")])
        >>> again.shots[0].kind
        '60i'
    """
    evidence = find_evidence(cadence.tape, path)
    return None if evidence is None else solve_cadence(evidence, overrides=overrides, func=solve_again)
