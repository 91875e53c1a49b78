"""Tiles: how a picture is cut for a network and put together again, so that no seam shows and memory suffices.

May import the ground rooms, `network` and `devices`. Tiles go through the runtimes as pictures of their own, and are
cut and pasted here: vs-mlrt 17.1 crops its `overlap` argument off the output tile unscaled, so that a network of 2x
needs twice the source pixels there, one of 4x four times, and it blends nothing. Where an overlap is as wide as the
network looks tiles are cut in its middle, and nothing differs; where it is not, they fade into each other there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import vapoursynth as vs
from vapoursynth import core

from .. import plugins
from ..errors import CustomRuntimeError, CustomValueError
from .devices import total_memory
from .network import Network

__all__ = ["Tiling", "cut", "divisions", "pad_to", "paste", "plan_tiles", "smaller"]

type Func = Callable[..., Any] | str
type Size = int | tuple[int, int] | None

SMALLEST = 16
"""Pixels: smaller pictures are padded to it, as some runtimes fail on a few pixels."""
MEMORY_SHARE = 0.4
"""Part of the machine's memory that one run of a network may take before it is cut into tiles."""
WORTH = 0.8
"""Tiles are measured where they have less than this part of the pixels of the next larger ones."""
FEATHER = 8
"""Source pixels to each side of a cut over which tiles fade into each other, beyond the overlap."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a picture goes through a network."""

    picture: tuple[int, int]
    """Width and height after padding, a multiple of the network's alignment."""
    tile: tuple[int, int]
    """Width and height of a tile; that of the picture when it goes whole."""
    overlap: tuple[int, int]
    """Source pixels that are thrown away at each inner border at least; 0 on an axis that is not cut."""
    align: int = 1
    """Tiles begin at multiples of this."""
    feather: int = 0
    """Source pixels to each side of a cut over which tiles fade into each other, where they share so many."""

    @property
    def whole(self) -> bool:
        """Whether the picture goes through in one piece."""
        return self.tile == self.picture

    def starts(self, axis: int) -> list[int]:
        """Where the tiles begin on an axis (0 across, 1 down), spread evenly."""
        rest = self.picture[axis] - self.tile[axis]
        if not rest:
            return [0]
        step = (self.tile[axis] - 2 * self.overlap[axis]) // self.align * self.align
        count = -(-rest // step)
        return [round(k * rest / count / self.align) * self.align for k in range(count + 1)]


def _pair(value: int | tuple[int, int], name: str, least: int, func: Func) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise CustomValueError(f"{name} is {value!r}; give pixels, or (width, height), of at least {least}.", func)
    return pair[0], pair[1]


def plan_tiles(
    network: Network, width: int, height: int, *, tile: Size = None, overlap: Size = None, func: Func = "plan_tiles"
) -> Tiling:
    """Decide the tiles for a picture: whole where memory allows, else as few as possible of equal size.

    Args:
        network: What runs.
        width: Of the picture, in pixels.
        height: Of the picture.
        tile: Width and height of a tile in source pixels; one number for both. None: by memory.
        overlap: Source pixels that tiles share on each side. None: the network's receptive field, up to 64.
        func: The public function that asks, named in errors.

    Raises:
        CustomValueError: The tile is no multiple of the network's alignment, or hardly larger than twice the overlap.

    Example:
        >>> from pathlib import Path
        >>> net = Network(name="x", path=Path("x.onnx"), sha256="", scale=2, channels=3, align=4, overlap=8)
        >>> plan_tiles(net, 350, 240, tile=(128, 128)).tile
        (128, 128)
        >>> plan_tiles(net, 350, 240).picture
        (352, 240)
    """

    def up(size: int) -> int:
        return -(-max(size, SMALLEST) // network.align) * network.align

    picture = up(width), up(height)
    shared = (network.overlap,) * 2 if overlap is None else _pair(overlap, "overlap", 0, func)
    if network.fixed:
        if tile is not None and _pair(tile, "tile", 1, func) != network.fixed:
            raise CustomValueError(
                f"{network.name!r} takes {network.fixed[0]}x{network.fixed[1]} only; drop tile=.", func
            )
        cut = network.fixed
        picture = max(picture[0], cut[0]), max(picture[1], cut[1])
        if overlap is None:  # a small network of one size gives what it has
            shared = min(shared[0], (cut[0] - 1) // 3), min(shared[1], (cut[1] - 1) // 3)
    elif tile is None:
        cut = _fewest(network, picture, _kept(network, shared), total_memory() * MEMORY_SHARE)
    else:
        cut = _pair(tile, "tile", SMALLEST, func)
        if any(size % network.align for size in cut):
            raise CustomValueError(
                f"tile is {cut[0]}x{cut[1]}; {network.name!r} needs multiples of {network.align}.", func
            )
        cut = min(cut[0], picture[0]), min(cut[1], picture[1])
    found = _tiling(network, picture, cut, shared)
    if found is None:
        raise CustomValueError(
            f"tile is {cut[0]}x{cut[1]}, overlap {shared[0]}x{shared[1]}; a tile of {network.name!r} must be larger "
            f"than 2 times the overlap by {network.align} at least.",
            func,
        )
    return found


def _tiling(
    network: Network, picture: tuple[int, int], tile: tuple[int, int], shared: tuple[int, int]
) -> Tiling | None:
    """The tiling of such tiles; None where one would hold nothing but overlap. An axis that is not cut shares none."""
    used = [0 if t == p else s for t, p, s in zip(tile, picture, shared, strict=True)]
    if any(t - 2 * s < network.align for t, s in zip(tile, used, strict=True)):
        return None
    return Tiling(
        picture=picture, tile=tile, overlap=(used[0], used[1]), align=network.align, feather=_feather(network, shared)
    )


def _feather(network: Network, shared: tuple[int, int]) -> int:
    """Tiles fade where they may differ: the network looks further than they share, and they share something."""
    exact = network.radius is not None and network.radius <= min(shared)
    return 0 if exact or not min(shared) else FEATHER


def _kept(network: Network, shared: tuple[int, int]) -> tuple[int, int]:
    """What tiles of a size that is chosen here share on each side: the overlap, and room to fade."""
    more = _feather(network, shared)
    across, down = (-(-(one + more) // network.align) * network.align for one in shared)
    return across, down


def _fewest(network: Network, picture: tuple[int, int], shared: tuple[int, int], budget: float) -> tuple[int, int]:
    """The fewest equal tiles whose memory fits; the smallest that make sense where none does."""
    pieces = [1, 1]
    while True:
        sizes = _equal(network, picture, shared, pieces)
        smallest = all(size <= 4 * max(s, SMALLEST) for size, s in zip(sizes, shared, strict=True))
        if sizes[0] * sizes[1] * network.memory <= budget or smallest:
            return sizes
        longer = 0 if sizes[0] >= sizes[1] else 1
        pieces[longer] += 1


def smaller(network: Network, tiling: Tiling) -> Tiling | None:
    """What to try where memory did not suffice: equal tiles of about a quarter of the pixels, or the smallest.

    Returns:
        The tiling; None where there is none smaller that makes sense.

    Example:
        >>> from pathlib import Path
        >>> net = Network(name="x", path=Path("x.onnx"), sha256="", scale=2, channels=3, overlap=8)
        >>> less = smaller(net, plan_tiles(net, 720, 480))
        >>> less.tile, less.overlap
        ((376, 256), (8, 8))
    """
    if network.fixed:
        return None
    shared = tiling.overlap[0] or network.overlap, tiling.overlap[1] or network.overlap
    area = tiling.tile[0] * tiling.tile[1]
    cut = _fewest(network, tiling.picture, _kept(network, shared), area * network.memory / 3)
    return _tiling(network, tiling.picture, cut, shared) if cut[0] * cut[1] < area else None


def divisions(network: Network, width: int, height: int) -> list[Tiling]:
    """The ways to cut a picture that are worth a measurement: whole, and in 2, 4 and 6 equal tiles.

    Example:
        >>> from pathlib import Path
        >>> net = Network(name="x", path=Path("x.onnx"), sha256="", scale=2, channels=3, overlap=8)
        >>> [one.tile for one in divisions(net, 720, 480)]
        [(720, 480), (376, 480), (376, 256), (262, 256)]
    """
    whole = plan_tiles(network, width, height, tile=network.fixed or (width, height))
    if network.fixed:
        return [whole]
    shared = (network.overlap,) * 2
    found = [whole]
    for pieces in ((2, 1), (2, 2), (3, 2)):
        tile = _equal(network, whole.picture, _kept(network, shared), pieces)
        one = _tiling(network, whole.picture, tile, shared)
        if one is not None and tile[0] * tile[1] < WORTH * found[-1].tile[0] * found[-1].tile[1]:
            found.append(one)
    return found


def _equal(
    network: Network, picture: tuple[int, int], shared: tuple[int, int], pieces: Sequence[int]
) -> tuple[int, int]:
    """Width and height of so many equal tiles across and down, which share what they must."""
    sizes = []
    for axis in (0, 1):
        each = -(-(picture[axis] + (pieces[axis] - 1) * 2 * shared[axis]) // pieces[axis])
        sizes.append(min(-(-each // network.align) * network.align, picture[axis]))
    return sizes[0], sizes[1]


def pad_to(clip: vs.VideoNode, size: tuple[int, int]) -> vs.VideoNode:
    """Widen a clip on the right and below to a size, mirroring the picture; untouched if it has that size."""
    if (clip.width, clip.height) == size:
        return clip
    return clip.resize.Point(*size, src_width=size[0], src_height=size[1])


def cut(clip: vs.VideoNode, tiling: Tiling) -> vs.VideoNode:
    """The tiles of each picture in turn, line by line; the clip itself where pictures go whole.

    Example:
        >>> clip = core.std.BlankClip(format=vs.RGBS, width=64, height=48, length=3)
        >>> tiles = cut(clip, Tiling(picture=(64, 48), tile=(40, 32), overlap=(8, 8)))
        >>> tiles.width, tiles.height, tiles.num_frames
        (40, 32, 12)
    """
    if tiling.whole:
        return clip
    places = [(x, y) for y in tiling.starts(1) for x in tiling.starts(0)]
    return core.std.Interleave([clip.std.CropAbs(*tiling.tile, *place) for place in places], modify_duration=False)


def paste(tiles: vs.VideoNode, tiling: Tiling, scale: int, *, func: Func = "paste") -> vs.VideoNode:
    """Pictures out of what a network made of their tiles; RGBS or GRAYS.

    Args:
        tiles: `scale` times the size of a tile.
        tiling: As they were cut.
        scale: Of the network.
        func: The public function that asks, named in errors.

    Raises:
        CustomRuntimeError: The tiles have another size.

    Example:
        >>> clip = core.std.BlankClip(format=vs.RGBS, width=64, height=48, length=3)
        >>> tiling = Tiling(picture=(64, 48), tile=(40, 32), overlap=(8, 8))
        >>> back = paste(cut(clip, tiling), tiling, 1)
        >>> back.width, back.height, back.num_frames
        (64, 48, 3)
    """
    wanted = tiling.tile[0] * scale, tiling.tile[1] * scale
    if (tiles.width, tiles.height) != wanted:
        raise CustomRuntimeError(f"it gave {tiles.width}x{tiles.height} instead of {wanted[0]}x{wanted[1]}", func)
    if tiling.whole:
        return tiles
    columns, lines = len(tiling.starts(0)), len(tiling.starts(1))
    many = columns * lines
    parts = [tiles.std.SelectEvery(many, k, modify_duration=False) for k in range(many)]
    rows = [_joined(parts[k * columns : (k + 1) * columns], tiling, 0, scale, func) for k in range(lines)]
    return _joined(rows, tiling, 1, scale, func)


def _joined(parts: list[vs.VideoNode], tiling: Tiling, axis: int, scale: int, func: Func) -> vs.VideoNode:
    """Tiles side by side (axis 0) or one below the other, cut or faded in the middle of what they share."""
    starts = tiling.starts(axis)
    if len(starts) == 1:
        return parts[0]
    expr = plugins.require("akarin.Expr", func)
    nearest = min(after - before for before, after in pairwise(starts))

    def piece(number: int, begin: int, end: int) -> vs.VideoNode:
        at, size = (begin - starts[number]) * scale, (end - begin) * scale
        part = parts[number]
        return part.std.CropAbs(*((size, part.height, at, 0) if axis == 0 else (part.width, size, 0, at)))

    pieces, begin = [], 0
    for number, after in enumerate(starts[1:]):
        shared = starts[number] + tiling.tile[axis] - after
        middle = after + shared // 2
        fade = max(0, min(tiling.feather, (shared - 2 * tiling.overlap[axis]) // 2, nearest // 2))
        if middle - fade > begin:
            pieces.append(piece(number, begin, middle - fade))
        if fade:
            pair = [piece(one, middle - fade, middle + fade) for one in (number, number + 1)]
            pieces.append(expr(pair, f"y x - {'XY'[axis]} 0.5 + {2 * fade * scale} / * x +"))
        begin = middle + fade
    pieces.append(piece(len(starts) - 1, begin, tiling.picture[axis]))
    return core.std.StackHorizontal(pieces) if axis == 0 else core.std.StackVertical(pieces)
