"""Effects drawn at video rate, and the mattes by which one layer lies over another. Pure functions of time and seed.

May import the ground rooms. Pictures are float32 in 8-bit codes of limited range, 4:2:2: luma (height, width), chroma
(height, width / 2) with samples on the even luma columns. Nothing here knows a field: a caller asks for the instant
that a field shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ..errors import CustomValueError

__all__ = ["EFFECTS", "KEYS", "Element", "Image", "draw", "key", "over"]

type Plane = NDArray[np.float32]


class Image(NamedTuple):
    """A picture in 4:2:2."""

    y: Plane
    """Luma, 16 to 235."""
    u: Plane
    """Blue difference, 128 is neutral."""
    v: Plane
    """Red difference, 128 is neutral."""


class Element(NamedTuple):
    """A drawn effect: colour with its coverage."""

    alpha: Plane
    """Coverage of each luma sample, 0 to 1."""
    y: Plane | float
    """Luma where it covers."""
    u: Plane | float
    """Blue difference where it covers, per chroma sample or all over."""
    v: Plane | float
    """Red difference where it covers."""


def _half(alpha: Plane) -> Plane:
    """Coverage of the chroma samples: (1, 2, 1) / 4 around the even columns."""
    wide = np.pad(alpha, ((0, 0), (1, 0)), "edge")
    return np.asarray(0.25 * (wide[:, 0:-1:2] + alpha[:, 1::2]) + 0.5 * alpha[:, ::2])


def over(below: Image, element: Element) -> Image:
    """Lay an effect over a picture: below + alpha (effect - below), chroma by the coverage of its own samples.

    Raises:
        CustomValueError: The sizes differ.

    Example:
        >>> grey = Image(*(np.full((4, w), 128, np.float32) for w in (8, 4, 4)))
        >>> float(over(grey, Element(np.full((4, 8), 0.5, np.float32), 228.0, 128.0, 128.0)).y[0, 0])
        178.0
    """
    if below.y.shape != element.alpha.shape:
        raise CustomValueError(
            f"The effect is {element.alpha.shape[::-1]} and the picture {below.y.shape[::-1]}; draw it at that size.",
            over,
        )
    half = _half(element.alpha)
    return Image(
        below.y + element.alpha * (element.y - below.y),
        below.u + half * (element.u - below.u),
        below.v + half * (element.v - below.v),
    )


@lru_cache(maxsize=4)
def _grid(width: int, height: int) -> tuple[Plane, Plane]:
    """Columns and rows, as arrays that broadcast, read-only."""
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    x.flags.writeable = y.flags.writeable = False
    return x, y


@lru_cache(maxsize=4)
def _polar(width: int, height: int) -> tuple[Plane, Plane]:
    """Radius in half heights and angle about the middle; samples are taken as square."""
    x, y = _grid(width, height)
    dx, dy = (x - width / 2) / (height / 2), (y - height / 2) / (height / 2)
    radius, angle = np.hypot(dx, dy).astype(np.float32), np.arctan2(dy, dx).astype(np.float32)
    radius.flags.writeable = angle.flags.writeable = False
    return radius, angle


def _stars(t: float, width: int, height: int, seed: int) -> Element:
    rng = np.random.default_rng([seed, 7])
    n = 260
    at = rng.uniform(-1, 1, (n, 2))
    depth = 1 - (rng.uniform(0, 1, n) + 0.35 * t) % 1
    x = width / 2 + at[:, 0] * width * 0.35 / (depth + 0.05)
    y = height / 2 + at[:, 1] * height * 0.35 / (depth + 0.05)
    light = np.clip(1.3 - depth, 0, 1) * rng.uniform(0.4, 1, n)
    size = 0.6 + 0.5 * (1 - depth)
    alpha = np.zeros((height, width), np.float32)
    span = np.arange(-3, 4)
    rows = np.floor(y).astype(int)[:, None, None] + span[None, :, None]
    columns = np.floor(x).astype(int)[:, None, None] + span[None, None, :]
    distance = (rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2
    spots = light[:, None, None] * np.exp(-distance / (2 * size[:, None, None] ** 2))
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = np.broadcast_arrays(rows, columns)
    np.add.at(alpha, (rows[inside], columns[inside]), spots[inside].astype(np.float32))
    return Element(np.minimum(alpha, 1), 235.0, 130.0, 127.0)


def _wormhole(t: float, width: int, height: int, seed: int) -> Element:
    radius, angle = _polar(width, height)
    turn = float(np.random.default_rng([seed, 8]).uniform(0, 6.28))
    log = np.log(radius + 0.06)
    arms = np.sin(3 * angle + 5 * log - 7 * t + turn)
    threads = np.sin(11 * angle - 13 * log + 11 * t)
    glow = np.exp(-3.2 * radius)
    light = np.clip(0.25 + 0.55 * arms * (0.6 + 0.4 * threads) + 1.3 * glow, 0, 1)
    alpha = np.asarray(light * np.clip(1.25 - 1.1 * radius, 0, 1), dtype=np.float32)
    return Element(alpha, 110 + 120 * light, 128 + 38 * (1 - light[:, ::2]), 128 - 22 * (1 - light[:, ::2]))


def _phaser(t: float, width: int, height: int, seed: int) -> Element:
    x, y = _grid(width, height)
    rng = np.random.default_rng([seed, 9])
    ax, ay = width * rng.uniform(0, 0.2), height * rng.uniform(0.6, 0.95)
    bx = width * (0.75 + 0.1 * np.sin(2.1 * t))
    by = height * (0.3 + 0.2 * np.sin(3.3 * t + 1))
    dx, dy = bx - ax, by - ay
    long = float(np.hypot(dx, dy))
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / long**2, 0, 1)
    distance = np.hypot(x - ax - along * dx, y - ay - along * dy)
    flicker = 0.8 + 0.2 * np.sin(97 * t) + 0.0 * along
    alpha = flicker * (np.exp(-((distance / 2.0) ** 2)) + 0.35 * np.exp(-((distance / 11) ** 2)))
    light = np.exp(-((distance / 2.5) ** 2))
    return Element(
        np.clip(alpha, 0, 1).astype(np.float32),
        (150 + 80 * light).astype(np.float32),
        (70 + 40 * light[:, ::2]).astype(np.float32),
        (205 - 50 * light[:, ::2]).astype(np.float32),
    )


def _ship(t: float, width: int, height: int, seed: int) -> Element:
    x, y = _grid(width, height)
    rng = np.random.default_rng([seed, 10])
    speed = width * rng.uniform(0.22, 0.4) * (1 if rng.random() < 0.5 else -1)
    span = width * 1.5
    cx = (width * 0.3 + speed * t + 0.25 * width) % span - 0.25 * width
    cy = height * (0.45 + 0.12 * np.sin(1.3 * t + rng.uniform(0, 6)))
    tilt = 0.12 * np.sin(0.9 * t)
    scale = height / 480
    px = ((x - cx) * np.cos(tilt) + (y - cy) * np.sin(tilt)) / scale
    py = (-(x - cx) * np.sin(tilt) + (y - cy) * np.cos(tilt)) / scale
    saucer = (np.hypot(px / 120, py / 22) - 1) * 22
    hull = np.maximum(np.abs(px + 70) - 70, np.abs(py - 34) - 9)
    nacelle = np.maximum(np.abs(px + 105) - 62, np.abs(py + 38) - 7)
    strut = np.maximum(np.abs(px + 0.25 * py + 88) - 5, np.abs(py) - 38)
    distance = np.minimum(np.minimum(saucer, hull), np.minimum(nacelle, strut)) * scale
    alpha = np.clip(0.5 - distance, 0, 1)
    panels = 12 * np.sign(np.sin(px / 4.0)) + 10 * np.sign(np.sin(py / 2.2))
    windows = (np.abs(py - 4) < 1.6) & (np.mod(px, 11) < 4)
    y_value = np.where(windows, 230, 128 - 1.4 * py + panels)
    glow = np.clip(1 - np.abs(py + 38) / 8, 0, 1)[:, ::2]
    return Element(alpha.astype(np.float32), y_value.astype(np.float32), (130 + 40 * glow).astype(np.float32), 126.0)


@lru_cache(maxsize=4)
def _text(lines: tuple[str, ...], width: int, scale: float) -> Plane:
    """Lines of text, centred, as coverage: VapourSynth's own bitmap letters, enlarged."""
    columns, rows = max(map(len, lines)) + 2, len(lines)
    text = "\n".join(line.center(columns) for line in lines)
    blank = core.std.BlankClip(width=columns * 8 + 32, height=rows * 16 + 32, format=vs.GRAY8, length=1)
    small = blank.text.Text(text, 5)
    big = small.resize.Bicubic(width, round(small.height * scale), vs.GRAYS, range_in_s="full", range_s="full")
    with big.get_frame(0) as frame:
        return np.clip(np.asarray(frame[0]), 0, 1)


_TITLE = ("TEARS OF STEEL", "", "a simulated tape")
_CREDITS = (
    "PRODUCED BY",
    "Ton Roosendaal",
    "",
    "DIRECTED AND WRITTEN BY",
    "Ian Hubert",
    "",
    "A FILM OF THE",
    "Blender Foundation",
    "",
    "mango.blender.org",
    "Creative Commons Attribution 3.0",
    "",
    "FIELDS, PICTURES, SHOTS",
    "29.97   23.976   59.94",
    "",
    "",
)


def _titles(t: float, width: int, height: int, seed: int) -> Element:
    text = _text(_TITLE, width, 2.4)
    alpha = np.zeros((height, width), np.float32)
    top = max(0, height * 2 // 3 - len(text) // 2)
    part = text[: height - top]
    light = np.float32(0.5 - 0.5 * np.cos(1.7 * t + 0.4))
    alpha[top : top + len(part)] = part * light
    return Element(alpha, 232.0, 128.0, 128.0)


def _credits(t: float, width: int, height: int, seed: int) -> Element:
    text = _text(_CREDITS, width, 2.0)
    speed = float(np.random.default_rng([seed, 11]).choice([53.0, 59.94, 95.0, 120.5]))
    at = speed * t + 0.2 * len(text)
    first = np.floor(at)
    part = np.float32(at - first)
    rows = (np.arange(height + 1) + int(first)) % len(text)
    lines = text[rows]
    return Element(lines[:-1] * (1 - part) + lines[1:] * part, 230.0, 128.0, 128.0)


EFFECTS: dict[str, Callable[[float, int, int, int], Element]] = {
    "stars": _stars,
    "wormhole": _wormhole,
    "phaser": _phaser,
    "ship": _ship,
    "titles": _titles,
    "credits": _credits,
}
"""stars: fly-through of points; wormhole: turning, glowing swirl; phaser: a flickering beam that sweeps; ship: hard
edges, fine panels and windows on the move; titles: lettering that fades in and out; credits: lettering that scrolls
up at a speed in lines a second which the seed picks."""


def draw(effect: str, t: float, width: int, height: int, *, seed: int = 0) -> Element:
    """One of `EFFECTS` at `t` seconds.

    Raises:
        CustomValueError: There is no such effect.

    Example:
        >>> draw("stars", 0.5, 64, 48).alpha.shape
        (48, 64)
    """
    if effect not in EFFECTS:
        raise CustomValueError(f"There is no effect {effect!r}; use one of {', '.join(EFFECTS)}.", draw)
    return EFFECTS[effect](t, width, height, seed)


KEYS: dict[str, str] = {
    "window": "a rectangle with soft edges that drifts: a screen within the picture",
    "ellipse": "a hard-edged ellipse that drifts: an actor before another plate",
    "split": "the right half, behind a soft vertical edge: a split screen",
    "dissolve": "all over, its coverage grows from 0 to 1 through the shot, field by field",
}
"""How a layer may lie over those below, with what it looks like."""


def key(name: str, t: float, progress: float, width: int, height: int, *, seed: int = 0) -> Plane:
    """The matte of one of `KEYS`: at `t` seconds of its layer, `progress` (0 to 1) through the shot.

    Raises:
        CustomValueError: There is no such key.

    Example:
        >>> float(key("dissolve", 0.0, 0.25, 8, 8)[0, 0])
        0.25
    """
    x, y = _grid(width, height)
    turn = float(np.random.default_rng([seed, 12]).uniform(0, 6.28))
    cx, cy = width * (0.5 + 0.14 * np.sin(1.1 * t + turn)), height * (0.5 + 0.06 * np.cos(0.8 * t + turn))
    if name == "window":
        inside = np.minimum(width * 0.24 - np.abs(x - cx), height * 0.27 - np.abs(y - cy))
        alpha = np.clip(inside / 3, 0, 1)
    elif name == "ellipse":
        alpha = np.clip(
            0.5 + (1 - np.hypot((x - cx) / (width * 0.22), (y - cy) / (height * 0.38))) * height * 0.3, 0, 1
        )
    elif name == "split":
        alpha = np.clip((x - width / 2) / 4 + 0.5, 0, 1) + 0 * y
    elif name == "dissolve":
        alpha = np.full((height, width), progress)
    else:
        raise CustomValueError(f"There is no key {name!r}; use one of {', '.join(KEYS)}.", key)
    return np.asarray(alpha, np.float32)
