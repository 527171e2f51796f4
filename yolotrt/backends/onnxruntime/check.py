"""What ONNX Runtime's first run of a network must show before it becomes an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.backends.base import BuildConfig
from yolotrt.errors import BuildError
from yolotrt.model.finite import first_not_finite

if TYPE_CHECKING:
    import onnx

ROUNDS_FP16 = (1, 30)
"""First ONNX Runtime whose QuantizeLinear rounds FP16 values on a processor."""


def require_finite_outputs(session: Any, model: onnx.ModelProto, config: BuildConfig) -> None:
    """Run a random picture; a network that overflows in this precision is refused with the layer's name.

    Args:
        session: A session of the network.
        model: The network.
        config: What is built.

    Raises:
        BuildError: An output holds NaN or infinity, or has not the shape that the file declares.
    """
    spec = config.spec
    width, height = spec.input_wh
    picture = np.random.default_rng(0).random((spec.batch or 1, 3, height, width), np.float32)
    inputs = {spec.input_name: picture}
    outputs = session.run([spec.head_output, spec.proto_output], inputs)
    declared = {output.name: output.shape[1:] for output in session.get_outputs()}
    for name, values in zip((spec.head_output, spec.proto_output), outputs, strict=True):
        if list(values.shape[1:]) != declared[name] or len(values) != len(picture):
            raise BuildError(
                f"The output {name!r} of {spec.name} is {list(values.shape)} for {len(picture)} picture(s); "
                f"the file declares {declared[name]} for each.",
                hint="The network does not compute what it declares: yolotrt export WEIGHTS.pt",
            )
        if not np.isfinite(values).all():
            layer = first_not_finite(model, inputs) or "a layer that only overflows when layers are fused"
            raise BuildError(
                f"The output {name!r} of {spec.name} in {config.precision} holds NaN or infinity; "
                f"the first to make one is {layer}.",
                hint="Build it with --fp32; if that says the same, the weights are broken.",
            )


def require_rounding(model: onnx.ModelProto, config: BuildConfig) -> None:
    """Refuse FP16 values before a QuantizeLinear where they would be cut off instead of rounded.

    ONNX Runtime before 1.30 does so on a processor; it doubled the loss of a network's integers. Only
    networks that came with Q/DQ nodes of their own have both: ours stay FP32 on a processor.
    """
    import onnxruntime as ort

    version = tuple(int(part) for part in ort.__version__.split(".")[:2])
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    half = any(tensor.data_type == tensor.FLOAT16 for tensor in model.graph.initializer)
    if half and quantized and version < ROUNDS_FP16:
        raise BuildError(
            f"ONNX Runtime {ort.__version__} cuts FP16 values off where {config.spec.name} quantises them.",
            hint="Use onnxruntime 1.30 or newer, which rounds them.",
        )
