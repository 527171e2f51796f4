"""An engine that reads frames, on an emulated GPU that interprets the kernels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.fused.test_frame_stem import picture
from tests.backends.fused.test_planner import computed
from tests.backends.fused.test_runtime import SHAPE, yolo
from tests.backends.fused.test_runtime import content as content
from tests.backends.fused.test_runtime import device as device
from tests.backends.fused.test_runtime import engine as engine
from yolotrt.backends.base import FrameOnDevice, LetterboxOf, TilesOf
from yolotrt.backends.fused.file import FusedFile, Program
from yolotrt.backends.fused.runtime import FusedContext, FusedEngine
from yolotrt.cuda.device import Device
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.device.sources import table_of

pytest.importorskip("triton")

WH = (80, 40)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-2 * np.abs(wanted).max())


def test_images_may_begin_one_after_another(engine: FusedEngine, device: Device, content: FusedFile) -> None:
    """In any order and number; what runs ahead of other images disturbs none of theirs."""
    assert 2 < content.ahead < len(content.programs[0].starts)
    assert engine.reads_frames
    frame, grid = picture(WH), tile_grid(WH, (SHAPE.size, SHAPE.size))
    origins = grid.origins[:2]
    context: FusedContext = engine.new_context(2)
    with device.scope() as scope:
        stream = scope.stream()
        read = FrameOnDevice(scope.constant(frame).address, *WH, bgr=True)
        outputs = {n: scope.pinned(context.tensors[n].nbytes) for n in ("output0", "output1")}
        context.output_pointers = {n: b.address for n, b in outputs.items()}
        context.source = TilesOf(read, scope.constant(np.array(origins, np.int32)).address)
        for images in (range(1, 2), range(1)):
            context.begin(stream.handle, images)
        context.resume(stream.handle)
        stream.synchronize()
        tiles = np.stack(grid.cut(frame)[:2])[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
        wanted = computed(yolo(SHAPE), tiles)
        for name, right in zip(("output0", "output1"), wanted, strict=True):
            tensor = context.tensors[name]
            found = outputs[name].array[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
            assert close(found, right)
    context.close()


def test_whole_frames_are_letterboxed_each_image_from_one_of_its_own(
    engine: FusedEngine, device: Device
) -> None:
    frames, box = [picture(WH), picture(WH)[:, ::-1].copy()], Letterbox.fit(WH, (SHAPE.size, SHAPE.size))
    context: FusedContext = engine.new_context(len(frames))
    with device.scope() as scope:
        stream = scope.stream()
        outputs = {n: scope.pinned(context.tensors[n].nbytes) for n in ("output0", "output1")}
        context.output_pointers = {n: b.address for n, b in outputs.items()}
        across, down = (scope.constant(table_of(box, axis)).address for axis in (0, 1))
        for image, frame in enumerate(frames):
            read = FrameOnDevice(scope.constant(frame).address, *WH, bgr=True)
            context.source = LetterboxOf(read, across, down)
            context.begin(stream.handle, range(image, image + 1))
        context.resume(stream.handle)
        stream.synchronize()
        boxed = np.stack([box.apply(frame) for frame in frames])
        images = boxed[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
        right = computed(yolo(SHAPE), images)[0]
        tensor = context.tensors["output0"]
        found = outputs["output0"].array[: tensor.nbytes].view(tensor.dtype).reshape(tensor.shape)
        assert close(found, right)
        assert not close(found[0], right[1])
    context.close()


def test_engines_that_were_built_before_read_prepared_input_only(
    engine: FusedEngine, content: FusedFile
) -> None:
    plain = tuple(Program(p.target, p.smallest, p.largest, p.starts) for p in content.programs)
    engine.content = FusedFile(**{**vars(content), "programs": plain})
    assert not engine.reads_frames
