"""The built wheel, alone in a clean environment, restores a disc from another folder: presets and models inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words: str | Path, cwd: Path, path: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    if path:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtual environment that holds the wheel and its locked dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    run(
        uv,
        "build",
        "--wheel",
        "--quiet",
        "--no-build-isolation",
        "--out-dir",
        folder,
        ROOT,
        cwd=folder,
        path=Path(sys.executable).parent,
    )
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    wheel = next(folder.glob("ds9vs-*.whl"))
    run(
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--constraint",
        ROOT / "requirements.lock",
        wheel,
        cwd=folder,
    )
    yield python.parent
    shutil.rmtree(folder / "env")


SCRIPT = """
import sys, ds9vs, vapoursynth as vs
assert "site-packages" in ds9vs.__file__, ds9vs.__file__
out = ds9vs.restore(sys.argv[1], preset="fast-480p", preview=True)
with out.get_frame(0) as frame:
    print(out.format.name, out.width, out.height, frame.props["DS9VS_Kind"])
"""


def test_restore_runs_from_the_wheel(clean_environment: Path, hybrid: Path, tmp_path: Path) -> None:
    python = clean_environment / "python"
    listed = run(
        python, "-c", "import ds9vs.presets as p; print(p.preset_names('shows'), p.preset_names('qtgmc'))", cwd=tmp_path
    )
    assert "ds9-2160p" in listed
    assert "veryslow" in listed
    said = run(python, "-c", SCRIPT, hybrid, cwd=tmp_path, path=clean_environment)
    assert said.startswith("YUV420P10 640 480")
    assert "probe" in run(clean_environment / "ds9vs", "--help", cwd=tmp_path)
