"""Ways to quantise a network, good and bad on purpose, and unannotated pictures to do it with.

:mod:`benchmarks.int8_bound` measures what each of them loses.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import onnx

from yolotrt.data.images import list_images
from yolotrt.model.onnxfile import load_onnx, read_spec
from yolotrt.model.scores import score_convolutions, with_shifted_scores
from yolotrt.quantization.batches import spread
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.quantization.qdq import careful_exclusions, quantize
from yolotrt.quantization.ranges import CalibrationRanges
from yolotrt.quantization.styles import STYLES, QdqStyle, measured_as

THREADS = len(os.sched_getaffinity(0))
IMAGES = 40
"""Unannotated images that are calibrated and judged on."""


@dataclass(frozen=True)
class BoundSubject:
    """A network, unannotated images, and annotated ones."""

    name: str
    network: Path
    calib: Path
    images: Path
    annotations: Path


@dataclass(frozen=True)
class BoundVariant:
    """A way to quantise: images or their kind, how ranges are chosen and scaled, what is left out.

    ``careful`` leaves out what ``build --max-drop`` leaves out first, and moves scores as it does;
    ``one_scale`` gives each weight one scale, with nothing behind that tells its channels apart.
    """

    images: int | str = IMAGES
    algorithm: str = "mse"
    scale: float = 1.0
    exclude: tuple[str, ...] | None = None
    careful: bool = False
    one_scale: bool = False
    weight_levels: int = 127
    styles: tuple[QdqStyle, ...] = STYLES


VARIANTS = {
    "as built": BoundVariant(),
    "within a bound": BoundVariant(careful=True),
    "weights with one scale": BoundVariant(one_scale=True, styles=("rtx",)),
    "all in INT8": BoundVariant(exclude=()),
    "minmax": BoundVariant(algorithm="minmax", exclude=()),
    "percentile": BoundVariant(algorithm="percentile", exclude=()),
    "20 images": BoundVariant(images=20),
    "noise": BoundVariant(images="noise"),
    "dark": BoundVariant(images="dark"),
    "ranges x0.9": BoundVariant(scale=0.9, exclude=()),
    "ranges x0.8": BoundVariant(scale=0.8, exclude=()),
    "ranges x0.7": BoundVariant(scale=0.7, exclude=()),
    "weights of 6 bits": BoundVariant(weight_levels=31, exclude=(), styles=("cpu",)),
    "weights of 5 bits": BoundVariant(weight_levels=15, exclude=(), styles=("cpu",)),
}


def synthetic(kind: str, folder: Path) -> list[Path]:
    """Write pictures that show nothing: noise, or the dark with a camera's grain."""
    draws = np.random.default_rng(0)
    paths = []
    for i in range(10):
        level, spread_ = (128, 60) if kind == "noise" else (6, 3)
        picture = np.clip(draws.normal(level, spread_, (480, 640, 3)), 0, 255).astype(np.uint8)
        paths.append(folder / f"{kind}{i}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths


def graph_of(subject: BoundSubject, variant: BoundVariant, style: QdqStyle, keep: Path) -> onnx.ModelProto:
    """Calibrate, or take the calibration that is kept, and quantise."""
    model = load_onnx(subject.network)
    spec = read_spec(model, subject.network.stem)
    with tempfile.TemporaryDirectory() as folder:
        images = (
            synthetic(variant.images, Path(folder))
            if isinstance(variant.images, str)
            else spread(list_images(subject.calib), variant.images)
        )
        cache = keep / f"{subject.name}.{variant.images}.{variant.algorithm}.calib.json"
        # The program refuses noise; here it makes bad engines.
        with patch("yolotrt.quantization.batches.is_noise", return_value=False):
            ranges, _ = load_or_calibrate(
                subject.network,
                spec,
                images,
                cache,
                algorithm=variant.algorithm,  # type: ignore[arg-type]
                threads=THREADS,
            )
    ranges = scaled(ranges, variant.scale)
    exclude: Sequence[str] | None = variant.exclude
    if variant.careful:
        exclude = careful_exclusions(model, ranges, style)
    elif exclude is None and score_convolutions(model, spec):
        model = with_shifted_scores(model, spec, ranges.shift[measured_as(style)])
    return quantize(
        model,
        ranges,
        style,
        exclude=exclude,
        weight_levels=variant.weight_levels,
        floating=variant.one_scale,  # the form that FP8 is made from
    )


def scaled(ranges: CalibrationRanges, by: float) -> CalibrationRanges:
    changed = {n: replace(r, lo=r.lo * by, hi=r.hi * by, amax=r.amax * by) for n, r in ranges.tensors.items()}
    return replace(ranges, tensors=changed)
