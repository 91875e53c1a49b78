"""The network: three neighbouring luma pictures in, what is to be added to the middle one, enlarged or not, out.

Needs torch, and onnx to read one that was exported.

Everything but its ends runs at half the size of the disc: a convolution of 6x6 and stride 2 takes the pictures apart
(the same as space-to-depth and 3x3), residual blocks of two 3x3 convolutions follow, and a last one gives 4x4 samples
of an enlargement by 2 at each place, or 2x2 of the picture itself.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = {"film-2x": (48, 10, 2), "film-2x-large": (64, 16, 2), "dvd-clean": (48, 10, 1)}
"""Channels, residual blocks and scale of each model."""


class Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Same size, same channels."""
        return x + self.second(F.relu(self.first(x)))


class FilmNet(nn.Module):
    """(B, 3, H, W) of 0 to 1 to a residual (B, 1, scale H, scale W); untrained it gives nothing, which is Lanczos."""

    def __init__(self, channels: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, channels, 6, stride=2, padding=2)
        self.body = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.tail = nn.Conv2d(channels, 4 * scale * scale, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Even height and width."""
        return F.pixel_shuffle(self.tail(self.body(self.head(x))), 2 * self.scale)


TAIL = ("tail.weight", "tail.bias")


def build(name: str) -> FilmNet:
    """A model by its name, untrained."""
    return FilmNet(*SIZES[name])


def begin(net: FilmNet, weights: dict[str, Tensor]) -> None:
    """Give a network the weights of one of its size, or of a smaller one, of which it then gives every output.

    New channels begin with features of their own that nothing listens to yet, new blocks with adding nothing. One that
    does not enlarge begins with the mean of each 2x2 samples of one that does.
    """
    grown = net.state_dict()
    if len(weights["tail.bias"]) > len(grown["tail.bias"]):
        tail = {name: weights[name].unflatten(0, (2, 2, 2, 2)).mean((1, 3)).flatten(0, 1) for name in TAIL}
        weights = weights | tail
    for name, small in weights.items():
        big = grown[name]
        if big.ndim == 4:
            big[: small.shape[0], small.shape[1] :] = 0
            big[: small.shape[0], : small.shape[1]] = small
        else:
            big[: small.shape[0]] = small
    for name, big in grown.items():
        if name not in weights and ".second." in name:
            big.zero_()
    net.load_state_dict(grown)


class Sizes:
    """What a network's residual is added to, and what both together shall be."""

    def __init__(self, scale: int, device: torch.device) -> None:
        self.scale, self.kernels, self.half = scale, lanczos_kernels().to(device), halving_kernel().to(device)

    def base(self, middle: Tensor) -> Tensor:
        """(B, 1, H, W) enlarged by Lanczos, or itself; edges repeated."""
        if self.scale == 1:
            return middle
        return F.pixel_shuffle(F.conv2d(F.pad(middle, (3, 3, 3, 3), mode="replicate"), self.kernels), 2)

    def truth(self, high: Tensor) -> Tensor:
        """(B, 1, 2H, 2W) itself, or halved; edges repeated."""
        if self.scale == 2:
            return high
        return F.conv2d(F.pad(high, (3, 3, 3, 3), mode="replicate"), self.half, stride=2)


def lanczos_kernels() -> Tensor:
    """(4, 1, 7, 7): what a 2x enlargement by Lanczos of 3 taps, centres aligned, takes for each of its 2x2 samples."""
    phases = []
    for at in (-0.25, 0.25):
        away = np.arange(-3, 4) - at
        weights = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
        phases.append(weights / weights.sum())
    return torch.tensor(np.stack([np.outer(y, x) for y in phases for x in phases])[:, None], dtype=torch.float32)


def halving_kernel() -> Tensor:
    """(1, 1, 8, 8): a reduction to half by the Catmull-Rom cubic, centres aligned."""
    x = np.abs(np.arange(-3.5, 4)) / 2
    line = np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)
    return torch.tensor(np.outer(line, line)[None, None] / line.sum() ** 2, dtype=torch.float32)


def save_weights(path: Path, weights: dict[str, Tensor], **extra: np.ndarray) -> None:
    """Weights as .npz of fp32, by way of a temporary file."""
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez(file, **{k: v.detach().float().cpu().numpy() for k, v in weights.items()}, **extra)
    temporary.replace(path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote, without the extras (their names begin with an underscore), or what `export.py` did."""
    if path.suffix == ".onnx":
        import onnx
        from onnx import numpy_helper

        return {t.name: torch.tensor(numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
    with np.load(path) as found:
        return {k: torch.from_numpy(found[k]) for k in found.files if not k.startswith("_")}


def psnr(a: Tensor, b: Tensor, border: int = 8) -> float:
    """Of luma 0 to 1, without the border, in decibels of 8-bit codes' whole range (219 codes are 1)."""
    error = ((a - b)[..., border:-border, border:-border] * 219 / 255).square().mean().item()
    return -10 * math.log10(max(error, 1e-12))
