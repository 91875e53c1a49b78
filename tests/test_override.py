"""Corrections by hand: said in the words of an expert, kept as they were written, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jetpytools import CustomError, CustomValueError

from ds9vs.cadence.model import Shot, Tape
from ds9vs.cadence.override import (
    Override,
    clear,
    clock,
    load_overrides,
    overrides_path,
    phase_of,
    put,
    save_overrides,
    seconds,
    span,
)

TAPE = Tape(frames=2000, fps=(30000, 1001), tff=True, content="0c1f")
PAL = Tape(frames=2000, fps=(25, 1), tff=True, content="pal")


def read(text: str, folder: Path, tape: Tape = TAPE) -> tuple[Override, ...]:
    path = folder / "ep.overrides.toml"
    path.write_text(text, encoding="utf-8")
    return load_overrides(path, tape)


def test_frames_fields_and_times_name_the_same_stretch(tmp_path: Path) -> None:
    ways = ["frames = [600, 700]", "fields = [1200, 1400]", 'time = ["0:00:20.020", "0:00:23.357"]']
    ways += ['time = ["20.02", 23.357]', "time = [00:00:20.020, 00:00:23.357]", 'time = ["00:20.02", "00:23.35"]']
    for way in ways:
        (one,) = read(f'[[range]]\n{way}\ncadence = "film"\nphase = 3\nnote = "credits"', tmp_path)
        assert one == Override(first=1200, stop=1400, kind="film", phase=3, notes=("credits",)), way


def test_a_cut_is_a_place(tmp_path: Path) -> None:
    said = read('[[cut]]\nframe = 7\n[[cut]]\nfield = 15\n[[cut]]\ntime = "0:00:01.001"', tmp_path)
    assert [(one.first, one.cut, one.kind) for one in said] == [(14, True, None), (15, True, None), (60, True, None)]


@given(st.integers(0, 4000))
def test_the_time_of_a_field_names_it(field: int) -> None:
    for tape in (TAPE, PAL):
        at = seconds(clock(field, tape))
        assert at is not None
        assert round(at * 2 * tape.fps[0] / tape.fps[1]) == field


def test_no_file_says_nothing_and_it_lies_beside_the_map(tmp_path: Path) -> None:
    assert load_overrides(overrides_path(tmp_path / "ep.json"), TAPE) == ()
    assert overrides_path(tmp_path / "ep.json") == tmp_path / "ep.overrides.toml"


KINDS = st.sampled_from([None, "film", "30p", "60i", "layered"])


@st.composite
def corrections(draw: st.DrawFn) -> Override:
    first = draw(st.integers(0, 3998))
    stop = draw(st.integers(first + 1, 4000))
    kind = draw(KINDS)
    phase = draw(st.integers(0, 1)) if kind in ("film", "30p", "layered") and draw(st.booleans()) else None
    notes = draw(st.sampled_from([(), ("still",), ("fade", "credits")]))
    cut = draw(st.booleans()) or (kind is None and not notes)
    return Override(first=first, stop=stop, kind=kind, phase=phase, notes=notes, cut=cut)  # type: ignore[arg-type]


def facts(overrides: tuple[Override, ...]) -> tuple[dict[int, object], set[tuple[int, str]], set[int]]:
    """What is said of each field: kind and place; notes; cuts."""
    kinds = {k: (o.kind, o.place(k)) for o in overrides if o.kind for k in range(o.first, o.stop)}
    notes = {(k, note) for o in overrides for note in o.notes for k in range(o.first, o.stop)}
    return kinds, notes, {o.first for o in overrides if o.cut}


@given(st.lists(corrections(), max_size=6))
def test_what_was_said_last_holds_and_the_file_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, news: list[Override]
) -> None:
    said: tuple[Override, ...] = ()
    for new in news:
        before = facts(said)
        said = put(said, new, TAPE)
        after = facts(said)
        inside = set(range(new.first, new.stop)) if new.kind else set()
        assert {k: v for k, v in before[0].items() if k not in inside}.items() <= after[0].items(), (
            "outside nothing changes"
        )
        assert all(after[0][k] == (new.kind, new.place(k)) for k in inside)
        assert before[1] <= after[1] and before[2] <= after[2]
    path = tmp_path_factory.mktemp("toml") / "ep.overrides.toml"
    save_overrides(path, said, TAPE)
    assert facts(load_overrides(path, TAPE)) == facts(said)
    assert load_overrides(path, TAPE) == load_overrides(path, TAPE)


@given(st.lists(corrections(), max_size=4), st.integers(0, 3990), st.integers(1, 500))
def test_what_is_taken_back_is_gone_and_the_rest_stays(news: list[Override], first: int, length: int) -> None:
    said: tuple[Override, ...] = ()
    for new in news:
        said = put(said, new, TAPE)
    stop = first + length
    before, after = facts(said), facts(clear(said, first, stop, TAPE))
    assert after[0] == {k: v for k, v in before[0].items() if not first <= k < stop}
    assert after[1] == {(k, note) for k, note in before[1] if not first <= k < stop}
    assert after[2] == {k for k in before[2] if not first <= k < stop}


def test_what_a_hand_wrote_stays_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ep.overrides.toml"
    mine = (
        "# my notes on this episode\n\n"
        "# the teaser: sure of it\n[[range]]\ntime = [20.02, 23.357] # by eye\ncadence = 'film'\n\n"
        "[[range]]\nframes = [\n  800,\n  900,\n]\nnote = ['still']\n\n# bad edit\n[[cut]]\nframe = 1000"
    )
    path.write_text(mine)
    said = put(load_overrides(path, TAPE), Override(first=3000, stop=3100, kind="60i"), TAPE)
    save_overrides(path, said, TAPE)
    text = path.read_text()
    assert text.startswith(mine + "\n")
    assert "frames = [1500, 1550]" in text
    said = clear(said, 2000, 2001, TAPE)
    save_overrides(path, said, TAPE)
    text = path.read_text()
    assert "still" in text and "bad edit" not in text, "a comment goes with its table"
    save_overrides(path, clear(said, 1500, 1900, TAPE), TAPE)
    text = path.read_text()
    assert "the teaser: sure of it" in text and "by eye" in text and "note = ['still']" not in text
    assert {one.kind for one in load_overrides(path, TAPE)} == {"film", "60i"}


def test_a_file_of_another_tape_is_refused_and_one_without_a_name_taken(tmp_path: Path) -> None:
    path = tmp_path / "ep.overrides.toml"
    save_overrides(path, [Override(first=0, stop=10, kind="film")], TAPE)
    with pytest.raises(CustomValueError, match="of another tape; take the line 'tape"):
        load_overrides(path, PAL)
    before = path.read_bytes()
    with pytest.raises(CustomValueError, match="another tape"):
        save_overrides(path, [], PAL)
    assert path.read_bytes() == before
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("tape")))
    assert load_overrides(path, PAL)[0].kind == "film"


RANGE = "[[range]]\nframes = [6, 70]\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[range", "is not a TOML file"),
        ("\udcff", "is not a TOML file"),
        ("[[scene]]\nframes = [1, 2]", r"has 'scene'; .* \[\[range\]\] and \[\[cut\]\]"),
        ("range = 5", r"each headed \[\[range\]\]"),
        (RANGE + 'kadence = "film"', "range 1 has 'kadence'; its keys are frames, fields, time, cadence"),
        (RANGE + 'cadence = "24p"', "range 1: The cadence is '24p'; it must be one of film, 30p, 60i, layered"),
        (RANGE + "cadence = 24", "cadence is 24"),
        (RANGE + 'note = "bright"', "The note is 'bright'; it must be one of still, fade, credits, blended"),
        (RANGE + "note = 3", "note is 3"),
        (RANGE + "note = [[]]", "note is"),
        (RANGE + 'cadence = "film"\nphase = 5', "The phase of film is 5; it must be 0 to 4"),
        (RANGE + 'cadence = "30p"\nphase = 2', "The phase of 30p is 2; it must be 0 to 1"),
        (RANGE + 'cadence = "60i"\nphase = 0', "60i has no phase"),
        (RANGE + "phase = 1", "is without a cadence"),
        (RANGE + 'cadence = "film"\nphase = 1.5', "whole number"),
        (RANGE + 'cadence = "film"\nphase = true', "whole number"),
        (RANGE, "Nothing is said of fields 12 to 140"),
        (RANGE + "fields = [1, 2]\n", "exactly one of frames, fields, time; it has frames and fields"),
        ('[[range]]\ncadence = "film"', "exactly one of frames, fields, time; it has none"),
        ('[[range]]\nframes = [7, 7]\ncadence = "film"', "is empty"),
        ('[[range]]\nframes = [7]\ncadence = "film"', r"give first and end, as in frames = \[600, 700\]"),
        ('[[range]]\nframes = 7\ncadence = "film"', "give first and end"),
        ('[[range]]\nframes = [-1, 7]\ncadence = "film"', "-1 is no number of a frame"),
        ('[[range]]\nframes = [1.5, 7]\ncadence = "film"', "1.5 is no number of a frame"),
        ('[[range]]\nframes = [10, 2001]\ncadence = "film"', r"beyond the tape's 2000 frames \(0:01:06.733\)"),
        ('[[range]]\nframes = [1, 99999999999999999999]\ncadence = "film"', "beyond the tape"),
        ('[[range]]\ntime = ["0:00:61", "2:00"]\ncadence = "film"', "'0:00:61' is no time"),
        ('[[range]]\ntime = ["now", 7]\ncadence = "film"', "'now' is no time"),
        ('[[range]]\ntime = [1e400, 7]\ncadence = "film"', "inf is no time"),
        ('[[range]]\ntime = [nan, 7]\ncadence = "film"', "nan is no time"),
        ('[[range]]\ntime = ["1", "9999999"]\ncadence = "film"', "beyond the tape"),
        ("[[cut]]\nframe = 2000", "cut 1: frame = 2000 lies beyond"),
        ("[[cut]]\nframe = 3\nfield = 6", "exactly one of frame, field, time"),
        ("[[cut]]\nframes = 3", "has 'frames'; its keys are frame, field, time"),
        (
            RANGE + 'cadence = "film"\n[[range]]\nfields = [100, 200]\ncadence = "60i"',
            r"film at frames 6 to 70 \(0:00:00.200\) and 60i at frames 50 to 100 \(.*\) overlap and contradict",
        ),
        (
            RANGE + 'cadence = "film"\nphase = 0\n[[range]]\nfields = [101, 200]\ncadence = "film"\nphase = 0',
            "overlap and contradict each other; shorten or remove one",
        ),
    ],
)
def test_every_mistake_is_a_sentence_that_names_the_file(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "ep {0}.overrides.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CustomValueError, match=sentence) as raised:
        load_overrides(path, TAPE)
    assert "ep {0}.overrides.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_ranges_that_agree_may_overlap(tmp_path: Path) -> None:
    text = 'cadence = "film"\nphase = 0\n[[range]]\nfields = [103, 200]\ncadence = "film"\nphase = 1\n'
    assert len(read(RANGE + text + "[[range]]\nframes = [0, 90]\nnote = 'still'", tmp_path)) == 3


def test_a_folder_in_place_of_the_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ep.overrides.toml").mkdir()
    with pytest.raises(CustomError, match="cannot be read"):
        load_overrides(tmp_path / "ep.overrides.toml", TAPE)


def test_film_on_pal_has_two_phases(tmp_path: Path) -> None:
    (one,) = read(RANGE + 'cadence = "film"\nphase = 1', tmp_path, PAL)
    assert [one.place(k, PAL.fps) for k in (12, 13, 14)] == [1, 0, 1]
    with pytest.raises(CustomValueError, match="at 25 frames a second it is 0 or 1"):
        read(RANGE + 'cadence = "film"\nphase = 3', tmp_path, PAL)


@pytest.mark.parametrize("phase", range(5))
def test_the_phase_is_the_place_of_the_first_field(phase: int) -> None:
    """A drawing of 2:3, cut at each place; the phase of what is left, and where pictures begin by it."""
    fields = "AABBBCCDDDEEFFF"[phase:]
    lengths = "".join(str(fields.count(letter)) for letter in "ABCDEF" if letter in fields)
    shot = Shot(first=31, stop=31 + len(fields), kind="film", lengths=lengths, confidence=0.9)
    assert phase_of(shot, TAPE) == phase
    one = Override(first=shot.first, stop=shot.stop, kind="film", phase=phase)
    begins = [k for k in range(32, shot.stop) if one.place(k) in (0, 2)]
    assert begins == (31 + np.cumsum([int(digit) for digit in lengths])[:-1]).tolist()


def test_broken_patterns_and_video_have_no_phase() -> None:
    shots = [("film", "2222323"), ("60i", "1111"), ("layered", "1111"), ("30p", "2121")]
    for kind, lengths in shots:
        stop = sum(map(int, lengths))
        assert phase_of(Shot(first=0, stop=stop, kind=kind, lengths=lengths, confidence=1.0), TAPE) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "-", "5-", "x", "1-2-3", "9-5", "5-5", "1-2001", "1999-", "\u00b2", "1" * 50])
def test_a_stretch_that_is_none_is_a_sentence(text: str) -> None:
    for key in ("frames", "time"):
        with pytest.raises(CustomValueError):
            span(TAPE, key, text, "f")  # type: ignore[arg-type]
