"""The part of the network behind its last convolutions: where detections are decoded.

Found by walking back from the outputs and not by node names, which change with every exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def decode_tail(model: onnx.ModelProto, outputs: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Split the end of the network into decoding nodes and the convolutions that feed them.

    Args:
        model: The network; every node has a name.
        outputs: Outputs to walk back from, usually only the detection head.

    Returns:
        Names of the nodes that decode (boxes, scores, top-k, the final Concat), and names of the head's
        output convolutions. The distribution-focal-loss convolution of YOLOv8 and YOLO11, a fixed
        weighted sum, counts as decoding.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    weights = {i.name: i for i in model.graph.initializer}
    decoding: dict[str, None] = {}
    convs: dict[str, None] = {}
    pending = list(outputs)
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.name in decoding or node.name in convs:
            continue
        if node.op_type in {"Conv", "ConvTranspose"} and not _is_dfl(node, weights):
            convs[node.name] = None
            continue
        decoding[node.name] = None
        pending.extend(node.input)
    return list(decoding), list(convs)


def _is_dfl(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Whether a convolution is the fixed expectation sum(i * p_i) over box-distance bins."""
    from onnx import numpy_helper

    kernel = weights.get(node.input[1])
    if kernel is None or len(kernel.dims) != 4 or kernel.dims[0] != 1:
        return False
    values = numpy_helper.to_array(kernel).ravel()
    return bool(np.array_equal(values, np.arange(len(values), dtype=values.dtype)))
