from __future__ import annotations

import struct

import pytest

from tests.quantization.graphs import c3k2
from yolotrt.quantization.ranges import QUANTILES, CalibrationKey, CalibrationRanges, TensorRange
from yolotrt.quantization.trt_table import only_behind, trt_table


def _ranges(**limits: float) -> CalibrationRanges:
    def tensor(amax: float) -> TensorRange:
        return TensorRange(-amax, amax, amax, -amax, amax, amax / 2, 10, (0.0,) * len(QUANTILES))

    key = CalibrationKey("k", (), {}, "mse")
    return CalibrationRanges({name: tensor(amax) for name, amax in limits.items()}, key)


def test_a_scale_is_the_hex_of_a_big_endian_float() -> None:
    table = trt_table(_ranges(images=127.0, act=12.7))
    assert table.splitlines() == ["TRT-101300-EntropyCalibration2", "images: 3f800000", "act: 3dcccccd"]


def test_each_scale_gives_its_range_back_and_there_are_no_zero_scales() -> None:
    limits = {"/model.0/act/Mul_output_0": 3.25, "odd: name": 1e-3, "zeros": 0.0}
    lines = trt_table(_ranges(**limits)).splitlines()[1:]
    pairs = (line.rsplit(": ", 1) for line in lines)
    found = {name: struct.unpack(">f", bytes.fromhex(scale))[0] * 127 for name, scale in pairs}
    assert found == pytest.approx({k: v for k, v in limits.items() if v}, rel=1e-6)


def test_the_prototype_branch_has_no_scales() -> None:
    """What other outputs need, too, keeps its scale: also where the branch begins."""
    branch = only_behind(c3k2(), "proto")
    assert branch == {"p1.conv", "p1.gate", "p1", "proto"}
    table = trt_table(_ranges(**{"p1.conv": 1.0, "p1": 1.0, "proto": 1.0, "mix": 1.0, "head": 1.0}), branch)
    assert [line.split(":")[0] for line in table.splitlines()[1:]] == ["mix", "head"]
