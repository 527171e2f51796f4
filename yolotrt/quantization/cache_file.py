"""The document of a calibration: ranges, and everything that they hold for."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Real
from yolotrt.quantization.algorithms import Algorithm
from yolotrt.quantization.ranges import QUANTILES, CalibrationKey, CalibrationRanges, Seen, TensorRange
from yolotrt.quantization.styles import STYLES


@dataclass(frozen=True)
class CalibrationImage:
    """An image that was calibrated on.

    Attributes:
        file: Its name.
        sha256: Hash of its bytes, or that it could not be read.
    """

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class CalibrationFile:
    """What calibration found out.

    Attributes:
        model: Content key of the FP32 network.
        model_file: Where the network lay; the next content of that file takes over the document. None for
            files of earlier versions.
        algorithm: How ranges were chosen from histograms.
        method: Version of the method.
        preprocessing: How images became network input.
        quantile_levels: What the quantiles of tensors are.
        tensors: Range by tensor name.
        noise: By Q/DQ style and convolution, how much its own quantisation disturbs its result; only styles
            that somebody asked for.
        seen: What the images showed; None for files of earlier versions.
        shift: By Q/DQ style, what added to all logits brings INT8's scores back to FP32's; as far as somebody
            asked for it.
        images: The images, in their order.
    """

    model: str
    model_file: str | None = None
    algorithm: Algorithm
    method: int
    preprocessing: Mapping[str, Any]
    quantile_levels: tuple[float, ...] = QUANTILES
    tensors: Mapping[str, TensorRange]
    noise: Mapping[str, Mapping[str, Real]]
    seen: Seen | None = None
    shift: Mapping[str, Real] = field(default_factory=dict)
    images: tuple[CalibrationImage, ...]

    @property
    def ranges(self) -> CalibrationRanges:
        """What the rest of the program works with."""
        images = tuple((image.file, image.sha256) for image in self.images)
        key = CalibrationKey(self.model, images, self.preprocessing, self.algorithm, self.method)
        noise = _by_style(self.noise)
        return CalibrationRanges(self.tensors, key, noise, self.seen, self.shift)


def _by_style(noise: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Return noise under the names of today: older versions call the second style by the name of a library.

    Raises:
        ValueError: There is none.
    """
    known: dict[str, Mapping[str, float]] = {name: noise[name] for name in STYLES if name in noise}
    other = [layers for name, layers in noise.items() if name not in STYLES]
    found = {"gpu": other[0], **known} if other else known
    if not found:
        raise ValueError(f"no noise of {' or '.join(STYLES)}")
    return {style: found[style] for style in STYLES if style in found}


def _check(file: CalibrationFile) -> None:
    if not file.tensors:
        raise ValueError("no tensors")
    _by_style(file.noise)
    for name, found in file.tensors.items():
        if not found.lo <= 0 <= found.hi or found.amax < 0 or len(found.quantiles) != len(QUANTILES):
            raise ValueError(f"the range of {reprlib.repr(name)} makes no sense")


DOCUMENT = Document(
    "yolotrt-calibration",
    2,
    CalibrationFile,
    "a calibration cache",
    again="Calibrate again, or delete the file.",
    check=_check,
)
CALIBRATION = DOCUMENT.kind


def write_ranges(target: Path, ranges: CalibrationRanges, model_file: Path | None = None) -> Path:
    """Write ranges as a document that a person can read.

    Args:
        target: The document.
        ranges: What it holds.
        model_file: Where the network lies; the next content of that file takes over the document.

    Raises:
        StorageError: It cannot be written.
    """
    key = ranges.key
    file = CalibrationFile(
        model=key.onnx,
        model_file=None if model_file is None else str(model_file),
        algorithm=key.algorithm,
        method=key.method,
        preprocessing=key.preprocessing,
        tensors=ranges.tensors,
        noise=ranges.noise,
        seen=ranges.seen,
        shift=ranges.shift,
        images=tuple(CalibrationImage(name, digest) for name, digest in key.images),
    )
    return DOCUMENT.write(target, file)


def read_ranges(path: Path) -> CalibrationRanges:
    """Read ranges written by :func:`write_ranges`; every value is checked.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is damaged, foreign, or of another version.
    """
    return DOCUMENT.read(path).ranges
