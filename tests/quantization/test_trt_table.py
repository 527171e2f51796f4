from __future__ import annotations

import pytest

from yolotrt.errors import ArtifactError
from yolotrt.quantization.ranges import QUANTILES, CalibrationKey, CalibrationRanges, TensorRange
from yolotrt.quantization.trt_table import parse_trt_table, trt_table


def _ranges(**limits: float) -> CalibrationRanges:
    def tensor(amax: float) -> TensorRange:
        return TensorRange(-amax, amax, amax, -amax, amax, amax / 2, 10, (0.0,) * len(QUANTILES))

    key = CalibrationKey("k", (), {}, "mse")
    return CalibrationRanges({name: tensor(amax) for name, amax in limits.items()}, key)


def test_a_scale_is_the_hex_of_a_big_endian_float() -> None:
    table = trt_table(_ranges(images=127.0, act=12.7))
    assert table.splitlines() == ["TRT-101300-EntropyCalibration2", "images: 3f800000", "act: 3dcccccd"]


def test_round_trip_and_no_zero_scales() -> None:
    limits = {"/model.0/act/Mul_output_0": 3.25, "odd: name": 1e-3, "zeros": 0.0}
    found = parse_trt_table(trt_table(_ranges(**limits)))
    assert found == pytest.approx({k: v for k, v in limits.items() if v}, rel=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "TRT-101300-EntropyCalibration2\nimages",
        "TRT-101300-EntropyCalibration2\nimages: 3f80",
        "TRT-101300-EntropyCalibration2\nimages: 7fc00000",
        "TRT-101300-EntropyCalibration2\nimages: bf800000",
        "TRT-101300-EntropyCalibration2\nimages: 00000000",
        "TRT-101300-EntropyCalibration2\n\n",
    ],
)
def test_a_damaged_table_is_one_clear_error(text: str) -> None:
    with pytest.raises(ArtifactError):
        parse_trt_table(text)
