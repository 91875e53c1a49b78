"""The drawing of a map: whole, offline, quick, with what an editor needs to correct it."""

from __future__ import annotations

import base64
import os
import re
import shlex
import struct
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomError, CustomValueError
from vapoursynth import core

from ds9vs.cadence.measure import CHUNK, VERSION, Evidence, Grids, measure_fields
from ds9vs.cadence.model import Cadence, Kind, Shot, Tape
from ds9vs.cadence.override import Override
from ds9vs.cadence.show import draw

PARTS: list[tuple[Kind, str, float, tuple[str, ...]]] = [
    ("film", "23" * 12, 0.9999, ()),
    ("60i", "1" * 41, 0.62, ("dark",)),
    ("30p", "2" * 10, 0.97, ("<still> & \"'",)),
    ("layered", "1" * 35, 0.2, ("fade", "credits")),
]


def small() -> Cadence:
    shots, at = [], 0
    for kind, lengths, sure, notes in PARTS:
        stop = at + sum(map(int, lengths))
        base = "23" * 7 if kind == "layered" else ""
        shots.append(
            Shot(
                first=at, stop=stop, kind=kind, lengths=lengths, base=base, confidence=sure, notes=notes,
                combed=(2,) if kind == "film" else (),
            )
        )  # fmt: skip
        at = stop
    return Cadence(tape=Tape(frames=at // 2, fps=(30000, 1001), tff=True, content="0c1f"), shots=tuple(shots))


class Page(HTMLParser):
    """What a browser would find: texts, tags with their attributes, and whether all is closed."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def pixels(png: bytes) -> np.ndarray:  # type: ignore[type-arg]
    """A PNG read by ffmpeg, shape (height, width, 3)."""
    width, height = struct.unpack(">II", png[16:24])
    command = ["ffmpeg", "-v", "error", "-f", "png_pipe", "-i", "-", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, input=png, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


def test_the_page_stands_alone_and_lists_the_least_sure_first(tmp_path: Path) -> None:
    page, picture = draw(small(), tmp_path / "ep.html", name="my map.json")
    text = page.read_text(encoding="utf-8")
    found = Page(text)
    assert not found.open, "every tag is closed"
    assert not re.search(r"(https?:)?//[a-z]", text), "no link leads outside"
    assert "script" not in {tag for tag, _ in found.tags}
    assert [a["id"] for tag, a in found.tags if tag == "tr" and "id" in a] == ["shot-3", "shot-1", "shot-2", "shot-0"]
    ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    links = [a["href"] for tag, a in found.tags if tag == "a"]
    assert sorted(set(links)) == [f"#shot-{n}" for n in range(4)], "each shot drawn leads to its row"
    assert any("<still> & \"'" in said for said in found.said), "notes are plain text"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_commands_listed_are_typed_as_they_stand(tmp_path: Path) -> None:
    page, _ = draw(small(), tmp_path / "ep.html", name="my map.json")
    commands = [
        line for said in Page(page.read_text()).said for line in said.splitlines() if line.startswith("ds9vs c")
    ]
    words = [shlex.split(line, comments=True) for line in commands if " set " in line]
    assert len(words) == 16, "four kinds for each shot"
    assert all(word[:4] == ["ds9vs", "cadence", "set", "my map.json"] for word in words)
    assert ["--frames", "0-30", "--cadence", "film", "--phase", "0"] in [word[4:] for word in words]
    assert ["--fields", "60-101", "--cadence", "film"] in [word[4:] for word in words]


def test_shots_are_drawn_where_they_are_in_both(tmp_path: Path) -> None:
    cadence = small()
    _, picture = draw(cadence, tmp_path / "ep.html", overrides=[Override(first=0, stop=30, kind="film")])
    image = pixels(picture.read_bytes())
    lane = image[64 + 8]
    colours = {"film": (63, 127, 214), "30p": (43, 156, 116), "60i": (224, 135, 31), "layered": (169, 92, 196)}
    scale = (1280 - 94) / (5 * 60000 / 1001)
    for shot in cadence.shots:
        middle = round(94 + scale * (shot.first + shot.stop) / 2)
        assert tuple(lane[middle]) == colours[shot.kind], shot.kind
    under = image[64 + 22, round(94 + scale * 5)], image[64 + 22, round(94 + scale * 40)]
    assert tuple(under[0]) == (28, 39, 51) and tuple(under[1]) == colours["film"], "what was said by hand is underlined"


def moving(frames: int) -> vs.VideoNode:
    """A still half and a half of 60i motion, in one tape."""
    blank = core.std.BlankClip(format=vs.YUV420P8, width=160, height=96, length=2 * frames, fpsnum=60000, fpsden=1001)
    wave = f"X N {frames} < 0 N 9 * ? + 6 / sin 60 * 120 +"
    fields = blank.akarin.Expr([wave, "128"]).std.SeparateFields(tff=True).std.SelectEvery(4, [0, 3])
    return fields.std.DoubleWeave(tff=True)[::2].std.SetFieldBased(2)


def test_evidence_and_thumbnails_show_what_the_tape_holds(tmp_path: Path) -> None:
    tape = moving(75)
    evidence = measure_fields(tape, cache=tmp_path, show_progress=False)
    shots = (
        Shot(first=0, stop=75, kind="film", lengths="2" * 37 + "1", confidence=0.5),
        Shot(first=75, stop=150, kind="60i", lengths="1" * 75, confidence=0.9),
    )
    cadence = Cadence(tape=Tape(frames=75, fps=(30000, 1001), tff=True, content=""), shots=shots)
    page, picture = draw(cadence, tmp_path / "ep.html", evidence=evidence, tape=tape)
    image = pixels(picture.read_bytes())
    scale = (1280 - 94) / (5 * 60000 / 1001)
    still, moves = (image[:, round(94 + scale * n)] for n in (30, 120))
    for lane, top in (("moves", 64 + 48), ("alone", 64 + 65)):
        paper, drawn = still[top + 11].tolist(), moves[top + 11].tolist()
        assert paper == [238, 241, 244], f"{lane}: the still half is empty"
        assert drawn != paper, f"{lane}: the other is not"
    sources = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page.read_text())
    assert len(sources) == 2
    first, second = (pixels(base64.b64decode(source)) for source in sources)
    assert first.shape == second.shape == (84, 3 * 112 + 6, 3)
    early, late = second[:, :112].astype(int), second[:, -112:].astype(int)
    assert np.abs(early - late).mean() > 5, "the moving shot's thumbnails differ"
    assert np.abs(first[:, :112].astype(int) - first[:, -112:]).mean() < 2, "the still one's do not"


@pytest.mark.parametrize("form", [vs.GRAY8, vs.YUV422P10, vs.YUV444P16])
def test_thumbnails_of_any_tape(form: int, tmp_path: Path) -> None:
    cadence = small()
    tape = core.std.BlankClip(format=form, width=64, height=48, length=cadence.tape.frames, fpsnum=30000, fpsden=1001)
    page, _ = draw(cadence, tmp_path / "ep.html", tape=tape.std.SetFieldBased(2))
    assert page.read_text().count("data:image/png") == 4


def test_a_tape_of_one_frame_is_drawn(tmp_path: Path) -> None:
    one = Shot(first=0, stop=2, kind="film", lengths="2", confidence=1.0)
    cadence = Cadence(tape=Tape(frames=1, fps=(25, 1), tff=False, content=""), shots=(one,))
    page, picture = draw(cadence, tmp_path / "ep.html", shots=0)
    assert page.stat().st_size > 1000 and zlib.crc32(picture.read_bytes())


def test_an_episode_is_drawn_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    chunks = 63
    grids = Grids(
        rng.integers(-127, 127, (CHUNK, 300), np.int8), rng.integers(0, 160, (CHUNK, 300), np.uint8),
        rng.integers(0, 160, (CHUNK, 300), np.uint8), rng.integers(16, 235, (CHUNK, 300), np.uint8),
        rng.uniform(16, 235, CHUNK).astype(np.float32), np.zeros(CHUNK, bool),
    )  # fmt: skip
    np.savez(tmp_path / "00000.npz", version=VERSION, **{name: getattr(grids, name) for name in Grids.__slots__})
    for n in range(1, chunks):
        os.link(tmp_path / "00000.npz", tmp_path / f"{n:05d}.npz")
    fields = chunks * CHUNK
    evidence = Evidence(folder=tmp_path, fields=fields, fps=(30000, 1001), tff=True, content="")
    shots = tuple(
        Shot(first=a, stop=a + 160, kind=("film", "60i")[a % 480 == 0], confidence=float(rng.uniform(0.5, 1)),
             lengths=("1" * 160 if a % 480 == 0 else "23" * 32), quality=() if a % 480 == 0 else (30,) * 64)
        for a in range(0, fields, 160)
    )  # fmt: skip
    cadence = Cadence(tape=Tape(frames=fields // 2, fps=(30000, 1001), tff=True, content=""), shots=shots)
    page, picture = draw(cadence, tmp_path / "ep.html", evidence=evidence)
    assert page.stat().st_size < 3e6 and picture.stat().st_size < 3e6
    assert page.read_text().count("<tr id=") == 60


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    tape = core.std.BlankClip(length=3, format=vs.YUV420P8).std.SetFieldBased(2)
    with pytest.raises(CustomValueError, match="78 frames, this has 3"):
        draw(small(), tmp_path / "ep.html", tape=tape)
    evidence = Evidence(folder=tmp_path, fields=4, fps=(30000, 1001), tff=True, content="")
    with pytest.raises(CustomValueError, match="analyse again"):
        draw(small(), tmp_path / "ep.html", evidence=evidence)
    with pytest.raises(CustomValueError, match="-1 shots"):
        draw(small(), tmp_path / "ep.html", shots=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(CustomError, match="cannot be written"):
        draw(small(), tmp_path / "file" / "ep.html")
    assert not list(tmp_path.glob("ep.*"))
