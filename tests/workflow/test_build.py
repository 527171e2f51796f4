from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.base import Precision
from yolotrt.backends.loading import load_engine
from yolotrt.backends.registry import backend, engine_endings
from yolotrt.errors import ArtifactError, CalibrationError, UsageError
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges
from yolotrt.workflow.build import BuildOutcome, BuildRequest, build_engine, plan_build
from yolotrt.workflow.catalog import is_engine_name
from yolotrt.workflow.plan import BuildPlan

DEMO = Path(str(files("yolotrt.data") / "assets" / "demo-yolo26-seg.onnx"))


def _build(folder: Path, precision: Precision, **fields: object) -> tuple[BuildOutcome, list[str]]:
    said: list[str] = []
    request = BuildRequest(
        folder / "tiny.onnx",
        precision,
        engines=folder / "engines",
        calib_data=folder / "calib",
        **fields,  # type: ignore[arg-type]
    )
    return build_engine(request, say=said.append), said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_yolo(tmp_path / "tiny.onnx")
    return tmp_path


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_stays_near_the_network(folder: Path, pictures: Path, precision: Precision) -> None:
    reference, _ = _build(folder, "fp32")
    outcome, _ = _build(folder, precision, images=pictures)
    assert outcome.file.precision == precision
    heads = []
    for file in (reference.file, outcome.file):
        engine = load_engine(file)
        context = engine.new_context(2)
        context.images[:] = np.random.default_rng(0).random(context.images.shape, dtype=np.float32)
        heads.append(context.run()[0].copy())
        engine.close()
    error = np.abs(heads[0] - heads[1]).max() / np.abs(heads[0]).max()
    assert error < {"fp32": 1e-7, "fp16": 5e-3, "int8": 0.1}[precision]


def test_nothing_is_done_twice_and_every_change_is_seen(folder: Path, pictures: Path) -> None:
    assert not _build(folder, "int8", images=pictures)[0].cached
    outcome, said = _build(folder, "int8", images=pictures)
    assert outcome.cached
    assert any("cached" in line for line in said)
    assert _build(folder, "int8")[0].cached  # the cache alone suffices
    assert not _build(folder, "int8", images=pictures, force=True)[0].cached

    (pictures / "0.png").unlink()
    outcome, said = _build(folder, "int8", images=pictures)
    assert not outcome.cached
    assert any("images" in line and "changed" in line for line in said)

    write_tiny_yolo(folder / "tiny.onnx", seed=1)
    outcome, said = _build(folder, "int8", images=pictures)
    assert not outcome.cached
    assert any("model" in line and "changed" in line for line in said)


@pytest.mark.parametrize(
    ("fields", "shift"),
    [
        ({}, 0.0625),
        ({"score_shift": 0.5}, 0.5),
        ({"score_shift": 0.0}, 0.0),
        ({"exclude": ()}, 0.0),
        ({"precision": "fp8"}, 0.0),
        ({"implicit": True}, 0.0),
    ],
)
def test_scores_move_by_what_the_calibration_found_for_these_layers(
    fields: dict[str, Any], shift: float
) -> None:
    model = load_onnx(DEMO)
    request = BuildRequest(DEMO, **{"precision": "int8", **fields})
    key = CalibrationKey("", (), {}, "mse")
    ranges = CalibrationRanges({}, key, shift={"cpu": 0.0625, "gpu": 0.25})
    plan = BuildPlan(request, backend("onnxruntime"), DEMO, model, read_spec(model, "demo"), ranges)
    assert plan.score_shift == shift
    assert plan.engine().sources.get("score_shift") == (f"{shift:.4f}" if shift else None)
    assert (plan.fp32 is model) == (shift == 0.0)


def test_an_earlier_calibration_is_taken_with_a_word_of_what_it_lacks(folder: Path, pictures: Path) -> None:
    _build(folder, "int8", images=pictures)
    cache = folder / "calib" / "tiny.calib.json"
    document = json.loads(cache.read_text())
    words = {"method": "by the method of another version", "noise": "which layers", "shift": "how far scores"}
    for changes, expected in (
        ({}, ()),
        ({"method": 6}, ("method",)),
        ({"shift": {}}, ("shift",)),
        ({"noise": {"gpu": document["noise"]["gpu"]}}, ("noise",)),
    ):
        cache.write_text(json.dumps({**document, **changes}))
        _, said = _build(folder, "int8")
        told = [line for line in said if line.startswith("warning: ") and "--images" in line]
        assert [name for name, text in words.items() if any(text in line for line in told)] == list(expected)


def test_a_damaged_engine_is_built_again(folder: Path) -> None:
    path = _build(folder, "fp32")[0].file.path
    path.write_bytes(b"damaged")
    assert not _build(folder, "fp32")[0].cached
    assert _build(folder, "fp32")[0].cached


def test_int8_without_any_images_names_the_ways_out(folder: Path) -> None:
    with pytest.raises(CalibrationError) as caught:
        _build(folder, "int8")
    assert "--images DIR" in (caught.value.hint or "")


def test_the_cache_of_another_network_is_not_used(folder: Path, pictures: Path) -> None:
    _build(folder, "int8", images=pictures)
    write_tiny_yolo(folder / "tiny.onnx", seed=1)
    with pytest.raises(CalibrationError):
        _build(folder, "int8")


def test_a_failing_build_leaves_the_old_engine(folder: Path) -> None:
    old = _build(folder, "fp32")[0].file
    model = write_tiny_yolo(folder / "tiny.onnx").read_bytes()
    import onnx

    broken = onnx.load_model_from_string(model)
    broken.graph.node[0].op_type = "NoSuchOperator"
    (folder / "tiny.onnx").write_bytes(broken.SerializeToString())
    from yolotrt.errors import YoloTrtError

    with pytest.raises(YoloTrtError):
        _build(folder, "fp32")
    try:
        load_engine(old).close()
    except ArtifactError:
        pytest.fail("the old engine was damaged")


def test_an_engine_is_outdated_once_other_layers_would_stay_in_high_precision(
    folder: Path, pictures: Path
) -> None:
    request = BuildRequest(folder / "tiny.onnx", "int8", images=pictures, calib_data=folder / "calib")
    plan = plan_build(request, say=lambda _m: None)
    assert plan.ranges is not None
    noise = {style: dict.fromkeys(layers, 0.5) for style, layers in plan.ranges.noise.items()}
    other = replace(plan, ranges=replace(plan.ranges, noise=noise))
    assert plan.engine().sources != other.engine().sources
    fixed = [replace(p, request=replace(request, exclude=())) for p in (plan, other)]
    assert fixed[0].engine().sources == fixed[1].engine().sources


@pytest.mark.parametrize(
    ("precision", "fields", "option"),
    [
        ("fp8", {}, "--fp8"),
        ("int8", {"implicit": True}, "--implicit"),
        ("fp32", {"options": {"version_compatible": True}}, "--version-compatible"),
        ("fp32", {"options": {"hardware_compatible": True}}, "--hardware-compatible"),
        ("fp32", {"options": {"compute_capabilities": ("SM86",)}}, "--compute-capability"),
    ],
)
def test_what_only_tensorrt_has_is_refused_before_calibrating(
    folder: Path, pictures: Path, precision: Precision, fields: dict[str, Any], option: str
) -> None:
    with pytest.raises(UsageError, match=f"has no {option}") as caught:
        _build(folder, precision, images=pictures, backend="onnxruntime", **fields)
    assert "tensorrt" in str(caught.value.hint)
    assert not (folder / "calib").exists()


def test_where_the_network_lay_is_remembered_but_does_not_outdate_an_engine(folder: Path) -> None:
    first = _build(folder, "fp32")[0].file
    assert first.sources["onnx_file"] == str(folder / "tiny.onnx")
    other = folder / "moved"
    other.mkdir()
    (folder / "tiny.onnx").rename(other / "tiny.onnx")
    request = BuildRequest(other / "tiny.onnx", engines=folder / "engines")
    assert build_engine(request, say=lambda _m: None).cached


def test_a_backend_is_named_once_and_engines_of_the_former_name_are_still_taken(folder: Path) -> None:
    request = BuildRequest(folder / "tiny.onnx", "fp16", engines=folder / "engines")
    model = load_onnx(request.model)
    plan = BuildPlan(request, backend("fused"), request.model, model, read_spec(model, "tiny"), None)
    key = "k"
    engines = folder / "engines"
    engines.mkdir()
    assert plan._default_place(key) == engines / "tiny.fp16.fused"
    assert engine_endings("onnxruntime") == (".onnxruntime.onnx",)
    outcome, _ = _build(folder, "fp16", backend="onnxruntime")
    for name in ("tiny.fp16.fused.fused", "tiny.fp16.fused"):  # the newer one wins where both are
        (engines / name).write_bytes(outcome.file.path.read_bytes())
        sidecar = Path(f"{outcome.file.path}.json").read_text()
        (engines / f"{name}.json").write_text(sidecar)
        assert plan._default_place(key) == engines / name
        assert is_engine_name(str(engines / name))
