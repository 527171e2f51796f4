"""How much of a network's work its Q/DQ pairs have in INT8."""

from __future__ import annotations

import onnx

from yolotrt.quantization.graph import WEIGHTED, GraphView


def int8_work(model: onnx.ModelProto, graph: onnx.ModelProto) -> float:
    """Return which part of the convolutions' multiply-adds a Q/DQ graph has in INT8."""
    view, quantized = GraphView(model), GraphView(graph)
    in_int8 = {
        n.name
        for n in quantized.nodes
        if n.op_type in WEIGHTED
        and all(
            p is not None and p.op_type == "DequantizeLinear"
            for p in map(quantized.producer.get, n.input[:2])
        )
    }
    work = {n.name: view.multiply_adds(n) for n in view.nodes if n.op_type in WEIGHTED}
    return sum(work[name] for name in in_int8) / sum(work.values())
