"""FP16: precision written into the ONNX file, so that every runtime does the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.errors import ModelError
from yolotrt.model.spec import ModelSpec
from yolotrt.model.tail import decode_tail

if TYPE_CHECKING:
    import onnx


def to_fp16(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Return the network with FP16 weights and activations; inputs and outputs stay FP32.

    Decoding stays in FP32: the spacing of FP16 numbers is half a pixel above 512 px, so boxes decoded
    in FP16 would move by that much.

    Raises:
        ModelError: The network already contains Q/DQ nodes or cannot be converted.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    keep, _ = decode_tail(model, (spec.head_output,))
    copy = type(model)()
    copy.CopyFrom(model)
    try:
        half = convert_float_to_float16(copy, keep_io_types=True, node_block_list=keep)
    except ValueError as exc:
        raise ModelError(f"{spec.name} cannot be converted to FP16 ({exc}).", hint="Use --fp32.") from exc
    sorted_model = OnnxModel(half)
    sorted_model.topological_sort()
    return sorted_model.model
