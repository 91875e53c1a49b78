"""Maps in other programs' formats: what is written they really read, what they wrote comes back as corrections."""

from __future__ import annotations

import gc
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vapoursynth as vs
from hypothesis import given, settings
from hypothesis import strategies as st
from jetpytools import CustomValueError, FileWasNotFoundError
from vapoursynth import core

from ds9vs.cadence.adopt import check_timecodes, read_foreign, read_tdecimate, read_tfm, read_wobbly
from ds9vs.cadence.exchange import (
    durations,
    matches,
    write_chapters,
    write_native_timecodes,
    write_qp,
    write_tdecimate,
    write_tfm,
    write_wobbly,
)
from ds9vs.cadence.model import Cadence, Kind, Shot, Tape
from ds9vs.cadence.override import Override
from ds9vs.files import run
from ds9vs.ivtc import ivtc, shown
from ds9vs.timing import pick, read_timecodes

CYCLES: dict[Kind, tuple[int, ...]] = {"film": (2, 3), "30p": (2,), "60i": (1,), "layered": (2, 3)}


def pattern(kind: Kind, phase: int, fields: int) -> str:
    """Lengths of the pictures of a run of fields that begins at a place of a kind's cycle."""
    lengths = CYCLES[kind]
    starts = {0, *np.cumsum(lengths)[:-1].tolist()}
    heads = [k for k in range(fields) if k == 0 or (k + phase) % sum(lengths) in starts]
    return "".join(str(b - a) for a, b in zip(heads, [*heads[1:], fields], strict=True))


def map_of(*parts: tuple[Kind, int, int], tff: bool = True) -> Cadence:
    """A map of shots, each (kind, phase, fields)."""
    shots, at = [], 0
    for kind, phase, fields in parts:
        lengths = pattern("60i" if kind == "layered" else kind, phase, fields)
        base = pattern(kind, phase, fields) if kind == "layered" else ""
        shots.append(Shot(first=at, stop=at + fields, kind=kind, lengths=lengths, base=base, confidence=0.9))
        at += fields
    return Cadence(tape=Tape(frames=at // 2, fps=(30000, 1001), tff=tff, content=""), shots=tuple(shots))


def tape_of(cadence: Cadence, *, size: tuple[int, int] = (64, 48)) -> vs.VideoNode:
    """A tape of random pictures that has exactly this cadence."""
    blank = core.std.BlankClip(format=vs.YUV420P8, width=16, height=12, length=len(cadence), fpsnum=60000, fpsden=1001)
    noise = "N 1 + X 3 + * 12.9898 * Y N + 78.233 * + sin 100 * 128 +"
    pictures = blank.std.SetFrameProps(_Matrix=6).akarin.Expr([noise, "128"]).resize.Bicubic(*size)
    order = np.repeat(np.arange(len(cadence)), np.diff(cadence.firsts))
    fields = pick(pictures, order).std.SeparateFields(tff=cadence.tape.tff).std.SelectEvery(4, [0, 3])
    return fields.std.DoubleWeave(tff=cadence.tape.tff)[::2].std.SetFieldBased(1 + cadence.tape.tff)


MIXED = map_of(("film", 0, 61), ("30p", 1, 60), ("film", 3, 130), ("60i", 0, 47), ("layered", 2, 90), ("film", 4, 52))
SHORT = map_of(("film", 0, 5), ("film", 0, 4), ("30p", 0, 5))


def test_timecodes_are_exact_at_cuts_and_checked(tmp_path: Path) -> None:
    cadence = map_of(("film", 0, 12), ("film", 4, 9), ("30p", 0, 1))
    shares = durations(cadence)
    field = 1 / (2 * Fraction(*cadence.tape.fps))
    assert sum(shares[:5]) == 12 * field and sum(shares) == 22 * field
    assert len(set(shares[:5])) == 1, "film pictures of a shot share its fields evenly"
    write_native_timecodes(cadence, tmp_path / "t.txt")
    times = read_timecodes(tmp_path / "t.txt")
    assert len(times) == len(cadence) + 1 and abs(times[-1] - 22 * field) < 1e-8
    assert check_timecodes(tmp_path / "t.txt", cadence) < Fraction(1, 10**8)
    with pytest.raises(CustomValueError, match=rf"has {len(times)} times, but the map has"):
        check_timecodes(tmp_path / "t.txt", SHORT)
    lines = (tmp_path / "t.txt").read_text().splitlines()
    lines[4] = f"{float(lines[4]) + 1.5:.6f}"
    (tmp_path / "t.txt").write_text("\n".join(lines))
    with pytest.raises(CustomValueError, match=r"picture 3 1\.50 ms from"):
        check_timecodes(tmp_path / "t.txt", cadence)


def test_tfm_follows_our_matches_and_the_frames_to_drop_are_the_repeats(tmp_path: Path) -> None:
    cadence = map_of(("film", 2, 261), ("film", 4, 2401), ("60i", 0, 30))  # TFM reads 1,024 letters of a line
    tape = tape_of(cadence)
    write_tfm(cadence, tmp_path / "tfm.txt")
    matched = tape.tivtc.TFM(order=1, ovr=str(tmp_path / "tfm.txt"))
    letters, alone, again = matches(cadence)
    for n, frame in enumerate(matched.frames(close=True)):
        assert "pcnbu"[int(frame.props["TFMMatch"])] == letters[n]
        assert bool(frame.props["_Combed"]) == alone[n]
    drop = write_tdecimate(cadence, tmp_path / "decimate.txt")
    assert drop == np.flatnonzero(again).tolist()
    film = sum(length > 1 for length in np.diff(cadence.firsts))
    kept = {cadence.picture_at(2 * n - (letters[n] == "p")) for n in range(cadence.tape.frames) if n not in drop}
    assert len([n for n in kept if cadence.firsts[n + 1] - cadence.firsts[n] > 1]) == film, "no film picture is dropped"


@pytest.mark.parametrize("tff", [True, False])
def test_wobbly_weaves_the_pictures_of_the_map(tff: bool, tmp_path: Path) -> None:
    """Wobbly gives its matches to FieldHint with tff= its order; so do we, and compare with our own weave."""
    cadence = map_of(("film", 1, 61), ("30p", 1, 60), ("film", 3, 59), tff=tff)
    tape = tape_of(cadence)
    write_wobbly(cadence, tmp_path / "a.wob")
    project = json.loads((tmp_path / "a.wob").read_text())
    woven = tape.fh.FieldHint(tff=project["vfm parameters"]["order"], matches="".join(project["matches"]))
    left = [n for n in range(tape.num_frames) if n not in project["combed frames"] + project["decimated frames"]]
    ours = ivtc(tape, cadence, timing="native")
    wanted = {bytes(ours.get_frame(n)[0]) for n in range(len(cadence)) if np.diff(cadence.firsts)[n] > 1}
    got = [bytes(woven.get_frame(n)[0]) for n in left]
    assert len(got) == len(set(got)), "no picture twice"
    assert set(got) == wanted, "all of them, and none other"


def test_a_wobbly_project_has_what_wobbly_asks_for(tmp_path: Path) -> None:
    write_wobbly(MIXED, tmp_path / "a.wob", source="ep.d2v")
    project = json.loads((tmp_path / "a.wob").read_text())
    must = {"input file": str, "input frame rate": list, "input resolution": list, "trim": list, "source filter": str}
    assert all(isinstance(project[key], kind) for key, kind in must.items())
    assert project["project format version"] == 2
    assert len(project["matches"]) == sum(b - a + 1 for a, b in project["trim"]) == MIXED.tape.frames
    assert project["matches"][0] == "c" and project["matches"][-1] == "c", "there is no field before or after"
    names = {preset["name"] for preset in project["presets"]}
    assert all(preset in names for section in project["sections"] for preset in section["presets"])
    assert [section["start"] for section in project["sections"]] == [s.first // 2 for s in MIXED.shots]
    assert [mark["frame"] for mark in project["user interface"]["bookmarks"]] == [s.first // 2 for s in MIXED.shots]
    write_wobbly(replace(MIXED, shots=tuple(replace(s, confidence=0.99) for s in MIXED.shots)), tmp_path / "b.wob")
    assert json.loads((tmp_path / "b.wob").read_text())["user interface"]["bookmarks"] == []


def agrees(overrides: tuple[Override, ...], cadence: Cadence) -> dict[Kind, float]:
    """Check that no correction contradicts the map; the share of each kind's fields that they cover."""
    covered: dict[str, list[bool]] = {}
    said: list[Kind | None] = [None] * int(cadence.firsts[-1])
    for one in overrides:
        for k in range(one.first, one.stop):
            shot = cadence.shots[int(np.searchsorted([s.first for s in cadence.shots], k, "right")) - 1]
            assert one.kind == shot.kind, f"field {k} is {shot.kind}, not {one.kind}"
            if one.phase is not None and k > shot.first and one.kind != "60i":
                assert one.kind is not None
                lengths = CYCLES[one.kind]
                heads = shot.first + np.cumsum([0, *map(int, shot.base or shot.lengths)])
                starts = (k - one.first + one.phase) % sum(lengths) in {0, *np.cumsum(lengths)[:-1].tolist()}
                assert starts == (k in heads), f"field {k}"
            said[k] = one.kind
    for shot in cadence.shots:
        covered.setdefault(shot.kind, []).extend(said[k] == shot.kind for k in range(shot.first, shot.stop))
    return {kind: float(np.mean(seen)) for kind, seen in covered.items()}  # type: ignore[misc]


KINDS: list[Kind] = ["film", "30p", "60i", "layered"]
SHOTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 4), st.integers(20, 90)), min_size=1, max_size=7)


@settings(max_examples=60)
@given(SHOTS, st.booleans())
def test_a_map_comes_back_from_wobbly(tmp_path_factory: Any, parts: list[tuple[Kind, int, int]], tff: bool) -> None:
    parts[-1] = (*parts[-1][:2], parts[-1][2] + sum(p[2] for p in parts) % 2)
    cadence = map_of(*((kind, phase % sum(CYCLES[kind]), fields) for kind, phase, fields in parts), tff=tff)
    path = tmp_path_factory.mktemp("wob") / "a.wob"
    write_wobbly(cadence, path)
    overrides = read_foreign(path, cadence.tape)
    covered = agrees(overrides, cadence)
    assert min(covered.values()) > 0.8
    assert all(one.phase is not None for one in overrides if one.kind in ("film", "30p"))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(KINDS[:3]), st.integers(0, 4), st.integers(60, 150)), min_size=1, max_size=6))
def test_a_map_comes_back_from_tfm(tmp_path_factory: Any, parts: list[tuple[Kind, int, int]]) -> None:
    parts = [(kind, phase % sum(CYCLES[kind]), fields) for kind, phase, fields in parts]
    parts[-1] = (*parts[-1][:2], parts[-1][2] + sum(p[2] for p in parts) % 2)
    joined = [parts[0]]
    for part in parts[1:]:  # shots of one kind next to each other differ in phase, or they are one to TFM
        joined += [part] if part[0] != joined[-1][0] else []
    joined[-1] = (*joined[-1][:2], joined[-1][2] + sum(p[2] for p in joined) % 2)
    cadence = map_of(*joined)
    path = tmp_path_factory.mktemp("tfm") / "a.txt"
    write_tfm(cadence, path)
    overrides = read_foreign(path, cadence.tape)
    assert min(agrees(overrides, cadence).values()) > 0.6


def test_what_tfm_itself_found_is_read(tmp_path: Path) -> None:
    cadence = map_of(("film", 1, 101), ("film", 2, 99))
    out = tmp_path / "out.txt"
    matched = tape_of(cadence, size=(160, 96)).tivtc.TFM(order=1, output=str(out), PP=1)
    assert len([frame.closed for frame in matched.frames()]) == 100
    del matched  # then it writes
    gc.collect()
    overrides = read_foreign(out, cadence.tape)
    assert agrees(overrides, cadence)["film"] > 0.7
    assert {one.phase is None for one in overrides} == {False}


def test_wrong_matches_here_and_there_are_outvoted(tmp_path: Path) -> None:
    cadence = map_of(("film", 3, 200))
    letters = list(matches(cadence)[0])
    for n in (7, 30, 31, 66):
        letters[n] = "c" if letters[n] == "p" else "p"
    lines = [f"{n} {letter}" for n, letter in enumerate(letters)] + ["50 +", "61,62 +"]
    (tmp_path / "a.txt").write_text("field = top\n" + "\n".join(lines))
    (one,) = read_tfm(tmp_path / "a.txt", cadence.tape)
    assert (one.kind, one.stop - one.first >= 195) == ("film", True)
    assert agrees((one,), cadence)["film"] > 0.97


def test_frames_that_a_file_does_not_name_are_left_to_the_solver(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("field = top\n20,39 cccpp\n# a remark\n60,79 c\n60,79 +\n0 o 1\n")
    one, two = read_tfm(tmp_path / "a.txt", Tape(frames=100, fps=(30000, 1001), tff=True, content=""))
    assert (one.kind, two.kind) == ("film", "60i")
    assert 39 <= one.first <= 41 and 78 <= one.stop <= 81 and (two.first, two.stop) == (120, 160)


def test_c_matches_are_30p_unless_a_frame_in_five_is_dropped(tmp_path: Path) -> None:
    tape = Tape(frames=60, fps=(30000, 1001), tff=True, content="")
    project = {"trim": [[0, 59]], "matches": ["c"] * 60, "sections": [{"start": 0, "presets": []}, {"start": 30}]}
    project["decimated frames"] = list(range(34, 60, 5))
    (tmp_path / "a.wob").write_text(json.dumps(project))
    assert [(o.first, o.stop, o.kind, o.phase) for o in read_wobbly(tmp_path / "a.wob", tape)] == [
        (0, 60, "30p", 0),
        (60, 120, "film", None),
    ]


def test_trims_and_fades_of_a_wobbly_project_are_heeded(tmp_path: Path) -> None:
    tape = Tape(frames=200, fps=(30000, 1001), tff=True, content="")
    project = {"trim": [[10, 29], [100, 119]], "matches": list("ccnnc" * 4 + "c" * 20), "vfm parameters": {"order": 1}}
    project["interlaced fades"] = [{"frame": n, "field difference": 0.1} for n in range(24, 30)]
    (tmp_path / "a.wob").write_text(json.dumps(project))
    film, video, fade = read_wobbly(tmp_path / "a.wob", tape)
    assert (film.first, film.stop, film.kind, film.phase) == (20, 60, "film", 0)
    assert (fade.first, fade.stop, fade.kind, fade.notes) == (208, 220, None, ("fade",))
    assert (video.first, video.stop, video.kind) == (200, 240, "30p")


def test_tdecimate_names_film_and_video(tmp_path: Path) -> None:
    tape = Tape(frames=200, fps=(30000, 1001), tff=True, content="")
    (tmp_path / "a.txt").write_text("; by hand\n20,59 v\n100 -\n105 -\n110 -\n115 -\n140 -\n")
    assert [(o.first, o.stop, o.kind) for o in read_foreign(tmp_path / "a.txt", tape)] == [
        (40, 120, "30p"),
        (192, 232, "film"),
    ]
    write_tdecimate(map_of(("film", 0, 400)), tmp_path / "b.txt")
    (one,) = read_tdecimate(tmp_path / "b.txt", tape)
    assert one.kind == "film" and one.stop - one.first > 380


@pytest.mark.parametrize("form", ["output", "chapters"])
def test_mkvmerge_takes_the_chapters(form: str, tmp_path: Path) -> None:
    parts: list[tuple[Kind, int, int]] = [("film", n % 5, 7) for n in range(130 if form == "chapters" else 3)]
    cadence = map_of(*parts, ("60i", 0, 2 + len(parts) % 2))
    write_chapters(cadence, tmp_path / "c.txt")
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:20,000\nx\n")
    run(["mkvmerge", "-o", tmp_path / "a.mkv", "--chapters", tmp_path / "c.txt", tmp_path / "a.srt"], "test")
    listed = run(["mkvextract", tmp_path / "a.mkv", "chapters", "-s"], "test")
    starts = re.findall(r"CHAPTER\d+=(\d+):(\d+):([\d.]+)", listed)
    names = re.findall(r"CHAPTER\d+NAME=(.*)", listed)
    field = 1 / (2 * Fraction(*cadence.tape.fps))
    late = [
        3600 * int(h) + 60 * int(m) + Fraction(s) - shot.first * field
        for (h, m, s), shot in zip(starts, cadence.shots, strict=True)
    ]
    assert all(0 <= lag <= Fraction(1, 1000) for lag in late), "a seek never shows the picture before"
    assert names[0].strip() == "film 232, 90 %" and names[-1].startswith("60i, 90")


def test_x265_puts_key_frames_where_the_qp_file_says(tmp_path: Path) -> None:
    cadence = map_of(("film", 0, 41), ("60i", 0, 17), ("film", 3, 62), ("30p", 0, 40))
    clip = ivtc(tape_of(cadence, size=(128, 96)), cadence)
    order = shown(cadence)
    assert len(order) == clip.num_frames
    write_qp(cadence, order, tmp_path / "cuts.qp")
    with (tmp_path / "a.y4m").open("wb") as file:
        clip.output(file, y4m=True)
    options = "--keyint 500 --no-scenecut --no-open-gop --bframes 3 --pools 1 --log-level error"
    command = ["x265", "--y4m", tmp_path / "a.y4m", "-o", tmp_path / "a.hevc", "--qpfile", tmp_path / "cuts.qp"]
    subprocess.run([*map(str, command), *options.split()], check=True, capture_output=True)
    probed = run(
        ["ffprobe", "-v", "error", "-show_entries", "frame=key_frame", "-of", "csv=p=0", tmp_path / "a.hevc"], "t"
    )
    keys = [n for n, line in enumerate(probed.split()) if line.startswith("1")]
    assert keys == [n for n, f in enumerate(clip.frames(close=True)) if f.props["_SceneChangePrev"]]
    assert len(keys) == 4
    with pytest.raises(CustomValueError, match="must show pictures 0 to"):
        write_qp(cadence, [0, len(cadence)], tmp_path / "no.qp")
    assert not (tmp_path / "no.qp").exists()


@pytest.mark.parametrize("timing", ["film", "native", "video"])
def test_what_a_frame_shows_is_known_without_the_tape(timing: Any) -> None:
    clip = ivtc(tape_of(MIXED), MIXED, timing=timing)
    assert shown(MIXED, timing).tolist() == [f.props["DS9VS_Picture"] for f in clip.frames(close=True)]


ABSURD: list[tuple[Callable[..., Any], bytes, str]] = [
    (read_foreign, b"", "no Wobbly project and no file of TFM"),
    (read_foreign, b"\xff\xfe\x00\x01", "no text file"),
    (read_foreign, b"hello\nworld", "no Wobbly project"),
    (read_foreign, b"10 -\n", "name it: --format"),
    (read_foreign, b"# timecode format v2\n0\n", "is a timecodes file"),
    (read_wobbly, b'{"trim": [[0', "truncated"),
    (read_wobbly, b"[" * 100_000, "truncated or no"),
    (read_wobbly, b"[1]", "no 'trim'"),
    (read_wobbly, b'{"trim": [[0, 9]], "project format version": 3}', "format version 3"),
    (read_wobbly, b'{"trim": [[5, 2]]}', "pairs of frames, first and last"),
    (read_wobbly, b'{"trim": [["a", 2]]}', "frame numbers"),
    (read_wobbly, b'{"trim": [[0, 10]]}', "the tape has 10"),
    (read_wobbly, b'{"trim": [[0, 9]]}', "0 matches for 10 frames"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "x"]}', "letters"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": [["c"], {}]}', "letters"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "c"], "combed frames": [7]}', "none of the 2"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "c"], "sections": [{"start": -1}]}', "section starts at -1"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "c"], "sections": 5}', "list of tables"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "c"], "interlaced fades": [{"frame": []}]}', "frame numbers"),
    (read_wobbly, b'{"trim": [[0, 1]], "matches": ["c", "c"], "vfm parameters": {"order": 0}}', "bottom field first"),
    (read_tfm, b"0,9 c\n10 p\n", "frames are 0 to 9"),
    (read_tfm, b"5,2 c\n", "frames are 0 to 9"),
    (read_tfm, b"3 q\n", "TFM does not know"),
    (read_tfm, b"0 o 1\n", "names no match"),
    (read_tfm, b"99999999999999 c\n", "TFM does not know"),
    (read_tdecimate, b"3 c\n", "TDecimate does not know"),
    (read_tdecimate, b"0,10 v\n", "frames are 0 to 9"),
    (read_tdecimate, b"3 -\n", "nothing to take over"),
]


@pytest.mark.parametrize(("read", "content", "sentence"), ABSURD)
def test_an_absurd_file_is_one_sentence(
    read: Callable[..., Any], content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "x {0}.txt"
    path.write_bytes(content)
    with pytest.raises(CustomValueError, match=sentence) as raised:
        read(path, Tape(frames=10, fps=(30000, 1001), tff=True, content=""))
    assert "x {0}.txt" in str(raised.value) and str(raised.value).count("\n") == 0


def test_a_file_that_is_not_there_and_a_folder_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(FileWasNotFoundError):
        read_foreign(tmp_path / "none", MIXED.tape)
    with pytest.raises(CustomValueError, match="no text file"):
        read_foreign(tmp_path, MIXED.tape)
    (tmp_path / "t.txt").write_text("# timecode format v2\n0\n1e999999999\n")
    with pytest.raises(CustomValueError, match="time in milliseconds"):
        check_timecodes(tmp_path / "t.txt", MIXED)
    (tmp_path / "t.txt").write_text("0\n33\n")
    with pytest.raises(CustomValueError, match="timecodes v2"):
        check_timecodes(tmp_path / "t.txt", MIXED)
