"""Which treatment a shot gets: functions chosen by the kind or number of the shot.

May import the ground rooms, `cadence.model` and `view`. Decides nothing about shots: the map does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import vapoursynth as vs

from ..cadence.model import Cadence, Kind
from ..errors import CustomValueError
from ..plugins import require
from ..view import refusing

__all__ = ["Key", "per_shot"]

type Func = Callable[..., Any] | str
type Treatment = Callable[[vs.VideoNode], vs.VideoNode]

type Key = str | int | tuple[int, int]
"""A kind ("film", "30p", "60i", "layered"), "vfx" (60i and layered), "default", a shot, or shots (first, stop)."""

_VFX = ("60i", "layered")


def per_shot(clip: vs.VideoNode, cadence: Cadence, treatments: Mapping[Key, Treatment]) -> vs.VideoNode:
    """Treat each shot by the function for its kind or number; the format and size are what the functions return.

    Every function gets the whole clip, whose props `_SceneChangePrev` and `_SceneChangeNext` tell filters of several
    pictures where to stop, and is evaluated only for the frames of its shots. A function whose shots do not occur in
    the map is not called.

    A shot's number goes before its kind, the kind before "vfx", that before "default"; of two ranges that hold a shot
    the first listed counts. A shot for which there is none stays as it is.

    Args:
        clip: Pictures that carry `DS9VS_Shot` and `DS9VS_Kind`, as `ivtc` writes them; what was made of such a clip
            keeps them.
        cadence: The map that `ivtc` was given.
        treatments: A function from clip to clip for each of: "film", "30p", "60i", "layered", "vfx" (60i and layered),
            "default", the number of a shot, or a range of numbers (first, stop).

    Raises:
        CustomValueError: A key is none of these or no shot of the map, or the functions return clips of different
            format, size, length or rate.
        CustomRuntimeError: A plugin is missing.
        vs.Error: On a frame that does not say which shot it is of.

    Example:
        >>> from ds9vs.cadence.model import Cadence, Shot, Tape
        >>> film = Shot(first=0, stop=10, kind="film", lengths="2323", confidence=0.99)
        >>> cadence = Cadence(tape=Tape(frames=5, fps=(30000, 1001), tff=True, content=""), shots=(film,))
        >>> clip = core.std.BlankClip(format=vs.GRAY8, length=4).std.SetFrameProps(DS9VS_Shot=0, DS9VS_Kind="film")
        >>> treated = per_shot(clip, cadence, {"film": lambda c: c.std.Invert(), "vfx": lambda c: c.std.BoxBlur()})
        >>> treated.get_frame(0)[0][0, 0]
        255
    """
    for key in treatments:
        _check(key, cadence)
    choices = [_choice(cadence, n, treatments) for n in range(len(cadence.shots))]
    used = [key for key in treatments if key in choices]
    clips = [_apply(key, treatments[key], clip) for key in used]
    if None in choices or not clips:
        used, clips = [*used, "default"], [*clips, clip]
    for key, made in zip(used[1:], clips[1:], strict=True):
        if _shape(made) != _shape(clips[0]):
            raise CustomValueError(
                f"The treatment {used[0]!r} gives {_shape(clips[0])}, but {key!r} {_shape(made)}; all must agree "
                f"(shots without a treatment keep the clip's).",
                per_shot,
            )
    order: list[Key] = sorted(used, key=_rank)
    expression = f"{len(clips)}"
    for key in reversed(order):
        expression = f"{_test(key)} {used.index(key)} {expression} ?"
    sentence = (
        "The frame does not say of which shot of this map it is (DS9VS_Shot, DS9VS_Kind); give what ivtc made by the "
        "map, or what was made of that with its props kept."
    )
    return require("akarin.Select", per_shot)(
        [*clips, refusing(clips[0], sentence, per_shot)],
        clip,
        f"x.DS9VS_Kind 0 = {len(clips)} {expression} ?",
    )


def _check(key: Key, cadence: Cadence) -> None:
    shots = len(cadence.shots)
    if isinstance(key, str):
        allowed = (*get_args(Kind), "vfx", "default")
        if key not in allowed:
            raise CustomValueError(
                f"{key!r} is no kind of shot; it must be {', '.join(allowed)}, a shot's number or (first, stop).",
                per_shot,
            )
        return
    first, stop = (key, key + 1) if isinstance(key, int) else key
    if not 0 <= first < stop <= shots:
        raise CustomValueError(f"The map has no shots {key}; they are numbered from 0 to {shots - 1}.", per_shot)


def _choice(cadence: Cadence, n: int, treatments: Mapping[Key, Treatment]) -> Key | None:
    kind = cadence.shots[n].kind
    for key in treatments:
        if not isinstance(key, str) and n in (range(key, key + 1) if isinstance(key, int) else range(*key)):
            return key
    return next((key for key in (kind, *(("vfx",) if kind in _VFX else ()), "default") if key in treatments), None)


def _rank(key: Key) -> int:
    """Which keys go before which; of equals the first listed."""
    return {"vfx": 2, "default": 3}.get(key, 1) if isinstance(key, str) else 0


def _test(key: Key) -> str:
    """An expression that tells by its props whether a frame is meant; a string counts by its first letter."""
    if isinstance(key, int):
        return f"x.DS9VS_Shot {key} ="
    if isinstance(key, tuple):
        return f"x.DS9VS_Shot {key[0]} >= x.DS9VS_Shot {key[1]} < and"
    if key == "default":
        return "1"
    if key == "vfx":
        return " ".join(_test(kind) for kind in _VFX) + " or"
    return f"x.DS9VS_Kind {ord(key[0])} ="


def _apply(key: Key, treatment: Treatment, clip: vs.VideoNode) -> vs.VideoNode:
    made = treatment(clip)
    if not isinstance(made, vs.VideoNode):
        raise CustomValueError(
            f"The treatment {key!r} returned a {type(made).__name__}; it must return a clip.", per_shot
        )
    return made


def _shape(clip: vs.VideoNode) -> str:
    name = clip.format.name if clip.format else "a changing format"
    return f"{clip.width}x{clip.height} {name}, {clip.num_frames} frames at {clip.fps}"
