"""Exact time: durations that add up, slots that lose nothing they could keep, sync that is refused when it is off."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jetpytools import CustomRuntimeError, CustomValueError
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.timing import (
    DRIFT,
    FILM,
    NTSC,
    PAL,
    Sync,
    check,
    durations,
    pick,
    read_timecodes,
    share,
    slots,
    write_timecodes,
)

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]


def cost(
    found: tuple[int, ...], lasts: Floats, slot: float, groups: Ints, lost: Floats, again: Floats, shown: Floats
) -> float:
    """What an assignment costs, by the words of the docstring of `slots`."""
    starts = np.concatenate([[0], np.cumsum(lasts)])
    total = 0.001 * abs(len(found) - starts[-1] / slot)
    for n, p in enumerate(found):
        away = abs((starts[p] + starts[p + 1]) / 2 - slot * (n + 0.5)) - max(0, (lasts[p] - slot) / 2)
        if away > DRIFT + 1e-6:
            return np.inf
        total += 0.001 * max(0, away) ** 2 + 0.1 * max(0, away - 1.5) + shown[p]
        if n and groups[found[n - 1]] == groups[p]:
            total += again[groups[p]]
    return float(total + sum(lost[g] for g in set(groups.tolist()) - {int(groups[p]) for p in found}))


@given(st.lists(st.sampled_from([1.0, 1.0, 2.0, 2.5, 2.5, 3.0, 7.0]), min_size=1, max_size=7), st.integers(0, 1000))
@settings(max_examples=60)
def test_slots_are_the_cheapest_of_all(lasts: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, slot = len(lasts), 2.5
    groups = np.cumsum(np.concatenate([[0], rng.random(count - 1) < 0.7])).astype(np.int64)
    table = (
        np.array(lasts),
        slot,
        groups,
        rng.choice([0, 0.05, 1000.0], groups[-1] + 1),
        rng.choice([0, 0.05, 1000.0], groups[-1] + 1),
        rng.choice([0, 0.1], count),
    )
    found = tuple(slots(*table).tolist())
    total = sum(lasts) / slot
    lengths = {max(1, int(np.floor(total + 1e-6))), max(1, int(np.ceil(total - 1e-6)))}
    best = min(cost(way, *table) for n in lengths for way in itertools.combinations_with_replacement(range(count), n))
    assert cost(found, *table) == pytest.approx(best, abs=1e-6)


def random_film(seed: int, shots: int, mean: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Lengths of film pictures cut at random, and where the cuts are."""
    rng = random.Random(seed)
    lengths: list[int] = []
    cuts: list[bool] = []
    for _ in range(shots):
        count, phase = max(8, int(rng.expovariate(1 / mean))), rng.randrange(5)
        pictures = [(n // 5) * 2 + (n % 5 >= 2) for n in range(phase, phase + count)]
        own = [len(list(run)) for _, run in itertools.groupby(pictures)]
        lengths += own
        cuts += [True] + [False] * (len(own) - 1)
    return np.array(lengths), np.array(cuts)


def test_an_episode_of_short_shots_loses_almost_nothing() -> None:
    lengths, cuts = random_film(1, 700, 220)
    assert len(lengths) > 60_000
    num, den = share(lengths, lengths > 1, cuts)
    film = lengths > 1
    shown = slots(
        num / den,
        2.5,
        np.arange(len(lengths)),
        np.where(film, 1000.0, 0),
        np.full(len(lengths), 1000.0),
        np.where(film, 0, 0.1),
    )
    counts = np.bincount(shown, minlength=len(lengths))
    assert counts.max() == 1
    assert (counts[film] == 0).mean() < 0.0005
    assert (counts[~film] > 0).mean() < 0.5, "orphans go first"
    assert abs(len(shown) * 2.5 - lengths.sum()) < 2.5


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_shares_add_up_at_every_cut(pictures: list[tuple[int, bool, bool]]) -> None:
    lengths, even, cuts = (np.array(column) for column in zip(*pictures, strict=True))
    lengths = lengths.astype(np.int64)
    num, den = share(lengths, even, cuts)
    exact = [Fraction(int(a), int(b)) for a, b in zip(num, den, strict=True)]
    for n in [*np.flatnonzero(cuts).tolist(), len(lengths)]:
        assert sum(exact[:n]) == sum(lengths[:n].tolist())
    for n, (length, shares, _) in enumerate(pictures):
        assert shares or exact[n] == length
    for n in range(1, len(pictures)):
        if pictures[n][1] and pictures[n - 1][1] and not pictures[n][2]:
            assert exact[n] == exact[n - 1]


@given(st.lists(st.integers(0, 19), min_size=1, max_size=40).map(sorted))
@settings(max_examples=50)
def test_pick_gives_the_frames_asked_for(numbers: list[int]) -> None:
    clip = core.std.Splice(
        [core.std.BlankClip(width=16, height=16, length=1).std.SetFrameProps(n=n) for n in range(20)]
    )
    picked = pick(clip, np.array(numbers))
    assert [frame.props["n"] for frame in picked.frames(close=True)] == numbers


def test_timecodes_come_back_without_drift(tmp_path: Path) -> None:
    lasts = [1 / FILM] * 3000 + [1 / NTSC, 1 / (2 * NTSC)]
    write_timecodes(tmp_path / "t.txt", lasts)
    read = read_timecodes(tmp_path / "t.txt")
    assert len(read) == len(lasts) + 1
    assert abs(read[-1] - sum(lasts)) < Fraction(1, 10**8)


def test_durations_of_a_variable_rate_are_read_from_the_frames() -> None:
    clip = core.std.BlankClip(width=16, height=16, length=3, fpsnum=0, fpsden=1)
    told = clip.std.SetFrameProps(_DurationNum=1001, _DurationDen=24000)
    assert durations(told, "test") == [1 / FILM] * 3
    with pytest.raises(CustomValueError, match="Frame 0"):
        durations(clip.std.RemoveFrameProps(["_DurationNum", "_DurationDen"]), "test")


def synced(
    rate: Fraction = FILM,
    pictures: int = 480,
    tape: Fraction = 600 / NTSC,
    delay: Fraction = Fraction(0),
    start: Fraction = Fraction(0),
    trim: Fraction = Fraction(0),
    wanted: Fraction | None = FILM,
) -> Sync:
    codes = [start + n / rate for n in range(pictures + 1)]
    return check(
        codes,
        tape=tape,
        audio=(delay, tape - trim),
        disc_audio=(Fraction(0), tape),
        rate=wanted,
    )


def test_a_restored_film_in_sync_passes() -> None:
    found = synced()
    assert (found.start, found.drift, found.end) == (0, 0, 0)
    assert synced(pictures=479).end == -1 / FILM
    assert synced(wanted=None).drift == 0
    assert synced(rate=PAL, pictures=500, tape=Fraction(20), wanted=PAL).end == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"delay": Fraction(2, 1000)}, "audio starts 2.00 ms late"),
        ({"start": Fraction(3, 1000)}, "audio starts 3.00 ms early"),
        ({"rate": Fraction(24)}, "drifts 20.00 ms early"),
        ({"rate": Fraction(24), "wanted": None}, "drifts 20.00 ms early"),
        ({"pictures": 470}, "pictures end 417.08 ms early"),
        ({"trim": Fraction(1, 5)}, "pictures end 200.00 ms late"),
    ],
)
def test_what_is_out_of_sync_is_refused_with_its_figure(wrong: dict[str, Fraction], says: str) -> None:
    with pytest.raises(CustomRuntimeError, match=says):
        synced(**wrong)  # type: ignore[arg-type]


def test_times_that_are_none_are_refused() -> None:
    sound = (Fraction(0), Fraction(1))
    with pytest.raises(CustomValueError, match="no pictures"):
        check([Fraction(0)], tape=Fraction(1), audio=sound, disc_audio=sound)
    with pytest.raises(CustomValueError, match="ascend"):
        check([Fraction(1), Fraction(0)], tape=Fraction(1), audio=sound, disc_audio=sound)
