"""Trains a network on shards, resumes by itself, and looks for new shards as it goes. Needs torch and numpy.

    python train.py DATA RUN [--model film-2x] [--steps 20000] [--warm WEIGHTS] [--finetune]

DATA holds shard_*.npz and validation.npz from data.py. RUN gets state.pt (everything, to resume from), weights.npz (the
averaged weights, portable) and log.jsonl. Runs on CUDA where there is one, else on the processor in bf16. `--steps` may
be changed between runs: the learning rate follows a cosine over all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from net import FilmNet, Sizes, begin, build, load_weights, psnr, save_weights
from structure import Structure
from torch import Tensor, distributed

TOGETHER = 16
"""Steps that each of several processes takes before they take the mean of their weights."""


class Shards:
    """All tiles of all shards in memory, as codes; new files are taken in when they come."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seen = folder, {}
        self.rng = np.random.default_rng(seed)
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []
        self.hard: list[np.ndarray] = []
        self.look()

    def look(self) -> None:
        """Take in what has come since."""
        for path in sorted(self.folder.glob("shard_*.npz")):
            if path.name not in self.seen:
                with np.load(path) as found:
                    self.seen[path.name] = len(found["low"])
                    self.low.append(found["low"])
                    self.high.append(found["high"])
                    self.hard.append(found["hard"])

    def __len__(self) -> int:
        return sum(self.seen.values())

    def batch(self, many: int, patch: int) -> tuple[Tensor, Tensor]:
        """Patches of codes: (many, 3, patch, patch) and (many, 1, 2 patch, 2 patch)."""
        rng = self.rng
        lows, highs = np.empty((many, 3, patch, patch), np.uint8), np.empty((many, 1, 2 * patch, 2 * patch), np.uint8)
        for k in range(many):
            shard = rng.integers(len(self.low))
            n = rng.integers(len(self.low[shard]))
            low, high, hard = self.low[shard][n], self.high[shard][n], bool(self.hard[shard][n])
            y, x = (int(rng.integers(0, (low.shape[1] - patch) // 2 + 1)) * 2 for _ in range(2))
            low = low[:, y : y + patch, x : x + patch]
            high = high[2 * y : 2 * (y + patch), 2 * x : 2 * (x + patch)]
            draw = rng.random(6)
            if draw[0] < 0.5:
                low, high = low[:, :, ::-1], high[:, ::-1]
            if not hard and draw[1] < 0.5:
                low, high = low[:, ::-1], high[::-1]
            if not hard and draw[2] < 0.5:
                low, high = low.transpose(0, 2, 1), high.T
            if draw[3] < 0.5:
                low = low[::-1]
            lows[k], highs[k, 0] = low, high
            if draw[4] < 0.10:  # cuts and ends: the middle picture again
                for place in ((0,), (2,), (0, 2))[int(rng.integers(3))]:
                    lows[k, place] = lows[k, 1]
            elif draw[4] < 0.12:  # a cut that nobody noticed
                other = self.low[shard][rng.integers(len(self.low[shard]))]
                lows[k, 0 if draw[5] < 0.5 else 2] = other[1, :patch, :patch]
        return torch.from_numpy(lows), torch.from_numpy(highs)


def share(net: FilmNet, optimizer: torch.optim.Optimizer, workers: int) -> None:
    """Weights and the optimizer's moments of all processes become their mean."""
    parts = [p.data for p in net.parameters()]
    parts += [optimizer.state[p][name] for p in net.parameters() for name in ("exp_avg", "exp_avg_sq")]
    flat = torch.cat([part.reshape(-1) for part in parts])
    distributed.all_reduce(flat)
    for part, mean in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(mean.view_as(part) / workers)


def light(codes: Tensor) -> Tensor:
    """Codes of limited range to 0..1."""
    return (codes.float() - 16) / 219


def relit(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Each patch with a contrast and a brightness of its own: few films are many."""
    shape = (len(low), 1, 1, 1)
    gain = torch.empty(shape, device=low.device).uniform_(0.75, 1.15)
    still = torch.rand(shape, device=low.device)
    return (low - still) * gain + still, (high - still) * gain + still


def distance(error: Tensor) -> Tensor:
    """Charbonnier's, in codes, of each picture of a batch."""
    return ((error * 219).square() + 1).sqrt().mean((1, 2, 3)) - 1


class Validation:
    """Whole pictures, and how far Lanczos (or the disc itself, of its size) is from the truth of each."""

    def __init__(self, path: Path, device: torch.device, sizes: Sizes) -> None:
        self.items = []
        with np.load(path) as found:
            for k in range(sum(name.startswith("low_") for name in found.files)):
                low, high = (torch.from_numpy(found[f"{what}_{k}"]).to(device) for what in ("low", "high"))
                low, high = light(low)[None], sizes.truth(light(high)[None, None])
                base = sizes.base(low[:, 1:2])
                kind = str(found[f"name_{k}"]).split(" ")[0].split("_")[0]
                self.items.append((kind, low.clamp(0, 1), high, base, psnr(base, high)))

    @torch.no_grad()
    def __call__(self, net: FilmNet, *, alone: bool = False) -> dict[str, float]:
        """Gain over Lanczos in dB of each kind of picture, and of all; `alone`: with the middle picture repeated."""
        gains: dict[str, list[float]] = {}
        for kind, low, high, base, plain in self.items:
            fed = low[:, 1:2].expand(-1, 3, -1, -1) if alone else low
            gain = psnr(base + net(fed), high) - plain
            kind = kind if kind in ("photo", "tos", "video") else "effect"
            gains.setdefault(kind, []).append(gain)
        every = [gain for some in gains.values() for gain in some]
        return {
            **{kind: round(float(np.mean(some)), 3) for kind, some in gains.items()},
            "all": round(float(np.mean(every)), 3),
        }


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="film-2x")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=500, help="steps between validations")
    parser.add_argument("--warm", type=Path, help="weights to begin with, of this size or of a smaller one")
    parser.add_argument("--structure", type=float, default=0.0, help="weight of structure beside codes, 0 to 2")
    parser.add_argument("--finetune", action="store_true", help="begin from --warm at a tenth of the learning rate")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each that share a batch (CPU)")
    given = parser.parse_args()
    given.run.mkdir(parents=True, exist_ok=True)
    if given.workers == 1:
        train(0, given)
    else:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(20000 + os.getpid() % 20000))
        torch.multiprocessing.spawn(train, (given,), nprocs=given.workers)


def train(rank: int, given: argparse.Namespace) -> None:
    """One process. Several share a batch: each takes its part of it, and every TOGETHER steps they take their mean.

    On a processor that others use too, two processes of one thread are several times faster than one of two threads,
    whose every operation waits for the slower thread; and so are some steps alone than a mean of gradients each step.
    """
    workers = given.workers
    if workers > 1:
        distributed.init_process_group("gloo", rank=rank, world_size=workers)
        torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() and workers == 1 else "cpu")
    torch.manual_seed(given.seed)
    net = build(given.model).to(device, memory_format=torch.channels_last)
    sizes, structure = Sizes(net.scale, device), Structure(device)
    average = build(given.model).to(device)
    if given.warm:
        begin(net, load_weights(given.warm))
    average.load_state_dict(net.state_dict())
    peak = given.rate * (0.1 if given.finetune else 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=1e-5)
    step, seconds = 0, 0.0
    state = given.run / "state.pt"
    if state.exists():
        found = torch.load(state, map_location=device, weights_only=True)
        net.load_state_dict(found["net"])
        average.load_state_dict(found["average"])
        optimizer.load_state_dict(found["optimizer"])
        step, seconds = found["step"], found["seconds"]
    if workers > 1:
        distributed.barrier()
    shards = Shards(given.data, given.seed * 1_000_003 + 7919 * rank + step)
    validation = Validation(given.data / "validation.npz", device, sizes) if rank == 0 else None
    average.eval()

    def save() -> None:
        temporary = state.with_suffix(".part")
        torch.save(
            {
                "net": net.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "seconds": seconds + time.monotonic() - began,
            },
            temporary,
        )
        temporary.replace(state)
        save_weights(given.run / "weights.npz", average.state_dict(), _step=np.array(step))

    total, counted, saved, began = 0.0, 0, time.monotonic(), time.monotonic()
    while step < given.steps:
        warm_up = min(1.0, (step + 1) / 300)
        rate = peak * warm_up * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * step / given.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        low, high = (light(part.to(device)) for part in shards.batch(given.batch // workers, given.patch))
        low, high = relit(low, high)
        base, truth = sizes.base(low[:, 1:2]), sizes.truth(high)
        wanted = truth - base  # to the edge: a patch's edge stands for a picture's
        with torch.autocast(device.type, torch.bfloat16):
            made = net(low.clamp(0, 1).contiguous(memory_format=torch.channels_last))
        # Charbonnier in codes, each patch by what Lanczos leaves of it: a decibel counts alike on soft film and on a
        # photograph full of texture, else a network learns to sharpen what was never sharp
        left, lost = (distance(error) for error in (wanted, made.float() - wanted))
        loss = (lost / (left + 0.5)).mean()
        if given.structure:
            left, lost = structure(truth, base), structure(truth, base + made.float())
            loss = loss + given.structure * (lost / (left + 0.02)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 20.0)
        optimizer.step()
        step += 1
        if workers > 1 and step % TOGETHER == 0:
            share(net, optimizer, workers)
        if workers == 1 or step % TOGETHER == 0:
            keep = min(0.999 ** (1 if workers == 1 else TOGETHER), step / (step + 20))
            with torch.no_grad():
                for mean, now in zip(average.parameters(), net.parameters(), strict=True):
                    mean.lerp_(now, 1 - keep)
        total, counted = total + loss.item(), counted + 1
        if step % given.every == 0:
            shards.look()
        if validation is not None and (step % given.every == 0 or step == given.steps):
            line = {
                "step": step,
                "seconds": round(seconds + time.monotonic() - began),
                "loss": round(total / counted, 4),
                "rate": round(rate, 7),
                "tiles": len(shards),
                **validation(average),
                "alone": validation(average, alone=True)["all"],
            }
            with (given.run / "log.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            total, counted = 0.0, 0
        if rank == 0 and (time.monotonic() - saved > 120 or step == given.steps):
            save()
            saved = time.monotonic()
    if workers > 1:
        distributed.barrier()
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
