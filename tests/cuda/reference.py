"""The kernels once more, in NumPy and as plainly as possible: what they must compute.

Each function takes the kernel's arguments, addresses included, and an object through which it reads and
writes memory. The emulated GPU runs these; tests on a GPU compare the kernels with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tests.cuda.reference_motion import MOTION_KERNELS
from yolotrt.geometry.packed import PackedMasks
from yolotrt.geometry.tiles import TileGrid
from yolotrt.pipeline.device.gather import FAR
from yolotrt.pipeline.device.masks import TAPS
from yolotrt.pipeline.device.merge import FOUND, LOOK, OBJECT, PASS, WORK
from yolotrt.pipeline.device.results import BYTE, CANDIDATE, HEADER, RECORD, WORD, PassFound
from yolotrt.pipeline.merge import MergeSettings, merge_frame

PADDING = 114


class Memory(Protocol):
    """Access to memory by address; what is read and what is written is kept apart."""

    def read(self, address: int, dtype: Any, *shape: int) -> npt.NDArray[Any]: ...
    def write(self, address: int, dtype: Any, *shape: int) -> npt.NDArray[Any]: ...


def _float(half: int) -> Any:
    return np.float16 if half else np.float32


def cut_tiles(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    frame, width, height, origins, tiles, tile_w, tile_h, swap = args
    count = grid[1]
    corners = m.read(origins, np.int32, count, 2)
    rows = min(int(corners[:, 1].max()) + tile_h, height)  # more may not have arrived yet
    image = m.read(frame, np.uint8, rows, width, 3)
    out = m.write(tiles, _float(defines["HALF"]), count, 3, tile_h, tile_w)
    for (x, y), planes in zip(corners, out, strict=True):
        tile = np.full((tile_h, tile_w, 3), PADDING, np.uint8)
        part = image[y : y + tile_h, x : x + tile_w]
        tile[: len(part), : part.shape[1]] = part
        planes[:] = _planes(tile, swap)


def letterbox(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    """OpenCV's resize with INTER_LINEAR on 8 bits, as its sources define it, and the padding around."""
    (frame, width, height, target, model_w, model_h, pad_x, pad_y, resized_w, resized_h, scale_x, scale_y,
     swap) = args  # fmt: skip
    image = m.read(frame, np.uint8, height, width, 3).astype(np.int64)
    left, right, left_weight, right_weight = _neighbours(resized_w, scale_x, width, clamp_share=True)
    top, bottom, top_weight, bottom_weight = _neighbours(resized_h, scale_y, height, clamp_share=False)
    across = image[:, left] * left_weight[:, None] + image[:, right] * right_weight[:, None]
    upper = top_weight[:, None, None] * (across[top] >> 4) >> 16
    lower = bottom_weight[:, None, None] * (across[bottom] >> 4) >> 16
    canvas = np.full((model_h, model_w, 3), PADDING, np.uint8)
    canvas[pad_y : pad_y + resized_h, pad_x : pad_x + resized_w] = upper + lower + 2 >> 2
    m.write(target, _float(defines["HALF"]), 3, model_h, model_w)[:] = _planes(canvas, swap)


def cut_tiles_yuv(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    frame, width, height, origins, tiles, tile_w, tile_h, site_x, site_y, table = args
    luma, between, factors = _yuv(m, defines, frame, width, height, table)
    colours = between((np.arange(height) - site_y / 2) / 2, (np.arange(width) - site_x / 2) / 2)
    image = _levels(luma.astype(np.float64), colours, factors)
    out = m.write(tiles, _float(defines["HALF"]), grid[1], 3, tile_h, tile_w)
    for (x, y), planes in zip(m.read(origins, np.int32, grid[1], 2), out, strict=True):
        tile = np.full((tile_h, tile_w, 3), PADDING, np.uint8)
        part = image[y : y + tile_h, x : x + tile_w]
        tile[: len(part), : part.shape[1]] = part
        planes[:] = _planes(tile, 0)


def letterbox_yuv(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    (frame, width, height, target, model_w, model_h, pad_x, pad_y, resized_w, resized_h, scale_x, scale_y,
     site_x, site_y, table) = args  # fmt: skip
    luma, between, factors = _yuv(m, defines, frame, width, height, table)
    x, y = ((np.arange(n) + 0.5) * s - 0.5 for n, s in ((resized_w, scale_x), (resized_h, scale_y)))
    bright = _at(_at(luma[..., None].astype(np.float64), y, 0), x, 1)[..., 0]
    colours = between((y - site_y / 2) / 2, (x - site_x / 2) / 2)
    canvas = np.full((model_h, model_w, 3), PADDING, np.uint8)
    canvas[pad_y : pad_y + resized_h, pad_x : pad_x + resized_w] = _levels(bright, colours, factors)
    m.write(target, _float(defines["HALF"]), 3, model_h, model_w)[:] = _planes(canvas, 0)


def _yuv(
    m: Memory, defines: Mapping[str, int], frame: int, width: int, height: int, table: int
) -> tuple[npt.NDArray[Any], Callable[..., npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Return brightness, what interpolates colour samples, and the factors; samples as 16-bit numbers."""
    kind: Any = np.uint16 if defines["WIDE"] else np.uint8
    samples = m.read(frame, kind, height * 3 // 2, width).astype(np.int64) << (0 if defines["WIDE"] else 8)
    pairs = samples[height:].reshape(height // 2, width // 2, 2).astype(np.float64)
    return samples[:height], lambda y, x: _at(_at(pairs, y, 0), x, 1), m.read(table, np.float32, 8)


def _at(values: npt.NDArray[Any], places: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """Interpolate linearly along an axis; beyond the ends the last value holds."""
    first = np.floor(places).astype(int)
    share = (places - first).reshape(-1, *[1] * (values.ndim - 1 - axis))
    one, two = (np.take(values, np.clip(first + k, 0, values.shape[axis] - 1), axis) for k in (0, 1))
    return one * (1 - share) + two * share


def _levels(
    y: npt.NDArray[Any], colours: npt.NDArray[Any], t: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    u, v = colours[..., 0], colours[..., 1]
    rgb = [y * t[0] + v * t[1] + t[5], y * t[0] + u * t[2] + v * t[3] + t[6], y * t[0] + u * t[4] + t[7]]
    return np.clip(np.rint(np.stack(rgb, axis=-1)), 0, 255).astype(np.uint8)


def _neighbours(
    target: int, scale: float, source: int, *, clamp_share: bool
) -> tuple[npt.NDArray[np.int64], ...]:
    at = ((np.arange(target) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    share = at - first.astype(np.float32)
    if clamp_share:
        share[(first < 0) | (first >= source - 1)] = 0
    weights = (np.rint(s * np.float32(2048)).astype(np.int64) for s in (1 - share, share))
    return (*(np.clip(first + k, 0, source - 1) for k in (0, 1)), *weights)


def _planes(image: npt.NDArray[np.uint8], swap: int) -> npt.NDArray[np.float32]:
    rgb = image[..., ::-1] if swap else image
    return (rgb.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)


def find_candidates(
    m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]
) -> None:
    head, rows, labels, anchors, threshold, first, images, state, candidates = args
    half, count = _float(defines["HALF"]), grid[1]
    head += first * rows * anchors * np.dtype(half).itemsize
    values = m.read(head, half, count, rows, anchors).astype(np.float32)
    flags = m.write(state + 4 * first, np.int32, count)
    out = m.write(candidates + first * anchors * CANDIDATE.itemsize, CANDIDATE, count, anchors)
    for image, columns in enumerate(values):
        scores = columns[4 : 4 + labels]
        best = scores.max(axis=0)
        chosen = np.flatnonzero(best > np.float32(threshold))
        centre, half = columns[:2, chosen].T, columns[2:4, chosen].T / 2
        found = out[image, : len(chosen)]
        found["box"] = np.concatenate([centre - half, centre + half], axis=1)
        found["score"], found["label"] = best[chosen], scores[:, chosen].argmax(axis=0)
        found["source"], found["image"] = chosen, first + image
        flags[image] = len(chosen)
        if not (np.isfinite(best).all() and np.isfinite(found["box"]).all()):
            m.write(state + 4 * images, np.int32, 1)[0] = 1


def keep_best(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    state, candidates, capacity, threshold, first, limit, *placement, kept, kept_count = args
    images = grid[0]
    counts = m.read(state + 4 * first, np.int32, images)
    size = CANDIDATE.itemsize
    lists = m.read(candidates + first * capacity * size, CANDIDATE, images, capacity)
    out = m.write(kept + first * limit * size, CANDIDATE, images, limit)
    out_counts = m.write(kept_count + 4 * first, np.int32, images)
    for image in range(images):
        found = lists[image, : counts[image]]
        box = found["box"]
        order = np.lexsort((found["source"], *box.T[::-1], found["label"], -found["score"]))
        meet = _ious(box[:, None], box[None]) > threshold
        meet &= found["label"][:, None] == found["label"][None]
        chosen: list[int] = []
        for i in order:
            if len(chosen) < limit and not meet[chosen, i].any():
                chosen.append(int(i))
        out[image, : len(chosen)] = found[chosen]
        out[image, : len(chosen)]["box"] = _in_image(box[chosen], *placement)
        out_counts[image] = len(chosen)


def _ious(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    a, b = one.astype(np.float64), other.astype(np.float64)
    shared = np.prod(
        np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0), axis=-1
    )
    either = sum(np.prod(np.maximum(c[..., 2:] - c[..., :2], 0), axis=-1) for c in (a, b)) - shared
    return np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)


def _in_image(
    boxes: npt.NDArray[np.float32], pad_x: float, pad_y: float, scale_x: float, scale_y: float, w: int, h: int
) -> npt.NDArray[np.float32]:
    pad, scale = (np.array([*v, *v], np.float32) for v in ((pad_x, pad_y), (scale_x, scale_y)))
    return np.clip((boxes - pad) / scale, 0, np.array([w, h, w, h], np.float32)).astype(np.float32)


def read_end2end(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    head, rows, columns, threshold, limit, *placement, first, images, state, kept, kept_count = args
    half, count = _float(defines["HALF"]), grid[0]
    head += first * rows * columns * np.dtype(half).itemsize
    values = m.read(head, half, count, rows, columns).astype(np.float32)
    out = m.write(kept + first * limit * CANDIDATE.itemsize, CANDIDATE, count, limit)
    counts = m.write(kept_count + 4 * first, np.int32, count)
    for image, table in enumerate(values):
        chosen = np.flatnonzero(table[:, 4] > np.float32(threshold))[:limit]
        if not (np.isfinite(table[:, 4]).all() and np.isfinite(table[chosen, :6]).all()):
            m.write(state + 4 * images, np.int32, 1)[0] = 1
        found = out[image, : len(chosen)]
        found["box"] = _in_image(table[chosen, :4], *placement)
        found["score"], found["label"] = table[chosen, 4], table[chosen, 5].astype(np.int32)
        found["source"], found["image"] = chosen, first + image
        counts[image] = len(chosen)


def lay_out(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    (kept, kept_count, images, limit, state, width, height, unit_rows, _first, header, records,
     host_header, host_records) = args  # fmt: skip
    counts = m.read(kept_count, np.int32, images)
    table = m.read(kept, CANDIDATE, images, limit)
    found = np.concatenate([row[:n] for row, n in zip(table, counts, strict=True)])
    out = np.zeros(len(found), RECORD)
    for name in CANDIDATE.names or ():
        out[name] = found[name]
    edges = np.clip(np.ceil(np.nan_to_num(found["box"])).astype(np.int64), 0, [width, height, width, height])
    for i, name in enumerate(("left", "top", "right", "bottom")):
        out[name] = edges[:, i]
    size = np.maximum(edges[:, 2:] - edges[:, :2], 0)
    words = units = np.zeros(len(found), np.int64)
    if unit_rows:
        words = -(-(edges[:, 2] - edges[:, 0] // BYTE * BYTE) // WORD) * size[:, 1]
        words[size[:, 0] == 0] = 0
        units = np.where(size[:, 0] > 0, -(-size[:, 1] // unit_rows), 0)
    out["word"], out["unit"] = np.cumsum(words) - words, np.cumsum(units) - units
    broken = int(m.read(state, np.int32, images + 1)[images])
    m.write(state, np.int32, images + 1)[:] = 0
    for address in (header, host_header):
        m.write(address, HEADER, 1)[0] = (len(out), units.sum(), broken, 0, words.sum())
    for address in (records, host_records):
        m.write(address, RECORD, images * limit)[: len(out)] = out


def draw_masks(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    (header, records, head, head_size, begin, step, source_step, coefficients, prototypes, proto_w, proto_h,
     taps_x, taps_y, _unit_rows, bits, host_place, capacity, host_header) = args  # fmt: skip
    top = m.read(header, HEADER, 1)[0]
    found = m.read(records, RECORD, int(top["records"]))
    if not len(found):
        return
    images = int(found["image"].max()) + 1
    values = m.read(head, _float(defines["HEAD_HALF"]), images * head_size).astype(np.float32)
    protos = m.read(prototypes, _float(defines["PROTO_HALF"]), images, coefficients, proto_h, proto_w)
    columns = m.read(taps_x, TAPS, int(found["right"].max()))
    rows = m.read(taps_y, TAPS, int(found["bottom"].max()))
    host_bits = int(m.read(host_place, np.uint64, 1)[0])
    copies = [m.write(address, np.uint32, capacity) for address in (bits, host_bits)]
    for r in found:
        width, height = int(r["right"] - r["left"]), int(r["bottom"] - r["top"])
        phase = int(r["left"]) % BYTE
        words = -(-(phase + width) // WORD)
        if width <= 0 or height <= 0 or r["word"] + words * height > capacity:
            continue
        at = (
            int(r["image"]) * head_size
            + begin
            + int(r["source"]) * source_step
            + np.arange(coefficients) * step
        )
        logits = np.tensordot(values[at], protos[r["image"]].astype(np.float32), 1)
        if not np.isfinite(logits).all():
            m.write(host_header, HEADER, 1)["broken"] = 1
        tall = _matrix(rows[r["top"] : r["bottom"]], proto_h) @ logits
        inside = tall @ _matrix(columns[r["left"] : r["right"]], proto_w).T > 0
        padded = np.zeros((height, words * WORD), np.bool_)
        padded[:, phase : phase + width] = inside
        packed = np.packbits(padded, bitorder="little").view(np.uint32)
        for copy in copies:
            copy[r["word"] : r["word"] + len(packed)] = packed


def _matrix(taps: npt.NDArray[np.void], size: int) -> npt.NDArray[np.float32]:
    matrix = np.zeros((len(taps), size + 2), np.float32)
    for k in range(3):
        matrix[np.arange(len(taps)), taps["first"] + k] += taps["weights"][:, k]
    return matrix[:, :size]


def _merge_step(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    """A step that hands on to the next: only the last one computes here, all that they do together."""
    work = m.read(args[0], WORK, 1)[0]
    for name in ("state", "views", "fate", "boxes", "pairs", "rivals"):
        m.write(int(work[name]), np.int32, 1)


def keep_objects(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    """What merge_frame makes of the same detections."""
    work = m.read(args[0], WORK, 1)[0]
    tiled = int(work["global_look"])
    seen = m.read(int(work["looks"]), LOOK, tiled + 1)["seen"]
    wh, frame_wh = ((int(w), int(h)) for w, h in (seen[0, 2:] - seen[0, :2], seen[-1, 2:]))
    tiles = TileGrid(frame_wh, wh, tuple((int(x), int(y)) for x, y in seen[:-1, :2]))
    settings = MergeSettings(
        "seams",
        float(work["threshold"]),
        duplicate_iou=float(work["duplicate"]),
        border=float(work["border"]),
    )
    passes = []
    table = m.read(int(work["passes"]), PASS, int(work["pass_count"]))
    corners = [*tiles.origins, (0, 0)]
    ends = [*table["first"][1:], tiled + (table["first"][-1] == tiled)]
    for row, end in zip(table, ends, strict=True):
        header = m.read(int(row["header"]), HEADER, 1)[0]
        records = m.read(int(row["records"]), RECORD, int(header["records"]))
        words = int(header["words"])
        if words > row["capacity"]:  # whatever comes out, the frame will be run again
            m.write(int(work["found"]), FOUND, 1)[0] = (0, 0, 1, 0)
            return
        bits = m.read(int(row["bits"]), np.uint32, words).view(np.uint8)
        origins = corners[int(row["first"]) : int(end)]
        passes.append(PassFound(records, bits if work["masks"] else None, origins).detections)
    whole = passes.pop()[0] if table["first"][-1] == tiled else None
    conf = float(work["conf"])
    merged = merge_frame([found for each in passes for found in each], tiles, whole, settings, conf=conf)
    found = m.write(int(work["found"]), FOUND, 1)
    objects = m.write(int(work["objects"]), OBJECT, len(merged))
    objects["box"], objects["score"], objects["label"] = merged.boxes, merged.scores, merged.classes
    objects["first"] = objects["end"] = 0
    count = 0
    if isinstance(merged.masks, PackedMasks):
        spans = merged.masks.spans
        objects["end"] = np.cumsum(spans[:, 1] - spans[:, 0])
        objects["first"] = objects["end"] - (spans[:, 1] - spans[:, 0])
        chosen = [merged.masks.pieces[a:b] for a, b in spans.tolist()]
        count = sum(map(len, chosen))
        m.write(int(work["pieces"]), np.int64, count, 6)[:] = np.concatenate(chosen) if chosen else 0
    found[0] = (len(merged), count, 0, 0)


MERGE_STEPS = ("look", "relate", "compare", "join", "weigh", "find_rivals")


def gather(m: Memory, defines: Mapping[str, int], args: list[Any], grid: tuple[int, int, int]) -> None:
    """Each pass's results from where they lie to this GPU, as far as there is room."""
    for to, far in zip(m.read(args[0], PASS, grid[1]), m.read(args[1], FAR, grid[1]), strict=True):
        header = m.read(int(far["header"]), HEADER, 1)
        m.write(int(to["header"]), HEADER, 1)[:] = header
        records, words = int(header["records"][0]), min(int(header["words"][0]), int(to["capacity"]))
        m.write(int(to["records"]), RECORD, records)[:] = m.read(int(far["records"]), RECORD, records)
        bits = int(m.read(int(far["place"]), np.uint64, 1)[0]) if far["place"] else int(far["bits"])
        m.write(int(to["bits"]), np.uint32, words)[:] = m.read(bits, np.uint32, words)


Reference = Callable[[Memory, Mapping[str, int], list[Any], tuple[int, int, int]], None]
KERNELS: dict[str, Reference] = {
    f.__name__: f
    for f in (
        cut_tiles,
        letterbox,
        cut_tiles_yuv,
        letterbox_yuv,
        find_candidates,
        keep_best,
        read_end2end,
        lay_out,
        draw_masks,
        keep_objects,
        gather,
        *MOTION_KERNELS,
    )
} | dict.fromkeys(MERGE_STEPS, _merge_step)
