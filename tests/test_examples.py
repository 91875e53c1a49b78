"""The examples, as people use them: through vspipe, and as every editor does, through VSScript's C interface."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import vapoursynth as vs

from ds9vs.encode.pipe import environment
from ds9vs.files import tool

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.vpy"))
INCLUDE = Path(vs.__file__).parent / "include"


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that does with a script what an editor does, built against VSScript as editors are."""
    program = tmp_path_factory.mktemp("editor") / "editor"
    library = Path(vs.__file__).parent
    words = [
        "gcc",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        Path(__file__).with_name("editor.c"),
        f"-I{INCLUDE}",
        "-o",
        program,
    ]
    words += [f"-L{library}", "-l:libvsscript.so", f"-Wl,-rpath,{library}"]
    subprocess.run(list(map(str, words)), check=True)
    return program


@pytest.fixture(scope="module")
def workplace(hybrid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: the disc, its map and model, and the scripts beside them."""
    folder = tmp_path_factory.mktemp("scripts")
    for path in hybrid.parent.glob("VIDEO_TS*"):
        (folder / path.name).symlink_to(path)
    for path in EXAMPLES:
        shutil.copy(path, folder)
    return folder


def test_there_are_six_to_nine_of_a_page_each() -> None:
    assert 6 <= len(EXAMPLES) <= 9
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 40 for path in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_editor_loads_it_jumps_about_and_reloads(example: Path, editor: Path, workplace: Path) -> None:
    done = subprocess.run(
        [editor, workplace / example.name, "3"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second = ([line[2:] for line in done.stdout.splitlines() if line[0] == p] for p in "01")
    assert first, "no output was set"
    assert first == second, "a reload gives other pixels"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_vspipe_runs_it(example: Path, workplace: Path) -> None:
    disc = workplace / "VIDEO_TS"
    words = [tool("vspipe", "test"), "-a", f"disc={disc}", "-s", "7", "-e", "8"]
    timed = ["--timecodes", workplace / "times.txt"] if "vfr" in example.stem else ["-c", "y4m"]
    out = subprocess.run(
        [*map(str, words + timed), str(example), "-"], capture_output=True, check=False, env=environment(), timeout=300
    )
    assert out.returncode == 0, out.stderr.decode()
    assert len(out.stdout) > 100_000
    if "vfr" in example.stem:
        assert len((workplace / "times.txt").read_text().splitlines()) >= 3


def test_a_script_without_its_map_says_what_to_type(editor: Path, workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "VIDEO_TS").symlink_to((workplace / "VIDEO_TS").resolve())
    shutil.copy(EXAMPLES[0], tmp_path)
    done = subprocess.run(
        [editor, tmp_path / EXAMPLES[0].name, "1"], capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 1
    assert "ds9vs analyse" in done.stderr


def test_evaluating_touches_no_network_and_writes_nothing(workplace: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in workplace.resolve().rglob("*")}
    code = f"import runpy, os; os.chdir({str(workplace)!r}); runpy.run_path('1_first.vpy')"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    assert {path: path.stat().st_mtime_ns for path in workplace.resolve().rglob("*")} == before
