"""VapourSynth plugins as this package needs them: checked by calling, with one sentence when something is missing.

A ground room: imports nothing of ours. Never loads a plugin on import; `vs.core` wakes when a function here is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import vapoursynth as vs

from .errors import CustomRuntimeError

__all__ = ["NO_SCENES", "PLUGINS", "SEARCH", "Plugin", "has", "require"]

NO_SCENES: dict[str, Any] = {"thscd1": 16320, "thscd2": 100.0}
"""mvu's own scene detection, off: callers know the cuts from properties, and look at how well things match."""
SEARCH: dict[str, Any] = {"chroma": 0, "search": 3, "searchparam": 2, "mvlambda": 400}
"""mvu's search where pictures are moved onto their neighbours: luma alone, vectors that keep together."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that some function of ours calls."""

    namespace: str
    """The attribute of `vs.core` that it registers."""
    package: str
    """The package that installs it: what `pip install` takes."""
    purpose: str
    """What this library uses it for."""


PLUGINS = {
    p.namespace: p
    for p in (
        Plugin("bs", "vapoursynth-bestsource>=22", "frame-exact decoding"),
        Plugin("mvu", "vapoursynth-mvutensils==9", "motion vectors (QTGMC, denoising, timing, steady)"),
        Plugin("znedi3", "vapoursynth-znedi3>=3.3", "intra-field interpolation (QTGMC, deinterlacing)"),
        Plugin("bwdif", "vapoursynth-bwdif>=5.1", "fast deinterlacing"),
        Plugin("vszip", "vapoursynth-vszip>=23", "EEDI3, blurs, metrics, limiting, debanding"),
        Plugin("zsmooth", "vapoursynth-zsmooth>=0.20", "repair and temporal medians"),
        Plugin("akarin", "vapoursynth-akarin>=1.5", "expressions"),
        Plugin("resize2", "vapoursynth-resize2>=0.5.1", "scaling"),
        Plugin("fh", "vapoursynth-fieldhint>=5", "weaving fields by a table"),
        Plugin("composite", "vapoursynth-composite>=2", "NTSC and PAL encoding and decoding (dot crawl, rainbows)"),
        Plugin("dfttest2_cpu", "vapoursynth-dfttest2-cpu>=11", "frequency-domain denoising"),
        Plugin("timecube", "vapoursynth-timecube>=5", "3D colour tables (.cube)"),
        Plugin("ov", "vapoursynth-mlrt-ov>=17.1", "networks through OpenVINO"),
        Plugin("ort", "vapoursynth-mlrt-ort>=17.1", "networks through ONNX Runtime"),
        Plugin("ncnn", "vapoursynth-mlrt-ncnn>=17.1", "networks through ncnn (Vulkan)"),
        Plugin("trt", "vapoursynth-mlrt-trt>=17.1", "networks through TensorRT"),
        Plugin("trt_rtx", "vapoursynth-mlrt-trt-rtx>=17.1", "networks through TensorRT for RTX"),
        Plugin("noise", "vsnoise>=1.3", "seeded noise"),
    )
}
"""Every plugin that this package may call, by namespace."""


def _function(name: str) -> vs.Function | None:
    namespace, _, function = name.partition(".")
    plugin = getattr(vs.core, namespace, None)
    return getattr(plugin, function, None) if plugin is not None else None


def _arguments(function: vs.Function) -> set[str]:
    return {part.split(":")[0] for part in re.split(";", function.signature) if part}


def has(name: str, *arguments: str) -> bool:
    """Whether the plugin function `name` ("bwdif.Bwdif") is loaded and takes all the named arguments."""
    function = _function(name)
    return function is not None and set(arguments) <= _arguments(function)


def require(name: str, func: Callable[..., Any] | str, *arguments: str) -> vs.Function:
    """Return the plugin function `name`, or raise one sentence that says how to get it.

    Args:
        name: Namespace and function, as in `vs.core`: "bwdif.Bwdif".
        func: The public function that needs it, named in the error.
        *arguments: Arguments that the function must take: another release may lack them.

    Raises:
        CustomRuntimeError: The plugin is not loaded, or is a release without the function or an argument.

    Example:
        >>> require("std.BlankClip", "example")(length=2).num_frames
        2
    """
    function = _function(name)
    namespace = name.partition(".")[0]
    plugin = PLUGINS.get(namespace)
    package = plugin.package if plugin else f"vapoursynth-{namespace}"
    if function is None:
        raise CustomRuntimeError(f"The plugin function core.{name} is not loaded; type: pip install '{package}'", func)
    missing = sorted(set(arguments) - _arguments(function))
    if missing:
        raise CustomRuntimeError(
            f"The installed plugin's core.{name} has no argument {missing[0]!r}; type: pip install '{package}'", func
        )
    return function
