"""The whole chain from a disc to finished pictures, driven by a preset; and its provenance.

Sees every stage. Evaluating it reads the disc's index, the cadence map and the grain model; it never analyses, encodes,
builds an engine or downloads: what is missing is named with the command that makes it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vapoursynth as vs

from .cadence import Cadence, load_cadence
from .clean import clean
from .errors import CustomValueError
from .files import write_json
from .finish import finish
from .finish.deband import deband
from .finish.geometry import crop
from .grain import GrainModel, add_grain, load_grain
from .ivtc import ivtc
from .presets import load_toml, preset_path
from .source import source
from .steady import steady
from .upscale import DEFAULT_MODEL, select_backend, upscale
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


def beside(path: str | os.PathLike[str], kind: str, title: int | None = None) -> Path:
    """Where the map ("cadence") or model ("grain") of a disc lies unless told otherwise: beside it, by name.

    Example:
        >>> beside("discs/S01E01.iso", "cadence", 2).as_posix()
        'discs/S01E01.title2.cadence.json'
    """
    disc = Path(path)
    name = disc.stem if disc.suffix else disc.name
    return disc.with_name(f"{name}{f'.title{title}' if title is not None else ''}.{kind}.json")


def restore(
    path: str | os.PathLike[str],
    *,
    preset: str = "ds9-2160p",
    title: int | None = None,
    cadence: Cadence | str | os.PathLike[str] | None = None,
    grain: GrainModel | str | os.PathLike[str] | None = None,
    backend: str = "auto",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    preview: bool = False,
    sidecar: str | os.PathLike[str] | None = None,
) -> vs.VideoNode:
    """Restore a disc: decode, undo the pulldown, clean, upscale, steady, grain, finish: another size and format.

    Every frame carries `DS9VS_Provenance` (JSON text): what was done, with which settings, models and maps.

    Args:
        path: A .vob, VIDEO_TS folder, .iso, .m2v, .mkv, .ts or .mp4.
        preset: A name of `presets/shows/`, or the path of a .toml file: a table of keyword arguments for each stage.
            A stage without a table is left out.
        title: Which title of a disc; needed where there are several.
        cadence: The map, or its file; None for the file beside the disc (`ds9vs analyse` makes it).
        grain: The grain model, or its file; None for the file beside the disc (`ds9vs grain measure` makes it) when
            the preset has a table [grain].
        backend: What runs the network: see `upscale`.
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
        FileWasNotFoundError: (source) There is no file or folder 'nowhere.vob'; check the name...
    """
    tables = _tables(preset, settings)
    options = tables.get("source", {}) | ({"title": title} if title is not None else {})
    tape = source(path, **options)
    chosen = cadence if isinstance(cadence, Cadence) else load_cadence(cadence or beside(path, "cadence", title), tape)
    film = ivtc(tape, chosen, **tables.get("ivtc", {}))
    if "crop" in tables:
        film = crop(film, **tables["crop"])
    cleaned = clean(film, **tables["clean"]) if "clean" in tables else film
    network = {"model": DEFAULT_MODEL} | tables.get("upscale", {})
    network |= {"model": "none"} if preview else {"backend": backend}
    big = upscale(cleaned, **network)
    if "steady" in tables and not preview:
        big = steady(big, cleaned, **tables["steady"])
    model = None
    if "grain" in tables and tables["grain"].get("strength", 1) and not preview:
        model = grain if isinstance(grain, GrainModel) else load_grain(grain or _grain_file(path, title))
        big = add_grain(deband(big), model, **tables["grain"])
    record = {
        "made_by": f"ds9vs {_version()}",
        "source": Path(path).name,
        "content": chosen.tape.content,
        "preset": preset,
        "preview": preview,
        "stages": {name: table for name, table in tables.items() if name != "upscale"} | {"upscale": network},
        "backend": _backend(network, cleaned),
        "cadence": _cadence_facts(chosen),
        "grain": None if model is None else _digest(repr(model)),
    }
    if sidecar is not None:
        write_json(sidecar, record, restore)
    ending = _known(cleaned, big) | {"deband": model is None} | tables.get("finish", {})
    return finish(big, **ending).std.SetFrameProps(DS9VS_Provenance=json.dumps(record))


def provenance(clip: vs.VideoNode) -> dict[str, Any]:
    """What `restore` says of a clip that it made; empty for any other clip.

    Raises:
        CustomValueError: The property is there, but something else wrote it.

    Example:
        >>> provenance(core.std.BlankClip(length=1))
        {}
    """
    with clip.get_frame(0) as frame:
        text = frame.props.get("DS9VS_Provenance", "{}")
    try:
        record: dict[str, Any] = json.loads(text.decode() if isinstance(text, bytes) else str(text))
    except json.JSONDecodeError as error:
        raise CustomValueError(f"The clip's DS9VS_Provenance is no JSON of ours ({error}).", provenance) from error
    return record


def _tables(preset: str, settings: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """The preset's tables with the user's settings over them, every keyword checked against its function."""
    tables: dict[str, dict[str, Any]] = load_toml(preset_path("shows", preset, restore), restore)
    tables.pop("about", None)
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


def _cadence_facts(cadence: Cadence) -> dict[str, Any]:
    return {
        "shots": len(cadence.shots),
        "pictures": len(cadence),
        "fields": cadence.fields_by_kind(),
        "digest": _digest(repr(cadence)),
    }


def _known(small: vs.VideoNode, big: vs.VideoNode) -> dict[str, Any]:
    """What `finish` would ask the first enlarged picture for, so that evaluating a script does not run the network."""
    with small.get_frame(0) as frame:
        sar = Fraction(int(frame.props["_SARNum"]), int(frame.props["_SARDen"]))
        colour = {1: "709", 5: "625", 6: "525"}[int(frame.props["_Matrix"])]
    return {"colour": colour, "sar": sar * Fraction(small.width * big.height, big.width * small.height)}


def _backend(network: Mapping[str, Any], clip: vs.VideoNode) -> str:
    """What runs the network, and why nothing that was to be tried before it."""
    if network["model"] == "none":
        return "none"
    chosen = load_model(network["model"], restore)
    return str(select_backend(chosen, clip.width, clip.height, backend=network["backend"], func=restore))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _version() -> str:
    return version("ds9vs")
