"""The kernels that choose tiles, in NumPy; see reference.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from yolotrt.geometry.boxes import areas, intersection_areas
from yolotrt.pipeline.device.results import CANDIDATE
from yolotrt.pipeline.motion import difference, median_of
from yolotrt.pipeline.shifts import slopes

if TYPE_CHECKING:
    from tests.cuda.reference import Memory

Grid = tuple[int, int, int]


def _rows(height: int, every: int, first: int, count: int) -> list[int]:
    return [y for y in range(height) if first <= y % every < first + count]


def thumbnail(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    (frame, width, height, every, first, count, columns, rows, last, still, before, noise, times, limit,
     frames) = args  # fmt: skip
    image = m.read(frame, np.uint8, height, width, 3).astype(np.float64)
    grey = image @ (0.114, 0.587, 0.299)
    there = np.isin(np.arange(height), _rows(height, every, first, count))
    known = m.write(last, np.float32, 2, rows, columns)
    now = known[0].copy()
    for y in range(rows):
        lines = slice(y * height // rows, (y + 1) * height // rows)
        for x in range(columns):
            cell = grey[lines, x * width // columns : (x + 1) * width // columns][there[lines]]
            if cell.size:
                now[y, x] = cell.mean()
    seen = int(m.read(frames, np.int32, 1)[0])
    calm, was = (m.write(at, np.float32, rows, columns) for at in (still, before))
    median = median_of([known[1].copy(), known[0].copy(), now] if seen >= 2 else [now])
    was[:] = calm if seen else median
    calm[:] = median
    known[1], known[0] = known[0].copy(), now
    varies = cv2.dilate(m.read(noise, np.float32, rows, columns), np.ones((3, 3), np.uint8))
    m.write(limit, np.float32, rows, columns)[:] = varies * np.float32(times)


def watch(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    (still, before, bounds, seen, pitch, spans, columns, rows, least, hides, _step, gain, signs) = args
    now, was, limit = (m.read(at, np.float32, rows, columns) for at in (still, before, bounds))
    m.write(gain, np.float32, 1)[:] = difference(now, was)[1]
    limit = np.maximum(limit, m.read(least, np.float32, 1)[0])
    known, found = m.read(seen, np.float32, grid[0], pitch), m.write(signs, np.float32, grid[0], 8)
    for tile, (left, top, wide, high, _) in enumerate(m.read(spans, np.int32, grid[0], 5)):
        cells = slice(top, top + high), slice(left, left + wide)
        then = known[tile, : wide * high].reshape(high, wide)
        off, change = difference(now[cells], then)
        counts = np.count_nonzero(np.abs(off) > limit[cells]), np.count_nonzero(limit[cells] > hides)
        found[tile] = *counts, 0, *slopes(now[cells], then, change)


def learn(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    still, before, noise, steps, gain, columns, rows, speed, frames = args
    now, was = (m.read(at, np.float32, rows, columns) for at in (still, before))
    step = np.abs(cv2.blur(now - was * m.read(gain, np.float32, 1)[0], (2, 2)))
    m.write(steps, np.float32, rows, columns)[:] = step
    varies = m.write(noise, np.float32, rows, columns)
    varies += np.float32(speed) * (np.minimum(step, 3 * varies + 1) - varies)
    count = m.write(frames, np.int32, 1)
    count[:] = min(int(count[0]) + 1, 2)


def peaks(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    steps, columns, spans, peak = args
    table = m.read(spans, np.int32, grid[0], 5)
    step = m.read(steps, np.float32, int((table[:, 1] + table[:, 3]).max()), columns)
    found = [step[y : y + high, x : x + wide].max() for x, y, wide, high, _ in table]
    m.write(peak, np.float32, grid[0])[:] = found


def remember(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    still, columns, spans, tiles, pitch, seen = args
    chosen = m.read(tiles, np.int32, grid[1])
    table = m.read(spans, np.int32, int(chosen.max()) + 1, 5)
    now = m.read(still, np.float32, int((table[:, 1] + table[:, 3]).max()), columns)
    for tile in chosen:
        left, top, wide, high, _ = table[tile]
        at = seen + int(tile) * pitch * 4
        m.write(at, np.float32, high, wide)[:] = now[top : top + high, left : left + wide]


def fetch_rows(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    source, target, height, row, every, first, count = args
    for y in _rows(height, every, first, count):
        m.write(target + y * row, np.uint8, row)[:] = m.read(source + y * row, np.uint8, row)


def fetch_tiles(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    source, target, row, height, origins, wide, high, every, first, count = args
    for x, y in m.read(origins, np.int32, grid[1], 2).tolist():
        begin, end = x * 3 // 16 * 16, min(-(-(x + wide) * 3 // 16) * 16, row)
        there = set(_rows(height, every, first, count))
        for line in sorted(set(range(y, min(y + high, height))) - there):
            at = line * row + begin
            m.write(target + at, np.uint8, end - begin)[:] = m.read(source + at, np.uint8, end - begin)


def spread(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    source, target, nbytes, tiles = args
    for place, tile in enumerate(m.read(tiles, np.int32, grid[1]).tolist()):
        m.write(target + tile * nbytes, np.uint8, nbytes)[:] = m.read(
            source + place * nbytes, np.uint8, nbytes
        )


def _fresh(now: Any, then: Any, least: float) -> Any:
    shared = intersection_areas(now["box"][:, None], then["box"][None])
    both = areas(now["box"])[:, None] + areas(then["box"])[None] - shared
    same = (shared > 0) & (shared >= least * both) & (now["label"][:, None] == then["label"][None])
    return ~same.any(axis=1)


def settle(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    now, counts, then, then_counts, limit, told, least, unsettled = args
    flags = m.write(unsettled, np.int32, grid[0])
    numbers = zip(m.read(counts, np.int32, grid[0]), m.read(then_counts, np.int32, grid[0]), strict=True)
    for tile, (count, before) in enumerate(numbers):
        at = tile * limit * CANDIDATE.itemsize
        a, b = m.read(now + at, CANDIDATE, int(count)), m.read(then + at, CANDIDATE, int(before))
        flags[tile] = any((_fresh(x, y, least) & (x["score"] >= told)).any() for x, y in ((a, b), (b, a)))


def news_of(m: Memory, defines: Mapping[str, int], args: list[Any], grid: Grid) -> None:
    now, counts, then, then_counts, corners, wide, high, unsure, least, news = args
    found = m.read(now, CANDIDATE, int(m.read(counts, np.int32, 1)[0]))
    fresh = _fresh(found, m.read(then, CANDIDATE, int(m.read(then_counts, np.int32, 1)[0])), least)
    boxes = found["box"][fresh & (found["score"] < unsure)]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] <= (wide, high)).all(axis=1)]
    low = m.read(corners, np.int32, grid[0], 2)[:, None]
    meets = (boxes[:, :2] < low + np.array([wide, high])) & (boxes[:, 2:] > low)
    m.write(news, np.int32, grid[0])[:] = meets.all(axis=2).any(axis=1)


MOTION_KERNELS = (settle, news_of, peaks, thumbnail, watch, learn, remember, fetch_rows, fetch_tiles, spread)
