"""Field evidence: one streaming pass over a tape, kept as small block grids, cached, resumable.

May import the ground rooms and `cadence/model`. Decides nothing: `solve` reads what is measured here, so that a change
of the solver needs no new pass.

What is measured. Take three fields in time order: a, b, c. b lies on the other lines; let a' and c' be a and c
interpolated to b's lines (mean of the line above and below), after averaging four samples of each line (tape noise and
grain go, motion stays), removing the mean of some 17 such samples, and bringing a and c to one brightness, the mean of
theirs (fades and flicker go; in a fade b's own lies there). In every block of the picture three means are taken:

    D = <(a' - c')^2>              what moved between the two fields of equal parity, plus noise
    S = <(2b - a' - c')^2>         what of b neither neighbour explains: combing, vertical detail, noise
    N = <(a' - c')(2b - a' - c')>  N / D = +1: b was scanned with a; -1: with c; 0: half way between them

N / D is a least squares slope (D and S give its error). It needs no threshold, vertical detail and noise hardly bias
it, and it is the same for bright and dark pictures. D near its noise floor means that a and c are one picture or that
nothing moves. The comb energy of a and b woven is (S + D - 2N) / 4, that of b and c (S + D + 2N) / 4.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..errors import CustomRuntimeError, CustomValueError
from ..files import atomic, progress, user_folder
from ..memory import give_back, trimmer
from ..plugins import require
from ..props import field_order

__all__ = [
    "CHUNK",
    "Evidence",
    "Grids",
    "check_tape",
    "content_hash",
    "evidence_folder",
    "measure_fields",
    "sample",
    "user_cache",
]

type Func = Callable[..., Any] | str

VERSION = 3
"""Version of the cached evidence; that of another is measured again."""

CHUNK = 2560
"""Fields in each cached file; a killed run loses at most so many."""

BIN = 4
"""Samples of a line that are averaged into one."""

_BLACK = 0.01
"""Added to the brightness of fields, 1 being white, before it is evened out: black has no gain."""

_LOG_STEPS = 10.0
_LOG_ZERO = 1 / 64
_ENERGY = (_LOG_ZERO * 2 ** (np.arange(256) / _LOG_STEPS)).astype(np.float32)
_HASHED = 16
_TRIM_EVERY = 64
"""Fields between two trims of the heap, which are also those between two steps of the progress bar."""
_AHEAD = 8
"""Frames asked for before they are needed: with as many as there are cores, these wait for the decoder."""


@dataclass(frozen=True, slots=True)
class Grids:
    """Evidence of a run of fields as it is stored: one byte per block and measure, shape (fields, blocks)."""

    rho: NDArray[np.int8]
    """N / sqrt(D S) in 127ths, -127 to 127."""
    d: NDArray[np.uint8]
    """D: tenths of an octave over 1/64 squared 8-bit code."""
    s: NDArray[np.uint8]
    """S, as D."""
    luma: NDArray[np.uint8]
    """Mean luma of the block, 8-bit codes."""
    mean: NDArray[np.float32]
    """Mean luma of the field, 8-bit codes; shape (fields,)."""
    flagged: NDArray[np.bool_]
    """Whether the field repeats an earlier one by a flag of the stream (`DS9VS_Repeat`); shape (fields,)."""

    def __len__(self) -> int:
        """Fields held."""
        return len(self.mean)

    def energies(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """D, S and N in squared 8-bit codes, float32, shape (fields, blocks)."""
        d, s = _ENERGY[self.d], _ENERGY[self.s]
        return d, s, np.asarray(self.rho.astype(np.float32) / 127 * np.sqrt(d * s), np.float32)

    def __getitem__(self, where: slice | NDArray[np.intp]) -> Grids:
        """Some of the fields."""
        return Grids(*(getattr(self, name)[where] for name in self.__slots__))

    @classmethod
    def join(cls, parts: list[Grids]) -> Grids:
        """Runs one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__slots__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence of a whole tape, in files of `CHUNK` fields; memory holds only what is asked for."""

    folder: Path
    """Where the files are."""
    fields: int
    """Fields of the tape."""
    fps: tuple[int, int]
    """Frames a second of the tape, numerator and denominator."""
    tff: bool
    """Whether the top field comes first."""
    content: str
    """Hash of the tape, as `content_hash` gives it."""

    def read(self, first: int, stop: int) -> Grids:
        """Grids of fields `first` to `stop` (exclusive; both are limited to the tape)."""
        first, stop = max(0, first), min(self.fields, stop)
        parts = []
        for n in range(first // CHUNK, (stop - 1) // CHUNK + 1):
            grids = _load(_chunk_path(self.folder, n), min(CHUNK, self.fields - n * CHUNK))
            if grids is None:
                raise CustomRuntimeError(
                    f"The cached evidence in {str(self.folder)!r} was changed while it was read; analyse again.",
                    Evidence,
                )
            parts.append(grids[max(0, first - n * CHUNK) : stop - n * CHUNK])
        return Grids.join(parts)


def check_tape(tape: vs.VideoNode, func: Func) -> bool:
    """Check that a clip is a tape that can be analysed; return whether its top field comes first.

    Raises:
        CustomValueError: Its format, size or rate is variable or none that is supported, or it is progressive.
    """
    if tape.format is None or not tape.width or not tape.height:
        raise CustomValueError("The clip has a variable format or size; a tape has one (give each part alone).", func)
    if tape.format.color_family not in (vs.YUV, vs.GRAY) or tape.format.sample_type != vs.INTEGER:
        raise CustomValueError(
            f"The clip is {tape.format.name}; a tape is YUV or GRAY of 8 to 16 bits, as source() gives it.",
            func,
        )
    if not tape.fps:
        raise CustomValueError(
            "The clip has a variable frame rate; a tape has 29.97 or 25 frames a second, as source() gives it.",
            func,
        )
    if not 24.5 < tape.fps < 30.5:
        raise CustomValueError(
            f"The clip has {float(tape.fps):.3f} frames a second; a tape of woven fields has 29.97 or 25. "
            "It looks progressive already and needs no cadence.",
            func,
        )
    if tape.width < 64 or tape.height < 64 or tape.height % 2:
        raise CustomValueError(
            f"The clip is {tape.width}x{tape.height}; a tape is at least 64x64 and has an even number of lines.", func
        )
    with tape.get_frame(0) as frame:
        if frame.props.get("_FieldBased") == 0:
            raise CustomValueError(
                "The clip is marked progressive (_FieldBased 0), but a cadence needs the tape's woven fields; "
                "if it holds fields all the same, type: tape = tape.std.SetFieldBased(2)  # top field first; 1: bottom",
                func,
            )
    return field_order(tape, None, func)


def content_hash(tape: vs.VideoNode) -> str:
    """Hash of 16 sampled pictures' luma, the frame count and the rate: by it a map knows its tape.

    Reads 16 frames: a second or so. Only the first plane counts, so that a chroma repair leaves the map valid; a crop
    or a denoiser does not.

    Example:
        >>> clip = core.std.BlankClip(width=64, height=64, length=5, format=vs.YUV420P8)
        >>> content_hash(clip) == content_hash(clip.std.SetFrameProps(_SARNum=10))
        True
        >>> content_hash(clip) == content_hash(clip[1:])
        False
    """
    h = hashlib.blake2b(f"{tape.num_frames} {tape.fps_num} {tape.fps_den}".encode(), digest_size=16)
    for n in sorted({round(i * (tape.num_frames - 1) / (_HASHED - 1)) for i in range(_HASHED)}):
        with tape.get_frame(n) as frame:
            h.update(np.ascontiguousarray(np.asarray(frame[0])).tobytes())
    return h.hexdigest()


def measure_fields(
    tape: vs.VideoNode, *, cache: str | os.PathLike[str], show_progress: bool = True, func: Func = "measure_fields"
) -> Evidence:
    """Measure a tape's fields in one pass, or take up a pass that was stopped: what is cached is not measured again.

    Args:
        tape: Woven fields, YUV or GRAY of 8 to 16 bits, 29.97 or 25 frames a second, with `_FieldBased`.
        cache: Folder that holds the evidence of tapes, each in a folder of its own named by the tape's hash; some
            1.2 KB a field (200 MB for 45 minutes).
        show_progress: Whether to draw a progress bar on standard error.
        func: The public function, named in errors.

    Raises:
        CustomValueError: The clip is no tape (see `check_tape`).
        CustomRuntimeError: A plugin is missing or the folder cannot be written.
    """
    tff = check_tape(tape, func)
    content = content_hash(tape)
    folder = evidence_folder(cache, content, tff)
    fields = 2 * tape.num_frames
    graph = None
    with progress("analyse", tape.num_frames, show=show_progress) as done:
        for n in range(-(-fields // CHUNK)):
            first, stop = n * CHUNK, min(fields, (n + 1) * CHUNK)
            path = _chunk_path(folder, n)
            if _load(path, stop - first) is None:
                graph = graph or _graph(tape, tff, func)
                grids = _collect(graph, first, stop, fields, lambda field: done(field // 2))
                with atomic(path, func) as temporary, temporary.open("wb") as file:
                    np.savez(file, version=VERSION, **{name: getattr(grids, name) for name in Grids.__slots__})
            done(stop // 2)
    if graph is not None:  # the solver needs memory too
        del graph
        core.clear_cache()
        give_back()
    return Evidence(folder=folder, fields=fields, fps=(tape.fps_num, tape.fps_den), tff=tff, content=content)


def sample(tape: vs.VideoNode, tff: bool, first: int, stop: int, func: Func) -> Grids:
    """Measure a run of a tape's fields in a field order of choice, without a cache: to compare orders."""
    return _collect(_graph(tape, tff, func), first, stop, 2 * tape.num_frames, None)


def user_cache() -> Path:
    """The folder in which a user's evidence is kept when no other is given."""
    return user_folder("cache") / "evidence"


def evidence_folder(cache: str | os.PathLike[str], content: str, tff: bool) -> Path:
    """The folder in a cache that holds the evidence of a tape."""
    return Path(cache) / f"{content}-{'tff' if tff else 'bff'}-{VERSION}"


def _chunk_path(folder: Path, n: int) -> Path:
    return folder / f"{n:05d}.npz"


def _load(path: Path, fields: int) -> Grids | None:
    """The grids of a cached file, or None when there is no whole one."""
    try:
        with np.load(path, allow_pickle=False) as table:
            if int(table["version"]) != VERSION:
                return None
            grids = Grids(*(table[name] for name in Grids.__slots__))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return grids if len(grids) == fields else None


def _graph(tape: vs.VideoNode, tff: bool, func: Func) -> tuple[vs.VideoNode, vs.VideoNode]:
    """A clip of N, D, S block grids and one of luma grids, a frame per field, in time order."""
    expr = require("akarin.Expr", func)
    luma = tape.std.ShufflePlanes(0, vs.GRAY).std.RemoveFrameProps(["_FieldBased", "_Field"])
    luma = luma.resize.Bilinear(width=max(16, tape.width // BIN), format=vs.GRAYS)
    luma = luma.std.SeparateFields(tff=tff).std.RemoveFrameProps(["_Field", "_FieldBased"]).std.PlaneStats()
    fields = expr([luma, luma.std.BoxBlur(hradius=min(8, luma.width // 2 - 1), vradius=0)], "x y -")
    columns, rows = max(4, round(tape.width / 36)), max(4, round(fields.height / 16))
    first, second = fields[::2], fields[1::2]

    def compare(a: vs.VideoNode, b: vs.VideoNode, c: vs.VideoNode, above: bool) -> vs.VideoNode:
        offset = -1 if above else 1
        level = f"x.PlaneStatsAverage 0 max {_BLACK} + A! z.PlaneStatsAverage 0 max {_BLACK} + C! A@ C@ + 4 / M! "
        prefix = f"{level} x x[0,{offset}] + M@ * A@ / A! z z[0,{offset}] + M@ * C@ / C! A@ C@ - D! y 2 * A@ - C@ - S! "
        three = [core.std.ShufflePlanes([clip] * 3, [0] * 3, vs.YUV) for clip in (a, b, c)]
        return expr(three, [prefix + "D@ S@ *", prefix + "D@ dup *", prefix + "S@ dup *"])

    before = second[0] + second[:-1] if tape.num_frames > 1 else second
    after = first[1:] + first[-1] if tape.num_frames > 1 else first
    triples = core.std.Interleave([compare(before, first, second, tff), compare(first, second, after, not tff)])
    return triples.resize.Bilinear(columns, rows), luma.resize.Bilinear(columns, rows)


def _collect(
    graph: tuple[vs.VideoNode, vs.VideoNode], first: int, stop: int, fields: int, done: Callable[[int], None] | None
) -> Grids:
    energies, lumas = graph
    blocks = lumas.width * lumas.height
    raw = np.empty((stop - first, 3, blocks), np.float32)
    luma = np.empty((stop - first, blocks), np.float32)
    flagged = np.zeros(stop - first, bool)
    trim = trimmer()
    for i, (energy, level) in enumerate(_pairs(energies[first:stop], lumas[first:stop])):
        for p in range(3):
            raw[i, p] = np.asarray(energy[p]).ravel()
        luma[i] = np.asarray(level[0]).ravel()
        flagged[i] = int(level.props.get("DS9VS_Repeat", 0)) >> (first + i) % 2 & 1
        if not i % _TRIM_EVERY:
            trim()
            if done:
                done(first + i)
    n, d, s = (raw[:, p] * np.float32(219**2) for p in range(3))
    for end in (0, fields - 1):  # a field without a neighbour shows no change
        if first <= end < stop:
            d[end - first] = n[end - first] = 0
    d, s = np.maximum(d, np.float32(_LOG_ZERO)), np.maximum(s, np.float32(_LOG_ZERO))
    level = 16 + 219 * luma
    return Grids(
        np.rint(127 * np.clip(n / np.sqrt(d * s), -1, 1)).astype(np.int8),
        _code(d),
        _code(s),
        np.clip(np.rint(level), 0, 255).astype(np.uint8),
        level.mean(1, dtype=np.float32),
        flagged,
    )


def _pairs(a: vs.VideoNode, b: vs.VideoNode) -> Iterator[tuple[vs.VideoFrame, vs.VideoFrame]]:
    return zip(a.frames(prefetch=_AHEAD, close=True), b.frames(prefetch=_AHEAD, close=True), strict=True)


def _code(energy: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(_LOG_STEPS * np.log2(energy / _LOG_ZERO)), 0, 255).astype(np.uint8)
