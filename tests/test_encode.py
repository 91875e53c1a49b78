"""From a script to a file: flags that tell the truth, a pipe that is whole or leaves nothing, a file that agrees."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError, FileWasNotFoundError
from vapoursynth import core

from ds9vs import cli
from ds9vs.encode import encode, encoded_files, mux, read_video, script_facts, x265_args
from ds9vs.encode.pipe import environment
from ds9vs.files import run, tool
from ds9vs.qc import Expected, verdict
from ds9vs.timing import FILM, NTSC, read_timecodes

TAGS = {"_Matrix": 1, "_Primaries": 1, "_Transfer": 1, "_Range": 0, "_ChromaLocation": 0, "_SARNum": 1, "_SARDen": 1}


def clip(**changes: Any) -> vs.VideoNode:
    blank = core.std.BlankClip(format=vs.YUV420P10, width=128, height=96, length=24, fpsnum=24000, fpsden=1001)
    return blank.std.SetFrameProps(**(TAGS | changes))


SCRIPT = """
import vapoursynth as vs
from vapoursynth import core
c = core.std.BlankClip(format=vs.YUV420P10, width=128, height=96, length=24, fpsnum=24000, fpsden=1001)
c = c.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1, _Range=0, _ChromaLocation=0, _SARNum=1, _SARDen=1)
c = core.akarin.Expr(c, "X Y + N 20 * + 64 + 1000 %")
c.set_output()
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encode") / "clip.vpy"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoded(script: Path) -> tuple[Path, dict[str, Any]]:
    out = script.with_suffix(".hevc")
    return out, encode(script, out, preset="fast", show=False)


def pairs(words: list[str]) -> dict[str, str]:
    return {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}


def test_flags_follow_the_clip() -> None:
    flags = pairs(x265_args(clip(_Matrix=6, _Primaries=6, _Transfer=6, _SARNum=10, _SARDen=11, _Range=1)))
    assert flags["--colormatrix"] == flags["--colorprim"] == flags["--transfer"] == "smpte170m"
    assert (flags["--sar"], flags["--range"], flags["--output-depth"]) == ("10:11", "full", "10")


def test_a_varying_rate_gets_the_raw_pipes_flags() -> None:
    varying = core.std.Splice([clip(), clip().std.AssumeFPS(fpsnum=30000, fpsden=1001)], mismatch=True)
    flags = pairs(x265_args(varying))
    assert (flags["--input-res"], flags["--input-csp"], flags["--frames"]) == ("128x96", "i420", "48")
    assert "--input-res" not in x265_args(clip())


def test_settings_replace_the_presets() -> None:
    words = x265_args(clip(), preset="fast", settings={"crf": 30, "sao": True, "psy_rd": 1.5})
    assert pairs(words)["--crf"] == "30"
    assert "--sao" in words and "--no-sao" not in words and "--psy-rd" in words


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda: x265_args(clip().std.RemoveFrameProps("_SARNum")), "_SARNum"),
        (lambda: x265_args(clip(_Matrix=2)), "_Matrix is 2"),
        (lambda: x265_args(clip().resize.Bicubic(format=vs.RGB24)), "RGB24"),
        (lambda: x265_args(clip(), preset="nonsense"), "archive, fast"),
    ],
)
def test_a_clip_that_x265_cannot_take_gets_a_sentence(bad: Any, said: str) -> None:
    with pytest.raises(CustomValueError, match=said):
        bad()


def test_the_file_is_what_the_clip_was(encoded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    mkv = tmp_path / "film.mkv"
    mux(encoded[0], mkv, fps=(24000, 1001), tags={"DS9VS": "a & b"})
    file = read_video(mkv)
    assert (file.codec, file.profile, file.pixel_format) == ("hevc", "Main 10", "yuv420p10le")
    assert (file.width, file.height, file.frames, file.sar) == (128, 96, 24, 1)
    assert (file.primaries, file.transfer, file.matrix, file.range) == ("bt709", "bt709", "bt709", "tv")
    assert abs(file.end - file.start - Fraction(24 * 1001, 24000)) < Fraction(1, 1000)
    assert "a & b" in run(["ffprobe", "-v", "error", "-show_entries", "format_tags", mkv], "test")
    checks = verdict(
        mkv,
        Expected(
            frames=24,
            width=128,
            height=96,
            dar=Fraction(4, 3),
            duration=Fraction(1001, 1000),
            fps=Fraction(24000, 1001),
        ),
    )
    assert [check for check in checks if not check.good] == []


def test_the_verdict_sees_what_is_wrong(encoded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    mkv = tmp_path / "film.mkv"
    mux(encoded[0], mkv, fps=(25, 1))
    wanted = Expected(
        frames=25,
        width=128,
        height=90,
        dar=Fraction(16, 9),
        duration=Fraction(2),
        fps=Fraction(24000, 1001),
        matrix="bt470bg",
    )
    bad = {check.name for check in verdict(mkv, wanted) if not check.good}
    assert {"pictures", "size", "display aspect", "colour", "length against the tape"} <= bad
    assert "drift over the whole length" in bad


def test_the_verdict_tells_late_sound_alone_with_its_figure(
    encoded: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    mkv, sound = tmp_path / "film.mkv", tmp_path / "sound.ac3"
    run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=r=48000", "-t", "1", sound], "test")
    wanted = Expected(
        frames=24, width=128, height=96, dar=Fraction(4, 3), duration=Fraction(1001, 1000), fps=Fraction(24000, 1001)
    )
    for delay, bad in ((0, []), (20, ["start against the audio"])):
        mux(encoded[0], mkv, fps=(24000, 1001), audio=[(sound, delay)])
        checks = verdict(mkv, wanted)
        assert {"drift over the whole length", "end against the audio"} < {check.name for check in checks}
        assert [check.name for check in checks if not check.good] == bad
    assert next(check.said for check in checks if not check.good).startswith("+20.00 ms")


def test_timecodes_reach_the_container(encoded: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    from ds9vs.timing import write_timecodes

    durations = [Fraction(1001, 30000 if n < 12 else 24000) for n in range(24)]
    write_timecodes(tmp_path / "t.txt", durations)
    mux(encoded[0], tmp_path / "vfr.mkv", timecodes=tmp_path / "t.txt")
    file = read_video(tmp_path / "vfr.mkv")
    assert abs(file.end - file.start - sum(durations)) < Fraction(1, 100)


def test_the_sidecar_tells_how(encoded: tuple[Path, dict[str, Any]], script: Path) -> None:
    record = json.loads(Path(f"{encoded[0]}.json").read_text(encoding="utf-8"))
    assert record == encoded[1]
    assert record["script"] == script.read_text(encoding="utf-8")
    assert record["x265_version"]
    assert "--crf" in record["x265"]


def test_vspipe_itself_takes_the_same_flags(script: Path, tmp_path: Path) -> None:
    flags = script_facts(script, preset="fast")["x265"]
    out = tmp_path / "byhand.hevc"
    vspipe = subprocess.Popen(
        [tool("vspipe", "test"), "-c", "y4m", str(script), "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    x265 = [tool("x265", "test"), "--y4m", *flags, "--input", "-", "-o", str(out)]
    assert subprocess.run(x265, stdin=vspipe.stdout, capture_output=True, check=False).returncode == 0
    assert vspipe.wait() == 0
    assert read_video(out).frames == 24


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('the reason')", "the reason"),
        ("this is no python", "could not be evaluated"),
        ("x = 1", "sets no output 0"),
        ("import os; os._exit(7)", "code 7"),
        (SCRIPT.replace("c.set_output()", "c.resize.Bicubic(format=vs.RGB24).set_output()"), "RGB24"),
        (
            SCRIPT.replace(
                "c.set_output()", "c.akarin.PropExpr(lambda: {}).std.FrameEval(lambda n: 1/(n-9) and c).set_output()"
            ),
            "vspipe",
        ),
    ],
)
def test_a_failing_script_leaves_no_file_and_says_why(text: str, said: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.vpy"
    bad.write_text(text, encoding="utf-8")
    with pytest.raises(CustomRuntimeError, match=said):
        encode(bad, tmp_path / "bad.hevc", preset="fast", show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.vpy"]


VARYING = """
import vapoursynth as vs
from vapoursynth import core
c = core.std.BlankClip(format=vs.YUV420P10, width=128, height=96, length=6, fpsnum=24000, fpsden=1001, keep=True)
c = c.std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1, _Range=0, _ChromaLocation=0, _SARNum=1, _SARDen=1)
c = core.std.Splice([c, c.std.AssumeFPS(fpsnum=30000, fpsden=1001)], mismatch=True)
"""


def test_a_varying_rate_comes_with_its_timecodes_or_with_nothing(tmp_path: Path) -> None:
    script, out = tmp_path / "varying.vpy", tmp_path / "varying.hevc"
    script.write_text(VARYING + "c.std.FrameEval(lambda n: c if n < 9 else 1 / 0).set_output()\n", encoding="utf-8")
    with pytest.raises(CustomRuntimeError, match="vspipe"):
        encode(script, out, preset="fast", show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["varying.vpy"]
    script.write_text(VARYING + "c.set_output()\n", encoding="utf-8")
    encode(script, out, preset="fast", show=False)
    assert set(tmp_path.iterdir()) == {script, *encoded_files(out)}
    wanted = [n / FILM if n < 6 else 6 / FILM + (n - 6) / NTSC for n in range(12)]
    found = read_timecodes(encoded_files(out)[2])
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < Fraction(1, 10**6)


def test_the_command_replaces_no_file_unasked(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "film.hevc"
    monkeypatch.setattr(sys, "argv", ["ds9vs", "encode", str(script), str(out), "--preset", "fast"])
    for path in encoded_files(out):
        path.write_text("a day of work", encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert f"{path.name}' is there already" in said and "--force" in said
        assert [found.read_text(encoding="utf-8") for found in tmp_path.iterdir()] == ["a day of work"]
        path.unlink()


def test_missing_things_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Path) -> None:
    with pytest.raises(FileWasNotFoundError, match=r"nowhere\.vpy"):
        encode(tmp_path / "nowhere.vpy", tmp_path / "x.hevc")
    facts = script_facts(script)
    monkeypatch.setattr(sys.modules["ds9vs.encode.pipe"], "script_facts", lambda *a, **k: facts)
    monkeypatch.setattr(
        sys.modules["ds9vs.files"].shutil, "which", lambda name, path=None: None if name == "x265" else f"/bin/{name}"
    )
    with pytest.raises(CustomRuntimeError, match="'x265' is not on PATH"):
        encode(script, tmp_path / "x.hevc")
    with pytest.raises(CustomRuntimeError, match="cannot be written"):
        encode(script, Path(__file__) / "x.hevc")
