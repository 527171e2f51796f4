"""The network of an ONNX file as a torch module: ``torch.compile`` is measured on the very same layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def captured(model: onnx.ModelProto, images: np.ndarray) -> tuple[Any, Any]:
    """Return a CUDA graph of the compiled network, channels last, and its outputs.

    Args:
        model: The network in its final precision.
        images: (batch, 3, height, width) of its input's type or FP16.
    """
    import torch

    # Of another batch size seen before, it would compile for any, which is slower.
    torch.compiler.reset()
    module = torch_module(model).cuda().eval()
    compiled = torch.compile(module)
    inputs = torch.from_numpy(images).cuda().contiguous(memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    with torch.no_grad():
        with torch.cuda.stream(stream):
            for _ in range(3):
                compiled(inputs)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            outputs = compiled(inputs)
    return graph, outputs


def torch_module(model: onnx.ModelProto) -> Any:
    """Return a torch module that computes the nodes of a network one after the other."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - as everybody calls it

    types = {1: torch.float32, 6: torch.int32, 7: torch.int64, 10: torch.float16}

    class TorchNetwork(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            graph = model.graph
            constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
            self.steps = []
            for node in graph.node:
                given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
                if node.op_type == "Constant":
                    constants[node.output[0]] = numpy_helper.to_array(given["value"])
                else:
                    self.steps.append((node.op_type, list(node.input), list(node.output), given))
            self.source, self.results = graph.input[0].name, [o.name for o in graph.output]
            self.lists = {k: v.tolist() for k, v in constants.items() if v.size < 16}
            self.weights: dict[str, str] = {}
            for name, value in constants.items():
                if value.dtype in (np.float16, np.float32):
                    self.weights[name] = f"weight{len(self.weights)}"
                    tensor = torch.from_numpy(np.array(value))
                    if tensor.dim() == 4:
                        tensor = tensor.contiguous(memory_format=torch.channels_last)
                    self.register_buffer(self.weights[name], tensor)

        def forward(self, images: Any) -> tuple[Any, ...]:
            known = {self.source: images}
            for op, names, outputs, how in self.steps:
                x = [getattr(self, self.weights[n]) if n in self.weights else known.get(n) for n in names]
                numbers = [self.lists.get(n) for n in names]
                result = self._compute(op, x, numbers, how)
                if op == "Split":
                    known.update(zip(outputs, result, strict=True))
                else:
                    known[outputs[0]] = result
            return tuple(known[name] for name in self.results)

        @staticmethod
        def _compute(op: str, x: list[Any], n: list[Any], how: dict[str, Any]) -> Any:
            match op:
                case "Cast":
                    return x[0].to(types[how["to"]])
                case "Conv":
                    bias = x[2] if len(x) > 2 else None
                    return F.conv2d(x[0], x[1], bias, how["strides"], how["pads"][0], 1, how["group"])
                case "ConvTranspose":
                    return F.conv_transpose2d(x[0], x[1], x[2], how["strides"])
                case "Sigmoid":
                    return torch.sigmoid(x[0])
                case "Mul":
                    return x[0] * x[1]
                case "Add":
                    return x[0] + x[1]
                case "Sub":
                    return x[0] - x[1]
                case "Div":
                    return x[0] / x[1]
                case "Concat":
                    return torch.cat(x, how["axis"])
                case "Split":
                    return torch.split(x[0], n[1], how["axis"])
                case "Slice":
                    axis, begin = n[3][0], n[1][0]
                    return x[0].narrow(axis, begin, min(n[2][0], x[0].shape[axis]) - begin)
                case "Resize":
                    return F.interpolate(x[0], scale_factor=float(n[2][2]), mode="nearest")
                case "MaxPool":
                    return F.max_pool2d(x[0], how["kernel_shape"], how["strides"], how["pads"][0])
                case "Reshape":
                    return x[0].reshape(n[1])
                case "Transpose":
                    return x[0].permute(how["perm"])
                case "MatMul":
                    return x[0] @ x[1]
                case "Softmax":
                    return torch.softmax(x[0], how["axis"])
            raise NotImplementedError(op)

    return TorchNetwork()
