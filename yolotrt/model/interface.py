"""What a network shows to the outside: inputs and outputs with types and shapes, and metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: Its name.
        kind: Its type in ONNX's words, in small letters: ``float``, ``float16``, ``uint8``.
        dims: Its dimensions; a text where one is not known, such as the batch.
    """

    name: str
    kind: str
    dims: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(map(str, self.dims))}]"


@dataclass(frozen=True)
class Interface:
    """A network's inputs and outputs.

    Attributes:
        inputs: Inputs, weights not among them.
        outputs: Outputs.
        properties: Metadata of the file.
        operators: Operators that it computes with; None where the network cannot be looked into.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    properties: Mapping[str, str]
    operators: frozenset[str] | None = None


def interface_of(model: onnx.ModelProto) -> Interface:
    """Return the interface of an ONNX model."""
    weights = {i.name for i in model.graph.initializer}
    return Interface(
        tuple(_port(i) for i in model.graph.input if i.name not in weights),
        tuple(_port(o) for o in model.graph.output),
        metadata(model),
        frozenset(node.op_type for node in all_nodes(model)),
    )


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's metadata properties."""
    return {p.key: p.value for p in model.metadata_props}


def described(ports: Iterable[Port]) -> str:
    """Return ports as a message shows them."""
    return ", ".join(map(str, ports)) or "none"


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs inside a node: branches and bodies."""
    return [
        graph
        for attribute in node.attribute
        for graph in (attribute.g, *attribute.graphs)
        if graph.node or graph.initializer
    ]


def reads(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that a node needs, those that its inner graphs take from outside too."""
    found = list(node.input)
    for graph in subgraphs(node):
        found += [output.name for output in graph.output]
        for inner in graph.node:
            found += reads(inner)
    return found


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node, those of nested graphs and functions too."""
    pending = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while pending:
        node = pending.pop()
        yield node
        for graph in subgraphs(node):
            pending += graph.node


def _port(value: onnx.ValueInfoProto) -> Port:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in tensor.shape.dim)
    return Port(value.name, TensorProto.DataType.Name(tensor.elem_type).lower(), dims)
