"""The plan of the house: who may import whom, an instant import, no name that hides another, no stray address."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ds9vs"

# Rooms in the order a picture walks; a room imports only rooms above it.
ORDER = [
    ("errors", "memory"),
    ("files", "props", "plugins", "drawing"),
    ("timing", "presets"),
    ("measures", "dvd", "cadence.model"),
    ("source",),
    ("cadence.measure", "cadence.override", "cadence.exchange"),
    ("cadence.solve", "cadence.adopt", "cadence.show"),
    ("cadence.again",),
    ("cadence",),
    ("deinterlace",),
    ("between",),
    ("ivtc",),
    ("shots.label",),
    ("clean",),
    ("upscale",),
    ("rife",),
    ("steady",),
    ("grain",),
    ("finish",),
    ("encode",),
    ("qc", "view", "simulate"),
    ("shots.treat",),
    ("shots",),
    ("restore",),
    ("doctor", "demo"),
    ("cli",),
]
# Rooms that stand beside the picture's way: they may look only at the ground, the model and each other.
GROUND = {"errors", "files", "props", "plugins", "drawing", "timing", "presets", "measures", "cadence.model"}
ALONE = {"clean", "upscale", "steady", "grain", "finish", "encode", "simulate", "deinterlace", "between", "source"}


def room(module: str) -> str:
    """The room that a module belongs to: the longest of ORDER's names that it starts with."""
    names = [name for row in ORDER for name in row if module == name or module.startswith(name + ".")]
    assert names, f"ds9vs.{module} stands in no room: add it to ORDER"
    return max(names, key=len)


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name and "data" not in parts:
            found[name] = path
    return found


def imports(name: str, path: Path) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = base + (node.module.split(".") if node.module else [])
            names = [".".join(target)] if node.module else [".".join([*target, alias.name]) for alias in node.names]
            found.update(n for n in names if n)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ds9vs"):
            found.add(node.module.removeprefix("ds9vs").lstrip(".") or "__init__")
    return found


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_up(name: str) -> None:
    rank = {n: k for k, row in enumerate(ORDER) for n in row}
    own = room(name)
    for target in imports(name, modules()[name]):
        assert target != "__init__", f"ds9vs.{name} imports the package itself"
        other = room(target)
        if other == own or target.startswith(own + ".") or own.startswith(other + "."):
            continue
        assert rank[other] < rank[own], f"ds9vs.{name} imports ds9vs.{target}, which stands below it"
        if own.split(".")[0] in ALONE:
            assert other in GROUND | {"dvd"}, f"ds9vs.{name} may look only at the ground, not at ds9vs.{target}"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_no_plugin() -> None:
    code = "import ds9vs, sys, pathlib; print([m for m in ('torch', 'onnx', 'plotly') if m in sys.modules])"
    assert run(code).strip() == "[]"
    maps = "p = pathlib.Path('/proc/self/maps'); print('/plugins/' in (p.read_text() if p.exists() else ''))"
    maps = f"import ds9vs, pathlib; {maps}"
    assert run(maps).strip() == "False"


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pattern = re.compile(r"--(extra-)?index-url|find-links|/(home|root)/|\b(pypi|files)\.python" + r"hosted\b|file:///")
    for name in files:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".sh", ".lock", ".vpy", ".json", ""}
            and path.is_file()
            and path != Path(__file__)
        ):
            hit = pattern.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not hit, f"{name} holds {hit and hit[0]!r}"
