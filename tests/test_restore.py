"""The whole chain on a simulated disc: in time with the audio, rightly tagged, and traceable."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomError, CustomValueError, FileWasNotFoundError

import ds9vs
from ds9vs.cadence import analyse
from ds9vs.encode import encode, mux
from ds9vs.files import run
from ds9vs.finish import Bars, ShotBars, crop
from ds9vs.grain import measure_grain
from ds9vs.ivtc import ivtc, shown
from ds9vs.measures import psnr
from ds9vs.presets import data_dir, preset_names
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


def luma(clip: vs.VideoNode, n: int) -> np.ndarray[Any, Any]:
    with clip.get_frame(n) as frame:
        return np.array(frame[0])


def test_bars_of_the_tape_go_where_they_lie_in_the_cropped_picture(hybrid: Path, tmp_path: Path) -> None:
    """Found beside the disc, given, or named by a preset; by field, so only pictures of that shot have them."""
    cadence = ds9vs.load_cadence(beside(hybrid, "cadence"))
    shots = (ShotBars(first=0), ShotBars(first=81, left=98, top=60, right=98, bottom=60))
    bars = Bars(width=720, height=480, shots=shots, tape=cadence.tape)
    plain = ds9vs.restore(hybrid, **FAST)
    done = ds9vs.restore(hybrid, **FAST, bars=bars)
    fields = cadence.firsts[shown(cadence)]
    inside, outside = int(np.searchsorted(fields, 81)), 4
    assert np.array_equal(luma(done, outside), luma(plain, outside))
    y = luma(done, inside)
    side = round(90 * 640 / 704 / 2) * 2  # 8 of the 98 columns are cropped
    assert (y[:60] == 64).all() and (y[-60:] == 64).all() and (y[:, :side] == 64).all() and (y[:, -side:] == 64).all()
    assert np.array_equal(y[60:-60, side:-side], luma(plain, inside)[60:-60, side:-side])
    disc = tmp_path / "VIDEO_TS"
    disc.symlink_to(hybrid)
    bars.save(beside(disc, "bars"))
    found = ds9vs.restore(disc, **FAST, cadence=cadence)
    assert np.array_equal(luma(found, inside), y)
    assert ds9vs.provenance(found)["bars"] and ds9vs.provenance(plain)["bars"] is None
    for crop_by in ({"mode": "auto", "left": 0, "right": 0}, {"left": 8, "right": 8}):
        again = ds9vs.restore(disc, **FAST, cadence=cadence, settings={"crop": crop_by})
        assert np.array_equal(luma(again, inside), y), "the crop that was measured counts as the one that was typed"


def test_bars_that_are_not_of_this_tape_are_refused(hybrid: Path, tmp_path: Path) -> None:
    tape = replace(ds9vs.load_cadence(beside(hybrid, "cadence")).tape, content="of another tape")
    bars = Bars(width=720, height=480, shots=(ShotBars(first=0, top=60, bottom=60),), tape=tape)
    bars.save(tmp_path / "other.json")
    for given in (bars, tmp_path / "other.json"):
        with pytest.raises(CustomValueError, match=r"are of another tape; .*ds9vs bars measure"):
            ds9vs.restore(hybrid, **FAST, bars=given)
    with pytest.raises(FileWasNotFoundError, match="nowhere"):
        ds9vs.restore(hybrid, **FAST, bars="nowhere.json")


def test_a_preset_times_colours_from_a_sheet_beside_it(hybrid: Path, tmp_path: Path) -> None:
    """The pictures of a range change, no others; the colour table is found beside the sheet, the sheet beside it."""
    (tmp_path / "show").mkdir()
    text = (data_dir("presets") / "shows" / "fast-480p.toml").read_text(encoding="utf-8")
    show = tmp_path / "show" / "mine.toml"
    show.write_text(text + 'grade = "timing.toml"\n', encoding="utf-8")
    (tmp_path / "show" / "timing.toml").write_text(
        "[[range]]\nfirst = 10\nstop = 12\ngain = 0.5\n[[range]]\nfirst = 12\nstop = 13\nlut = 'black.cube'\n",
        encoding="utf-8",
    )
    (tmp_path / "show" / "black.cube").write_text("LUT_3D_SIZE 2\n" + "0 0 0\n" * 8, encoding="utf-8")
    plain, done = ds9vs.restore(hybrid, **FAST), ds9vs.restore(hybrid, preset=str(show))
    means = {n: (float(luma(plain, n).mean()) - 64, float(luma(done, n).mean()) - 64) for n in (9, 10, 11, 12, 13)}
    assert means[9][0] == means[9][1] and means[13][0] == means[13][1]
    assert all(abs(means[n][1] / means[n][0] - 0.5) < 0.05 for n in (10, 11)), means
    assert abs(means[12][1]) < 1
    assert ds9vs.provenance(done)["stages"]["finish"]["grade"] == "timing.toml"


def test_a_preset_asks_for_hdr10(hybrid: Path, tmp_path: Path) -> None:
    """From a table of a preset to what a decoder reads in the file that encode() made."""
    text = (data_dir("presets") / "shows" / "fast-480p.toml").read_text(encoding="utf-8")
    show = tmp_path / "hdr.toml"
    show.write_text(text + 'hdr = "pq"\nlight = [203, 90]\n', encoding="utf-8")
    script = tmp_path / "hdr.vpy"
    made = f"ds9vs.restore({str(hybrid)!r}, preset={str(show)!r})[:4]"
    script.write_text(f"import ds9vs\n{made}.set_output()\n", encoding="utf-8")
    encode(script, tmp_path / "hdr.hevc", preset="fast", settings={"preset": "ultrafast"}, show=False)
    words = ["-show_streams", "-show_frames", "-read_intervals", "%+#1", "-of", "json", tmp_path / "hdr.hevc"]
    told = json.loads(run(["ffprobe", "-v", "error", *words], "test"))
    stream, sides = told["streams"][0], {row["side_data_type"]: row for row in told["frames"][0]["side_data_list"]}
    assert (stream["color_primaries"], stream["color_transfer"]) == ("bt2020", "smpte2084")
    assert (stream["color_space"], stream["color_range"]) == ("bt2020nc", "tv")
    light, display = sides["Content light level metadata"], sides["Mastering display metadata"]
    assert (light["max_content"], light["max_average"]) == (203, 90)
    assert (display["red_x"], display["max_luminance"]) == ("32000/50000", "2510000/10000")
    with pytest.raises(CustomValueError, match="two whole numbers: MaxCLL and MaxFALL"):
        ds9vs.restore(hybrid, **FAST, settings={"finish": {"hdr": "pq", "light": "bright"}})


@pytest.mark.parametrize("strength", [4.0, 0.05])
def test_weak_grain_is_helped_to_carry_dark_slopes(
    strength: float, hybrid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grain that is too weak gets the rest of the noise that finish() alone would lay; strong grain gets none."""
    laid: list[tuple[float, bool]] = []
    room = sys.modules["ds9vs.restore"]

    def noted(clip: vs.VideoNode, **options: Any) -> vs.VideoNode:
        laid.append((options["noise"], options["deband"]))
        return ds9vs.finish(clip, **options)

    monkeypatch.setattr(room, "finish", noted)
    plain = {"upscale": {"model": "none", "width": 960, "height": 720}, "grain": {"strength": strength}}
    with ds9vs.restore(hybrid, preset="safe", settings=plain).get_frame(0) as frame:
        assert "DS9VS_Grain" in frame.props
    (noise, smoothed), *others = laid
    assert smoothed and not others
    assert noise == 0 if strength > 1 else 0.6 < noise <= 0.7


def test_a_map_of_another_tape_is_refused(hybrid: Path, tmp_path: Path) -> None:
    text = beside(hybrid, "cadence").read_text(encoding="utf-8")
    table = json.loads(text)
    table["tape"]["content"] = "of another tape"
    (tmp_path / "other.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(CustomError, match=r"another|other"):
        ds9vs.restore(hybrid, **FAST, cadence=tmp_path / "other.json")
