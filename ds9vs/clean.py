"""What tape, composite video and MPEG-2 did to a picture, undone fault by fault.

Every filter looks for its own fault first and acts in proportion to what it finds, so that a picture without the
fault passes nearly untouched. `clean()` is the one entry; `measure_faults()` proposes its arguments. Edges are measured
in `finish.geometry`; here they are only repaired.

May import the ground rooms. Never changes size, rate, length or format.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from .errors import CustomValueError
from .plugins import require

__all__ = ["Faults", "clean", "measure_faults"]

type Func = Callable[..., Any] | str

SHRINK_SIGMAS = (1.0, 4.0, 16.0, 64.0)
"""Noise variances, in squared 8-bit codes, of the frequency-domain filters that `deblock` and `mosquito` mix."""
VARIANCE_PER_STEP = 0.13
"""MPEG-2 coding error (variance) over the excess energy at block borders; fitted on film at 2.5 to 9 Mb/s, where the
quotient lies between 0.10 and 0.19 (0.5 on photographs full of texture)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Arguments for `clean()`, as `measure_faults()` proposes them: `clean(clip, **faults.options())`."""

    deblock: float = 0.0
    """1 where MPEG blocks were found, else 0."""
    mosquito: float = 0.0
    """1 where MPEG blocks were found (the noise around edges comes with them), else 0."""
    rainbow: float = 0.0
    """1 where chroma flickers with the colour subcarrier, else 0."""
    dotcrawl: float = 0.0
    """1 where luma flickers with the colour subcarrier, else 0."""
    chroma_shift: tuple[float, float] = (0.0, 0.0)
    """How far to move chroma (right, down), in luma samples; (0, 0) under three quarters of a sample, or unsure."""
    chroma_upsampling: bool = False
    """Whether chroma lacks the finest vertical detail that it has horizontally."""
    denoise: float = 0.0
    """1 where noise or grain was found, else 0."""

    def options(self) -> dict[str, Any]:
        """The keyword arguments for `clean()`."""
        return dataclasses.asdict(self)


def clean(
    clip: vs.VideoNode,
    *,
    deblock: float = 0.0,
    mosquito: float = 0.0,
    rainbow: float = 0.0,
    dotcrawl: float = 0.0,
    chroma_shift: tuple[float, float] = (0.0, 0.0),
    chroma_upsampling: bool = False,
    edges: tuple[int, int, int, int] = (0, 0, 0, 0),
    denoise: float = 0.0,
    grid: tuple[int, int] = (0, 0),
    standard: Literal["ntsc", "pal"] | None = None,
) -> vs.VideoNode:
    """Repair the faults that are asked for, each in proportion to what is found of it. Nothing is on by default.

    Strengths run from 0 (off) over 1 (as tuned) to 4; those of `rainbow` and `dotcrawl` end at 1. Progressive pictures
    come in, YUV 4:2:0, 4:2:2 or 4:4:4 of 8 to 16 bits; `rainbow` and `dotcrawl` alone also take the woven tape
    (`_FieldBased` 1 or 2), and work best there, before `ivtc`, because the colour subcarrier turns over from tape frame
    to tape frame. Give 16 bits to keep what the filters win between two codes of 8.

    Order: composite faults, blocks and mosquito noise, chroma, edges, noise. Filters that look at neighbouring pictures
    stop at `_SceneChangePrev` and `_SceneChangeNext` where a clip has them.

    Args:
        clip: The pictures.
        deblock: MPEG-2 blocks. The excess energy at the borders of the 8x8 grid over the texture beside it tells the
            coding error of each region (32 pixels around); an overlapped frequency-domain Wiener filter (dfttest) takes
            out as much. On film at 2.5 Mb/s 0.5 to 1.6 dB where H.264-style deblocking gains 0.1 to 0.8.
        mosquito: Ringing beside edges; the same engine, four times as strong, in a band of 6 samples around edges only.
        rainbow: Cross-colour. Re-encodes to composite and separates again in three dimensions (composite.Restore),
            and keeps the change of chroma where it flickers as the subcarrier does while the picture stands still, so
            pictures that move throughout get little (on an NTSC tape the repeated fields of the pulldown help).
        dotcrawl: Cross-luma, alike.
        chroma_shift: How far to move chroma to the right and down, in luma samples; fractions are meant.
        chroma_upsampling: Undo one pass of 4:2:0 through 4:2:2 with the wrong idea of interlacing (chroma of fields
            taken for progressive, or the reverse: both blur chroma vertically alike), where vertical chroma detail is
            missing that exists horizontally. On tapes with moving fields this cannot separate what was mixed.
        edges: Darkened columns and lines (blanking ramps) left, top, right, bottom, in luma samples: each that one gain
            explains is divided by it. `measure_edges(clip).ramps` finds them; `crop` can cut them instead.
        denoise: Motion-compensated (MVTools degrain over 2 pictures each way, vectors from a denoised copy), then a
            weak frequency-domain pass over what is left; acts by how much noise the flattest tenth of the picture has.
        grid: What was cropped of the coded picture (left, top), in luma samples, so that `deblock` knows where blocks
            lie. 4:2:0 chroma needs it after crop(left=8) too: its blocks are 16 luma samples wide.
        standard: "ntsc" or "pal", for `rainbow` and `dotcrawl`; by default from `_Matrix`, else from the frame rate.

    Returns:
        The repaired clip, with all its props.

    Raises:
        CustomValueError: A format, size or value that is not allowed, or an interlaced clip where pictures are needed.
        CustomRuntimeError: A plugin is missing.

    Example:
        >>> film = core.std.BlankClip(format=vs.YUV420P8, width=704, height=480, length=3)
        >>> clean(film, deblock=1, chroma_shift=(-0.5, 0)).format.name
        'YUV420P8'
    """
    _check(clip, clean)
    strengths = {
        "deblock": deblock,
        "mosquito": mosquito,
        "rainbow": rainbow,
        "dotcrawl": dotcrawl,
        "denoise": denoise,
    }
    for name, value in strengths.items():
        if not 0 <= value <= 4:
            raise CustomValueError(f"{name} is a strength from 0 (off) to 4, 1 as tuned.", clean, value)
    if any(not -8 <= shift <= 8 for shift in chroma_shift):
        raise CustomValueError("chroma_shift is (right, down) in luma samples, from -8 to 8.", clean, chroma_shift)
    left, top, right, bottom = edges
    if min(edges) < 0 or max(left, right) > clip.width // 8 or max(top, bottom) > clip.height // 8:
        raise CustomValueError(
            "edges are (left, top, right, bottom) in luma samples, at most an eighth of the picture.", clean, edges
        )
    if min(grid) < 0:
        raise CustomValueError("grid is what was cropped (left, top), in luma samples, 0 or more.", clean, grid)
    spatial = deblock or mosquito or any(chroma_shift) or chroma_upsampling or any(edges) or denoise
    woven = (rainbow or dotcrawl or spatial) and _interlaced(clip)
    if spatial and woven:
        raise CustomValueError(
            "These faults are mended on progressive pictures; of a woven tape only rainbow and dotcrawl. "
            "Call clean() after ivtc().",
            clean,
        )
    if not (spatial or rainbow or dotcrawl):
        return clip

    work = _to16(clip)
    if rainbow or dotcrawl:
        work = _composite(work, rainbow, dotcrawl, bool(woven), _standard(clip, standard))
    if deblock or mosquito:
        work = _shrink(work, deblock, mosquito, grid)
    if any(chroma_shift):
        work = _shift_chroma(work, chroma_shift)
    if chroma_upsampling:
        work = _sharpen_chroma_lines(work)
    if any(edges):
        work = _repair_edges(work, edges)
    if denoise:
        work = _denoise(work, denoise)
    return work.resize.Point(format=clip.format.id).std.CopyFrameProps(clip)


def _check(clip: vs.VideoNode, func: Func) -> None:
    """Refuse what no filter here takes."""
    if clip.format is None or not clip.width:
        raise CustomValueError("The clip must have one format and one size.", func)
    kind = clip.format
    if (
        kind.color_family != vs.YUV
        or kind.sample_type != vs.INTEGER
        or kind.subsampling_w > 1
        or kind.subsampling_h > 1
    ):
        raise CustomValueError(
            "Give YUV 4:2:0, 4:2:2 or 4:4:4 of 8 to 16 bits; convert first (clip.resize.Spline36(format=...)).",
            func,
            kind.name,
        )
    if clip.width < 64 or clip.height < 64:
        raise CustomValueError("Give pictures of 64x64 or more.", func, f"{clip.width}x{clip.height}")


def _interlaced(clip: vs.VideoNode) -> bool:
    with clip.get_frame(0) as frame:
        return bool(frame.props.get("_FieldBased", 0))


def _standard(clip: vs.VideoNode, standard: str | None) -> str:
    """Which colour television system the disc belongs to."""
    if standard is None:
        with clip.get_frame(0) as frame:
            matrix = frame.props.get("_Matrix", 2)
        fps = Fraction(clip.fps) if clip.fps else None
        if matrix in (5, 6):
            standard = "pal" if matrix == 5 else "ntsc"
        elif fps in (25, 50):
            standard = "pal"
        elif fps is not None and fps.denominator == 1001:
            standard = "ntsc"
    if standard not in ("ntsc", "pal"):
        raise CustomValueError(
            "The clip does not say which system it is; give standard='ntsc' or 'pal'.", clean, standard
        )
    lines = 480 if standard == "ntsc" else 576
    if clip.width > 720 or clip.height > lines:
        raise CustomValueError(
            f"Composite faults are mended at the disc's size, at most 720x{lines}; call clean() before scaling.",
            clean,
            f"{clip.width}x{clip.height}",
        )
    return standard


# Small tools


def _to16(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.resize.Point(format=clip.format.replace(bits_per_sample=16).id)


def _planes(clip: vs.VideoNode) -> list[vs.VideoNode]:
    return [clip.std.ShufflePlanes(plane, vs.GRAY) for plane in range(3)]


def _join(planes: Sequence[vs.VideoNode]) -> vs.VideoNode:
    return core.std.ShufflePlanes(list(planes), [0, 0, 0], vs.YUV)


def _codes(plane: vs.VideoNode) -> vs.VideoNode:
    """A 16-bit plane in 8-bit codes, float."""
    return plane.std.Expr("x 256 /", vs.GRAYS)


def _offset(clip: vs.VideoNode, by: int) -> vs.VideoNode:
    """Frame n of the result is frame n + by; the first or last repeats."""
    if not by:
        return clip
    count = min(abs(by), clip.num_frames)
    if by < 0:
        return clip[0] * count + clip[: clip.num_frames - count] if count < clip.num_frames else clip[0] * count
    return clip[count:] + clip[-1] * count if count < clip.num_frames else clip[-1] * count


def _in_shots(clip: vs.VideoNode, radius: int, func: Func) -> vs.VideoNode:
    """For each picture a window of 2 radius + 1: itself and its neighbours, those of other shots replaced.

    Where a neighbour lies beyond a cut (`_SceneChangePrev`/`_SceneChangeNext`), the window repeats the last picture on
    this side. A filter runs over the windows set end to end, and only their middles are asked for
    (`SelectEvery(2 radius + 1, radius)`), so nothing is computed twice.
    """
    select = require("akarin.Select", func)
    window = {0: clip}
    names = "xyzabc"
    for sign in (-1, 1):
        chain = [_offset(clip, sign * k) for k in range(radius + 1)]
        near, far = ("_SceneChangePrev", "_SceneChangeNext") if sign < 0 else ("_SceneChangeNext", "_SceneChangePrev")
        for k in range(1, radius + 1):
            choice = str(k)
            for j in range(k, 0, -1):
                cut = f"{names[j - 1]}.{near} 1 = {names[j]}.{far} 1 = or"
                choice = f"{cut} {j - 1} {choice} ?"
            window[sign * k] = select(chain[: k + 1], chain[: k + 1], choice)
    return core.std.Interleave([window[k] for k in range(-radius, radius + 1)])


def _spectral(clip: vs.VideoNode, sigma: float, func: Func) -> vs.VideoNode:
    """Overlapped 16x16 Wiener filter in the frequency domain for noise of variance `sigma` (squared 8-bit codes)."""
    require("dfttest2_cpu.DFTTest", func)
    from dfttest2 import Backend, DFTTest

    out: vs.VideoNode = DFTTest(clip, sigma=sigma, tbsize=1, sbsize=16, sosize=12, backend=Backend.CPU())
    return out


# MPEG-2: blocks and mosquito noise


def _coding_error(plane: vs.VideoNode, grid: tuple[int, int], radius: int) -> vs.VideoNode:
    """Variance of the coding error around each sample, in squared 8-bit codes; GRAYS in 8-bit codes in, GRAYS out.

    Second-order steps across the borders of the 8x8 grid, squared, less those inside the blocks: 0 on the average for
    a picture that was never cut into blocks, whatever its texture. A part of the texture's own energy is taken off, for
    where texture is strong neither is the estimate sure nor are blocks seen.
    """
    expr = require("akarin.Expr", clean)
    blur = require("vszip.BoxBlur", clean)
    steps, inner = [], []
    for axis, a, b, c in (("X", "-2,0", "-1,0", "1,0"), ("Y", "0,-2", "0,-1", "0,1")):
        step = f"x x[{b}] - x[{b}] x[{a}] - x[{c}] x - + 0.5 * - dup * 400 min"
        at = f"{axis} {grid[axis == 'Y']} + 8 %"
        inside = f"{at} 2 >= {at} 6 <= and"
        steps.append(f"{step} {at} 0 = 8 {inside} -1.6 0 ? ? *")
        inner.append(f"{step} {inside} 1.6 0 ? *")
    excess, texture = (
        blur(expr(plane, " ".join(terms) + " +"), hradius=radius, vradius=radius, hpasses=2, vpasses=2)
        for terms in (steps, inner)
    )
    return core.std.Expr([excess, texture], f"x y 0.15 * - {VARIANCE_PER_STEP} * 0 max")


def _beside_edges(luma: vs.VideoNode) -> vs.VideoNode:
    """1 within 6 samples of a strong edge but not on it, 0 elsewhere, soft between; GRAYS in 8-bit codes in and out."""
    edge = core.std.Expr(luma.std.Prewitt(), "x 40 - 40 / 0 max 1 min")
    wide = edge
    for _ in range(6):
        wide = wide.std.Maximum()
    return core.std.Expr([wide, edge.std.Maximum()], "x 1 y - *").std.BoxBlur(hradius=1, vradius=1)


def _shrink(clip: vs.VideoNode, deblock: float, mosquito: float, grid: tuple[int, int]) -> vs.VideoNode:
    expr = require("akarin.Expr", clean)
    kind, out = clip.format, []
    for index, plane in enumerate(_planes(clip)):
        if index and not deblock:
            out.append(plane)
            continue
        place = (grid[0] >> kind.subsampling_w, grid[1] >> kind.subsampling_h) if index else grid
        codes = _codes(plane)
        error = _coding_error(codes, place, 16 if index and kind.subsampling_w else 32)
        if mosquito and not index:
            error = core.std.Expr([error, _beside_edges(codes)], f"x {deblock} {4 * mosquito} y * + *")
        else:
            error = core.std.Expr(error, f"x {deblock} *")
        # Linear between the filters, in the noise's standard deviation; source where there is none.
        knots = [0.0, *map(math.sqrt, SHRINK_SIGMAS)]
        names = "xzabc"
        mix = "y sqrt E! x " + " ".join(
            f"E@ {low} - {high - low} / 0 max 1 min {names[k + 1]} {names[k]} - * +"
            for k, (low, high) in enumerate(itertools.pairwise(knots))
        )
        out.append(expr([plane, error, *(_spectral(plane, sigma, clean) for sigma in SHRINK_SIGMAS)], mix))
    return _join(out)


# Composite video: rainbows and dot crawl


def _composite(clip: vs.VideoNode, rainbow: float, dotcrawl: float, woven: bool, standard: str) -> vs.VideoNode:
    kind = clip.format
    full = clip.resize.Spline36(format=vs.YUV444P16)
    luma = _codes(full.std.ShufflePlanes(0, vs.GRAY))
    if dotcrawl:
        change = _luma_change(full, standard, woven)
        weight = _subcarrier([change], luma, standard, woven, 16)
        first = core.std.Expr(
            [full.std.ShufflePlanes(0, vs.GRAY), change, weight], f"x y z * {256 * min(dotcrawl, 1)} * +"
        )
        full = core.std.ShufflePlanes([first, full, full], [0, 1, 2], vs.YUV)
    planes = _planes(clip)
    planes[0] = full.std.ShufflePlanes(0, vs.GRAY)
    if rainbow:
        change444 = core.std.MakeDiff(_separate(full, standard, woven), full)
        small = change444.resize.Spline36(format=kind.id)
        changes = [small.std.ShufflePlanes(plane, vs.GRAY).std.Expr("x 32768 - 256 /", vs.GRAYS) for plane in (1, 2)]
        guide = luma.resize.Bilinear(changes[0].width, changes[0].height)
        weight = _subcarrier(changes, guide, standard, woven, 16 >> kind.subsampling_w)
        for k, change in enumerate(changes, 1):
            planes[k] = core.std.Expr([planes[k], change, weight], f"x y z * {256 * min(rainbow, 1)} * +")
    return _join(planes)


def _luma_change(full: vs.VideoNode, standard: str, woven: bool) -> vs.VideoNode:
    """What separating luma again changes in it. Luma alone: what crawls in it has its place in chroma already."""
    grey = full.std.BlankClip(color=[0, 32768, 32768], keep=True)
    grey = core.std.ShufflePlanes([full, grey, grey], [0, 1, 2], vs.YUV).std.CopyFrameProps(full)
    pair = [c.std.ShufflePlanes(0, vs.GRAY) for c in (_separate(grey, standard, woven), full)]
    return core.std.Expr(pair, "x y - 256 /", vs.GRAYS)


def _separate(full: vs.VideoNode, standard: str, woven: bool) -> vs.VideoNode:
    """Through a composite signal and a three-dimensional separator, on the raster of the system; 4:4:4 16 bit."""
    restore = require("composite.Restore", clean, "dimensions", "refine")
    lines = 480 if standard == "ntsc" else 576
    # Where a crop left less than the raster, lines keep their field: an even number goes on top.
    right, top = 720 - full.width, (lines - full.height) // 4 * 2
    bottom = lines - full.height - top
    raster = full
    if right or bottom:
        # zimg mirrors the picture where the window reaches beyond it.
        raster = full.std.SetFieldBased(0).resize.Point(720, lines, src_top=-top, src_width=720, src_height=lines)
        raster = raster.std.CopyFrameProps(full)
    if not woven:
        raster = raster.std.SetFieldBased(2)
    # The separator reads two pictures back and three ahead.
    window = _in_shots(raster, 3, clean)
    done = restore(window, standard=standard, refine=0).std.SelectEvery(7, 3)
    return done.std.Crop(right=right, top=top, bottom=bottom).std.CopyFrameProps(full)


def _subcarrier(
    changes: Sequence[vs.VideoNode], luma: vs.VideoNode, standard: str, woven: bool, cell: int
) -> vs.VideoNode:
    """How surely the changes take out a subcarrier: 0 to 1 for each sample.

    What cross-colour and dot crawl add to a resting picture turns over from one frame to the next (NTSC: 227.5 cycles
    a line, 525 lines) or to the next but one (PAL: 283.7516 cycles, 625 lines); what a separator wrongly takes from the
    picture stays. So the product of two changes so far apart tells them apart where the picture rests; cells of moving
    picture do not vote. On tape fields vote by themselves: a repeated field of the pulldown rests though all moves.
    """
    expr, select = require("akarin.Expr", clean), require("akarin.Select", clean)
    step = 2 if woven else 1
    lag = step if standard == "ntsc" else 2 * step
    if woven:
        luma = luma.std.SeparateFields(tff=True)
        changes = [change.std.SeparateFields(tff=True) for change in changes]
    width, height = math.ceil(luma.width / cell), math.ceil(luma.height * step / cell)
    smooth = luma.std.BoxBlur(hradius=max(1, cell // 8), hpasses=2, vradius=0)
    detail = expr(smooth, "x[1,0] x[-1,0] - 0.5 * dup * x[0,1] x[0,-1] - 0.5 * dup * +")
    motion = core.std.Expr([smooth, _offset(smooth, -lag)], "x y - dup *")
    detail, motion = (c.resize.Bilinear(width, height) for c in (detail, motion))
    product, energy = [], []
    for change in changes:
        pair = [change, _offset(change, -lag)]
        product.append(core.std.Expr(pair, "x y * -1 *").resize.Bilinear(width, height))
        energy.append(core.std.Expr(pair, "x x * y y * + 0.5 *").resize.Bilinear(width, height))
    # Two pictures of different shots have nothing to say of each other. (Select, not Expr: there a missing prop is NaN,
    # and NaN equals everything.)
    between = [_offset(motion, -by) for by in range(0, lag + 1, step)]
    names = "xyz"[: len(between)]
    cuts = [f"{late}._SceneChangePrev 1 = {early}._SceneChangeNext 1 = or" for late, early in itertools.pairwise(names)]
    cut = " ".join(cuts + ["or"] * (len(cuts) - 1)) + " 1 0 ?"
    votes = []
    for maps in (product, energy):
        total = maps[0] if len(maps) == 1 else core.std.Expr(maps, "x y +")
        kept = core.std.Expr([total, motion, detail], "y 0.02 z * 1 + < x 0 ?")
        votes.append(select([kept, kept.std.BlankClip(keep=True)], between, cut))
    # Five frames: one whole turn of the 3:2 pulldown.
    votes = [v.std.AverageFrames([1] * (4 * step + 1), scenechange=True) for v in votes]
    if woven:
        votes = [v.std.SelectEvery(2, 1) for v in votes]
    product_mean, energy_mean = votes[0].std.PlaneStats(), core.std.Expr(votes[1], "x 0.25 +").std.PlaneStats()
    whole = "x.PlaneStatsAverage y.PlaneStatsAverage /"
    weight = expr(
        [product_mean, energy_mean],
        f"{whole} 0.1 - 0.2 / 0 max 1 min x y / 0.3 - 0.3 / 0 max 1 min {whole} 0.02 - 0.05 / 0 max 1 min * max",
    )
    shape = changes[0]
    return weight.resize.Bilinear(shape.width, shape.height * step)


# Chroma


def _shift_chroma(clip: vs.VideoNode, shift: tuple[float, float]) -> vs.VideoNode:
    kind, planes = clip.format, _planes(clip)
    left, top = -shift[0] / (1 << kind.subsampling_w), -shift[1] / (1 << kind.subsampling_h)
    return _join([planes[0], *(p.resize.Spline36(src_left=left, src_top=top) for p in planes[1:])])


def _sharpen_chroma_lines(clip: vs.VideoNode) -> vs.VideoNode:
    """One step of Van Cittert's iteration against the blur that one wrong pass through 4:2:2 makes."""
    expr = require("akarin.Expr", clean)
    out = _planes(clip)
    for index in (1, 2):
        plane = _codes(out[index])
        # The impulse response of bilinear 4:2:0 -> 4:2:2 -> 4:2:0 with one half interlaced and the other not.
        again = expr(plane, "x 0.40625 * x[0,-1] x[0,1] + 0.25 * + x[0,-2] x[0,2] + 0.046875 * +")
        vertical = expr(plane, "x[0,-1] x[0,1] + x 2 * - dup *").std.PlaneStats()
        across = expr(plane, "x[-1,0] x[1,0] + x 2 * - dup *").std.PlaneStats()
        # A little blur across keeps coding noise from growing; what it mends runs across.
        change = core.std.Expr([plane, again], "x y -").std.Convolution([1, 2, 1], mode="h")
        found = "0.6 z.PlaneStatsAverage a.PlaneStatsAverage 0.05 + / - 0.2 / 0 max 1 min"
        out[index] = expr([out[index], change, vertical, across], f"x y {found} * 256 * +")
    return _join(out)


def _repair_edges(clip: vs.VideoNode, edges: tuple[int, int, int, int]) -> vs.VideoNode:
    """Each damaged line scaled to its neighbour inside, from the inside out; lines that are not damaged stay."""
    kind = clip.format
    sizes = [
        tuple(
            math.ceil(n / (1 << (s if plane else 0)))
            for n, s in zip(edges, (kind.subsampling_w, kind.subsampling_h) * 2, strict=True)
        )
        for plane in range(3)
    ]

    def repair(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane, (left, top, right, bottom) in enumerate(sizes):
            zero = 128.0 * 256 if plane else 16.0 * 256
            samples = np.asarray(out[plane])
            for view, count in (
                (samples.T, left),
                (samples.T[::-1], right),
                (samples, top),
                (samples[::-1], bottom),
            ):
                for at in range(count - 1, -1, -1):
                    view[at] = _rescaled(view[at], view[at + 1], zero)
        return out

    return clip.std.ModifyFrame(clip, repair)


def _rescaled(
    line: np.ndarray[Any, np.dtype[np.uint16]], inside: np.ndarray[Any, np.dtype[np.uint16]], zero: float
) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """A line of samples divided by the gain that blanking gave it, when one gain explains it."""
    a, b = line.astype(np.float64) - zero, inside.astype(np.float64) - zero
    energy = float(b @ b)
    if energy < len(b) * 512.0**2:  # under two codes there is nothing to go by
        return line
    gain = float(a @ b) / energy
    loss = energy * (1 - gain) ** 2
    if not 0.1 <= gain <= 0.93 or float((a - gain * b) @ (a - gain * b)) > 0.5 * loss:
        return line
    return np.clip(np.rint(a / gain + zero), 0, 65535).astype(np.uint16)


# Noise


def _noise_level(luma: vs.VideoNode) -> vs.VideoNode:
    """A tiny clip with `DS9VS_Noise`: deviation of the finest detail in the flattest tenth, in 8-bit codes.

    The operator is Immerkaer's (Fast Noise Variance Estimation, 1996); film without grain after MPEG-2 measures 0.3 to
    0.7, grain of sigma 3 at 8 Mb/s 0.9 to 1.3, of sigma 5 1.4 to 2.2.
    """
    expr = require("akarin.Expr", clean)
    fine = expr(
        luma,
        "x[-1,-1] x[1,-1] + x[-1,1] + x[1,1] + x[0,-1] x[0,1] + x[-1,0] + x[1,0] + 2 * - x 4 * + 6 / dup *",
    ).resize.Bilinear(max(1, luma.width // 16), max(1, luma.height // 16))

    def measure(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props["DS9VS_Noise"] = float(np.sqrt(max(0.0, float(np.quantile(np.asarray(f[0]), 0.1)))))
        return out

    return fine.std.ModifyFrame(fine, measure)


def _denoise(clip: vs.VideoNode, strength: float) -> vs.VideoNode:
    expr = require("akarin.Expr", clean)
    require("mvu.Degrain", clean)
    from vsdenoise import mc_degrain

    calm = _spectral(clip, 16.0, clean)
    radius = 2
    window, guide = (_in_shots(c, radius, clean) for c in (clip, calm))
    mean = mc_degrain(window, prefilter=guide, tr=radius, thsad=round(450 * max(1.0, strength)))
    mean = mean.std.SelectEvery(2 * radius + 1, radius)
    done = _spectral(mean, 4.0 * max(1.0, strength), clean)
    level = _noise_level(_codes(clip.std.ShufflePlanes(0, vs.GRAY)))
    # Full strength from grain of sigma 3 on; no sample moves further than three sigma of it.
    mix = (
        "z.DS9VS_Noise 0.65 - 0.3 / 0 max 1 min W! z.DS9VS_Noise 2048 * L! "
        f"y x - L@ min L@ -1 * max W@ * {min(1.0, strength)} * x +"
    )
    props = clip.std.CopyFrameProps(level, props=["DS9VS_Noise"])
    return expr([clip, done, props], mix)


# Measuring


def measure_faults(clip: vs.VideoNode, *, frames: int = 6) -> Faults:
    """Look at a handful of pictures and propose the arguments of `clean()`; a plain value to keep in the script.

    Reads `frames` pictures spread over the clip and, for composite faults, up to six neighbours of each of two
    of them: some seconds. Give a whole episode rather than one shot, as `clean()` will get it. Edges are `crop`'s.

    Raises:
        CustomValueError: A format that `clean()` does not take.

    Example:
        >>> grey = core.std.BlankClip(format=vs.YUV420P8, width=128, height=128, length=2, color=[99, 128, 128])
        >>> measure_faults(grey.std.SetFrameProps(_Matrix=6)).deblock
        0.0
    """
    _check(clip, measure_faults)
    at = sorted({round((n + 0.5) * clip.num_frames / frames - 0.5) for n in range(frames)})
    woven, work = _interlaced(clip), _to16(clip)
    luma = _codes(work.std.ShufflePlanes(0, vs.GRAY))
    error = _mean([float(np.mean(_plane(_coding_error(luma, (0, 0), 32), n))) for n in at])
    noise = _mean([_prop(_noise_level(luma), n, "DS9VS_Noise") for n in at])
    rainbow = dotcrawl = 0.0
    try:
        standard = _standard(clip, None)
    except CustomValueError:
        standard = ""
    if standard:
        full = work.resize.Spline36(format=vs.YUV444P16)
        change = core.std.MakeDiff(_separate(full, standard, woven), full)
        parts = [change.std.ShufflePlanes(k, vs.GRAY).std.Expr("x 32768 - 256 /", vs.GRAYS) for k in (1, 2)]
        guide = _codes(full.std.ShufflePlanes(0, vs.GRAY))
        some = at[len(at) // 4 :: max(1, len(at) // 2)][:2]
        for k, planes in enumerate((parts, [_luma_change(full, standard, woven)])):
            weight = _subcarrier(planes, guide, standard, woven, 16)
            found = float(min(float(np.mean(_plane(weight, n))) for n in some) > 0.2)
            rainbow, dotcrawl = (found, dotcrawl) if k == 0 else (rainbow, found)
    missing, shift = False, (0.0, 0.0)
    if not woven:
        ratios, shifts = [], []
        for n in at:
            with work.get_frame(n) as frame:
                y, u, v = (np.asarray(frame[k]).astype(np.float64) / 256 for k in range(3))
            ratios.append(_line_ratio(u, v))
            shifts.append(_displacement(y, u, v))
        missing = _mean(ratios) < 0.4
        votes = np.array([s for s in shifts if s is not None])
        if len(votes):
            middle = np.median(votes, axis=0)
            spread = np.median(np.abs(votes - middle), axis=0)
            # A soft picture alone may seem shifted by half a sample; a disc's error is larger and the same everywhere.
            sure = (np.abs(middle) >= 0.75) & (np.abs(middle) > 2 * spread)
            shift = (round(-float(middle[0]), 2) * int(sure[0]), round(-float(middle[1]), 2) * int(sure[1]))
    blocks = float(error > 0.4 and not woven)
    return Faults(
        deblock=blocks,
        mosquito=blocks,
        rainbow=rainbow,
        dotcrawl=dotcrawl,
        chroma_shift=shift,
        chroma_upsampling=missing,
        denoise=float(noise > 0.8 and not woven),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _plane(clip: vs.VideoNode, n: int) -> np.ndarray[Any, np.dtype[Any]]:
    with clip.get_frame(n) as frame:
        return np.array(frame[0])


def _prop(clip: vs.VideoNode, n: int, name: str) -> float:
    with clip.get_frame(n) as frame:
        return float(frame.props[name])


def _line_ratio(*chroma: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Finest vertical detail of chroma over finest horizontal detail, as energies."""
    down = sum(float(np.mean((p[:-2] + p[2:] - 2 * p[1:-1]) ** 2)) for p in chroma)
    across = sum(float(np.mean((p[:, :-2] + p[:, 2:] - 2 * p[:, 1:-1]) ** 2)) for p in chroma)
    return down / across if across > 0.5 else 1.0


def _displacement(
    y: np.ndarray[Any, np.dtype[np.float64]],
    u: np.ndarray[Any, np.dtype[np.float64]],
    v: np.ndarray[Any, np.dtype[np.float64]],
) -> tuple[float, float] | None:
    """Where chroma lies against luma (right, down), in luma samples: the peak of the correlation of their gradients.

    None where the picture has too little colour to tell. Chroma is taken as left-sited.
    """
    sx, sy = y.shape[1] // u.shape[1], y.shape[0] // u.shape[0]
    if sx == 2:  # the luma around each chroma site: 1 2 1 across
        padded = np.pad(y, ((0, 0), (1, 1)), mode="edge")
        y = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2])[:, : u.shape[1]] / 4
    if sy == 2:
        y = (y[0::2] + y[1::2])[: u.shape[0]] / 2

    def slopes(p: np.ndarray[Any, np.dtype[np.float64]], axis: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(np.abs(np.gradient(p, axis=axis)))

    found = []
    for axis, scale in ((1, sx), (0, sy)):
        colour = slopes(u, axis) + slopes(v, axis)
        if float(np.mean(colour)) < 0.3:
            return None
        light = slopes(y, axis)
        lags = np.arange(-6, 7)
        inner = np.s_[8:-8, 8:-8]
        a = light[inner] - light[inner].mean()
        score = []
        for lag in lags:
            b = np.roll(colour, -lag, axis=axis)[inner]
            score.append(float(np.sum(a * (b - b.mean()))))
        best = int(np.argmax(score))
        if not 0 < best < len(lags) - 1:
            return None
        low, mid, high = score[best - 1 : best + 2]
        found.append((float(lags[best]) + 0.5 * (low - high) / (low - 2 * mid + high)) * scale)
    return found[0], found[1]
