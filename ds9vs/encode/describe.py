"""Say what a script's outputs are, as JSON on standard output: run in a process of its own (`python -m`).

A script may crash a native plugin or hold gigabytes; neither may happen to the program that asks.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import vapoursynth as vs

from ..props import provenance
from .x265 import x265_args


def describe(script: str, preset: str, settings: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """Evaluate a script and describe output `index`: geometry, rate, length, x265's arguments, provenance."""
    runpy.run_path(script, run_name="__vapoursynth__")
    outputs = vs.get_outputs()
    if index not in outputs:
        return {"error": f"{script!r} sets no output {index}; end it with .set_output()."}
    clip = outputs[index].clip
    clip.std.SetVideoCache(mode=1)  # the first picture, which is asked for twice, is rendered once
    return {
        "width": clip.width,
        "height": clip.height,
        "frames": clip.num_frames,
        "fps": [clip.fps.numerator, clip.fps.denominator],
        "format": clip.format.name,
        "x265": x265_args(clip, preset=preset, settings=settings),
        "provenance": provenance(clip),
    }


if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    try:
        answer = describe(**request)
    except Exception as error:  # whatever the user's script raises is the answer
        answer = {"error": str(error) or type(error).__name__}
    print("\n" + json.dumps(answer))
