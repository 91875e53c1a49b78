"""From a script to a file: vspipe into x265, then mkvmerge with the disc's audio, all or nothing.

Imports ground rooms and its neighbours. Never opens a clip itself: the script runs in processes of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import CustomRuntimeError, CustomValueError
from ..files import atomic, existing, progress, run, tool, write_json

__all__ = ["encode", "encoded_files", "mux", "script_facts"]


def environment() -> dict[str, str]:
    """The environment in which vspipe finds this Python: VSScript looks for it on PATH."""
    beside = str(Path(sys.executable).parent)
    return os.environ | {"PYTHONIOENCODING": "utf-8", "PATH": beside + os.pathsep + os.environ.get("PATH", "")}


def script_facts(
    script: str | os.PathLike[str], *, preset: str = "archive", settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What output 0 of a script is: width, height, frames, fps, format, x265's arguments, provenance.

    The script runs in a process of its own, which renders one frame.

    Raises:
        FileWasNotFoundError: There is no such script.
        CustomRuntimeError: The script fails; its own words are in the message.
    """
    path = existing(script, script_facts).resolve()
    request = {"script": str(path), "preset": preset, "settings": dict(settings or {})}
    done = subprocess.run(
        [sys.executable, "-m", "ds9vs.encode.describe"],
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        cwd=path.parent,  # where vspipe and every editor evaluate it
        env=environment(),
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        raise CustomRuntimeError(f"The script {str(script)!r} could not be evaluated: {reason}", script_facts)
    facts: dict[str, Any] = json.loads(lines[-1])
    if "error" in facts:
        raise CustomRuntimeError(f"The script {str(script)!r} could not be evaluated: {facts['error']}", script_facts)
    return facts


def encoded_files(out: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """The files that `encode` writes for the stream `out`: itself, its sidecar, and, of a variable rate, timecodes.

    Example:
        >>> [path.name for path in encoded_files("film.hevc")]
        ['film.hevc', 'film.hevc.json', 'film.hevc.times.txt']
    """
    stream = Path(out)
    return stream, Path(f"{stream}.json"), Path(f"{stream}.times.txt")


def encode(
    script: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    preset: str = "archive",
    settings: Mapping[str, str | int | float | bool] | None = None,
    show: bool = True,
) -> dict[str, Any]:
    """Encode output 0 of a script to an HEVC elementary stream, with progress, and write the sidecar beside it.

    Args:
        script: A .vpy file.
        out: The .hevc file; `out` + ".json" is the sidecar: what the clip was, how it was coded, its provenance. Of a
            clip of variable rate, `out` + ".times.txt" are the timecodes for `mux`. What is there is replaced.
        preset: A name of `presets/x265/`, or the path of a .toml file.
        settings: x265 options that replace the preset's.
        show: Whether to draw a progress bar (standard error).

    Returns:
        What the sidecar holds.

    Raises:
        CustomRuntimeError: A program is missing, or the script, vspipe or x265 fails. No half file is left.

    Example:
        >>> _ = (tmp_path / "empty.vpy").write_text("x = 1")
        >>> encode(tmp_path / "empty.vpy", tmp_path / "out.hevc")
        Traceback (most recent call last):
        ...
        RuntimeError: (encode) ...
    """
    text = existing(script, encode).read_text(encoding="utf-8", errors="replace")
    facts = script_facts(script, preset=preset, settings=settings)
    piped = facts["fps"][0] != 0
    stream, sidecar, times = encoded_files(out)
    with contextlib.ExitStack() as held:
        temporary = held.enter_context(atomic(stream, encode))
        complaints = held.enter_context(tempfile.TemporaryFile())
        how = ["-c", "y4m"] if piped else ["--timecodes", str(held.enter_context(atomic(times, encode)))]
        command = [tool("vspipe", encode), *how, str(script), "-"]
        coder = [
            tool("x265", encode),
            *(["--y4m"] if piped else []),
            *facts["x265"],
            "--input",
            "-",
            "-o",
            str(temporary),
        ]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=environment()) as source,
            subprocess.Popen(coder, stdin=source.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as sink,
        ):
            assert source.stdout and sink.stderr
            source.stdout.close()  # x265 alone holds the pipe now, so that vspipe ends when x265 does
            said: list[str] = []
            try:
                with progress("encode", facts["frames"], show=show) as done:
                    for line in _lines(sink.stderr):
                        said.append(line)
                        counted = re.search(r"(\d+)(?:/\d+)? frames", line)
                        if counted:
                            done(int(counted[1]))
            except BaseException:
                source.kill()
                sink.kill()
                raise
        complaints.seek(0)
        complaint = complaints.read().decode(errors="replace").strip().splitlines()
        if source.returncode or sink.returncode:
            words = [line for line in (complaint[-2:] if source.returncode else said[-2:]) if line.strip()]
            name = "vspipe" if source.returncode else "x265"
            raise CustomRuntimeError(f"{name} failed on {str(script)!r}: {' / '.join(words)}", encode)
    record = {"script": text, "x265_version": _version(said), **facts}
    write_json(sidecar, record, encode)
    return record


def mux(
    video: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    audio: Sequence[tuple[str | os.PathLike[str], int]] = (),
    timecodes: str | os.PathLike[str] | None = None,
    fps: tuple[int, int] | None = None,
    chapters: str | os.PathLike[str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Put an elementary stream and audio into Matroska with mkvmerge.

    Args:
        video: The HEVC stream.
        out: The .mkv file.
        audio: Files, each with its delay against the video in milliseconds.
        timecodes: Timecodes v2 of the video, when its rate varies.
        fps: The video's constant rate; exactly one of `timecodes` and `fps` is given.
        chapters: A chapter file (Matroska XML or OGM).
        tags: Names and values for the container's global tags: the provenance.

    Raises:
        CustomRuntimeError: mkvmerge is missing or fails.
        CustomValueError: Both or neither of `timecodes` and `fps` are given.
    """
    if (timecodes is None) == (fps is None):
        raise CustomValueError("Give either timecodes= (variable rate) or fps= (constant rate).", mux)
    with atomic(out, mux) as temporary:
        # A tick of 0.1 ms: the usual 1 ms would round a picture of 41.7 ms by up to 0.5 ms each time.
        words: list[str | os.PathLike[str]] = ["mkvmerge", "-q", "--timestamp-scale", "100000", "-o", temporary]
        if chapters:
            words += ["--chapters", chapters]
        tag_file = temporary.with_suffix(".tags.xml")
        if tags:
            tag_file.write_text(_tags_xml(tags), encoding="utf-8")
            words += ["--global-tags", tag_file]
        if timecodes:
            words += ["--timestamps", f"0:{os.fspath(timecodes)}"]
        elif fps:
            words += ["--default-duration", f"0:{fps[0]}/{fps[1]}p"]
        words.append(video)
        for file, delay in audio:
            words += ["--sync", f"0:{delay}", file]
        try:
            run(words, mux, good=(0, 1))
        finally:
            tag_file.unlink(missing_ok=True)


def _lines(stream: Any) -> Iterator[str]:
    """Lines of a program that redraws its progress with carriage returns."""
    held = b""
    while chunk := stream.read1(4096):
        *whole, held = re.split(rb"[\r\n]", held + chunk)
        yield from (line.decode(errors="replace") for line in whole if line.strip())
    if held.strip():
        yield held.decode(errors="replace")


def _version(said: Sequence[str]) -> str:
    return next((line.split("version")[-1].strip() for line in said if "version" in line), "")


def _tags_xml(tags: Mapping[str, str]) -> str:
    from xml.sax.saxutils import escape

    rows = "".join(f"<Simple><Name>{escape(k)}</Name><String>{escape(v)}</String></Simple>" for k, v in tags.items())
    return f'<?xml version="1.0"?><Tags><Tag><Targets/>{rows}</Tag></Tags>'
