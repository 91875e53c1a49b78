"""Frame properties in and out: the standard ones told truly, and our DS9VS_* table.

A ground room: imports nothing of ours but the errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import vapoursynth as vs

from .errors import CustomValueError

__all__ = ["PROPS", "as_progressive", "field_order", "provenance", "set_duration", "set_sar"]

type Func = Callable[..., Any] | str

PROPS: dict[str, str] = {
    "DS9VS_Repeat": "fields of a tape frame that repeat earlier ones by flag: 1 first, 2 second, 3 both, 0 none",
    "DS9VS_Guess": "names of what source() guessed because the disc does not say, comma-separated",
    "DS9VS_Picture": "number of the picture in the cadence map",
    "DS9VS_Shot": "number of the shot in the cadence map",
    "DS9VS_Kind": "what the shot is: film, 30p, 60i or layered",
    "DS9VS_Confidence": "probability that the picture's fields are grouped rightly, 0 to 1",
    "DS9VS_Field": "first field of the picture, counted from the tape's start",
    "DS9VS_Done": "how it was made: woven, rescued (from one field), merged (combed blocks rebuilt), between, blended",
    "DS9VS_Between": "of a picture made between two: how far on its instant lies from one to the other, 0 to 1",
    "DS9VS_Trust": "where one was to be made between two: the share of samples that motion explains, 0 to 1",
    "DS9VS_Grain": "seed of the grain that add_grain gave",
    "DS9VS_Provenance": "JSON text of restore(): what was done, with which settings, models and maps",
    "DS9VS_Backend": "what ran the network, and why none of those that were to be tried before it",
    "DS9VS_LRError": "RMS difference of low frequencies between the upscaled picture and its source, in 8-bit codes",
    "DS9VS_Limited": "share of pixels that the guard limited, 0 to 1",
    "DS9VS_BelowBlack": "by report_levels: share of luma samples below black (16), 0 to 1",
    "DS9VS_AboveWhite": "share of luma samples above white (235), 0 to 1",
    "DS9VS_IllegalChroma": "share of chroma samples outside 16 to 240, 0 to 1",
    "DS9VS_Crushed": "share of luma samples that are black, to half an 8-bit code",
    "DS9VS_Clipped": "share that is white, or the highest code there is",
    "DS9VS_Lowest": "least luma of the picture, 8-bit codes",
    "DS9VS_Highest": "greatest luma of the picture, 8-bit codes",
}
"""Every property that this package writes, with its meaning. Others may read them; ours run without them."""


def field_order(clip: vs.VideoNode, tff: bool | None, func: Func) -> bool:
    """Whether the top field comes first: the argument if given, else the clip's `_FieldBased`.

    Raises:
        CustomValueError: Neither says.

    Example:
        >>> field_order(core.std.BlankClip(length=1).std.SetFieldBased(1), None, "example")
        False
    """
    if tff is not None:
        return tff
    with clip.get_frame(0) as frame:
        value = frame.props.get("_FieldBased", 0)
    if value not in (vs.FIELD_BOTTOM, vs.FIELD_TOP):
        raise CustomValueError("The clip does not say which field comes first; give tff=True or tff=False.", func)
    return bool(value == vs.FIELD_TOP)


def set_duration(clip: vs.VideoNode, fps: Fraction) -> vs.VideoNode:
    """Give a constant frame rate, and the `_DurationNum`/`_DurationDen` (seconds) that belong to it."""
    return clip.std.AssumeFPS(fpsnum=fps.numerator, fpsden=fps.denominator)


def set_sar(clip: vs.VideoNode, sar: Fraction) -> vs.VideoNode:
    """Set the sample aspect ratio, width over height of one sample."""
    return clip.std.SetFrameProps(_SARNum=sar.numerator, _SARDen=sar.denominator)


def as_progressive(clip: vs.VideoNode, fps: Fraction | None = None) -> vs.VideoNode:
    """Mark a clip as progressive (`_FieldBased` 0, no `_Field`), and with `fps` give its rate and durations."""
    clip = clip.std.RemoveFrameProps(["_Field"]).std.SetFieldBased(0)
    return clip if fps is None else set_duration(clip, fps)


def provenance(clip: vs.VideoNode) -> dict[str, Any]:
    """What `restore` says of a clip that it made, and what ran its network; empty for any other clip.

    Asking renders the first picture.

    Raises:
        CustomValueError: The property is there, but something else wrote it.

    Example:
        >>> provenance(core.std.BlankClip(length=1))
        {}
    """
    with clip.get_frame(0) as frame:
        text, ran = frame.props.get("DS9VS_Provenance"), frame.props.get("DS9VS_Backend", "none")
    if text is None:
        return {}
    try:
        record: dict[str, Any] = json.loads(_text(text))
        return record | {"backend": _text(ran)}
    except (TypeError, ValueError) as error:
        raise CustomValueError(f"The clip's DS9VS_Provenance is no JSON of ours ({error}).", provenance) from error


def _text(prop: object) -> str:
    return prop.decode() if isinstance(prop, bytes) else str(prop)
