from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from tests.tiny_yolo import tiny_yolo
from yolotrt.model.onnxfile import read_spec
from yolotrt.model.precision import to_fp16
from yolotrt.model.tail import decode_tail


def _run(model: onnx.ModelProto, images: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


def test_the_tail_is_everything_behind_the_last_convolutions() -> None:
    decoding, convs = decode_tail(tiny_yolo(), ("output0",))
    assert set(convs) == {"join.head", "down4.silu.head", "down5.silu.head"}
    assert {"rows", "split", "box.px", "output0"} <= set(decoding)
    assert not {"stem.conv", "output1"} & {*decoding, *convs}


def test_fp16_keeps_inputs_outputs_and_decoding_in_fp32() -> None:
    model = tiny_yolo()
    half = to_fp16(model, read_spec(model, "tiny"))
    onnx.checker.check_model(half)
    assert {i.type.tensor_type.elem_type for i in (*half.graph.input, *half.graph.output)} == {1}
    kinds = {i.name: i.data_type for i in half.graph.initializer}
    assert kinds["stem.conv.weight"] == onnx.TensorProto.FLOAT16
    assert kinds["size"] == onnx.TensorProto.FLOAT
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)
    for full, halved in zip(_run(model, images), _run(half, images), strict=True):
        assert halved.dtype == np.float32
        assert np.abs(full - halved).max() <= 5e-3 * np.abs(full).max()


def test_the_given_network_is_left_alone() -> None:
    model = tiny_yolo()
    before = model.SerializeToString(deterministic=True)
    to_fp16(model, read_spec(model, "tiny"))
    assert model.SerializeToString(deterministic=True) == before
