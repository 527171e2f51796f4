"""The demo model through TensorRT-RTX's builder, as ``yolotrt build`` does it, in every precision."""

from __future__ import annotations

from importlib.resources import files
from typing import get_args

import cv2
import onnx
import pytest

from tests.backends.rtx_checks import computed_in, convolutions, meant_for_8_bits, never_in_8_bits
from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.layers import summarise
from yolotrt.backends.profiles import parse_profiles
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.scenes.scene import make_scene
from yolotrt.workflow.build import BuildRequest, build_planned, plan_build
from yolotrt.workflow.plan import BuildPlan
from yolotrt.workflow.precision import in_precision

pytestmark = pytest.mark.rtx
pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")

Built = dict[Precision, tuple[BuildPlan, EngineFile]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("rtx-demo")
    path = folder / "demo.onnx"
    path.write_bytes((files("yolotrt.data") / "assets" / "demo-yolo26-seg.onnx").read_bytes())
    for seed in range(2):
        cv2.imwrite(str(folder / f"{seed}.png"), make_scene(seed, (640, 640)).image)
    found: Built = {}
    for precision in get_args(Precision):
        request = BuildRequest(
            path,
            precision,
            "tensorrt-rtx",
            parse_profiles("1"),
            images=folder,
            engines=folder,
            calib_data=folder,
            options={"compute_capabilities": ("SM120",)},
        )
        plan = plan_build(request, say=lambda _m: None)
        file = build_planned(plan, say=lambda _m: None).file
        found[precision] = plan, read_engine(file.path)
    return found


def handed_over(plan: BuildPlan) -> onnx.ModelProto:
    return in_precision(plan.model, plan.spec, plan.request.precision, "gpu", plan.ranges)


@pytest.mark.parametrize(("precision", "narrow"), [("int8", "INT8"), ("fp8", "FP8")])
def test_every_convolution_meant_for_8_bits_and_no_other_runs_in_8_bits(
    built: Built, precision: Precision, narrow: str
) -> None:
    plan, file = built[precision]
    model = handed_over(plan)
    meant = meant_for_8_bits(model)
    assert computed_in(model, file.layers, narrow) == meant
    assert len(meant) > 40
    assert not meant & never_in_8_bits(plan.model, plan.spec)


def test_fp16_keeps_its_activations_fused(built: Built) -> None:
    plan, file = built["fp16"]
    model = handed_over(plan)
    summary = summarise(file.layers)
    assert summary.convolutions.get("FP16", 0) >= len(convolutions(model)) - 1
    assert all("/proto/" in name for name in summary.unfused), "only there sums come between"
    assert len(summary.unfused) <= 3
    assert len(summarise(built["int8"][1].layers).unfused) > 20, "why FP16 is the precision of TensorRT-RTX"


def test_fp32_stays_fp32(built: Built) -> None:
    assert set(summarise(built["fp32"][1].layers).convolutions) == {"FP32"}
