"""Grain measured: what pictures have and their denoised twins lack, in flat places.

May import the ground rooms, `cadence/model` and its neighbours. Short runs of pictures, spread over the clip, are
denoised; in flat blocks the rest is taken by luma and by frequency. `calibrate` then finds the grain that would measure
the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs

from ..cadence.model import Cadence
from ..errors import CustomValueError
from ..files import progress
from ..plugins import require
from .calibrate import Denoiser, calibrated, denoised
from .coding import Coding
from .evidence import Evidence, Picture, look, pooled, raw_model
from .model import BINS, GrainModel
from .runs import Run, film_runs, kept, numbered, spliced

__all__ = ["measure_grain"]

type Func = Callable[..., Any] | str

NOTHING = 0.25
"""Deviation, in 8-bit codes, below which a source counts as without grain: rounding to 8 bits alone has 0.29."""
APART = 1.2
"""Factor between the deviations of two groups of shots."""
CODED = 900
"""Pictures that are coded again."""
ENOUGH = 3
"""Pictures that a group of shots must have had measured."""


def measure_grain(
    source: vs.VideoNode,
    clean: vs.VideoNode | Denoiser | None = None,
    cadence: Cadence | None = None,
    *,
    pictures: int = 96,
    rate: int | Coding | None = None,
    calibrate: bool = True,
    show: bool = False,
) -> GrainModel:
    """Measure a film's grain on its disc: how much at which luma, how fine in which tones, in colour, in time.

    The residual source - clean is read in flat 16x16 blocks, flat by the structure tensor of `clean`: the flattest
    40 % of a picture, and of those the flattest half of each luma bin. Denoising leaves some grain in and MPEG-2 takes
    some away, so the plain residual shows about three quarters of the truth, finer grain less than coarse. Therefore
    grain is synthesised on the denoised pictures, coded as the disc is, denoised and measured again, a few times over,
    and the model is changed until that gives what the disc gave: with the disc's groups of pictures, its quantisers and
    its pulldown, picture by picture, if `rate` tells them. Then I pictures alone are measured, if there are six, for
    they hold most of their grain; of other pictures most is left to prediction. What coding alone leaves, without any
    grain, counts as none; what denoising does to the pictures that grain is put on is found out by doing it once more.
    Where few blocks were seen, or coding hides most, the noise curve is carried on from its neighbours, and the model's
    notes say so.

    Behind coding grain's spectrum is that of specks whose radii, down and across, change what is measured as the disc
    shows it: found by making them larger, and held the nearer to a first guess, and to the other tones, the more of
    what is seen there coding leaves without grain. Without coding it is measured frequency by frequency.

    About three minutes of two cores with `rate`, and 3 GB of the folder for temporary files, however long the clip is.

    Args:
        source: Progressive pictures with grain, YUV or GRAY, 8 to 16 bit, at least 32x32.
        clean: The same pictures without grain, of the same format and length; or a function that makes them (only
            then can its own bias be found out); None for the motion-compensated mean of five pictures.
        cadence: The map that `source` was made by (its frames spread evenly over the tape): film shots alone are
            measured, shots whose grain differs from the others' form groups, and shots that are no film take the grain
            of the film beside them.
        pictures: About how many to read: I pictures of a disc whose coding is known. Some of them are coded again, 900
            pictures with those around them.
        rate: How the disc is coded: what `disc_coding` read from it (`source` is then the whole title), or only the
            bits a second of its video; None if the pictures were not coded: then only the denoiser's bias is taken out.
        calibrate: False for the plain measurement, in seconds.
        show: Whether to draw a progress bar (standard error).

    Returns:
        The model. Of a source without grain its sigma is 0 throughout, and `add_grain` then adds none.

    Raises:
        CustomValueError: The clips differ in size, format or length, or are the same pixels; there is nothing to
            measure (one picture and no `clean`, all black, all clipped).
        CustomRuntimeError: A plugin or ffmpeg is missing.

    Source: noise curves as in Liu, Freeman, Szeliski and Kang, "Noise estimation from a single image", CVPR 2006, with
    a denoised reference for its piecewise-smooth model; the structure tensor of Bigun and Granlund, ICCV 1987.

    Example:
        >>> flat = core.std.BlankClip(format=vs.YUV420P8, width=128, height=128, length=2, color=[90, 128, 128])
        >>> noisy = flat.noise.Add(var=9.0, uvar=0.0, seed=1)
        >>> 2.5 < measure_grain(noisy, flat).sigma[5] < 3.5
        True
    """
    given = clean if isinstance(clean, vs.VideoNode) else None
    _check(source, given)
    coding = Coding(rate=rate) if isinstance(rate, int) else rate
    if given is None and source.num_frames < 2:
        raise CustomValueError(
            "Of one picture alone grain cannot be told from detail; give the picture without grain as well (clean=).",
            measure_grain,
        )
    found = film_runs(source, cadence, pictures, coding)
    if not found:
        raise CustomValueError(
            "The cadence map has no film shot of three pictures or more in this clip; measure another title.",
            measure_grain,
        )
    wide = source.resize.Point(format=source.format.replace(bits_per_sample=16).id)
    make = clean if callable(clean) else _averaged
    denoise = make if given is None else None
    noisy = spliced(wide, found)
    held = given.resize.Point(format=wide.format.id) if given is not None else None
    plain = spliced(held, found) if held is not None else denoised(noisy, make)
    where = numbered(found)
    seen: list[Picture] = []
    with progress("grain", len(where), show=show) as done:
        for place in where:
            seen.append(look(noisy, plain, *place))
            done(len(seen))
    _check_seen(seen, given is not None)
    with tempfile.TemporaryDirectory() as folder:
        whole = pooled(seen)
        model = raw_model(whole, source)
        if calibrate and (denoise is not None or coding is not None) and any(model.sigma):
            some = _some(found)
            few_noisy = kept(spliced(source, some), Path(folder) / "noisy.raw").resize.Point(format=wide.format.id)
            # A mean of five keeps a fifth of the grain, which would be measured again.
            few_plain = denoised(denoised(few_noisy, make), make) if held is None else spliced(held, some)
            few_plain = kept(few_plain, Path(folder) / "clean.raw")
            wanted = pooled([picture for picture, (_, run, _) in zip(seen, where, strict=True) if run in some])
            model = calibrated(model, wanted, few_plain, some, few_noisy, denoise, coding, Path(folder), show)
        model = replace(model, pictures=len(seen))
        if _level(model) < NOTHING:
            return _without(model)
        return _grouped(model, whole, seen, cadence) if cadence is not None else model


# --- checks -----------------------------------------------------------------------------------------------------------


def _check(source: vs.VideoNode, clean: vs.VideoNode | None) -> None:
    form = source.format
    if form is None or form.sample_type != vs.INTEGER or form.color_family not in (vs.YUV, vs.GRAY):
        name = form.name if form else "a variable format"
        raise CustomValueError(f"Grain is measured on YUV or GRAY of 8 to 16 bits, not {name}.", measure_grain)
    if source.width < 32 or source.height < 32:
        raise CustomValueError(
            f"Grain needs pictures of at least 32x32, not {source.width}x{source.height}.", measure_grain
        )
    if clean is None:
        return
    facts = [(c.format.id, c.width, c.height, c.num_frames) for c in (source, clean)]
    if facts[0] != facts[1]:
        raise CustomValueError("source and clean must have one format, size and length.", measure_grain)


def _check_seen(seen: list[Picture], given: bool) -> None:
    if not any(len(picture.bins) for picture in seen):
        raise CustomValueError(
            "All that was read is black or clipped: there is no grain to measure; give lit pictures.", measure_grain
        )
    if max((float(picture.band.max(initial=0)) for picture in seen), default=0.0) < 1e-3:
        hint = "give the pictures with grain and those without." if given else "give pictures with grain."
        raise CustomValueError(f"source and clean do not differ: no grain to measure; {hint}", measure_grain)


def _averaged(clip: vs.VideoNode) -> vs.VideoNode:
    """The motion-compensated mean of five pictures. A denoiser that spares what it is not sure of hides grain."""
    for function in ("mvu.Degrain", "akarin.Expr"):
        require(function, measure_grain)
    from vsdenoise import mc_degrain

    blank = clip.std.SetFrameProps(_FieldBased=0)
    return mc_degrain(blank, tr=2, thsad=800, refine=0)


# --- a film and its groups --------------------------------------------------------------------------------------------


def _some(found: list[Run]) -> list[Run]:
    """The runs that are coded again: evenly spread ones."""
    count = max(1, CODED // max(run.length for run in found))
    return [found[k] for k in np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))]


def _level(model: GrainModel) -> float:
    """The deviation, weighted by what was seen."""
    weights = np.array(model.seen or (1.0,) * BINS)
    return float(np.sqrt((np.square(model.sigma) * weights).sum() / max(weights.sum(), 1e-9)))


def _without(model: GrainModel) -> GrainModel:
    note = f"no grain: {_level(model):.2f} codes, less than rounding to 8 bits leaves"
    return replace(model, sigma=(0.0,) * BINS, chroma=(0.0, 0.0), correlation=(0.0, 0.0, 0.0), notes=(note,))


def _grouped(model: GrainModel, whole: Evidence, seen: list[Picture], cadence: Cadence) -> GrainModel:
    """Groups of shots whose level differs from the film's, and the film's neighbours that are no film."""
    levels: dict[int, float] = {}
    by_shot: dict[int, list[Picture]] = {}
    for picture in seen:
        by_shot.setdefault(picture.shot, []).append(picture)
    for shot, pictures in by_shot.items():
        bins = np.concatenate([picture.bins for picture in pictures])
        if len(bins) >= 64:
            band = np.concatenate([picture.band for picture in pictures])
            levels[shot] = float(np.sqrt(np.median(band / np.maximum(whole.band[bins], 1e-3))))
    if not levels:
        return model
    middle = float(np.median(list(levels.values())))
    classes: dict[int, list[int]] = {}
    for shot, level in levels.items():
        step = round(np.log(level / middle) / np.log(APART**2))
        classes.setdefault(int(np.clip(step, -1, 1)), []).append(shot)
    groups: dict[int, GrainModel] = {}
    for step, shots in classes.items():
        pictures = [picture for shot in shots for picture in by_shot[shot]]
        if step == 0 or len(pictures) < ENOUGH:
            continue
        # What the calibration found the residual must be multiplied by holds for the group as well.
        own = pooled(pictures)
        factor = np.sqrt(np.clip(own.band / np.maximum(whole.band, 1e-3), 0.05, 20))
        sigma = np.minimum(np.array(model.sigma) * factor, 63.9)
        groups[step] = replace(
            model,
            sigma=tuple(round(float(value), 4) for value in sigma),
            seen=tuple(round(float(share), 4) for share in own.seen),
            pictures=len(pictures),
            shots=tuple(sorted(shots)),
            notes=(),
        )
    if not groups:
        return model
    of = {shot: step for step, group in groups.items() for shot in group.shots}
    film = sorted(levels)
    for n, other in enumerate(cadence.shots):
        if n in levels:
            continue
        nearest = min(film, key=lambda k: abs((cadence.shots[k].first + cadence.shots[k].stop) / 2 - other.first))
        if other.kind != "film" and nearest in of:
            group = groups[of[nearest]]
            groups[of[nearest]] = replace(group, shots=tuple(sorted({*group.shots, n})))
    return replace(model, groups=tuple(groups[step] for step in sorted(groups)))
