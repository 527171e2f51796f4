"""Ranges as TensorRT's own calibration table, for TensorRT 10, trtexec and DeepStream.

A text file: one header line that names the version and the calibrator, then one line per tensor with its
scale (amax / 127) as the eight hex digits of a big-endian float32. TensorRT 11 and TensorRT-RTX have no
calibrators and do not read it.
"""

from __future__ import annotations

import struct

from yolotrt.quantization.ranges import CalibrationRanges

HEADER = "TRT-101300-EntropyCalibration2"
"""TensorRT 10.13, the oldest version supported here; TensorRT reads tables of older versions."""

_LEVELS = 127


def trt_table(ranges: CalibrationRanges) -> str:
    """Return the table of all tensors whose range is not empty."""
    lines = [HEADER]
    for name, found in ranges.tensors.items():
        scale = struct.pack(">f", found.amax / _LEVELS)
        if scale != b"\0\0\0\0":  # TensorRT takes no zero scale; a tensor of zeros needs none
            lines.append(f"{name}: {scale.hex()}")
    return "\n".join(lines) + "\n"
