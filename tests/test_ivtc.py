"""ivtc: every picture from its own fields, in its own time, at no cost that grows with the tape."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import vapoursynth as vs
from hypothesis import given, settings
from hypothesis import strategies as st
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from conftest import photograph
from ds9vs.cadence.model import Cadence, Kind, Shot, Tape
from ds9vs.ivtc import Motion, Timing, ivtc, shown
from ds9vs.timing import DRIFT, FILM, NTSC, PAL

type Planes = list[NDArray[np.uint16]]

WIDTH, HEIGHT = 32, 16


def noise_field(number: int, fmt: vs.VideoFormat) -> Planes:
    """A field like no other: its number can be read from any of its samples."""
    rng = np.random.default_rng(number)
    return [
        rng.integers(
            0,
            1 << fmt.bits_per_sample,
            (HEIGHT // 2 >> (fmt.subsampling_h if p else 0), WIDTH >> (fmt.subsampling_w if p else 0)),
            np.uint16,
        )
        for p in range(fmt.num_planes)
    ]


def woven(top: Planes, bottom: Planes) -> Planes:
    frame = [np.repeat(plane, 2, axis=0) for plane in top]
    for plane, lines in zip(frame, bottom, strict=True):
        plane[1::2] = lines
    return frame


def as_clip(frames: list[Planes], fmt: vs.VideoFormat, fps: Fraction = NTSC) -> vs.VideoNode:
    height, width = frames[0][0].shape
    blank = core.std.BlankClip(
        width=width, height=height, format=fmt.id, length=len(frames), fpsnum=fps.numerator, fpsden=fps.denominator
    )

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        frame = f.copy()
        for p, plane in enumerate(frames[n]):
            np.copyto(np.asarray(frame[p]), plane, casting="unsafe")
        return frame

    return blank.std.ModifyFrame(blank, draw)


def planes_of(clip: vs.VideoNode, n: int) -> Planes:
    with clip.get_frame(n) as frame:
        return [np.asarray(frame[p]).astype(np.uint16) for p in range(frame.format.num_planes)]


def same(a: Planes, b: Planes) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def noise_tape(
    frames: int, tff: bool, fmt: vs.VideoFormat, swapped: range = range(0)
) -> tuple[vs.VideoNode, list[Planes]]:
    """A tape of noise and its fields in the order in which they were scanned."""
    fields = [noise_field(n, fmt) for n in range(2 * frames)]
    pairs = [
        woven(*fields[2 * n : 2 * n + 2]) if tff != (n in swapped) else woven(*fields[2 * n : 2 * n + 2][::-1])
        for n in range(frames)
    ]
    return as_clip(pairs, fmt).std.SetFieldBased(1 + tff), fields


def plain_tape(cadence: Cadence, width: int = 16, height: int = 16) -> vs.VideoNode:
    """A tape whose pixels do not matter."""
    num, den = cadence.tape.fps
    blank = core.std.BlankClip(
        width=width, height=height, format=vs.YUV420P8, length=cadence.tape.frames, fpsnum=num, fpsden=den, keep=True
    )
    return blank.std.SetFieldBased(1 + cadence.tape.tff)


def make(*shots: tuple[Kind, str], tff: bool = True, fps: Fraction = NTSC, **more: dict[int, object]) -> Cadence:
    """A map from kinds and lengths; further fields of shots by name and shot number."""
    made: list[Shot] = []
    for n, (kind, lengths) in enumerate(shots):
        first = made[-1].stop if made else 0
        extra = {name: values[n] for name, values in more.items() if n in values}
        made.append(
            Shot(first=first, stop=first + sum(map(int, lengths)), kind=kind, lengths=lengths, confidence=0.9, **extra)  # type: ignore[arg-type]
        )
    tape = Tape(frames=made[-1].stop // 2, fps=(fps.numerator, fps.denominator), tff=tff, content="")
    return Cadence(tape=tape, shots=tuple(made))


def pulldown(fields: int, phase: int) -> str:
    """Lengths of the film pictures of a shot that cuts into 2:3 pulldown anywhere."""
    pictures = [(n // 5) * 2 + (n % 5 >= 2) for n in range(phase, phase + fields)]
    return "".join(str(pictures.count(p)) for p in sorted(set(pictures)))


def random_shots(rng: random.Random, fields: int, mean: int = 60) -> list[tuple[Kind, str, str]]:
    found: list[tuple[Kind, str, str]] = []
    while fields:
        count = min(fields, max(10, int(rng.expovariate(1 / mean))))
        if fields - count < 10:
            count = fields
        film = pulldown(count, rng.randrange(5))
        kind = rng.choices(["film", "30p", "60i", "layered"], [80, 8, 8, 4])[0]
        lengths = {"film": film, "30p": "2" * (count // 2) + "1" * (count % 2)}.get(kind, "1" * count)
        found.append((kind, lengths, film if kind == "layered" else ""))  # type: ignore[arg-type]
        fields -= count
    return found


def random_map(seed: int, frames: int, mean: int = 60) -> Cadence:
    shots = random_shots(random.Random(seed), 2 * frames, mean)
    return make(
        *[(kind, lengths) for kind, lengths, _ in shots], base={n: base for n, (_, _, base) in enumerate(shots)}
    )


def repeated_map(times: int) -> Cadence:
    """300 frames of film, 60i and layered shots, so many times."""
    shots: list[tuple[Kind, str, str]] = [
        ("film", pulldown(400, 1), ""),
        ("60i", "1" * 99, ""),
        ("layered", "1" * 101, pulldown(101, 3)),
    ]
    shots *= times
    return make(
        *[(kind, lengths) for kind, lengths, _ in shots], base={n: base for n, (_, _, base) in enumerate(shots)}
    )


def props(clip: vs.VideoNode, name: str) -> list[object]:
    found = []
    for n in range(clip.num_frames):
        with clip.get_frame(n) as frame:
            found.append(frame.props[name])
    return found


# Pixels


@pytest.mark.parametrize("tff", [True, False])
@pytest.mark.parametrize("format_id", [vs.YUV420P8, vs.YUV422P10, vs.GRAY16])
@pytest.mark.parametrize("phase", range(5))
def test_woven_pixels_are_the_tapes_own(phase: int, format_id: int, tff: bool) -> None:
    fmt = core.get_video_format(format_id)
    tape, fields = noise_tape(10, tff, fmt)
    cadence = make(("film", pulldown(20, phase)), tff=tff)
    clip = ivtc(tape, cadence, timing="native")
    for n in range(len(cadence)):
        picture = cadence.picture(n)
        if picture.stop - picture.first < 2:
            continue
        coded_together = [k for k in range(picture.first, picture.stop - 1) if k % 2 == 0]
        first = coded_together[0] if coded_together else picture.first
        top_first = (first % 2 == 0) == tff
        pair = fields[first : first + 2]
        assert same(planes_of(clip, n), woven(*(pair if top_first else pair[::-1]))), f"picture {n} ({picture})"


@pytest.mark.parametrize("tff", [True, False])
def test_a_shot_scanned_in_the_other_order_is_woven_from_its_own_fields(tff: bool) -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(15, tff, fmt, swapped=range(5, 10))
    cadence = make(("film", "2323"), ("film", "3232"), ("film", "2323"), tff=tff, swapped={1: True})
    clip = ivtc(tape, cadence, timing="native")
    for n in range(12):
        shown = planes_of(clip, n)
        first, stop, *_ = cadence.picture(n)
        ways = [(a, b) for a in range(first, stop) for b in range(first, stop) if abs(a - b) == 1]
        assert any(same(shown, woven(fields[a], fields[b])) for a, b in ways), f"picture {n} is not of fields {first}…"


def recording(
    tape_fields: list[Planes], fmt: vs.VideoFormat, asked: list[int]
) -> Callable[[vs.VideoNode], vs.VideoNode]:
    """A rescue that doubles the lines of each field, and keeps note of what was asked of it."""

    def rescue(tape: vs.VideoNode) -> vs.VideoNode:
        frames = as_clip([woven(field, field) for field in tape_fields], fmt, 2 * NTSC)

        def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            asked.append(n)
            return f

        return frames.std.ModifyFrame(frames, note).std.SetFieldBased(0)

    return rescue


def test_only_pictures_of_one_field_are_rescued() -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(12, True, fmt)
    cadence = make(("film", "1323"), ("60i", "1111"), ("film", "23231"))
    asked: list[int] = []
    clip = ivtc(tape, cadence, timing="native", rescue=recording(fields, fmt, asked))
    single = [n for n in range(len(cadence)) if cadence.picture(n).stop - cadence.picture(n).first == 1]
    for n in range(len(cadence)):
        shown = planes_of(clip, n)
        if n in single:
            field = fields[cadence.picture(n).first]
            assert same(shown, woven(field, field))
    assert set(asked) == {cadence.picture(n).first for n in single}
    assert [n for n, done in enumerate(props(clip, "DS9VS_Done")) if done == "rescued"] == single


@pytest.mark.parametrize("timing", ["film", "native", "video"])
def test_clean_film_meets_no_deinterlacer(timing: Timing) -> None:
    def rescue(_: vs.VideoNode) -> vs.VideoNode:
        raise AssertionError("called")

    clip = ivtc(plain_tape(cadence := make(("film", "2323" * 4))), cadence, timing=timing, rescue=rescue)
    assert set(props(clip, "DS9VS_Done")) == {"woven"}


def test_rescue_of_swapped_fields_sees_them_in_their_order() -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(6, True, fmt, swapped=range(6))
    clip = ivtc(tape, cadence := make(("60i", "1" * 12), swapped={0: True}), timing="native")
    for n in range(len(cadence)):
        lines = [plane[1 - n % 2 :: 2] for plane in planes_of(clip, n)]
        assert same(lines, fields[n]), f"picture {n} does not hold field {n}"


def test_fields_that_a_flip_inside_a_frame_leaves_without_a_partner_are_rescued() -> None:
    cadence = make(("film", "232"), ("film", "2323"), ("film", "23232"), ("60i", "1"), swapped={1: True})
    clip = ivtc(plain_tape(cadence), cadence, timing="native")
    assert props(clip, "DS9VS_Done").count("rescued") >= 1
    assert clip.num_frames == len(cadence)


def smooth_film(n: int) -> Planes:
    """Soft film, whose lines are near their neighbours': nothing in it combs when it is woven rightly."""
    y, x = np.mgrid[0:96, 0:128]
    luma = 100 + 40 * np.sin((x + 6 * n) / 19) + 30 * np.sin((y - 3 * n) / 23)
    chroma = 128 + 30 * np.sin((x[::2, ::2] - 5 * n) / 31)
    return [plane.astype(np.uint16) for plane in (luma, chroma, 255 - chroma)]


def layered_tape(count: int, phase: int) -> tuple[vs.VideoNode, list[Planes], str]:
    """Film under a square that moves 3 samples a field; the tape, its pictures at every field, the film's lengths."""
    instants = []
    for f in range(count):
        picture = smooth_film((f + phase) // 5 * 2 + ((f + phase) % 5 >= 2))
        left = 8 + 3 * f
        picture[0][32:56, left : left + 24] = 230
        for plane, value in ((1, 90), (2, 170)):
            picture[plane][16:28, left // 2 : left // 2 + 12] = value
        instants.append(picture)
    frames = []
    for n in range(count // 2):
        frame = [plane.copy() for plane in instants[2 * n]]
        for plane, other in zip(frame, instants[2 * n + 1], strict=True):
            plane[1::2] = other[1::2]
        frames.append(frame)
    fmt = core.get_video_format(vs.YUV420P8)
    return as_clip(frames, fmt).std.SetFieldBased(2), instants, pulldown(count, phase)


def combing(luma: NDArray[np.uint16]) -> float:
    lines = luma.astype(int)
    return float(np.abs(lines[:-2] - 2 * lines[1:-1] + lines[2:]).max())


@pytest.mark.parametrize("phase", range(5))
def test_layered_shots_keep_the_background_and_rebuild_what_moves(phase: int) -> None:
    tape, instants, film = layered_tape(20, phase)
    cadence = make(("layered", "1" * 20), base={0: film})
    clip = ivtc(tape, cadence, timing="native")
    base = make(("film", film))
    for n in range(20):
        picture = base.picture(base.picture_at(n))
        if picture.stop - picture.first == 1:
            continue
        shown, true = planes_of(clip, n), instants[n]
        for p, plane in enumerate(shown):
            shift = 1 if p else 0
            far = np.ones(plane.shape, bool)
            far[
                (32 - 26) >> shift : (56 + 26) >> shift, max(0, 8 + 3 * n - 35) >> shift : (8 + 3 * n + 60) >> shift
            ] = False
            assert np.array_equal(plane[far], true[p][far]), f"background of picture {n}, plane {p}"
        other = instants[n + 1 if n + 1 < picture.stop else n - 1]
        combed = true[0].copy()
        combed[::2] = other[0][::2]
        assert combing(shown[0][34:54]) < combing(combed[34:54]) / 3, f"picture {n} still combs"


@pytest.mark.parametrize("phase", range(5))
def test_each_field_of_a_layered_shot_is_woven_with_one_of_its_film_picture(phase: int) -> None:
    """With the one that was coded with it where that belongs to it. Noise does not comb."""
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(10, True, fmt)
    base = make(("film", pulldown(20, phase)))
    clip = ivtc(tape, make(("layered", "1" * 20), base={0: base.shots[0].lengths}), timing="native")
    for n in range(20):
        first, stop, *_ = base.picture(base.picture_at(n))
        if stop - first == 1:
            continue
        partner = n ^ 1 if first <= (n ^ 1) < stop else (n + 1 if n + 1 < stop else n - 1)
        top, bottom = sorted((n, partner), key=lambda field: field % 2)
        assert same(planes_of(clip, n), woven(fields[top], fields[bottom])), f"field {n}"


def test_only_blocks_that_comb_are_touched_in_a_combed_picture() -> None:
    """A picture whose left half was faded after pulldown; a picture that is called combed but is not."""
    film = smooth_film(0)
    faded = [plane.copy() for plane in film]
    faded[0][1::2, :40] = faded[0][1::2, :40] * 3 // 4
    tape = as_clip([film, faded, film, film], core.get_video_format(vs.YUV420P8)).std.SetFieldBased(2)
    clip = ivtc(tape, make(("30p", "2222"), combed={0: (0, 1)}), timing="native")
    assert props(clip, "DS9VS_Done") == ["merged", "merged", "woven", "woven"]
    assert same(planes_of(clip, 0), planes_of(tape, 0))
    shown, given_ = planes_of(clip, 1)[0], faded[0]
    assert np.array_equal(shown[:, 64:], given_[:, 64:])
    assert combing(shown[8:-8, 8:32]) < combing(given_[8:-8, 8:32]) / 5


def test_noise_alone_is_no_combing() -> None:
    """Grain differs from line to line; a mask that rose with it would soften dark grainy film."""
    rng = np.random.default_rng(0)
    frames = []
    for n in range(6):
        picture = smooth_film(n)
        picture[0] = np.clip(picture[0] + rng.normal(0, 12, picture[0].shape), 0, 255).astype(np.uint16)
        frames.append(picture)
    tape = as_clip(frames, core.get_video_format(vs.YUV420P8)).std.SetFieldBased(2)
    clip = ivtc(tape, make(("30p", "2" * 6), combed={0: tuple(range(6))}), timing="native")
    changed = [np.mean(planes_of(clip, n)[0] != planes_of(tape, n)[0]) for n in range(6)]
    assert np.mean(changed) < 0.05


# Time


@given(st.integers(0, 10**6), st.integers(5, 60))
@settings(max_examples=25)
def test_native_lasts_as_long_as_the_tape_at_every_cut(seed: int, frames: int) -> None:
    cadence = random_map(seed, frames, 24)
    clip = ivtc(plain_tape(cadence), cadence, timing="native")
    assert clip.fps == 0
    assert clip.num_frames == len(cadence)
    at = Fraction(0)
    shots = props(clip, "DS9VS_Shot")
    for n, (num, den) in enumerate(zip(props(clip, "_DurationNum"), props(clip, "_DurationDen"), strict=True)):
        if n == 0 or shots[n] != shots[n - 1]:
            assert at == cadence.shots[shots[n]].first / (2 * NTSC)
        at += Fraction(num, den)
    assert at == cadence.tape.frames / NTSC


def test_pulldown_is_not_in_the_timestamps() -> None:
    cadence = make(("film", "2323" * 3), ("60i", "11"), ("30p", "2222"))
    clip = ivtc(plain_tape(cadence), cadence, timing="native")
    lasts = [Fraction(n, d) for n, d in zip(props(clip, "_DurationNum"), props(clip, "_DurationDen"), strict=True)]
    assert lasts == [1 / FILM] * 12 + [1 / (2 * NTSC)] * 2 + [1 / NTSC] * 4


@given(st.integers(0, 10**6), st.integers(10, 60))
@settings(max_examples=25)
def test_film_keeps_order_length_and_bound(seed: int, frames: int) -> None:
    cadence = random_map(seed, frames, 24)
    clip = ivtc(plain_tape(cadence), cadence)
    shown = np.array(props(clip, "DS9VS_Picture"))
    assert clip.fps == FILM
    assert abs(clip.num_frames / FILM - frames / NTSC) < 1 / FILM
    assert (np.diff(shown) >= 0).all()
    middles = (cadence.firsts[:-1] + cadence.firsts[1:])[shown] / 2
    slots = 2.5 * (np.arange(clip.num_frames) + 0.5)
    own = 0.5  # a picture's 2 or 3 fields against its even share of the shot's
    assert np.abs(middles - slots).max() <= DRIFT + own + 1e-6


@pytest.mark.parametrize("phase", range(5))
@pytest.mark.parametrize("cut", range(40, 45))
def test_film_shows_every_film_picture_once_across_a_cut(phase: int, cut: int) -> None:
    cadence = make(("film", pulldown(cut, phase)), ("film", pulldown(100 - cut, (2 * phase + cut) % 5)))
    clip = ivtc(plain_tape(cadence), cadence)
    shown = props(clip, "DS9VS_Picture")
    whole = [n for n in range(len(cadence)) if cadence.picture(n).stop - cadence.picture(n).first > 1]
    assert [n for n in shown if n in whole] == whole


def test_whole_cycles_of_film_come_back_as_they_went_in() -> None:
    cadence = make(("film", "2323" * 5))
    assert props(ivtc(plain_tape(cadence), cadence), "DS9VS_Picture") == list(range(20))


def test_pal_film_gives_its_frames_back() -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, _ = noise_tape(8, True, fmt)
    tape = tape.std.AssumeFPS(fpsnum=25, fpsden=1)
    clip = ivtc(tape, make(("film", "2" * 8), fps=PAL))
    assert clip.fps == 25
    assert all(same(planes_of(clip, n), planes_of(tape, n)) for n in range(8))
    shifted = ivtc(tape, make(("film", "1" + "2" * 7 + "1"), fps=PAL))
    assert shifted.num_frames == 8
    assert set(range(1, 8)) <= set(props(shifted, "DS9VS_Picture"))


def test_video_rate_shows_what_was_on_air_at_each_field() -> None:
    cadence = make(("film", "2323"), ("60i", "11111"), ("30p", "22"), ("film", "1"))
    clip = ivtc(plain_tape(cadence), cadence, timing="video")
    assert clip.fps == 2 * NTSC
    assert clip.num_frames == 2 * cadence.tape.frames
    assert props(clip, "DS9VS_Picture") == [cadence.picture_at(n) for n in range(clip.num_frames)]


@pytest.mark.parametrize("phase", range(5))
@pytest.mark.parametrize("before", range(5))
def test_layered_background_does_not_judder_at_the_film_rate(before: int, phase: int) -> None:
    lengths = pulldown(40 + before, before), pulldown(60 - before, phase)
    cadence = make(("film", lengths[0]), ("layered", "1" * (60 - before)), base={1: lengths[1]})
    clip = ivtc(plain_tape(cadence), cadence)
    base = make(("film", lengths[0]), ("film", lengths[1]))
    background = [base.picture_at(int(field)) for field in props(clip, "DS9VS_Field")]
    whole = [n for n in range(len(base)) if base.picture(n).stop - base.picture(n).first > 1]
    assert [n for n in background if n in whole] == whole


# Between pictures


def camera(instant: float) -> vs.VideoNode:
    """What a camera that moves over a photograph sees at an instant, in fields."""
    still = photograph(400, 240, sharp=0.12, contrast=35)
    window = {"src_left": 20.2 + 3.4 * instant, "src_top": 20.1 + 0.6 * instant, "src_width": 192, "src_height": 128}
    return still.resize.Bicubic(192, 128, format=vs.YUV420P8, **window)


def camera_tape(fields: int, each: int) -> vs.VideoNode:
    """A tape of that camera, each of its pictures as long as so many fields."""
    pictures = [planes_of(camera((f // each) * each + (each - 1) / 2), 0) for f in range(fields)]
    frames = [
        woven([p[::2] for p in a], [p[1::2] for p in b]) for a, b in zip(pictures[::2], pictures[1::2], strict=True)
    ]
    return as_clip(frames, core.get_video_format(vs.YUV420P8)).std.SetFieldBased(2)


@pytest.mark.parametrize(
    ("kind", "lengths", "fps", "quarters"),
    [
        ("60i", "1" * 60, NTSC, [0, 2]),
        ("30p", "2" * 30, NTSC, [0, 1, 2, 3]),
        ("60i", "1" * 60, PAL, [0]),
        ("30p", "1" + "2" * 29 + "1", PAL, [0]),
    ],
)
def test_as_many_slots_as_can_be_show_pictures_and_the_rest_lie_evenly(
    kind: Kind, lengths: str, fps: Fraction, quarters: list[int]
) -> None:
    cadence = make((kind, lengths), fps=fps)
    clip = ivtc(plain_tape(cadence), cadence, motion="blend")
    middles = (cadence.firsts[:-1] + cadence.firsts[1:]) / 2
    at = []
    for n in range(clip.num_frames):
        with clip.get_frame(n) as frame:
            picture, way = frame.props["DS9VS_Picture"], float(frame.props.get("DS9VS_Between", 0))
        before = picture - (way > 0.5)
        at.append(middles[before] + way * (middles[before + (way > 0)] - middles[before]))
        assert round(4 * way) in quarters
    assert np.allclose(np.diff(at)[1:-1], 2 if fps == PAL else 2.5)
    real = ["DS9VS_Between" not in frame.props for frame in clip.frames(close=True)]
    assert sum(real) >= clip.num_frames // len(quarters)
    assert np.abs(at - (2 if fps == PAL else 2.5) * (np.arange(len(at)) + 0.5)).max() <= (1 if fps == PAL else 0.25)
    assert props(clip, "DS9VS_Picture") == shown(cadence, motion="blend").tolist()


@pytest.mark.parametrize(("kind", "each"), [("60i", 1), ("30p", 2)])
def test_pictures_between_are_what_the_camera_saw_and_others_the_tapes_own(kind: Kind, each: int) -> None:
    cadence = make((kind, f"{each}" * (40 // each)))
    tape = camera_tape(40, each)
    clips = {motion: ivtc(tape, cadence, motion=motion) for motion in get_args(Motion)}
    ours = clips["interpolate"]
    single = ivtc(tape, cadence, timing="native")
    gains = []
    for n in range(ours.num_frames):
        with ours.get_frame(n) as frame:
            picture, done, way = (frame.props.get(f"DS9VS_{name}", 0) for name in ("Picture", "Done", "Between"))
        if done != "between":
            assert same(planes_of(ours, n), planes_of(single, int(picture)))
            continue
        before = int(picture) - (way > 0.5)
        truth = planes_of(camera(each * (before + way + 0.5) - 0.5), 0)[0].astype(float)
        error = {
            name: np.mean((planes_of(clip, n)[0] - truth) ** 2) for name, clip in clips.items() if name != "nearest"
        }
        error["nearest"] = np.mean((planes_of(single, int(picture))[0] - truth) ** 2)
        gains.append([10 * np.log10(error[name] / error["interpolate"]) for name in ("nearest", "blend")])
    assert len(gains) >= ours.num_frames * (0.4 if each == 1 else 0.65)
    assert np.min(gains, axis=0)[0] > 6 and np.min(gains, axis=0)[1] > 3


def test_nothing_is_made_across_a_cut() -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(30, True, fmt)
    cadence = make(("60i", "1" * 13), ("60i", "1" * 7), ("30p", "2" * 5 + "1"), ("60i", "1" * 29))
    clip = ivtc(tape, cadence, motion="blend", rescue=recording(fields, fmt, []))
    single = ivtc(tape, cadence, timing="native", rescue=recording(fields, fmt, []))
    pictures = [planes_of(single, n) for n in range(len(cadence))]
    made = 0
    for n in range(clip.num_frames):
        with clip.get_frame(n) as frame:
            picture, shot, way = (frame.props.get(f"DS9VS_{name}", 0) for name in ("Picture", "Shot", "Between"))
        before = int(picture) - (way > 0.5)
        after = before + (way > 0)
        assert cadence.picture(before).shot == cadence.picture(after).shot == shot
        wanted = [(1 - way) * a + way * b for a, b in zip(pictures[before], pictures[after], strict=True)]
        assert all(np.abs(a - b).max() <= 0.5 for a, b in zip(planes_of(clip, n), wanted, strict=True)), f"slot {n}"
        made += way > 0
    assert made > 8


def test_what_motion_does_not_explain_is_the_nearest_picture() -> None:
    """Noise: no field has to do with the next."""
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(20, True, fmt)
    cadence = make(("60i", "1" * 40))
    clip = ivtc(tape, cadence, rescue=recording(fields, fmt, []))
    for n, picture in enumerate(shown(cadence).tolist()):
        assert same(planes_of(clip, n), woven(fields[picture], fields[picture]))
    assert set(props(clip, "DS9VS_Done")) == {"rescued"}


def test_only_fields_that_a_slot_needs_are_rescued() -> None:
    fmt = core.get_video_format(vs.YUV420P8)
    tape, fields = noise_tape(20, True, fmt)
    asked: list[int] = []
    cadence = make(("film", "2323"), ("60i", "1" * 30))
    clip = ivtc(tape, cadence, rescue=recording(fields, fmt, asked))
    assert asked == []
    clip.get_frame(9).close()
    assert 1 <= len(set(asked)) <= 2
    for n in range(clip.num_frames):
        clip.get_frame(n).close()
    assert len(set(asked)) <= 1.5 * 30 / 2.5 + 2


@pytest.mark.parametrize("motion", ["interpolate", "blend"])
def test_film_is_the_same_whatever_the_motion(motion: Motion) -> None:
    film = pulldown(33, 1), pulldown(34, 3), pulldown(41, 4)
    cadence = make(("film", film[0]), ("60i", "1" * 19), ("film", film[1]), ("30p", "2" * 11 + "1"), ("film", film[2]))
    tape, _ = noise_tape(cadence.tape.frames, True, core.get_video_format(vs.YUV420P8))
    ours, nearest = (ivtc(tape, cadence, motion=how) for how in (motion, "nearest"))
    assert ours.num_frames == nearest.num_frames
    kinds = props(nearest, "DS9VS_Kind")
    assert kinds == props(ours, "DS9VS_Kind") and {"film", "60i", "30p"} == set(kinds)
    for n, kind in enumerate(kinds):
        if kind == "film":
            assert same(planes_of(ours, n), planes_of(nearest, n)), f"slot {n}"


@pytest.mark.parametrize("phase", range(5))
def test_the_background_of_layered_shots_is_the_same_whatever_the_motion(phase: int) -> None:
    tape, instants, film = layered_tape(30, phase)
    cadence = make(("layered", "1" * 30), base={0: film})
    ours, nearest = (ivtc(tape, cadence, motion=how) for how in ("interpolate", "nearest"))
    assert props(ours, "DS9VS_Picture") == props(nearest, "DS9VS_Picture")
    # In phases 1 and 4 the instants lie between the background's own pictures.
    assert ("between" in props(ours, "DS9VS_Done")) == (phase in (0, 2, 3))
    for n, picture in enumerate(props(ours, "DS9VS_Picture")):
        left = 8 + 3 * int(str(picture))
        far = np.ones(instants[0][0].shape, bool)
        far[32 - 26 : 56 + 26, max(0, left - 35) : left + 60] = False
        assert np.array_equal(planes_of(ours, n)[0][far], planes_of(nearest, n)[0][far]), f"slot {n}"
    moved = [n for n, done in enumerate(props(ours, "DS9VS_Done")) if done == "between"]
    assert all(not same(planes_of(ours, n), planes_of(nearest, n)) for n in moved)


@pytest.mark.parametrize("motion", ["interpolate", "blend"])
def test_tape_noise_in_the_background_of_layered_shots_stays(motion: Motion) -> None:
    tape, instants, film = layered_tape(30, 2)  # pictures of three fields are woven in two ways
    noisy = tape.noise.Add(var=6, seed=3)
    cadence = make(("layered", "1" * 30), base={0: film})
    ours, nearest = (ivtc(noisy, cadence, motion=how) for how in (motion, "nearest"))
    changed = []
    for n, picture in enumerate(props(ours, "DS9VS_Picture")):
        left = 8 + 3 * int(str(picture))
        far = np.ones(instants[0][0].shape, bool)
        far[32 - 26 : 56 + 26, max(0, left - 35) : left + 60] = False
        changed.append(np.mean((planes_of(ours, n)[0] != planes_of(nearest, n)[0])[far]))
    assert np.max(changed) < 0.01


# Props


def test_props_tell_the_truth_and_the_tapes_stay() -> None:
    cadence = make(
        ("film", "2323"), ("60i", "1111"), ("film", "233"), quality={2: (10, 20, 30)}, combed={2: (1,)}, tff=False
    )
    tape = plain_tape(cadence, 64, 64).std.SetFrameProps(_SARNum=10, _SARDen=11, _Matrix=6, Mine="kept")
    clip = ivtc(tape, cadence, timing="native")
    assert props(clip, "DS9VS_Picture") == list(range(11))
    assert props(clip, "DS9VS_Shot") == [0] * 4 + [1] * 4 + [2] * 3
    assert props(clip, "DS9VS_Kind") == ["film"] * 4 + ["60i"] * 4 + ["film"] * 3
    assert props(clip, "DS9VS_Field") == cadence.firsts[:-1].tolist()
    assert props(clip, "DS9VS_Confidence") == [0.9] * 8 + [0.9, 0.99, 0.999]
    assert props(clip, "DS9VS_Done") == ["woven"] * 4 + ["rescued"] * 4 + ["woven", "merged", "woven"]
    assert props(clip, "_SceneChangePrev") == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    assert props(clip, "_SceneChangeNext") == [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]
    for name, value in {"_FieldBased": 0, "_SARNum": 10, "_SARDen": 11, "_Matrix": 6, "Mine": "kept"}.items():
        assert set(props(clip, name)) == {value}
    film = ivtc(tape, cadence)
    assert {Fraction(*pair) for pair in zip(props(film, "_DurationNum"), props(film, "_DurationDen"), strict=True)} == {
        1 / FILM
    }
    with film.get_frame(0) as frame:
        assert not {"_Field", "swapped"} & set(frame.props)


# Contracts


def test_pure_between_pictures(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    tape = camera_tape(30, 1)
    cadence = make(("60i", "1" * 17), ("30p", "2" * 6 + "1"))
    assert "between" in props(ivtc(tape, cadence), "DS9VS_Done")
    assert_pure(lambda: ivtc(tape, cadence))


@pytest.mark.parametrize("timing", ["film", "native", "video"])
def test_pure(timing: Timing, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    tape, _, film = layered_tape(20, 1)
    tape = core.std.Splice([tape, tape]).std.SetFieldBased(2)
    cadence = make(("layered", "1" * 20), ("film", film[:-1]), ("60i", "1" * int(film[-1])), base={0: film})
    assert_pure(lambda: ivtc(tape, cadence, timing=timing))


def test_a_map_of_an_episode_asks_for_no_more_of_the_tape_than_a_seek_needs() -> None:
    cadence = random_map(1, 81_000, 176)
    asked: list[int] = []
    tape = plain_tape(cadence, 720, 480)
    clip = ivtc(tape.std.ModifyFrame(tape, lambda n, f: (asked.append(n), f)[1]), cadence)
    assert len(asked) <= 2, "to evaluate"
    rng = random.Random(0)
    for _ in range(10):
        asked.clear()
        clip.get_frame(rng.randrange(clip.num_frames)).close()
        assert 1 <= len(asked) <= 16
        assert max(asked) - min(asked) <= 16 or 0 in asked, "what lies near, and a filter's first frame"


MEMORY = """
import sys
import vapoursynth as vs
sys.path.insert(0, {tests!r})
from test_ivtc import plain_tape, repeated_map
from ds9vs.ivtc import ivtc
vs.core.max_cache_size = 128
cadence = repeated_map({frames} // 300)
ivtc(plain_tape(cadence, 720, 480), cadence).set_output()
"""


def peak_memory(frames: int, tmp_path: Path) -> int:
    """MiB that vspipe takes at most for a tape of so many frames."""
    script = tmp_path / f"{frames}.vpy"
    script.write_text(MEMORY.format(tests=str(Path(__file__).parent), frames=frames), encoding="utf-8")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    command = [sys.executable, "-c", code, "vspipe", str(script), "."]
    return int(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.split()[-1])


def test_memory_does_not_grow_with_the_tape(tmp_path: Path) -> None:
    short, long = peak_memory(600, tmp_path), peak_memory(2400, tmp_path)
    assert long < short + 100, f"{short} MiB for 600 frames, {long} for 2,400"


# Errors


def test_a_map_of_another_tape_is_refused() -> None:
    cadence = make(("film", "2323"))
    tape = plain_tape(cadence)
    for wrong, says in (
        (tape[:4], "5 frames"),
        (tape.std.AssumeFPS(fpsnum=25, fpsden=1), "frames a second"),
        (tape.std.SetFieldBased(1), "top field"),
        (tape.std.SetFieldBased(0), "progressive"),
        (tape.std.RemoveFrameProps("_FieldBased"), "progressive"),
        (core.std.BlankClip(tape, height=14), "lines"),
        (core.std.Splice([tape[:2], core.std.BlankClip(tape, width=32, length=3)], mismatch=True), "one format"),
    ):
        with pytest.raises(CustomValueError, match=says):
            ivtc(wrong, cadence)


def test_wrong_arguments_get_a_sentence() -> None:
    cadence = make(("film", "1223131131"))
    tape = plain_tape(cadence)
    with pytest.raises(CustomValueError, match="'film', 'native', 'video'"):
        ivtc(tape, cadence, timing="smooth")  # type: ignore[arg-type]
    with pytest.raises(CustomValueError, match="'interpolate', 'nearest', 'blend'"):
        ivtc(tape, cadence, motion="smooth")  # type: ignore[arg-type]
    with pytest.raises(CustomValueError, match="load_cadence"):
        ivtc(tape, "S01E01.cadence.json")  # type: ignore[arg-type]
    with pytest.raises(CustomValueError, match="frames, one for each field"):
        ivtc(tape, cadence, rescue=lambda clip: clip)
    odd = make(("film", "2323"), fps=Fraction(24))
    with pytest.raises(CustomValueError, match="no film rate"):
        ivtc(plain_tape(odd), odd)


@pytest.mark.parametrize("plugin", ["fh.FieldHint", "akarin.Select", "akarin.Expr"])
def test_a_missing_plugin_is_named(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ds9vs.plugins

    found = ds9vs.plugins._function
    monkeypatch.setattr(ds9vs.plugins, "_function", lambda name: None if name == plugin else found(name))
    cadence = make(("film", "23231"), ("30p", "2221"), combed={1: (1,)})
    with pytest.raises(CustomRuntimeError, match=r"pip install 'vapoursynth-"):
        ivtc(plain_tape(cadence), cadence)


def test_the_shortest_tapes() -> None:
    for shots in ([("film", "2")], [("60i", "11")], [("film", "3"), ("film", "1")]):
        cadence = make(*shots)  # type: ignore[arg-type]
        for timing in ("film", "native", "video"):
            clip = ivtc(plain_tape(cadence), cadence, timing=timing)  # type: ignore[arg-type]
            clip.get_frame(clip.num_frames - 1).close()
