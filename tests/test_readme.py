"""Every block of the README that can run here runs; the others say why not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ds9vs.encode.pipe import environment

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not run: ([^>]*) -->\n)?```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PYTHON = [code for marked, _, language, code in BLOCKS if language == "python" and not marked]
SHELL = [code for marked, _, language, code in BLOCKS if language == "sh" and not marked]


@pytest.fixture(scope="module")
def place(hybrid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for path in hybrid.parent.glob("VIDEO_TS*"):
        (folder / path.name).symlink_to(path)
    return folder


def test_blocks_are_there_and_the_unrun_say_why() -> None:
    assert len(PYTHON) >= 4
    assert len(SHELL) >= 1
    assert all(len(reason.strip()) > 10 for marked, reason, _, _ in BLOCKS if marked)
    assert {language for _, _, language, _ in BLOCKS} == {"python", "sh"}


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[2][:40])
def test_python_blocks_run(code: str, place: Path) -> None:
    ending = "\nimport vapoursynth as vs\nfor out in vs.get_outputs().values(): out.clip.get_frame(20).close()\n"
    done = subprocess.run(
        [sys.executable, "-c", code + ending], cwd=place, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-1500:]


def test_shell_blocks_run(hybrid: Path, tmp_path: Path) -> None:
    (tmp_path / "VIDEO_TS").symlink_to(hybrid)
    for code in SHELL:
        done = subprocess.run(
            ["sh", "-euc", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-1500:]
    assert {"VIDEO_TS.cadence.json", "VIDEO_TS.grain.json"} <= {path.name for path in tmp_path.iterdir()}


def test_what_the_readme_points_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
