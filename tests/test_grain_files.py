"""Grain models on paper: drawn, sent to AV1 encoders and back, and what they cost told before the encode."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomValueError
from typer.testing import CliRunner
from vapoursynth import core

from ds9vs.cli import app
from ds9vs.files import run
from ds9vs.grain import (
    GrainModel,
    add_grain,
    disc_coding,
    export_table,
    gaussian_spectrum,
    import_table,
    load_grain,
    measure_grain,
)
from ds9vs.grain.calibrate import Plan, _plan, pulldown, recoded, telecined, woven
from ds9vs.grain.coding import Coding, kinds_of
from ds9vs.grain.cost import _tile, grain_cost
from ds9vs.grain.runs import film_runs, shown_fields
from ds9vs.grain.show import draw
from ds9vs.measures import psnr

MODEL = GrainModel(
    size=(352, 240),
    sigma=tuple(1 + k / 8 for k in range(16)),
    spectra=(gaussian_spectrum(0.6),) * 3,
    chroma=(0.5, 0.4),
    chroma_spectrum=gaussian_spectrum(0.4),
    seen=(0.0,) * 2 + (0.07,) * 14,
)


@pytest.mark.parametrize("radius", [0.0, 0.4, 0.6, 0.8])
def test_a_table_comes_back_as_it_went(tmp_path: Path, radius: float) -> None:
    model = dataclasses.replace(MODEL, spectra=(gaussian_spectrum(radius),) * 3)
    export_table(model, tmp_path / "a.tbl")
    back = import_table(tmp_path / "a.tbl", size=(352, 240))
    assert np.abs(np.array(back.sigma) / model.sigma - 1)[1:14].max() < 0.03
    assert back.chroma == pytest.approx(model.chroma, rel=0.03)
    ours, theirs = (10 * np.log10(np.array(m.spectra[1])[:5, :5]) for m in (back, model))
    assert np.sqrt(np.square(ours - theirs).mean()) < 1.3, "the spectrum differs; bytes of lag 3 hold no more"
    export_table(back, tmp_path / "b.tbl")
    numbers = [(tmp_path / name).read_text().split() for name in ("a.tbl", "b.tbl")]
    assert len(numbers[0]) == len(numbers[1])


def test_an_av1_encoder_takes_it_and_a_decoder_shows_it(tmp_path: Path) -> None:
    if "libaom-av1" not in run(["ffmpeg", "-v", "error", "-encoders"], "test"):
        raise AssertionError("this ffmpeg has no libaom")
    export_table(MODEL, tmp_path / "a.tbl")
    grey = core.std.BlankClip(format=vs.YUV420P8, width=352, height=240, length=4, color=[120, 128, 128])
    with (tmp_path / "a.y4m").open("wb") as file:
        grey.output(file, y4m=True)
    words = ["ffmpeg", "-v", "error", "-i", "a.y4m", "-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "20"]
    run([*words, "-aom-params", "film-grain-table=a.tbl", "a.mkv"], "test", cwd=tmp_path)
    raw = ["ffmpeg", "-v", "error", "-c:v", "libdav1d", "-i", "a.mkv", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    data = subprocess.run(raw, cwd=tmp_path, check=True, capture_output=True).stdout
    pictures = np.frombuffer(data, np.uint8).reshape(4, -1).astype(np.float64)
    luma, u = pictures[:, : 352 * 240], pictures[:, 352 * 240 : 352 * 240 * 5 // 4]
    assert luma.std(1).mean() == pytest.approx(np.interp(120, np.arange(8, 256, 16), MODEL.sigma), rel=0.06)
    assert u.std(1).mean() == pytest.approx(0.5 * luma.std(1).mean(), rel=0.12)


@pytest.mark.parametrize("text", ["", "filmgrn1", "filmgrn1\nE 0 9 1 7", "filmgrn1\nE 0 9 1 7 1\n\tp 9 9 9", "x" * 99])
def test_a_broken_table_gets_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tbl").write_text(text)
    with pytest.raises(CustomValueError, match="film-grain table"):
        import_table(tmp_path / "a.tbl")


def test_no_grain_is_not_signalled(tmp_path: Path) -> None:
    with pytest.raises(CustomValueError, match="nothing to signal"):
        export_table(dataclasses.replace(MODEL, sigma=(0.0,) * 16), tmp_path / "a.tbl")
    assert not list(tmp_path.iterdir())


def test_models_are_drawn_beside_each_other(tmp_path: Path) -> None:
    loud = dataclasses.replace(MODEL, sigma=(4.0,) * 16, groups=(dataclasses.replace(MODEL, shots=(3,)),))
    page, picture = draw([MODEL, loud], ["S01E01", "S01E02 <&>"], tmp_path / "grain.json")
    text = page.read_text(encoding="utf-8")
    assert "S01E02 &lt;&amp;&gt;" in text
    assert text.count("<path") >= 2 * (1 + 6) + 1, "a curve and six spectra each, and the group's"
    assert "nan" not in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CustomValueError, match="name for each"):
        draw([MODEL], [], tmp_path / "grain.html")


def test_the_commands(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "g.json")
    for words in (
        ["show", str(tmp_path / "g.json"), "-o", str(tmp_path / "page.html")],
        ["export", str(tmp_path / "g.json"), "--size", "1440x1080"],
        ["import", str(tmp_path / "g.tbl"), "--size", "1440x1080"],
    ):
        done = CliRunner().invoke(app, ["grain", *words])
        assert done.exit_code == 0, done.output
    assert load_grain(tmp_path / "g.grain.json").size == (1440, 1080)
    assert {path.name for path in tmp_path.iterdir()} == {"g.json", "g.tbl", "g.grain.json", "page.html", "page.png"}


def test_the_cost_is_taken_from_all_places_alike() -> None:
    seen = np.zeros((1080, 1440))
    for k in range(24):
        left, top = _tile(k, core.std.BlankClip(width=1440, height=1080, length=1), 720, 528)
        seen[top : top + 528, left : left + 720] += 1
    assert seen[seen > 0].min() == seen.max() == 6
    assert (seen == 0).mean() < 0.03


def test_what_grain_costs_is_told_before_the_encode(tmp_path: Path) -> None:
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=352, height=240, length=72, color=[90, 128, 128])
    ramp = ramp.akarin.Expr(["x X N + 0.3 * + Y 0.1 * +", ""])
    model = dataclasses.replace(MODEL, sigma=(3.0,) * 16)
    told = grain_cost(ramp, model, preset="fast", settings={"crf": 22}, samples=2, window=(352, 240))
    with (tmp_path / "a.y4m").open("wb") as file:
        add_grain(ramp, model).output(file, y4m=True)
    words = ["--preset", "superfast", "--crf", "22", "--aq-mode", "3", "--no-sao"]
    run(["x265", *words, tmp_path / "a.y4m", tmp_path / "a.hevc"], "test")
    taken = (tmp_path / "a.hevc").stat().st_size * 8 / (72 / float(ramp.fps))
    assert told.grained == pytest.approx(taken, rel=0.15)
    assert told.grain > 5 * told.without
    with pytest.raises(CustomValueError, match="4:2:0"):
        grain_cost(ramp.resize.Point(format=vs.YUV444P8), model)


def encoded(path: Path, *words: str) -> Path:
    """A second of moving noise as MPEG-2: 24 pictures at 24000/1001."""
    lavfi = ["-f", "lavfi", "-i", "testsrc2=s=352x240:r=24000/1001:d=1.0,noise=alls=20:allf=t"]
    run(["ffmpeg", "-v", "error", *lavfi, "-c:v", "mpeg2video", "-g", "12", "-bf", "2", *words, path], "test")
    return path


def coding_of(plan: Plan) -> Coding:
    """What is read of a disc that was coded so."""
    kinds, scales, fields = (
        np.repeat(values, 2) for values in (plan.kinds, plan.scales, [plan.interlaced] * len(plan.kinds))
    )
    return Coding(rate=4_500_000, kinds=kinds.astype(np.uint8), scales=scales.astype(np.float32), interlaced=fields)


@pytest.mark.parametrize(("words", "scale"), [((), 2), (("-non_linear_quant", "1", "-qmax", "28"), 1)])
def test_the_quantisers_of_a_stream_are_read(tmp_path: Path, words: tuple[str, ...], scale: int) -> None:
    coding = disc_coding(encoded(tmp_path / "a.m2v", "-q:v", "5", *words))
    assert coding is not None
    assert len(coding.kinds) == 2 * 24
    assert coding.kinds[0] == 1
    assert coding.scales_of((0, 1), [1, 3, 3, 2]) == pytest.approx([5 * scale] * 4)
    assert coding.rate == pytest.approx((tmp_path / "a.m2v").stat().st_size * 8 * 24 / 1.001 / 24, rel=0.01)


def test_each_shot_has_its_own_quantisers_in_any_container(tmp_path: Path) -> None:
    both = b"".join(encoded(tmp_path / f"{q}.m2v", "-q:v", str(q)).read_bytes() for q in (3, 8))
    (tmp_path / "both.m2v").write_bytes(both)
    run(["ffmpeg", "-v", "error", "-i", tmp_path / "both.m2v", "-c", "copy", tmp_path / "a.vob"], "test")
    for name in ("both.m2v", "a.vob"):
        coding = disc_coding(tmp_path / name)
        assert coding is not None
        assert coding.scales_of((0.0, 0.45), [1, 2, 3]) == pytest.approx([6] * 3)
        assert coding.scales_of((0.55, 1.0), [1, 2, 3]) == pytest.approx([16] * 3)


def test_what_is_no_mpeg_2_has_no_quantisers(tmp_path: Path) -> None:
    (tmp_path / "a.m2v").write_bytes(bytes(9999))
    lavfi = ["-f", "lavfi", "-i", "testsrc2=s=352x240:r=24:d=0.2"]
    run(["ffmpeg", "-v", "error", *lavfi, "-c:v", "libx264", tmp_path / "a.mkv"], "test")
    assert disc_coding(tmp_path / "a.m2v") is None
    assert disc_coding(tmp_path / "a.mkv") is None


def test_every_picture_is_coded_as_the_disc_has_it(tmp_path: Path) -> None:
    clip = core.bs.VideoSource(str(encoded(tmp_path / "a.m2v", "-q:v", "2")), cachemode=0)
    # A cut within, groups of several lengths, and one B picture instead of two.
    scales = [6.0, 12.0, 12.0, 8.0, 12.0, 12.0, 8.0, 5.0, 10.0, 10.0, 7.0, 8.0]
    plans = [Plan(kinds_of(12, [7, 10]), scales), Plan(kinds_of(12, [], 1), [float(k) for k in range(20, 8, -1)])]
    again = recoded(clip, [(0, 12), (12, 24)], plans, tmp_path)
    assert again.num_frames == 24
    assert min(psnr(clip, again)) > 27
    for k, (first, stop) in ((0, (0, 7)), (0, (7, 12)), (1, (0, 12))):
        coding = disc_coding(tmp_path / f"{k}_{first}.m2v")
        assert coding is not None
        assert coding.kinds[: 2 * (stop - first) : 2].tolist() == plans[k].kinds[first:stop]
        # Of scales between two that there are they take turns.
        assert coding.scales[: 2 * (stop - first) : 2] == pytest.approx(plans[k].scales[first:stop], abs=2.1)
        assert len(coding.kinds) == 2 * min(stop - first + 1, 12 - first)


def test_intra_pictures_are_measured_in_runs_from_the_one_before_on() -> None:
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=240)
    kinds = np.roll(np.tile(np.repeat(kinds_of(12), 2), 20), 10).astype(np.uint8)  # an I picture at 5, 17, 29, ...
    coding = Coding(rate=4_500_000, kinds=kinds, scales=np.full(480, 5, np.float32))
    found = film_runs(clip, None, 24, coding)
    assert len(found) >= 8
    assert all((run.first - 5) % 12 == 0 and run.chosen == (12,) and run.length == 16 for run in found)
    few = Coding(rate=4_500_000, kinds=kinds[:120], scales=coding.scales[:120])
    assert [run.length for run in film_runs(clip[:60], None, 24, few)] == [24, 24]  # five I pictures are too few
    # Of a disc without I pictures, of one without others, and where only the rate is known, pictures of all kinds.
    alike = [Coding(rate=4_500_000, kinds=np.full(480, kind, np.uint8), scales=coding.scales) for kind in (1, 2)]
    for known in (*alike, Coding(rate=4_500_000), None):
        assert [(run.length, len(run.chosen)) for run in film_runs(clip, None, 24, known)] == [(24, 6)] * 4


@pytest.mark.parametrize("begins", range(5))
def test_telecined_film_is_coded_frame_by_frame_as_the_tape_has_it(begins: int) -> None:
    """Wherever in 3:2 pulldown the disc's groups of pictures begin."""
    clip = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=240, fpsnum=24000, fpsden=1001)
    kinds = np.roll(np.tile([1, 3, 3, 2, 3, 3, 2, 3, 3, 2, 3, 3, 2, 3, 3], 20), begins).repeat(2).astype(np.uint8)
    scales = np.arange(300, dtype=np.float32).repeat(2)
    coding = Coding(rate=4_500_000, kinds=kinds, scales=scales, interlaced=np.ones(600, bool))
    whole = 0
    for shown in film_runs(clip, None, 24, coding):
        plan = _plan(clip, shown, coding)
        assert plan is not None and plan.interlaced
        first = int(plan.scales[0])
        assert kinds[2 * first] == 1 and (first - begins) % 15 == 0
        assert plan.kinds[:-1] == kinds[2 * first :: 2][: len(plan.kinds) - 1].tolist()
        assert plan.scales[:-1] == list(range(first, first + len(plan.kinds) - 1))
        assert len(plan.fields) == shown.length + 1
        tape = telecined(clip[shown.first : shown.first + shown.length], plan.fields)
        assert tape.num_frames == len(plan.kinds)
        (measured,) = shown.chosen
        intra = [plan.kinds[n // 2] == 1 for n in shown_fields(*plan.fields[measured : measured + 2])]
        # A third of the tape's frames hold fields of two pictures; with those in I pictures one field has to do.
        assert any(intra) if begins in (2, 3) else all(intra)
        whole += 1
    assert whole >= 3


def test_a_disc_coded_harder_is_taken_for_what_it_was(tmp_path: Path) -> None:
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=48, color=[90, 128, 128])
    ramp = ramp.akarin.Expr(["32 X 2 / N 3 * + 2 / +", ""])
    film = add_grain(ramp.resize.Point(format=vs.YUV420P16), dataclasses.replace(MODEL, sigma=(2.5,) * 16), seed=7)
    plan = Plan(kinds := kinds_of(48, range(0, 48, 6)), [(0.0, 6.0, 8.0, 11.0)[kind] for kind in kinds])
    disc = recoded(film.resize.Point(format=vs.YUV420P8), [(0, 48)], [plan], tmp_path)
    coding = coding_of(plan)
    plain, model = (measure_grain(disc, rate=coding, calibrate=calibrate) for calibrate in (False, True))
    seen = np.array(model.seen) > 0.02
    assert np.array(plain.sigma)[seen].mean() < 2.1
    assert np.array(model.sigma)[seen].mean() == pytest.approx(2.5, rel=0.1)
    assert max(plain.chroma) < 0.3
    assert model.chroma == pytest.approx(MODEL.chroma, rel=0.5)


def test_a_film_in_black_and_white_gets_no_grain_in_colour(tmp_path: Path) -> None:
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=48, color=[90, 128, 128])
    ramp = ramp.akarin.Expr(["32 X 2 / N 3 * + 2 / +", ""])
    film = add_grain(ramp.resize.Point(format=vs.YUV420P16), GrainModel(size=(704, 480), sigma=(2.5,) * 16), seed=7)
    plan = Plan(kinds_of(24), [6.0] * 24)
    disc = recoded(film[:24].resize.Point(format=vs.YUV420P8), [(0, 24)], [plan], tmp_path)
    assert measure_grain(disc, rate=coding_of(plan)).chroma == (0.0, 0.0)
    # The same on a tape, tinted: chroma that moves through the codes, but has no grain.
    sepia = film.akarin.Expr(["", "28000 X 4 * + N 100 * +", "34000 Y 2 * + N 50 * +"])
    plan = Plan(kinds_of(48, range(0, 48, 6)), [6.0] * 48)
    disc = recoded(sepia.resize.Point(format=vs.YUV420P8), [(0, 48)], [plan], tmp_path)
    assert max(measure_grain(disc, rate=coding_of(plan)).chroma) < 0.1


@pytest.mark.parametrize("radius", [0.5, 0.85])
def test_fine_and_coarse_grain_are_told_apart_behind_the_coding(tmp_path: Path, radius: float) -> None:
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=24, color=[90, 128, 128])
    ramp = ramp.akarin.Expr(["40 X 4 / N + +", ""]).resize.Point(format=vs.YUV420P16)
    film = add_grain(ramp, GrainModel(size=(704, 480), sigma=(2.5,) * 16, spectra=(gaussian_spectrum(radius),) * 3))
    plan = Plan(kinds := kinds_of(24), [(0.0, 4.0, 5.0, 7.0)[kind] for kind in kinds])
    disc = recoded(film.resize.Point(format=vs.YUV420P8), [(0, 24)], [plan], tmp_path)
    found = np.array(measure_grain(disc, rate=coding_of(plan)).spectra[1])
    near = [np.abs(np.sqrt(gaussian_spectrum(r)) - np.sqrt(found)).sum() for r in np.arange(0.3, 1.2, 0.01)]
    assert 0.3 + 0.01 * np.argmin(near) == pytest.approx(radius, abs=0.12)


def test_film_in_fields_comes_back_picture_by_picture(tmp_path: Path) -> None:
    clip = core.bs.VideoSource(str(encoded(tmp_path / "a.m2v", "-q:v", "2")), cachemode=0)[:17]
    plans = [Plan(kinds_of(13, []), [4.0] * 13, True, pulldown(10)), Plan(kinds_of(7), [4.0] * 7)]
    again = recoded(clip, [(0, 10), (10, 17)], plans, tmp_path)
    assert again.num_frames == 17
    assert min(psnr(clip, again)) > 34
    fields, frames = (disc_coding(tmp_path / f"{k}_0.m2v") for k in (0, 1))
    assert fields is not None and frames is not None
    assert fields.interlaced.tolist() == [True] * 26 and frames.interlaced.tolist() == [False] * 14
    assert fields.interlaced_in((0.0, 0.5)) and not frames.interlaced_in((0.0, 0.5))


def test_coding_in_fields_is_no_grain_of_fine_lines(tmp_path: Path) -> None:
    """Field coding leaves errors that alternate from line to line; grain as fine down as across is found as such."""
    ramp = core.std.BlankClip(format=vs.YUV420P8, width=352, height=240, length=24, color=[90, 128, 128])
    ramp = ramp.akarin.Expr(["32 X 2 / + Y 4 / +", ""]).std.AssumeFPS(fpsnum=24000, fpsden=1001)
    film = add_grain(ramp.resize.Point(format=vs.YUV420P16), dataclasses.replace(MODEL, sigma=(2.5,) * 16), seed=7)
    plan = Plan(kinds := kinds_of(30, [15]), [(0.0, 6.0, 8.0, 11.0)[kind] for kind in kinds], True, pulldown(24))
    disc = recoded(film.resize.Point(format=vs.YUV420P8), [(0, 24)], [plan], tmp_path)
    model = measure_grain(disc, rate=coding_of(plan))
    ends = [(10 * np.log10(np.array(table)[-1, 0] / np.array(table)[0, -1])) for table in model.spectra]
    assert max(np.abs(ends)) < 2.5, ends


def test_film_is_spread_over_fields_as_the_tape_has_it() -> None:
    """Any phase of 3:2 pulldown, and a picture of four fields: what is woven back is the film."""
    film = core.std.BlankClip(format=vs.YUV420P8, width=64, height=64, length=9, color=[0, 128, 128])
    film = film.akarin.Expr(["N 20 * Y 2 % +", ""])
    for phase in range(4):
        fields = np.array(pulldown(13)[phase:13])[:10]
        fields = fields - fields[0] // 2 * 2
        tape = telecined(film, fields.tolist())
        assert tape.num_frames == -(-fields[-1] // 2)
        again = woven(tape, fields.tolist())
        assert all(bytes(again.get_frame(n)[0]) == bytes(film.get_frame(n)[0]) for n in range(9))
    held = [0, 4, 6, 9, 11]
    tape = telecined(film[:4], held)
    assert [int(np.asarray(tape.get_frame(n)[0])[0, 0]) // 20 for n in range(6)] == [0, 0, 1, 2, 2, 3]
    again = woven(tape, held)
    assert all(bytes(again.get_frame(n)[0]) == bytes(film.get_frame(n)[0]) for n in range(4))
