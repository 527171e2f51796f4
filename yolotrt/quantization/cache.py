"""The calibration cache: ranges are found once and read back while nothing they depend on has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from yolotrt.arrays import F32
from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.files import exclusive, strange_kind
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.naming import default_place, is_recorded
from yolotrt.errors import ArtifactError, StorageError
from yolotrt.model.held import require_fp32
from yolotrt.model.onnxfile import load_onnx, onnx_key
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress, no_progress
from yolotrt.quantization.algorithms import Algorithm
from yolotrt.quantization.alignment import ALIGNED_ON, Alignment
from yolotrt.quantization.audit import BATCH as BATCH
from yolotrt.quantization.audit import EVERYTHING, Wanted, completed, keeping, noise_of, shift_of
from yolotrt.quantization.batches import ImageFeed, Preprocessing
from yolotrt.quantization.cache_file import CALIBRATION as CALIBRATION
from yolotrt.quantization.cache_file import DOCUMENT
from yolotrt.quantization.cache_file import read_ranges as read_ranges
from yolotrt.quantization.cache_file import write_ranges as write_ranges
from yolotrt.quantization.choice import Noise, best_ranges
from yolotrt.quantization.graph import GraphView
from yolotrt.quantization.histogram import StreamingHistogram
from yolotrt.quantization.observe import collect
from yolotrt.quantization.places import place_for
from yolotrt.quantization.ranges import (
    CalibrationKey,
    CalibrationRanges,
    find_ranges,
)
from yolotrt.quantization.styles import STYLES
from yolotrt.quantization.witness import Witness, doubts, saw


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
        saw: What the images showed, in a sentence; None if that is not known.
    """

    cached: bool
    changed: tuple[str, ...] = ()
    warning: str | None = None
    images: int = 0
    skipped: tuple[str, ...] = ()
    path: Path | None = None
    doubts: tuple[str, ...] = ()
    saw: str | None = None


def default_cache(onnx_path: Path, folder: Path) -> Path:
    """Return where the calibration of a network is kept, apart from those of others of its name.

    Raises:
        ModelError: The network cannot be read.
    """

    def belongs(cache: Path) -> bool:
        try:
            known = DOCUMENT.read(cache)
        except ArtifactError:
            return CALIBRATION.is_own(cache)
        if known.model_file is not None and is_recorded(known.model_file, onnx_path):
            return True
        return known.model == onnx_key(load_onnx(onnx_path))

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
    wanted: Wanted = EVERYTHING,
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
        wanted: What else to measure; a cache that holds but lacks some of it is completed.
        threads: Threads of the network; None leaves it to ONNX Runtime.
        progress: Called while images run.
        on_wait: Told when another process is making the same cache.

    Raises:
        ModelError: The network cannot be read, or is not in FP32.
        ImageError: None of the images can be read.
        CalibrationError: A tensor holds NaN or infinity, or every image is noise or of one colour.
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
        if ranges is not None and not wanted.lacking(ranges):
            return ranges, status
        with exclusive(target, on_wait) as waited:
            ranges, now = _known(target, key, apart, force)  # another process may just have made it
            if ranges is not None:
                if lacking := wanted.lacking(ranges):
                    ranges = completed(model, spec, images, preprocessing, ranges, lacking, threads, progress)
                    write_ranges(target, ranges, onnx_path)
                return ranges, now
            if waited and "model" in now.changed:
                raise StorageError(
                    f"Another process has just made {target}, of another network.",
                    hint="Run the command again: it takes another name; or name one with -o.",
                )
            if beside and (place := place_for(cache, key, read_ranges))[0] != target:
                continue  # it is of other images: this one goes beside it
            ranges, feed = _calibrated(model, spec, images, preprocessing, key, wanted, threads, progress)
            write_ranges(target, ranges, onnx_path)
        made = (
            status.changed,
            status.warning,
            feed.read,
            tuple(feed.skipped),
            target,
            doubts(ranges),
            saw(ranges),
        )
        return ranges, CalibrationStatus(False, *made)


def _calibrated(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[Path],
    preprocessing: Preprocessing,
    key: CalibrationKey,
    wanted: Wanted,
    threads: int | None,
    progress: Progress,
) -> tuple[CalibrationRanges, ImageFeed]:
    """Return the ranges of a network and images, and how the images were read."""
    batch, full = spec.batch or BATCH, spec.batch is not None
    feed = ImageFeed(images, preprocessing, batch, full)
    sample: list[F32] = []
    # One image at a time where possible: the audit holds two networks' tensors.
    alignment = Alignment(spec, len(images) // batch, batch, ALIGNED_ON if wanted.shift else 0)
    batches = keeping(feed, sample, alignment, len(images) // batch, size=batch if full else 1)
    witness = Witness(spec)

    def look(outputs: Mapping[str, F32]) -> None:
        witness.look(outputs)
        alignment.look(outputs)

    histograms = collect(model, batches, total=len(images), progress=progress, threads=threads, look=look)
    seen = witness.seen(feed.read, feed.blank, feed.noise, feed.lights)
    styles = STYLES if key.algorithm == "best" else wanted.noise  # it chooses by the noise of all
    ranges = _ranges(
        model, histograms, key, lambda found: noise_of(model, found, sample, styles, threads, progress)
    )
    shift = shift_of(model, ranges, alignment, wanted.shift, threads, progress)
    return replace(ranges, seen=seen, shift=shift), feed


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
    return found, CalibrationStatus(not changed, changed, None, images, (), target, doubts(known), saw(known))


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
