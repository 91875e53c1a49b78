"""The whole chain from a disc to finished pictures, driven by a preset; and its provenance.

Sees every stage. Evaluating it reads the disc's index, the cadence map and the grain model; it never analyses, encodes,
builds an engine or downloads: what is missing is named with the command that makes it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import vapoursynth as vs

from .cadence import Cadence, Tape, load_cadence
from .clean import clean
from .errors import CustomValueError, FileWasNotFoundError
from .files import existing, write_json
from .finish import Bars, finish
from .finish.geometry import crop, crop_sides
from .finish.output import finish_options
from .grain import GrainModel, add_grain, load_grain
from .ivtc import ivtc
from .presets import load_toml, preset_path
from .props import provenance
from .source import source
from .steady import steady
from .upscale import DEFAULT_MODEL, Backend, upscale
from .upscale.registry import load_model

__all__ = ["beside", "provenance", "restore"]

STAGES: dict[str, Callable[..., Any]] = {
    "source": source,
    "ivtc": ivtc,
    "crop": crop,
    "clean": clean,
    "upscale": upscale,
    "steady": steady,
    "grain": add_grain,
    "finish": finish,
}
"""Tables of a show preset, in the order a picture walks, and the function whose keyword arguments each holds."""
FILES = {".vob", ".iso", ".m2v", ".mkv", ".ts", ".mp4", ".mpg", ".m2ts"}
"""Endings that do not belong to a disc's name."""
NAMED = {"grade", "lut", "bars"}
"""Files that a table [finish] names."""
COLOURS = {1: "709", 5: "625", 6: "525"}
"""`finish`'s names of the colour systems that ITU-T H.273 numbers."""


def beside(path: str | os.PathLike[str], kind: Literal["cadence", "grain", "bars"], title: int | None = None) -> Path:
    """Where the map ("cadence"), model ("grain") or "bars" of a disc lie unless told otherwise: beside it, by name.

    Raises:
        CustomValueError: The path is a drive or the root of all folders: nothing lies beside it.

    Example:
        >>> beside("discs/S01E01.iso", "cadence", 2).name
        'S01E01.title2.cadence.json'
    """
    disc = Path(path)
    disc = disc if disc.name and disc.name != ".." else disc.resolve()
    name = disc.stem if disc.suffix.lower() in FILES else disc.name
    if not name:
        raise CustomValueError(
            f"Nothing lies beside {str(path)!r}; name the {kind} file (-o in the command line).", beside
        )
    return disc.with_name(f"{name}{f'.title{title}' if title is not None else ''}.{kind}.json")


def restore(
    path: str | os.PathLike[str],
    *,
    preset: str = "ds9-2160p",
    title: int | None = None,
    cadence: Cadence | str | os.PathLike[str] | None = None,
    grain: GrainModel | str | os.PathLike[str] | None = None,
    bars: Bars | str | os.PathLike[str] | None = None,
    backend: str | Backend | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    preview: bool = False,
    sidecar: str | os.PathLike[str] | None = None,
) -> vs.VideoNode:
    """Restore a disc: decode, undo the pulldown, clean, upscale, steady, grain, finish: another size and format.

    Every frame carries `DS9VS_Provenance` (JSON text): what was done, with which settings, models and maps.

    Args:
        path: A .vob, VIDEO_TS folder, .iso, .m2v, .mkv, .ts or .mp4.
        preset: A name of `presets/shows/`, or the path of a .toml file: a table of keyword arguments for each stage.
            Files that its [finish] names (grade, lut, bars) are looked for beside it.
            A stage without a table is left out. Of [clean], rainbow and dotcrawl work on the tape.
        title: Which title of a disc; needed where there are several.
        cadence: The map, or its file; None for the file beside the disc (`ds9vs analyse` makes it).
        grain: The grain model, or its file; None for the file beside the disc (`ds9vs grain measure` makes it) when
            the preset has a table [grain].
        bars: The bars of letterboxed shots, or their file; None for the file beside the disc, if there is one
            (`ds9vs bars measure` makes it). They are of the whole tape: what [crop] cuts is allowed for.
        backend: What runs the network, see `upscale`; None for the preset's, "auto" where it says none.
        settings: Keyword arguments that replace the preset's, by stage: {"finish": {"bits": 8}}.
        preview: Leave out the network, steadying and grain: the same geometry and colour, fast enough to look through.
        sidecar: A JSON file to write the provenance into.

    Raises:
        FileWasNotFoundError: The disc, map or model is not there; the message holds the command that makes it.
        CustomValueError: A preset, stage or keyword is unknown, or a stage refuses its input.
        CustomRuntimeError: A plugin or backend is missing.

    Example:
        >>> restore("nowhere.vob")
        Traceback (most recent call last):
        ...
        FileWasNotFoundError: (restore) There is no file or folder 'nowhere.vob'; check the name...
    """
    existing(path, restore)
    tables = _tables(preset, settings)
    options = tables.get("source", {}) | ({"title": title} if title is not None else {})
    chosen = _cadence(path, options.get("title"), cadence)
    model = None
    if tables.get("grain", {}).get("strength", 1 if "grain" in tables else 0) and not preview:
        model = grain if isinstance(grain, GrainModel) else load_grain(grain or _grain_file(path, options.get("title")))
    decoded = tape = source(path, **options)
    if not isinstance(chosen, Cadence):
        chosen = load_cadence(chosen, tape)
    said = bars if bars is not None else tables.get("finish", {}).pop("bars", None)
    boxed = _bars(path, options.get("title"), said, chosen.tape)
    mend = tables.get("clean", {})
    composite = {key: mend[key] for key in ("rainbow", "dotcrawl", "standard") if key in mend}
    if composite:  # the colour subcarrier turns over from tape frame to tape frame
        tape = clean(tape, **composite)
    film = ivtc(tape, chosen, **tables.get("ivtc", {}))
    cut = tables.get("crop", {})
    fill = cut.get("fill", False)
    left, top, right, bottom = crop_sides(film, **{key: value for key, value in cut.items() if key != "fill"})
    film = crop(film, left=left, top=top, right=right, bottom=bottom, fill=fill)
    if fill:  # every sample stays where it was
        left = top = right = bottom = 0
    if mend:  # at 16 bit, which keeps what lies between two codes of 8; the blocks lie where the disc has them
        grid = {"grid": (left, top)}
        film = film.resize.Point(format=film.format.replace(bits_per_sample=16).id)
        film = clean(film, **grid | {key: value for key, value in mend.items() if key not in composite})
    network = {"model": DEFAULT_MODEL, "backend": backend or "auto"} | tables.get("upscale", {})
    network |= {"model": "none"} if preview else {"backend": backend} if backend else {}
    big = upscale(film, **network)
    if "steady" in tables and not preview:
        big = steady(big, film, **tables["steady"])
    ending = _known(decoded, film, big) | {"deband": True} | tables.get("finish", {})
    if model:
        held = ending.get("noise", finish_options(ending.get("preset", "safe")).noise)
        ending["noise"] = math.sqrt(max(0.0, held**2 - _dark_grain(model, tables["grain"]) ** 2))
        ending["grain"] = partial(add_grain, model=model, **tables["grain"])
    if boxed:
        ending["bars"] = boxed.cropped(left=left, top=top, right=right, bottom=bottom)
    record = {
        "made_by": f"ds9vs {version('ds9vs')}",
        "source": Path(path).name,
        "content": chosen.tape.content,
        "preset": Path(preset).name,
        "preview": preview,
        "stages": tables | {"upscale": network | {"model": Path(network["model"]).name}} | _named(tables),
        "model_sha256": None if network["model"] == "none" else load_model(network["model"], restore).sha256,
        "cadence": _cadence_facts(chosen),
        "grain": None if model is None else _digest(repr(model)),
        "bars": None if boxed is None else _digest(repr(boxed)),
    }
    text = json.dumps(record, default=str)
    if sidecar is not None:
        write_json(sidecar, json.loads(text), restore)
    return finish(big, **ending).std.SetFrameProps(DS9VS_Provenance=text)


def _tables(preset: str, settings: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """The preset's tables with the user's settings over them, every keyword checked against its function."""
    tables: dict[str, dict[str, Any]] = load_toml(preset_path("shows", preset, restore), restore)
    tables.pop("about", None)
    ending = tables.get("finish", {})
    for key in NAMED & set(ending):
        ending[key] = str(preset_path("shows", preset, restore).parent / str(ending[key]))
    for stage, table in (settings or {}).items():
        tables[stage] = tables.get(stage, {}) | dict(table)
    for stage, table in tables.items():
        if stage not in STAGES:
            raise CustomValueError(f"There is no stage {stage!r}; the stages are {', '.join(STAGES)}.", restore)
        allowed = [
            name
            for name, parameter in inspect.signature(STAGES[stage]).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY or (stage == "crop" and name != "clip")
        ]
        unknown = sorted(set(table) - set(allowed))
        if unknown:
            raise CustomValueError(f"{stage} takes no {unknown[0]!r}; it takes {', '.join(allowed)}.", restore)
    return tables


def _grain_file(path: str | os.PathLike[str], title: int | None) -> Path:
    found = beside(path, "grain", title)
    if not found.is_file():
        number = f" --title {title}" if title is not None else ""
        raise CustomValueError(
            f"There is no grain model {str(found)!r}; type: ds9vs grain measure {str(path)!r}{number} "
            "(or leave the stage out: settings={'grain': {'strength': 0}}).",
            restore,
        )
    return found


def _named(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The table [finish] with names of files in place of this machine's paths."""
    table = dict(tables.get("finish", {}))
    table |= {key: Path(table[key]).name for key in NAMED & set(table) if isinstance(table[key], (str, os.PathLike))}
    return {"finish": table} if table else {}


def _bars(
    path: str | os.PathLike[str], title: int | None, given: Bars | str | os.PathLike[str] | None, tape: Tape
) -> Bars | None:
    """The bars given, or those of the file beside the disc; checked to be of its tape."""
    if isinstance(given, Bars):
        given.check(tape, restore)
        return given
    found = Path(given) if given is not None else beside(path, "bars", title)
    return Bars.load(found, tape) if given is not None or found.is_file() else None


def _cadence(
    path: str | os.PathLike[str], title: int | None, given: Cadence | str | os.PathLike[str] | None
) -> Cadence | Path:
    """The map, or its file: looked for before a disc is opened, which may take a minute the first time."""
    if isinstance(given, Cadence):
        return given
    found = Path(given) if given is not None else beside(path, "cadence", title)
    if not found.is_file():
        number = f" --title {title}" if title is not None else ""
        raise FileWasNotFoundError(
            f"There is no cadence map {str(found)!r} yet; type: ds9vs analyse {str(path)!r}{number}", restore
        )
    return found


def _cadence_facts(cadence: Cadence) -> dict[str, Any]:
    """Counts that tell what was woven untouched, rescued from single fields, and rebuilt in places."""
    lengths = np.diff(cadence.firsts)
    return {
        "shots": len(cadence.shots),
        "fields": cadence.fields_by_kind(),
        "pictures": len(cadence),
        "woven": int((lengths > 1).sum()),
        "of_one_field": int((lengths == 1).sum()),
        "combed": sum(len(shot.combed) for shot in cadence.shots),
        "digest": _digest(repr(cadence)),
    }


def _known(tape: vs.VideoNode, small: vs.VideoNode, big: vs.VideoNode) -> dict[str, Any]:
    """What `finish` would ask the first enlarged picture for, so that evaluating a script does not run the network.

    Read from the decoded tape: every stage before the enlarging keeps the matrix and the shape of a sample.
    """
    with tape.get_frame(0) as frame:
        sar = Fraction(int(frame.props.get("_SARNum", 1)), int(frame.props.get("_SARDen", 1)))
        matrix = int(frame.props.get("_Matrix", 2))
    known: dict[str, Any] = {"sar": sar * Fraction(small.width * big.height, big.width * small.height)}
    return known | ({"colour": COLOURS[matrix]} if matrix in COLOURS else {})


def _dark_grain(model: GrainModel, table: Mapping[str, Any]) -> float:
    """The least deviation of the grain that is added where gradients band, codes 16 to 63, in 8-bit codes."""
    return float(table.get("strength", 1.0)) * min(min(kind.sigma[1:4]) for kind in (model, *model.groups))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
