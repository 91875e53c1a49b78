"""Puts a simulated tape on a DVD: MPEG-2, AC-3 clicks, subtitles, captions, VOB, VIDEO_TS, ISO, with the truth kept.

Imports ground rooms and cadence/model, and the files beside it. Work is done by ffmpeg, spumux, dvdauthor,
genisoimage and mkvmerge in a temporary folder, which takes its name only when all of it is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import numpy as np

from ..cadence.model import Cadence
from ..errors import CustomRuntimeError, CustomValueError
from ..files import existing, run, tool, write_json, write_text
from .iso import fix_dates
from .mux import write_vob
from .plan import CodedPicture, Telecine, plan_pictures
from .sound import find_clicks, write_clicks
from .stream import LARGEST_RATE, TapeFile, encode_video, read_tape, scramble
from .text import Line, caption_pairs, caption_user_data, subtitle_png

__all__ = ["CodedPicture", "DiscFiles", "Line", "find_clicks", "make_disc", "plan_pictures", "scramble"]

type Func = Callable[..., Any] | str
type Container = Literal["mkv", "ts", "mp4"]

PROGRAMS = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "spumux": "dvdauthor",
    "dvdauthor": "dvdauthor",
    "genisoimage": "genisoimage",
    "mkvmerge": "mkvtoolnix",
}
"""What does the work, and the Debian package that holds it."""


@dataclass(frozen=True, kw_only=True)
class DiscFiles:
    """Where the parts of a simulated disc are."""

    folder: Path
    m2v: Path
    """The video alone: MPEG-2 elementary stream."""
    vob: Path
    """Program stream before authoring."""
    video_ts: Path
    """Folder with IFO, BUP and VOB; title 1 is in VTS_01_1.VOB."""
    truth: Path
    """JSON: fields and flags of every coded picture, clicks, chapters, texts."""
    iso: Path | None
    wav: Path | None
    """The audio before AC-3."""
    ac3: Path | None
    mkv: Path | None
    ts: Path | None
    mp4: Path | None


def make_disc(
    tape: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    rate: int = 5_500_000,
    telecine: Telecine = "hard",
    cadence: str | Cadence | None = None,
    aspect: Literal["4:3", "16:9"] = "4:3",
    audio: bool = True,
    audio_delay: Fraction = Fraction(0),
    cuts: Sequence[Fraction] = (),
    subtitles: bool | Sequence[Line] = True,
    captions: bool | Sequence[Line] = True,
    chapters: Sequence[Fraction] = (),
    second_title: bool = False,
    iso: bool = True,
    containers: Sequence[Container] = (),
    seed: int = 0,
) -> DiscFiles:
    """Make a DVD of a tape. The same arguments give the same bytes.

    The audio is silence with clicks: left at every half second past a whole one (0.5, 1.5, ...), right at the cuts,
    or as left where none are known. Clicks lie at exact times of the tape, whatever the delay: that only says when
    the audio stream begins. The fields shown by the disc are the tape's, but for the coding; a field repeated by
    flag is the same field again.

    Args:
        tape: A file, 720x480 at 30000/1001 or 720x576 at 25 woven frames a second, yuv420p, field order tagged; or
            the folder with `tape.mkv`.
        out: The folder to make; must not exist, or be empty.
        rate: Video bits a second, 500,000 to 9,000,000; the peak is held to what a DVD carries.
        telecine: How film lies on the disc, see `Telecine`.
        cadence: Fields in each picture of the tape, a digit each ("2323..."), or a `Cadence`: for soft and mixed.
        aspect: Display aspect written into stream and IFO. MPEG-2 gives it to the whole 720 samples (8:9 for 4:3).
        audio: Whether there is an AC-3 stream (48 kHz, stereo, 192 kb/s).
        audio_delay: Seconds from the video's first picture to the audio's first sample; -0.5 to 0.5.
        cuts: Seconds at which the right channel clicks and a GOP starts, as encoders do; with a `Cadence` and nothing
            here, its shots' starts.
        subtitles: Lines of the subtitle stream; True makes some, False none.
        captions: Lines of the EIA-608 captions; True makes some on NTSC (PAL discs have none), False none.
        chapters: Seconds at which chapters start, besides 0. Each is moved to the picture that shows it. With any, all
            GOPs are closed; else those of a hard disc are open.
        second_title: Add a title set VTS_02 with the same video and no audio.
        iso: Also write `disc.iso` (ISO 9660 with UDF bridge).
        containers: Also remux video and audio as these.
        seed: Of the stretches of "mixed".

    Raises:
        CustomValueError: An argument is out of range, the tape is no tape, `out` is in use.
        CustomRuntimeError: A program is missing or fails, the folder cannot be written.

    Example:
        >>> film = core.std.BlankClip(width=720, height=480, format=vs.YUV420P8, fpsnum=30000, fpsden=1001, length=15)
        >>> with (tmp_path / "tape.y4m").open("wb") as file:
        ...     film.output(file, y4m=True)
        >>> tags = ["-c:v", "ffv1", "-vf", "setfield=tff", "-field_order", "tt"]
        >>> _ = run(["ffmpeg", "-v", "error", "-i", tmp_path / "tape.y4m", *tags, tmp_path / "tape.mkv"], "example")
        >>> disc = make_disc(tmp_path / "tape.mkv", tmp_path / "disc", iso=False)
        >>> sorted(path.name for path in disc.video_ts.glob("VTS*"))
        ['VTS_01_0.BUP', 'VTS_01_0.IFO', 'VTS_01_1.VOB']
    """
    source = existing(tape, make_disc)
    source = existing(source / "tape.mkv", make_disc) if source.is_dir() else source
    _check(rate, telecine, aspect, audio_delay, containers)
    _check_programs()
    info = read_tape(source, make_disc)
    duration = info.frames / info.fps
    if isinstance(cadence, Cadence) and not cuts:
        cuts = [shot.first / (2 * info.fps) for shot in cadence.shots[1:]]
    plan = plan_pictures(info.frames, telecine, cadence, seed=seed, rate=info.fps)
    marks = _chapters(chapters, plan, info)
    keys = [n for n, _ in marks] + [int(Fraction(time) * 2 * info.fps) for time in cuts]
    shown = _lines(subtitles, "SUBTITLE", duration)
    spoken = _lines(captions if info.ntsc or captions is not True else False, "CAPTION", duration)
    if spoken and not info.ntsc:
        raise CustomValueError("EIA-608 captions are NTSC's; a PAL disc has none (captions=False).", make_disc)
    pairs = caption_pairs(spoken, info.frames, make_disc)

    with _folder(Path(out), make_disc) as work:
        made = _names(work, audio, iso, containers)
        units = encode_video(
            info, plan, made.m2v, rate=rate, aspect=aspect, keys=keys, closed=len(marks) > 1, func=make_disc,
            user_data=(lambda a, b: caption_user_data(pairs, a, b, info.tff)) if spoken else None,
        )  # fmt: skip
        clicks = (
            write_clicks(made.wav, made.ac3, duration=duration, delay=audio_delay, cuts=cuts, func=make_disc)
            if made.wav and made.ac3
            else {}
        )
        write_vob(made.vob, made.m2v, units, plan, info, ac3=made.ac3, delay=audio_delay, func=make_disc)
        second = made.folder / "second.vob" if second_title else None
        if second:
            write_vob(second, made.m2v, units, plan, info, func=make_disc)
        if shown:
            _add_subtitles(made, shown, info)
        _author(made, info, aspect, [t for _, t in marks], bool(shown), second)
        _remux(made)
        truth = {
            "ds9vs_disc": 1,
            "telecine": telecine,
            "tff": info.tff,
            "fps": [info.fps.numerator, info.fps.denominator],
            "frames": info.frames,
            "coded": [[p.first, p.shown, int(p.progressive)] for p in plan],
            "repeats": [p.first + 2 for p in plan if p.shown == 3],
            "audio_delay": float(audio_delay) if audio else None,
            "clicks": clicks,
            "chapters": [float(t) for _, t in marks],
            "subtitles": [_times(line) for line in shown],
            "captions": [_times(line) for line in spoken],
        }
        write_json(made.truth, truth, make_disc)
    return _names(Path(out), audio, iso, containers)


def _times(line: Line) -> dict[str, Any]:
    return {**asdict(line), "start": float(line.start), "stop": float(line.stop)}


def _check(rate: int, telecine: str, aspect: str, delay: Fraction, containers: Sequence[str]) -> None:
    if not 500_000 <= rate <= LARGEST_RATE:
        raise CustomValueError(
            f"The rate is {rate} bits a second; a DVD's video has 500000 to {LARGEST_RATE}.", make_disc
        )
    for name, value, allowed in (
        ("telecine", telecine, ("hard", "soft", "mixed")),
        ("aspect", aspect, ("4:3", "16:9")),
        *(("containers", one, ("mkv", "ts", "mp4")) for one in containers),
    ):
        if value not in allowed:
            raise CustomValueError(f"{name} is {value!r}; allowed: {', '.join(allowed)}.", make_disc)
    if abs(delay) > Fraction(1, 2):
        raise CustomValueError(f"audio_delay is {float(delay)} s; -0.5 to 0.5 is allowed.", make_disc)


def _check_programs() -> None:
    """All programs are there before work starts, and what is missing is said at once."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        packages = " ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
        raise CustomRuntimeError(
            f"Making a disc needs programs that are not on PATH ({', '.join(missing)}); install them (Debian: apt-get "
            f"install {packages}).",
            make_disc,
        )


def _names(folder: Path, audio: bool, iso: bool, containers: Sequence[str]) -> DiscFiles:
    return DiscFiles(
        folder=folder,
        m2v=folder / "video.m2v",
        vob=folder / "title.vob",
        video_ts=folder / "VIDEO_TS",
        truth=folder / "disc.json",
        iso=folder / "disc.iso" if iso else None,
        wav=folder / "clicks.wav" if audio else None,
        ac3=folder / "audio.ac3" if audio else None,
        mkv=folder / "title.mkv" if "mkv" in containers else None,
        ts=folder / "title.ts" if "ts" in containers else None,
        mp4=folder / "title.mp4" if "mp4" in containers else None,
    )


@contextlib.contextmanager
def _folder(out: Path, func: Func) -> Iterator[Path]:
    """A temporary folder beside `out`; it takes that name when the block ends well, and vanishes when it does not."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CustomValueError(f"{str(out)!r} is there already; give a folder that does not exist or is empty.", func)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise CustomRuntimeError(
            f"The folder {str(out.parent)!r} cannot be written ({error.strerror}); give a folder that can.", func
        ) from error
    try:
        yield work
        work.chmod(0o755)
        if out.exists():
            out.rmdir()
        work.rename(out)
    except OSError as error:
        raise CustomRuntimeError(f"{str(out)!r} cannot be written ({error.strerror}).", func) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _chapters(times: Sequence[Fraction], plan: Sequence[CodedPicture], tape: TapeFile) -> list[tuple[int, Fraction]]:
    """First field and exact start of the picture that shows each chapter; the first chapter is the start."""
    firsts = np.array([p.first for p in plan])
    marks = {0: Fraction(0)}
    for time in times:
        field = int(Fraction(time) * 2 * tape.fps)
        if not 0 <= field < 2 * tape.frames:
            raise CustomValueError(
                f"A chapter at {float(time)} s is outside the tape's 0 to {float(tape.frames / tape.fps):.3f} s.",
                make_disc,
            )
        first = int(firsts[np.searchsorted(firsts, field, "right") - 1])
        marks[first] = first / (2 * tape.fps)
    return sorted(marks.items())


def _lines(given: bool | Sequence[Line], word: str, duration: Fraction) -> list[Line]:
    """The lines given, or one every two seconds, shown for one."""
    if isinstance(given, bool):
        starts = [Fraction(1, 2) + 2 * n for n in range(int(duration) + 1)] if given else []
        stops = [min(start + 1, duration - Fraction(1, 10)) for start in starts]
        return [
            Line(start=a, stop=b, text=f"{word} {n}")
            for n, (a, b) in enumerate(zip(starts, stops, strict=True), 1)
            if b - a > Fraction(1, 10)
        ]
    at = Fraction(0)
    for line in given:
        if not at <= line.start < line.stop <= duration:
            raise CustomValueError(
                f"The line {line.text!r} is shown from {float(line.start)} to {float(line.stop)} s; lines follow each "
                f"other without overlap from 0 to {float(duration):.3f} s.",
                make_disc,
            )
        at = line.stop
    return list(given)


def _add_subtitles(made: DiscFiles, lines: Sequence[Line], tape: TapeFile) -> None:
    """Put bitmaps of the lines into the program stream."""
    plain = made.vob.rename(made.vob.with_suffix(".plain.vob"))
    rows = []
    for n, line in enumerate(lines):
        picture = made.folder / f"subtitle{n}.png"
        width, height = subtitle_png(line.text, picture)
        rows.append(
            f'<spu start="{_clock(line.start)}" end="{_clock(line.stop)}" image="{picture.name}" transparent="000000" '
            f'xoffset="{(tape.width - width) // 4 * 2}" yoffset="{(tape.height * 9 // 10 - height) // 2 * 2}"/>'
        )
    script = made.folder / "subtitles.xml"
    head = f'<subpictures format="{"NTSC" if tape.ntsc else "PAL"}"><stream>'
    write_text(script, f"{head}{''.join(rows)}</stream></subpictures>\n", make_disc)
    with plain.open("rb") as source, made.vob.open("wb") as target:
        done = subprocess.run(
            [tool("spumux", make_disc), "-m", "dvd", "-s", "0", script.name],
            stdin=source, stdout=target, stderr=subprocess.PIPE, cwd=made.folder, check=False,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CustomRuntimeError(f"spumux failed with code {done.returncode}: {''.join(said)}", make_disc)
    for path in (plain, script, *(made.folder / f"subtitle{n}.png" for n in range(len(lines)))):
        path.unlink()


def _clock(time: Fraction) -> str:
    """Seconds as hh:mm:ss.mmm."""
    seconds, thousandths = divmod(round(time * 1000), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"


def _author(
    made: DiscFiles, tape: TapeFile, aspect: str, marks: Sequence[Fraction], subtitles: bool, second: Path | None
) -> None:
    """VOB to VIDEO_TS by dvdauthor, and that to an ISO by genisoimage."""
    video = f'<video format="{"ntsc" if tape.ntsc else "pal"}" aspect="{aspect}"/>'
    tracks = '<audio format="ac3" channels="2" lang="en"/>' if made.ac3 else ""
    tracks += '<subpicture lang="en"/>' if subtitles else ""
    chapters = ",".join(_clock(t) for t in marks)
    vob = f'<vob file={quoteattr(made.vob.name)} chapters="{chapters}"/>'
    sets = [f"<titleset><titles>{video}{tracks}<pgc>{vob}</pgc></titles></titleset>"]
    if second:
        sets.append(f'<titleset><titles>{video}<pgc><vob file="{second.name}"/></pgc></titles></titleset>')
    script = made.folder / "disc.xml"
    menus = f"<vmgm><menus>{video}</menus></vmgm>"
    write_text(script, f'<dvdauthor dest="authored">{menus}{"".join(sets)}</dvdauthor>\n', make_disc)
    run(["dvdauthor", "-x", script.name], make_disc, cwd=made.folder)
    script.unlink()
    if second:
        second.unlink()
    disc = made.folder / "authored"
    if made.iso:
        run(["genisoimage", "-quiet", "-dvd-video", "-V", "DS9VS", "-o", made.iso, disc], make_disc)
        fix_dates(made.iso)
    (disc / "VIDEO_TS").rename(made.video_ts)
    shutil.rmtree(disc)


def _remux(made: DiscFiles) -> None:
    """The program stream's video and audio in other containers, not coded again."""
    if made.mkv:
        run(["mkvmerge", "-q", "--deterministic", "ds9vs", "-o", made.mkv, made.vob], make_disc)
    for path in (made.ts, made.mp4):
        if path:
            maps = ["-map", "0:v", "-map", "0:a?", "-c", "copy", "-bitexact"]
            run(["ffmpeg", "-v", "error", "-i", made.vob, *maps, path], make_disc)
