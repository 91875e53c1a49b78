"""Every command of `ds9vs` once for real; what it prints is whole and plain, and it overwrites nothing unasked."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
import vapoursynth as vs
from rich.console import Console

from ds9vs import cli, doctor
from ds9vs.cadence import load_cadence
from ds9vs.cadence.override import load_overrides, overrides_path
from ds9vs.finish import Bars
from ds9vs.grain import load_grain
from ds9vs.simulate import Truth
from ds9vs.upscale import DEFAULT_MODEL, model_get, models_list
from ds9vs.upscale.engine import Recipe

type Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ds9vs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line: exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "40")  # nothing may be broken at this width

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ds9vs", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def disc(hybrid: Path, tmp_path: Path) -> Path:
    """The simulated disc in a fresh folder, with neither map nor model."""
    (tmp_path / "VIDEO_TS").symlink_to(hybrid)
    return tmp_path / "VIDEO_TS"


def copy(hybrid: Path, disc: Path, kind: str, title: str = "") -> Path:
    """The map or model of the disc, put where the commands look for it."""
    made = disc.with_name(f"VIDEO_TS{title}.{kind}.json")
    made.write_bytes(hybrid.with_name(f"VIDEO_TS.{kind}.json").read_bytes())
    return made


def test_the_installed_command_says_its_version() -> None:
    program = Path(sys.executable).with_name("ds9vs")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ds9vs {version('ds9vs')}\n"


def test_doctor_prints_brackets_and_whole_commands(ds9vs: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        doctor.Finding(
            "plugin", "trt", "not run", "x265 [info]: [/x] " + "long " * 30, "pip install 'ds9vs[tensorrt]'"
        ),
        doctor.Finding("program", "x265", "missing", "not on PATH", "apt-get install x265"),
    ]
    monkeypatch.setattr(doctor, "doctor", lambda: rows)
    code, out, _ = ds9vs("doctor")
    assert code == 0
    assert "x265 [info]: [/x] " + ("long " * 30).strip() in out
    assert "  trt: pip install 'ds9vs[tensorrt]'\n" in out
    assert "  x265: apt-get install x265\n" in out
    screen = StringIO()
    monkeypatch.setattr(cli, "out", Console(file=screen, force_terminal=True, width=60, color_system=None))
    assert ds9vs("doctor")[0] == 0
    assert "[info]: [/x]" in screen.getvalue()
    assert "pip install 'ds9vs[tensorrt]'\n" in screen.getvalue()
    rows.append(doctor.Finding("backend", "ov-cpu", "broken", "a wrong picture"))
    assert ds9vs("doctor")[0] == 1


def test_probe_says_it_in_lines(ds9vs: Command, disc: Path) -> None:
    code, out, err = ds9vs("probe", disc)
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert out.startswith(f"{disc}: video_ts, 1 title\n")
    assert "0:00:03.0" in lines["title"]
    assert "VTS_01_1.VOB" in lines["title"]
    assert "mpeg2video, 720x480, 29.970 (30000/1001)" in lines["video"]
    assert "top field first, 4:3, SAR 10:11" in lines["video"]
    assert lines["flags"].count(" %") == 2
    assert "1: 0:00:00.000" in lines["chapters"]
    assert {"captions", "colour", "audio"} <= set(lines)
    assert "ac3" in lines["audio"]
    assert "delay" in lines["audio"]
    assert "Fraction(" not in out
    assert "Video(" not in out


def test_analyse_keeps_a_corrected_map(ds9vs: Command, disc: Path) -> None:
    made = disc.with_name("VIDEO_TS.cadence.json")
    code, out, _ = ds9vs("analyse", disc)
    assert code == 0
    assert out.startswith(f"{made}: {len(load_cadence(made).shots)} shot")
    found = made.read_bytes()
    assert ds9vs("analyse", disc)[0] == 0  # the same again is no loss
    table = json.loads(found)
    table["notes"] = ["corrected by hand"]
    made.write_text(json.dumps(table), encoding="utf-8")
    code, _, err = ds9vs("analyse", disc)
    assert code == 1
    assert "--force" in err
    assert load_cadence(made).notes == ("corrected by hand",)
    assert ds9vs("analyse", disc, "-o", disc.with_name("other.json"))[0] == 0
    assert ds9vs("analyse", disc, "--force")[0] == 0
    assert made.read_bytes() == disc.with_name("other.json").read_bytes() == found


@pytest.fixture
def map_file(hybrid: Path, disc: Path) -> Path:
    """The map of the disc beside it; what was measured is not cached."""
    return copy(hybrid, disc, "cadence")


def cached(hybrid: Path, disc: Path) -> None:
    """Put what was measured beside the map."""
    disc.with_name("ds9vs-cache").symlink_to(hybrid.with_name("ds9vs-cache"))


def test_cadence_show_draws_a_page(ds9vs: Command, hybrid: Path, disc: Path, map_file: Path) -> None:
    shots = len(load_cadence(map_file).shots)
    code, out, _ = ds9vs("cadence", "show", map_file)
    assert code == 0
    assert "no longer cached" in out
    assert "data:image" not in map_file.with_suffix(".html").read_text()
    cached(hybrid, disc)
    code, out, _ = ds9vs("cadence", "show", map_file, "--disc", disc, "-o", disc.with_name("tape.html"))
    assert code == 0
    assert out == f"{disc.with_name('tape.html')} and tape.png: {shots} shots, {shots} listed\n"
    page = disc.with_name("tape.html").read_text()
    assert page.count("data:image") == shots
    assert f"ds9vs cadence set {map_file}" in page
    assert disc.with_name("tape.png").stat().st_size > 1000


def test_cadence_set_is_solved_around_and_taken_back(ds9vs: Command, hybrid: Path, disc: Path, map_file: Path) -> None:
    cached(hybrid, disc)
    before = load_cadence(map_file)
    code, out, _ = ds9vs("cadence", "set", map_file, "--frames", "10-20", "--cadence", "60i", "--note", "credits")
    assert code == 0
    assert "1 correction\n" in out and "solved again" in out
    after = load_cadence(map_file)
    assert [after.picture(after.picture_at(k)).kind for k in range(20, 40)] == ["60i"] * 20
    assert after.picture(after.picture_at(10)).kind == after.picture(after.picture_at(60)).kind == "film"
    assert ds9vs("cadence", "cut", map_file, "--field", "13")[0] == 0
    assert 13 in [shot.first for shot in load_cadence(map_file).shots]
    assert ds9vs("cadence", "unset", map_file, "--frames", "0-30")[0] == 0
    assert load_cadence(map_file) == before
    assert ds9vs("cadence", "unset", map_file, "--all")[1] == "Nothing was said of it.\n"


def test_cadence_set_says_what_to_type_when_the_measurement_is_gone(ds9vs: Command, map_file: Path) -> None:
    before = map_file.read_bytes()
    code, out, _ = ds9vs("cadence", "set", map_file, "--output", "4-9", "--cadence", "film", "--phase", 2)
    assert code == 0
    assert f"ds9vs analyse DISC -o {map_file} --force\n" in out
    found = load_cadence(map_file)
    (one,) = load_overrides(overrides_path(map_file), found.tape)
    assert (one.first, one.stop) == (found.firsts[4], found.firsts[9])  # all film so far: a frame for each picture
    assert map_file.read_bytes() == before
    text = overrides_path(map_file).read_text()
    assert ds9vs("cadence", "set", map_file, "--output", "4-9999", "--cadence", "film")[0] == 1
    assert overrides_path(map_file).read_text() == text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("set", "--frames", "10-20"), "Nothing is said of fields 20 to 40"),
        (("set", "--frames", "20-10", "--cadence", "film"), "--frames 20-10 is empty"),
        (("set", "--frames", "1-2", "--fields", "2-3", "--cadence", "film"), "in exactly one way"),
        (("set", "--cadence", "film"), "in exactly one way"),
        (("set", "--frames", "1-2", "--cadence", "24p"), "film, 30p, 60i, layered"),
        (("set", "--frames", "1-2", "--cadence", "film", "--phase", "7"), "must be 0 to 4"),
        (("set", "--frames", "1-2", "--note", "nice"), "still, fade, credits, blended"),
        (("set", "--time", "now-then", "--cadence", "film"), "'now' is no time"),
        (("set", "--frames", "80-95", "--cadence", "film"), "beyond the tape's 90 frames"),
        (("set", "--output", "60-90", "--cadence", "film"), "beyond the clip's 72 frames"),
        (("cut", "--frame", "90"), "beyond the tape's 90 frames"),
        (("export", "--format", "edl"), "wob, tfm, tdecimate, timecodes, qp, chapters"),
        (("export", "--format", "qp", "--timing", "slow"), "'film', 'native', 'video'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_correction_that_cannot_be_is_a_sentence(
    ds9vs: Command, map_file: Path, words: tuple[str, ...], sentence: str
) -> None:
    before = sorted(path.name for path in map_file.parent.iterdir())
    code, _, err = ds9vs("cadence", words[0], map_file, *words[1:])
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in map_file.parent.iterdir()) == before


def test_cadence_is_exchanged_and_nothing_overwritten(ds9vs: Command, map_file: Path) -> None:
    for form in ("wob", "tfm", "tdecimate", "timecodes", "qp", "chapters"):
        code, out, _ = ds9vs("cadence", "export", map_file, "--format", form)
        made = Path(out.split(": ")[0])
        assert code == 0
        assert made.parent == map_file.parent and made.stat().st_size
        assert "--force" in ds9vs("cadence", "export", map_file, "--format", form)[2]
        assert ds9vs("cadence", "export", map_file, "--format", form, "--force")[0] == 0
    found = load_cadence(map_file)
    code, out, _ = ds9vs("cadence", "import", map_file, map_file.with_suffix(".wob"))
    assert code == 0
    said = load_overrides(overrides_path(map_file), found.tape)
    middle = found.picture(found.picture_at((said[0].first + said[0].stop) // 2))
    assert said[0].kind == middle.kind == "film"
    times = map_file.with_suffix(".timecodes.txt")
    assert "to within 0.000 ms" in ds9vs("cadence", "import", map_file, times, "--format", "timecodes")[1]
    assert "--format timecodes" in ds9vs("cadence", "import", map_file, times)[2]
    assert "'edl'" in ds9vs("cadence", "import", map_file, times, "--format", "edl")[2]


def test_grain_measure_keeps_a_corrected_model(ds9vs: Command, hybrid: Path, disc: Path) -> None:
    copy(hybrid, disc, "cadence")
    made = copy(hybrid, disc, "grain")  # of 8 pictures
    code, _, err = ds9vs("grain", "measure", disc, "--pictures", "3")
    assert code == 1
    assert "--force" in err
    assert made.read_bytes() == hybrid.with_name("VIDEO_TS.grain.json").read_bytes()
    code, out, _ = ds9vs("grain", "measure", disc, "--pictures", "3", "--force")
    assert code == 0
    assert out.startswith(f"{made}: sigma by luma")
    assert load_grain(made).pictures == 3
    assert load_grain(made).rate > 1_000_000, "calibrated at the rate that the disc has"


def test_bars_are_measured_shown_corrected_and_kept(ds9vs: Command, hybrid: Path, disc: Path) -> None:
    copy(hybrid, disc, "cadence")
    made = disc.with_name("VIDEO_TS.bars.json")
    code, out, _ = ds9vs("bars", "measure", disc)
    assert (code, out) == (0, f"{made}: 0 of {len(Bars.load(made).shots)} shots with bars\n")
    code, out, _ = ds9vs("bars", "set", made, "--frames", "10-20", "--top", 60, "--bottom", 58)
    assert code == 0
    assert out.splitlines()[1:] == ["  frames 10-20: top 60, bottom 58"]
    assert [s.sides for s in Bars.load(made).shots if s.first in (20, 40)] == [(0, 60, 0, 58), (0, 0, 0, 0)]
    code, _, err = ds9vs("bars", "measure", disc)
    assert code == 1 and "corrected by hand" in err and "--force" in err
    code, out, _ = ds9vs("bars", "show", made, disc)
    assert code == 0
    assert out.startswith(f"{made.with_suffix('.png')}: 1 of ") and "top 60, bottom 58" in out
    assert made.with_suffix(".png").stat().st_size > 1000
    for words, said in (
        (("--frames", "80-95", "--top", 60), "beyond the tape's 90 frames"),
        (("--top", 60), "in exactly one way"),
        (("--frames", "1-2", "--top", 480), "leave no picture"),
    ):
        before = made.read_bytes()
        code, _, err = ds9vs("bars", "set", made, *words)
        assert code == 1 and said in err and made.read_bytes() == before
    dataclasses.replace(Bars.load(made), tape=None).save(made)
    code, _, err = ds9vs("bars", "set", made, "--frames", "1-2", "--top", 60)
    assert code == 1 and "bars of a clip" in err


def test_simulate_says_where_and_what(ds9vs: Command, tmp_path: Path) -> None:
    code, out, _ = ds9vs("simulate", tmp_path / "made", "--recipe", "film", "--seconds", 1)
    truth = Truth.load(tmp_path / "made" / "truth.json")
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith(f"{tmp_path / 'made'}: 29 frames, {len(truth.shots)} shot")
    assert first.endswith(f"(film {len(truth.shots)})")
    assert Path(second.removeprefix("disc: ")).is_dir()


def test_script_compiles_and_plays_beside_its_disc(ds9vs: Command, hybrid: Path, disc: Path) -> None:
    made = disc.with_name("first {try} [x].vpy")
    copy(hybrid, disc, "cadence", ".title1")
    copy(hybrid, disc, "grain", ".title1")
    code, out, _ = ds9vs("script", disc, "-o", made, "--preset", "fast-480p", "--title", 1)
    assert code == 0
    assert out.startswith(f"{made}: ")
    assert f"'{made.with_suffix('.hevc')}'\n" in out  # quoted for the shell
    calls = [node for node in ast.walk(ast.parse(made.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert [k.arg for call in calls for k in call.keywords].count("title") == 2
    vs.clear_outputs()
    try:
        runpy.run_path(str(made))
        assert sorted(vs.get_outputs()) == [0, 1]
        vs.get_output(0).clip.get_frame(3).close()
    finally:
        vs.clear_outputs()
    code, _, err = ds9vs("script", disc, "-o", made)
    assert code == 1
    assert "is there already" in err
    assert ds9vs("script", disc, "-o", disc.with_name("plain.vpy"))[0] == 0
    assert "title" not in disc.with_name("plain.vpy").read_text(encoding="utf-8")


def test_encode_replaces_only_when_told(ds9vs: Command, tmp_path: Path) -> None:
    script, made = tmp_path / "small.vpy", tmp_path / "small.hevc"
    script.write_text(
        "import vapoursynth as vs\n"
        "vs.core.std.BlankClip(width=128, height=96, format=vs.YUV420P10, length=5, fpsnum=24, fpsden=1)"
        ".std.SetFrameProps(_Matrix=1, _Primaries=1, _Transfer=1, _ColorRange=1, _SARNum=1, _SARDen=1).set_output()\n",
        encoding="utf-8",
    )
    made.write_bytes(b"a day of work")
    code, _, err = ds9vs("encode", script, made, "--preset", "fast")
    assert code == 1
    assert "--force" in err
    assert made.read_bytes() == b"a day of work"
    code, out, _ = ds9vs("encode", script, made, "--preset", "fast", "--force")
    assert (code, out) == (0, f"{made}: 5 pictures of 128x96\n")
    assert made.read_bytes().startswith(b"\x00\x00\x00\x01")


def test_models_are_listed_a_line_each_and_shown(ds9vs: Command) -> None:
    code, out, _ = ds9vs("models", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [model.name for model in models_list()]
    assert all(model.note in out for model in models_list())
    code, out, _ = ds9vs("models", "show", "upconv_7_photo")
    assert code == 0
    assert out.startswith("upconv_7_photo: ")
    assert "sha256" in out
    model_get(DEFAULT_MODEL, show=False)
    here = next(model for model in models_list() if model.present)
    code, out, _ = ds9vs("models", "get", here.name)
    assert (code, out) == (0, f"{here.path}\n")


def test_engines_are_listed(ds9vs: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_ENGINES", str(tmp_path / "engines [x]"))
    code, out, _ = ds9vs("engine", "list")
    assert code == 0
    assert "ds9vs engine build" in out
    recipe = Recipe(
        kind="trt",
        model="net",
        model_sha256="0",
        width=704,
        height=480,
        precision="fp16",
        release="11.4.0",
        target="RTX",
    )
    monkeypatch.setattr(sys.modules["ds9vs.upscale"], "engines_list", lambda: [(recipe.path, recipe)])
    out = ds9vs("engine", "list")[1]
    cells = re.split(" {2,}", out.splitlines()[1])
    assert cells == ["net", "704x480", "fp16", "trt 11.4.0", "RTX", str(recipe.path)]


@pytest.mark.parametrize("size", ["704", "704x", "x480", "\u00b2x\u00b2", "704x480x3", "8x8", "-1x5"])
def test_a_bad_size_gets_a_sentence(ds9vs: Command, size: str) -> None:
    code, _, err = ds9vs("engine", "build", "upconv_7_photo", f"--size={size}", "--backend", "trt_rtx")
    assert code == 1
    assert "size is" in err
    assert "width and height" in err
    assert ds9vs("engine", "build", "upconv_7_photo", "--size=704x480", "--backend", "abacus")[2].count("abacus") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "{}"),
        ("analyse", "{}"),
        ("grain", "measure", "{}"),
        ("bars", "measure", "{}"),
        ("bars", "show", "{}", "{}"),
        ("bars", "set", "{}", "--frames", "1-2"),
        ("cadence", "show", "{}"),
        ("cadence", "set", "{}", "--frames", "1-2", "--cadence", "film"),
        ("cadence", "export", "{}", "--format", "wob"),
        ("script", "{}", "-o", "{}.vpy"),
        ("encode", "{}", "{}.hevc"),
        ("models", "show", "{}.onnx"),
        ("simulate", "{}.made", "--footage", "{}"),
        ("demo", "{}.demo", "--footage", "{}"),
    ],
    ids=lambda words: words[0],
)
def test_a_missing_file_is_one_sentence(ds9vs: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    missing = tmp_path / "no {disc} [bold] [tensorrt] of that name, and a rather long one at that"
    code, out, err = ds9vs(*(word.replace("{}", str(missing)) for word in words))
    assert code == 1, out
    assert err.startswith("ds9vs: ")
    assert err.count("\n") == 1
    assert str(missing) in err
    assert "Traceback" not in err + out
    assert not list(tmp_path.glob("*.vpy")) + list(tmp_path.glob("*.hevc"))


def test_markup_in_an_error_is_plain_text(ds9vs: Command, tmp_path: Path) -> None:
    folder = tmp_path / "[" / "x] {0}"
    folder.mkdir(parents=True)
    code, _, err = ds9vs("probe", folder)
    assert code == 1
    assert "[/x] {0}'" in err


def test_demo_passes_on_what_it_is_told(ds9vs: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def demo(folder: Path, *, footage: str | None, say: Callable[[str], None]) -> bool:
        say(f"{folder} [/x] {footage}")
        return footage is not None

    monkeypatch.setattr("ds9vs.demo.demo", demo)
    assert ds9vs("demo", tmp_path)[:2] == (1, f"{tmp_path} [/x] None\n")
    assert ds9vs("demo", tmp_path, "--footage", "a.mkv")[:2] == (0, f"{tmp_path} [/x] a.mkv\n")
