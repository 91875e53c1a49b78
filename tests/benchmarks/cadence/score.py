"""What the cadence benchmark counts: pictures shown against the true ones, and the confidence of both counts.

May import `ds9vs`. Knows no peer and makes no tape. Fields are counted in tape order, pictures in the order shown.

A picture of film (two fields or more, in a shot of film) is *lost* if no output picture shows it, *repeated* for each
output picture beyond the first that shows it; an output picture is *woven wrongly* if it is woven from fields of
different true pictures, one of them film's, and no deinterlacer made it. An output picture shows the true picture that
most of its fields are of. True pictures that look alike but for coding noise stand for one another: a still, or black,
has no phase, and its pictures are neither lost nor repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.cadence import Cadence
from ds9vs.simulate import Truth

__all__ = [
    "KINDS",
    "NAMES",
    "Answer",
    "Bin",
    "Output",
    "Sheet",
    "confusion",
    "f1",
    "f1_of",
    "interchangeable",
    "interval",
    "kinds",
    "of_cadence",
    "reliability",
    "right",
    "score",
    "tally",
]

type Ints = NDArray[np.int64]
type Bools = NDArray[np.bool_]
type Output = list[tuple[tuple[int, ...], bool]]
"""Pictures shown: their fields, the one kept first, and whether a deinterlacer made it, or made what combs in it."""

KINDS = ("film", "30p", "60i", "layered")
ALIKE = 2.0
"""Two true pictures are alike if, averaged over 8x8 samples, at most 4 blocks differ by more codes than this."""
NEAR = 4
"""Frames from a cut that are near it."""
AROUND = 12
"""Fields to each side in which something must change for a field's kind to be told at all."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a method made of a tape."""

    output: Output
    starts: NDArray[np.float64]
    """When each picture comes on, in fields from the tape's start, and when the last goes: shape (pictures + 1,)."""
    seconds: float = 0.0
    """How long the method took, by the wall clock, with decoding."""
    cpu: float = 0.0
    """Processor time of the same, in seconds."""


def of_cadence(cadence: Cadence) -> Output:
    """What `ivtc` would show of a map, in native timing."""
    order = _order(cadence)
    firsts = cadence.firsts.tolist()
    combed = [
        first + n for first, s in zip(cadence.shot_firsts.tolist(), cadence.shots, strict=False) for n in s.combed
    ]
    made = np.diff(cadence.firsts) == 1
    made[combed] = True
    return [(tuple(order[a:b].tolist()), bool(m)) for (a, b), m in zip(pairwise(firsts), made, strict=True)]


def _order(cadence: Cadence) -> Ints:
    """The fields as the map's pictures count them: in order of scanning, which differs where a shot is swapped."""
    order = np.arange(2 * cadence.tape.frames)
    for shot in cadence.shots:
        if shot.swapped:
            order[shot.first : shot.stop] = order[shot.first : shot.stop].reshape(-1, 2)[:, ::-1].ravel()
    return order


def _combed(cadence: Cadence) -> Bools:
    """Which pictures of a map comb although their fields belong together."""
    found = np.zeros(len(cadence), bool)
    for first, s in zip(cadence.shot_firsts.tolist(), cadence.shots, strict=False):
        found[[first + n for n in s.combed]] = True
    return found


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The truth about a tape, field by field, as the counts need it."""

    truth: Truth
    looks: Ints
    """For each field the number of its true picture, where pictures that look alike have one number."""

    @cached_property
    def shot(self) -> Ints:
        """Number of each field's shot."""
        return np.repeat(np.arange(len(self.truth.shots)), [s.stop - s.first for s in self.truth.shots])

    @cached_property
    def kind(self) -> NDArray[np.str_]:
        """What each field is."""
        return np.array([s.kind for s in self.truth.shots])[self.shot]

    @cached_property
    def owner(self) -> Ints:
        """Number of each field's picture."""
        cadence = self.truth.cadence()
        owner = np.empty(len(self.looks), np.int64)
        owner[_order(cadence)] = np.repeat(np.arange(len(cadence)), np.diff(cadence.firsts))
        return owner

    @cached_property
    def sizes(self) -> Ints:
        """Fields of each picture."""
        return np.bincount(self.owner)

    @cached_property
    def heads(self) -> Ints:
        """A field of each picture."""
        return np.asarray(np.unique(self.owner, return_index=True)[1])

    @cached_property
    def counted(self) -> Bools:
        """Which pictures are film's, of two fields or more."""
        return np.asarray((self.kind[self.heads] == "film") & (self.sizes > 1))

    @cached_property
    def unlike(self) -> Bools:
        """Which of those look like no other."""
        alike = np.bincount(self.looks[self.heads[self.counted]], minlength=int(self.looks.max()) + 1)
        return np.asarray(self.counted & (alike[self.looks[self.heads]] == 1))

    @cached_property
    def still(self) -> Bools:
        """For each picture of any kind whether a neighbour in its shot looks like it: it has no phase."""
        looks, same = self.looks[self.heads], np.zeros(len(self.heads), bool)
        order = np.argsort(self.heads)
        equal = looks[order][1:] == looks[order][:-1]
        same[order[1:]] |= equal
        same[order[:-1]] |= equal
        return same

    @cached_property
    def mixed(self) -> Bools:
        """For each field whether its picture combs by right: a fade or a dissolve made on video."""
        return np.asarray(_combed(self.truth.cadence())[self.owner])

    @cached_property
    def near(self) -> Bools:
        """For each field whether it lies within `NEAR` frames of a cut."""
        cuts = np.array([s.first for s in self.truth.shots[1:]] or [10**9])
        frames = np.arange(len(self.looks)) // 2
        return np.asarray((np.abs(frames[:, None] - cuts[None] / 2) <= NEAR).any(1))

    @cached_property
    def told(self) -> Bools:
        """For each field whether its kind can be told: near it something moves as only that kind does."""
        change = np.zeros(len(self.looks), bool)
        for s in self.truth.shots:
            span = slice(s.first, s.stop)
            moved = np.diff(self.looks[span]) != 0
            if s.kind == "layered" and s.base:
                base = np.repeat(np.arange(len(s.base)), [int(d) for d in s.base])
                moved &= base[1:] == base[:-1]
            seen = np.convolve(np.append(moved, False), np.ones(2 * AROUND + 1), "same") > 0
            change[span] = seen[: s.stop - s.first] if len(seen) >= s.stop - s.first else moved.any()
        return change

    @cached_property
    def combs(self) -> Bools:
        """For each frame whether it is 60i or layered, in one shot, and its two true pictures do not look alike."""
        pair = self.looks.reshape(-1, 2)
        kind = self.kind[::2]
        video = ((kind == "60i") | (kind == "layered")) & (self.shot[::2] == self.shot[1::2])
        return np.asarray(video & (pair[:, 0] != pair[:, 1]))


def interchangeable(folder: Path, truth: Truth) -> Ints:
    """For each field the number of its true picture, where neighbours that look the same have one number."""
    clip = core.bs.VideoSource(str(folder / "pictures.mkv"), showprogress=False)
    small = clip.std.ShufflePlanes(0, vs.GRAY).resize.Bilinear(clip.width // 8, clip.height // 8, format=vs.GRAYS)
    same, last = np.zeros(clip.num_frames, bool), None
    for n, frame in enumerate(small.frames(close=True)):
        now = np.array(frame[0])
        same[n] = last is not None and float(np.partition(np.abs(now - last).ravel(), -5)[-5]) * 219 < ALIKE
        last = now
    groups = np.cumsum(~same)
    cuts = np.zeros(len(truth.shown), np.int64)
    for n, shot in enumerate(truth.shots):
        cuts[shot.first : shot.stop] = n
    return np.asarray(groups[truth.shown] * (len(truth.shots) + 1) + cuts)


NAMES = (
    "film", "lost", "repeated", "woven", "frames", "right", "near", "near_right",
    "combed", "found", "plain", "false",
)  # fmt: skip
"""film: pictures counted; frames, right: frames of film, and those whose fields are in their own pictures; near: the
same within 4 frames of a cut; combed, found: frames of 60i or layers that comb, and those of them that no output
picture weaves; plain, false: frames of film and 30p, and those from which a deinterlacer made something."""


def tally(output: Output, sheet: Sheet) -> Ints:
    """The counts of `NAMES` for each shot: shape (shots, len(NAMES))."""
    shots = len(sheet.truth.shots)
    counts = dict.fromkeys(NAMES, np.zeros(0, np.int64))
    film = sheet.kind == "film"
    owner, looks, shot = sheet.owner, sheet.looks, sheet.shot
    by_shot = shot[sheet.heads]

    def total(where: Ints, weights: Ints | None = None) -> Ints:
        return np.bincount(where, weights, shots).astype(np.int64)

    shown = np.zeros(len(sheet.sizes), np.int64)
    company: dict[int, set[int]] = {}
    woven, left, touched = np.zeros(shots, np.int64), np.zeros(len(looks), bool), np.zeros(len(looks), bool)
    for shown_fields, made in output:
        fields = [f for f in shown_fields if 0 <= f < len(looks)]
        if not fields:
            continue
        here = owner[fields].tolist()
        if not made and len(set(here)) > 1 and len({int(looks[f]) for f in fields}) > 1:
            left[fields] = True
            if film[fields].any():
                woven[shot[next(f for f in fields if film[f])]] += 1
        if made:
            touched[fields] = True
        shown[max(dict.fromkeys(here), key=here.count)] += 1
        for f in fields:
            company.setdefault(f, set()).update(fields)
    members: dict[int, list[int]] = {}
    for f, p in enumerate(owner.tolist()):
        members.setdefault(p, []).append(f)
    good = np.zeros(len(looks), bool)
    for f in np.flatnonzero(film).tolist():
        own = members[int(owner[f])]
        met = [company[g] for g in own if g in company]
        if len(own) == 1 and not met:
            good[f] = True  # an orphan that a constant rate leaves out
            continue
        with_it = set().union(*met)
        alone = len({int(looks[g]) for g in with_it}) == 1 or {int(owner[g]) for g in with_it} == {int(owner[f])}
        good[f] = alone and (len(own) == 1 or any(len(group) > 1 for group in met))

    both = film.reshape(-1, 2).all(1)
    frame_shot = shot[::2]
    near = sheet.near.reshape(-1, 2).any(1)
    whole = good.reshape(-1, 2).all(1)
    plain = both | (sheet.kind.reshape(-1, 2) == "30p").all(1)
    wrong = (touched & (sheet.sizes[owner] > 1) & ~sheet.mixed).reshape(-1, 2).any(1)
    counts["film"] = total(by_shot[sheet.counted])
    counts["lost"] = total(by_shot[sheet.unlike & (shown == 0)])
    counts["repeated"] = total(by_shot[sheet.unlike], np.maximum(shown[sheet.unlike] - 1, 0))
    counts["woven"] = woven
    for name, frames in {
        "frames": both, "right": both & whole, "near": both & near, "near_right": both & near & whole,
        "combed": sheet.combs, "found": sheet.combs & ~left.reshape(-1, 2).any(1),
        "plain": plain, "false": plain & wrong,
    }.items():  # fmt: skip
        counts[name] = total(frame_shot[frames])
    return np.stack([counts[name] for name in NAMES], 1)


@dataclass
class Score:
    """Counts of a tape."""

    film: int = 0
    lost: int = 0
    repeated: int = 0
    woven: int = 0
    fields: int = 0
    right: int = 0


def score(output: Output, truth: Truth, looks: Ints) -> Score:
    """The counts of film over a whole tape; `fields` and `right` by fields of whole frames."""
    row = dict(zip(NAMES, tally(output, Sheet(truth=truth, looks=looks)).sum(0).tolist(), strict=True))
    return Score(
        film=row["film"],
        lost=row["lost"],
        repeated=row["repeated"],
        woven=row["woven"],
        fields=2 * row["frames"],
        right=2 * row["right"],
    )


def kinds(cadence: Cadence, length: int) -> list[str]:
    """The kind of every field."""
    found = [""] * length
    for shot in cadence.shots:
        found[shot.first : shot.stop] = [shot.kind] * (shot.stop - shot.first)
    return found


def confusion(ours: Sequence[str], sheet: Sheet) -> Ints:
    """Fields whose kind can be told, for each shot: shape (shots, 4 true kinds, 4 found)."""
    number = {kind: n for n, kind in enumerate(KINDS)}
    found = np.zeros((len(sheet.truth.shots), 4, 4), np.int64)
    true = [number[str(k)] for k in sheet.kind]
    for f in np.flatnonzero(sheet.told).tolist():
        found[sheet.shot[f], true[f], number[ours[f]]] += 1
    return found


def f1_of(table: Ints) -> float:
    """Mean F1 over the kinds that are there, of a table (true, found)."""
    there = table.sum(1) > 0
    hit = np.diag(table)
    return float(np.mean((2 * hit / np.maximum(1, table.sum(0) + table.sum(1)))[there])) if there.any() else 1.0


def f1(ours: list[str], true: list[str]) -> dict[str, float]:
    """F1 of each kind that the tape has, by fields."""
    found = {}
    for kind in sorted(set(true)):
        hit = sum(a == b == kind for a, b in zip(ours, true, strict=True))
        found[kind] = 2 * hit / max(1, ours.count(kind) + true.count(kind))
    return found


def right(cadence: Cadence, sheet: Sheet) -> Bools:
    """Of each picture of a map whether its fields are grouped rightly: they are of one true picture, and all of it.

    What looks alike stands for one another: a still may be grouped anyhow.
    """
    order = _order(cadence)
    found = np.zeros(len(cadence), bool)
    for n, (a, b) in enumerate(pairwise(cadence.firsts.tolist())):
        fields = order[a:b]
        own = sheet.owner[fields]
        if len(set(sheet.looks[fields].tolist())) > 1 and len(set(own.tolist())) > 1:
            continue
        if sheet.still[own].all():
            found[n] = True
            continue
        found[n] = len(set(own.tolist())) == 1 and len(fields) == sheet.sizes[own[0]]
    return found


EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)


@dataclass(frozen=True)
class Bin:
    """Pictures of one range of confidence."""

    low: float
    high: float
    pictures: int = 0
    right: int = 0
    mean: float = 0.0
    """Mean confidence."""
    interval: tuple[float, float] = field(default=(0.0, 1.0))
    """95 % interval of the share that is right."""


def reliability(confidence: NDArray[np.float64], good: Bools) -> list[Bin]:
    """How often pictures of each range of confidence are right."""
    found = []
    which = np.clip(np.searchsorted(EDGES, confidence, "right") - 1, 0, len(EDGES) - 2)
    for n, (low, high) in enumerate(pairwise(EDGES)):
        here = which == n
        count = int(here.sum())
        hits = int(good[here].sum())
        mean = float(confidence[here].mean()) if count else 0.0
        found.append(Bin(low, high, count, hits, mean, wilson(hits, count)))
    return found


def wilson(hits: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (E. B. Wilson, 1927)."""
    if not count:
        return 0.0, 1.0
    z, p = 1.959964, min(1.0, hits / count)
    middle, scale = p + z * z / (2 * count), 1 + z * z / count
    half = z * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return float(max(0.0, (middle - half) / scale)), float(min(1.0, (middle + half) / scale))


def interval(hits: Ints, counts: Ints, *, seed: int = 1, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of a share: of a bootstrap over shots (errors come in clusters) and Wilson's, the wider ends.

    Args:
        hits: In each shot.
        counts: Of how many, in each shot.
    """
    low, high = wilson(float(hits.sum()), int(counts.sum()))
    if counts.sum() and len(hits) > 1:
        picks = np.random.default_rng(seed).integers(len(hits), size=(draws, len(hits)))
        drawn = counts[picks].sum(1)
        shares = (hits[picks].sum(1) / np.maximum(1, drawn))[drawn > 0]
        low, high = min(low, float(np.percentile(shares, 2.5))), max(high, float(np.percentile(shares, 97.5)))
    return low, high
