"""Candidates that suppression has to choose from, and the kernel alone that does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.cuda.gpu_work import Array, download, upload
from yolotrt.cuda.device import Device
from yolotrt.cuda.tensor import TensorType
from yolotrt.pipeline.device.decode import THREADS
from yolotrt.pipeline.device.results import CANDIDATE

FEW = 1024
"""As in suppression.cuh: up to so many candidates are suppressed in shared memory."""

COUNTS = (0, 1, 2, 31, 32, 33, 255, 256, 257, 700, FEW - 1, FEW, FEW + 1)


def candidates(seed: int, count: int) -> Array:
    """Return boxes in heaps, with many equal scores, equal boxes, and overlaps of simple fractions."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, CANDIDATE)
    heaps = rng.integers(-2, 60, (count // 12 + 1, 2))
    corner = heaps[rng.integers(0, len(heaps), count)] + rng.integers(0, 4, (count, 2))
    box = np.concatenate([corner, corner + rng.integers(1, 9, (count, 2))], axis=1).astype(np.float32)
    broad = rng.random(count) < 0.3
    box[broad] += rng.normal(0, 1, (int(broad.sum()), 4)).astype(np.float32)  # a few are inside out
    found["box"] = box
    found["score"] = rng.integers(1, 12, count) / np.float32(12)
    found["label"] = rng.integers(0, 3, count)
    same = np.flatnonzero(rng.random(count) < 0.2)
    found[same] = found[same // 2]  # all but the place in the head
    found["source"] = rng.permutation(2 * count + 5)[:count]
    return found


def nearly(threshold: float, count: int, factor: float = 1.0) -> list[Array]:
    """Return pairs of boxes whose overlap is a threshold, as nearly as their numbers can say; enlarged."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        pair = np.zeros(2, CANDIDATE)
        side, height = (np.float32(v) for v in rng.uniform(1, 600, 2))
        part = np.float32(np.float64(side) * threshold)
        for _ in range(int(rng.integers(0, 4))):
            part = np.nextafter(part, np.float32(rng.choice([0, 1000])))
        pair["box"] = [[0, 0, side, height], [0, 0, part, height]]
        pair["box"] *= np.float32(factor)
        pair["score"], pair["source"] = rng.permutation([0.5, 0.75]), (0, 1)
        pairs.append(pair)
    return pairs


def suppressed(device: Device, lists: Sequence[Array], threshold: float, limit: int) -> list[Array]:
    """Return what the kernel keeps of each image's candidates."""
    images, capacity = len(lists), max(map(len, lists)) + 3
    table = np.zeros((images, capacity), CANDIDATE)
    for image, (row, found) in enumerate(zip(table, lists, strict=True)):
        row[: len(found)] = found
        row["image"] = image
    counts = np.array([*map(len, lists), 0], np.int32)
    with device.scope() as scope:
        kept = upload(scope, np.zeros(images * limit * CANDIDATE.itemsize, np.uint8))
        kept_count = upload(scope, np.full(images, -1, np.int32))
        launch = device.launch(
            "candidates",
            "keep_best",
            grid=(images, 1, 1),
            block=(THREADS, 1, 1),
            arguments=[
                ("pointer", upload(scope, counts).address),
                ("pointer", upload(scope, table.view(np.uint8)).address),
                ("int", capacity),
                ("double", threshold),
                ("int", 0),
                ("int", limit),
                *(("float", value) for value in (3.0, 5.0, 0.75, 1.5)),
                *(("int", value) for value in (60, 40)),
                ("pointer", kept.address),
                ("pointer", kept_count.address),
            ],
            defines={"HALF": 0},
        )
        stream = scope.stream()
        launch(stream)
        stream.synchronize()
        nbytes = images * limit * CANDIDATE.itemsize
        rows = download(scope, kept.address, TensorType(np.dtype(np.uint8), (nbytes,)))
        found = download(scope, kept_count.address, TensorType(np.dtype(np.int32), (images,)))
    return [row[:n] for row, n in zip(rows.view(CANDIDATE).reshape(images, limit), found, strict=True)]


def assert_same(found: Sequence[Array], expected: Sequence[Array]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) == len(theirs)
        for name in CANDIDATE.names or ():
            np.testing.assert_array_equal(ours[name], theirs[name])
