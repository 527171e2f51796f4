"""Whether the GPU pipeline finds what the CPU pipeline finds, image by image.

Two networks whose numbers differ by rounding can keep different ones of two candidates that they score
alike. Such a swap says nothing about the pipelines and is counted apart: the GPU's detection has to be
one of the CPU's candidates, as near to it as any other has to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.base import Engine
from yolotrt.cuda.device import Device
from yolotrt.cuda.tensor import TensorType
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import Mask, shared_pixels
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.decode import DecodeSettings, decode
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.merge import merge_frame
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline

ALIKE = 0.01
"""Scores that differ by no more than this may come in either order, or lie on either side of a threshold."""

LEAST_MASK_IOU = 0.98

MOST_CANDIDATES = 3000


@dataclass
class PairTally:
    """What both pipelines found.

    Attributes:
        box_px_limit: Boxes further apart than this are swapped candidates, or a disagreement, px.
    """

    box_px_limit: float
    cpu: int = 0
    gpu: int = 0
    swapped: int = 0
    unmatched_beyond_threshold: int = 0
    box_px: list[float] = field(default_factory=list)
    mask_iou: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)

    def close(self, px: float, iou: float) -> bool:
        """Whether two detections are as near to each other as they have to be."""
        return px <= self.box_px_limit and iou >= LEAST_MASK_IOU

    def summary(self) -> dict[str, Any]:
        """Return counts, and the largest and the 99th of 100 differences of what was not swapped."""
        boxes, masks = np.array(self.box_px), np.array(self.mask_iou)
        return {
            "cpu": self.cpu,
            "gpu": self.gpu,
            "matched": len(boxes) + self.swapped,
            "swapped": self.swapped,
            "unmatched_beyond_threshold": self.unmatched_beyond_threshold,
            "beyond_limits": int(np.count_nonzero((boxes > self.box_px_limit) | (masks < LEAST_MASK_IOU))),
            "box_px_limit": self.box_px_limit,
            "box_px_max": float(boxes.max(initial=0)),
            "box_px_p99": float(np.percentile(boxes, 99)) if len(boxes) else None,
            "mask_iou_min": float(masks.min(initial=1)),
            "mask_iou_p1": float(np.percentile(masks, 1)) if len(masks) else None,
            "score_max": float(np.max(self.score, initial=0)),
        }


def agreement(
    gpu: Gpu, on_cpu: Engine, images: Sequence[Any], settings: PipelineSettings, threads: int
) -> dict[str, Any]:
    """Compare both pipelines: what tiles and the global pass found, and what was made of both.

    A detection whose score is within 0.01 of the threshold may be on one side only. Rounding in the network
    can do more in FP16: where fragments overlap about as much as they have to, it decides whether they are
    joined. So what the GPU does after the network is held, too, against the host doing it with the same
    numbers: decoding the GPU's own outputs, and merging its own detections.
    """
    cpu = PipelineSettings(
        "tiled+global", overlap=settings.overlap, cpu_threads=threads, decode=settings.decode,
        merge=settings.merge,
    )  # fmt: skip
    everything = replace(cpu, decode=replace(cpu.decode, iou=1.0, max_det=MOST_CANDIDATES))
    limit = 1.0 if gpu.engine.file.precision == "fp32" else 2.0
    tallies = {name: PairTally(limit) for name in ("tiles", "global pass", "merged", "same outputs")}
    merged_otherwise = 0
    with (
        TiledPipeline(on_cpu, cpu) as reference,
        TiledPipeline(on_cpu, everything) as unsuppressed,
        DevicePipeline([gpu], replace(settings, mode="tiled+global")) as pipeline,
    ):
        for image in images:
            expected, found = reference(image), pipeline(image)
            compare_frame(expected, found, settings.decode.conf, tallies, cache(partial(unsuppressed, image)))
            decoded = Detections.concatenate(host_decoded(pipeline, settings.decode))
            compare(decoded, _all(found), settings.decode.conf, tallies["same outputs"], Detections.empty)
            grid = tile_grid(image.shape[1::-1], gpu.engine.file.spec.input_wh, settings.overlap)
            conf = settings.decode.conf
            again = merge_frame(found.tiles, grid, found.global_pass, settings.merge, conf=conf)
            merged_otherwise += not _identical(again, found.detections)
    summaries = {name: tally.summary() for name, tally in tallies.items()}
    return {"images": len(images), **summaries, "merged_otherwise_than_by_the_host": merged_otherwise}


def compare_frame(
    expected: FrameResult,
    found: FrameResult,
    conf: float,
    tallies: Mapping[str, PairTally],
    seen: Callable[[], FrameResult],
) -> None:
    """Compare a frame's tiles, the look at the whole of it, and what was made of both.

    Args:
        expected: What the CPU pipeline found.
        found: What the GPU pipeline found.
        conf: Threshold of the scores.
        tallies: Where to count.
        seen: Returns what the CPU pipeline chose from, before suppression.
    """
    for tile, pair in enumerate(zip(expected.tiles, found.tiles, strict=True)):
        compare(*pair, conf, tallies["tiles"], partial(_tile, seen, tile))
    compare(_global(expected), _global(found), conf, tallies["global pass"], lambda: _global(seen()))
    compare(expected.detections, found.detections, conf, tallies["merged"], lambda: _all(seen()))


def host_decoded(pipeline: DevicePipeline, settings: DecodeSettings) -> list[Detections]:
    """Decode on the host what the network left on the GPU, of all tiles and then of the global pass."""
    (worker,) = pipeline.workers
    (slot,) = worker.slots
    found: list[Detections] = []
    for owner in (p.owner for p in slot.passes):
        outputs = owner.buffers.outputs
        head = _downloaded(worker.device, outputs.head, outputs.head_type)
        prototypes = _downloaded(worker.device, outputs.prototypes, outputs.prototypes_type)
        images = decode(head, prototypes, owner.spec, [owner.placement] * owner.images, settings)
        found += [d.moved(*origin) for d, origin in zip(images, owner.origins, strict=True)]
    return found


def _downloaded(device: Device, address: int, kind: TensorType) -> F32:
    with device.scope() as scope:
        target, stream = scope.pinned(kind.nbytes), scope.stream()
        stream.copy(target.address, address, kind.nbytes)
        stream.synchronize()
        return target.array[: kind.nbytes].view(kind.dtype).reshape(kind.shape).astype(np.float32)


def _tile(seen: Callable[[], FrameResult], tile: int) -> Detections:
    return seen().tiles[tile]


def _global(frame: FrameResult) -> Detections:
    assert frame.global_pass is not None
    return frame.global_pass


def _all(seen: FrameResult) -> Detections:
    return Detections.concatenate([*seen.tiles, *([seen.global_pass] if seen.global_pass else [])])


def _identical(a: Detections, b: Detections) -> bool:
    same = all(np.array_equal(getattr(a, f), getattr(b, f)) for f in ("boxes", "scores", "classes"))
    return same and all(
        (one.x, one.y) == (other.x, other.y) and np.array_equal(one.bits, other.bits)
        for one, other in zip(a.masks or (), b.masks or (), strict=True)
    )


def compare(
    expected: Detections,
    found: Detections,
    conf: float,
    tally: PairTally,
    candidates: Callable[[], Detections],
) -> None:
    """Match the detections of one image and count what agrees.

    Args:
        expected: What the CPU pipeline found.
        found: What the GPU pipeline found.
        conf: Threshold of the scores.
        tally: Where to count.
        candidates: Returns what the CPU pipeline chose from, before suppression and merging.
    """
    tally.cpu += len(expected)
    tally.gpu += len(found)
    overlap = box_overlap(expected.boxes, found.boxes)
    overlap[expected.classes[:, None] != found.classes[None]] = 0
    free = np.ones(len(found), bool)
    for i in range(len(expected)):
        j = int(np.argmax(overlap[i] * free)) if len(found) else -1
        if j < 0 or overlap[i, j] * free[j] < 0.5:
            tally.unmatched_beyond_threshold += bool(expected.scores[i] > conf + ALIKE)
            continue
        free[j] = False
        px, iou = _difference(expected, i, found, j)
        if not tally.close(px, iou) and _is_candidate(
            found, j, candidates(), float(expected.scores[i]), tally
        ):
            tally.swapped += 1
            continue
        tally.box_px.append(px)
        tally.mask_iou.append(iou)
        tally.score.append(float(abs(expected.scores[i] - found.scores[j])))
    tally.unmatched_beyond_threshold += int(np.count_nonzero(found.scores[free] > conf + ALIKE))


def _is_candidate(found: Detections, j: int, among: Detections, score: float, tally: PairTally) -> bool:
    """Return whether a detection is one of these, of a score like that of the one that was kept instead."""
    alike = (among.classes == found.classes[j]) & (np.abs(among.scores - score) <= ALIKE)
    return any(tally.close(*_difference(among, i, found, j)) for i in np.flatnonzero(alike).tolist())


def _difference(a: Detections, i: int, b: Detections, j: int) -> tuple[float, float]:
    """Return how far apart the sides of two boxes are, px, and the IoU of their masks."""
    one, other = (a.masks or ())[i], (b.masks or ())[j]
    return float(np.abs(a.boxes[i] - b.boxes[j]).max()), _mask_iou(one, other)


def _mask_iou(one: Mask, other: Mask) -> float:
    both = shared_pixels(one, other)
    union = one.area + other.area - both
    return both / union if union else 1.0
