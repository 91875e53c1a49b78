"""The whole chain on a simulated disc: in time with the audio, rightly tagged, and traceable."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import vapoursynth as vs
from jetpytools import CustomError, CustomValueError, FileWasNotFoundError

import ds9vs
from ds9vs.cadence import analyse
from ds9vs.encode import encode, mux
from ds9vs.files import run
from ds9vs.finish import crop
from ds9vs.grain import measure_grain
from ds9vs.ivtc import ivtc
from ds9vs.measures import psnr
from ds9vs.presets import preset_names
from ds9vs.qc import Expected, verdict
from ds9vs.restore import beside
from ds9vs.simulate import Layer, ShotSpec, TapeSpec, make_tape, sample_footage
from ds9vs.simulate.disc import make_disc
from ds9vs.upscale import DEFAULT_MODEL, model_get

FAST = {"preset": "fast-480p"}


def test_in_time_with_the_audio_and_rightly_tagged(hybrid: Path, tmp_path: Path) -> None:
    """The acceptance of the whole: the disc's own audio beside the film, read back by ffprobe and mkvmerge."""
    script = tmp_path / "film.vpy"
    script.write_text(
        f"import ds9vs\nds9vs.restore({str(hybrid)!r}, preset='fast-480p').set_output()\n", encoding="utf-8"
    )
    record = encode(script, tmp_path / "film.hevc", preset="fast", settings={"preset": "ultrafast"}, show=False)
    title = ds9vs.probe(hybrid).titles[0]
    sound = tmp_path / "audio.ac3"
    run(["ffmpeg", "-v", "error", "-i", title.address, "-map", "0:a:0", "-c", "copy", sound], "test")
    delay = title.audio[0].delay
    assert delay is not None
    mux(tmp_path / "film.hevc", tmp_path / "film.mkv", audio=[(sound, round(delay * 1000))], fps=(24000, 1001))
    tape = ds9vs.source(hybrid)
    wanted = Expected(
        frames=record["frames"],
        width=640,
        height=480,
        dar=Fraction(4, 3),
        duration=tape.num_frames / Fraction(tape.fps),
        fps=Fraction(24000, 1001),
    )
    assert [check for check in verdict(tmp_path / "film.mkv", wanted) if not check.good] == []
    tracks = json.loads(run(["mkvmerge", "-J", tmp_path / "film.mkv"], "test"))["tracks"]
    assert [track["type"] for track in tracks] == ["video", "audio"]
    assert tracks[0]["properties"]["display_dimensions"] == "640x480"
    assert tracks[0]["properties"]["default_duration"] == 41708333


def test_every_frame_tells_what_was_done(hybrid: Path, tmp_path: Path) -> None:
    clip = ds9vs.restore(hybrid, **FAST, sidecar=tmp_path / "side.json")
    record = ds9vs.provenance(clip)
    written = json.loads((tmp_path / "side.json").read_text(encoding="utf-8"))
    assert record == written | {"backend": "none"}
    assert record["preset"] == "fast-480p"
    assert sum(record["cadence"]["fields"].values()) == 2 * ds9vs.source(hybrid).num_frames
    assert record["content"]
    assert str(hybrid.parent) not in json.dumps(record), "a path of this machine would travel with the film"


def test_preview_keeps_shape_length_and_colour(hybrid: Path) -> None:
    plain = {"upscale": {"model": "none", "width": 1440, "height": 1080}}
    whole = ds9vs.restore(hybrid, preset="safe", settings=plain)
    quick = ds9vs.restore(hybrid, preset="safe", settings=plain, preview=True)
    assert (whole.format.id, whole.width, whole.height) == (quick.format.id, quick.width, quick.height)
    assert (whole.num_frames, whole.fps) == (quick.num_frames, quick.fps)
    with whole.get_frame(9) as a, quick.get_frame(9) as b:
        for name in ("_Matrix", "_Primaries", "_Transfer", "_Range", "_SARNum", "_SARDen", "DS9VS_Kind"):
            assert a.props[name] == b.props[name], name
        assert "DS9VS_Grain" in a.props
        assert "DS9VS_Grain" not in b.props


def test_pure(hybrid: Path, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: ds9vs.restore(hybrid, **FAST)[30:42])


def test_evaluating_renders_the_cleaned_picture_once(hybrid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    room = sys.modules["ds9vs.restore"]

    def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        asked.append(n)
        return f

    def noted(clip: vs.VideoNode, **options: Any) -> vs.VideoNode:
        made = ds9vs.clean(clip, **options)
        return made.std.ModifyFrame(made, note)

    monkeypatch.setattr(room, "clean", noted)
    clip = ds9vs.restore(
        hybrid, preset="safe", settings={"upscale": {"model": "none", "width": 1440, "height": 1080}}, preview=True
    )
    assert asked == [0]
    clip.get_frame(1).close()
    assert 1 in asked


@pytest.mark.parametrize("preset", [name for name in preset_names("shows") if not name.startswith("pal")])
def test_every_show_preset_evaluates(preset: str, hybrid: Path) -> None:
    clip = ds9vs.restore(hybrid, preset=preset, preview=True)
    assert clip.format.id == vs.YUV420P10
    assert Fraction(clip.width, clip.height) == Fraction(4, 3)


def test_a_pal_disc_keeps_its_rate_shape_and_length(tmp_path: Path) -> None:
    """The PAL preset, every stage of it but the network and smaller, on film as 2:2 and a shot of 50i."""
    shots = (
        ShotSpec(fields=70, layers=(Layer(pattern="2:2", stop=40),)),
        ShotSpec(fields=30, layers=(Layer(kind="60i", start=5, stop=30, step=0, pan=(80.0, 10.0)),)),
    )
    make_tape(TapeSpec(shots=shots, standard="pal", seed=2), [sample_footage()], tmp_path, show=False)
    disc = make_disc(tmp_path / "tape.mkv", tmp_path / "disc", iso=False, audio=False).video_ts
    tape = ds9vs.source(disc)
    assert (tape.width, tape.height, tape.fps) == (720, 576, 25)
    found = analyse(tape, save=beside(disc, "cadence"), progress=False)
    measure_grain(crop(ivtc(tape, found), left=8, right=8), pictures=4).save(beside(disc, "grain"))

    plain = {"upscale": {"model": "none", "width": 960, "height": 720}}
    clip = ds9vs.restore(disc, preset="pal-2160p", settings=plain)
    assert clip.fps == 25
    assert clip.num_frames == tape.num_frames == 50, "the film lasts as long as the tape"
    assert (clip.format.name, clip.width, clip.height) == ("YUV420P10", 960, 720)
    for n in (10, 40):
        with clip.get_frame(n) as frame:
            props = dict(frame.props)
        assert Fraction(props["_SARNum"], props["_SARDen"]) == 1
        assert [props[f"_{name}"] for name in ("Matrix", "Primaries", "Transfer", "Range")] == [1, 1, 1, 0]
        assert Fraction(props["_DurationNum"], props["_DurationDen"]) == Fraction(1, 25)
        assert {"DS9VS_Grain", "DS9VS_Kind", "DS9VS_Provenance"} <= set(props)
        assert props["_FieldBased"] == 0


def test_the_whole_chain_with_the_network(hybrid: Path) -> None:
    """A film picture and a video picture of the finished film, every stage on, against the same without the network."""
    model_get(DEFAULT_MODEL, show=False)
    clip = ds9vs.restore(hybrid, preset="ds9-1080p")
    plain = ds9vs.restore(hybrid, preset="ds9-1080p", preview=True)
    for n in (12, 40):
        with clip.get_frame(n) as frame:
            assert "DS9VS_Grain" in frame.props
            assert float(frame.props["DS9VS_LRError"]) < 0.5
            assert 0 <= float(frame.props["DS9VS_Limited"]) < 0.2
        likeness = psnr(clip[n], plain[n])[0]
        assert 28 < likeness < 60, "the network and the grain must show, and stay close to the source"
    record = ds9vs.provenance(clip)
    assert record["backend"].startswith(("ov-", "ort-", "trt"))
    assert record["model_sha256"] and record["grain"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "nonsense"}, "ds9-2160p"),
        ({"settings": {"paint": {}}}, "no stage 'paint'"),
        ({"settings": {"finish": {"colour_of_magic": 8}}}, "takes no 'colour_of_magic'"),
        ({"settings": {"finish": {"bits": 9}}}, "bits"),
        ({"settings": {"grain": {"strength": 1.0}}, "grain": "nowhere.json"}, "nowhere.json"),
        ({"title": 7}, "7"),
        ({"backend": "abacus", "settings": {"upscale": {"model": DEFAULT_MODEL}}}, "abacus"),
    ],
)
def test_a_wrong_option_gets_a_sentence(options: dict[str, object], said: str, hybrid: Path) -> None:
    model_get(DEFAULT_MODEL, show=False)
    with pytest.raises((CustomError, FileWasNotFoundError), match=said):
        ds9vs.restore(hybrid, **(FAST | options))  # type: ignore[arg-type]


def test_what_is_missing_is_named_with_its_command(hybrid: Path, tmp_path: Path) -> None:
    (tmp_path / "VIDEO_TS").symlink_to(hybrid)
    with pytest.raises(CustomError, match="ds9vs analyse"):
        ds9vs.restore(tmp_path / "VIDEO_TS", **FAST)
    with pytest.raises(CustomValueError, match="ds9vs grain measure"):
        ds9vs.restore(
            tmp_path / "VIDEO_TS",
            preset="safe",
            cadence=beside(hybrid, "cadence"),
            settings={"upscale": {"model": "none"}},
        )


def test_a_map_of_another_tape_is_refused(hybrid: Path, tmp_path: Path) -> None:
    text = beside(hybrid, "cadence").read_text(encoding="utf-8")
    table = json.loads(text)
    table["tape"]["content"] = "of another tape"
    (tmp_path / "other.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(CustomError, match=r"another|other"):
        ds9vs.restore(hybrid, **FAST, cadence=tmp_path / "other.json")
