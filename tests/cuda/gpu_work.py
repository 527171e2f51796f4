"""Run one kernel, or the decoding chain, on arrays: the same for an emulated and for a real GPU."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import EngineFile
from yolotrt.cuda.device import Buffer, Device, Scope
from yolotrt.cuda.tensor import TensorType
from yolotrt.data.colours import Colours
from yolotrt.data.yuv import YuvFrame
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import TileGrid
from yolotrt.model.spec import ModelSpec
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device.decode import DeviceDecoder, Outputs
from yolotrt.pipeline.device.gather import DrawnCopy, FarPass, FoundCopy, gathering
from yolotrt.pipeline.device.mask_memory import Drawn
from yolotrt.pipeline.device.merge import DeviceMerger
from yolotrt.pipeline.device.results import BYTE, HEADER, RECORD, WORD, PassFound, Results
from yolotrt.pipeline.device.share import FrameBuffer, PassBuffers, cut_tiles, letterbox
from yolotrt.pipeline.device.yuv import YuvBuffer, cut_tiles_yuv, letterbox_yuv
from yolotrt.pipeline.merge import MergeSettings, merge_frame

Array = npt.NDArray[Any]
LABELS, COEFFICIENTS, PROTO = 3, 8, 16


def upload(scope: Scope, array: Array) -> Buffer:
    source, target, stream = scope.pinned(array.nbytes), scope.buffer(array.nbytes), scope.stream()
    source.array[: array.nbytes] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    stream.copy(target.address, source.address, array.nbytes)
    stream.synchronize()
    return target


def download(scope: Scope, address: int, kind: TensorType) -> Array:
    target, stream = scope.pinned(kind.nbytes), scope.stream()
    stream.copy(target.address, address, kind.nbytes)
    stream.synchronize()
    return target.array[: kind.nbytes].view(kind.dtype).reshape(kind.shape).copy()


class _InputOnly:
    """An engine as far as its input is concerned."""

    def __init__(self, model_wh: tuple[int, int]) -> None:
        spec = ModelSpec("t", ("a",), "images", model_wh, None, "raw", "head", "protos", COEFFICIENTS, 32)
        self.file = EngineFile(cast(Any, None), "", "fp32", spec, (), "")


def _input(scope: Scope, model_wh: tuple[int, int], images: int, dtype: Any) -> PassBuffers:
    kind = TensorType(np.dtype(dtype), (1, 3, model_wh[1], model_wh[0]))
    return PassBuffers(scope, cast(Any, _InputOnly(model_wh)), {"images": kind}, images)


def _frame(scope: Scope, frame: npt.NDArray[np.uint8]) -> FrameBuffer:
    buffer = FrameBuffer(scope, (frame.shape[1], frame.shape[0]))
    buffer.array[:] = frame
    return buffer


def cut(
    device: Device,
    frame: npt.NDArray[np.uint8],
    grid: TileGrid,
    tiles: range,
    *,
    bgr: bool = True,
    dtype: Any = np.float32,
) -> Array:
    with device.scope() as scope:
        source, target = _frame(scope, frame), _input(scope, grid.tile_wh, len(tiles), dtype)
        kernel, stream = cut_tiles(device, scope, source, grid, tiles, target, bgr=bgr), scope.stream()
        source.upload(stream)
        kernel(stream)
        stream.synchronize()
        return download(scope, target.input_buffer.address, target.input)


def letterboxed(
    device: Device, frame: npt.NDArray[np.uint8], box: Letterbox, *, dtype: Any = np.float32
) -> Array:
    with device.scope() as scope:
        source, target = _frame(scope, frame), _input(scope, box.model_wh, 1, dtype)
        kernel, stream = letterbox(device, source, box, target, bgr=True), scope.stream()
        source.upload(stream)
        kernel(stream)
        stream.synchronize()
        return download(scope, target.input_buffer.address, target.input)


def prepared_yuv(
    device: Device, samples: Array, colours: Colours, how: TileGrid | Letterbox, *, dtype: Any = np.float32
) -> Array:
    """Return tiles, or a letterboxed frame, as prepared from a decoder's frame of (3 h / 2, w) samples."""
    wh = samples.shape[1], samples.shape[0] * 2 // 3
    with device.scope() as scope:
        source, stream = YuvBuffer(scope, wh, colours), scope.stream()
        held = upload(scope, samples)
        source.source = YuvFrame(held.address, wh, colours, 0, lambda: samples)
        if isinstance(how, TileGrid):
            target = _input(scope, how.tile_wh, len(how.origins), dtype)
            kernel = cut_tiles_yuv(device, scope, source, how, range(len(how.origins)), target, 0)
        else:
            target = _input(scope, how.model_wh, 1, dtype)
            kernel = letterbox_yuv(device, source, how, target)
        source.upload(stream)
        kernel(stream)
        stream.synchronize()
        return download(scope, target.input_buffer.address, target.input)


def decoded(
    device: Device,
    head: Array,
    prototypes: Array,
    spec: ModelSpec,
    placement: Letterbox,
    settings: DecodeSettings,
) -> list[Detections]:
    with device.scope() as scope:
        outputs = Outputs(
            upload(scope, head).address,
            TensorType(head.dtype, head.shape),
            upload(scope, prototypes).address,
            TensorType(prototypes.dtype, prototypes.shape),
        )
        decoder = DeviceDecoder(device, scope, outputs, spec, placement, settings)
        width, height = placement.image_wh
        words = len(head) * decoder.limit * -(-width // WORD) * height
        results, stream = Results(scope, len(head), decoder.limit, words), scope.stream()
        drawn = scope.pinned(words * 4)
        results.draw_into(drawn.address)
        decoder.into(results).enqueue(stream)
        stream.synchronize()
        assert results.missing_words == 0
        bits = drawn.array[: results.mask_bytes].copy() if settings.masks else None
        return list(results.read([(0, 0)] * len(head), bits).detections)


def _drawn(bits: list[Array]) -> Drawn:
    """Return the masks of passes with a gap between them, as in the memory of a frame in flight."""
    gap = np.full(12, 0xFF, np.uint8)
    begins = [sum(len(b) + len(gap) for b in bits[:i]) for i in range(len(bits))]
    return Drawn(np.concatenate([part for b in bits for part in (b, gap)]), begins, [len(b) for b in bits])


def merged(
    device: Device,
    tiles: list[Detections],
    grid: TileGrid,
    global_pass: Detections | None,
    settings: MergeSettings,
    parts: Sequence[range] | None = None,
    conf: float = 0.0,
) -> tuple[Detections | None, Detections]:
    """Return what the GPU merges of tiles in several passes, and what the host merges of all in one."""
    whole = _packed(tiles, list(grid.origins))
    parts = parts or [range(len(tiles))]
    passes = [_packed(tiles[p.start : p.stop], list(grid.origins[p.start : p.stop])) for p in parts]
    if global_pass is not None:
        passes.append(_packed([global_pass], [(0, 0)]))
    with device.scope() as scope:
        decoders, results = zip(*(_on_device(scope, found) for found in passes), strict=True)
        masks = passes[0].bits is not None
        decoders, results, far = _brought(scope, decoders, results)
        merger = DeviceMerger(device, scope, grid, decoders, settings, conf=conf, masks=masks)
        bring = gathering(device, scope, merger.table(results)[: len(far)], far) if far else None
        work, stream = merger.into(scope, results), scope.stream()
        for _ in range(2):  # the second time over what the first has left
            if bring:
                bring(stream)
            work.enqueue(stream)
            stream.synchronize()
        found = work.read(_drawn([p.bits for p in passes if p.bits is not None]) if masks else None)
    frame = passes[-1].detections[0] if global_pass is not None else None
    expected = merge_frame(whole.detections, grid, frame, settings, conf=conf)
    return found, expected


def assert_identical(a: Detections, b: Detections) -> None:
    for name in ("boxes", "scores", "classes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.masks is None) == (b.masks is None)
    for one, other in zip(a.masks or (), b.masks or (), strict=True):
        assert (one.x, one.y) == (other.x, other.y)
        np.testing.assert_array_equal(one.bits, other.bits)


def _packed(images: list[Detections], origins: list[tuple[int, int]]) -> PassFound:
    """Return detections in px of the frame as a pass hands them on."""
    records = np.zeros(sum(map(len, images)), RECORD)
    rows: list[npt.NDArray[np.uint8]] = []
    index = word = 0
    for image, (found, (x, y)) in enumerate(zip(images, origins, strict=True)):
        for i in range(len(found)):
            record, index = records[index], index + 1
            record["box"] = found.boxes[i] - np.array([x, y, x, y], np.float32)
            record["score"], record["label"], record["image"] = found.scores[i], found.classes[i], image
            if found.masks is None:
                continue
            mask = found.masks[i]
            height, width = mask.bits.shape
            left, top = mask.x - x, mask.y - y
            for name, value in zip(
                ("left", "top", "right", "bottom"), (left, top, left + width, top + height), strict=True
            ):
                record[name] = value
            words = -(-(left % BYTE + width) // WORD) if width else 0
            padded = np.zeros((height, words * WORD), np.bool_)
            padded[:, left % BYTE : left % BYTE + width] = mask.bits
            record["word"], word = word, word + words * height
            rows.append(np.packbits(padded, bitorder="little"))
    drawn = all(found.masks is not None for found in images)
    return PassFound(records, np.concatenate([*rows, np.zeros(0, np.uint8)]) if drawn else None, origins)


def _on_device(scope: Scope, found: PassFound) -> tuple[Any, Any]:
    """Return what the decoder of a pass and its results are to a merger."""
    header = np.zeros(1, HEADER)
    bits = np.zeros(0, np.uint8) if found.bits is None else found.bits
    header["records"], header["words"] = len(found.records), len(bits) * 8 // WORD
    room = np.zeros(len(found.records) + 3, RECORD)
    room[: len(found.records)] = found.records
    held = {"header": scope.constant(header), "records": scope.constant(room)}
    decoder = SimpleNamespace(images=len(found.origins), limit=len(room), **held)
    return decoder, SimpleNamespace(drawn=scope.constant(bits), words=len(bits) * 8 // WORD)


def _brought(
    scope: Scope, decoders: Sequence[Any], results: Sequence[Any]
) -> tuple[list[Any], list[Any], list[FarPass]]:
    """Return passes of which all but the last two are of other GPUs, read in both ways in turn."""
    found, drawn, far = list(decoders), list(results), []
    for i in range(len(found) - 2):
        place = scope.constant(np.array([drawn[i].drawn.address], np.uint64))
        held = vars(drawn[i]) | {"header": found[i].header, "records": found[i].records, "place": place}
        far.append(FarPass(found[i], cast(Any, SimpleNamespace(**held)), reached=i % 2 == 0))
        found[i], drawn[i] = FoundCopy.of(scope, found[i]), DrawnCopy.of(scope, drawn[i])
    return found, drawn, far


def random_heads(head: str, *, images: int, seed: int, size: int = 64) -> tuple[ModelSpec, Array, Array]:
    """Return a spec, a detection head with clusters of overlapping boxes, and prototypes."""
    rng = np.random.default_rng(seed)
    kind: Literal["raw", "end2end"] = "raw" if head == "raw" else "end2end"
    names = tuple(f"c{i}" for i in range(LABELS))
    spec = ModelSpec("t", names, "images", (size, size), None, kind, "head", "protos", COEFFICIENTS, 32)
    anchors = sum((size // s) ** 2 for s in (8, 16, 32))
    centres = rng.uniform(0, size, (images, 2, anchors)) // 9 * 9
    boxes = np.concatenate([centres, rng.uniform(5, size / 2, (images, 2, anchors))], axis=1)
    scores = rng.uniform(0, 1, (images, LABELS, anchors)) ** 2
    scores = np.round(scores, 2)  # equal scores, so that ties matter
    coefficients = rng.normal(0, 1, (images, COEFFICIENTS, anchors))
    prototypes = rng.normal(0, 1, (images, COEFFICIENTS, size // 4, size // 4)).astype(np.float32)
    values = np.concatenate([boxes, scores, coefficients], axis=1).astype(np.float32)
    if kind == "raw":
        return spec, values, prototypes
    rows = 40
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    labels = scores.argmax(axis=1)[:, None]
    table = np.concatenate([corners, scores.max(axis=1)[:, None], labels, coefficients], axis=1)
    order = np.argsort(-table[:, 4], axis=1)[:, None, :rows]
    return spec, np.take_along_axis(table, order, axis=2).transpose(0, 2, 1).astype(np.float32), prototypes
