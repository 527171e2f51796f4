"""Miniature networks in INT8, as the toolkit writes them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from tests.backends.fused.networks import Shape, yolo
from yolotrt.backends.fused.planner import Plan
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.quantization.qdq_gpu import quantize_for_gpu
from yolotrt.quantization.ranges import CalibrationKey, CalibrationRanges, TensorRange


def ranges_of(model: onnx.ModelProto, images: np.ndarray) -> CalibrationRanges:
    """Return the largest magnitudes that tensors have for some images."""
    watched = onnx.ModelProto()
    watched.CopyFrom(onnx.shape_inference.infer_shapes(model))
    names = [v.name for v in watched.graph.value_info if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    there = {o.name for o in watched.graph.output}
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n not in there)
    values = session(watched).run(names, {"images": images})
    found = {n: float(max(np.abs(v).max(), 1e-3)) for n, v in zip(names, values, strict=True)}
    found["images"] = 1.0
    key = CalibrationKey("", "", (), "", "", "")  # type: ignore[call-arg]
    return CalibrationRanges({n: TensorRange(-a, a, a) for n, a in found.items()}, key)


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options)
