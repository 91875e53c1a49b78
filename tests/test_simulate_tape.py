"""The simulator keeps its truth: every field shows what the truth says, and nothing repeats but for noise."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from hypothesis import given, settings
from hypothesis import strategies as st
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from vapoursynth import core

from ds9vs import plugins
from ds9vs.simulate import (
    RECIPES,
    Faults,
    Grain,
    Layer,
    Recipe,
    ShotSpec,
    TapeNoise,
    TapeSpec,
    Truth,
    add_faults,
    find_scenes,
    make_tape,
    plan_truth,
    recipe_spec,
    sample_footage,
    simulate,
)
from ds9vs.simulate.vfx import EFFECTS, KEYS, Image, draw, key, over

MAN = {"start": 76, "stop": 114}
DOME = {"start": 150, "stop": 186}
SCENES = [(0, 0, 40), (0, 76, 114), (0, 114, 150)]

QUIET = TapeSpec(
    shots=(
        ShotSpec(fields=13, layers=(Layer(**MAN, phase=1),)),
        ShotSpec(fields=6, layers=(Layer(kind="30p", **DOME, phase=1),)),
        ShotSpec(fields=5, layers=(Layer(kind="60i", **DOME),)),
        ShotSpec(fields=8, layers=(Layer(**MAN, phase=0), Layer(kind="60i", effect="ship"))),
        ShotSpec(fields=8, layers=(Layer(**MAN),), letterbox=16 / 9, fade="in", fade_fields=6),
        ShotSpec(fields=8, layers=(Layer(kind="60i", **DOME),), flip=4),
        ShotSpec(fields=10, layers=(Layer(**MAN, phase=0), Layer(**DOME, phase=3, key="dissolve")), dissolve=(3, 7)),
        ShotSpec(fields=10, layers=(Layer(**MAN, phase=0),), repeat=(4,), missing=(7,)),
    ),
    seed=5,
    noise=None,
)


def frames(path: Path, height: int = 480) -> tuple[np.ndarray, np.ndarray]:
    """Luma, and both chroma planes, of every frame, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    raw = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    raw = raw.reshape(-1, 720 * height * 3 // 2)
    return raw[:, : 720 * height].reshape(-1, height, 720), raw[:, 720 * height :].reshape(-1, 2, height // 2, 360)


def lines(luma: np.ndarray, field: int, tff: bool = True) -> np.ndarray:
    return luma[field // 2, int((field % 2 == 0) != tff) :: 2]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    folder = tmp_path_factory.mktemp("quiet")
    return folder, make_tape(QUIET, None, folder, show=False)


def test_every_field_is_the_lines_of_its_picture(quiet: tuple[Path, Truth]) -> None:
    folder, truth = quiet
    tape, _ = frames(folder / "tape.mkv")
    pictures, _ = frames(folder / "pictures.mkv")
    assert len(tape) == truth.spec.frames
    assert len(pictures) == truth.pictures
    for field, number in enumerate(truth.shown):
        assert np.array_equal(lines(tape, field), pictures[number, field % 2 :: 2]), f"field {field}"


def test_pictures_that_the_truth_tells_apart_differ(quiet: tuple[Path, Truth]) -> None:
    pictures, _ = frames(quiet[0] / "pictures.mkv")
    for a, b in pairwise(pictures):
        assert np.abs(a.astype(int) - b).mean() > 0.3


def test_chroma_of_a_field_is_its_own(quiet: tuple[Path, Truth]) -> None:
    """A field that repeats another has the same colour, whatever it is woven with."""
    folder, truth = quiet
    _, chroma = frames(folder / "tape.mkv")
    repeats = [f for f in range(len(truth.shown) - 2) if truth.shown[f] == truth.shown[f + 2]]
    assert len(repeats) > 4
    for f in repeats:
        assert np.array_equal(chroma[f // 2][:, f % 2 :: 2], chroma[f // 2 + 1][:, f % 2 :: 2])


def test_chroma_lies_where_mpeg2_puts_it(tmp_path: Path) -> None:
    """Line c of progressive chroma is at luma line 2c + 0.5; the lines of both fields together lie there too."""
    ramp = "color=s=704x480:r=24:d=0.1,format=yuv444p,geq=lum=128:cb=40.5+Y*0.36:cr=128"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", ramp, "-c:v", "ffv1", "-colorspace", "smpte170m"]
    subprocess.run([*command, tmp_path / "ramp.mkv"], check=True)
    # the noise dithers what is rounded
    spec = TapeSpec(shots=(ShotSpec(fields=2, layers=(Layer(step=0),)),), grain=None, noise=TapeNoise(), lowpass=0)
    make_tape(spec, tmp_path / "ramp.mkv", tmp_path, show=False)
    for name in ("pictures.mkv", "tape.mkv"):
        found = frames(tmp_path / name)[1][0, 0, 10:-10, 20:-20].mean(1)
        off = found - (40 + 0.36 * (2 * np.arange(10, 230) + 0.5))
        assert abs(off.mean()) < 0.36 * 0.3, "within a third of a line"
        assert abs(off[::2].mean() - off[1::2].mean()) < 0.36 * 0.3


def test_readers_see_an_interlaced_tape_and_progressive_pictures(quiet: tuple[Path, Truth]) -> None:
    tape = core.bs.VideoSource(quiet[0] / "tape.mkv", cachemode=0)
    assert tape.fps == Fraction(30000, 1001)
    with tape.get_frame(0) as frame:
        props = dict(frame.props)
    assert (props["_FieldBased"], props["_SARNum"], props["_SARDen"], props["_Matrix"]) == (2, 10, 11, 6)
    assert (props["_Primaries"], props["_Transfer"], props["_Range"], props["_ChromaLocation"]) == (6, 6, 0, 0)
    with core.bs.VideoSource(quiet[0] / "pictures.mkv", cachemode=0).get_frame(0) as frame:
        assert frame.props["_FieldBased"] == 0


def test_truth_of_each_kind_of_shot(quiet: tuple[Path, Truth]) -> None:
    rows = quiet[1].shots
    assert [(r.kind, r.lengths) for r in rows] == [
        ("film", "1323" + "22"),
        ("30p", "1221"),
        ("60i", "11111"),
        ("layered", "1" * 8),
        ("film", rows[4].lengths),
        ("60i", "1111"),
        ("60i", "1111"),
        ("film", "21"),
        ("layered", "1111"),
        ("film", rows[9].lengths),
        ("film", "24" + "13"),
    ]
    assert rows[3].base == "2321"
    assert rows[4].combed
    assert rows[4].notes == ("fade", "letterbox")
    assert [r.swapped for r in rows[5:7]] == [False, True]
    assert rows[6].slots == (5, 4, 7, 6)
    assert rows[8].notes == ("dissolve",)
    assert rows[10].notes == ("repeat", "missing")


def test_black_where_there_is_no_picture(quiet: tuple[Path, Truth]) -> None:
    folder, truth = quiet
    pictures, chroma = frames(folder / "pictures.mkv")
    assert (pictures[:, :, :7] == 16).all()
    assert (pictures[:, :, 713:] == 16).all()
    assert (chroma[:, :, :, :3] == 128).all()
    edge = pictures[:3].mean((0, 1))[6:20]
    assert edge[2] < edge[3] < edge[5], "the edge is a soft ramp"
    boxed = truth.shots[4].shown[-1]
    assert (pictures[boxed, :59] == 16).all()
    assert (pictures[boxed, 421:] == 16).all()
    assert pictures[boxed, 62:418, 20:700].mean() > 20


def test_the_same_spec_gives_the_same_bytes_on_any_number_of_threads(quiet: tuple[Path, Truth], tmp_path: Path) -> None:
    def hashes(folder: Path) -> list[str]:
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]

    make_tape(QUIET, None, tmp_path, threads=1, show=False)
    assert hashes(tmp_path) == hashes(quiet[0])
    assert len(hashes(tmp_path)) == 3


def test_repeats_differ_by_the_noise_of_the_tape_alone(tmp_path: Path) -> None:
    spec = TapeSpec(shots=(ShotSpec(fields=20, layers=(Layer(**MAN, phase=0),)),), noise=TapeNoise(luma=1.5), seed=2)
    truth = make_tape(spec, None, tmp_path, show=False)
    tape, _ = frames(tmp_path / "tape.mkv")
    pictures, _ = frames(tmp_path / "pictures.mkv")
    noise = []
    for field in range(18):
        off = lines(tape, field).astype(float) - pictures[truth.shown[field], field % 2 :: 2]
        assert 1.3 < off[:, 20:700].std() < 1.75
        assert abs(off.mean()) < 0.1
        noise.append(off[:, 20:700].ravel())
        if truth.shown[field] == truth.shown[field + 2]:
            apart = lines(tape, field).astype(float) - lines(tape, field + 2)
            assert 1.9 < apart[:, 20:700].std() < 2.4, "sqrt(2) of the noise"
    alike = np.corrcoef(noise) - np.eye(len(noise))
    assert np.abs(alike).max() < 0.06, "every field has noise of its own"


def test_grain_belongs_to_the_film_picture_and_follows_its_curve(tmp_path: Path) -> None:
    grain = Grain(curve=((0.0, 1.0), (0.5, 4.0), (1.0, 2.0)), size=0.0)
    still = Layer(start=80, step=0, zoom=1e-9, phase=0)
    spec = TapeSpec(shots=(ShotSpec(fields=50, layers=(still,)),), grain=grain, noise=None, lowpass=0, seed=1)
    truth = make_tape(spec, None, tmp_path, show=False)
    pictures, _ = frames(tmp_path / "pictures.mkv")
    inner = pictures[:, :, 24:696].astype(float)
    mean = inner.mean(0)
    for low, high in ((20, 40), (60, 80), (110, 130), (160, 180)):
        where = (mean > low) & (mean < high)
        found = np.sqrt(inner.var(0, ddof=1)[where].mean())
        wanted = np.mean([grain.sigma((v - 16) / 219) for v in mean[where][::50]])
        assert found == pytest.approx(wanted, rel=0.06)
    off = inner - mean
    neighbour = (off[0] * off[1]).mean() / (off[0].std() * off[1].std())
    assert abs(neighbour + 1 / (len(inner) - 1)) < 0.02, "grain of different pictures is independent"
    assert truth.pictures == len(truth.shots[0].lengths)


def test_a_camera_moves_by_parts_of_a_pixel(tmp_path: Path) -> None:
    pan = Layer(kind="60i", start=80, step=0, pan=(0.5 * 60000 / 1001, 0))
    spec = TapeSpec(shots=(ShotSpec(fields=6, layers=(pan,)),), noise=None, lowpass=0)
    make_tape(spec, None, tmp_path, show=False)
    pictures, _ = frames(tmp_path / "pictures.mkv")
    a, b, c = (pictures[n, 50:430, 100:600].astype(float) for n in (0, 2, 3))
    whole = np.abs(pictures[2, 50:430, 99:599].astype(float) - a).mean()
    assert whole < 0.8, "two fields on, the picture has moved by one pixel to the left"
    assert np.abs(b - a).mean() > 2 * whole
    on = np.roll(b, -1, 1)
    before, after = (np.abs(x - c)[:, 5:-5].mean() for x in (b, on))
    assert before == pytest.approx(after, rel=0.2), "a field on, it is half a pixel further"
    assert np.abs((b + on) / 2 - c)[:, 5:-5].mean() < 0.8 * before


@pytest.mark.parametrize("tff", [True, False])
def test_pal_and_field_order(tff: bool, tmp_path: Path) -> None:
    film = Layer(**MAN, pattern="2:2", phase=1)
    spec = TapeSpec(shots=(ShotSpec(fields=8, layers=(film,)),), standard="pal", tff=tff, noise=None)
    truth = make_tape(spec, None, tmp_path, show=False)
    tape, _ = frames(tmp_path / "tape.mkv", 576)
    pictures, _ = frames(tmp_path / "pictures.mkv", 576)
    assert truth.shots[0].lengths == "12221"
    for field, number in enumerate(truth.shown):
        bottom = int((field % 2 == 0) != tff)
        assert np.array_equal(lines(tape, field, tff), pictures[number, bottom::2])
    with core.bs.VideoSource(tmp_path / "tape.mkv", cachemode=0).get_frame(0) as frame:
        assert (frame.props["_FieldBased"], frame.props["_SARNum"], frame.props["_Matrix"]) == (1 + tff, 12, 5)


@st.composite
def tape_plans(draw_: st.DrawFn) -> TapeSpec:
    shots = []
    for _ in range(draw_(st.integers(1, 4))):
        kind = draw_(st.sampled_from(["film", "30p", "60i"]))
        fields = draw_(st.integers(1, 40))
        layers = []
        for _ in range(draw_(st.integers(1, 3))):
            made = Layer(
                kind=draw_(st.sampled_from(["film", "30p", "60i", kind])),
                pattern=draw_(st.sampled_from(["2:3", "2:3:3:2", "2:2"])),
                speed=draw_(st.sampled_from([1.0, 1.0, 0.5, 0.4])),
                step=draw_(st.sampled_from([0.0, 1.0])),
            )
            layers.append(made)
        places = st.lists(st.integers(1, max(1, fields - 1)), max_size=1 if fields > 1 else 0)
        shots.append(
            ShotSpec(
                fields=fields,
                layers=tuple(layers),
                fade=draw_(st.sampled_from(["", "in", "out"])),
                repeat=tuple(draw_(places)),
                missing=tuple(draw_(places)),
            )
        )
    if sum(shot.fields for shot in shots) % 2:
        shots.append(ShotSpec(fields=1))
    return TapeSpec(shots=tuple(shots), seed=draw_(st.integers(0, 99)))


@settings(max_examples=120)
@given(tape_plans())
def test_truth_makes_a_valid_cadence_whose_pictures_are_whole(spec: TapeSpec) -> None:
    truth = plan_truth(spec)
    cadence = truth.cadence()
    assert len(truth.shown) == 2 * cadence.tape.frames == spec.fields
    assert set(np.diff(truth.shown).tolist()) <= {0, 1}
    assert len(truth.references()) == len(cadence)
    for n in range(len(cadence)):
        picture = cadence.picture(n)
        shown = truth.shown[picture.first : picture.stop]
        assert picture.combed == (len(set(shown.tolist())) > 1)
        row = truth.shots[picture.shot]
        if picture.kind == "film" and not row.notes:
            inside = slice(picture.first - row.first, picture.stop - row.first)
            assert len({ids[inside] == ids[inside][:1] * (picture.stop - picture.first) for ids in row.layers}) == 1


def test_phases_left_open_are_uniform_and_follow_the_seed() -> None:
    spec = TapeSpec(shots=(ShotSpec(fields=10),) * 500)
    starts = [shot.lengths[:3] for shot in plan_truth(spec).shots]
    counts = [starts.count(start) for start in ("232", "132", "323", "223", "123")]
    assert sum(counts) == 500
    assert min(counts) > 70
    assert plan_truth(spec) == plan_truth(spec)
    assert plan_truth(replace(spec, seed=1)).shots != plan_truth(spec).shots


def test_truth_survives_its_file_and_refuses_others(quiet: tuple[Path, Truth], tmp_path: Path) -> None:
    folder, truth = quiet
    assert Truth.load(folder / "truth.json") == truth
    text = (folder / "truth.json").read_text()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    with pytest.raises(CustomValueError, match="truncated"):
        Truth.load(tmp_path / "cut.json")
    (tmp_path / "new.json").write_text(json.dumps({**json.loads(text), "ds9vs_truth": 99}))
    with pytest.raises(CustomValueError, match="version 99"):
        Truth.load(tmp_path / "new.json")
    with pytest.raises(FileWasNotFoundError):
        Truth.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Layer(kind="24p"), "film, 30p or 60i"),
        (lambda: Layer(pattern="2-3"), "like"),
        (lambda: Layer(phase=5), "0 to 4"),
        (lambda: Layer(effect="dragon"), "stars"),
        (lambda: Layer(key="hole"), "window"),
        (lambda: Layer(start=5, stop=5), "after the start"),
        (lambda: Layer(speed=2), "slow motion"),
        (lambda: ShotSpec(fields=0), "at least 1 field"),
        (lambda: ShotSpec(fields=9, layers=()), "1 to 4 layers"),
        (lambda: ShotSpec(fields=9, repeat=(9,)), "no place 9"),
        (lambda: ShotSpec(fields=9, dissolve=(2, 5)), "key"),
        (lambda: TapeSpec(shots=(ShotSpec(fields=9),)), "even number"),
        (lambda: TapeSpec(shots=()), "at least one shot"),
        (lambda: TapeSpec(shots=(ShotSpec(fields=10, flip=3),)), "must be even"),
        (lambda: TapeSpec(shots=(ShotSpec(fields=10),), standard="secam"), "ntsc"),
        (lambda: Grain(curve=()), "points"),
        (lambda: TapeNoise(luma=-1), "not be negative"),
        (lambda: Faults(dot_crawl=2), "0 to 1"),
        (lambda: recipe_spec("soup", SCENES), "hybrid"),
        (lambda: recipe_spec("hybrid", []), "no scene"),
        (lambda: recipe_spec(Recipe(film=0.5), SCENES), "sum to 1"),
        (lambda: recipe_spec("hybrid", SCENES, seconds=0), "at least 1 second"),
        (lambda: draw("dragon", 0, 8, 8), "stars"),
        (lambda: key("hole", 0, 0, 8, 8), "window"),
    ],
)
def test_a_wrong_description_is_one_clear_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(CustomValueError, match=words):
        make()


def test_wrong_footage_is_one_clear_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    text = tmp_path / "text.mkv"
    text.write_text("no video")
    out = tmp_path / "out"
    late = TapeSpec(shots=(ShotSpec(fields=4, layers=(Layer(start=900),)),))
    second = TapeSpec(shots=(ShotSpec(fields=4, layers=(Layer(clip=1),)),))
    with pytest.raises(CustomValueError, match="which has 300"):
        make_tape(late, None, out, show=False)
    with pytest.raises(CustomValueError, match="1 were given"):
        make_tape(second, None, out, show=False)
    with pytest.raises(FileWasNotFoundError):
        make_tape(late, tmp_path / "none.mkv", out, show=False)
    with pytest.raises(CustomRuntimeError):
        make_tape(late, text, out, show=False)
    assert not out.exists() or not list(out.iterdir())


def test_footage_of_another_shape_is_cropped_never_stretched(tmp_path: Path) -> None:
    """A circle in a wide file of square samples stays one on 10:11 samples."""
    source = tmp_path / "wide.mkv"
    circle = "geq=lum='if(lt(hypot(X-400,Y-150),100),220,30)':cb=128:cr=128"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=s=800x300:r=24:d=0.1,{circle}"]
    subprocess.run([*command, "-c:v", "ffv1", source], check=True)
    spec = TapeSpec(shots=(ShotSpec(fields=2, layers=(Layer(step=0),)),), grain=None, noise=None)
    make_tape(spec, source, tmp_path / "out", show=False)
    picture = frames(tmp_path / "out" / "pictures.mkv")[0][0]
    wide, high = (picture[240] > 128).sum() * 10 / 11, (picture[:, 360] > 128).sum()
    assert wide == pytest.approx(high, rel=0.02)
    assert high == pytest.approx(480 * 200 / 300, rel=0.02)


# --- effects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", EFFECTS)
def test_effects_move_and_repeat_themselves_exactly(effect: str) -> None:
    a, again, later = (draw(effect, t, 352, 240, seed=3) for t in (1.0, 1.0, 1.0 + 1 / 60))
    assert all(np.array_equal(x, y) for x, y in zip(a, again, strict=True))
    assert a.alpha.min() >= 0
    assert 0.2 < a.alpha.max() <= 1
    grey = Image(*(np.full((240, w), 128, np.float32) for w in (352, 176, 176)))
    assert np.abs(over(grey, a).y - over(grey, later).y).max() > 0.5
    assert all(np.isfinite(plane).all() and plane.min() >= 0 and plane.max() <= 255 for plane in over(grey, a))


@pytest.mark.parametrize("name", KEYS)
def test_keys_cover_between_nothing_and_all(name: str) -> None:
    matte = key(name, 0.7, 0.5, 352, 240)
    assert matte.shape == (240, 352)
    assert 0 <= matte.min() <= matte.max() <= 1
    assert 0.05 < matte.mean() < 0.95


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worn(quiet: tuple[Path, Truth]) -> vs.VideoNode:
    clip = core.bs.VideoSource(quiet[0] / "tape.mkv", cachemode=0)
    return core.std.Splice([clip[n] for n in range(6)])


FAULTS = {
    "dot_crawl": (Faults(dot_crawl=1), [0]),
    "rainbow": (Faults(rainbow=1), [1, 2]),
    "chroma_shift": (Faults(chroma_shift=(2.5, 1)), [1, 2]),
    "head_switching": (Faults(head_switching=4), [0, 1, 2]),
    "softness": (Faults(softness=1), [0]),
    "ringing": (Faults(ringing=0.3), [0]),
    "chroma_upsampling": (Faults(chroma_upsampling=1), [1, 2]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_touches_its_planes_alone(name: str, worn: vs.VideoNode) -> None:
    faults, planes = FAULTS[name]
    assert faults
    out = add_faults(worn, faults)
    assert (out.format, out.width, out.height, out.num_frames, out.fps) == (
        worn.format,
        worn.width,
        worn.height,
        worn.num_frames,
        worn.fps,
    )
    with out.get_frame(3) as a, worn.get_frame(3) as b:
        assert dict(a.props) == dict(b.props)
        changed = [p for p in range(3) if not np.array_equal(a[p], b[p])]
    assert changed == planes


def test_faults_are_pure(worn: vs.VideoNode, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    every = Faults(
        dot_crawl=0.7,
        rainbow=0.7,
        chroma_shift=(1, 0.5),
        head_switching=4,
        softness=0.6,
        ringing=0.1,
        chroma_upsampling=0.5,
    )
    assert_pure(lambda: add_faults(worn, every))


def test_composite_faults_keep_the_picture_in_place(worn: vs.VideoNode) -> None:
    out = add_faults(worn, Faults(dot_crawl=1, rainbow=1))
    with out.get_frame(2) as a, worn.get_frame(2) as b:
        y, x = np.asarray(a[0]).astype(float), np.asarray(b[0]).astype(float)
    off = {s: np.abs(np.roll(y, s, 1) - x)[:, 30:690].mean() for s in (-2, -1, 0, 1, 2)}
    assert min(off, key=lambda s: off[s]) == 0
    assert 0.2 < off[0] < 6


def test_chroma_moves_the_way_the_shift_says(worn: vs.VideoNode) -> None:
    out = add_faults(worn, Faults(chroma_shift=(4, 4)))
    with out.get_frame(2) as a, worn.get_frame(2) as b:
        moved, was = np.asarray(a[1])[20:220, 20:340], np.asarray(b[1])[18:218, 18:338]
    assert np.abs(moved.astype(float) - was).mean() < 0.3


def test_faults_leave_truth_alone_and_zero_is_nothing(quiet: tuple[Path, Truth], tmp_path: Path) -> None:
    spec = TapeSpec(shots=(ShotSpec(fields=6, layers=(Layer(**MAN),)),))
    plain, none, faulty = tmp_path / "plain", tmp_path / "none", tmp_path / "faulty"
    make_tape(spec, None, plain, show=False)
    make_tape(spec, None, none, faults=Faults(), show=False)
    make_tape(spec, None, faulty, faults=Faults(head_switching=6), show=False)
    assert (none / "tape.mkv").read_bytes() == (plain / "tape.mkv").read_bytes()
    assert (faulty / "pictures.mkv").read_bytes() == (plain / "pictures.mkv").read_bytes()
    a, b = frames(faulty / "tape.mkv")[0], frames(plain / "tape.mkv")[0]
    assert np.array_equal(a[:, :460], b[:, :460])
    assert not np.array_equal(a, b)


def test_faults_refuse_what_is_no_tape(worn: vs.VideoNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CustomValueError, match="YUV420P8"):
        add_faults(worn.resize.Bicubic(format=vs.YUV422P8), Faults(softness=1))
    with pytest.raises(CustomValueError, match="480, 486 or 576"):
        add_faults(worn.std.Crop(bottom=80), Faults(rainbow=1))
    with pytest.raises(CustomValueError, match="field comes first"):
        add_faults(worn.std.SetFieldBased(0), Faults(head_switching=1))
    monkeypatch.setattr(plugins, "_function", lambda name: None)
    with pytest.raises(CustomRuntimeError, match="vapoursynth-composite"):
        add_faults(worn, Faults(rainbow=1))


# --- recipes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_keep_their_shares_and_length(name: str) -> None:
    recipe = RECIPES[name]
    spec = recipe_spec(name, SCENES, seconds=60, seed=4)
    assert spec.frames == int(60 * spec.fps)
    assert recipe_spec(name, SCENES, seconds=60, seed=4) == spec
    assert recipe_spec(name, SCENES, seconds=60, seed=5) != spec
    truth = plan_truth(spec)
    share = dict.fromkeys(("film", "30p", "60i", "layered"), 0)
    for row in truth.shots:
        share[row.kind] += row.stop - row.first
    for kind, wanted in zip(share, (recipe.film, recipe.p30, recipe.i60, recipe.layered), strict=True):
        assert share[kind] / spec.fields == pytest.approx(wanted, abs=0.05)


def test_cuts_fall_on_any_field_and_shots_are_as_long_as_real_ones() -> None:
    spec = recipe_spec("hybrid", SCENES, seconds=3600, seed=1)
    at = np.cumsum([shot.fields for shot in spec.shots])
    assert 0.4 < (at % 2).mean() < 0.6
    low, median = np.percentile([shot.fields / 2 for shot in spec.shots], [10, 50])
    assert 75 < median < 100
    assert 22 < low < 42


def test_simulate_makes_a_tape_that_its_truth_describes(tmp_path: Path) -> None:
    made = simulate(None, tmp_path / "a", recipe="busy", seconds=1.5, seed=3, disc=False, show=False)
    tape, _ = frames(made.tape)
    pictures, _ = frames(made.pictures)
    assert len(tape) == 44
    for field, number in enumerate(made.truth.shown):
        off = lines(tape, field).astype(float) - pictures[number, field % 2 :: 2]
        assert off.std() < 1.1, f"field {field} is not its picture"
    assert made.disc is None


def test_simulate_never_replaces_what_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    (tmp_path / "disc" / "holiday.jpg").write_text("mine")
    with pytest.raises(CustomValueError, match="no simulated disc"):
        simulate(None, tmp_path, recipe="film", seconds=1, show=False)
    assert (tmp_path / "disc" / "holiday.jpg").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_simulate_ends_with_a_disc(tmp_path: Path) -> None:
    made = simulate(None, tmp_path, recipe="film", seconds=1, show=False, iso=False)
    assert made.disc is not None
    assert (made.disc.video_ts / "VTS_01_1.VOB").stat().st_size > 100_000


def test_scenes_of_the_sample_are_its_cuts() -> None:
    assert [a for a, _ in find_scenes(sample_footage())] == [0, 40, 76, 114, 150, 186, 212, 246, 280]
