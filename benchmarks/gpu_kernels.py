"""Time, bytes and share of the copy bandwidth of each of our kernels, on the data of a real frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from yolotrt.cuda.device import Device, Scope, Stream
from yolotrt.pipeline.device.passes import PassSlot
from yolotrt.pipeline.device.pipeline import DevicePipeline
from yolotrt.pipeline.device.results import HEADER, RECORD
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.device.slots import Slot
from yolotrt.pipeline.device.staging import Staging
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.timing.clock import now, seconds_between

REPEATS = 30
ROUNDS = 7
COPY_BYTES = 1 << 30
COLD = 8


def kernel_table(gpu: Gpu, frame: Any, settings: PipelineSettings) -> dict[str, Any]:
    """Measure every kernel alone.

    Bytes are the fewest that a kernel has to move: every input byte it needs read once, every output byte
    written once. The share is of what a large copy on the device reaches, reads and writes counted.
    """
    with DevicePipeline([gpu], settings) as pipeline, gpu.device.scope() as scope:
        pipeline(frame)
        (worker,) = pipeline.workers
        (slot,) = worker.slots
        stream = scope.stream()
        bandwidth = copy_bandwidth(gpu.device, scope, stream)
        rows = {}
        for name, work, nbytes in (
            *_prepare(slot.tiles, "cut_tiles", frame.nbytes),
            *_prepare(slot.global_pass, "letterbox", 0),
            *_decode(slot.tiles, "tiles"),
            *_decode(slot.global_pass, "global"),
            *_merge(slot),
        ):
            seconds = _time(gpu.device, scope, stream, work)
            rows[name] = {
                "seconds": seconds,
                "bytes": nbytes,
                "bytes_per_second": nbytes / seconds,
                "share_of_copy_bandwidth": nbytes / seconds / bandwidth,
            }
        upload = _time(gpu.device, scope, stream, slot.frame.upload, repeats=5)
        return {
            "copy_bytes_per_second": bandwidth,
            "kernels": rows,
            "staging": staging(frame, scope),
            "copying": copying(frame, scope),
            "upload": {"seconds": upload, "bytes": frame.nbytes, "bytes_per_second": frame.nbytes / upload},
        }


def staging(frame: Any, scope: Scope) -> dict[str, dict[str, float]]:
    """Return how long copying a frame into page-locked memory takes: until its first rows, and all are there.

    By threads of ours that were asleep, and by OpenCV's; from and to memory that is in no cache, as between
    two frames.
    """
    height = len(frame)
    frames = [frame.copy() for _ in range(COLD)]
    targets = [scope.pinned(frame.nbytes).array[: frame.nbytes].reshape(frame.shape) for _ in range(COLD)]
    found = {}
    cores = len(os.sched_getaffinity(0))
    for name, threads, of_opencv in [*((str(n), n, 1) for n in (1, 2, 4, 8, 12, 16)), ("opencv", 2, -1)]:
        if threads > cores:
            continue
        cv2.setNumThreads(of_opencv)
        staged = Staging(threads)
        firsts, alls = [], []
        for turn in range(2 * COLD):
            time.sleep(0.002)
            stamps: list[int] = []
            begin = now()
            source, target = frames[turn % COLD], targets[(5 * turn + 1) % COLD]
            staged.run(source, target, [height], lambda first, end: stamps.append(now()))  # noqa: B023 - runs now
            firsts.append(seconds_between(begin, stamps[0]))
            alls.append(seconds_between(begin, stamps[-1]))
        staged.close()
        found[name] = {"first_s": float(np.median(firsts)), "all_s": float(np.median(alls))}
    return found


def copying(frame: Any, scope: Scope) -> dict[str, dict[str, float]]:
    """Return the time of a frame where threads copy one after the other, each its own: what memory gives."""
    frames = [frame.copy() for _ in range(COLD)]
    targets = [scope.pinned(frame.nbytes).array[: frame.nbytes].reshape(frame.shape) for _ in range(COLD)]
    found = {}
    for threads in (1, 2, 4, 8, 12, 16):
        if threads > len(os.sched_getaffinity(0)):
            continue

        def work(thread: int) -> None:
            for turn in range(COLD // 2):
                np.copyto(targets[(thread + turn) % COLD], frames[(5 * thread + turn) % COLD])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: time.sleep(0.001), range(threads)))  # all have started
            begin = now()
            list(pool.map(work, range(threads)))
            spent = seconds_between(begin, now())
        found[str(threads)] = {"seconds_per_frame": spent / (threads * (COLD // 2))}
    return found


def copy_bandwidth(device: Device, scope: Scope, stream: Stream) -> float:
    """Return bytes read plus bytes written per second by a large copy on the device."""
    source, target = scope.buffer(COPY_BYTES), scope.buffer(COPY_BYTES)

    def copy(stream: Stream) -> None:
        stream.copy(target.address, source.address, COPY_BYTES)

    begin, end = scope.event(timing=True), scope.event(timing=True)
    samples = []
    for _ in range(ROUNDS):  # plain copies: as nodes of a graph they were measured at two thirds of the rate
        stream.record(begin)
        copy(stream)
        stream.record(end)
        stream.synchronize()
        samples.append(device.seconds(begin, end))
    return 2 * COPY_BYTES / float(np.median(samples))


def _time(
    device: Device, scope: Scope, stream: Stream, work: Callable[[Stream], None], repeats: int = REPEATS
) -> float:
    """Return the median seconds of one call, launched back to back from a graph."""
    begin, end = scope.event(timing=True), scope.event(timing=True)
    work(stream)
    stream.synchronize()

    def many() -> None:
        for _ in range(repeats):
            work(stream)

    graph = scope.capture(stream, many)
    samples = []
    for _ in range(ROUNDS):
        stream.record(begin)
        graph.launch(stream)
        stream.record(end)
        stream.synchronize()
        samples.append(device.seconds(begin, end) / repeats)
    return float(np.median(samples))


def _prepare(slot: PassSlot | None, name: str, frame_bytes: int) -> Any:
    if slot is None:
        return
    if slot.input.source is not None:
        return  # the network reads the frame
    written = slot.owner.buffers.input.nbytes
    if not frame_bytes:  # four neighbours of every pixel inside
        width, height = slot.owner.placement.resized_wh
        frame_bytes = width * height * 4 * 3
    yield name, lambda stream: slot.prepare(0, stream), frame_bytes + written


def _decode(slot: PassSlot | None, scope: str) -> Any:
    if slot is None:
        return
    outputs, spec = slot.owner.buffers.outputs, slot.owner.spec
    head = outputs.head_type
    records = _records(slot)
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    if spec.head == "raw":
        scores = head.shape[0] * len(spec.names) * head.shape[2] * head.dtype.itemsize
        names, sizes = ("find_candidates", "keep_best"), (scores, 0)
    else:
        names, sizes = ("read_end2end",), (head.shape[0] * head.shape[1] * head.dtype.itemsize,)
    drawn = _mask_bytes(slot, records)
    for name, launch, nbytes in zip(
        (*names, "lay_out", "draw_masks"),
        (*slot.decode.search[0], *slot.decode.draw),
        (*sizes, 2 * records.nbytes, drawn),
        strict=True,
    ):
        if name == "find_candidates":  # the count must start at zero each time
            yield f"{name} ({scope})", lambda s, k=launch: (s.clear(slot.decode.state), k(s)), nbytes
        elif name not in ("keep_best", "lay_out"):  # which use up what they read
            yield f"{name} ({scope})", launch, nbytes


def _merge(slot: Slot) -> Any:
    """All kernels of merging together: their time is that of six launches more than of what they move."""
    if slot.merge is not None:
        masks = sum(p.results.mask_bytes for p in slot.passes)
        count = sum(len(_records(p)) for p in slot.passes)
        yield "merging", slot.merge.enqueue, count * RECORD.itemsize + masks


def _records(slot: PassSlot) -> Any:
    header = slot.results.header.array.view(HEADER)[0]
    return slot.results.records.array.view(RECORD)[: int(header["records"])]


def _mask_bytes(slot: PassSlot, records: Any) -> int:
    """Return prototype bytes under the boxes and mask bytes: what drawing has to move."""
    protos = slot.owner.buffers.outputs.prototypes_type
    scale_x = (
        protos.shape[3]
        / slot.owner.placement.model_wh[0]
        * (slot.owner.placement.resized_wh[0] / slot.owner.placement.image_wh[0])
    )
    sides = (records["right"] - records["left"]).clip(0), (records["bottom"] - records["top"]).clip(0)
    window = sum(np.ceil(w * scale_x + 1) * np.ceil(h * scale_x + 1) for w, h in zip(*sides, strict=True))
    return int(window) * protos.shape[1] * protos.dtype.itemsize + slot.results.mask_bytes
