"""show and compare: what is written can be read, what is compared belongs together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.timing import FILM, NTSC
from ds9vs.view import compare, show


def blank(value: int = 0, fps: Fraction = FILM, length: int = 4, **more: Any) -> vs.VideoNode:
    return core.std.BlankClip(
        **{
            "width": 320,
            "height": 240,
            "format": vs.RGB24,
            "length": length,
            "color": [value] * 3,
            "fpsnum": fps.numerator,
            "fpsden": fps.denominator,
            **more,
        }
    )


def plane(clip: vs.VideoNode, n: int = 0, p: int = 0) -> NDArray[Any]:
    with clip.get_frame(n) as frame:
        return np.array(frame[p])


PROPS = {
    "DS9VS_Picture": 17,
    "DS9VS_Field": 42,
    "DS9VS_Shot": 3,
    "DS9VS_Kind": "film",
    "DS9VS_Confidence": 0.5,
    "DS9VS_Done": "woven",
}


def written(text: str, like: vs.VideoNode) -> vs.VideoNode:
    return like.akarin.Text(text, alignment=7, scale=1)


def test_show_writes_what_the_frame_tells() -> None:
    clip = blank().std.SetFrameProps(**PROPS)
    text = "frame      2\npicture    17\ntape field 42\nshot       3 film\nconfidence 0.5\ndone       woven"
    assert np.array_equal(plane(show(clip), 2), plane(written(text, clip), 2))


@pytest.mark.parametrize("missing", [set(PROPS), {"DS9VS_Shot"}, {"DS9VS_Confidence", "DS9VS_Done"}])
def test_show_writes_a_dash_for_what_it_does_not_tell(missing: set[str]) -> None:
    clip = blank().std.SetFrameProps(**{name: value for name, value in PROPS.items() if name not in missing})
    told = [("-" if name in missing else str(value)) for name, value in PROPS.items()]
    text = ("frame      0\npicture    {}\ntape field {}\nshot       {} {}\nconfidence {}\ndone       {}").format(*told)
    assert np.array_equal(plane(show(clip)), plane(written(text, clip)))


def test_show_keeps_format_length_rate_and_props() -> None:
    for format_id in (vs.YUV420P8, vs.YUV444P16, vs.GRAY8, vs.RGBS):
        clip = core.std.BlankClip(width=320, height=240, format=format_id, length=3).std.SetFrameProps(
            DS9VS_Shot=1, Mine=2
        )
        made = show(clip)
        assert (made.format, made.fps, made.num_frames) == (clip.format, clip.fps, 3)
        with made.get_frame(1) as frame, clip.get_frame(1) as before:
            assert dict(frame.props) == dict(before.props)


def test_show_is_seen_through_vspipe_too(tmp_path: Path) -> None:
    script = tmp_path / "show.vpy"
    script.write_text(
        "from vapoursynth import core\nfrom ds9vs.view import show\n"
        "show(core.std.BlankClip(width=320, height=240, length=1)).set_output()\n",
        encoding="utf-8",
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    piped = subprocess.run(["vspipe", str(script), "-"], env=env, check=True, capture_output=True).stdout
    clip = show(core.std.BlankClip(width=320, height=240, length=1))
    assert piped == b"".join(plane(clip, 0, p).tobytes() for p in range(3))


def test_split_is_a_at_the_left_and_b_at_the_right() -> None:
    both = plane(compare(blank(10), blank(200), labels=("", "")))
    assert (both[:, :159] == 10).all()
    assert (both[:, 159:161] == 255).all()
    assert (both[:, 161:] == 200).all()


def test_labels_are_written_where_their_clip_is() -> None:
    plain, labelled = (plane(compare(blank(10), blank(200), labels=names)) for names in (("", ""), ("ours", "tape")))
    changed = (plain != labelled).any(0)
    assert changed[:100].any()
    assert changed[220:].any()
    assert not changed[100:220].any()


def test_flip_takes_turns_at_twice_the_rate() -> None:
    both = compare(blank(10), blank(200), mode="flip", labels=("", ""))
    assert (both.num_frames, both.fps) == (8, 2 * FILM)
    assert [int(plane(both, n)[0, 0]) for n in range(4)] == [10, 200, 10, 200]


def test_diff_is_grey_where_nothing_differs() -> None:
    assert (plane(compare(blank(90), blank(90), mode="diff", labels=("", ""))) == 128).all()
    assert (plane(compare(blank(90), blank(80), mode="diff", labels=("", ""), gain=4)) == 168).all()
    assert (plane(compare(blank(80), blank(90), mode="diff", labels=("", ""), gain=4)) == 88).all()


def numbered(count: int, fps: Fraction) -> vs.VideoNode:
    return core.std.Splice([blank(n, fps, 1) for n in range(count)])


def test_rates_are_aligned_by_time() -> None:
    """A frame of a meets the frame of b that is on at its middle."""
    film, tape = numbered(80, FILM), numbered(100, NTSC)
    both = compare(film, tape, labels=("", ""))
    assert (both.num_frames, both.fps) == (80, FILM)
    for n in range(80):
        assert plane(both, n)[0, -1] == int((n + Fraction(1, 2)) / FILM * NTSC)
    other = compare(tape, film, labels=("", ""))
    for n in range(100):
        assert plane(other, n)[0, -1] == min(79, int((n + Fraction(1, 2)) / NTSC * FILM))


def test_sizes_and_formats_are_aligned() -> None:
    small = core.std.BlankClip(
        width=160, height=120, format=vs.YUV420P10, length=4, color=[940, 512, 512]
    ).std.SetFrameProps(_Matrix=1, _Range=0)
    both = compare(blank(0, Fraction(24)), small, labels=("", ""))
    assert (both.width, both.height, both.format.id) == (320, 240, vs.RGB24)
    assert plane(both)[0, -1] == 255


def test_each_is_converted_by_its_own_matrix() -> None:
    """One colour told in two matrices shows no difference."""
    colour = core.std.BlankClip(width=320, height=240, format=vs.RGBS, length=2, color=[0.8, 0.2, 0.4])
    tape, film = (colour.resize.Point(format=vs.YUV444P16, matrix=matrix) for matrix in (6, 1))
    difference = compare(tape, film, mode="diff", labels=("", ""), gain=8)
    assert all(abs(int(plane(difference, 0, p)[0, 0]) - 128) <= 1 for p in range(3))


def test_an_unknown_matrix_is_not_guessed() -> None:
    mute = core.std.BlankClip(width=320, height=240, format=vs.YUV420P8, length=2)
    with pytest.raises(vs.Error, match="by which matrix"):
        compare(blank(), mute).get_frame(0)


def test_variable_rates_meet_frame_by_frame_or_not_at_all() -> None:
    variable = blank(10, length=4, fpsnum=0, fpsden=1)
    assert compare(variable, blank(200)).num_frames == 4
    with pytest.raises(CustomValueError, match="rate is variable"):
        compare(variable, blank(200, length=5))


def test_wrong_arguments_get_a_sentence() -> None:
    for call, says in (
        (lambda: compare(blank(), blank(), mode="wipe"), "'split', 'flip', 'diff'"),  # type: ignore[arg-type]
        (lambda: compare(blank(), blank(), gain=0), "greater than 0"),
        (lambda: compare(blank(), blank(format=vs.RGBH)), "8 to 16 bit"),
        (lambda: show(blank(format=vs.RGBH)), "8 to 16 bit"),
        (lambda: show(blank(width=64, height=48)), "at least 160x112"),
        (lambda: show(blank(), alignment=0), "number pad"),
        (lambda: show(core.std.Splice([blank(), blank(width=640)], mismatch=True)), "one format"),
    ):
        with pytest.raises(CustomValueError, match=says):
            call()


def test_pure(assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: compare(show(numbered(12, FILM)), numbered(15, NTSC), mode="diff"))


@pytest.mark.parametrize("call", [lambda: show(blank()), lambda: compare(blank(), blank())])
def test_a_missing_plugin_is_named(call: Callable[[], vs.VideoNode], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.plugins._function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="pip install 'vapoursynth-akarin"):
        call()
