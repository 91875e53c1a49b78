"""A simulated disc shows the tape's fields, says so in its flags, and is a DVD for readers that are not ours."""

from __future__ import annotations

import io
import json
import re
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pycdlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jetpytools import CustomRuntimeError, CustomValueError
from vapoursynth import core

from ds9vs.cadence.model import Cadence, Shot, Tape
from ds9vs.simulate.disc import DiscFiles, Line, find_clicks, make_disc
from ds9vs.simulate.mux import write_vob
from ds9vs.simulate.plan import plan_pictures
from ds9vs.simulate.stream import TapeFile, Unit, scramble
from ds9vs.simulate.text import caption_pairs
from ds9vs.timing import NTSC

FILM = "23" * 24
# Edited film: a cut that leaves orphans, 30p, 60i, a still of nine fields, film of another phase.
EDITED = "2323232" + "1" + "32323232" + "2222222" + "1" * 11 + "9" + "232323232323" + "1" + "3232" + "3"


def shell(*words: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True, cwd=cwd).stdout


def record(path: Path, lengths: str, *, tff: bool = True, height: int = 480, rate: str = "30000/1001") -> Path:
    """A tape on which every field shows its picture: bars that move by 6 samples from picture to picture."""
    pictures = np.repeat(np.arange(len(lengths)), [int(n) for n in lengths])
    assert len(pictures) % 2 == 0
    x, y = np.arange(720), np.arange(height)[:, None]
    frames = bytearray()
    for first, second in pictures.reshape(-1, 2):
        luma = np.empty((height, 720), np.uint8)
        for row, n in ((0 if tff else 1, first), (1 if tff else 0, second)):
            luma[row::2] = (126 + 70 * np.sin((x + 6 * int(n)) / 19) + 25 * np.cos((y + 3 * int(n)) / 23))[row::2]
        frames += luma.tobytes() + bytes([110]) * (height * 180) + bytes([140]) * (height * 180)
    order = "tff" if tff else "bff"
    words = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"720x{height}", "-r", rate, "-i", "-"]
    words += ["-vf", f"setfield={order}", "-c:v", "ffv1", "-field_order", "tt" if tff else "bb", "-bitexact"]
    subprocess.run(["ffmpeg", "-v", "error", *words, str(path)], input=bytes(frames), check=True)
    return path


def fields(path: Path) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The luma of every field in time order, repeats by flag expanded, as BestSource reads them."""
    clip = core.bs.VideoSource(str(path), rff=True, cachemode=0)
    found = []
    for frame in clip.frames(close=True):
        luma = np.array(frame[0])
        found.append((luma[0::2], luma[1::2]))
    return [half for frame in found for half in frame]


def probe(path: Path, *words: str) -> dict[str, Any]:
    return dict(json.loads(shell("ffprobe", "-v", "error", "-of", "json", *words, path)))


def video_of(path: Path) -> dict[str, Any]:
    return next(s for s in probe(path, "-show_streams")["streams"] if s["codec_type"] == "video")


def truth_of(disc: DiscFiles) -> dict[str, Any]:
    return dict(json.loads(disc.truth.read_text()))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("film") / "tape.mkv", FILM)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("edited") / "tape.mkv", EDITED)


@pytest.fixture(scope="module")
def hard(film: Path, tmp_path_factory: pytest.TempPathFactory) -> DiscFiles:
    return make_disc(
        film,
        tmp_path_factory.mktemp("hard") / "disc",
        chapters=[Fraction(1)],
        second_title=True,
        containers=("mkv", "ts", "mp4"),
    )


@pytest.fixture(scope="module")
def soft(film: Path, tmp_path_factory: pytest.TempPathFactory) -> DiscFiles:
    out = tmp_path_factory.mktemp("soft") / "disc"
    return make_disc(film, out, telecine="soft", cadence=FILM, iso=False, containers=("mkv", "ts", "mp4"))


@pytest.fixture(scope="module")
def mixed(edited: Path, tmp_path_factory: pytest.TempPathFactory) -> DiscFiles:
    out = tmp_path_factory.mktemp("mixed") / "disc"
    return make_disc(edited, out, telecine="mixed", cadence=EDITED, iso=False, seed=1, containers=("mkv", "ts", "mp4"))


def test_disc_shows_every_field_of_the_tape(
    film: Path, edited: Path, hard: DiscFiles, soft: DiscFiles, mixed: DiscFiles
) -> None:
    for tape, disc in ((film, hard), (film, soft), (edited, mixed)):
        wanted = fields(tape)
        for path in (disc.m2v, disc.vob, disc.video_ts / "VTS_01_1.VOB", disc.mkv, disc.ts, disc.mp4):
            assert path
            shown = fields(path)
            assert len(shown) == len(wanted), path.name
            errors = [np.square(a.astype(int) - b).mean() for a, b in zip(shown, wanted, strict=True)]
            # A field of the next picture instead of its own would be off by more than 100.
            assert max(errors) < 4, (path, int(np.argmax(errors)))


@pytest.mark.parametrize("tff", [True, False])
def test_soft_disc_of_an_edited_tape_shows_every_field(tmp_path: Path, tff: bool) -> None:
    tape = record(tmp_path / "tape.mkv", EDITED, tff=tff)
    disc = make_disc(tape, tmp_path / "disc", telecine="soft", cadence=EDITED, iso=False)
    coded = truth_of(disc)["coded"]
    assert {progressive for _, _, progressive in coded} == {0, 1}
    wanted, clip = fields(tape), core.bs.VideoSource(str(disc.m2v), rff=True, cachemode=0)
    shown = fields(disc.m2v)
    assert clip.num_frames * 2 == len(shown) == len(wanted)
    assert max(np.square(a.astype(int) - b).mean() for a, b in zip(shown, wanted, strict=True)) < 4


def test_a_stretch_of_one_picture_ends_the_disc(tmp_path: Path) -> None:
    lengths = "23" * 8 + "11"
    tape = record(tmp_path / "tape.mkv", lengths)
    disc = make_disc(tape, tmp_path / "disc", telecine="soft", cadence=lengths, audio=False, iso=False)
    assert [c[2] for c in truth_of(disc)["coded"]][-2:] == [1, 0]
    errors = [np.square(a.astype(int) - b).mean() for a, b in zip(fields(disc.vob), fields(tape), strict=True)]
    assert max(errors) < 4


def test_repeats_are_what_truth_says_and_exact(soft: DiscFiles) -> None:
    shown, repeats = fields(soft.m2v), truth_of(soft)["repeats"]
    assert len(repeats) == 24
    for n in range(2, len(shown)):
        assert np.array_equal(shown[n], shown[n - 2]) == (n in repeats)


def test_flags_of_every_picture(hard: DiscFiles, soft: DiscFiles, mixed: DiscFiles) -> None:
    for disc in (hard, soft, mixed):
        frames = probe(disc.m2v, "-show_frames", "-select_streams", "v")["frames"]
        coded = truth_of(disc)["coded"]
        assert len(frames) == len(coded)
        for frame, (first, shown, progressive) in zip(frames, coded, strict=True):
            assert frame["interlaced_frame"] == 1 - progressive
            assert frame["top_field_first"] == 1 - first % 2
            assert frame["repeat_pict"] == (shown == 3)
    assert {c[2] for c in truth_of(mixed)["coded"]} == {0, 1}


def test_time_stamps_are_those_of_the_fields(hard: DiscFiles, soft: DiscFiles, mixed: DiscFiles) -> None:
    for disc in (hard, soft, mixed):
        for path in (disc.vob, disc.video_ts / "VTS_01_1.VOB"):
            packets = probe(path, "-show_packets", "-select_streams", "v")["packets"]
            stamps = sorted(int(p["pts"]) for p in packets)
            wanted = [first * 1501.5 for first, _, _ in truth_of(disc)["coded"]]
            assert max(abs(s - stamps[0] - w) for s, w in zip(stamps, wanted, strict=True)) <= 1


def test_headers_tell_the_truth(hard: DiscFiles, soft: DiscFiles) -> None:
    for disc, order in ((hard, "tt"), (soft, "progressive")):
        video = video_of(disc.vob)
        assert (video["width"], video["height"]) == (720, 480)
        stream = disc.m2v.read_bytes()
        rates = {stream[found.end() + 3] & 15 for found in re.finditer(b"\x00\x00\x01\xb3", stream)}
        assert rates == {4}  # frame_rate_code of every sequence header: 30000/1001 (H.262 table 6-4)
        assert (video["sample_aspect_ratio"], video["display_aspect_ratio"]) == ("8:9", "4:3")
        assert [video[k] for k in ("color_space", "color_transfer", "color_primaries")] == ["smpte170m"] * 3
        assert video["field_order"] == order
        frames = probe(disc.vob, "-show_frames", "-select_streams", "v")["frames"]
        groups = [[d["side_data_type"] for d in f.get("side_data_list", ())] for f in frames if f["key_frame"]]
        assert all("ATSC A53 Part 4 Closed Captions" in group for group in groups)


def test_mediainfo_agrees(hard: DiscFiles, soft: DiscFiles) -> None:
    said = {name: re.sub(" +: ", ": ", shell("mediainfo", disc.vob)) for name, disc in (("hard", hard), ("soft", soft))}
    assert "Frame rate: 29.970 (30000/1001) FPS" in said["hard"]
    assert "Scan type: Interlaced" in said["hard"]
    assert "Scan order: Top Field First" in said["hard"]
    assert "Scan order: 2:3 Pulldown" in said["soft"]
    for text in said.values():
        for line in ("Standard: NTSC", "Format: EIA-608", "Format: RLE", "Format: AC-3", "Display aspect ratio: 4:3"):
            assert line in text
        assert "Matrix coefficients: BT.601" in text


def test_rate_and_gop_are_a_dvds(edited: Path, tmp_path: Path) -> None:
    disc = make_disc(edited, tmp_path / "disc", rate=3_000_000, cuts=[Fraction(1, 3)], iso=False)
    assert re.search(r"GOP, Open/Closed +: Open", shell("mediainfo", disc.vob))
    types = [f["pict_type"] for f in probe(disc.m2v, "-show_frames", "-select_streams", "v")["frames"]]
    starts = [n for n, kind in enumerate(types) if kind == "I"] + [len(types)]
    assert max(b - a for a, b in pairwise(starts)) <= 18
    assert int(Fraction(1, 3) * Fraction(30000, 1001)) in starts
    assert disc.m2v.stat().st_size * 8 / (len(types) * 1001 / 30000) < 3_600_000


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> DiscFiles:
    """A disc at the highest rate: still for a second, then as much noise as fits."""
    folder = tmp_path_factory.mktemp("busy")
    source = "testsrc2=s=720x480:r=30000/1001:d=1.5,noise=alls=60:allf=t:enable='gt(t,1)',format=yuv420p,setfield=tff"
    words = ["-f", "lavfi", "-i", source, "-c:v", "ffv1", "-field_order", "tt", "-bitexact"]
    shell("ffmpeg", "-v", "error", *words, folder / "tape.mkv")
    return make_disc(folder, folder / "disc", rate=9_000_000, iso=False)


@pytest.mark.parametrize("which", ["mixed", "busy"])
def test_program_stream_keeps_to_the_decoders_buffer(which: str, request: pytest.FixtureRequest) -> None:
    """H.222.0's system target decoder: nothing late, nothing over 232 KiB."""
    vob = request.getfixturevalue(which).vob
    data, video, clock = vob.read_bytes(), [], -1
    assert len(data) % 2048 == 0
    for at in range(0, len(data), 2048):
        pack = data[at : at + 2048]
        scr = int.from_bytes(pack[4:10], "big")
        base = (scr >> 43 & 7) << 30 | (scr >> 27 & 0x7FFF) << 15 | scr >> 11 & 0x7FFF
        # spumux gives the packs that it puts in the clock of their neighbours.
        assert base > clock or (pack[14:18] == b"\0\0\1\xbd" and base == clock)
        clock = base
        if pack[14:18] == b"\0\0\1\xe0":
            video.append((clock, 6 + int.from_bytes(pack[18:20], "big") - 9 - pack[22]))
    packets = probe(vob, "-show_packets", "-select_streams", "v")["packets"]
    decoded = [(int(p["dts"]), int(p["size"])) for p in packets if "dts" in p]
    sent = sum(size for _, size in video)
    assert sum(int(p["size"]) for p in packets) == pytest.approx(sent, abs=8)
    needed = 0
    for dts, size in decoded:
        needed += size
        assert sum(n for t, n in video if t <= dts) >= needed
    for now, _ in video:
        assert sum(n for t, n in video if t <= now) - sum(n for t, n in decoded if t <= now) <= 232 * 1024


def test_pictures_too_large_for_a_dvd_are_refused(tmp_path: Path) -> None:
    (tmp_path / "video.m2v").write_bytes(bytes(30 * 60_000))
    tape = TapeFile(path=tmp_path, width=720, height=480, fps=NTSC, frames=30, tff=True)
    units = [Unit(n * 60_000, n, n % 15 == 0) for n in range(30)]
    with pytest.raises(CustomValueError, match="more bits than a DVD can carry"):
        write_vob(tmp_path / "title.vob", tmp_path / "video.m2v", units, plan_pictures(30), tape)


@pytest.mark.parametrize("delay", [Fraction(0), Fraction(1, 10), Fraction(-1, 4)])
def test_clicks_are_heard_at_their_times(film: Path, tmp_path: Path, delay: Fraction) -> None:
    disc = make_disc(film, tmp_path / "disc", audio_delay=delay, cuts=[Fraction(7, 10)], iso=False)
    assert disc.ac3 and disc.wav
    starts = {
        s["codec_type"]: float(s["start_time"])
        for s in probe(disc.video_ts / "VTS_01_1.VOB", "-show_streams")["streams"]
    }
    assert starts["audio"] - starts["video"] == pytest.approx(float(delay), abs=2e-5)
    clicks = truth_of(disc)["clicks"]
    assert clicks == {"left": [0.5, 1.5], "right": [0.7]}
    for path in (disc.wav, disc.ac3, disc.video_ts / "VTS_01_1.VOB"):
        for channel, name in enumerate(("left", "right")):
            heard = [t + float(delay) for t in find_clicks(path, channel=channel)]
            assert heard == pytest.approx(clicks[name], abs=1 / 48000)


def test_captions_are_read_by_others(mixed: DiscFiles) -> None:
    for path in (mixed.m2v, mixed.video_ts / "VTS_01_1.VOB"):
        text = shell(
            "ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"movie={path}[out+subcc]", "-map", "s", "-f", "srt", "-"
        )
        assert re.findall(r"CAPTION \d", text) == ["CAPTION 1"]


def test_caption_bytes_have_odd_parity_and_their_frame() -> None:
    lines = [
        Line(start=Fraction(1), stop=Fraction(2), text="Odd text"),
        Line(start=Fraction(2), stop=Fraction(3), text="B"),
    ]
    pairs = caption_pairs(lines, 120)
    assert all(value.bit_count() % 2 for pair in pairs for value in pair)
    plain = [(a & 0x7F, b & 0x7F) for a, b in pairs]
    assert [n for n, pair in enumerate(plain) if pair == (0x14, 0x2F)] == [30, 31, 60, 61]
    # The second caption takes the first one's place; only the last is erased.
    assert [n for n, pair in enumerate(plain) if pair == (0x14, 0x2C)] == [90, 91]


def test_subtitles_are_seen(hard: DiscFiles, tmp_path: Path) -> None:
    start = float(video_of(hard.vob)["start_time"])
    [subtitle] = probe(hard.vob, "-show_frames", "-select_streams", "s")["frames"]
    assert int(subtitle["pts"]) / 1e6 - start == pytest.approx(0.5, abs=0.002)
    assert subtitle["end_display_time"] == pytest.approx(1000, abs=20)

    pictures = []
    for graph in ("[0:v][0:s]overlay,format=gray", "[0:v]format=gray"):
        shell(
            "ffmpeg", "-v", "error", "-y", "-i", hard.vob, "-filter_complex", graph, "-f", "rawvideo", tmp_path / "raw"
        )
        pictures.append(np.fromfile(tmp_path / "raw", np.uint8).reshape(-1, 480, 720)[:, 380:440].astype(int))
    seen = (np.abs(pictures[0] - pictures[1]) > 25).sum((1, 2))
    assert not seen[:15].any() and not seen[46:].any()
    assert seen[30] > 500


def test_ifo_is_read_by_dvdunauthor(hard: DiscFiles, tmp_path: Path) -> None:
    shell("dvdunauthor", hard.folder, cwd=tmp_path)
    table = (tmp_path / "dvdauthor.xml").read_text()
    assert table.count("<titleset>") == 2
    assert '<audio lang="en" format="ac3"/>' in table and '<subpicture lang="en"/>' in table
    first, second = (float(t) for t in re.findall(r'start="0:00:0([\d.]+)"', table)[:2])
    assert first == 0
    # The chapter starts at the picture that shows 1 s: frame 29.
    assert second == pytest.approx(29 * 1001 / 30000, abs=0.001)
    assert truth_of(hard)["chapters"] == [0, pytest.approx(29 * 1001 / 30000)]


def test_iso_holds_the_same_files_in_both_file_systems(hard: DiscFiles) -> None:
    assert hard.iso
    image = pycdlib.PyCdlib()
    image.open(str(hard.iso))  # checks the CRC of every UDF descriptor
    try:
        for path in sorted(hard.video_ts.iterdir()):
            for where in ({"iso_path": f"/VIDEO_TS/{path.name};1"}, {"udf_path": f"/VIDEO_TS/{path.name}"}):
                copy = io.BytesIO()
                image.get_file_from_iso_fp(copy, **where)
                assert copy.getvalue() == path.read_bytes(), where
                entry = image.get_record(**where)
                date = entry.date if "iso_path" in where else None
                assert date is None or (date.years_since_1900, date.month, date.day_of_month) == (100, 1, 1)
    finally:
        image.close()


def test_two_builds_are_the_same_bytes(edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    for name, zone in (("a", "UTC"), ("b", "Asia/Tokyo")):
        monkeypatch.setenv("TZ", zone)  # another time of day, for whatever writes the clock
        disc = make_disc(
            edited,
            tmp_path / name,
            telecine="mixed",
            cadence=EDITED,
            seed=7,
            chapters=[Fraction(1)],
            second_title=True,
            containers=("mkv", "ts", "mp4"),
        )
        built.append({p.relative_to(disc.folder): p.read_bytes() for p in disc.folder.rglob("*") if p.is_file()})
    assert built[0].keys() == built[1].keys()
    assert [str(name) for name in built[0] if built[0][name] != built[1][name]] == []
    assert {"disc.iso", "title.mkv", "title.ts", "title.mp4"} <= {str(name) for name in built[0]}


def test_pal_disc(tmp_path: Path) -> None:
    tape = record(tmp_path / "tape.mkv", "2" * 40, height=576, rate="25")
    disc = make_disc(tape, tmp_path / "disc", aspect="16:9", telecine="soft", cadence="2" * 40, iso=False)
    video = video_of(disc.video_ts / "VTS_01_1.VOB")
    assert (video["height"], video["r_frame_rate"], video["sample_aspect_ratio"]) == (576, "25/1", "64:45")
    assert (video["color_space"], video["color_primaries"]) == ("bt470bg", "bt470bg")
    assert "608" not in shell("mediainfo", disc.vob) and truth_of(disc)["captions"] == []
    assert max(np.square(a.astype(int) - b).mean() for a, b in zip(fields(disc.vob), fields(tape), strict=True)) < 4
    with pytest.raises(CustomValueError, match="PAL disc has none"):
        make_disc(tape, tmp_path / "other", captions=[Line(start=Fraction(1), stop=Fraction(3, 2), text="A")])


def test_plain_disc_has_only_video(film: Path, tmp_path: Path) -> None:
    disc = make_disc(film, tmp_path / "disc", audio=False, subtitles=False, captions=False, iso=False)
    kinds = {s["codec_type"] for s in probe(disc.video_ts / "VTS_01_1.VOB", "-show_streams")["streams"]}
    assert kinds == {"video", "data"}
    assert "608" not in shell("mediainfo", disc.vob)
    assert {p.name for p in disc.folder.iterdir()} == {"video.m2v", "title.vob", "VIDEO_TS", "disc.json"}
    assert disc.iso is None and disc.wav is None


def test_cadence_map_leaves_combed_and_swapped_pictures_alone() -> None:
    tape = Tape(frames=60, fps=(30000, 1001), tff=True, content="")
    film = {"kind": "film", "lengths": "23" * 8, "confidence": 1.0}
    shots = (
        Shot(first=0, stop=40, **film),
        Shot(first=40, stop=80, **film, combed=tuple(range(6, 10))),
        Shot(first=80, stop=120, **film, swapped=True),
    )
    plan = plan_pictures(60, "soft", Cadence(tape=tape, shots=shots))
    progressive = {n for p in plan if p.progressive for n in range(p.first, p.first + p.shown)}
    assert set(range(40)) <= progressive
    assert progressive.isdisjoint(range(55, 65)) and progressive.isdisjoint(range(80, 120))


@settings(max_examples=60)
@given(
    lengths=st.lists(st.sampled_from([1, 2, 2, 2, 3, 3, 3, 4, 5, 9]), min_size=1, max_size=120),
    telecine=st.sampled_from(["hard", "soft", "mixed"]),
    seed=st.integers(0, 5),
)
def test_plan_shows_every_field_once(lengths: list[int], telecine: Any, seed: int) -> None:
    lengths = lengths + [1] * (sum(lengths) % 2)
    total, picture = sum(lengths), np.repeat(np.arange(len(lengths)), lengths)
    plan = plan_pictures(total // 2, telecine, "".join(map(str, lengths)), seed=seed)
    assert [n for p in plan for n in range(p.first, p.first + p.shown)] == list(range(total))
    for p in plan:
        assert p.shown in (2, 3)
        if p.progressive:
            assert len(set(picture[p.first : p.first + p.shown])) == 1
        else:
            assert p.shown == 2
    if telecine == "hard":
        assert not any(p.progressive or p.first % 2 for p in plan)


def test_mixed_turns_and_obeys_its_seed() -> None:
    plans = [plan_pictures(300, "mixed", "23" * 120, seed=seed) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    for plan in plans:
        turns = [n for n in range(1, len(plan)) if plan[n].progressive != plan[n - 1].progressive]
        assert len(turns) >= 3
        # Hard stretches lie on the tape's own frames.
        assert all(p.first % 2 == 0 for p in plan if not p.progressive)


def test_scrambled_copy_is_marked(hard: DiscFiles, tmp_path: Path) -> None:
    vob = hard.video_ts / "VTS_01_1.VOB"
    scramble(vob, tmp_path / "scrambled.vob")
    plain, marked = vob.read_bytes(), (tmp_path / "scrambled.vob").read_bytes()
    assert len(plain) == len(marked)
    marks: dict[int, set[int]] = {}
    for at in range(0, len(plain), 2048):
        code = plain[at + 17]
        differs = [n for n in range(at, at + 2048) if plain[n] != marked[n]]
        marks.setdefault(code, set()).add(marked[at + 20] >> 4 & 3 if code in (0xE0, 0xBD) else len(differs))
        assert differs in ([], [at + 20])
    assert marks[0xE0] == marks[0xBD] == {3}
    assert marks[0xBB] == {0}
    (tmp_path / "short.vob").write_bytes(plain[:3000])
    with pytest.raises(CustomValueError, match="whole packs"):
        scramble(tmp_path / "short.vob", tmp_path / "never.vob")
    assert not (tmp_path / "never.vob").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate": 99_000_000}, "500000 to 9000000"),
        ({"telecine": "firm"}, "hard, soft, mixed"),
        ({"aspect": "5:4"}, "4:3, 16:9"),
        ({"containers": ["avi"]}, "mkv, ts, mp4"),
        ({"telecine": "soft"}, "cadence"),
        ({"telecine": "soft", "cadence": "23"}, "has 5 fields, but the tape has 120"),
        ({"telecine": "soft", "cadence": "23x"}, "digits 1 to 9"),
        ({"chapters": [Fraction(9)]}, "A chapter at 9.0 s"),
        ({"audio_delay": Fraction(2)}, "-0.5 to 0.5"),
        ({"captions": [Line(start=Fraction(1, 5), stop=Fraction(1), text="A LONG LINE")]}, "start it later"),
        ({"captions": [Line(start=Fraction(1), stop=Fraction(2), text="\N{WHITE SMILING FACE}")]}, "usual punctuation"),
        ({"subtitles": [Line(start=Fraction(1), stop=Fraction(1), text="A")]}, "without overlap"),
    ],
)
def test_bad_options_are_one_sentence(film: Path, tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CustomValueError, match=re.escape(sentence)):
        make_disc(film, tmp_path / "disc", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_tape_is_refused(tmp_path: Path) -> None:
    make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i"]
    small, untagged, sound = (tmp_path / name for name in ("small.mkv", "untagged.mkv", "sound.wav"))
    shell(*make, "testsrc=s=704x480:r=30000/1001:d=0.1", "-pix_fmt", "yuv420p", "-c:v", "ffv1", small)
    shell(*make, "testsrc=s=720x480:r=30000/1001:d=0.1", "-pix_fmt", "yuv420p", "-c:v", "ffv1", untagged)
    shell(*make, "sine=d=0.1", sound)
    for path, sentence in ((small, "704x480"), (untagged, "which field comes first"), (sound, "no video")):
        with pytest.raises(CustomValueError, match=sentence):
            make_disc(path, tmp_path / "disc")
    (tmp_path / "text.mkv").write_text("no video at all")
    with pytest.raises(CustomRuntimeError, match="ffprobe"):
        make_disc(tmp_path / "text.mkv", tmp_path / "disc")
    assert not (tmp_path / "disc").exists()


def test_nothing_half_written_when_it_fails(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CustomRuntimeError, match="cannot be written"):
        make_disc(film, tmp_path / "file" / "disc")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(CustomValueError, match="does not exist or is empty"):
        make_disc(film, tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"

    noise = tmp_path / "noise.mkv"
    source = "color=s=720x480:r=30000/1001:d=1,geq=random(1)*255:random(2)*255:128,format=yuv420p,setfield=tff"
    shell("ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1", "-field_order", "tt", noise)
    with pytest.raises(CustomValueError, match="make the rate higher"):
        make_disc(noise, tmp_path / "disc", rate=2_000_000)

    truncated = tmp_path / "truncated.mkv"
    truncated.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    before = {p.name for p in tmp_path.iterdir()}
    make_disc(truncated, tmp_path / "half", iso=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CustomRuntimeError, match=r"spumux.*apt-get install ffmpeg dvdauthor genisoimage mkvtoolnix"):
        make_disc(film, tmp_path / "disc")
    assert {p.name for p in tmp_path.iterdir()} == before | {"half"}


def test_given_text_is_on_the_disc(film: Path, tmp_path: Path) -> None:
    lines = [Line(start=Fraction(1), stop=Fraction(3, 2), text="Hello, Quark")]
    disc = make_disc(film, tmp_path / "disc", captions=lines, subtitles=lines, iso=False)
    movie = f"movie={disc.vob}[out+subcc]"
    assert "Hello, Quark" in shell("ffmpeg", "-v", "error", "-f", "lavfi", "-i", movie, "-map", "s", "-f", "srt", "-")
    [subtitle] = probe(disc.vob, "-show_frames", "-select_streams", "s")["frames"]
    assert int(subtitle["pts"]) / 1e6 - float(video_of(disc.vob)["start_time"]) == pytest.approx(1, abs=0.002)
