"""What a calibration measures besides ranges: the noise of each layer, and how far scores move.

Both run the network in 8 bits, once for each Q/DQ style, and take longer than the ranges. A build within an
accuracy bound needs the noise of its own style alone, since it puts scores right by what it judges on; what a
cache then lacks is measured when somebody else asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from yolotrt.arrays import F32
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.quantization.alignment import ALIGNED_ON, Alignment
from yolotrt.quantization.batches import ImageFeed, Preprocessing, spread
from yolotrt.quantization.observe import open_session
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.sensitivity import measure_noise
from yolotrt.quantization.styles import STYLES, QdqStyle

BATCH = 1
"""Images per batch: every tensor of a batch is in memory at once, and on a CPU two at a time gain nothing."""

AUDITED = 6
"""Images on which the noise of each layer is measured."""


@dataclass(frozen=True)
class Wanted:
    """What is measured besides ranges.

    Attributes:
        noise: Q/DQ styles in which the noise of each layer is measured.
        shift: Those for which scores are aligned.
    """

    noise: tuple[QdqStyle, ...] = STYLES
    shift: tuple[QdqStyle, ...] = STYLES

    def lacking(self, ranges: CalibrationRanges) -> Wanted | None:
        """Return what ranges do not know of it; None if they know all."""
        noise = tuple(style for style in self.noise if style not in ranges.noise)
        shift = tuple(style for style in self.shift if style not in ranges.shift)
        return Wanted(noise, shift) if noise or shift else None


EVERYTHING = Wanted()


def noise_of(
    model: onnx.ModelProto,
    ranges: CalibrationRanges,
    sample: Sequence[F32],
    styles: Iterable[QdqStyle],
    threads: int | None,
    progress: Progress = no_progress,
) -> dict[str, dict[str, float]]:
    """Return the noise of each layer, by style.

    Args:
        model: The FP32 network.
        ranges: Its ranges.
        sample: Batches to measure on.
        styles: Q/DQ styles.
        threads: Threads of the network; None leaves it to ONNX Runtime.
        progress: Told before each batch.
    """

    def told() -> Iterator[F32]:
        for done, batch in enumerate(sample):
            progress("measure layers", done, len(sample))
            yield batch
        progress("measure layers", len(sample), len(sample))

    return {
        style: measure_noise(model, quantize(model, ranges, style, exclude=()), told(), threads)
        for style in styles
    }


def shift_of(
    model: onnx.ModelProto,
    ranges: CalibrationRanges,
    alignment: Alignment,
    styles: Iterable[QdqStyle],
    threads: int | None,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Return what puts scores back to where FP32's are, by style; ranges know their noise.

    Args:
        model: The FP32 network.
        ranges: Its ranges.
        alignment: Has seen FP32's outputs.
        styles: Q/DQ styles.
        threads: As in :func:`noise_of`.
        progress: Told before each picture.
    """
    return {style: alignment.shift(quantize(model, ranges, style), threads, progress) for style in styles}


def keeping(
    batches: Iterable[F32], kept: list[F32], alignment: Alignment, total: int, size: int
) -> Iterator[F32]:
    """Pass about ``total`` batches on, and keep ``size`` images of some of them, evenly spread."""
    wanted = max(1, AUDITED // size)
    for i, batch in enumerate(batches):
        if i % max(1, total // wanted) == 0 and len(kept) < wanted:
            kept.append(batch[:size].copy())
        alignment.keep(batch)
        yield batch


def completed(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[Path],
    preprocessing: Preprocessing,
    ranges: CalibrationRanges,
    lacking: Wanted,
    threads: int | None,
    progress: Progress = no_progress,
) -> CalibrationRanges:
    """Return ranges with what they lack, measured on a part of the images that they are from.

    Args:
        model: The FP32 network.
        spec: Its interface.
        images: The images.
        preprocessing: How they are fed.
        ranges: What is known.
        lacking: What is not.
        threads: As in :func:`noise_of`.
        progress: Told before each picture.

    Raises:
        ImageError: None of the images can be read.
    """
    batch, full = spec.batch or BATCH, spec.batch is not None
    some = spread(images, ALIGNED_ON)
    sample: list[F32] = []
    alignment = Alignment(spec, len(some) // batch, batch)
    run = open_session(model, threads)
    feed = ImageFeed(some, preprocessing, batch, full)
    for pictures in keeping(feed, sample, alignment, len(some) // batch, size=batch if full else 1):
        outputs: Mapping[str, F32] = {}
        if lacking.shift and alignment.kept_last:
            outputs = {spec.head_output: run([spec.head_output], {spec.input_name: pictures})[0]}
        alignment.look(outputs)
    noise = {**ranges.noise, **noise_of(model, ranges, sample, lacking.noise, threads, progress)}
    ranges = replace(ranges, noise=noise)
    shift = shift_of(model, ranges, alignment, lacking.shift, threads, progress)
    return replace(ranges, shift={**ranges.shift, **shift})
