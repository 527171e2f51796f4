"""The calibration cache: ranges are found once and read back while nothing they depend on has changed."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from yolotrt.arrays import F32
from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.documents import read_document, write_document
from yolotrt.artifacts.files import exclusive, strange_kind
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.kinds import document
from yolotrt.artifacts.naming import default_place, is_recorded
from yolotrt.errors import ArtifactError, StorageError
from yolotrt.model.held import require_fp32
from yolotrt.model.onnxfile import load_onnx, onnx_key
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.quantization.algorithms import ALGORITHMS, Algorithm
from yolotrt.quantization.batches import ImageFeed, Preprocessing
from yolotrt.quantization.choice import Noise, best_ranges
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.histogram import StreamingHistogram
from yolotrt.quantization.observe import collect
from yolotrt.quantization.places import place_for
from yolotrt.quantization.qdq import quantize
from yolotrt.quantization.ranges import (
    QUANTILES,
    CalibrationKey,
    CalibrationRanges,
    Seen,
    TensorRange,
    find_ranges,
)
from yolotrt.quantization.sensitivity import measure_noise
from yolotrt.quantization.styles import STYLES
from yolotrt.quantization.witness import Witness, doubts

FORMAT = "yolotrt-calibration"
VERSION = 2
CALIBRATION = document("a calibration cache", FORMAT)

BATCH = 1
"""Images per batch: every tensor of a batch is in memory at once, and on a CPU two at a time gain nothing."""

AUDITED = 6
"""Images on which the noise of each layer is measured."""


@dataclass(frozen=True)
class CalibrationStatus:
    """What :func:`load_or_calibrate` did.

    Attributes:
        cached: The ranges came from the cache.
        changed: Which parts of the key differ from the cache's (``model``, ``images``,
            ``preprocessing``, ``algorithm``, ``method``); empty when cached or when there was no cache.
        warning: Why an existing cache file could not be used, if it could not.
        images: Number of images behind the ranges.
        skipped: Messages about images that could not be read.
        path: The file that holds the ranges.
        doubts: What makes the ranges doubtful, a sentence each.
    """

    cached: bool
    changed: tuple[str, ...] = ()
    warning: str | None = None
    images: int = 0
    skipped: tuple[str, ...] = ()
    path: Path | None = None
    doubts: tuple[str, ...] = ()


def default_cache(onnx_path: Path, folder: Path) -> Path:
    """Return where the calibration of a network is kept, apart from those of others of its name.

    Raises:
        ModelError: The network cannot be read.
    """

    def belongs(cache: Path) -> bool:
        try:
            known = read_document(cache, format=FORMAT, version=VERSION)
        except ArtifactError:
            return CALIBRATION.is_own(cache)
        found = known.get("model_file")
        if isinstance(found, str) and is_recorded(found, onnx_path):
            return True
        return bool(known.get("model") == onnx_key(load_onnx(onnx_path)))

    return default_place(folder, onnx_path.stem, ".calib.json", onnx_path, belongs)


def load_or_calibrate(
    onnx_path: Path,
    spec: ModelSpec,
    images: Sequence[Path],
    cache: Path,
    *,
    algorithm: Algorithm = "mse",
    tile_overlap: float | None = None,
    force: bool = False,
    overwrite: bool = False,
    beside: bool = False,
    threads: int | None = None,
    progress: Progress = no_progress,
    on_wait: Callable[[str], None] = print,
) -> tuple[CalibrationRanges, CalibrationStatus]:
    """Return the ranges for a network and images, from the cache if its key holds.

    Args:
        onnx_path: The FP32 network.
        spec: Its interface.
        images: Image files, already limited to those that shall be used.
        cache: The cache file, ``calib_data/NAME.calib.json``; written when it has to be made.
        algorithm: How to choose ranges.
        tile_overlap: Feed tiles with this overlap, too; None feeds letterboxed images only.
        force: Calibrate again even if the cache holds.
        overwrite: Replace also a file in the cache's place that is no cache.
        beside: Leave the calibration that ``cache`` holds where other images, another method or other
            preprocessing are wanted, and keep them apart; see :mod:`yolotrt.quantization.places`.
        threads: Threads of the network; None leaves it to ONNX Runtime.
        progress: Called while images run.
        on_wait: Told when another process is making the same cache.

    Raises:
        ModelError: The network cannot be read, or is not in FP32.
        ImageError: None of the images can be read.
        CalibrationError: A tensor holds NaN or infinity, or every image is of one colour.
        StorageError: The cache cannot be written, or another process has just made it of another network.
    """
    require_own(cache, CALIBRATION, overwrite=overwrite)
    model = load_onnx(onnx_path)
    require_fp32(model, str(onnx_path))
    preprocessing = Preprocessing(spec.input_wh, tile_overlap)
    key = CalibrationKey(onnx_key(model), _digests(images), preprocessing.as_json(), algorithm)
    place = place_for(cache, key, read_ranges) if beside else (cache, ())
    while True:
        target, apart = place
        ranges, status = _known(target, key, apart, force)
        if ranges is not None:
            return ranges, status
        with exclusive(target, on_wait) as waited:
            ranges, now = _known(target, key, apart, force)  # another process may just have made it
            if ranges is not None:
                return ranges, now
            if waited and "model" in now.changed:
                raise StorageError(
                    f"Another process has just made {target}, of another network.",
                    hint="Run the command again: it takes another name; or name one with -o.",
                )
            if beside and (place := place_for(cache, key, read_ranges))[0] != target:
                continue  # it is of other images: this one goes beside it
            ranges, feed = _calibrated(model, spec, images, preprocessing, key, threads, progress)
            write_ranges(target, ranges, onnx_path)
        made = (status.changed, status.warning, feed.read, tuple(feed.skipped), target, doubts(ranges))
        return ranges, CalibrationStatus(False, *made)


def _calibrated(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[Path],
    preprocessing: Preprocessing,
    key: CalibrationKey,
    threads: int | None,
    progress: Progress,
) -> tuple[CalibrationRanges, ImageFeed]:
    """Return the ranges of a network and images, and how the images were read."""
    batch, full = spec.batch or BATCH, spec.batch is not None
    feed = ImageFeed(images, preprocessing, batch, full)
    sample: list[F32] = []
    # One image at a time where possible: the audit holds two networks' tensors.
    batches = _keeping(feed, sample, len(images) // batch, size=batch if full else 1)
    witness = Witness(spec)
    histograms = collect(
        model, batches, total=len(images), progress=progress, threads=threads, look=witness.look
    )
    seen = witness.seen(feed.read, feed.blank)
    ranges = _ranges(model, histograms, key, lambda found: _noise(model, found, sample, threads))
    return replace(ranges, seen=seen), feed


def _known(
    target: Path, key: CalibrationKey, apart: tuple[str, ...], force: bool
) -> tuple[CalibrationRanges | None, CalibrationStatus]:
    """Return the ranges of a file if they are those of a key, and what is to be said of it otherwise."""
    try:
        known = read_ranges(target) if os.path.exists(target) else None
    except ArtifactError as exc:
        return None, CalibrationStatus(False, warning=f"{exc.message} It is made again.")
    if known is None or force:
        return None, CalibrationStatus(False, apart)
    changed = key.changes_since(known.key)
    found = None if changed else known
    images = len(known.key.images)
    return found, CalibrationStatus(not changed, changed, None, images, (), target, doubts(known))


def _keeping(batches: Iterable[F32], kept: list[F32], total: int, size: int) -> Iterator[F32]:
    """Pass about ``total`` batches on, and keep ``size`` images of some of them, evenly spread."""
    wanted = max(1, AUDITED // size)
    for i, batch in enumerate(batches):
        if i % max(1, total // wanted) == 0 and len(kept) < wanted:
            kept.append(batch[:size].copy())
        yield batch


def _ranges(
    model: onnx.ModelProto,
    histograms: Mapping[str, StreamingHistogram],
    key: CalibrationKey,
    measure: Callable[[CalibrationRanges], Noise],
) -> CalibrationRanges:
    """Choose ranges by the key's algorithm, and measure the noise that they make."""
    if key.algorithm == "best":
        return best_ranges(model, histograms, key, measure)
    ranges = CalibrationRanges(find_ranges(GraphView(model), histograms, key.algorithm), key)
    return replace(ranges, noise=measure(ranges))


def _noise(
    model: onnx.ModelProto, ranges: CalibrationRanges, sample: Sequence[F32], threads: int | None
) -> dict[str, dict[str, float]]:
    return {
        style: measure_noise(model, quantize(model, ranges, style, exclude=()), sample, threads)
        for style in STYLES
    }


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
    body = {
        "model": key.onnx,
        "model_file": None if model_file is None else str(model_file),
        "algorithm": key.algorithm,
        "method": key.method,
        "preprocessing": dict(key.preprocessing),
        "quantile_levels": list(QUANTILES),
        "tensors": {name: asdict(found) for name, found in ranges.tensors.items()},
        "noise": {style: dict(layers) for style, layers in ranges.noise.items()},
        "seen": None if ranges.seen is None else asdict(ranges.seen),
        "images": [{"file": name, "sha256": digest} for name, digest in key.images],
    }
    return write_document(target, format=FORMAT, version=VERSION, body=body)


def read_ranges(path: Path) -> CalibrationRanges:
    """Read ranges written by :func:`write_ranges`; every value is checked.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is damaged, foreign, or of another version.
    """
    document = read_document(path, format=FORMAT, version=VERSION)
    try:
        return _parse(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ArtifactError(
            f"{path} is damaged: {exc}.", hint="Calibrate again, or delete the file."
        ) from exc


def _parse(document: dict[str, Any]) -> CalibrationRanges:
    algorithm = document["algorithm"]
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {reprlib.repr(algorithm)}")
    preprocessing = document["preprocessing"]
    if not isinstance(preprocessing, dict):
        raise TypeError("preprocessing is not an object")
    images = tuple((_text(i["file"]), _text(i["sha256"])) for i in document["images"])
    method = document["method"]
    if not isinstance(method, int):
        raise TypeError("method is not a number")
    key = CalibrationKey(_text(document["model"]), images, preprocessing, algorithm, method)
    tensors = {name: _parse_range(name, found) for name, found in document["tensors"].items()}
    if not tensors:
        raise ValueError("no tensors")
    # Older versions call the second style by the name of a library.
    by_style = {name if name in STYLES else "gpu": layers for name, layers in document["noise"].items()}
    noise: dict[str, dict[str, float]] = {
        style: {name: _number(value) for name, value in by_style[style].items()} for style in STYLES
    }
    return CalibrationRanges(tensors, key, noise, _parse_seen(document.get("seen")))


def _parse_seen(found: object) -> Seen | None:
    """Read what the images showed, which earlier versions did not note."""
    if not isinstance(found, dict):
        return None
    names = ("images", "blank", "pictures", "found")
    return Seen(*(int(_number(found[name])) for name in names))


def _parse_range(name: str, found: dict[str, Any]) -> TensorRange:
    numbers = {
        field: _number(found[field]) for field in ("lo", "hi", "amax", "minimum", "maximum", "mean_abs")
    }
    quantiles = tuple(_number(q) for q in found["quantiles"])
    if not numbers["lo"] <= 0 <= numbers["hi"] or numbers["amax"] < 0 or len(quantiles) != len(QUANTILES):
        raise ValueError(f"the range of {reprlib.repr(name)} makes no sense")
    return TensorRange(**numbers, count=int(_number(found["count"])), quantiles=quantiles)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{reprlib.repr(value)} is not a text")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{reprlib.repr(value)} is not a number")
    number = float(value)  # an integer of hundreds of digits overflows here
    if not math.isfinite(number) or abs(number) > 3.4e38:
        raise ValueError(f"{reprlib.repr(value)} is out of range")
    return number


def _digests(images: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """Return name and content hash of every image; unreadable files count, too, by their name."""

    def digest(path: Path) -> str:
        try:
            if not strange_kind(path):
                return sha256_file(path)
        except OSError:
            pass
        return f"unreadable: {path.name}"

    return tuple((path.name, digest(path)) for path in images)
