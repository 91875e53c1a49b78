"""Shared by all tests: a small graph, and proof helpers for the contracts that every function keeps."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator

import pytest
import vapoursynth as vs
from vapoursynth import core


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


@pytest.fixture
def assert_pure() -> Callable[[Callable[[], vs.VideoNode]], None]:
    """Check that a clip gives the same pixels in order, backwards and at random, by 1 and by 4 threads."""

    def check(build: Callable[[], vs.VideoNode]) -> None:
        threads = core.num_threads
        try:
            core.num_threads = 1
            clip = build()
            wanted = digests(clip)
            shuffled = list(range(clip.num_frames))
            random.Random(1).shuffle(shuffled)
            for count in (1, 4):
                core.num_threads = count
                for order in (sorted(wanted, reverse=True), shuffled):
                    core.clear_cache()
                    assert digests(build(), order) == wanted, f"pixels depend on order or threads ({count} threads)"
        finally:
            core.num_threads = threads

    return check


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, object], tmp_path: object) -> None:
    """What the examples in docstrings may use."""
    from fractions import Fraction

    doctest_namespace.update(core=core, vs=vs, tmp_path=tmp_path, Fraction=Fraction)
