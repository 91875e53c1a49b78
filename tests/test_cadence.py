"""Cadence: fields are grouped rightly, exactly where it can be; work is kept, maps are guarded, errors are clear."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs import plugins
from ds9vs.cadence import Cadence, Shot, Tape, analyse, content_hash, load_cadence, measure
from ds9vs.cadence.measure import CHUNK, VERSION, Evidence, Grids, measure_fields
from ds9vs.cadence.solve import solve_cadence
from ds9vs.files import run
from ds9vs.shots.label import label
from ds9vs.simulate import Layer, ShotSpec, TapeSpec, make_tape

WIDTH, HEIGHT = 320, 240
type Picture = NDArray[np.float32]
type Scene = Callable[[float], Picture]


def texture(seed: int, contrast: float = 40, level: float = 110) -> Picture:
    """A large picture with detail of every size."""
    rng = np.random.default_rng(seed)
    total = np.zeros((720, 960), np.float32)
    for size in (6, 12, 24, 60):
        small = rng.standard_normal((720 // size, 960 // size)).astype(np.float32)
        total += np.kron(small, np.ones((size, size), np.float32))
    kernel = np.ones(3, np.float32) / 3
    for axis in (0, 1):
        total = np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), axis, total).astype(np.float32)
    return level + contrast * total / 2


def pan(seed: int, speed: float = 3.0, **look: float) -> Scene:
    """A camera that moves over a texture, `speed` samples a field, a third as fast downward."""
    picture = texture(seed, **look)

    def at(time: float) -> Picture:
        x, y = 20 + speed * time, 20 + speed * time / 3
        x, y = x % 600, y % 440
        i, j = int(y), int(x)
        f, g = y - i, x - j
        part = picture[i : i + HEIGHT + 1, j : j + WIDTH + 1]
        rows = (1 - f) * part[:-1] + f * part[1:]
        return np.asarray((1 - g) * rows[:, :-1] + g * rows[:, 1:], np.float32)

    return at


def film(scene: Scene, phase: int, fields: int) -> list[Picture]:
    """Fields of a scene shot at 24 and pulled down, from a place of the 2:3 pattern on; whole pictures, one a field."""
    number = [2 * (k // 5) + (k % 5 >= 2) for k in range(phase, phase + fields)]
    made = {n: scene(2.5 * n) for n in set(number)}
    return [made[n] for n in number]


def video(scene: Scene, fields: int, hold: int = 1, phase: int = 0) -> list[Picture]:
    """Fields of a scene shot at the field rate, or with hold=2 at the frame rate."""
    return [scene(hold * ((k + phase) // hold)) for k in range(fields)]


def weave(pictures: Sequence[Picture], tff: bool = True, noise: float = 1.0) -> vs.VideoNode:
    """A tape that shows each picture for one field, with noise that is new in every field."""
    rng = np.random.default_rng(5)
    frames = []
    for n in range(len(pictures) // 2):
        frame = np.empty((HEIGHT, WIDTH), np.float32)
        frame[int(not tff) :: 2] = pictures[2 * n][int(not tff) :: 2]
        frame[int(tff) :: 2] = pictures[2 * n + 1][int(tff) :: 2]
        frame += rng.standard_normal(frame.shape).astype(np.float32) * noise
        frames.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    blank = core.std.BlankClip(
        width=WIDTH, height=HEIGHT, format=vs.GRAY8, length=len(frames), fpsnum=30000, fpsden=1001, keep=True
    )

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), frames[n])
        return out

    return blank.std.ModifyFrame(blank, fill).std.SetFieldBased(2 if tff else 1)


def pulldown(phase: int, fields: int) -> str:
    """Lengths of the pictures of such a stretch."""
    starts = [k for k in range(fields) if k == 0 or (k + phase) % 5 in (0, 2)]
    return "".join(str(b - a) for a, b in zip(starts, [*starts[1:], fields], strict=True))


def solved(tape: vs.VideoNode, folder: Path) -> Cadence:
    return analyse(tape, cache=folder, progress=False)


@pytest.mark.parametrize("phase", range(5))
def test_film_of_every_phase_is_solved_exactly(phase: int, tmp_path: Path) -> None:
    cadence = solved(weave(film(pan(1), phase, 80)), tmp_path)
    (shot,) = cadence.shots
    assert (shot.kind, shot.lengths, shot.combed) == ("film", pulldown(phase, 80), ())
    assert shot.confidence > 0.99
    assert len(shot.quality) == len(shot.lengths)


@pytest.mark.parametrize(
    ("pictures", "kind", "lengths"),
    [
        (lambda: video(pan(2), 80), "60i", "1" * 80),
        (lambda: video(pan(2), 80, hold=2), "30p", "2" * 40),
        (lambda: video(pan(2), 80, hold=2, phase=1), "30p", "1" + "2" * 39 + "1"),
        (lambda: video(pan(3, speed=1.5, contrast=7, level=28), 80), "60i", "1" * 80),
        (lambda: film(pan(3, speed=1.5, contrast=7, level=28), 2, 80), "film", pulldown(2, 80)),
    ],
    ids=["60i", "30p", "30p shifted by a field", "dark noisy 60i", "dark noisy film"],
)
def test_each_cadence_is_found(pictures: Callable[[], list[Picture]], kind: str, lengths: str, tmp_path: Path) -> None:
    (shot,) = solved(weave(pictures(), noise=2), tmp_path).shots
    assert (shot.kind, shot.lengths) == (kind, lengths)


def test_bottom_field_first_is_as_good(tmp_path: Path) -> None:
    (shot,) = solved(weave(film(pan(1), 3, 80), tff=False), tmp_path).shots
    assert (shot.kind, shot.lengths) == ("film", pulldown(3, 80))


def test_a_cut_breaks_the_pattern_and_leaves_orphans(tmp_path: Path) -> None:
    parts = [film(pan(1), 0, 43), film(pan(6, level=130), 3, 41), video(pan(7, level=90), 36)]
    cadence = solved(weave([p for part in parts for p in part]), tmp_path)
    assert [(s.first, s.stop, s.kind, s.lengths) for s in cadence.shots] == [
        (0, 43, "film", pulldown(0, 43)),
        (43, 84, "film", pulldown(3, 41)),
        (84, 120, "60i", "1" * 36),
    ]
    assert cadence.shots[0].lengths.endswith("1"), "the orphan before the cut is a picture of its own"


def test_a_still_stays_with_its_neighbours(tmp_path: Path) -> None:
    one = pan(8, level=140)(0)
    cadence = solved(weave(film(pan(1), 0, 50) + [one] * 40 + film(pan(9), 0, 50)), tmp_path)
    assert {s.kind for s in cadence.shots} == {"film"}
    assert any("still" in s.notes and s.first <= 50 and s.stop >= 88 for s in cadence.shots)


def test_a_layer_at_another_rate_is_seen_and_the_background_keeps_its_pulldown(tmp_path: Path) -> None:
    back, front = film(pan(1), 1, 120), video(pan(4, speed=4), 120)
    for k, (picture, over) in enumerate(zip(back, front, strict=True)):
        picture = back[k] = picture.copy()
        picture[60:180, 40:150] = over[60:180, 40:150]
    (shot,) = solved(weave(back), tmp_path).shots
    assert (shot.kind, shot.base, shot.lengths) == ("layered", pulldown(1, 120), "1" * 120)


def test_a_fade_made_on_video_is_still_film_and_its_pictures_are_called_combed(tmp_path: Path) -> None:
    pictures = film(pan(1), 0, 120)
    faded = [16 + (p - 16) * min(1, (120 - k) / 60) for k, p in enumerate(pictures)]
    cadence = solved(weave(faded), tmp_path)
    assert {s.kind for s in cadence.shots} == {"film"}
    assert "".join(s.lengths for s in cadence.shots) == pulldown(0, 120)
    shot = cadence.shots[-1]
    assert "fade" in shot.notes
    first = int(cadence.shot_firsts[-2])
    in_fade = [first + n for n in shot.combed if cadence.firsts[first + n] >= 60]
    assert len(in_fade) > 20
    assert not any(cadence.firsts[first + n + 1] < 40 for n in shot.combed), "before the fade nothing combs"


def test_a_tape_of_wrong_field_order_is_refused_with_what_to_type(tmp_path: Path) -> None:
    for made, said in ((film(pan(1), 0, 120), 1), (video(pan(2), 120), 1), (film(pan(1, speed=0.7), 3, 120), 1)):
        tape = weave(made).std.SetFieldBased(said)
        with pytest.raises(CustomValueError, match="tff=True"):
            solved(tape, tmp_path)


def test_the_same_tape_gives_the_same_map_and_the_second_time_only_solves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = weave(film(pan(1), 0, 60) + video(pan(2), 60))
    first = analyse(tape, save=tmp_path / "a.json", progress=False)
    assert (tmp_path / "ds9vs-cache").is_dir(), "the evidence lies beside the map"
    monkeypatch.setattr(measure, "atomic", lambda *_: pytest.fail("measured again"))
    second = analyse(tape, cache=tmp_path / "ds9vs-cache", progress=False)
    assert first == second == load_cadence(tmp_path / "a.json", tape) == load_cadence(tmp_path / "a.json")


def test_analysis_uses_the_users_cache_when_no_folder_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds9vs.cadence.user_cache", lambda: tmp_path / "mine")
    analyse(weave(film(pan(1), 0, 20)), progress=False)
    assert list((tmp_path / "mine").glob("*/*.npz"))


def grids_of(evidence: Evidence) -> list[bytes]:
    grids = evidence.read(0, evidence.fields)
    return [getattr(grids, name).tobytes() for name in Grids.__slots__]


def test_a_killed_measurement_goes_on_and_gives_the_same_evidence(tmp_path: Path) -> None:
    script = f"""
import vapoursynth as vs
from ds9vs.cadence.measure import measure_fields
tape = vs.core.std.BlankClip(width=64, height=64, length={2 * CHUNK}, format=vs.GRAY8, fpsnum=30000, fpsden=1001)
tape = tape.noise.Add(var=300, seed=1).std.SetFieldBased(2)
measure_fields(tape, cache={str(tmp_path / "killed")!r}, show_progress=False)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 40
    while not list((tmp_path / "killed").glob("*/00000.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = list((tmp_path / "killed").glob("*/0*.npz"))
    assert 1 <= len(written) < 4, "the process was killed in its midst"
    tape = core.std.BlankClip(
        width=64, height=64, length=2 * CHUNK, format=vs.GRAY8, fpsnum=30000, fpsden=1001
    ).noise.Add(var=300, seed=1).std.SetFieldBased(2)  # fmt: skip
    stamps = {path: path.stat().st_mtime_ns for path in written}
    resumed = measure_fields(tape, cache=tmp_path / "killed", show_progress=False)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "what was done is not done again"
    assert grids_of(resumed) == grids_of(measure_fields(tape, cache=tmp_path / "whole", show_progress=False))


def test_a_truncated_cache_file_is_measured_again(tmp_path: Path) -> None:
    tape = weave(film(pan(1), 0, 40))
    evidence = measure_fields(tape, cache=tmp_path, show_progress=False)
    before = grids_of(evidence)
    (path,) = tmp_path.glob("*/*.npz")
    path.write_bytes(path.read_bytes()[:2000])
    assert grids_of(measure_fields(tape, cache=tmp_path, show_progress=False)) == before
    path.write_bytes(b"")
    with pytest.raises(CustomRuntimeError, match="analyse again"):
        evidence.read(0, 10)


def long_evidence(folder: Path, chunks: int) -> Evidence:
    """Evidence of a long hybrid tape of 300 blocks a field: five pulldown phases and 60i by turns, cuts between."""
    rng = np.random.default_rng(0)
    slope_of = {"film": [-1, 1, -1, 0, 1], "60i": [0]}
    folder.mkdir()
    at = 0
    for chunk in range(chunks):
        rho, d, luma = (np.empty((CHUNK, 300), np.float32) for _ in range(3))
        for first in range(0, CHUNK, 160):
            pattern = slope_of["60i" if (at // 160) % 5 == 4 else "film"]
            level = rng.uniform(60, 180, 300)
            for k in range(first, first + 160):
                place = (k + at // 160) % len(pattern)
                middle = len(pattern) == 5 and place == 3
                rho[k] = 0 if middle else 0.9 * pattern[place]
                d[k] = 1 if middle else 40
                luma[k] = level
            d[first] = d[first + 159] = 900
            rho[first], rho[first + 159] = -0.95, 0.95
            at += 160
        noisy = np.clip(rho + 0.08 * rng.standard_normal(rho.shape), -1, 1)
        code = np.rint(10 * np.log2(d * 64 * np.exp(0.3 * rng.standard_normal(d.shape)))).clip(0, 255)
        grids = Grids(
            np.rint(127 * noisy).astype(np.int8), code.astype(np.uint8), code.astype(np.uint8), luma.astype(np.uint8),
            luma.mean(1), np.zeros(len(luma), bool),
        )  # fmt: skip
        np.savez(folder / f"{chunk:05d}.npz", version=VERSION, **{n: getattr(grids, n) for n in Grids.__slots__})
    return Evidence(folder=folder, fields=chunks * CHUNK, fps=(30000, 1001), tff=True, content="")


def test_a_long_tape_is_solved_in_flat_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # else what threads hold at once is left to chance
    solve_cadence(long_evidence(tmp_path / "warm", 1))
    peaks = []
    for chunks in (3, 9):
        evidence = long_evidence(tmp_path / str(chunks), chunks)
        tracemalloc.start()
        cadence = solve_cadence(evidence)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(cadence.shots) == chunks * CHUNK // 160
        assert [s.kind for s in cadence.shots[:5]] == ["film"] * 4 + ["60i"]
    assert peaks[1] - peaks[0] < 6 * CHUNK * 900, "some hundred bytes a field, not the evidence itself"


def test_maps_are_guarded(tmp_path: Path) -> None:
    tape = weave(film(pan(1), 0, 40))
    path = tmp_path / "S01E01.cadence.json"
    with pytest.raises(FileWasNotFoundError, match=r"ds9vs analyse <source> -o .*S01E01\.cadence\.json"):
        load_cadence(path, tape)
    analyse(tape, save=path, progress=False)
    assert load_cadence(path, tape).tape.content == content_hash(tape)
    with pytest.raises(CustomValueError, match=r"another tape.*ds9vs analyse"):
        load_cadence(path, weave(film(pan(2), 0, 40)))
    with pytest.raises(CustomValueError, match="20 frames, this has 19"):
        load_cadence(path, tape[1:])
    with pytest.raises(CustomValueError, match="top field first"):
        load_cadence(path, tape.std.SetFieldBased(1))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(CustomValueError, match="truncated"):
        load_cadence(path)
    path.write_text(json.dumps(json.loads(whole) | {"ds9vs_cadence": 99}))
    with pytest.raises(CustomValueError, match="version 99"):
        load_cadence(path)
    table = json.loads(whole)
    table["shots"][0]["stop"] += 2
    path.write_text(json.dumps(table))
    with pytest.raises(CustomValueError):
        load_cadence(path)


def blank(**options: object) -> vs.VideoNode:
    settings = {"width": 64, "height": 64, "length": 4, "format": vs.YUV420P8, "fpsnum": 30000, "fpsden": 1001}
    return core.std.BlankClip(**(settings | options))


@pytest.mark.parametrize(
    ("tape", "sentence"),
    [
        (lambda: blank().std.SetFieldBased(0), r"progressive.*SetFieldBased\(2\)"),
        (lambda: blank().std.RemoveFrameProps("_FieldBased"), "which field comes first"),
        (lambda: blank(fpsnum=24000).std.SetFieldBased(2), "23.976 frames a second"),
        (lambda: blank(fpsnum=60000).std.SetFieldBased(2), "59.940 frames a second"),
        (lambda: blank().std.AssumeFPS(fpsnum=25) + blank(), "variable frame rate"),
        (lambda: blank(format=vs.YUV444PS).std.SetFieldBased(2), "YUV444PS"),
        (lambda: blank(format=vs.RGB24).std.SetFieldBased(2), "RGB24"),
        (lambda: blank(height=32).std.SetFieldBased(2), "64x32"),
        (lambda: core.std.Splice([blank(), blank(width=80)], mismatch=True), "variable format or size"),
    ],
)
def test_what_is_no_tape_is_refused_in_a_sentence(
    tape: Callable[[], vs.VideoNode], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CustomValueError, match=sentence):
        analyse(tape(), cache=tmp_path / "c", progress=False)
    assert not (tmp_path / "c").exists(), "nothing is left behind"


@pytest.mark.parametrize("form", [vs.YUV420P8, vs.YUV422P10, vs.YUV444P16, vs.GRAY8, vs.GRAY16])
def test_a_tape_of_one_frame_and_of_any_integer_depth_is_solved(form: int, tmp_path: Path) -> None:
    cadence = solved(blank(format=form, length=1).std.SetFieldBased(2), tmp_path)
    assert cadence.tape.frames == 1 and cadence.firsts[-1] == 2


def test_depth_does_not_change_the_answer(tmp_path: Path) -> None:
    tape = weave(film(pan(1), 4, 60))
    deep = tape.resize.Point(format=vs.GRAY16).std.SetFieldBased(2)
    assert solved(deep, tmp_path).shots[0].lengths == solved(tape, tmp_path).shots[0].lengths == pulldown(4, 60)


def test_pal_is_two_fields_a_picture_at_either_phase(tmp_path: Path) -> None:
    for phase in (0, 1):
        tape = weave(video(pan(1), 60, hold=2, phase=phase)).std.AssumeFPS(fpsnum=25, fpsden=1)
        (shot,) = solved(tape, tmp_path).shots
        assert (shot.kind, shot.lengths) == ("film", "2" * 30 if not phase else "1" + "2" * 29 + "1")


def test_a_missing_plugin_is_named_with_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = weave(film(pan(1), 0, 20))
    found = plugins._function
    monkeypatch.setattr(plugins, "_function", lambda name: None if name.startswith("akarin") else found(name))
    with pytest.raises(CustomRuntimeError, match=r"akarin.*pip install"):
        solved(tape, tmp_path)


def test_a_cache_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CustomRuntimeError, match="cannot be written"):
        solved(weave(film(pan(1), 0, 20)), tmp_path / "file")


def test_confidence_falls_where_the_evidence_is_poor(tmp_path: Path) -> None:
    clear = solved(weave(film(pan(1), 0, 60), noise=1), tmp_path).shots[0].confidence
    poor = solved(weave(film(pan(1, speed=0.1, contrast=3), 0, 60), noise=8), tmp_path).shots[0].confidence
    assert poor < 0.9 < clear <= 0.9999


def map_of(*lengths: str, kind: str = "film") -> Cadence:
    shots, at = [], 0
    for digits in lengths:
        stop = at + sum(map(int, digits))
        shots.append(Shot(first=at, stop=stop, kind=kind, lengths=digits, confidence=0.9))  # type: ignore[arg-type]
        at = stop
    return Cadence(tape=Tape(frames=at // 2, fps=(30000, 1001), tff=True, content=""), shots=tuple(shots))


def test_labels_of_shots(tmp_path: Path) -> None:
    pictures = film(pan(1), 0, 60)
    rising = [16 + (p - 16) * min(1, k / 55) for k, p in enumerate(pictures)]
    black = [np.full((HEIGHT, WIDTH), 16, np.float32)] * 40
    tape = weave(rising + black, noise=0.5)
    evidence = measure_fields(tape, cache=tmp_path, show_progress=False)
    cadence = map_of(pulldown(0, 60), "2" * 20)
    first, second = label(evidence, cadence)
    assert "fade in" in first.names and first.moving > 0.2
    assert second.names == ("still", "black")
    assert label(evidence, replace(cadence, notes=("x",))) == (first, second)


def test_a_coded_tape_keeps_every_film_picture_and_finds_its_video(tmp_path: Path) -> None:
    spec = TapeSpec(
        shots=(
            ShotSpec(fields=61, layers=(Layer(start=150, phase=1),)),
            ShotSpec(fields=60, layers=(Layer(kind="60i", start=40, step=0, pan=(110.0, 25.0)),)),
            ShotSpec(fields=59, layers=(Layer(start=20, phase=4),)),
        ),
        seed=3,
    )
    truth = make_tape(spec, None, tmp_path, show=False).cadence()
    command = "ffmpeg -v error -i tape.mkv -c:v mpeg2video -b:v 5000k -g 15 -bf 2 -flags +ilme+ildct -top 1 coded.mkv"
    run(command.split(), "test", cwd=tmp_path)
    tape = core.bs.VideoSource(str(tmp_path / "coded.mkv"), showprogress=False).std.SetFieldBased(2)
    cadence = solved(tape, tmp_path / "cache")
    kinds = [cadence.picture(cadence.picture_at(k)).kind for k in range(180)]
    assert kinds == ["film"] * 61 + ["60i"] * 60 + ["film"] * 59
    assert set(cadence.firsts.tolist()) == set(truth.firsts.tolist())
