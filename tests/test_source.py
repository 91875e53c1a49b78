"""probe() and source(): every kind of input, exact frames and times, true props, clear errors, a safe index."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from vapoursynth import core

import ds9vs.plugins
from conftest import digest, digests
from ds9vs.source import disc as disc_room
from ds9vs.source import probe, source
from ds9vs.source import tape as tape_room
from ds9vs.source.dvd import PACK, nav
from ds9vs.source.streams import Extent
from ds9vs.source.tape import Coded, _expand

NTSC = Fraction(30000, 1001)
KINDS = ("m2v", "vob", "several", "video_ts", "iso", "plain_iso", "mkv", "ts", "mp4")


def ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True, stdin=subprocess.DEVNULL)


def test_card(seconds: float, rate: str, size: str = "720x480") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]


test_card.__test__ = False  # type: ignore[attr-defined]


def interlaced(
    out: Path,
    seconds: float,
    *words: object,
    size: str = "720x480",
    rate: str = "30000/1001",
    marks: str = "field_mode=tff",
) -> Path:
    """MPEG-2 of interlaced frames, B pictures, open and closed groups; `marks`: order and colour, as setparams does."""
    fields = "60000/1001" if rate.endswith("1001") else "50"
    first = "bottom" if "bff" in marks else "top"
    ffmpeg(
        *(*test_card(seconds, fields, size), "-vf", f"tinterlace=interleave_{first},setparams={marks}"),
        *("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-bf", 2, "-g", 6),
        *("-b:v", "4M", "-maxrate", "6M", "-bufsize", "1835k"),
        *("-aspect", "4:3", *words, "-f", "mpeg2video", out),
    )
    return out


def soft(out: Path, seconds: float) -> Path:
    """Film with repeat-field flags: two pictures of three fields in every four."""
    film = out.with_suffix(".y4m")
    ffmpeg(*test_card(seconds, "24000/1001"), "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", film)
    words = ["mpeg2enc", "-v", "0", "-f", "8", "-a", "2", "-p", "-F", "1", "-g", "6", "-G", "9", "-R", "2", "-o", out]
    with film.open("rb") as frames:
        subprocess.run([str(w) for w in words], stdin=frames, check=True, capture_output=True)
    film.unlink()
    return out


class Media:
    """Small discs and files, made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / "cache"
        sound = root / "a.ac3"
        ffmpeg("-f", "lavfi", "-i", "sine=r=48000:d=1.4", "-ac", 2, "-c:a", "ac3", "-b:a", "192k", sound)
        self.hard = interlaced(root / "hard.m2v", 1.0)
        self.hard.write_bytes(self.hard.read_bytes() + b"\x00\x00\x01\xb7")  # mplex drops the last picture without it
        self.soft = soft(root / "soft.m2v", 32 * 1001 / 24000)
        self.mixed = root / "mixed.m2v"
        self.mixed.write_bytes(self.soft.read_bytes() + self.hard.read_bytes())
        self.hard_vob, self.soft_vob = root / "hard.vob", root / "soft.vob"
        for video, vob, delay in ((self.hard, self.hard_vob, "120ms"), (self.soft, self.soft_vob, "0ms")):
            words = ["mplex", "-v", "0", "-f", "8", "-O", delay, "-o", str(vob), str(video), str(sound)]
            subprocess.run(words, check=True, capture_output=True)
        self.disc = self._author(root / "disc")
        self.video_ts = self.disc / "VIDEO_TS"
        subprocess.run(["genisoimage", "-quiet", "-dvd-video", "-o", root / "disc.iso", self.disc], check=True)
        subprocess.run(["genisoimage", "-quiet", "-o", root / "plain.iso", self.disc], check=True)
        self._several()
        notes = root / "chapters.txt"
        notes.write_text(
            ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=900\n"
        )
        self.mkv, self.ts, self.mp4 = (root / f"hard.{kind}" for kind in ("mkv", "ts", "mp4"))
        both = ("-map", "0:v", "-map", "0:a", "-c", "copy", "-metadata:s:a:0", "language=fra")
        ffmpeg("-fflags", "+genpts", "-i", self.hard_vob, "-i", notes, *both, "-map_metadata", 1, self.mkv)
        ffmpeg("-fflags", "+genpts", "-i", self.hard_vob, *both, self.ts)
        ffmpeg("-fflags", "+genpts", "-i", self.hard_vob, *both, self.mp4)

    def _author(self, out: Path) -> Path:
        """Title 1: film in three chapters; title 2: video; title 3: both again, with a clock each. All in one VOB."""
        plan = out.with_suffix(".xml")
        plan.write_text(
            f'<dvdauthor dest="{out}"><vmgm/><titleset><titles><video format="ntsc" aspect="4:3"/>'
            '<audio lang="en"/><subpicture lang="fr"/>'
            f'<pgc><vob file="{self.soft_vob}" chapters="0,0:00.4,0:00.9"/></pgc>'
            f'<pgc><vob file="{self.hard_vob}" chapters="0,0:00.5"/></pgc>'
            f'<pgc><vob file="{self.soft_vob}"/><vob file="{self.hard_vob}" chapters="0"/></pgc>'
            "</titles></titleset></dvdauthor>"
        )
        environment = os.environ | {"VIDEO_FORMAT": "NTSC"}
        subprocess.run(["dvdauthor", "-x", str(plan)], check=True, capture_output=True, env=environment)
        return out

    def _several(self) -> None:
        """The VOB of the disc as two files, as discs cut them at 1 GB."""
        self.several = self.root / "several" / "VIDEO_TS"
        shutil.copytree(self.video_ts, self.several)
        whole = self.several / "VTS_01_1.VOB"
        data, middle = whole.read_bytes(), 150 * PACK
        whole.write_bytes(data[:middle])
        (self.several / "VTS_01_2.VOB").write_bytes(data[middle:])

    def path(self, kind: str) -> Path:
        names = {"m2v": self.hard, "vob": self.hard_vob, "several": self.several / "VTS_01_1.VOB", "mkv": self.mkv}
        names |= {"video_ts": self.disc, "iso": self.root / "disc.iso", "plain_iso": self.root / "plain.iso"}
        return (names | {"ts": self.ts, "mp4": self.mp4})[kind]

    def title(self, kind: str) -> int:
        return 2 if kind in ("video_ts", "iso", "plain_iso") else 1

    def open(self, path: Path | Sequence[Path], **options: object) -> vs.VideoNode:
        return source(path, cache=self.cache, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))


def ffprobe(address: str | Path, *words: str) -> dict[str, object]:
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", *words, str(address)], check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def video_stream(address: str | Path) -> dict[str, str]:
    streams = ffprobe(address, "-count_frames", "-select_streams", "v", "-show_streams")["streams"]
    return streams[0]  # type: ignore[index,no-any-return]


def decoded(address: str | Path, size: tuple[int, int] = (720, 480)) -> list[list[bytes]]:
    """The planes of each picture as ffmpeg decodes them in a line."""
    words = ["ffmpeg", "-v", "error", "-i", str(address), "-map", "0:v", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    data = subprocess.run([*words, "-fps_mode", "passthrough", "-"], check=True, capture_output=True).stdout
    luma = size[0] * size[1]
    ends = [0, luma, luma * 5 // 4, luma * 3 // 2]
    pictures = [data[at : at + ends[3]] for at in range(0, len(data), ends[3])]
    return [[p[a:b] for a, b in pairwise(ends)] for p in pictures]


def hashed(planes: Sequence[bytes]) -> str:
    h = hashlib.blake2b(digest_size=12)
    for plane in planes:
        h.update(plane)
    return h.hexdigest()


def flags(address: str | Path) -> list[tuple[int, bool]]:
    """Fields shown, top field first, of each picture, as ffprobe tells."""
    words = ("-select_streams", "v", "-show_entries", "frame=repeat_pict,top_field_first")
    frames = ffprobe(address, *words)["frames"]
    return [(2 + f["repeat_pict"], bool(f["top_field_first"])) for f in frames]  # type: ignore[attr-defined]


def woven(address: str | Path) -> list[str]:
    """Hashes of the frames that ffmpeg's pictures and ffprobe's flags make, field by field."""
    queue: dict[bool, list[list[bytes]]] = {True: [], False: []}
    for planes, (shown, top) in zip(decoded(address), flags(address), strict=True):
        for n in range(shown):
            queue[top ^ bool(n % 2)].append(planes)
    tops, bottoms = queue[True], queue[False]
    frames = []
    for n in range((len(tops) + len(bottoms) + 1) // 2):
        a, b = tops[min(n, len(tops) - 1)], bottoms[min(n, len(bottoms) - 1)]
        mixed = []
        for upper, lower, width in zip(a, b, (720, 360, 360), strict=True):
            rows = [(lower if y % 2 else upper)[y * width : (y + 1) * width] for y in range(len(upper) // width)]
            mixed.append(b"".join(rows))
        frames.append(hashed(mixed))
    return frames


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_the_exact_frames_twice(media: Media, kind: str) -> None:
    path, number = media.path(kind), media.title(kind)
    title = probe(path).titles[number - 1]
    clip = media.open(path, title=number)
    expected = woven(title.address)
    if kind != "several":  # that one is both titles: its film has repeats
        assert clip.num_frames == len(expected) == int(video_stream(title.address)["nb_read_frames"]) == 30
    assert clip.num_frames == len(expected)
    assert title.duration == clip.num_frames / NTSC
    assert (clip.format.id, clip.width, clip.height, clip.fps) == (vs.YUV420P8, 720, 480, NTSC)
    order = list(range(clip.num_frames))
    random.Random(kind).shuffle(order)
    shuffled = digests(clip, order)
    core.clear_cache()
    again = digests(media.open(path, title=number), sorted(order, reverse=True))
    assert shuffled == again == dict(enumerate(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_props_are_true_on_every_frame(media: Media, kind: str) -> None:
    clip = media.open(media.path(kind), title=media.title(kind))
    expected = {"_FieldBased": 2, "_SARNum": 10, "_SARDen": 11, "_DurationNum": 1001, "_DurationDen": 30000}
    expected |= {"_Matrix": 6, "_Primaries": 6, "_Transfer": 6, "_Range": 0, "_ChromaLocation": 0}
    for frame in clip.frames(close=True):
        assert {k: frame.props.get(k) for k in expected} == expected
        assert {"DS9VS_Repeat", "DS9VS_Guess"} <= set(frame.props)
        assert not {"TopFieldFirst", "RepeatField"} & set(frame.props)


def test_what_the_disc_does_not_say_is_recorded(media: Media) -> None:
    assert probe(media.hard).titles[0].video.guesses == ("primaries", "transfer", "matrix")
    props = media.open(media.hard).get_frame(0).props
    assert props["DS9VS_Guess"] == "primaries,transfer,matrix"
    assert media.open(media.hard, matrix=1).get_frame(0).props["DS9VS_Guess"] == "primaries,transfer"
    assert media.open(media.hard, matrix=1).get_frame(0).props["_Matrix"] == 1


def test_overrides_are_believed(media: Media) -> None:
    props = media.open(media.hard, tff=False, sar=Fraction(40, 33)).get_frame(3).props
    assert (props["_FieldBased"], props["_SARNum"], props["_SARDen"]) == (1, 40, 33)


def test_a_clip_is_pure(media: Media, assert_pure: Callable[[Callable[[], vs.VideoNode]], None]) -> None:
    assert_pure(lambda: media.open(media.mixed))


@pytest.mark.parametrize("name", ["soft", "mixed", "soft_vob"])
def test_repeat_flags_become_fields(media: Media, name: str, tmp_path: Path) -> None:
    path = getattr(media, name)
    clip = media.open(path)
    shown = flags(path)
    assert clip.num_frames == (sum(n for n, _ in shown) + 1) // 2
    assert clip.fps == NTSC
    found = digests(clip)
    assert list(found.values()) == woven(path)
    peer = core.bs.VideoSource(str(path), rff=1, cachemode=0)
    assert digests(peer) == found
    assert probe(path).titles[0].duration == Fraction(sum(n for n, _ in shown)) / (2 * NTSC)


def test_repeats_are_marked_where_a_field_is_the_same(media: Media) -> None:
    """Film: of ten fields, the third of each picture of three repeats its first: fields 2 and 7."""
    marks = [f.props["DS9VS_Repeat"] for f in media.open(media.soft).frames(close=True)]
    assert marks == [0, 1, 0, 2, 0] * 8
    clip = media.open(media.soft)
    tops, bottoms = (clip.std.SeparateFields(tff=True)[k::2] for k in (0, 1))
    for fields, bit in ((tops, 1), (bottoms, 2)):
        hashes = list(digests(fields).values())
        same = [n > 0 and hashes[n] == hashes[n - 1] for n in range(len(hashes))]
        assert same == [bool(mark & bit) for mark in marks]


def test_a_hard_telecined_tape_has_no_marks(media: Media) -> None:
    assert {f.props["DS9VS_Repeat"] for f in media.open(media.hard).frames(close=True)} == {0}
    found = probe(media.soft).titles[0].video
    assert (found.repeats, found.interlaced, found.field_order) == (Fraction(1, 2), 0, "tff")
    found = probe(media.mixed).titles[0].video
    assert found.repeats == Fraction(16, 62)
    assert found.interlaced == Fraction(30, 62)


def fields(pictures: Sequence[Coded]) -> list[int]:
    table = _expand(pictures)
    return [n for pair in zip(table.first, table.second, strict=True) for n in pair]


def test_broken_flags_keep_order_and_collect_no_time() -> None:
    film = [Coded(1, True), Coded(0, False), Coded(1, False), Coded(0, True)]
    assert fields(film) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    cut = [*film[:1], *film, *film[:1]]  # a picture of three fields, then one that starts on the top again
    assert fields(cut)[:5] == [0, 0, 0, 0, 1], "a field is repeated, so that the next picture starts on its own parity"
    many = cut * 4
    assert abs(len(fields(many)) - sum(2 + p.repeats for p in many)) <= 2
    table = _expand(many)
    assert table.first == sorted(table.first) and table.second == sorted(table.second)
    sloppy = [Coded(0, n % 2 == 0) for n in range(50)] + film
    assert len(fields(sloppy)) == 110, "flags that contradict each other often insert nothing"
    odd = [Coded(1, True)]
    assert fields(odd) == [0, 0, 0, 0]
    assert _expand(odd).marks == b"\x00\x03"


def test_a_break_between_cells_is_mended_in_pixels(media: Media, tmp_path: Path) -> None:
    odd = soft(tmp_path / "odd.m2v", 9 * 1001 / 24000)  # 23 fields
    both = tmp_path / "both.m2v"
    both.write_bytes(odd.read_bytes() + media.hard.read_bytes())
    assert sum(n for n, _ in flags(odd)) % 2 == 1
    clip, alone = media.open(both), media.open(media.hard)
    assert clip.num_frames == 12 + 30
    assert list(digests(clip[12:]).values()) == list(digests(alone).values()), "whole frames again after the break"


def test_bottom_field_first(media: Media, tmp_path: Path) -> None:
    path = interlaced(tmp_path / "bff.m2v", 0.3, marks="field_mode=bff")
    assert probe(path).titles[0].video.field_order == "bff"
    assert media.open(path).get_frame(0).props["_FieldBased"] == 1


def test_film_files_stay_progressive(media: Media, tmp_path: Path) -> None:
    for name in ("film.mkv", "film.mp4"):
        path = tmp_path / name
        ffmpeg(*test_card(0.5, "24000/1001", "704x480"), "-vf", "setsar=10/11", "-c:v", "libx264", "-g", 5, path)
        title, clip = probe(path).titles[0], media.open(path)
        assert (clip.num_frames, clip.fps, title.video.fps) == (12, Fraction(24000, 1001), Fraction(24000, 1001))
        assert title.video.aspect == Fraction(4, 3)
        assert title.duration == 12 / clip.fps
        for frame in clip.frames(close=True):
            assert frame.props["_FieldBased"] == 0
            assert (frame.props["_SARNum"], frame.props["_SARDen"]) == (10, 11)
            assert (frame.props["_DurationNum"], frame.props["_DurationDen"]) == (1001, 24000)


def test_pal_and_wide(media: Media, tmp_path: Path) -> None:
    for aspect, sar in (("4:3", Fraction(12, 11)), ("16:9", Fraction(16, 11))):
        path = interlaced(tmp_path / "pal.m2v", 0.2, "-aspect", aspect, size="720x576", rate="25")
        video, clip = probe(path).titles[0].video, media.open(path)
        assert (video.sar, video.fps, clip.fps, clip.height) == (sar, 25, 25, 576)
        assert (video.matrix, video.primaries, video.transfer) == (5, 5, 6)
        props = clip.get_frame(0).props
        assert Fraction(props["_SARNum"], props["_SARDen"]) == sar
    wide = interlaced(tmp_path / "wide.m2v", 0.2, "-aspect", "16:9")
    assert probe(wide).titles[0].video.sar == Fraction(40, 33)
    half = interlaced(tmp_path / "half.m2v", 0.2, size="352x480")
    assert probe(half).titles[0].video.sar == Fraction(20, 11)


def test_stated_colour_is_no_guess(tmp_path: Path) -> None:
    marks = "field_mode=tff:colorspace=bt470bg:color_primaries=bt470bg:color_trc=bt470bg"
    video = probe(interlaced(tmp_path / "a.m2v", 0.2, marks=marks)).titles[0].video
    assert (video.matrix, video.primaries, video.transfer, video.guesses) == (5, 5, 5, ())


def test_a_disc_is_listed(media: Media) -> None:
    for kind in ("video_ts", "iso", "plain_iso"):
        disc = probe(media.path(kind))
        assert disc.kind == kind.removeprefix("plain_")
        assert [t.number for t in disc.titles] == [1, 2, 3]
        film, video, both = disc.titles
        assert [(a.codec, a.channels, a.language) for a in film.audio] == [("ac3", 2, "en")]
        assert [s.language for s in film.subtitles] == ["fr"]
        assert film.video.aspect == Fraction(4, 3)
        assert (film.duration, video.duration, both.duration) == (40 / NTSC, 30 / NTSC, 70 / NTSC)
        assert (len(film.chapters), len(video.chapters), film.angles, film.truncated) == (3, 2, 1, False)
    assert probe(media.video_ts) == probe(media.disc).__class__(
        path=str(media.video_ts), kind="video_ts", titles=probe(media.disc).titles
    )


def chapters_of(media: Media, path: Path, number: int, sectors: Sequence[int]) -> None:
    """Check a title's chapters against ffprobe: each starts with the first shown picture in the chapter's sectors."""
    title = probe(path).titles[number - 1]
    whole = media.open(path, title=number)
    every = list(digests(whole).values())
    words = ("-select_streams", "v", "-show_entries", "frame=pkt_pos,repeat_pict")
    pictures = ffprobe(title.address, *words)["frames"]
    starts = []
    for sector in sectors:
        offset = sector * PACK - title.extents[0][0].start
        before = [p for p in pictures if int(p["pkt_pos"]) < offset]  # type: ignore[attr-defined]
        starts.append(sum(2 + p["repeat_pict"] for p in before))
    assert [c * 2 * NTSC for c in title.chapters] == starts
    assert title.duration == Fraction(sum(2 + p["repeat_pict"] for p in pictures)) / (2 * NTSC)  # type: ignore[attr-defined]
    frames = [*(field // 2 for field in starts), whole.num_frames]
    assert len(frames) == len(title.chapters) + 1 >= 3
    for n, (first, stop) in enumerate(pairwise(frames)):
        part = media.open(path, title=number, chapters=(n, n + 1))
        assert list(digests(part).values()) == every[first:stop]
    rest = media.open(path, title=number, chapters=(1, None))
    assert list(digests(rest).values()) == every[frames[1] :]


@pytest.mark.parametrize("number", [1, 2])
def test_chapters_are_exact(media: Media, number: int) -> None:
    chapters_of(media, media.disc, number, cell_sectors(media, number))


def test_a_title_may_share_its_pictures_with_another(media: Media, tmp_path: Path) -> None:
    """Title 1 without its first cell: it starts inside the VOB, with pictures that cannot be decoded any more."""

    def drop_first_cell(tables: bytearray, data: bytearray) -> None:
        chain, _ = chain_of(tables, 1)
        tables[chain + 2] = tables[chain + 3] = 2
        for at, step in ((0xE8, 24), (0xEA, 4)):
            start = int.from_bytes(tables[chain + at : chain + at + 2])
            tables[chain + at : chain + at + 2] = (start + step).to_bytes(2)

    folder = patched(media, tmp_path / "VIDEO_TS", drop_first_cell)
    title = probe(folder).titles[0]
    sectors = cell_sectors(media, 1)[1:]
    assert title.extents[0][0].start == sectors[0] * PACK
    chapters_of(media, folder, 1, sectors)

    def close_group(tables: bytearray, data: bytearray) -> None:
        drop_first_cell(tables, data)
        data[data.index(b"\x00\x00\x01\xb8", sectors[0] * PACK) + 7] |= 0x40

    closed = patched(media, tmp_path / "closed" / "VIDEO_TS", close_group)
    chapters_of(media, closed, 1, sectors)
    more = probe(closed).titles[0]
    assert more.duration and title.duration and more.audio[0].delay is not None and title.audio[0].delay is not None
    assert more.duration > title.duration, "of a closed group the leading pictures are shown"
    assert more.audio[0].delay - title.audio[0].delay == more.duration - title.duration


def test_a_title_of_two_clocks(media: Media) -> None:
    """Soft and hard telecine in one title, the time stamps starting anew between them."""
    for kind in ("video_ts", "iso"):
        title = probe(media.path(kind)).titles[2]
        assert len(title.breaks[0]) == 1
        clip = media.open(media.path(kind), title=3)
        assert clip.num_frames == 70 and clip.fps == NTSC
        alone = [list(digests(media.open(media.disc, title=n)).values()) for n in (1, 2)]
        assert list(digests(clip).values()) == alone[0] + alone[1]
        assert list(digests(media.open(media.path(kind), title=3, chapters=(1, None))).values()) == alone[1]
        assert list(digests(media.open(media.path(kind), title=3, chapters=(0, 1))).values()) == alone[0]
        assert {f.props["_DurationNum"] for f in clip.frames(close=True)} == {1001}


def test_long_titles_are_sampled(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are estimated from windows; durations and chapters are exact all the same, by the clock of the disc."""
    exact = [*probe(media.disc).titles, *probe([media.video_ts / "VTS_01_1.VOB"]).titles]
    monkeypatch.setattr(disc_room, "SAMPLED", 0)
    monkeypatch.setattr(disc_room, "survey", partial(disc_room.survey, window=60_000, windows=3))
    for title, sampled in zip(
        exact, [*probe(media.disc).titles, *probe([media.video_ts / "VTS_01_1.VOB"]).titles], strict=True
    ):
        assert sampled.duration == title.duration
        assert sampled.chapters == title.chapters
        assert sampled.breaks == title.breaks
        assert (sampled.video.field_order, sampled.video.sar) == ("tff", Fraction(10, 11))
        assert abs(sampled.video.repeats - title.video.repeats) < Fraction(1, 4)
        assert [a.delay for a in sampled.audio] == [a.delay for a in title.audio]
    assert exact[-1].duration == 70 / NTSC
    assert exact[2].chapters[-1] == 40 / NTSC


def cell_sectors(media: Media, number: int) -> list[int]:
    """First sectors of a title's cells, found by looking at every sector for navigation packs."""
    vob = media.video_ts / "VTS_01_1.VOB"
    extent = [Extent(path=str(vob), start=0, stop=vob.stat().st_size)]
    found: dict[tuple[int, int], int] = {}
    for sector in range(vob.stat().st_size // PACK):
        pack = nav(extent, sector)
        if pack and pack.vob == number:
            found.setdefault((pack.vob, pack.cell), sector)
    return list(found.values())


def test_sound_starts_where_the_stamps_say(media: Media) -> None:
    """Against ffprobe's start times, which are rounded to a microsecond."""
    for path, number in ((media.hard_vob, 0), (media.soft_vob, 0), (media.disc, 1), (media.ts, 0), (media.mkv, 0)):
        title = probe(path).titles[number]
        streams = ffprobe(title.address, "-show_entries", "stream=codec_type,start_time")["streams"]
        begins = {s["codec_type"]: float(s["start_time"]) for s in streams}  # type: ignore[attr-defined]
        assert title.audio[0].delay is not None
        assert float(title.audio[0].delay) == pytest.approx(begins["audio"] - begins["video"], abs=2e-6), path
    assert probe(media.hard_vob).titles[0].audio[0].delay == Fraction(-12, 100)
    assert probe(media.mp4).titles[0].audio[0].delay is None


def test_files_name_their_tracks_and_chapters(media: Media) -> None:
    for path in (media.mkv, media.ts, media.mp4):
        audio = probe(path).titles[0].audio
        assert [(a.codec, a.channels, a.language) for a in audio] == [("ac3", 2, "fra")], path
    assert [round(float(c), 1) for c in probe(media.mkv).titles[0].chapters][:1] == [0.0]
    assert len(probe(media.mkv).titles[0].chapters) == 2
    assert media.open(media.mkv, chapters=(1, 2)).num_frames < 30


def test_captions_are_seen(media: Media, tmp_path: Path) -> None:
    assert not probe(media.hard).titles[0].video.captions
    data = media.hard.read_bytes()
    at = data.index(b"\x00\x00\x01\x00")
    (tmp_path / "cc.m2v").write_bytes(data[:at] + b"\x00\x00\x01\xb2CC\x01\xf8\x02\xff\x80\x80" + data[at:])
    assert probe(tmp_path / "cc.m2v").titles[0].video.captions


def test_a_title_set_of_several_files_is_one_title(media: Media) -> None:
    first, second = (media.several / f"VTS_01_{n}.VOB" for n in (1, 2))
    both = probe(first).titles[0]
    assert both.files == (str(first), str(second))
    assert both.address == f"concat:{first}|{second}"
    assert probe(second).titles[0].files == both.files
    assert both.audio[0].language == "en"
    alone = probe([first])
    assert alone.titles[0].files == (str(first),)
    listed = media.open([media.hard_vob, media.hard_vob])
    assert listed.num_frames == 60
    found = list(digests(listed).values())
    assert found[:30] == found[30:] == list(digests(media.open(media.hard_vob)).values())
    cut = probe(media.several.parent).titles
    assert cut[0].duration == 40 / NTSC
    for number in (1, 2):
        whole = digests(media.open(media.disc, title=number))
        assert digests(media.open(media.several, title=number)) == whole


def patched(media: Media, out: Path, change: Callable[[bytearray, bytearray], None]) -> Path:
    """A copy of the disc with its IFO and VOB changed."""
    shutil.copytree(media.video_ts, out)
    ifo, vob = out / "VTS_01_0.IFO", out / "VTS_01_1.VOB"
    tables, data = bytearray(ifo.read_bytes()), bytearray(vob.read_bytes())
    change(tables, data)
    ifo.write_bytes(tables)
    vob.write_bytes(data)
    return out


def chain_of(tables: bytearray, number: int) -> tuple[int, int]:
    """Where a program chain and its cell table begin."""
    chains = int.from_bytes(tables[0xCC:0xD0]) * PACK
    chain = chains + int.from_bytes(tables[chains + 8 * number + 4 : chains + 8 * number + 8])
    return chain, chain + int.from_bytes(tables[chain + 0xE8 : chain + 0xEA])


def test_interleaved_angles_are_told_apart(media: Media, tmp_path: Path) -> None:
    """Title 2's two cells made two angles, their units laid alternately."""

    def interleave(tables: bytearray, data: bytearray) -> None:
        _, cells = chain_of(tables, 2)
        entry = [cells, cells + 24]
        spans = [(int.from_bytes(tables[e + 8 : e + 12]), int.from_bytes(tables[e + 20 : e + 24]) + 1) for e in entry]
        (tmp_path / "whole.vob").write_bytes(data)
        whole = [Extent(path=str(tmp_path / "whole.vob"), start=0, stop=len(data))]
        units: list[list[tuple[int, int]]] = []
        for first, stop in spans:
            at, found = first, []
            while at < stop:
                pack = nav(whole, at)
                assert pack
                found.append((at, pack.length))
                at += pack.length
            units.append(found)
        assert min(map(len, units)) >= 2
        order = [u for n in range(max(map(len, units))) for found in units for u in found[n : n + 1]]
        base = spans[0][0]
        new = b"".join(data[a * PACK : (a + n) * PACK] for a, n in order)
        place = {}
        for a, n in order:
            place[a] = base
            base += n
        data[spans[0][0] * PACK : spans[1][1] * PACK] = new
        for k, e in enumerate(entry):
            tables[e] = (0x40 if k == 0 else 0xC0) | 0x10 | 0x04
            last = units[k][-1]
            tables[e + 8 : e + 12] = place[units[k][0][0]].to_bytes(4)
            tables[e + 16 : e + 20] = place[last[0]].to_bytes(4)
            tables[e + 20 : e + 24] = (place[last[0]] + last[1] - 1).to_bytes(4)

    folder = patched(media, tmp_path / "VIDEO_TS", interleave)
    title = probe(folder).titles[1]
    assert title.angles == 2
    parts = [digests(media.open(media.disc, title=2, chapters=(n, n + 1))) for n in (0, 1)]
    assert digests(media.open(folder, title=2)) == parts[0]
    second = list(digests(media.open(folder, title=2, angle=2)).values())
    assert second == list(parts[1].values())[2:], "all but the two leading pictures, which need the other angle's"
    with pytest.raises(CustomValueError, match="no angle 3; it has 2 angles"):
        media.open(folder, title=2, angle=3)


def sentence(error: BaseException) -> str:
    text = str(error)
    assert len(text) < 500 and "\n" not in text.strip().split(") ", 1)[-1].rstrip("."), text
    return text


def raising(act: Callable[[], object], pattern: str, kind: type[Exception] = CustomValueError) -> None:
    with pytest.raises(kind, match=pattern) as caught:
        act()
    sentence(caught.value)


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_files_that_are_no_video(media: Media, tmp_path: Path) -> None:
    before = sorted(media.cache.rglob("*")) if media.cache.exists() else []
    sound = tmp_path / "sound.mkv"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", sound)
    ffmpeg("-i", sound, "-f", "dvd", tmp_path / "sound.vob")
    ffmpeg("-i", sound, tmp_path / "sound.wav")
    (tmp_path / "folder").mkdir()
    ffmpeg(*test_card(0.2, "25", "352x288"), "-c:v", "mpeg1video", tmp_path / "one.mpg")
    ffmpeg(*test_card(0.2, "25", "352x288"), "-c:v", "libx264", tmp_path / "avc.ts")
    cases: list[tuple[Path, str]] = [
        (write(tmp_path / "empty.vob", b""), "is empty"),
        (write(tmp_path / "text.vob", "Log of the disc\n" * 400), "is no video that can be read"),
        (write(tmp_path / "noise.vob", random.Random(1).randbytes(99_999)), "is no video that can be read"),
        (write(tmp_path / "zeros.iso", bytes(99_999)), "is no video that can be read"),
        (tmp_path / "sound.wav", "is no video that can be read"),
        (sound, "holds no video track"),
        (tmp_path / "sound.vob", "holds no video"),
        (write(tmp_path / "head.m2v", media.hard.read_bytes()[:12]), "holds no video"),
        (write(tmp_path / "cut.mp4", media.mp4.read_bytes()[:-2000]), "cut short or damaged: its 'moov' box"),
        (write(tmp_path / "cut.mkv", media.mkv.read_bytes()[:200]), "cut short or damaged: the description"),
        (tmp_path / "folder", "holds no VIDEO_TS"),
        (tmp_path / "one.mpg", "holds mpeg1video video; .* remux it into Matroska"),
        (tmp_path / "avc.ts", "holds h264 video; .* remux it into Matroska"),
        (write(tmp_path / "plain.iso", (media.root / "plain.iso").read_bytes()[:70_000]), "."),
    ]
    for path, pattern in cases:
        for act in (probe, media.open):
            raising(lambda act=act, path=path: act(path), pattern)  # type: ignore[misc]
    raising(lambda: media.open(tmp_path / "none.vob"), "There is no file", FileWasNotFoundError)
    raising(lambda: media.open([]), "empty list")
    raising(lambda: media.open([media.hard_vob, media.mkv]), "is no VOB")
    after = sorted(media.cache.rglob("*")) if media.cache.exists() else []
    assert after == before, "nothing is written for them"


def test_a_damaged_disc(media: Media, tmp_path: Path) -> None:
    def disc(name: str) -> Path:
        return Path(shutil.copytree(media.video_ts, tmp_path / name / "VIDEO_TS"))

    for size in (0, 100, 3000, 5000, -1):
        folder = disc(f"cut{size}")
        for name in ("VTS_01_0.IFO", "VIDEO_TS.IFO"):
            whole = (media.video_ts / name).read_bytes()
            (folder / name).write_bytes(whole[:size])
            raising(lambda folder=folder: probe(folder), f"{name} is cut short or damaged")  # type: ignore[misc]
            (folder / name).write_bytes(whole)
    folder = disc("noifo")
    (folder / "VTS_01_0.IFO").unlink()
    raising(lambda: probe(folder), "has no VTS_01_0.IFO")
    folder = disc("novob")
    (folder / "VTS_01_1.VOB").unlink()
    raising(lambda: probe(folder), "has no pictures")
    folder = disc("text")
    (folder / "VIDEO_TS.IFO").write_text("not an IFO at all")
    raising(lambda: probe(folder), "is not an IFO")


def test_a_cut_stream_plays_to_where_it_ends(media: Media, tmp_path: Path) -> None:
    data = media.hard_vob.read_bytes()
    for name, stop in (("half.vob", len(data) // 2), ("odd.vob", len(data) * 2 // 3 + 777)):
        path = write(tmp_path / name, data[:stop])
        clip = media.open(path)
        assert 0 < clip.num_frames < 30
        assert clip.num_frames == int(video_stream(path)["nb_read_frames"])
        assert len(digests(clip)) == clip.num_frames
    folder = Path(shutil.copytree(media.video_ts, tmp_path / "VIDEO_TS"))
    vob = folder / "VTS_01_1.VOB"
    vob.write_bytes(vob.read_bytes()[: -200 * PACK])
    film, _, both = probe(folder).titles
    assert (film.truncated, both.truncated) == (False, True)
    left = media.open(folder, title=3).num_frames
    assert 40 < left < 70
    assert media.open(folder, title=3, chapters=(1, 2)).num_frames == left - 40
    mkv = write(tmp_path / "cut.mkv", media.mkv.read_bytes()[: media.mkv.stat().st_size // 2])
    assert 0 < media.open(mkv).num_frames < 30


def test_an_encrypted_disc_is_refused(media: Media, tmp_path: Path) -> None:
    def scramble(tables: bytearray, data: bytearray) -> None:
        for at in range(len(data) // 2 // PACK * PACK, len(data), PACK):
            if data[at + 17] & 0xF0 == 0xE0:
                data[at + 20] |= 0x30

    folder = patched(media, tmp_path / "VIDEO_TS", scramble)
    raising(lambda: probe(folder), "is encrypted .*; only decrypted copies")
    raising(lambda: media.open(folder / "VTS_01_1.VOB"), "is encrypted")


def test_numbers_that_do_not_exist(media: Media) -> None:
    raising(
        lambda: media.open(media.disc), r"has several titles: 1 \(0:00:01, 3 chapters\), 2 .*choose one with title="
    )
    raising(lambda: media.open(media.disc, title=4), r"has no title 4; there is: 1 \(")
    raising(lambda: media.open(media.disc, title=1, angle=2), "no angle 2; it has only one angle")
    for chapters in ((3, 4), (0, 4), (2, 2), (-1, 2)):
        raising(lambda c=chapters: media.open(media.disc, title=1, chapters=c), r"chapters 0 to 2, so \(0, 3\)")  # type: ignore[misc]
    raising(lambda: media.open(media.hard, chapters=(0, 1)), "it has no chapters")


def test_pictures_of_two_sizes(media: Media, tmp_path: Path) -> None:
    small = interlaced(tmp_path / "small.m2v", 0.3, size="352x480")
    vob = tmp_path / "small.vob"
    ffmpeg("-i", small, "-c", "copy", "-f", "dvd", vob)
    raising(lambda: media.open([media.hard_vob, vob]), "change their size or format")


def test_a_variable_rate_is_refused(media: Media, tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    words = ("-vf", "select='lt(n,12)+not(mod(n,4))'", "-fps_mode", "vfr", "-c:v", "libx264", path)
    ffmpeg(*test_card(2, "24"), *words)
    raising(lambda: media.open(path), "variable frame rate")


def test_a_missing_plugin(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ds9vs.plugins, "_function", lambda name: None)
    raising(lambda: media.open(media.hard), "pip install 'vapoursynth-bestsource", CustomRuntimeError)


def listing(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file())


def test_the_index_is_kept_in_the_cache_alone(media: Media, tmp_path: Path) -> None:
    beside = sorted(media.root.rglob("*"))
    cache = tmp_path / "new" / "cache"
    clip = source(media.hard, cache=cache)
    (index,) = listing(cache)
    assert index.suffix == ".bsindex"
    stamp = index.stat().st_mtime_ns
    wanted = digests(clip)
    assert digests(source(media.hard, cache=cache)) == wanted
    assert [p.stat().st_mtime_ns for p in listing(cache)] == [stamp]
    assert sorted(media.root.rglob("*")) == beside


def test_the_default_folder_is_the_users(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    source(media.hard)
    assert len([p for p in listing(tmp_path) if "ds9vs" in p.parts and p.suffix == ".bsindex"]) == 1


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95])
def test_a_damaged_index_is_made_again(media: Media, tmp_path: Path, share: float) -> None:
    wanted = digests(source(media.hard, cache=tmp_path))
    (index,) = listing(tmp_path)
    whole = index.read_bytes()
    index.write_bytes(whole[: int(len(whole) * share)])
    assert digests(source(media.hard, cache=tmp_path)) == wanted
    assert index.read_bytes() == whole


def test_another_file_of_that_name_and_size_has_its_own_index(media: Media, tmp_path: Path) -> None:
    one = write(tmp_path / "a.m2v", media.hard.read_bytes())
    source(one, cache=tmp_path / "cache")
    time.sleep(0.01)
    write(one, media.hard.read_bytes())
    source(one, cache=tmp_path / "cache")
    assert len(list(listing(tmp_path / "cache"))) == 2


def test_a_cache_folder_that_cannot_be_written(media: Media, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file" / "cache", "/proc/ds9vs"):

        def act(folder: str | Path = folder) -> vs.VideoNode:
            return source(media.hard, cache=folder)

        raising(act, "cache folder .* cannot be written .*; give another with cache=", CustomRuntimeError)


def python(code: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_full_cache_leaves_nothing(media: Media, tmp_path: Path) -> None:
    """A limit on the size of files stops writing as a full disk does."""
    code = (
        "import sys, resource; from ds9vs.source import source; resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "try: source(sys.argv[1], cache=sys.argv[2])\nexcept Exception as e: print(type(e).__name__, e)"
    )
    said, noise = python(code, media.hard, tmp_path / "cache").communicate(timeout=60)
    assert re.search(r"CustomRuntimeError.*cache folder .* cannot be written \(it is full\)", said), said + noise
    assert list((tmp_path / "cache").rglob("*")) == []
    assert source(media.hard, cache=tmp_path / "cache").num_frames == 30


def test_a_killed_indexing_leaves_nothing_that_is_used(media: Media, tmp_path: Path) -> None:
    long = tmp_path / "long.m2v"
    long.write_bytes(media.hard.read_bytes() * 20)
    code = "import sys; from ds9vs.source import source; source(sys.argv[1], cache=sys.argv[2])"
    process = python(code, long, tmp_path / "cache")
    while process.poll() is None and not list((tmp_path / "cache").glob("work-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list((tmp_path / "cache").glob("*.bsindex")), "killed too late for this test to mean anything"
    assert source(long, cache=tmp_path / "cache").num_frames == 600
    (left,) = (tmp_path / "cache").glob("work-*")
    os.utime(left, (0, 0))
    source(long, cache=tmp_path / "cache")
    assert not left.exists(), "what a killed process left is swept after a day"


def test_an_unknown_index_is_one_sentence(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_room, "_index", lambda data: None)
    raising(lambda: source(media.hard, cache=tmp_path), "index of this release of BestSource", CustomRuntimeError)


def test_hashes_notice_a_changed_pixel(media: Media) -> None:
    frame = media.open(media.hard).get_frame(0)
    changed = frame.copy()
    changed[0][0, 0] ^= 1
    assert digest(frame) != digest(changed)
