"""An ONNX network for one image as plain nodes with known shapes: what the planner walks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolotrt.backends.fused.integers import Integers, stored_integers
from yolotrt.backends.fused.node import Node as Node
from yolotrt.backends.fused.node import refusal as refusal

if TYPE_CHECKING:
    import onnx


PASSING_ON = ("Cast", "Identity", "QuantizeLinear", "DequantizeLinear")
"""Operators whose result the planner takes for what they read."""


class NetworkGraph:
    """A network for one image.

    Attributes:
        model: The same as ONNX, with a batch of one.
        nodes: In topological order, constants left out.
        constants: Values of initializers and constant nodes.
        integers: Constants that are INT8 with a scale per channel, by the name of their FP32 values, which
            are among the constants too.
        shapes: Of every tensor.
        makers: The node that writes a tensor.
        readers: The nodes that read a tensor.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import helper, numpy_helper, shape_inference

        fixed = type(model)()
        fixed.CopyFrom(model)
        del fixed.graph.value_info[:]
        for value in (*fixed.graph.input, *fixed.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 1
        self.model = shape_inference.infer_shapes(fixed, data_prop=True)
        graph = self.model.graph
        self.constants: dict[str, npt.NDArray[Any]] = {
            t.name: numpy_helper.to_array(t) for t in graph.initializer
        }
        self.nodes: list[Node] = []
        self.integers: dict[str, Integers] = {}
        for node in graph.node:
            given = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
            if node.op_type == "Constant" and "value" in given:
                self.constants[node.output[0]] = numpy_helper.to_array(given["value"])
                continue
            made = Node(node.op_type, node.name, list(node.input), list(node.output), given)
            if not stored_integers(made, self.constants, self.integers):
                self.nodes.append(made)
        self.shapes = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.input, *graph.value_info, *graph.output)
        }
        self.makers = {name: n for n in self.nodes for name in n.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def constant(self, node: Node, index: int) -> npt.NDArray[Any]:
        """Return the values of an input that must be constant.

        Raises:
            BuildError: It is computed.
        """
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self.constants:
            raise refusal(node, f"its input {index} is computed, not constant")
        return self.constants[name]

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read a tensor, also behind nodes that pass it on as it is."""
        found = []
        for node in self.readers.get(name, []):
            found += self.consumers(node.outputs[0]) if node.op in PASSING_ON else [node]
        return found

    def ancestors(self, tensors: Iterable[str], until: Iterable[str] = ()) -> list[Node]:
        """Return the nodes that tensors depend on, in order, stopping at the tensors ``until``."""
        stop, pending, found = set(until), list(tensors), set()
        while pending:
            name = pending.pop()
            node = None if name in stop else self.makers.get(name)
            if node is None or id(node) in found:
                continue
            found.add(id(node))
            pending.extend(node.inputs)
        return [n for n in self.nodes if id(n) in found]

    def run(self, inputs: dict[str, npt.NDArray[Any]], outputs: list[str]) -> list[npt.NDArray[Any]]:
        """Compute some tensors from others with ONNX Runtime on the processor.

        Args:
            inputs: Values by tensor name, in FP32 whatever the network's type.
            outputs: Tensors to return.
        """
        import onnxruntime as ort
        from onnx import TensorProto, helper, numpy_helper

        nodes = self.ancestors(outputs, until=inputs)
        wanted = {n.name for n in nodes}
        part = [n for n in self.model.graph.node if n.name in wanted]
        used = {i for n in part for i in n.input}
        inside: set[str] = {o for n in part for o in n.output}
        weights = [
            _single(numpy_helper.from_array(v, k)) for k, v in self.constants.items() if k in used - inside
        ]
        made = [_retyped(n) for n in part]
        typed = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in inputs.items()]
        results = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(made, "part", typed, results, weights)
        opsets = list(self.model.opset_import)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        fed = {name: np.asarray(value, np.float32) for name, value in inputs.items()}
        found: list[npt.NDArray[Any]] = session.run(outputs, fed)
        return found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _single(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Return a tensor in FP32 if it is FP16."""
    from onnx import numpy_helper

    if tensor.data_type != tensor.FLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)


def _retyped(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return a node that computes in FP32: casts to FP16 go to FP32."""
    made = type(node)()
    made.CopyFrom(node)
    for attribute in made.attribute:
        if attribute.name == "to" and attribute.i == 10:
            attribute.i = 1
    return made
