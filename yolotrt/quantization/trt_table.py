"""Ranges as TensorRT's own calibration table, for TensorRT 10, trtexec and DeepStream.

A text file: one header line that names the version and the calibrator, then one line per tensor with its
scale (amax / 127) as the eight hex digits of a big-endian float32. TensorRT 11 and TensorRT-RTX have no
calibrators and do not read it.

The prototype branch has no entries: TensorRT finds "no implementation" for its convolutions with SiLU in
implicit INT8 (TensorRT issues 4555, 3051 and 3576), and without a scale a layer stays in high precision.
This is read and not run: no TensorRT 10 has built from this table here.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import TYPE_CHECKING

from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.ranges import CalibrationRanges

if TYPE_CHECKING:
    import onnx

HEADER = "TRT-101300-EntropyCalibration2"
"""TensorRT 10.13, the oldest version supported here; TensorRT reads tables of older versions."""

_LEVELS = 127


def trt_table(ranges: CalibrationRanges, leave_out: Collection[str] = ()) -> str:
    """Return the table of all tensors whose range is not empty.

    Args:
        ranges: The calibration.
        leave_out: Names of tensors that get no entry, such as those of :func:`only_behind`.
    """
    lines = [HEADER]
    for name, found in ranges.tensors.items():
        if name in leave_out:
            continue
        scale = struct.pack(">f", found.amax / _LEVELS)
        if scale != b"\0\0\0\0":  # TensorRT takes no zero scale; a tensor of zeros needs none
            lines.append(f"{name}: {scale.hex()}")
    return "\n".join(lines) + "\n"


def only_behind(model: onnx.ModelProto, output: str) -> frozenset[str]:
    """Return the tensors that are computed for one output of the network and for nothing else.

    Args:
        model: The FP32 network.
        output: The output, such as that of the prototypes.
    """
    view = GraphView(model)
    found = {output}
    for node in reversed(view.nodes):
        readers = [reader for name in node.output for reader in view.consumers[name]]
        elsewhere = any(name in view.outputs and name != output for name in node.output)
        if readers and not elsewhere and all(found.issuperset(reader.output) for reader in readers):
            found.update(node.output)
    return frozenset(found)
