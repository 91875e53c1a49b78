"""Read a finished file back with independent programs: what is in it, and whether that is what was asked for.

Imports ground rooms only.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..errors import CustomRuntimeError
from ..files import existing, run

__all__ = ["VideoFile", "read_video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFile:
    """What ffprobe reads from a file's first video track, and from its first audio track."""

    codec: str
    profile: str
    width: int
    height: int
    pixel_format: str
    sar: Fraction
    dar: Fraction
    primaries: str
    transfer: str
    matrix: str
    range: str
    fps: Fraction
    frames: int
    """Counted packets, not what a header claims."""
    times: tuple[Fraction, ...]
    """Presentation time of each picture in seconds, ascending; none in an elementary stream."""
    start: Fraction
    """Presentation time of the first picture, in seconds."""
    end: Fraction
    """Presentation time of the last picture plus its duration."""
    audio_start: Fraction | None = None
    audio_end: Fraction | None = None


def read_video(path: str | os.PathLike[str]) -> VideoFile:
    """Read a video file with ffprobe, packet by packet.

    Raises:
        FileWasNotFoundError: There is no such file.
        CustomRuntimeError: ffprobe is missing, or finds no video.
    """
    existing(path, read_video)
    streams = _probe(path, "-show_streams")["streams"]
    video = next((s for s in streams if s["codec_type"] == "video"), None)
    audio = next((s for s in streams if s["codec_type"] == "audio"), None)
    if video is None:
        raise CustomRuntimeError(f"{str(path)!r} holds no video track.", read_video)
    fps = _ratio(video.get("avg_frame_rate"), "/")
    packets = _packets(path, video["index"])
    start, end = _span(packets, 1 / fps if fps else Fraction(0))
    sound = _span(_packets(path, audio["index"]), Fraction(0)) if audio else (None, None)
    return VideoFile(
        codec=video["codec_name"],
        profile=video.get("profile", ""),
        width=video["width"],
        height=video["height"],
        pixel_format=video["pix_fmt"],
        sar=_ratio(video.get("sample_aspect_ratio")),
        dar=_ratio(video.get("display_aspect_ratio")),
        primaries=video.get("color_primaries", ""),
        transfer=video.get("color_transfer", ""),
        matrix=video.get("color_space", ""),
        range=video.get("color_range", ""),
        fps=fps,
        frames=len(packets),
        times=tuple(sorted(Fraction(packet["pts_time"]) for packet in packets if "pts_time" in packet)),
        start=start,
        end=end,
        audio_start=sound[0],
        audio_end=sound[1],
    )


def _probe(path: str | os.PathLike[str], *what: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(["ffprobe", "-v", "error", "-of", "json", *what, path], read_video))
    return answer


def _packets(path: str | os.PathLike[str], index: int) -> list[dict[str, Any]]:
    entries = "packet=pts_time,duration_time"
    found: list[dict[str, Any]] = _probe(path, "-select_streams", str(index), "-show_entries", entries).get(
        "packets", []
    )
    return found


def _span(packets: list[dict[str, Any]], duration: Fraction) -> tuple[Fraction, Fraction]:
    timed = [packet for packet in packets if "pts_time" in packet]  # an elementary stream has none
    if not timed:
        return Fraction(0), Fraction(0)
    last = max(timed, key=lambda packet: Fraction(packet["pts_time"]))
    start = min(Fraction(packet["pts_time"]) for packet in timed)
    return start, Fraction(last["pts_time"]) + Fraction(last.get("duration_time") or duration)


def _ratio(text: str | None, sign: str = ":") -> Fraction:
    numerator, _, denominator = (text or "0").partition(sign)
    return Fraction(int(numerator), int(denominator or 1) or 1)
