"""FP16: precision written into the ONNX file, so that every runtime does the same.

Everything up to the last convolutions becomes FP16; detections are decoded in FP32, because the
spacing of FP16 numbers is half a pixel above 512 px and boxes would move by that much. Q/DQ nodes keep
their integers and get FP16 scales, as ONNX asks for from opset 19 on and TensorRT for strong typing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from yolotrt.errors import ModelError
from yolotrt.model.spec import ModelSpec
from yolotrt.model.tail import decode_tail

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float16).max)

ALWAYS_FP32 = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that ONNX defines as FP32 whatever the type of the data: regions and scale factors."""

SCALED = ("QuantizeLinear", "DequantizeLinear")


def to_fp16(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Return the network with FP16 weights and activations; inputs and outputs stay FP32.

    Args:
        model: The network in FP32, with or without Q/DQ nodes. Not changed.
        spec: Its interface.

    Raises:
        ModelError: It holds weights beyond FP16's range, or nested graphs.
    """
    keep, _ = decode_tail(model, (spec.head_output,))
    return _Conversion(model, set(keep), spec.name).run()


class _Conversion:
    """One walk through the graph in topological order.

    Every float tensor has an FP32 and an FP16 version; each is made when first asked for.
    """

    def __init__(self, model: onnx.ModelProto, keep: set[str], name: str) -> None:
        from onnx import numpy_helper, shape_inference

        self.name = name
        self.keep = keep
        self.result = type(model)()
        self.result.CopyFrom(model)
        inferred = shape_inference.infer_shapes(model).graph
        values = [*inferred.input, *inferred.value_info, *inferred.output]
        self.types = {v.name: v.type.tensor_type.elem_type for v in values}
        self.constants: dict[str, npt.NDArray[np.float32]] = {}
        for tensor in model.graph.initializer:
            if tensor.data_type == tensor.FLOAT:
                self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in model.graph.node:
            if node.op_type == "Constant" and node.attribute[0].t.data_type == self._float_type(half=False):
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        floats = [v.name for v in model.graph.input if self._is_float(v.name)]
        self.single: dict[str, str] = {name: name for name in [*floats, *self.constants]}
        self.half: dict[str, str] = {}
        self.made: dict[str, str] = {}  # constants in FP16, and what they were made from
        self.outputs = {o.name for o in model.graph.output}

    def run(self) -> onnx.ModelProto:
        graph = self.result.graph
        nodes = list(graph.node)
        del graph.node[:], graph.value_info[:]
        for node in nodes:
            self._convert(node)
        for name in self.outputs - set(self.single):
            if name in self.half:
                self._cast(self.half[name], name, self._float_type(half=False))
        self._drop_unused()
        self._restore_names()
        return self.result

    def _convert(self, node: onnx.NodeProto) -> None:
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise self._refusal(f"node {node.name} ({node.op_type}) holds a nested graph")
        half = node.name not in self.keep
        exempt = ALWAYS_FP32.get(node.op_type, ())
        reads_floats = False
        for i, name in enumerate(node.input):
            if name not in self.single and name not in self.half:
                continue
            up = node.op_type in SCALED and i == 1
            node.input[i] = self._as_half(name, up) if half and i not in exempt else self._as_single(name)
            reads_floats = reads_floats or i not in exempt
        for i, name in enumerate(node.output):
            if not name or not self._is_float(name):
                continue
            if half and reads_floats:
                self.half[name] = f"{name}.fp16" if name in self.outputs else name
                node.output[i] = self.half[name]
            else:
                self.single[name] = name
        if half and reads_floats and node.op_type == "Cast":
            self._retarget(node)
        self.result.graph.node.append(node)

    def _is_float(self, name: str) -> bool:
        if not self.types.get(name):
            raise self._refusal(f"the type of {name} is unknown")
        return bool(self.types[name] == self._float_type(half=False))

    def _retarget(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == self._float_type(half=False):
                attribute.i = self._float_type(half=True)

    def _as_single(self, name: str) -> str:
        if name not in self.single:
            self.single[name] = self._cast(self.half[name], f"{name}.fp32", self._float_type(half=False))
        return self.single[name]

    def _as_half(self, name: str, up: bool) -> str:
        if name in self.constants:
            return self._half_constant(name, up)
        if name not in self.half:
            self.half[name] = self._cast(self.single[name], f"{name}.fp16", self._float_type(half=True))
        return self.half[name]

    def _half_constant(self, name: str, up: bool) -> str:
        from onnx import numpy_helper

        key = f"{name}.fp16up" if up else f"{name}.fp16"
        if key not in self.made:
            value = self.constants[name]
            if value.size and not float(np.abs(value).max()) <= LARGEST:
                raise self._refusal(f"{name} holds values beyond {LARGEST:.0f}")
            rounded = _rounded_up(value) if up else value.astype(np.float16)
            self.result.graph.initializer.append(numpy_helper.from_array(rounded, key))
            self.made[key] = name
        return key

    def _cast(self, source: str, target: str, to: int) -> str:
        from onnx import helper

        cast = helper.make_node("Cast", [source], [target], name=f"cast {target}", to=to)
        self.result.graph.node.append(cast)
        return target

    def _float_type(self, *, half: bool) -> int:
        from onnx import TensorProto

        return int(TensorProto.FLOAT16 if half else TensorProto.FLOAT)

    def _used(self) -> set[str]:
        return {i for node in self.result.graph.node for i in node.input} | self.outputs

    def _drop_unused(self) -> None:
        graph, used = self.result.graph, self._used()
        initializers = [t for t in graph.initializer if t.name in used]
        nodes = [n for n in graph.node if n.op_type != "Constant" or n.output[0] in used]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(initializers)
        graph.node.extend(nodes)

    def _restore_names(self) -> None:
        """Give weights that are used in FP16 alone their own names back."""
        used = self._used()
        versions = list(self.made.values())
        back = {h: n for h, n in self.made.items() if n not in used and versions.count(n) == 1}
        for tensor in self.result.graph.initializer:
            tensor.name = back.get(tensor.name, tensor.name)
        for node in self.result.graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = back.get(name, name)

    def _refusal(self, reason: str) -> ModelError:
        return ModelError(f"{self.name} cannot be converted to FP16: {reason}.", hint="Use --fp32.")


def _rounded_up(scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Round quantisation scales to FP16 but never down: a smaller scale would clip the largest values."""
    half = scale.astype(np.float16)
    return np.where(half.astype(np.float32) < scale, np.nextafter(half, np.float16(np.inf)), half).astype(
        np.float16
    )
