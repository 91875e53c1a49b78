"""What an eye compares of two pictures, as a term to train on: structure around each place, and edges gained or lost.

After SSIMULACRA 2 (J. Sneyers, Cloudinary, 2022): at several sizes, the map of structural similarity, where its luma
term does not depend on brightness, and how much each sample leaves its surroundings, with more or with less than the
truth. Here of luma alone, of codes as they are, with means in place of its fitted weights. Needs torch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SIGMA = 1.5
SIZES = 3
"""Whole, half and quarter of the size."""
SMALL = 0.0009


def gaussian(sigma: float) -> Tensor:
    """A line of weights, (n,)."""
    reach = math.ceil(2.5 * sigma)
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma * sigma))
    return line / line.sum()


def blur(x: Tensor, line: Tensor) -> Tensor:
    """(B, C, H, W) along both axes, edges mirrored."""
    many, reach = x.shape[1], len(line) // 2
    x = F.pad(x, (reach,) * 4, mode="reflect")
    x = F.conv2d(x, line.view(1, 1, 1, -1).expand(many, 1, 1, -1), groups=many)
    return F.conv2d(x, line.view(1, 1, -1, 1).expand(many, 1, -1, 1), groups=many)


class Structure:
    """What of the truth's structure each picture of a batch lacks."""

    def __init__(self, device: torch.device) -> None:
        self.line = gaussian(SIGMA).to(device)

    def __call__(self, truth: Tensor, made: Tensor) -> Tensor:
        """(B, 1, H, W) of 0 to 1 each, to (B,): 0 is the same."""
        total = torch.zeros(len(truth), device=truth.device)
        for size in range(SIZES):
            if size:
                truth, made = F.avg_pool2d(truth, 2), F.avg_pool2d(made, 2)
            means = blur(torch.cat([truth, made, truth * truth, made * made, truth * made], 1), self.line)
            a, b, aa, bb, ab = means.split(1, 1)
            alike = (1 - (a - b).square()) * (2 * (ab - a * b) + SMALL) / (aa - a * a + bb - b * b + SMALL)
            lacks = (1 - alike).clamp(min=0)
            edges = ((1 + (made - b).abs()) / (1 + (truth - a).abs()) - 1).abs()
            total = total + lacks.mean((1, 2, 3)) + (lacks.pow(4).mean((1, 2, 3)) + 1e-8).pow(0.25) / 4
            total = total + 4 * edges.mean((1, 2, 3))
        return total / SIZES
