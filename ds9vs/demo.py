"""The demo: a hybrid DVD is simulated, analysed, restored, upscaled, encoded, verified, and shown beside its source.

Sees every stage; everything it does a user can do with the public functions.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs

from .cadence import Cadence, analyse
from .deinterlace import deinterlace
from .encode import encode, mux
from .errors import CustomValueError
from .files import atomic, run, write_text
from .finish import finish
from .finish.geometry import crop
from .grain import disc_coding, measure_grain
from .ivtc import ivtc
from .qc import Expected, verdict
from .restore import beside
from .simulate import Layer, ShotSpec, TapeSpec, Truth, find_scenes, make_tape, sample_footage
from .simulate.disc import make_disc
from .source import Title, probe, source
from .timing import FILM, durations
from .upscale import DEFAULT_MODEL, model_get, models_list, upscale

__all__ = ["demo"]

type Say = Callable[[str], None]

MARK = ".ds9vs-demo"
"""In a folder that the demo made, and may make again."""
SIZE = (2880, 2160)
SCRIPT = """\
import ds9vs

DISC = {disc!r}

# 0: the restoration. 1: the same instants of the tape, deinterlaced and enlarged plainly.
ds9vs.restore(DISC, preset="ds9-2160p").set_output(0)

plain = ds9vs.crop(ds9vs.deinterlace(ds9vs.source(DISC), rate="single"), left=8, right=8)
ds9vs.finish(ds9vs.upscale(plain, model="none", width=2880, height=2160)).set_output(1)
"""


def demo(folder: str | os.PathLike[str] = "demo", *, footage: str | None = None, say: Say = print) -> bool:
    """Make a hybrid DVD from a sample, restore it to 2880x2160 Main10, verify it, and write pictures to compare.

    Args:
        folder: Where everything goes; a folder that an earlier demo made is made anew.
        footage: Progressive video with a few shots, 24 pictures a second; None for the shipped sample.
        say: Called with each line of the report.

    Returns:
        Whether every promise was kept.

    Raises:
        CustomValueError: The folder holds something that no demo made.
        CustomRuntimeError: A program, plugin or backend is missing.

    Example:
        >>> (tmp_path / "mine.txt").touch()
        >>> demo(tmp_path)
        Traceback (most recent call last):
        ...
        ValueError: (demo) The folder ... holds things that no demo made; give another...
    """
    begun = time.monotonic()
    root = _folder(Path(folder))
    say("[1/6] a hybrid DVD: film in 3:2 pulldown, hard and by flags, 60i, and an effect over film")
    film = footage or str(sample_footage())
    truth = make_tape(_spec(film), [film], root)
    disc = make_disc(root / "tape.mkv", root / "disc", telecine="mixed", cadence=truth.cadence(), iso=False).video_ts

    say("[2/6] what every field is")
    tape = source(disc)
    cadence = analyse(tape, save=beside(disc, "cadence"))
    say(f"      {_cadence_said(cadence, truth)}")

    say("[3/6] its grain")
    pictures = crop(ivtc(tape, cadence), left=8, right=8)
    title = max(probe(disc).titles, key=lambda t: t.duration or 0)
    grain = measure_grain(pictures, None, cadence, pictures=16, rate=disc_coding(title.address))
    grain.save(beside(disc, "grain"))
    say(f"      luma grain of {grain.sigma[4]:.1f} codes in the shadows, {grain.sigma[11]:.1f} in the lights")

    say("[4/6] the network")
    if not next(model.present for model in models_list() if model.name == DEFAULT_MODEL):
        model_get(DEFAULT_MODEL)
    script = root / "restore.vpy"
    write_text(script, SCRIPT.format(disc=disc.resolve().as_posix()), demo)

    say(f"[5/6] {pictures.num_frames} pictures to {SIZE[0]}x{SIZE[1]}, through vspipe and x265")
    start = time.monotonic()
    record = encode(script, root / "film.hevc", preset="fast")
    each = (time.monotonic() - start) / record["frames"]
    backend = record["provenance"]["backend"]
    say(f"      {DEFAULT_MODEL} on {backend}: {each:.2f} s a picture, encode included")

    audio = [(_audio(title, root), _delay(title))] if title.audio else []
    tags = {"DS9VS_PROVENANCE": json.dumps(record["provenance"])}
    mux(root / "film.hevc", root / "film.mkv", audio=audio, fps=(FILM.numerator, FILM.denominator), tags=tags)

    say("[6/6] pictures to compare, and the verdict")
    sheets = _sheets(tape, script, cadence, root / "pictures")
    expected = Expected(
        frames=record["frames"],
        width=SIZE[0],
        height=SIZE[1],
        dar=Fraction(4, 3),
        duration=sum(durations(tape, demo), Fraction(0)),
        fps=FILM,
    )
    checks = verdict(root / "film.mkv", expected)
    for check in checks:
        say(f"      {'good' if check.good else 'BAD '}  {check.name}: {check.said}")
    good = all(check.good for check in checks)
    say(f"film      {root / 'film.mkv'}")
    say(f"script    {script}   (preview it: output 0 ours, output 1 plain)")
    say(f"pictures  {', '.join(str(path) for path in sheets)}")
    say("          left to right: the tape as a player shows it; bob + Lanczos; ours")
    kept = sum(check.good for check in checks)
    said = "every promise kept" if good else "NOT every promise kept"
    say(f"verdict   {said} ({kept} of {len(checks)}), {time.monotonic() - begun:.0f} s")
    return good


def _folder(root: Path) -> Path:
    if root.exists() and any(root.iterdir()):
        if not (root / MARK).exists():
            raise CustomValueError(f"The folder {str(root)!r} holds things that no demo made; give another.", demo)
        import shutil

        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).touch()
    return root


def _spec(footage: str) -> TapeSpec:
    """100 frames: film, video under a moving camera, film with an effect over it, film; cuts inside frames."""
    scenes = [scene for scene in find_scenes(footage) if scene[1] - scene[0] >= 12] or find_scenes(footage)

    def layer(n: int, **options: Any) -> Layer:
        start, stop = scenes[n % len(scenes)]
        return Layer(start=start, stop=stop, **options)

    return TapeSpec(
        shots=(
            ShotSpec(fields=61, layers=(layer(0),)),
            ShotSpec(
                fields=42, layers=(layer(1, kind="60i", step=0, pan=(90.0, 20.0)), Layer(kind="60i", effect="ship"))
            ),
            ShotSpec(fields=44, layers=(layer(2), Layer(kind="60i", effect="phaser"))),
            ShotSpec(fields=53, layers=(layer(3),)),
        ),
        seed=9,
    )


def _cadence_said(cadence: Cadence, truth: Truth) -> str:
    """The map against the truth that only a simulated disc has: the share of fields that are grouped rightly."""
    told = truth.cadence()
    ours, theirs = (np.searchsorted(c.firsts, np.arange(2 * c.tape.frames), "right") for c in (cadence, told))
    joins = np.diff(ours) == np.diff(theirs)
    kinds = ", ".join(f"{kind} {count} fields" for kind, count in cadence.fields_by_kind().items() if count)
    return f"{len(cadence.shots)} shots ({kinds}); {100 * joins.mean():.1f} % of the joins are the truth's"


def _audio(title: Title, root: Path) -> Path:
    sound = root / "audio.ac3"
    run(["ffmpeg", "-v", "error", "-y", "-i", title.address, "-map", "0:a:0", "-c", "copy", sound], demo)
    return sound


def _delay(title: Title) -> int:
    """The audio's start against the video's, in milliseconds."""
    return round((title.audio[0].delay or Fraction(0)) * 1000)


def _sheets(tape: vs.VideoNode, script: Path, cadence: Cadence, folder: Path) -> list[Path]:
    """One sheet for the middle of each shot: a crop of the tape, of bob + Lanczos and of ours, side by side."""
    import runpy

    folder.mkdir()
    runpy.run_path(str(script), run_name="__vapoursynth__")
    ours = vs.get_outputs()[0].clip
    woven = crop(tape, left=8, right=8).std.SetFieldBased(0)
    woven = finish(upscale(woven, model="none", width=SIZE[0], height=SIZE[1]))
    bobbed = crop(deinterlace(tape), left=8, right=8)
    bobbed = finish(upscale(bobbed, model="none", width=SIZE[0], height=SIZE[1]))
    made = []
    for n, shot in enumerate(cadence.shots):
        at = (shot.first + shot.stop) // 2
        rgb = []
        for clip, number in ((woven, at // 2), (bobbed, at), (ours, round(at * 2 / 5))):
            part = clip[min(number, clip.num_frames - 1)].std.CropAbs(960, 1080, 1000, 500)
            rgb.append(part.resize.Bicubic(format=vs.RGB24))
        path = folder / f"shot{n}_{shot.kind}.png"
        _png(vs.core.std.StackHorizontal(rgb), path)
        made.append(path)
    vs.clear_outputs()
    return made


def _png(clip: vs.VideoNode, path: Path) -> None:
    """Write the first frame of an RGB24 clip."""
    with clip.get_frame(0) as frame, atomic(path, demo) as temporary:
        raw = temporary.with_suffix(".rgb")
        raw.write_bytes(np.stack([np.asarray(frame[p]) for p in range(3)], -1).tobytes())
        size = f"{frame.width}x{frame.height}"
        try:
            run(
                [
                    "ffmpeg",
                    "-v",
                    "error",
                    "-y",
                    "-f",
                    "rawvideo",
                    "-pix_fmt",
                    "rgb24",
                    "-s",
                    size,
                    "-i",
                    raw,
                    temporary,
                ],
                demo,
            )
        finally:
            raw.unlink(missing_ok=True)
