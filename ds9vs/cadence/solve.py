"""From field evidence to a cadence: block likelihoods, cuts, a hidden Markov model over fields, its best path.

May import the ground rooms, `cadence/model`, `override` and `measure`. Touches pixels only through `measure`.

The hidden state of a field is its place in a pulldown pattern (film 2:3 at five phases, 2:3:3:2 at ten, 30p at two,
60i), or in one whose frames have their two fields swapped. Each state gives a field one of six roles, and each role
predicts what `measure` sees of it and its neighbours:

    next    scanned with the field after it, not with the one before: slope -1
    last    scanned with the field before it, not with the one after: slope +1
    alone   its own instant: slope 0
    middle  its neighbours are of one picture, mostly its own: D is noise
    before  scanned before both, nearer to the field before it: slope +2 to +3, in swapped frames alone
    beyond  scanned after both, nearer to the field after it: slope -2 to -3, in swapped frames alone

A block's likelihood of a role is a Student t around the predicted slope; its spread comes from the block's own
residual, its mean from the noise floor of the tape at that luma and activity, and from the pull towards the field of
the same coded frame that MPEG-2 coding causes (noise alone shows slopes of 0.6 to 0.9). Blocks are not independent, so
their sum is tempered, and no single field may say more than `_FLOOR` allows. Cadence changes cost `_SWITCH` inside a
shot and little at a cut; what the evidence cannot tell stays as it was. Probabilities come from the forward-backward
algorithm (Rabiner, Proc. IEEE 77(2), 1989, section III), the partition from Viterbi's.

Layers are states too. Over `_REACH` fields on each side a block prefers the roles of a woven background or `alone`; a
field is layered when blocks that insist on the one and blocks that insist on the other are both there. The gain of
that explanation over a single cadence is that of a mixture over the blocks, the lesser of the two ways round.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from ..errors import CustomValueError
from .measure import CHUNK, Evidence, Grids, sample
from .model import Cadence, Kind, Shot, Tape
from .override import Override, check_together
from .override import cycle as cycle_of

__all__ = ["solve_cadence"]

type Func = Callable[..., Any] | str
type Floats = NDArray[np.float32]

NEXT, LAST, ALONE, MIDDLE, BEFORE, BEYOND = range(6)

_FLAG = 3.0
"""Log-likelihood by which a repeat flag speaks for the third field of a picture: what moves overrules it."""
_SWITCH = 1e-6
"""Probability that the cadence changes at a field that is no cut."""
_KEEP = 0.15
"""Probability that a cut leaves the cadence running: edits made on film, and still pictures."""
_TEMPER = 0.03
"""Weight of a block's log-likelihood: some 300 blocks tell as much as 9 independent ones."""
_BLENDED = (0.15, 0.35)
"""Share by which frame coding blends a field that stands alone with its coded frame's other: usually, and coarsely."""
_BLENDED_LEAD = 5.0
"""Log-likelihood by which the blocks of a field must ask for the coarser one."""
_FLOOR = 0.05
"""Probability that a field's evidence is misleading altogether (flash, strobe, dropout)."""
_HELD = 15
"""Tenths of an octave by which D must be less in a held field than in those around it."""
_ENOUGH = 40
"""Held fields that suffice to tell the noise of a tape."""
_QUIET = (0.3, 0.9)
"""A field's noise floor is raised when this share of its blocks lies above so many floors,"""
_LOUDEST = 0.9
"""at most to what this share of the held fields keep to,"""
_FADE_MOST = 4.0
"""and in a fade, in which coding lags behind everywhere, by this factor."""
_UNSURE = (1.5, 0.35)
"""Noise floors at which D is as likely coding noise alone as motion, and the logistic width of that, in logarithms."""
_LEAST_FLOOR = 0.25
"""Squared 8-bit codes: what lies below is rounding."""
_MOST_FLOOR = 12.0
"""Squared 8-bit codes: tape noise of sigma 7, after averaging four samples and two lines."""
_CUT = np.array([-9.2, 3.0, 2.35, 0.9, 1.2])
"""Logistic regression of cuts, fitted on simulated tapes: a constant, and weights of the logarithms in `_cuts`."""
_STIRS = 0.3
"""8-bit codes by which luma changes in any case."""
_PART = CHUNK // 2
"""Fields that are reduced at once: some 100 MB on each core."""
_HALO = 24
"""Fields read on each side of them."""
_LUMA_STEP, _ACTIVITY_STEP = 32, 20
_REACH = 3
"""Fields on each side over which a block is asked for its layer: sprites leave a block after some five fields."""
_OVER, _UNDER = 0.02, (0.2, 0.5, 0.8)
"""Share of the blocks that the layer on top is expected to take at least, and shares that the woven background may."""
_SPARK, _SPARKS = (8.0, 14.0), 0.003
"""Noise floors from which a block that is held in the background is heard and heard in full, and the share of blocks
that small things over a background take at least."""
_SPARK_LOG, _SPARK_TEMPER, _SPARK_COST = 8.0, 0.3, 0.3
"""What such a block may say at most, its weight, and what a field must gain by such blocks."""
_HEARD = (0.5, 3.5)
"""Noise floors from which a block is heard as another layer's, and from which in full."""
_LOUD = 8.0
"""Noise floors above which no coding turns a block into a whole frame."""
_LAYER_LOGS = (-6.0, 4.0)
"""What one field of one block may say against and for a second layer."""
_LAYER_TEMPER = 0.7
"""Weight of what blocks say of layers, for they are not independent."""
_LAYER_GAIN = (-1.0, 0.6)
"""Limits of what a field may say against and for layers in all."""
_STRETCH = 40
"""Fields of a stretch on which the two field orders are compared."""
_SURE = 6.0
"""Log-likelihood by which a block must insist on an instant of its own to be seen combing."""
_FADING = 0.02
"""Share of its brightness that a field gains or loses in a fade, at least."""
_MIXED = (0.85, 0.15)
"""A field mixes its neighbours when its slope is below, and what the slope leaves unexplained of S / D is below."""
_BLENDED_SHARE = 0.1
"""Share of a shot's fields from which on it was blended by a converter, or dissolves."""
_DARK = 45
"""Mean luma below which a shot is noted as dark, 8-bit codes."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A repeating run of picture lengths."""

    kind: Kind
    lengths: tuple[int, ...]
    """Fields of each picture; of a layered pattern: of its background's."""
    prior: float
    """Probability that a shot follows it."""
    aligned: float = 0.5
    """Probability that its first picture begins with a coded frame, if it is two fields long."""
    swapped: bool = False
    """Whether the fields of each frame were scanned in the order opposite to what the tape says."""
    cost: float = 0.0
    """What a second layer must gain in a field to be worth telling: a few blocks of any material look like one, most
    often like whole frames."""


NTSC = (
    Pattern("film", (2, 3), 0.74),
    Pattern("film", (2, 3, 3, 2), 0.01),
    Pattern("30p", (2,), 0.07, 0.9),
    Pattern("60i", (1,), 0.16),
    Pattern("layered", (2, 3), 0.05, cost=0.8),
    Pattern("layered", (2,), 0.005, 0.9, cost=6.0),
    Pattern("film", (2, 3), 0.01, swapped=True),
    Pattern("60i", (1,), 0.004, swapped=True),
)
PAL = (
    Pattern("film", (2,), 0.78, 0.9),
    Pattern("60i", (1,), 0.19),
    Pattern("layered", (2,), 0.03, 0.9, cost=2.0),
    Pattern("60i", (1,), 0.004, swapped=True),
)


@dataclass(frozen=True, slots=True)
class _States:
    """The patterns unrolled: arrays over states."""

    prior: NDArray[np.float64]
    """Probability of each state after a change, at an even and an odd field: shape (2, states)."""
    role: NDArray[np.intp]
    before: NDArray[np.intp]
    """The state of the field before, when nothing changes."""
    place: NDArray[np.intp]
    """Place of the field in its picture, from 0."""
    pattern: NDArray[np.intp]
    layer: NDArray[np.intp]
    """Column of `_Fields.layers` for a layered state, else -1."""

    @property
    def after(self) -> NDArray[np.intp]:
        """The state of the field after, when nothing changes."""
        return np.argsort(self.before)


def _role(before: int, here: int, after: int) -> int:
    """The role of a field that shows the picture `here`, between fields that show those."""
    if before == after:
        return MIDDLE
    if here in (before, after):
        return LAST if here == before else NEXT
    slope = (2 * here - before - after) / (before - after)
    return ALONE if abs(slope) < 1 else BEFORE if slope > 0 else BEYOND


def _unroll(patterns: tuple[Pattern, ...]) -> _States:
    rows: list[tuple[int, int, int, int, int, float, float]] = []
    layers = 0
    for p, pattern in enumerate(patterns):
        start, cycle = len(rows), sum(pattern.lengths)
        count = np.lcm(cycle, 2) if pattern.swapped else cycle
        shown = np.repeat(np.arange(3 * count), np.resize(pattern.lengths, 3 * count))[: 3 * count]  # in time
        stored = shown[np.arange(3 * count) ^ 1] if pattern.swapped else shown
        for i in range(count):
            at = i + count
            place = int((shown[:at] == shown[at]).sum())
            odds = [pattern.prior / cycle] * 2
            if pattern.swapped:  # frames are swapped, and a run of them begins with one
                odds = [pattern.prior * 2 / count if i % 2 == 0 else 0.0, 0.0]
            elif pattern.lengths == (2,):
                on = pattern.aligned if i == 0 else 1 - pattern.aligned
                odds = [pattern.prior * on, pattern.prior * (1 - on)]
            layer = layers if pattern.kind == "layered" else -1
            layers += layer >= 0
            role = _role(*stored[at - 1 : at + 2].tolist())
            rows.append((role, start + (i - 1) % count, place, p, layer, odds[0], odds[1]))
    columns = [np.array(column, np.intp) for column in list(zip(*rows, strict=True))[:5]]
    prior = np.array([row[5:] for row in rows]).T
    return _States(prior / prior.sum(1, keepdims=True), *columns)


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the tape does to fields that are equal."""

    floor: Floats
    """D of equal fields in squared codes, its median, by luma (in steps of `_LUMA_STEP`) and activity (S in steps)."""
    pull: Floats
    """Slope that noise alone shows, of even and of odd fields: towards the field of the same coded frame."""
    most: float
    """Factor by which the floor of a field may be above the usual."""

    def of(self, grids: Grids) -> Floats:
        """The floor for each block."""
        return self.floor[grids.luma // _LUMA_STEP, grids.s // _ACTIVITY_STEP]


def _held(grids: Grids) -> NDArray[np.bool_]:
    """Fields between two of one picture in what moves: nothing changed over them, and much over those around."""
    change = np.median(grids.d, axis=1)
    padded = np.pad(change, 2)
    around = np.sort([padded[o : o + len(change)] for o in (0, 1, 3, 4)], axis=0)
    return np.asarray((around[1] > change + _HELD) & (change > 0))


def _estimate_noise(evidence: Evidence) -> _Noise:
    """What equal fields show, in those that are held; where there are few, in the quietest blocks of all fields."""
    chunks = np.unique(np.linspace(0, (evidence.fields - 1) // CHUNK, 48).astype(int))
    lumas, activities = 256 // _LUMA_STEP, -(-256 // _ACTIVITY_STEP)
    counts = np.zeros((2, lumas, activities, 256), np.int64)
    held: list[tuple[Grids, NDArray[np.intp]]] = []
    for c in chunks:
        grids = evidence.read(c * CHUNK, (c + 1) * CHUNK)
        at = np.flatnonzero(_held(grids))
        held.append((grids[at], at % 2))
        for into, of in zip(counts, (grids, held[-1][0]), strict=True):
            cell = (of.luma // _LUMA_STEP).astype(np.int32) * activities + of.s // _ACTIVITY_STEP
            into += np.bincount((cell * 256 + of.d).ravel(), minlength=into.size).reshape(into.shape)
    told = sum(len(at) for _, at in held) >= _ENOUGH
    counts[..., 0] = 0  # fields without a neighbour, blanking
    seen, share = (counts[1], 0.5) if told else (counts[0], 0.1)
    whole = _percentile(seen.sum((0, 1)), share)
    by_luma = np.array([_percentile(c, share) if c.sum() > 2000 else whole for c in seen.sum(1)])
    by_luma = np.minimum(by_luma, whole + 20)
    floor = np.empty((lumas, activities))
    for i in range(lumas):
        for j in range(activities):
            own = _percentile(seen[i, j], share) if seen[i, j].sum() > 2000 else by_luma[i]
            floor[i, j] = np.clip(own, by_luma[i] - 10, by_luma[i] + 20)
    noise = np.minimum(2.0 ** (floor / 10) / 64, _MOST_FLOOR).astype(np.float32)  # more is motion
    if not told:
        some = (evidence.read(c * CHUNK, (c + 1) * CHUNK) for c in chunks[:: max(1, len(chunks) // 8)])
        held = [(grids, np.arange(len(grids)) % 2) for grids in some]
    votes: list[list[Floats]] = [[], []]
    levels = []
    for grids, parities in held:
        d, _, n = grids.energies()
        level = d / noise[grids.luma // _LUMA_STEP, grids.s // _ACTIVITY_STEP]
        quiet = (level < (np.inf if told else 1.0)) & (grids.d > 0)
        for parity in (0, 1):
            votes[parity].append((n / d)[parities == parity][quiet[parities == parity]])
        levels.append(np.median(level, axis=1))
    pull = [float(np.clip(np.median(v), -1, 1)) if len(v := np.concatenate(w)) > 200 else 0.0 for w in votes]
    most = float(np.quantile(np.concatenate(levels), _LOUDEST)) if told else 1.0
    return _Noise(noise, np.array(pull, np.float32), float(np.clip(most, 1, 6)))


def _percentile(counts: NDArray[np.int64], share: float) -> float:
    total = np.cumsum(counts)
    return float(np.searchsorted(total, share * total[-1])) if total[-1] else 0.0


def _student(x: Floats, mean: Floats | float, variance: Floats | float) -> Floats:
    """Log density of Student's t of 3 degrees of freedom, without its constant."""
    return np.asarray(-2 * np.log1p((x - mean) ** 2 / (3 * variance)) - 0.5 * np.log(variance), np.float32)


def _normal(x: Floats, mean: Floats, sigma: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((x - mean) / sigma) ** 2) / sigma, np.float32)


def _floor(d: Floats, floor: Floats, most: float, fading: NDArray[np.bool_]) -> Floats:
    """Raise the noise floor of a field by what its quietest blocks show: coding noise differs between frames."""
    share, usual = _QUIET
    quiet = np.quantile(d / floor, share, axis=1).astype(np.float32) / usual
    raised = np.clip(quiet, 1, np.where(fading, max(most, _FADE_MOST), most))
    return np.asarray(np.maximum(floor * raised[:, None], _LEAST_FLOOR), np.float32)


def _roles(d: Floats, s: Floats, n: Floats, floor: Floats, pull: Floats, cut: NDArray[np.float64]) -> Floats:
    """Log-likelihood of each role for each block: shape (6, fields, blocks). `pull` is that of each field."""
    share = np.minimum(1, floor / d)  # of D that is noise
    drawn = pull[:, None]
    pull = drawn * share
    far = np.clip(n / d, -4, 4)
    slope = np.clip(far, -1.6, 1.6)
    error = np.maximum(s / d - slope**2, 0) / 30 + (0.7 * share) ** 2
    still = cut > 0.5
    motion = d * (1 - (still | np.append(still[1:], False)))[:, None].astype(np.float32)
    padded = np.pad(motion, ((2, 2), (0, 0)))
    around = np.maximum(np.maximum(padded[:-4], padded[1:-3]), np.maximum(padded[3:-1], padded[4:]))
    ld, lf = np.log(d), np.log(floor)
    moves = 0.85 * _normal(ld, np.maximum(np.log(0.6 * around + 1e-6), lf), 0.7) + 0.15 * _normal(ld, lf, 0.5)
    moves = np.log(moves + 1e-4)
    weight = np.clip((np.maximum(d, around) / floor - 1.25) / 2, 0, 1)
    mate = np.sign(pull)  # the neighbour of the same coded frame: -1 the one after, +1 the one before

    centre, width = _UNSURE
    away = (ld - lf - np.float32(np.log(centre))) / np.float32(width)
    unsure, sure = -np.logaddexp(0, away), -np.logaddexp(0, -away)
    noise = _student(slope, drawn, error + 0.3**2)

    def told(target: float, soft: float, spread: float) -> Floats:
        """Log-likelihood of a slope, blended by coding with that of the coded frame by a share of their distance."""
        mean = target + soft * (mate - target)
        signal = _student(slope, pull + (1 - share) * mean, error + spread**2)
        return np.asarray(np.logaddexp(sure + signal, unsure + noise), np.float32)

    usual, blended = (told(0, soft, 0.3) for soft in _BLENDED)
    more = (weight * (blended - usual)).sum(1, keepdims=True) > _BLENDED_LEAD
    likelihood = np.stack(
        [
            told(-1, 0.08, 0.15) + moves,
            told(1, 0.08, 0.15) + moves,
            np.where(more, blended, usual) + moves,
            _student(slope, pull / share, error + 0.3**2) + _student(ld, lf, 0.35**2),
            _student(far, 2.5, error + 0.6**2) + moves,
            _student(far, -2.5, error + 0.6**2) + moves,
        ]
    )
    return np.asarray(weight * likelihood, np.float32)


def _rival(values: NDArray[np.float64], nearest: int, farthest: int, outside: float = 0.0) -> NDArray[np.float64]:
    """The value that only one is above among those between `nearest` and `farthest` fields away, on either side."""
    n = len(values)
    padded = np.pad(values, farthest, constant_values=outside)
    offsets = [o for o in range(-farthest, farthest + 1) if abs(o) >= nearest]
    around = np.partition([padded[farthest + o : farthest + o + n] for o in offsets], -2, axis=0)
    return np.asarray(around[-2])


def _cuts(grids: Grids) -> NDArray[np.float64]:
    """Probability that a new shot begins at each field: its luma and its detail change more than any near it."""
    luma = grids.luma.astype(np.float32)
    step = _change(luma, 1) + _STIRS
    d = np.sqrt(grids.energies()[0]).mean(1).astype(np.float64)
    both = np.append(0, np.minimum(d[1:], d[:-1])) + 0.05
    stands_out = np.log(step / _rival(step, 1, 9, _STIRS))
    near = np.pad(stands_out + np.log(both / _rival(both, 2, 9, 0.05)), 2, constant_values=-np.inf)
    around = np.pad(step, 5, mode="edge")
    usual = np.median([around[5 + o : 5 + o + len(step)] for o in (-5, -4, -3, -2, 2, 3, 4, 5)], axis=0)
    apart = np.pad(_change(luma, 3) + _STIRS, (2, 4), mode="edge")
    across, before, after = apart[3:-3], apart[:-6], apart[6:]  # over the cut, and on either side of it
    score = _CUT @ (
        np.ones(len(step)),
        stands_out,
        np.log(step / usual),
        np.log(across / np.maximum(before, after)),
        near[2:-2] - np.max([near[o : o + len(step)] for o in range(5)], 0),  # coding smears a cut over its neighbours
    )
    return np.asarray(1 / (1 + np.exp(-score)))


def _change(luma: Floats, fields: int) -> NDArray[np.float64]:
    """How much the luma of the blocks changed over so many fields before each; 0 where there are none."""
    return np.append(np.zeros(min(fields, len(luma))), np.abs(luma[fields:] - luma[:-fields]).mean(1))


def _brightens(mean: Floats) -> NDArray[np.bool_]:
    """Whether each field lies in a fast fade: it gained brightness over two fields, and does so again, or lost it."""
    step = np.zeros(len(mean) + 2, np.float32)
    step[2:-2] = (mean[2:] - mean[:-2]) / (2 * _FADING * np.maximum(mean[2:] - 12, 4))
    return np.asarray((np.minimum(step[:-2], step[2:]) > 1) | (np.maximum(step[:-2], step[2:]) < -1))


def _blends(d: Floats, s: Floats, n: Floats, floor: Floats) -> NDArray[np.bool_]:
    """Whether each field mixes its neighbours: then 2b - a - c is the slope times a - c, and S / D the slope squared.

    Of motion, S / D is more by 0.4 and over; of a field that belongs with one neighbour the slope is near 1.
    """
    loud = d > _LOUD * floor
    total, rest, both = (np.where(loud, x, 0).sum(1) for x in (d, s, n))
    slope = both / np.maximum(total, 1e-6)
    mixed = rest / np.maximum(total, 1e-6) - slope**2 < _MIXED[1]
    return np.asarray((loud.mean(1) > 0.05) & (np.abs(slope) < _MIXED[0]) & mixed)


def _layered(
    roles: Floats, above: Floats, cut: NDArray[np.float64], states: _States, patterns: tuple[Pattern, ...]
) -> Floats:
    """What the blocks of each field gain by two layers over one, for each layered state: (fields, layered states).

    `above` is how many noise floors each block has. Noise and damage look like another instant in blocks that are not
    above it by far, and frame coding makes quiet blocks look like whole frames: these have no say in that.
    """
    same = (1 - cut).astype(np.float32)[:, None]
    heard = np.clip((above - _HEARD[0]) / (_HEARD[1] - _HEARD[0]), 0, 1)
    against = {}
    for r in (NEXT, LAST, MIDDLE):
        lead = np.clip(roles[ALONE] - roles[r], *_LAYER_LOGS)
        against[r, "woven"], against[r, "whole"] = lead, lead * (above > _LOUD)
        against[r, "alone"] = np.where(lead > 0, lead * heard, lead)
    spark = np.clip((above - _SPARK[0]) / (_SPARK[1] - _SPARK[0]), 0, 1)
    spark = np.log1p(_SPARKS * np.expm1(spark * np.clip(roles[ALONE] - roles[MIDDLE], 0, _SPARK_LOG))).sum(1)
    reach = [np.ones_like(same)]  # how far a field belongs to the shot of the j-th before it
    for j in range(1, _REACH + 1):
        reach.append(reach[-1][1:] * same[j:])
    after, before = states.after, states.before

    def followed(state: int, of: str) -> Floats:
        """What each block says over the fields around each, if that is in such a state."""
        total: Floats = against[states.role[state], of].copy()
        forth = back = state
        for j in range(1, _REACH + 1):
            forth, back = int(after[forth]), int(before[back])
            total[:-j] += reach[j] * against[states.role[forth], of][j:]
            total[j:] += reach[j] * against[states.role[back], of][:-j]
        return total

    def sparks(state: int) -> Floats:
        """What the nearest field says that lies between two of one film picture: there only a second layer can move."""
        told: Floats = np.full_like(spark, -np.inf)
        forth = back = state
        for j in range(_REACH):
            if states.role[forth] == MIDDLE:
                told[: len(told) - j] = spark[j:] * reach[j][:, 0]
                break
            if states.role[back] == MIDDLE:
                told[j:] = spark[: len(told) - j] * reach[j][:, 0]
                break
            forth, back = int(after[forth]), int(before[back])
        return told

    temper = _LAYER_TEMPER / (2 * _REACH + 1)
    gains = []
    for state in np.flatnonzero(states.layer >= 0).tolist():
        pattern = patterns[states.pattern[state]]
        over, under = ("whole", "whole") if pattern.lengths == (2,) else ("alone", "woven")
        alone = np.log1p(_OVER * np.expm1(followed(state, over))).sum(1)
        film = np.expm1(-followed(state, under))
        woven = np.max([np.log1p(share * film).sum(1) for share in _UNDER], 0)
        second = np.maximum(alone * temper - pattern.cost, sparks(state) * _SPARK_TEMPER - _SPARK_COST)
        gains.append(np.minimum(second, woven * temper))
    return np.asarray(np.clip(np.stack(gains, 1), *_LAYER_GAIN), np.float32)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the solver keeps of every field; a few dozen bytes each."""

    logs: Floats
    """Log-likelihood of each role, tempered: shape (fields, 6)."""
    cut: NDArray[np.float64]
    """Probability that a shot begins here."""
    moving: Floats
    """Share of blocks that move."""
    against: NDArray[np.int16]
    """Blocks that comb visibly with the next field, the field before, by an instant of their own: shape (fields, 2)."""
    mean: Floats
    """Mean luma, 8-bit codes."""
    layers: Floats
    """Log-likelihood that each layered state gains by its second layer: shape (fields, layered states)."""
    flagged: NDArray[np.bool_]
    """Whether a flag of the stream says that the field repeats an earlier one."""
    blend: NDArray[np.bool_]
    """Whether the field is a mixture of its neighbours, not a picture of an instant between them."""


def _reduce(evidence: Evidence, noise: _Noise, states: _States, patterns: tuple[Pattern, ...]) -> _Fields:
    """Keep of each field what the path needs; blocks go as they came. On all cores: numpy works outside Python."""

    def chunk(first: int) -> tuple[NDArray[np.generic], ...]:
        start, stop = max(0, first - _HALO), min(evidence.fields, first + _PART)
        grids = evidence.read(start, stop + _HALO)
        cut = _cuts(grids)
        d, s, n = grids.energies()
        fading = _brightens(grids.mean)
        floor = _floor(d, noise.of(grids), noise.most, fading)
        roles = _roles(d, s, n, floor, np.resize(noise.pull[[start % 2, 1 - start % 2]], len(d)), cut)
        inside = (1 - cut) * (1 - np.append(cut[1:], 0))
        inside[0] *= start > 0  # the ends of the tape have one neighbour
        inside[-1] *= stop < evidence.fields
        layers = _layered(roles * inside[:, None].astype(np.float32), d / floor, cut, states, patterns)
        layers[fading] = _LAYER_GAIN[0]

        logs = _TEMPER * roles.sum(2, dtype=np.float64).T
        chance = np.exp(logs - logs.max(1, keepdims=True))
        chance /= chance.sum(1, keepdims=True)
        inside = inside[:, None]
        chance = inside * ((1 - _FLOOR) * chance + _FLOOR / len(roles)) + (1 - inside) / len(roles)

        moving = (d > 3 * floor).mean(1, dtype=np.float32)
        visible = (s + d - 2 * np.abs(n)) / 4 > np.maximum(8 * floor, 6)
        against = [((roles[ALONE] - roles[r] > _SURE) & visible).sum(1) for r in (NEXT, LAST)]
        columns = (
            np.log(chance).astype(np.float32),
            cut,
            moving,
            np.stack(against, 1).astype(np.int16),
            grids.mean,
            layers,
            grids.flagged,
            _blends(d, s, n, floor),
        )
        return tuple(column[first - start : stop - start] for column in columns)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(chunk, range(0, evidence.fields, _PART)))
    return _Fields(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True, slots=True)
class _Path:
    state: NDArray[np.intp]
    starts: NDArray[np.bool_]
    """Whether a picture begins at the field."""
    changed: NDArray[np.bool_]
    """Whether the cadence changed at the field."""
    chance: NDArray[np.float64]
    """Probability of the state."""
    boundary: NDArray[np.float64]
    """Probability that a picture begins at the field."""


def _correct(
    fields: _Fields, states: _States, patterns: tuple[Pattern, ...], fps: tuple[int, int], overrides: Sequence[Override]
) -> tuple[_Fields, NDArray[np.bool_]]:
    """The evidence less what users say that it is not, and the states that they allow: shape (fields, states)."""
    fields = replace(fields, logs=fields.logs.copy(), cut=fields.cut.copy(), layers=fields.layers.copy())
    allowed = np.ones((len(fields.cut), len(states.role)), bool)
    kind = np.array([patterns[p].kind for p in states.pattern])
    cycle = np.array([np.inf if patterns[p].swapped else sum(patterns[p].lengths) for p in states.pattern])
    place = np.arange(len(kind)) - np.searchsorted(states.pattern, states.pattern)
    for override in overrides:
        if override.cut:
            fields.cut[override.first] = 1
        if "still" in override.notes:
            fields.logs[override.first : override.stop] = 0
            fields.layers[override.first : override.stop] = _LAYER_GAIN[0]
        if override.kind is None:
            continue
        for edge in {override.first, min(override.stop, len(allowed) - 1)}:
            fields.cut[edge] = max(fields.cut[edge], 0.5)  # the cadence may change there, and no shot need begin
        for field in range(override.first, override.stop):
            allowed[field] = kind == override.kind
            if override.phase is not None:
                allowed[field] &= (place == override.place(field, fps)) & (cycle == cycle_of(override.kind, fps))
    return fields, allowed


def _greater(logs: Floats, states: _States, state: int) -> Floats:
    """Log-likelihood of the greater of the two layers that a layered state has, by `_REACH` fields on each side."""
    after, before = states.after, states.before
    lead = [logs[:, role] - logs[:, ALONE] for role in range(logs.shape[1])]
    total = lead[states.role[state]].copy()
    forth = back = state
    for j in range(1, _REACH + 1):
        forth, back = int(after[forth]), int(before[back])
        total[:-j] += lead[states.role[forth]][j:]
        total[j:] += lead[states.role[back]][:-j]
    return np.asarray(np.where(total > 0, logs[:, states.role[state]], logs[:, ALONE]), np.float32)


def _decode(fields: _Fields, states: _States, allowed: NDArray[np.bool_]) -> _Path:
    n, count = len(fields.cut), len(states.role)
    before, after = states.before, states.after
    joined, layered = states.place > 0, states.layer >= 0
    greater = [_greater(fields.logs, states, state) for state in np.flatnonzero(layered).tolist()]
    # Viterbi's path picks among kinds first: phases of one kind do not share its probability.
    phases = np.bincount(states.pattern)[states.pattern]

    def tables(first: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of a run of fields: likelihood of the states, probability that they go on, and of each after a change."""
        run = slice(first, first + CHUNK)
        logs = fields.logs[run, states.role].astype(np.float64)
        for state, lead in zip(np.flatnonzero(layered).tolist(), greater, strict=True):
            logs[:, state] = lead[run] + fields.layers[run, states.layer[state]]
        logs[np.ix_(fields.flagged[run], (states.role == LAST) & (states.place == 2))] += _FLAG
        cut = fields.cut[run, None]
        stay = (1 - cut) * (1 - _SWITCH) + np.where(joined, 0, cut * _KEEP)
        leave = ((1 - cut) * _SWITCH + cut * (1 - _KEEP)) * states.prior[np.arange(first, first + len(cut)) % 2]
        return np.exp(logs) * allowed[run], stay, leave

    origin, jumped = np.full(n, -1, np.int16), np.zeros((n, count), bool)
    forward = np.empty((n, count), np.float32)
    for first in range(0, n, CHUNK):
        chance, stay, leave = tables(first)
        with np.errstate(divide="ignore"):
            log_chance, log_stay, log_leave = np.log(chance), np.log(stay), np.log(leave * phases)
            if not first:
                best, f = np.log(states.prior[0] * phases) + log_chance[0], states.prior[0] * chance[0]
                f /= f.sum()
                forward[0] = f
        for k in range(int(not first), len(chance)):
            top = best.argmax()
            origin[first + k] = top
            on, off = best[before] + log_stay[k], best[top] + log_leave[k]
            np.greater(off, on, out=jumped[first + k])
            best = np.maximum(on, off) + log_chance[k]
            f = (f[before] * stay[k] + leave[k]) * chance[k]
            f /= f.sum()
            forward[first + k] = f

    state, changed = np.empty(n, np.intp), np.zeros(n, bool)
    state[-1], changed[0] = best.argmax(), True
    for k in range(n - 1, 0, -1):
        changed[k] = jumped[k, state[k]]
        state[k - 1] = origin[k] if changed[k] else before[state[k]]

    sure, boundary = np.empty(n), np.ones(n)
    b = np.ones(count)
    for first in reversed(range(0, n, CHUNK)):
        chance, stay, leave = tables(first)
        backward = np.empty_like(chance)
        for k in range(len(chance) - 1, -1, -1):
            backward[k] = b
            b = chance[k] * b
            b = (b * stay[k])[after] + (b * leave[k]).sum()
            b /= b.sum()
        here = np.arange(first, first + len(chance))
        posterior = forward[here] * backward
        sure[here] = posterior[here - first, state[here]] / posterior.sum(1)
        weight, last = (chance * backward)[int(not first) :], forward[np.maximum(here - 1, 0)][int(not first) :]
        on, off = last[:, before] * stay[int(not first) :] * weight, leave[int(not first) :] * weight
        boundary[here[int(not first) :]] = 1 - on[:, joined & ~layered].sum(1) / (on.sum(1) + off.sum(1))
    return _Path(state, changed | (states.place[state] == 0) | layered[state], changed, sure, boundary)


def _rejoin(path: _Path, states: _States, patterns: tuple[Pattern, ...], cut: NDArray[np.float64]) -> _Path:
    """Make film that goes on within a layered shot part of it, where the layer shows for the greater part of it."""
    twin = np.full(len(states.role), -1)  # of film states the layered state of the same background
    for number, pattern in enumerate(patterns):
        for other, layered in enumerate(patterns):
            plain = pattern.kind in ("film", "30p") and not pattern.swapped
            if plain and layered.kind == "layered" and pattern.lengths == layered.lengths:
                twin[states.pattern == number] = np.flatnonzero(states.pattern == other)
    base = np.where(twin[path.state] >= 0, twin[path.state], path.state)
    goes_on = np.append(False, base[:-1] == states.before[base[1:]]) & ~(path.starts & (cut > 0.5))
    state, changed = path.state.copy(), path.changed.copy()
    edges = np.append(np.flatnonzero(~goes_on & (path.changed | (path.starts & (cut > 0.5)))), len(cut))
    for first, stop in pairwise(edges.tolist()):
        shown = int((states.layer[state[first:stop]] >= 0).sum())
        if stop - first > shown >= (stop - first) / 2:
            state[first:stop] = base[first:stop]
            changed[first + 1 : stop] = False
    starts = path.starts | (states.layer[state] >= 0)
    return replace(path, state=state, changed=changed, starts=starts)


def _fading(mean: Floats, starts: NDArray[np.bool_]) -> bool:
    """Whether luma drifts between the fields of one picture, over most of its run: a fade made on video."""
    step = np.diff(mean)
    joined = ~starts[1:]
    drift = [step[0::2][joined[0::2]], step[1::2][joined[1::2]]]  # apart, for one field may be brighter by nature
    if min(len(d) for d in drift) < 3:
        return False
    centre = (float(np.median(drift[0])) + float(np.median(drift[1]))) / 2
    spread = float(np.median(np.abs(np.concatenate([d - np.median(d) for d in drift]))))
    return abs(centre) > max(0.25, 2 * spread)


def _fade_pictures(mean: Floats, starts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fields of a shot that lie in a fade made on video."""
    found = np.zeros(len(mean), bool)
    for first in range(0, max(1, len(mean) - 15), 5):
        window = slice(first, first + 20)
        if _fading(mean[window], starts[window]):
            found[window] = True
    return found


def _digits(lengths: NDArray[np.int64]) -> str:
    return "".join(map(str, lengths.tolist()))


def _assemble(
    evidence: Evidence,
    fields: _Fields,
    states: _States,
    patterns: tuple[Pattern, ...],
    path: _Path,
    overrides: Sequence[Override],
) -> Cadence:
    n = evidence.fields
    certain = path.starts & (fields.cut > 0.5)
    moving = np.clip(_rival(fields.moving.astype(np.float64), 0, 2) / 0.02, 0.02, 1)
    wrong = np.append(np.where(path.starts, 1 - path.boundary, path.boundary) * moving, 0.0)
    edges = {*np.flatnonzero(path.changed | certain).tolist(), n}
    edges |= {edge for override in overrides for edge in (override.first, *([] if override.cut else [override.stop]))}
    shots = tuple(
        _shot(fields, states, patterns, path, wrong, first, stop, [o for o in overrides if o.first <= first < o.stop])
        for first, stop in pairwise(sorted(edges))
    )
    tape = Tape(frames=n // 2, fps=evidence.fps, tff=evidence.tff, content=evidence.content)
    against = fields.flagged & ((states.place[path.state] != 2) | (states.role[path.state] != LAST))
    return Cadence(
        tape=tape, shots=shots, notes=tuple(_told(shots, tape, int(against.sum()), int(fields.flagged.sum())))
    )


def _told(shots: Sequence[Shot], tape: Tape, against: int, flagged: int) -> Iterator[str]:
    """What is worth saying of a whole tape."""
    film = sum(shot.stop - shot.first for shot in shots if shot.kind == "film")
    if tape.fps[0] / tape.fps[1] < 27 and film > tape.frames:
        yield "film at 25 pictures a second: if it was shot at 24 it runs 4.2 % fast and sounds 0.71 semitones high"
    if 20 * against > flagged:
        yield f"{against} of {flagged} repeat flags contradict the pictures, which were believed"
    for what, count in (
        ("frames whose two fields are swapped", sum(shot.swapped for shot in shots)),
        ("fields blended by a converter or a dissolve", sum("blended" in shot.notes for shot in shots)),
    ):
        if count:
            yield f"{count} of {len(shots)} shots: {what}"


def _shot(
    fields: _Fields,
    states: _States,
    patterns: tuple[Pattern, ...],
    path: _Path,
    wrong: NDArray[np.float64],
    first: int,
    stop: int,
    overrides: Sequence[Override],
) -> Shot:
    run = slice(first, stop)
    pattern = patterns[states.pattern[path.state[first]]]
    kind = pattern.kind
    confidence = round(float(np.clip(np.median(path.chance[run]), 0.001, 0.9999)), 4)
    notes: list[str] = [note for override in overrides for note in override.notes]
    inner = slice(first + 1, stop - 1) if stop - first > 2 else run  # its ends look over the cuts
    if fields.moving[inner].mean() < 0.005 and "still" not in notes:
        notes.append("still")
    if fields.mean[run].mean() < _DARK:
        notes.append("dark")
    whole = (fields.logs[inner].argmax(1) <= LAST) & ~fields.blend[inner]  # slow motion alone looks mixed throughout
    if min(fields.blend[inner].mean(), whole.mean()) > _BLENDED_SHARE and "blended" not in notes:
        notes.append("blended")
    if kind == "layered":
        heads = np.flatnonzero(states.place[path.state[run]] == 0)
        heads = heads if len(heads) and heads[0] == 0 else np.append(0, heads)
        base = _digits(np.diff(np.append(heads, stop - first)))
        return Shot(
            first=first, stop=stop, kind=kind, lengths="1" * (stop - first), base=base, confidence=confidence,
            notes=tuple(notes),
        )  # fmt: skip
    starts = path.starts[run].copy()
    starts[0] = True
    heads = np.flatnonzero(starts)
    ends = np.append(heads[1:], stop - first)
    bad = np.clip([wrong[first + a : first + b + 1].sum() for a, b in zip(heads, ends, strict=True)], 1e-4, 0.999)
    fade = _fade_pictures(fields.mean[run], starts) | ("fade" in notes)
    if fade.any() and "fade" not in notes:
        notes.append("fade")
    combs = (fields.against[run, 0][:-1] >= 3) & (fields.against[run, 1][1:] >= 3) & ~starts[1:]
    combed = [
        i
        for i, (a, b) in enumerate(zip(heads.tolist(), ends.tolist(), strict=True))
        if b - a > 1 and (combs[a : b - 1].any() or fade[a:b].all())
    ]
    return Shot(
        first=first,
        stop=stop,
        kind=kind,
        lengths=_digits(ends - heads),
        confidence=confidence,
        quality=tuple(int(q) for q in np.rint(-10 * np.log10(bad))),
        combed=tuple(combed),
        swapped=pattern.swapped,
        notes=tuple(notes),
    )


def _check_order(tape: vs.VideoNode, evidence: Evidence, fields: _Fields, func: Func) -> None:
    """Refuse a tape whose fields run the other way: weaving neighbours in time must comb less than in any other order.

    Compared are stretches that move, in both orders, a dozen at most, until three speak for what the tape says and
    none against it. 30p and what hardly moves look the same in both and have no say.
    """
    count = evidence.fields // _STRETCH
    if not count:
        return
    motion = fields.moving[: count * _STRETCH].reshape(count, _STRETCH).mean(1)
    motion[(fields.cut[: count * _STRETCH].reshape(count, _STRETCH) > 0.5).any(1)] = 0
    best = {int(part[motion[part].argmax()]) for part in np.array_split(np.arange(count), min(count, 12))}
    votes: list[float] = []
    for stretch in sorted(best, key=lambda stretch: -motion[stretch]):
        window = (stretch * _STRETCH, (stretch + 1) * _STRETCH)
        swapped = sample(tape, not evidence.tff, *window, func)
        total = [float(np.sum(sum(grids.energies()[:2]))) for grids in (evidence.read(*window), swapped)]
        votes.append(float(np.log(total[1] / total[0])))
        if sum(vote > 0.05 for vote in votes) == 3 and min(votes) > -0.05:
            return
    decided = np.array([vote for vote in votes if abs(vote) > 0.05])
    if len(decided) and (decided < 0).mean() > 0.7 and decided.sum() < -0.2:
        said, true = ("top", "bottom") if evidence.tff else ("bottom", "top")
        raise CustomValueError(
            f"The tape says {said} field first, but motion runs the other way; give the tape the right order: "
            f"source(..., tff={not evidence.tff})  # {true} field first",
            func,
        )


def solve_cadence(
    evidence: Evidence,
    tape: vs.VideoNode | None = None,
    *,
    overrides: Sequence[Override] = (),
    func: Func = "solve_cadence",
) -> Cadence:
    """The most probable partition of a tape's fields into shots and pictures.

    Args:
        evidence: What `measure_fields` gave.
        tape: The tape itself; a few hundred frames are read to check its field order. None: the order is believed.
        overrides: What users say of stretches of it; everything else is solved around them.
        func: The public function, named in errors.

    Raises:
        CustomValueError: The fields were scanned in the order opposite to what the tape says, or a correction lies
            beyond the tape's end.
    """
    patterns = PAL if evidence.fps[0] / evidence.fps[1] < 27 else NTSC
    states = _unroll(patterns)
    noise = _estimate_noise(evidence)
    fields = _reduce(evidence, noise, states, patterns)
    if tape is not None:
        _check_order(tape, evidence, fields, func)
    check_together(
        overrides, Tape(frames=evidence.fields // 2, fps=evidence.fps, tff=evidence.tff, content=""), "overrides"
    )
    fields, allowed = _correct(fields, states, patterns, evidence.fps, overrides)
    path = _rejoin(_decode(fields, states, allowed), states, patterns, fields.cut)
    return _assemble(evidence, fields, states, patterns, path, overrides)
