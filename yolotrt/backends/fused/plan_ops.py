"""The planner's own picture of a network, between ONNX nodes and fused steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yolotrt.arrays import F32
from yolotrt.backends.fused.integers import Integers
from yolotrt.backends.fused.parts import ALIGN, Act, round_up


@dataclass
class Tensor:
    """What one operation writes.

    Attributes:
        name: Of the ONNX tensor.
        channels: Its channels.
        height: Pixels.
        width: Pixels.
    """

    name: str
    channels: int
    height: int
    width: int

    @property
    def stored(self) -> int:
        """Channels with the zeros behind them."""
        return round_up(self.channels)


@dataclass(frozen=True)
class ChannelSlice:
    """Some channels of a tensor, as part of a value.

    Attributes:
        tensor: Index of the tensor.
        first: First channel.
        channels: Number of channels.
        zoom: Times every pixel is repeated in both directions.
    """

    tensor: int
    first: int
    channels: int
    zoom: int = 1


Value = tuple[ChannelSlice, ...]
"""What an ONNX tensor is made of: channels of tensors, one after the other."""


@dataclass
class ConvWeights:
    """A convolution's weights, as ONNX has them but for a transposed one, which is written as a plain one.

    Attributes:
        weight: (outputs, inputs, kernel, kernel).
        bias: (outputs,).
        act: Behind the bias.
        integers: The same as INT8, where the network has them so.
        gain: (outputs,) that the result is multiplied with behind the activation; None is 1.
    """

    weight: F32
    bias: F32
    act: Act = "none"
    integers: Integers | None = None
    gain: F32 | None = None


@dataclass
class Op:
    """One operation: the beginning of a fused step.

    Attributes:
        kind: ``stem``, ``conv``, ``depthwise``, ``pools``, ``attention`` or ``sum``.
        name: Of the last ONNX node in it.
        nodes: Names of the nodes in it.
        inputs: What it reads; one value but for sums.
        outputs: Tensors that it writes; one but for poolings.
        height: Of the input as it is read.
        width: Of the input as it is read.
        kernel: Pixels.
        stride: Pixels.
        pad: Pixels.
        weights: Of a convolution.
        point: Of a convolution of single pixels behind it.
        residual: What is added in the end.
        spread: Pixels per pixel of a transposed convolution; 1 otherwise.
        extra: What only one kind has.
        scale: What 1 counts for where the network reads the input as INT8; 0 if it does not.
        point_scale: The same for what the convolution of single pixels reads.
        residual_scale: The same for the residual.
        int8: Products are of INT8.
    """

    kind: str
    name: str
    nodes: list[str]
    inputs: list[Value]
    outputs: list[int]
    height: int
    width: int
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    weights: ConvWeights | None = None
    point: ConvWeights | None = None
    residual: Value | None = None
    spread: int = 1
    extra: Any = None
    scale: float = 0.0
    point_scale: float = 0.0
    residual_scale: float = 0.0
    int8: bool = False

    def values(self) -> list[Value]:
        """Everything that it reads."""
        return [*self.inputs, *([self.residual] if self.residual else [])]

    @property
    def act(self) -> Act:
        """The last activation."""
        weights = self.point or self.weights
        return weights.act if weights else "none"

    @property
    def ended(self) -> bool:
        """Whether its result is scaled or added to: there is no activation behind that."""
        weights = self.point or self.weights
        return bool(self.residual) or (weights is not None and weights.gain is not None)


@dataclass
class NetworkDraft:
    """A network on its way to fused steps.

    Attributes:
        tensors: Everything that operations write.
        ops: In an order in which they can run.
        values: What each ONNX tensor is made of.
        outputs: Tensors that are the network's own, or that the tail decodes.
        scales: What 1 counts for in the ONNX tensors that are rounded to INT8.
    """

    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    outputs: set[int] = field(default_factory=set)
    scales: dict[str, float] = field(default_factory=dict)

    def whole(self, tensor: int) -> Value:
        """Return a whole tensor as a value."""
        return (ChannelSlice(tensor, 0, self.tensors[tensor].channels),)

    def is_one_tensor(self, value: Value) -> bool:
        """Whether a value is exactly one tensor."""
        return len(value) == 1 and value == self.whole(value[0].tensor)

    def makers(self) -> dict[int, int]:
        """Return the index of the operation that writes each tensor."""
        return {t: i for i, op in enumerate(self.ops) for t in op.outputs}

    def readers(self) -> dict[int, list[Op]]:
        """Return the operations that read each tensor, once per value that they read it in."""
        found: dict[int, list[Op]] = {}
        for op in self.ops:
            for value in op.values():
                for tensor in {piece.tensor for piece in value}:
                    found.setdefault(tensor, []).append(op)
        return found


def joined(pieces: list[ChannelSlice]) -> Value:
    """Return pieces as a value, neighbouring channels of one tensor as one."""
    result: list[ChannelSlice] = []
    for piece in pieces:
        last = result[-1] if result else None
        if last and (last.tensor, last.zoom, last.first + last.channels) == (
            piece.tensor, piece.zoom, piece.first,
        ):  # fmt: skip
            result[-1] = ChannelSlice(last.tensor, last.first, last.channels + piece.channels, last.zoom)
        else:
            result.append(piece)
    return tuple(result)


def channels_of(value: Value) -> int:
    """Return the number of channels of a value."""
    return sum(piece.channels for piece in value)


def cut(value: Value, first: int, channels: int) -> Value:
    """Return some channels of a value."""
    result, at = [], 0
    for piece in value:
        begin, end = max(first, at), min(first + channels, at + piece.channels)
        if begin < end:
            result.append(ChannelSlice(piece.tensor, piece.first + begin - at, end - begin, piece.zoom))
        at += piece.channels
    return joined(result)


def aligned(piece: ChannelSlice, tensor: Tensor) -> bool:
    """Whether a piece begins and ends where a wide load may."""
    end = piece.first + piece.channels
    return piece.first % ALIGN == 0 and (end % ALIGN == 0 or end == tensor.channels)
