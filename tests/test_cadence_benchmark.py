"""The cadence benchmark: a perfect map makes no error, each kind of error counts once, a clone can run it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ds9vs.cadence.model import Cadence
from ds9vs.simulate import Layer, ShotSpec, TapeSpec, plan_truth, sample_footage
from tests.benchmarks.cadence.score import (
    NAMES,
    Output,
    Sheet,
    confusion,
    f1_of,
    interval,
    kinds,
    of_cadence,
    reliability,
    right,
    score,
    tally,
)
from tests.benchmarks.cadence.tapes import RECIPES, SETTINGS, Material, random_spec, read_footage


@pytest.fixture(scope="module")
def material() -> Material:
    return read_footage([sample_footage()])


def sheet_of(spec: TapeSpec) -> Sheet:
    """The truth of a tape all of whose pictures differ."""
    truth = plan_truth(spec)
    return Sheet(truth=truth, looks=truth.shown)


FILM = TapeSpec(shots=(ShotSpec(fields=40, layers=(Layer(phase=0),)),))


def counts(output: Output, sheet: Sheet) -> dict[str, int]:
    return dict(zip(NAMES, tally(output, sheet).sum(0).tolist(), strict=True))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", RECIPES)
def test_a_perfect_map_makes_no_error(name: str, settings: str, material: Material) -> None:
    sheet = sheet_of(random_spec(SETTINGS[settings][name], material, 600, 5))
    cadence = sheet.truth.cadence()
    found = counts(of_cadence(cadence), sheet)
    assert found["lost"] == found["repeated"] == found["woven"] == found["false"] == 0
    assert found["film"] > 50
    assert found["right"] == found["frames"]
    assert found["near_right"] == found["near"]
    assert found["found"] == found["combed"]
    assert right(cadence, sheet).all()
    assert f1_of(confusion(kinds(cadence, len(sheet.looks)), sheet).sum(0)) == 1


def test_each_error_counts_once() -> None:
    sheet = sheet_of(FILM)
    true = of_cadence(sheet.truth.cadence())
    assert [counts(true, sheet)[k] for k in ("film", "lost", "repeated", "woven", "false")] == [16, 0, 0, 0, 0]
    assert counts(true[:5] + true[6:], sheet)["lost"] == 1
    assert counts([*true[:5], true[5], *true[5:]], sheet)["repeated"] == 1
    mixed = [(true[5][0][:1] + true[6][0][:1], False)]
    assert counts(true[:5] + mixed + true[6:], sheet)["woven"] == 1
    assert counts([*true[:5], (true[5][0][:1], True), *true[6:]], sheet)["false"] == 1
    assert score(true, sheet.truth, sheet.looks).right == 40


def test_film_called_video_is_wrong_and_repeated() -> None:
    sheet = sheet_of(FILM)
    cadence = sheet.truth.cadence()
    video = Cadence(tape=cadence.tape, shots=(replace(cadence.shots[0], kind="60i", lengths="1" * 40),))
    found = counts(of_cadence(video), sheet)
    assert found["repeated"] == 40 - 16
    assert found["right"] == 0
    assert not right(video, sheet).any()
    assert f1_of(confusion(kinds(video, 40), sheet).sum(0)) == 0


def test_a_still_has_no_phase() -> None:
    sheet = sheet_of(TapeSpec(shots=(ShotSpec(fields=40, layers=(Layer(phase=0, step=0),)),)))
    pairs: Output = [((2 * n, 2 * n + 1), False) for n in range(20)]
    found = counts(pairs, sheet)
    assert found["lost"] == found["repeated"] == found["woven"] == 0
    assert found["right"] == found["frames"] == 20
    assert not sheet.told.any()


def test_intervals_hold_what_was_counted() -> None:
    low, high = interval(np.array([0, 3, 0, 0]), np.array([100, 100, 100, 100]))
    assert low == 0 < 3 / 400 < high  # all in one shot: the next tape may have none
    assert interval(np.zeros(4, int), np.full(4, 100))[1] == pytest.approx(0.0095, abs=1e-4)
    sure = reliability(np.array([0.999, 1.0, 0.6]), np.array([True, False, True]))
    assert [(b.pictures, b.right) for b in sure if b.pictures] == [(1, 1), (2, 1)]


def test_a_clone_can_run_it(tmp_path: Path) -> None:
    folder = Path(__file__).parent / "benchmarks" / "cadence"
    command = [sys.executable, str(folder), "--frames", "24", "--tapes", "short", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "cadence.json").read_text())
    assert set(table["rows"]["all"]) >= {"ds9vs native", "oracle native", "TFM+TDecimate", "zit", "ffmpeg"}
    assert table["rows"]["all"]["oracle native"]["wrong"] == 0
    assert abs(table["rows"]["all"]["ds9vs native"]["late"]) < 1e-9
    assert "| all" in (tmp_path / "cadence.md").read_text()
