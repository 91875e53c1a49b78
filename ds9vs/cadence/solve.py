"""From field evidence to a cadence: block likelihoods, cuts, a hidden Markov model over fields, its best path.

May import the ground rooms, `cadence/model` and `cadence/measure`. Touches pixels only through `measure`.

The hidden state of a field is its place in a pulldown pattern (film 2:3 at five phases, 2:3:3:2 at ten, 30p at two,
60i). Each state gives a field one of four roles, and each role predicts what `measure` sees of it and its neighbours:

    next    scanned with the field after it, not with the one before: slope -1
    last    scanned with the field before it, not with the one after: slope +1
    alone   its own instant: slope 0
    middle  of three fields of one picture: its neighbours are equal, D is noise

A block's likelihood of a role is a Student t around the predicted slope; its spread comes from the block's own
residual, its mean from the noise floor of the tape at that luma and activity, and from the pull towards the field of
the same coded frame that MPEG-2 coding causes (noise alone shows slopes of 0.6 to 0.9). Blocks are not independent, so
their sum is tempered, and no single field may say more than `_FLOOR` allows. Cadence changes cost `_SWITCH` inside a
shot and little at a cut; what the evidence cannot tell stays as it was. Probabilities come from the forward-backward
algorithm (Rabiner, Proc. IEEE 77(2), 1989, section III), the partition from Viterbi's. Then single
blocks vote, window by window: where two cadences have votes throughout a shot, it is layered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from ..errors import CustomValueError
from .measure import CHUNK, Evidence, Grids, sample
from .model import Cadence, Kind, Shot, Tape

__all__ = ["solve_cadence"]

type Func = Callable[..., Any] | str
type Floats = NDArray[np.float32]

NEXT, LAST, ALONE, MIDDLE = range(4)

_SWITCH = 1e-5
"""Probability that the cadence changes at a field that is no cut."""
_KEEP = 0.15
"""Probability that a cut leaves the cadence running: edits made on film, and still pictures."""
_TEMPER = 0.03
"""Weight of a block's log-likelihood: some 300 blocks tell as much as 9 independent ones."""
_FLOOR = 0.02
"""Probability that a field's evidence is misleading altogether (flash, strobe, dropout)."""
_QUIET = (0.3, 1.2, 4.0)
"""A field's noise floor is raised when this share of its blocks lies above so many floors, at most by this factor."""
_LEAST_FLOOR = 0.25
"""Squared 8-bit codes: what lies below is rounding."""
_MOST_FLOOR = 12.0
"""Squared 8-bit codes: tape noise of sigma 7, after averaging four samples and two lines."""
_HALO = 24
"""Fields read on each side of a chunk."""
_LUMA_STEP, _ACTIVITY_STEP = 32, 20
_WINDOW = 10
"""Fields over which single blocks vote for a pattern; divides `CHUNK`."""
_STRETCH = 40
"""Fields of a stretch on which the two field orders are compared."""
_SURE = 6.0
"""Log-likelihood by which a block's best pattern must lead to count."""
_DARK = 45
"""Mean luma below which a shot is noted as dark, 8-bit codes."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A repeating run of picture lengths."""

    kind: Kind
    lengths: tuple[int, ...]
    prior: float
    """Probability that a shot follows it."""
    aligned: float = 0.5
    """Probability that its first picture begins with a coded frame, if it is two fields long."""


NTSC = (
    Pattern("film", (2, 3), 0.74),
    Pattern("film", (2, 3, 3, 2), 0.01),
    Pattern("30p", (2,), 0.07, 0.9),
    Pattern("60i", (1,), 0.18),
)
PAL = (Pattern("film", (2,), 0.8, 0.9), Pattern("60i", (1,), 0.2))


@dataclass(frozen=True, slots=True)
class _States:
    """The patterns unrolled: arrays over states."""

    role: NDArray[np.intp]
    before: NDArray[np.intp]
    """The state of the field before, when nothing changes."""
    place: NDArray[np.intp]
    """Place of the field in its picture, from 0."""
    pattern: NDArray[np.intp]
    prior: NDArray[np.float64]
    """Probability of each state after a change, at an even and an odd field: shape (2, states)."""


def _unroll(patterns: tuple[Pattern, ...]) -> _States:
    role: list[int] = []
    before: list[int] = []
    place: list[int] = []
    number: list[int] = []
    prior: list[tuple[float, float]] = []
    for p, pattern in enumerate(patterns):
        start, count = len(role), sum(pattern.lengths)
        for length in pattern.lengths:
            for i in range(length):
                role.append(ALONE if length == 1 else NEXT if i == 0 else LAST if i == length - 1 else MIDDLE)
                place.append(i)
                number.append(p)
                even = pattern.prior / count
                if pattern.lengths == (2,):
                    on = pattern.aligned if i == 0 else 1 - pattern.aligned
                    prior.append((pattern.prior * on, pattern.prior * (1 - on)))
                else:
                    prior.append((even, even))
        before += [start + (i - 1) % count for i in range(count)]
    table = np.array(prior).T
    prior_table = table / table.sum(1, keepdims=True)
    return _States(np.array(role), np.array(before), np.array(place), np.array(number), prior_table)


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the tape does to fields that are equal."""

    floor: Floats
    """D of equal fields in squared codes, by luma (in steps of `_LUMA_STEP`) and activity (S in steps): 2-D."""
    pull: Floats
    """Slope that noise alone shows, of even and of odd fields: towards the field of the same coded frame."""

    def of(self, grids: Grids) -> Floats:
        """The floor for each block."""
        return self.floor[grids.luma // _LUMA_STEP, grids.s // _ACTIVITY_STEP]


def _estimate_noise(evidence: Evidence) -> _Noise:
    """The noise floor: tenth percentile of D among blocks of like luma and activity, repeats and what stands still."""
    chunks = np.unique(np.linspace(0, (evidence.fields - 1) // CHUNK, 48).astype(int))
    lumas, activities = 256 // _LUMA_STEP, -(-256 // _ACTIVITY_STEP)
    counts = np.zeros((lumas, activities, 256), np.int64)
    for c in chunks:
        grids = evidence.read(c * CHUNK, (c + 1) * CHUNK)
        cell = (grids.luma // _LUMA_STEP).astype(np.int32) * activities + grids.s // _ACTIVITY_STEP
        counts += np.bincount((cell * 256 + grids.d).ravel(), minlength=counts.size).reshape(counts.shape)
    counts[:, :, 0] = 0  # fields without a neighbour, blanking
    whole = _percentile(counts.sum((0, 1)), 0.1)
    by_luma = np.array([_percentile(c, 0.1) if c.sum() > 2000 else whole for c in counts.sum(1)])
    by_luma = np.minimum(by_luma, whole + 20)
    floor = np.empty((lumas, activities))
    for i in range(lumas):
        for j in range(activities):
            own = _percentile(counts[i, j], 0.1) if counts[i, j].sum() > 2000 else by_luma[i]
            floor[i, j] = np.clip(own, by_luma[i] - 10, by_luma[i] + 20)
    noise = np.minimum(2.0 ** (floor / 10) / 64, _MOST_FLOOR).astype(np.float32)  # more is motion
    votes: list[list[Floats]] = [[], []]
    for c in chunks[:: max(1, len(chunks) // 8)]:
        grids = evidence.read(c * CHUNK, (c + 1) * CHUNK)
        d, _, n = grids.energies()
        quiet = (d < 1.5 * noise[grids.luma // _LUMA_STEP, grids.s // _ACTIVITY_STEP]) & (grids.d > 0)
        slope = n / d
        for parity in (0, 1):
            votes[parity].append(slope[parity::2][quiet[parity::2]])
    pull = [float(np.clip(np.median(v), -1, 1)) if len(v := np.concatenate(w)) > 200 else 0.0 for w in votes]
    return _Noise(noise, np.array(pull, np.float32))


def _percentile(counts: NDArray[np.int64], share: float) -> float:
    total = np.cumsum(counts)
    return float(np.searchsorted(total, share * total[-1])) if total[-1] else 0.0


def _student(x: Floats, mean: Floats | float, variance: Floats | float) -> Floats:
    """Log density of Student's t of 3 degrees of freedom, without its constant."""
    return np.asarray(-2 * np.log1p((x - mean) ** 2 / (3 * variance)) - 0.5 * np.log(variance), np.float32)


def _normal(x: Floats, mean: Floats, sigma: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((x - mean) / sigma) ** 2) / sigma, np.float32)


def _floor(d: Floats, floor: Floats) -> Floats:
    """Raise the noise floor of a field by what its quietest blocks show: coding noise differs between frames."""
    share, usual, most = _QUIET
    quiet = np.quantile(d / floor, share, axis=1).astype(np.float32)
    return np.asarray(np.maximum(floor * np.clip(quiet / usual, 1, most)[:, None], _LEAST_FLOOR), np.float32)


def _roles(grids: Grids, noise: _Noise, parity: int, cut: NDArray[np.float64]) -> Floats:
    """Log-likelihood of each role for each block: shape (4, fields, blocks). `parity` is that of the first field."""
    d, s, n = grids.energies()
    floor = _floor(d, noise.of(grids))
    share = np.minimum(1, floor / d)  # of D that is noise
    pull = np.resize(noise.pull[[parity, 1 - parity]], len(d))[:, None] * share
    slope = np.clip(n / d, -1.6, 1.6)
    error = np.maximum(s / d - slope**2, 0) / 30 + (0.7 * share) ** 2
    still = cut > 0.5
    motion = d * (1 - (still | np.append(still[1:], False)))[:, None].astype(np.float32)
    padded = np.pad(motion, ((2, 2), (0, 0)))
    around = np.maximum(np.maximum(padded[:-4], padded[1:-3]), np.maximum(padded[3:-1], padded[4:]))
    ld, lf = np.log(d), np.log(floor)
    moves = 0.85 * _normal(ld, np.maximum(np.log(0.6 * around + 1e-6), lf), 0.7) + 0.15 * _normal(ld, lf, 0.5)
    moves = np.log(moves + 1e-4)
    weight = np.clip((np.maximum(d, around) / floor - 1.25) / 2, 0, 1)
    likelihood = np.stack(
        [
            _student(slope, pull - (1 - share), error + 0.15**2) + moves,
            _student(slope, pull + (1 - share), error + 0.15**2) + moves,
            _student(slope, pull + 0.15 * (1 - share) * np.sign(pull), error + 0.3**2) + moves,
            _student(slope, pull / share, error + 0.3**2) + _student(ld, lf, 0.35**2),
        ]
    )
    return np.asarray(weight * likelihood, np.float32)


def _rival(values: NDArray[np.float64], nearest: int, farthest: int) -> NDArray[np.float64]:
    """The value that only one is above among those between `nearest` and `farthest` fields away, on either side."""
    n = len(values)
    padded = np.pad(values, farthest, constant_values=0.0)
    offsets = [o for o in range(-farthest, farthest + 1) if abs(o) >= nearest]
    around = np.partition([padded[farthest + o : farthest + o + n] for o in offsets], -2, axis=0)
    return np.asarray(around[-2])


def _cuts(grids: Grids) -> NDArray[np.float64]:
    """Probability that a new shot begins at each field: its luma and its detail change more than any near it."""
    luma = grids.luma.astype(np.float32)
    step = np.zeros(len(grids))
    step[1:] = np.abs(luma[1:] - luma[:-1]).mean(1)
    d = np.sqrt(grids.energies()[0]).mean(1).astype(np.float64)
    both = np.zeros(len(grids))
    both[1:] = np.minimum(d[1:], d[:-1])
    score = np.log((step + 0.3) / (_rival(step, 1, 9) + 0.3)) + np.log((both + 0.05) / (_rival(both, 2, 9) + 0.05))
    padded = np.pad(score, 2, constant_values=-np.inf)
    peak = score >= np.max([padded[o : o + len(score)] for o in range(5)], 0)  # coding smears a cut over its neighbours
    return np.asarray(peak / (1 + np.exp(-8 * (score - 0.7))))


def _hypotheses(patterns: tuple[Pattern, ...]) -> list[tuple[int, int, NDArray[np.intp]]]:
    """Patterns that repeat within a window, at each phase: number, phase, and the role of each field of a window."""
    found = []
    for number, pattern in enumerate(patterns):
        cycle = sum(pattern.lengths)
        if _WINDOW % cycle == 0 and cycle < _WINDOW:
            role = _unroll((pattern,)).role
            found += [(number, q, role[(np.arange(_WINDOW) - q) % cycle]) for q in range(cycle)]
    return found


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the solver keeps of every field; a few dozen bytes each."""

    logs: Floats
    """Log-likelihood of each role, tempered: shape (fields, 4)."""
    cut: NDArray[np.float64]
    """Probability that a shot begins here."""
    moving: Floats
    """Share of blocks that move."""
    against: NDArray[np.int16]
    """Blocks that comb visibly with the next field, the field before, by an instant of their own: shape (fields, 2)."""
    mean: Floats
    """Mean luma, 8-bit codes."""
    votes: NDArray[np.int16]
    """Blocks that are sure of each hypothesis, for each window of fields: shape (windows, hypotheses)."""


def _reduce(evidence: Evidence, noise: _Noise, patterns: tuple[Pattern, ...]) -> _Fields:
    parts: list[tuple[NDArray[np.generic], ...]] = []
    hypotheses = _hypotheses(patterns)
    for first in range(0, evidence.fields, CHUNK):
        start, stop = max(0, first - _HALO), min(evidence.fields, first + CHUNK)
        grids = evidence.read(start, stop + _HALO)
        cut = _cuts(grids)
        roles = _roles(grids, noise, start % 2, cut)
        own = slice(first - start, stop - start)
        inside = ((1 - cut) * (1 - np.append(cut[1:], 0)))[own, None]
        roles, grids, cut = roles[:, own], grids[own], cut[own]

        logs = _TEMPER * roles.sum(2, dtype=np.float64).T
        chance = np.exp(logs - logs.max(1, keepdims=True))
        chance /= chance.sum(1, keepdims=True)
        chance = inside * ((1 - _FLOOR) * chance + _FLOOR / 4) + (1 - inside) / 4

        d, s, n = grids.energies()
        floor = _floor(d, noise.of(grids))
        moves = d > 3 * floor
        visible = (s + d - 2 * np.abs(n)) / 4 > np.maximum(8 * floor, 6)
        against = [((roles[ALONE] - roles[r] > _SURE) & visible).sum(1) for r in (NEXT, LAST)]

        spare = -len(grids) % _WINDOW
        weighted = np.pad(roles * inside.astype(np.float32), ((0, 0), (0, spare), (0, 0)))
        weighted = weighted.reshape(4, -1, _WINDOW, weighted.shape[2])
        sums = np.stack([weighted[h[2], :, np.arange(_WINDOW)].sum(0) for h in hypotheses])
        top = np.partition(sums, -2, axis=0)
        sure = top[-1] - top[-2] > _SURE
        winner = sums.argmax(0)
        votes = np.stack([((winner == h) & sure).sum(1) for h in range(len(hypotheses))], 1)
        parts.append(
            (
                np.log(chance).astype(np.float32),
                cut,
                moves.mean(1, dtype=np.float32),
                np.stack(against, 1).astype(np.int16),
                grids.mean,
                votes.astype(np.int16),
            )
        )
    return _Fields(*(np.concatenate([part[i] for part in parts]) for i in range(6)))


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


def _decode(fields: _Fields, states: _States) -> _Path:
    n, count = len(fields.cut), len(states.role)
    chance = np.exp(fields.logs[:, states.role].astype(np.float64))
    cut = fields.cut[:, None]
    joined = states.place > 0
    stay = np.where(joined, (1 - cut) * (1 - _SWITCH), (1 - cut) * (1 - _SWITCH) + cut * _KEEP)
    leave = ((1 - cut) * _SWITCH + cut * (1 - _KEEP)) * states.prior[np.arange(n) % 2]
    before = states.before

    # the path picks among kinds first: phases of one kind do not share its probability
    phases = np.bincount(states.pattern)[states.pattern]
    with np.errstate(divide="ignore"):
        log_chance, log_stay, log_leave = np.log(chance), np.log(stay), np.log(leave * phases)
    origin = np.full(n, -1, np.int16)
    jumped = np.zeros((n, count), bool)
    best = np.log(states.prior[0] * phases) + log_chance[0]
    for k in range(1, n):
        top = best.argmax()
        origin[k] = top
        on, off = best[before] + log_stay[k], best[top] + log_leave[k]
        jumped[k] = off > on
        best = np.maximum(on, off) + log_chance[k]
    state = np.empty(n, np.intp)
    changed = np.zeros(n, bool)
    state[-1] = best.argmax()
    for k in range(n - 1, 0, -1):
        changed[k] = jumped[k, state[k]]
        state[k - 1] = origin[k] if changed[k] else before[state[k]]

    forward = np.empty((n, count))
    forward[0] = states.prior[0] * chance[0]
    forward[0] /= forward[0].sum()
    for k in range(1, n):
        f = (forward[k - 1][before] * stay[k] + leave[k]) * chance[k]
        forward[k] = f / f.sum()
    backward = np.empty((n, count))
    backward[-1] = 1
    after = np.argsort(before)
    for k in range(n - 1, 0, -1):
        b = chance[k] * backward[k]
        b = (b * stay[k])[after] + (b * leave[k]).sum()
        backward[k - 1] = b / b.sum()
    posterior = forward * backward
    posterior /= posterior.sum(1, keepdims=True)
    weight = chance[1:] * backward[1:]
    on = forward[:-1][:, before] * stay[1:] * weight
    off = leave[1:] * weight
    boundary = np.ones(n)
    boundary[1:] = 1 - on[:, joined].sum(1) / (on.sum(1) + off.sum(1))
    changed[0] = True
    return _Path(state, changed | (states.place[state] == 0), changed, posterior[np.arange(n), state], boundary)


def _layers(
    votes: NDArray[np.int64],
    windows: int,
    hypotheses: list[tuple[int, int, NDArray[np.intp]]],
    patterns: tuple[Pattern, ...],
) -> tuple[int, float] | None:
    """Whether blocks follow two cadences at once: the hypothesis of the background, and how sure that is."""
    if not windows:
        return None
    woven = [h for h, (number, _, _) in enumerate(hypotheses) if patterns[number].kind != "60i"]
    base = max(woven, key=lambda h: int(votes[h]))
    total = int(votes.sum())
    # single fields among film are sure evidence; whole frames are not: frame coding makes anything look like them
    fields = sum(int(votes[h]) for h, (number, _, _) in enumerate(hypotheses) if patterns[number].kind == "60i")
    phases = sum(int(votes[h]) for h, (n, _, _) in enumerate(hypotheses) if h != base and len(patterns[n].lengths) > 1)
    whole_frames = patterns[hypotheses[base][0]].lengths == (2,)
    if whole_frames:
        enough = votes[base] >= 0.35 * total and fields >= max(windows, 0.1 * total)
    else:
        enough = votes[base] >= max(windows, 0.025 * total) and (
            fields >= max(windows, 0.004 * total) or phases >= max(windows, 0.025 * total)
        )
    if not enough:
        return None
    other = fields + phases
    return base, float(1 - 0.5 * np.exp(-min(other, int(votes[base])) / 40))


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
    evidence: Evidence, fields: _Fields, states: _States, patterns: tuple[Pattern, ...], path: _Path
) -> Cadence:
    n = evidence.fields
    hypotheses = _hypotheses(patterns)
    certain = path.starts & (fields.cut > 0.5)
    begins = path.changed | certain
    moving = np.clip(_rival(fields.moving.astype(np.float64), 0, 2) / 0.02, 0.02, 1)
    wrong = np.append(np.where(path.starts, 1 - path.boundary, path.boundary) * moving, 0.0)

    def voted(first: int, stop: int) -> tuple[NDArray[np.int64], int]:
        a, b = -(-first // _WINDOW), stop // _WINDOW
        return fields.votes[a:b].sum(0, dtype=np.int64), max(0, b - a)

    scenes = np.append(np.flatnonzero(certain), n)
    if scenes[0]:
        scenes = np.append(0, scenes)
    spans: list[tuple[int, int, tuple[int, float] | None]] = []
    for first, stop in pairwise(scenes.tolist()):
        layers = _layers(*voted(first, stop), hypotheses, patterns)
        inner = [*(np.flatnonzero(begins[first + 1 : stop]) + first + 1).tolist(), stop]
        if layers is None or len(inner) == 1:
            spans.append((first, inner[0], layers))
            spans += [(a, b, None) for a, b in pairwise(inner)]
        else:  # one layered scene that the path cut up, or parts with cadences of their own?
            parts = list(pairwise([first, *inner]))
            own = [_layers(*voted(a, b), hypotheses, patterns) for a, b in parts]
            alike = sum(b - a for (a, b), found in zip(parts, own, strict=True) if found and found[0] == layers[0])
            if 2 * alike >= stop - first:
                spans.append((first, stop, layers))
            else:
                spans += [(a, b, found) for (a, b), found in zip(parts, own, strict=True)]
    shots = tuple(_shot(evidence, fields, states, patterns, hypotheses, path, wrong, span) for span in spans)
    tape = Tape(frames=n // 2, fps=evidence.fps, tff=evidence.tff, content=evidence.content)
    return Cadence(tape=tape, shots=shots)


def _shot(
    evidence: Evidence,
    fields: _Fields,
    states: _States,
    patterns: tuple[Pattern, ...],
    hypotheses: list[tuple[int, int, NDArray[np.intp]]],
    path: _Path,
    wrong: NDArray[np.float64],
    span: tuple[int, int, tuple[int, float] | None],
) -> Shot:
    first, stop, layers = span
    run = slice(first, stop)
    notes = []
    inner = slice(first + 1, stop - 1) if stop - first > 2 else run  # its ends look over the cuts
    if fields.moving[inner].mean() < 0.005:
        notes.append("still")
    if fields.mean[run].mean() < _DARK:
        notes.append("dark")
    if layers is not None:
        number, phase, _ = hypotheses[layers[0]]
        edges = np.cumsum((0, *patterns[number].lengths))
        at = np.arange(first, stop)
        heads = np.flatnonzero(np.isin((at - phase) % edges[-1], edges[:-1]))
        heads = heads if len(heads) and heads[0] == 0 else np.append(0, heads)
        base = _digits(np.diff(np.append(heads, stop - first)))
        confidence = round(float(np.clip(layers[1], 0.001, 0.9999)), 4)
        return Shot(
            first=first, stop=stop, kind="layered", lengths="1" * (stop - first), base=base, confidence=confidence,
            notes=tuple(notes),
        )  # fmt: skip
    starts = path.starts[run].copy()
    starts[0] = True
    heads = np.flatnonzero(starts)
    ends = np.append(heads[1:], stop - first)
    bad = np.clip([wrong[first + a : first + b + 1].sum() for a, b in zip(heads, ends, strict=True)], 1e-4, 0.999)
    fade = _fade_pictures(fields.mean[run], starts)
    if fade.any():
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
        kind=patterns[states.pattern[path.state[first]]].kind,
        lengths=_digits(ends - heads),
        confidence=round(float(np.clip(np.median(path.chance[run]), 0.001, 0.9999)), 4),
        quality=tuple(int(q) for q in np.rint(-10 * np.log10(bad))),
        combed=tuple(combed),
        notes=tuple(notes),
    )


def _check_order(tape: vs.VideoNode, evidence: Evidence, fields: _Fields, func: Func) -> None:
    """Refuse a tape whose fields run the other way: weaving neighbours in time must comb less than in any other order.

    Compared are a dozen stretches that move, in both orders; 30p looks the same in both and has no say.
    """
    count = evidence.fields // _STRETCH
    if not count:
        return
    motion = fields.moving[: count * _STRETCH].reshape(count, _STRETCH).mean(1)
    motion[(fields.cut[: count * _STRETCH].reshape(count, _STRETCH) > 0.5).any(1)] = 0
    best = {int(part[motion[part].argmax()]) for part in np.array_split(np.arange(count), min(count, 12))}
    windows = [(n * _STRETCH, (n + 1) * _STRETCH) for n in sorted(best)]
    votes = []
    for window, swapped in zip(windows, sample(tape, not evidence.tff, windows, func), strict=True):
        total = [float(np.sum(sum(grids.energies()[:2]))) for grids in (evidence.read(*window), swapped)]
        votes.append(float(np.log(total[1] / total[0])))
    decided = np.array([vote for vote in votes if abs(vote) > 0.05])
    if len(decided) and (decided < 0).mean() > 0.7 and decided.sum() < -0.2:
        said, true = ("top", "bottom") if evidence.tff else ("bottom", "top")
        raise CustomValueError(
            f"The tape says {said} field first, but motion runs the other way; give the tape the right order: "
            f"source(..., tff={not evidence.tff})  # {true} field first",
            func,
        )


def solve_cadence(evidence: Evidence, tape: vs.VideoNode | None = None, *, func: Func = "solve_cadence") -> Cadence:
    """The most probable partition of a tape's fields into shots and pictures.

    Args:
        evidence: What `measure_fields` gave.
        tape: The tape itself; a few hundred frames are read to check its field order. None: the order is believed.
        func: The public function, named in errors.

    Raises:
        CustomValueError: The fields were scanned in the order opposite to what the tape says.
    """
    patterns = PAL if evidence.fps[0] / evidence.fps[1] < 27 else NTSC
    states = _unroll(patterns)
    noise = _estimate_noise(evidence)
    fields = _reduce(evidence, noise, patterns)
    if tape is not None:
        _check_order(tape, evidence, fields, func)
    return _assemble(evidence, fields, states, patterns, _decode(fields, states))
