"""Ranges as TensorRT's own calibration table, for TensorRT 10, trtexec and DeepStream.

A text file: one header line that names the version and the calibrator, then one line per tensor with its
scale (amax / 127) as the eight hex digits of a big-endian float32. TensorRT 11 and TensorRT-RTX have no
calibrators and do not read it.
"""

from __future__ import annotations

import math
import re
import struct

from yolotrt.errors import ArtifactError
from yolotrt.quantization.ranges import CalibrationRanges

HEADER = "TRT-101300-EntropyCalibration2"
"""TensorRT 10.13, the oldest version supported here; TensorRT reads tables of older versions."""

_HEADER = re.compile(r"TRT-\d+-\w+")
_LINE = re.compile(r"(?P<name>.+): (?P<scale>[0-9a-fA-F]{8})")
_LEVELS = 127


def trt_table(ranges: CalibrationRanges) -> str:
    """Return the table of all tensors whose range is not empty."""
    lines = [HEADER]
    for name, found in ranges.tensors.items():
        scale = struct.pack(">f", found.amax / _LEVELS)
        if scale != b"\0\0\0\0":  # TensorRT takes no zero scale; a tensor of zeros needs none
            lines.append(f"{name}: {scale.hex()}")
    return "\n".join(lines) + "\n"


def parse_trt_table(text: str) -> dict[str, float]:
    """Return the amax of each tensor in a table.

    Raises:
        ArtifactError: It is not a calibration table, or a scale is not a positive number.
    """
    first, *rest = text.splitlines() or [""]
    if not _HEADER.fullmatch(first):
        raise ArtifactError(
            "This is no TensorRT calibration table.", hint="Its first line is TRT-VERSION-NAME."
        )
    limits: dict[str, float] = {}
    for number, line in enumerate(rest, 2):
        match = _LINE.fullmatch(line)
        scale = struct.unpack(">f", bytes.fromhex(match["scale"]))[0] if match else math.nan
        if not match or not (math.isfinite(scale) and scale > 0):
            raise ArtifactError(f"Line {number} of the calibration table is damaged.", hint="Make it again.")
        limits[match["name"]] = scale * _LEVELS
    return limits
