"""Shared by all tests: a small graph, and proof helpers for the contracts that every function keeps."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from hypothesis import settings
from vapoursynth import core

collect_ignore = ["tests/benchmarks"]
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Four threads at least, so that frames are in flight together on a small machine too.

    A hook, not a line of the module: test_api's thread test imports this file in processes that set their own count
    first, and dfttest2 aborts the process when the number of threads is lowered after its workers began.
    """
    core.num_threads = max(core.num_threads, 4)


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    """Frames of earlier tests leave the cache, so that memory stays flat through the suite."""
    core.max_cache_size = 1024
    yield
    core.clear_cache()


def digest(frame: vs.VideoFrame) -> str:
    """Hash of a frame's pixels."""
    h = hashlib.blake2b(digest_size=12)
    for plane in range(frame.format.num_planes):
        h.update(memoryview(frame[plane]).tobytes())
    return h.hexdigest()


def digests(clip: vs.VideoNode, order: list[int] | None = None) -> dict[int, str]:
    """Hashes of the frames asked for, in that order."""
    found = {}
    for n in range(clip.num_frames) if order is None else order:
        with clip.get_frame(n) as frame:
            found[n] = digest(frame)
    return found


def photograph(width: int, height: int, *, sharp: float, contrast: float, seed: int = 11) -> vs.VideoNode:
    """One frame of a photograph's spectrum (1/f, damped beyond `sharp` cycles a sample), YUV444P8, tagged NTSC."""
    rng = np.random.default_rng(seed)
    distance = np.maximum(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]), 1 / 64)
    damped = np.exp(-((distance / sharp) ** 2)) / distance
    grey = np.real(np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * damped))
    grey = (118 + grey * contrast / grey.std()).clip(16, 235).astype(np.uint8)
    blank = core.std.BlankClip(format=vs.YUV444P8, width=width, height=height, length=1, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for plane in range(3):
            np.asarray(out[plane])[:] = grey if plane == 0 else 128 + (grey.astype(int) - 118) // 8
        return out

    return core.std.ModifyFrame(blank, blank, fill).std.SetFrameProps(_Matrix=6, _Range=0)


@pytest.fixture
def assert_pure() -> Callable[[Callable[[], vs.VideoNode]], None]:
    """Check that a clip gives the same pixels in order, backwards, and at random with four frames in flight.

    The number of threads stays, see `pytest_configure`: one against four is tested in processes of their own, by
    test_api.
    """

    def check(build: Callable[[], vs.VideoNode]) -> None:
        wanted = digests(build())
        core.clear_cache()
        assert digests(build(), sorted(wanted, reverse=True)) == wanted, "pixels depend on the order"
        core.clear_cache()
        clip, shuffled, found = build(), list(wanted), {}
        random.Random(1).shuffle(shuffled)
        for k in range(0, len(shuffled), 4):
            flying = [(n, clip.get_frame_async(n)) for n in shuffled[k : k + 4]]
            found.update({n: digest(future.result()) for n, future in flying})
        assert found == wanted, "pixels depend on what else is asked for"

    return check


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object], tmp_path: object) -> None:
    """What the examples in docstrings may use."""
    from fractions import Fraction

    doctest_namespace.update(core=core, vs=vs, tmp_path=tmp_path, Fraction=Fraction)


@pytest.fixture(scope="session")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated hybrid disc of 3 s, analysed and measured: its VIDEO_TS, with map and grain model beside it."""
    from ds9vs.cadence import analyse
    from ds9vs.finish.geometry import crop
    from ds9vs.grain import measure_grain
    from ds9vs.ivtc import ivtc
    from ds9vs.restore import beside
    from ds9vs.simulate import Layer, ShotSpec, TapeSpec, make_tape, sample_footage
    from ds9vs.simulate.disc import make_disc
    from ds9vs.source import source

    folder = tmp_path_factory.mktemp("hybrid")
    film, ship = Layer(stop=30), Layer(kind="60i", effect="ship")
    video = Layer(kind="60i", start=5, stop=30, step=0, pan=(80.0, 10.0))
    shots = (
        ShotSpec(fields=81, layers=(film,)),
        ShotSpec(fields=40, layers=(video,)),
        ShotSpec(fields=59, layers=(film, ship)),
    )
    truth = make_tape(TapeSpec(shots=shots, seed=4), [sample_footage()], folder, show=False)
    disc = make_disc(
        folder / "tape.mkv", folder / "disc", telecine="mixed", cadence=truth.cadence(), iso=False
    ).video_ts
    tape = source(disc)
    cadence = analyse(tape, save=beside(disc, "cadence"), progress=False)
    pictures = crop(ivtc(tape, cadence), left=8, right=8)
    measure_grain(pictures, pictures=8).save(beside(disc, "grain"))
    return disc
