"""Scores networks on the pictures of validation.npz: luma PSNR and SSIMULACRA2 over Lanczos, ours beside others'.

    python onnx_models/training/judge.py VALIDATION.npz MODEL... [--sheet OUT.png] [--backend ov-cpu] [--only tos]

Runs in the package's environment, through `upscale()`'s own parts and without the guard, so that the networks
themselves are compared. A MODEL is a name of the registry or an .onnx file. Networks of three pictures get the stored
neighbours; `--sheet` puts truth, Lanczos and each model side by side. Networks that do not enlarge go together, and are
judged on the truth halved.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray
from vapoursynth import core

from ds9vs.measures import ssimulacra2
from ds9vs.upscale.backend import infer
from ds9vs.upscale.network import Network
from ds9vs.upscale.registry import load_model
from ds9vs.upscale.tile import plan_tiles

type Plane = NDArray[np.float32]

BORDER = 8
"""Samples at the edge that do not count."""


def clip_of(plane: Plane) -> vs.VideoNode:
    """A GRAYS clip of one picture."""
    height, width = plane.shape
    blank = core.std.BlankClip(format=vs.GRAYS, width=width, height=height, length=1)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        np.asarray(f[0])[:] = plane
        return f

    return blank.std.ModifyFrame(blank, paint)


def plane_of(clip: vs.VideoNode) -> Plane:
    """Its first plane."""
    with clip.get_frame(0) as frame:
        return np.array(frame[0])


def made_of(low: Plane, network: Network | None, scale: int, backend: str) -> Plane:
    """The middle of three pictures (0 to 1), enlarged by a scale."""
    middle = clip_of(low[1])
    base = middle.resize.Lanczos(scale * middle.width, scale * middle.height)
    if network is None:
        return plane_of(base)
    pictures = [clip_of(np.clip(one, 0, 1)) for one in low]
    if not network.luma_only:
        pictures = [core.std.ShufflePlanes([one] * 3, [0] * 3, vs.RGB) for one in pictures]
    fed = pictures if network.frames == 3 else [pictures[1]]
    made, _ = infer(fed, network, plan_tiles(network, middle.width, middle.height), backend=backend)
    if network.output == "residual":
        return plane_of(base) + plane_of(made)
    if not network.luma_only:
        made = made.resize.Point(format=vs.YUV444PS, matrix=6)
    return plane_of(made)


def psnr(a: Plane, b: Plane) -> float:
    """Decibels, of codes 0 to 255 where 219 are from black to white."""
    inner = (slice(BORDER, -BORDER),) * 2
    return float(-10 * np.log10(np.mean(((a - b)[inner] * 219 / 255) ** 2)))


def score(truth: Plane, made: Plane) -> float:
    """SSIMULACRA2 of the luma."""
    inner = (slice(BORDER, -BORDER),) * 2

    def grey(plane: Plane) -> vs.VideoNode:
        one = clip_of(np.clip(plane[inner], 0, 1))
        rgb = core.std.ShufflePlanes([one] * 3, [0] * 3, vs.RGB)
        return rgb.resize.Bicubic(format=vs.YUV444P16, matrix=1).std.SetFrameProps(_Matrix=1, _Transfer=1, _Primaries=1)

    return float(np.mean(ssimulacra2(grey(truth), grey(made))))


def write_png(path: Path, picture: Plane) -> None:
    """A grey PNG of 0 to 1."""
    codes = np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
    height, width = codes.shape
    raw = b"".join(b"\0" + row.tobytes() for row in codes)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("validation", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--backend", default="ov-cpu")
    parser.add_argument("--only", default="", help="pictures whose name holds this")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--crop", type=int, default=160, help="side of the crops on the sheet, enlarged twice")
    given = parser.parse_args()
    networks: dict[str, Network | None] = {"Lanczos": None}
    networks |= {Path(name).stem: load_model(name, "judge") for name in given.models}
    scales = {network.scale for network in networks.values() if network}
    if len(scales) != 1:
        raise SystemExit(f"These networks enlarge by {sorted(scales)}; judge those of one scale together.")
    scale = scales.pop()
    rows: dict[str, list[tuple[str, float, float]]] = {name: [] for name in networks}
    sheet = []
    with np.load(given.validation) as found:
        for k in range(sum(name.startswith("low_") for name in found.files)):
            name = str(found[f"name_{k}"])
            if given.only not in name:
                continue
            low, truth = ((found[f"{what}_{k}"].astype(np.float32) - 16) / 219 for what in ("low", "high"))
            if scale == 1:
                truth = plane_of(clip_of(truth).resize.Bicubic(low.shape[2], low.shape[1]))
            shown = [truth]
            for label, network in networks.items():
                made = made_of(low, network, scale, given.backend)
                kind = name.split(" ")[0].split("_")[0]
                kind = kind if kind in ("photo", "tos", "video") else "effect"
                rows[label].append((kind, psnr(made, truth), score(truth, made)))
                shown.append(made)
            # the crop with the most fine detail
            fine = np.abs(np.diff(truth, axis=0))[:, 1:] + np.abs(np.diff(truth, axis=1))[1:]
            side = given.crop
            places = [
                (y, x) for y in range(0, truth.shape[0] - side + 1, 32) for x in range(0, truth.shape[1] - side + 1, 32)
            ]
            y, x = max(places, key=lambda at: fine[at[0] : at[0] + side, at[1] : at[1] + side].mean())
            cuts = [np.kron(one[y : y + side, x : x + side], np.ones((2, 2), np.float32)) for one in shown]
            sheet.append(np.hstack(cuts))
    kinds = ["photo", "tos", "video", "effect"]
    print(f"{'':22}" + "".join(f"{kind:>16}" for kind in [*kinds, "all"]))
    for label, found_rows in rows.items():
        text = ""
        for kind in [*kinds, "all"]:
            some = [(a, b) for what, a, b in found_rows if kind in (what, "all")]
            mean = np.mean(some, 0) if some else (float("nan"),) * 2
            text += f"{mean[0]:9.2f}{mean[1]:7.1f}"
        print(f"{label:22}{text}", flush=True)
    if given.sheet:
        write_png(given.sheet, np.vstack(sheet))


if __name__ == "__main__":
    main()
