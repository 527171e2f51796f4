"""Merging by seams, written as plainly as it can be: every pair looked at, one pair at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolotrt.geometry.boxes import box_overlap, intersection_areas
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.mask import Mask, clip_mask, join_masks, shared_pixels
from yolotrt.geometry.merge import best_first
from yolotrt.geometry.seams import GLOBAL_PASS
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.merge import MergeSettings

OUTWARDS = np.array([-1, -1, 1, 1])


def plain_merge(
    tiles: Sequence[Detections],
    grid: TileGrid,
    whole: Detections | None,
    settings: MergeSettings,
    conf: float,
) -> Detections:
    """What ``merge_frame`` with the method ``seams`` has to return, to the bit."""
    found = Detections.concatenate([*tiles, *([] if whole is None else [whole])])
    numbers = [*range(len(tiles)), *([] if whole is None else [-1])]
    tile = np.repeat(
        np.array(numbers, np.int64), [len(p) for p in tiles] + ([] if whole is None else [len(whole)])
    )
    keep = [i for i, cover in enumerate(_covers(found, tile, grid, settings)) if cover is None]
    found, tile = found.take(keep), tile[keep]
    found, tile, joined = _continued(found, tile, grid, settings)
    keep = [
        i for i in range(len(found)) if joined[i] or not _mistaken(found, tile, joined, i, grid, settings)
    ]
    found, tile = found.take(keep), tile[keep]
    if whole is not None:
        found = _weighed(found, tile, [joined[i] for i in keep], grid, settings)
        found = _lowered(found, tile, [joined[i] for i in keep], grid, settings, conf)
    order = best_first(found.boxes, found.scores, found.classes)
    found, tile = found.take(order), tile[order]
    iou = box_overlap(found.boxes, found.boxes)
    kept: list[int] = []
    for i in range(len(found)):
        rivals = [k for k in kept if found.classes[k] == found.classes[i] and tile[k] != tile[i]]
        if not any(iou[k, i] > settings.duplicate_iou for k in rivals):
            kept.append(i)
    return found.take(kept)


def _weighed(
    found: Detections, tile: np.ndarray, joined: list[bool], grid: TileGrid, settings: MergeSettings
) -> Detections:
    """With the scores halved of pieces of what the global pass saw as another class."""
    scores = found.scores.copy()
    for i in range(len(found)):
        ends = joined[i] or _near(found.boxes[i], _seen(tile[i], grid), grid, settings.border).any()
        if tile[i] == GLOBAL_PASS or not ends:
            continue
        size = intersection_areas(found.boxes[i], found.boxes[i])
        for j in np.flatnonzero((tile == GLOBAL_PASS) & (found.classes != found.classes[i])):
            sure = found.scores[j] >= max(found.scores[i], np.float32(0.25))
            if sure and intersection_areas(found.boxes[i], found.boxes[j]) > 0.8 * size:
                scores[i] = found.scores[i] * np.float32(0.5)
    return Detections(found.boxes, scores, found.classes, found.masks)


def _lowered(
    found: Detections,
    tile: np.ndarray,
    joined: list[bool],
    grid: TileGrid,
    settings: MergeSettings,
    conf: float,
) -> Detections:
    """With what the global pass had to see, and did not, behind what it saw; at least just above ``conf``."""
    scores = found.scores.copy()
    shown = min(w / f for w, f in zip(grid.content_wh, grid.frame_wh, strict=True))
    visible = (16 / shown) ** 2
    iou = box_overlap(found.boxes, found.boxes)
    for i in np.flatnonzero(tile != GLOBAL_PASS):
        size, s = float(intersection_areas(found.boxes[i], found.boxes[i])), float(scores[i])
        if size < visible:
            continue
        ends = joined[i] or _near(found.boxes[i], _seen(tile[i], grid), grid, settings.border).any()
        said, piece = 0.0, False
        for j in np.flatnonzero(tile == GLOBAL_PASS):
            score = float(found.scores[j])
            if found.classes[j] == found.classes[i] and iou[i, j] > (0.5 if ends else 0.3):
                said = max(said, score)
            inside = intersection_areas(found.boxes[i], found.boxes[j]) > 0.8 * size
            larger = intersection_areas(found.boxes[j], found.boxes[j]) > 1.2 * size
            piece |= bool(ends and inside and larger and score >= 0.1)
        n = float(np.sqrt(size / visible))
        n += 2 * max(0.0, 1 - conf / 0.25) * (n * n - n)
        against = 1 + ((n * n if piece else n) - 1) * max(0.0, 1 - said / 0.25)
        if against > 1:
            b = max(s / (s + against * (1 - s)), min(s, said))
            scores[i] = max(b, min(s, conf * (1 + 1 / 4096 + b * (1 / 1024))))
    return Detections(found.boxes, scores, found.classes, found.masks)


def _seen(tile: int, grid: TileGrid) -> np.ndarray:
    if tile < 0:
        return np.array([0, 0, *grid.frame_wh])
    x, y = grid.origins[tile]
    return np.array([x, y, x + grid.content_wh[0], y + grid.content_wh[1]])


def _cut(box: np.ndarray, seen: np.ndarray, grid: TileGrid, border: float) -> np.ndarray:
    return (np.abs(box - seen) <= border) & (seen != np.array([0, 0, *grid.frame_wh]))


def _near(box: np.ndarray, seen: np.ndarray, grid: TileGrid, border: float) -> np.ndarray:
    gaps = np.abs(box - seen)
    near = (gaps <= border) | (gaps <= _slack(box))
    return near & (seen != np.array([0, 0, *grid.frame_wh]))


def _slack(box: np.ndarray) -> np.ndarray:
    return np.tile(box[2:] - box[:2], 2) * np.float32(0.1)


def _meet(found: Detections, tile: np.ndarray, i: int, j: int) -> bool:
    return bool(
        found.classes[i] == found.classes[j]
        and tile[i] != tile[j]
        and intersection_areas(found.boxes[i], found.boxes[j]) > 0
    )


def _covers(found: Detections, tile: np.ndarray, grid: TileGrid, settings: MergeSettings) -> list[int | None]:
    rank = {int(i): r for r, i in enumerate(best_first(found.boxes, found.scores, found.classes))}
    seen = [_seen(t, grid) for t in tile]
    cut = [_cut(b, s, grid, settings.border) for b, s in zip(found.boxes, seen, strict=True)]
    near = [_near(b, s, grid, settings.border) for b, s in zip(found.boxes, seen, strict=True)]
    is_cut, is_near = ([bool(sides.any()) for sides in each] for each in (cut, near))
    result: list[int | None] = []
    for i in range(len(found)):
        choices = []
        for j in range(len(found)):
            if not is_near[i] or is_cut[j] or not _meet(found, tile, i, j):
                continue
            beyond = (found.boxes[j] - seen[i]) * OUTWARDS
            if is_cut[i]:
                covers = ((beyond > 0) & cut[i]).any()
            else:
                covers = ((beyond > _slack(found.boxes[i])) & near[i]).any() and not is_near[j]
                covers &= found.scores[j] >= np.float32(0.8) * found.scores[i]
            if not covers:
                continue
            area = max(intersection_areas(found.boxes[i], found.boxes[i]), 1e-9)
            share = intersection_areas(found.boxes[i], found.boxes[j]) / area
            if share > settings.threshold and found.masks is not None:
                one, other = found.masks[i], found.masks[j]
                share = np.float64(shared_pixels(one, other) / max(one.area, 1))
            if share > settings.threshold:
                choices.append((share, -rank[j], j))
        result.append(max(choices)[2] if choices else None)
    return result


def _continued(
    found: Detections, tile: np.ndarray, grid: TileGrid, settings: MergeSettings
) -> tuple[Detections, np.ndarray, list[bool]]:
    rank = {int(i): r for r, i in enumerate(best_first(found.boxes, found.scores, found.classes))}
    seen = [_seen(t, grid) for t in tile]
    cut = [_cut(b, s, grid, settings.border) for b, s in zip(found.boxes, seen, strict=True)]
    edges = []
    for i in range(len(found)):
        for j in range(i):
            if not (cut[i].any() and cut[j].any() and _meet(found, tile, i, j)):
                continue
            looks = (seen[j] - seen[i]) * OUTWARDS
            if not ((cut[i] & (looks > 0)) | (cut[j] & (looks < 0))).any():
                continue
            agreement = _agreement(found, i, j, seen, settings.threshold)
            if agreement > settings.threshold:
                edges.append((-agreement, *sorted((rank[i], rank[j])), i, j))
    groups = [{i} for i in range(len(found))]
    for *_, i, j in sorted(edges):
        both = groups[i] | groups[j]
        if groups[i] is not groups[j] and len({int(tile[k]) for k in both}) == len(both):
            for k in both:
                groups[k] = both
    leaders = [i for i in range(len(found)) if rank[i] == min(rank[k] for k in groups[i])]
    boxes, masks = [], []
    for i in leaders:
        members = sorted(groups[i])
        b = found.boxes[members]
        boxes.append(np.concatenate([b[:, :2].min(axis=0), b[:, 2:].max(axis=0)]))
        if found.masks is not None:
            parts = [found.masks[k] for k in members]
            masks.append(parts[0] if len(parts) == 1 else join_masks(parts))
    table = np.array(boxes, np.float32).reshape(-1, 4)
    drawn: tuple[Mask, ...] | None = None if found.masks is None else tuple(masks)
    joined = [len(groups[i]) > 1 for i in leaders]
    return Detections(table, found.scores[leaders], found.classes[leaders], drawn), tile[leaders], joined


def _mistaken(
    found: Detections, tile: np.ndarray, joined: list[bool], i: int, grid: TileGrid, settings: MergeSettings
) -> bool:
    """Whether one that is no joined one is part of a better whole one of another class."""
    rank = {int(k): r for r, k in enumerate(best_first(found.boxes, found.scores, found.classes))}
    seen = _seen(tile[i], grid)
    cut = _cut(found.boxes[i], seen, grid, settings.border)
    for j in range(len(found)):
        if joined[j] or tile[j] in (GLOBAL_PASS, tile[i]) or found.classes[j] == found.classes[i]:
            continue
        if _cut(found.boxes[j], _seen(tile[j], grid), grid, settings.border).any() or rank[j] > rank[i]:
            continue
        beyond = (found.boxes[j] - seen) * OUTWARDS > 0
        area = intersection_areas(found.boxes[i], found.boxes[i])
        if not (beyond & cut).any() or intersection_areas(found.boxes[i], found.boxes[j]) <= 0.8 * area:
            continue
        one = None if found.masks is None else found.masks[i]
        if one is None or shared_pixels(one, found.masks[j]) > 0.8 * max(one.area, 1):
            return True
    return False


def _agreement(found: Detections, i: int, j: int, seen: list[np.ndarray], threshold: float) -> float:
    strip = np.concatenate([np.maximum(seen[i][:2], seen[j][:2]), np.minimum(seen[i][2:], seen[j][2:])])
    smaller = min(intersection_areas(found.boxes[k], strip) for k in (i, j))
    agreement = float(intersection_areas(found.boxes[i], found.boxes[j]) / smaller) if smaller > 0 else 0.0
    if agreement <= threshold or found.masks is None:
        return agreement
    one, other = (clip_mask(found.masks[k], *strip.tolist()) for k in (i, j))
    return shared_pixels(one, other) / max(min(one.area, other.area), 1)
