"""INT8 as TensorRT 10 used to do it: the library places the integers, from a calibration table.

TensorRT 11 and TensorRT-RTX removed this. The table is made from our own ranges, so no image is read
and nothing is calibrated on the GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yolotrt.backends.tensorrt.library import Library

if TYPE_CHECKING:
    import tensorrt as trt


def use_table(
    library: Library, native: trt.IBuilderConfig, profile: trt.IOptimizationProfile, table: str
) -> None:
    """Let TensorRT choose INT8 with the ranges of ``table``, and FP16 where that is faster.

    Args:
        library: A library that can calibrate.
        native: Configuration of the build, whose network is weakly typed FP32.
        profile: Profile that TensorRT's calibration would use.
        table: A calibration table in TensorRT's text format.
    """
    if not library.can_calibrate:
        raise AssertionError(f"{library.title} has no calibrator; options.check refuses this")
    api = library.trt
    native.set_flag(api.BuilderFlag.INT8)
    native.set_flag(api.BuilderFlag.FP16)
    native.set_calibration_profile(profile)
    native.int8_calibrator = _calibrator(api, _with_header(table, library.version))


def _calibrator(api: Any, table: str) -> trt.IInt8EntropyCalibrator2:
    # The class must not be made elsewhere: newer versions do not have its base.
    class TableCalibrator(api.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            api.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None  # no images: everything is in the table

        def read_calibration_cache(self) -> bytes:
            return table.encode()

        def write_calibration_cache(self, cache: bytes) -> None:
            """Nothing was learned."""

    return TableCalibrator()


def _with_header(table: str, version: str) -> str:
    """Give a table the first line that this version writes; a table of another version is ignored."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    number = major * 10000 + minor * 100 + patch
    return f"TRT-{number}-EntropyCalibration2\n" + table.partition("\n")[2]
