"""The sound of a simulated disc: clicks at exact times, as WAV and AC-3, and where a file plays them.

Imports ground rooms only.
"""

from __future__ import annotations

import math
import os
import tempfile
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import existing, run

__all__ = ["find_clicks", "write_clicks"]

type Func = Callable[..., Any] | str

AUDIO_RATE = 48_000
AC3_FRAME = 1_536
"""Samples in an AC-3 frame (ATSC A/52 5.1)."""
AC3_PRIMING = 256
"""Samples by which a decoder's output lies behind what ffmpeg's AC-3 encoder got: the transform's overlap."""


def _click() -> NDArray[np.float64]:
    """The click: 10 ms of a sweep from 500 to 6,500 Hz, so that correlation finds it to a sample after AC-3."""
    t = np.arange(AUDIO_RATE // 100) / AUDIO_RATE
    return 0.5 * np.sin(2 * np.pi * (500 * t + 300_000 * t**2)) * np.hanning(len(t))


def write_clicks(
    wav: Path, ac3: Path, *, duration: Fraction, delay: Fraction, cuts: Sequence[Fraction], func: Func
) -> dict[str, list[float]]:
    """Write clicks as WAV and AC-3 (48 kHz, stereo, 192 kb/s); gives their times on the tape, for each channel.

    Left clicks at 0.5, 1.5, ... seconds, right at the cuts, or as left where there are none. The audio is whole AC-3
    frames of 1,536 samples, and lasts at least as long as the picture.

    Args:
        wav: The WAV file to write.
        ac3: The AC-3 file to write: decoded, its samples lie where the WAV's do.
        duration: Seconds of picture.
        delay: Seconds of picture before the audio starts; clicks before its start are left out.
        cuts: Seconds of picture.
        func: Who asks, for messages.
    """
    click = _click()
    samples = math.ceil((duration - delay) * AUDIO_RATE / AC3_FRAME) * AC3_FRAME
    seconds = [Fraction(1, 2) + n for n in range(math.ceil(duration))]
    wanted = {"left": seconds, "right": sorted(map(Fraction, cuts)) or seconds}
    track, times = np.zeros((samples, 2)), {}
    for channel, name in enumerate(("left", "right")):
        fits = [
            t for t in wanted[name] if 0 <= round((t - delay) * AUDIO_RATE) <= samples - len(click) and t < duration
        ]
        times[name] = [float(t) for t in fits]
        for time in fits:
            at = round((time - delay) * AUDIO_RATE)
            track[at : at + len(click), channel] = click
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE)
        file.writeframes((track * 32767).round().astype("<i2").tobytes())
    trim = f"atrim=start_sample={AC3_PRIMING},apad=whole_len={samples}"
    coding = ["-c:a", "ac3", "-b:a", "192k", "-threads", "1", "-bitexact", "-f", "ac3"]
    run(["ffmpeg", "-v", "error", "-y", "-i", wav, "-af", trim, *coding, ac3], func)
    return times


def find_clicks(path: str | os.PathLike[str], *, channel: int = 0) -> list[float]:
    """When the clicks of a simulated disc are heard: seconds from the start of a file's first audio stream.

    Args:
        path: Any file whose audio ffmpeg decodes.
        channel: 0 is left, 1 right.

    Raises:
        CustomRuntimeError: There is no audio that ffmpeg can decode.

    Example:
        >>> track = np.concatenate([np.zeros(12000), _click(), np.zeros(9000)]).astype("<f4")
        >>> _ = (tmp_path / "a.raw").write_bytes(track.tobytes())
        >>> words = ["-f", "f32le", "-ar", "48000", "-i", tmp_path / "a.raw", tmp_path / "a.wav"]
        >>> _ = run(["ffmpeg", "-v", "error", *words], "example")
        >>> find_clicks(tmp_path / "a.wav")
        [0.25]
    """
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "audio.raw"
        form = ["-map", "0:a:0", "-ac", "2", "-ar", str(AUDIO_RATE), "-f", "f32le"]
        run(["ffmpeg", "-v", "error", "-i", existing(path, find_clicks), *form, raw], find_clicks)
        track = np.fromfile(raw, "<f4").reshape(-1, 2)[:, channel].astype(np.float64)
    click = _click()
    if len(track) < len(click):
        return []
    alike = np.correlate(track, click, "valid") / np.dot(click, click)
    near = np.flatnonzero(alike > 0.5)
    peaks = [
        part[alike[part].argmax()]
        for part in np.split(near, np.flatnonzero(np.diff(near) > len(click)) + 1)
        if len(part)
    ]
    return [int(at) / AUDIO_RATE for at in peaks]
