"""Finishes a faithful network into one with more bite: the energy of detail, and a small critic. Needs torch and numpy.

    python detail.py DATA RUN --warm film-2x.onnx [--steps 1000]

Two terms join the fidelity of train.py: the contrast of fine detail in small neighbourhoods shall be the truth's (a
faithful network gives the mean of all it cannot know, which is flat), and a critic of 0.1 million parameters, who sees
only detail over its local contrast beside what Lanczos gives, shall not tell it from the truth. The gradient of each,
at the last layer, is held to a share of that of the fidelity, so that neither can ever lead. RUN gets what train.py
writes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from net import Sizes, build, load_weights, save_weights
from structure import blur, gaussian
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from train import Shards, Validation, distance, light

SHARES = {"energy": 1.5, "critic": 0.5}
"""Of the fidelity's gradient at the last layer, for each of the other terms."""
RAMP = 300
"""Steps until the critic has its whole share: it must learn first."""


class Looks:
    """What the two terms look at."""

    def __init__(self, device: torch.device) -> None:
        self.fine, self.near = gaussian(1.0).to(device), gaussian(2.5).to(device)

    def detail(self, x: Tensor) -> Tensor:
        """What is finer than a Gaussian of one sample of the enlargement, in codes."""
        return 219 * (x - blur(x, self.fine))

    def energy(self, detail: Tensor) -> Tensor:
        """Its contrast around each sample, in codes."""
        return (blur(detail.square(), self.near) + 0.25).sqrt()


class Critic(nn.Module):
    """Detail over local contrast, beside Lanczos's: a score for each place."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((2, 32, 2), (32, 48, 1), (48, 64, 2), (64, 64, 1)):
            layers += [spectral_norm(nn.Conv2d(before, after, 3, stride, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(64, 1, 3, 1, 1)))

    def forward(self, detail: Tensor, plain: Tensor) -> Tensor:
        """(B, 1, H, W) each."""
        return self.layers(torch.cat([detail, plain], 1))


def norm_at(loss: Tensor, weight: Tensor) -> Tensor:
    """Length of a loss's gradient at the last layer."""
    return torch.autograd.grad(loss, weight, retain_graph=True)[0].norm()


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="film-2x")
    parser.add_argument("--warm", type=Path, required=True, help="the faithful network's weights")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--patch", type=int, default=56)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--every", type=int, default=250)
    given = parser.parse_args()
    given.run.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(given.seed)
    looks = Looks(device)
    net, average = (build(given.model).to(device) for _ in range(2))
    net = net.to(memory_format=torch.channels_last)
    for one in (net, average):
        one.load_state_dict(load_weights(given.warm))
    sizes = Sizes(net.scale, device)
    critic = Critic().to(device)
    makers = torch.optim.AdamW(net.parameters(), lr=given.rate, betas=(0.9, 0.99), weight_decay=0)
    judges = torch.optim.AdamW(critic.parameters(), lr=2 * given.rate, betas=(0.5, 0.99), weight_decay=0)
    step, state = 0, given.run / "state.pt"
    if state.exists():
        found = torch.load(state, map_location=device, weights_only=True)
        for name, one in (
            ("net", net),
            ("average", average),
            ("critic", critic),
            ("makers", makers),
            ("judges", judges),
        ):
            one.load_state_dict(found[name])
        step = found["step"]
    shards = Shards(given.data, given.seed * 1_000_003 + step)
    validation = Validation(given.data / "validation.npz", device, sizes)
    average.eval()
    sums, counted, began, saved = np.zeros(4), 0, time.monotonic(), time.monotonic()
    scales = dict.fromkeys(SHARES, 0.0)
    while step < given.steps:
        rate = given.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / given.steps)))
        for optimizer, factor in ((makers, 1), (judges, 2)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        low, high = (light(part.to(device)) for part in shards.batch(given.batch, given.patch))
        base = sizes.base(low[:, 1:2])
        with torch.autocast(device.type, torch.bfloat16):
            added = net(low.clamp(0, 1).contiguous(memory_format=torch.channels_last))
        made = base + added.float()
        left, lost = distance(high - base), distance(made - high)
        faithful = (lost / (left + 0.5)).mean()
        true, ours, plain = (looks.detail(x) for x in (high, made, base))
        energy_true, energy_ours = looks.energy(true), looks.energy(ours)
        energy = (energy_ours.log() - energy_true.log()).abs().mean()
        contrast = energy_true.detach() + 1  # one measure for both, or the critic sees the contrast alone
        with torch.autocast(device.type, torch.bfloat16):
            fooled = -critic(ours / contrast, plain / contrast).float().mean()
        if step % 10 == 0:
            aim = norm_at(faithful, net.tail.weight)
            for name, loss in (("energy", energy), ("critic", fooled)):
                part = (SHARES[name] * aim / (norm_at(loss, net.tail.weight) + 1e-12)).item()
                scales[name] = part if step == 0 else 0.8 * scales[name] + 0.2 * part
        ramp = min(1.0, step / RAMP)
        makers.zero_grad(set_to_none=True)
        (faithful + scales["energy"] * energy + ramp * scales["critic"] * fooled).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        makers.step()
        with torch.autocast(device.type, torch.bfloat16):
            real = critic(true / contrast, plain / contrast).float()
            fake = critic(ours.detach() / contrast, plain / contrast).float()
        told = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        judges.zero_grad(set_to_none=True)
        told.backward()
        judges.step()
        step += 1
        with torch.no_grad():
            for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                mean.lerp_(now, 1 - min(0.998, step / (step + 20)))
            ratio = (energy_ours.mean() / energy_true.mean()).item()
        sums += np.array([faithful.item(), energy.item(), told.item(), ratio])
        counted += 1
        if step % given.every == 0 or step == given.steps:
            shards.look()
            means = dict(
                zip(("loss", "energy", "critic", "contrast"), np.round(sums / counted, 4).tolist(), strict=True)
            )
            line = {"step": step, "seconds": round(time.monotonic() - began), **means, **validation(average)}
            with (given.run / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            sums, counted = np.zeros(4), 0
        if time.monotonic() - saved > 120 or step == given.steps:
            parts = {"net": net, "average": average, "critic": critic, "makers": makers, "judges": judges}
            torch.save(
                {**{name: one.state_dict() for name, one in parts.items()}, "step": step}, state.with_suffix(".part")
            )
            state.with_suffix(".part").replace(state)
            save_weights(given.run / "weights.npz", average.state_dict(), _step=np.array(step))
            saved = time.monotonic()


if __name__ == "__main__":
    main()
