"""Tiles: how a picture is cut for a network, so that no seam shows and memory suffices.

May import the ground rooms, `network` and `devices`. Tiles are cut and pasted by the plugins, never blended: what keeps
seams away is an overlap as wide as the network looks. Mind that vs-mlrt 17.1 crops its `overlap` argument off the
*output* tile unscaled, so that a network of 2x needs twice the source pixels there (seen with every runtime; with the
plain number upconv_7_photo shows seams of 2.6 codes). All else here speaks of source pixels; `Tiling` has the product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import vapoursynth as vs

from ..errors import CustomValueError
from .devices import total_memory
from .network import Network

__all__ = ["Tiling", "pad_to", "plan_tiles"]

type Func = Callable[..., Any] | str
type Size = int | tuple[int, int] | None

SMALLEST = 16
"""Pixels: smaller pictures are padded to it, as some runtimes fail on a few pixels."""
MEMORY_SHARE = 0.4
"""Part of the machine's memory that one run of a network may take before it is cut into tiles."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a picture goes through a network."""

    picture: tuple[int, int]
    """Width and height after padding, a multiple of the network's alignment."""
    tile: tuple[int, int]
    """Width and height of a tile; that of the picture when it goes whole."""
    overlap: tuple[int, int]
    """The plugins' argument: source pixels that are thrown away at each inner border, times the network's scale."""

    @property
    def whole(self) -> bool:
        """Whether the picture goes through in one piece."""
        return self.tile == self.picture


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
        CustomValueError: The tile is no multiple of the network's alignment, or not larger than twice the overlap.

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
    asked = (network.overlap,) * 2 if overlap is None else _pair(overlap, "overlap", 0, func)
    shared = asked[0] * network.scale, asked[1] * network.scale
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
        cut = _fewest(network, picture, shared, total_memory() * MEMORY_SHARE)
    else:
        cut = _pair(tile, "tile", SMALLEST, func)
        if any(size % network.align for size in cut):
            raise CustomValueError(
                f"tile is {cut[0]}x{cut[1]}; {network.name!r} needs multiples of {network.align}.", func
            )
        cut = min(cut[0], picture[0]), min(cut[1], picture[1])
    if cut == picture:
        return Tiling(picture=picture, tile=cut, overlap=(0, 0))
    # an axis that is not cut shares nothing
    used = tuple(0 if c == p else s for c, p, s in zip(cut, picture, shared, strict=True))
    if any(c <= 2 * s for c, s in zip(cut, used, strict=True)):
        raise CustomValueError(
            f"tile is {cut[0]}x{cut[1]}, overlap {asked[0]}x{asked[1]}; a tile of {network.name!r} must be larger than "
            f"{2 * network.scale} times the overlap.",
            func,
        )
    return Tiling(picture=picture, tile=cut, overlap=(used[0], used[1]))


def _fewest(network: Network, picture: tuple[int, int], shared: tuple[int, int], budget: float) -> tuple[int, int]:
    """The fewest equal tiles whose memory fits; the smallest that make sense where none does."""
    pieces = [1, 1]
    while True:
        sizes = []
        for axis in (0, 1):
            each = -(-(picture[axis] + (pieces[axis] - 1) * 2 * shared[axis]) // pieces[axis])
            sizes.append(min(-(-each // network.align) * network.align, picture[axis]))
        smallest = all(size <= 4 * max(s, SMALLEST) for size, s in zip(sizes, shared, strict=True))
        if sizes[0] * sizes[1] * network.memory <= budget or smallest:
            return sizes[0], sizes[1]
        longer = 0 if sizes[0] >= sizes[1] else 1
        pieces[longer] += 1


def pad_to(clip: vs.VideoNode, size: tuple[int, int]) -> vs.VideoNode:
    """Widen a clip on the right and below to a size, mirroring the picture; untouched if it has that size."""
    if (clip.width, clip.height) == size:
        return clip
    return clip.resize.Point(*size, src_width=size[0], src_height=size[1])
