"""Presets: TOML files with a comment on each value, read into frozen options. Data, never code.

A ground room: imports nothing of ours beyond `files`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import CustomValueError

__all__ = ["data_dir", "load_toml", "preset_arguments", "preset_names", "preset_path", "to_options"]

type Func = Callable[..., Any] | str


def data_dir(name: str) -> Path:
    """The folder "presets" or "onnx_models", in a checkout and in an installed wheel alike.

    Example:
        >>> data_dir("presets").is_dir()
        True
    """
    package = Path(__file__).parent
    inside = package / "data" / name
    return inside if inside.is_dir() else package.parent / name


def preset_names(group: str) -> list[str]:
    """Names of the presets in a group (a folder of `presets/`), sorted."""
    return sorted(path.stem for path in (data_dir("presets") / group).glob("*.toml"))


def preset_path(group: str, name: str, func: Func) -> Path:
    """The file of a preset: a name of the group, or the path of the user's own .toml file.

    Raises:
        CustomValueError: There is no such preset; the message lists those there are.
    """
    path = Path(name) if str(name).endswith(".toml") else data_dir("presets") / group / f"{str(name).lower()}.toml"
    if not path.is_file():
        raise CustomValueError(
            f"There is no {group} preset {name!r}; use {', '.join(preset_names(group))}, or the path of a .toml.",
            func,
        )
    return path


def load_toml(path: Path, func: Func) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        CustomValueError: It is not TOML; the message says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CustomValueError(f"{str(path)!r} is not a TOML file: {error}.", func) from error


def preset_arguments(group: str, name: str, settings: Mapping[str, Any] | None, func: Func) -> list[str]:
    """A preset of a command's options, `settings` in place of its own, as words; True is a bare flag, False `--no-`.

    Raises:
        CustomValueError: As `preset_path` and `load_toml`.

    Example:
        >>> "--no-sao" in preset_arguments("x265", "archive", {"crf": 18, "sao": False}, "example")
        True
    """
    table = load_toml(preset_path(group, name, func), func) | dict(settings or {})
    table.pop("about", None)
    words: list[str] = []
    for key, value in table.items():
        option = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return words


def to_options[T](kind: type[T], values: dict[str, Any], func: Func) -> T:
    """Make a frozen options dataclass of a table, refusing keys that it does not have.

    Raises:
        CustomValueError: A key is unknown; the message lists those allowed.
    """
    allowed = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in values if key not in allowed]
    if unknown:
        raise CustomValueError(f"There is no option {unknown[0]!r}; the options are {', '.join(allowed)}.", func)
    return kind(**values)
