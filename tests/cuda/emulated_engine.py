"""An engine for the emulated GPU: ONNX Runtime on the CPU, reading and writing emulated memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from tests.cuda.emulator import HostDriver, Operation
from tests.cuda.reference import cut_tiles, cut_tiles_yuv, letterbox_yuv
from yolotrt.backends.base import EngineFile, FrameSource, TilesOf, YuvOnDevice
from yolotrt.backends.onnxruntime.fixed import fixed_batch, tensor_types
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.tensor import TensorType
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.model.onnxfile import read_spec
from yolotrt.pipeline.device.sources import chroma_table_of, table_of


class EmulatedEngine:
    """See :class:`yolotrt.backends.base.DeviceEngine`."""

    capturable = True
    device: Device | None = None
    _scratch = count(1, 1000)

    def __init__(
        self, driver: HostDriver, path: Path, *, context_bytes: int = 0, reads_frames: bool = False
    ) -> None:
        self.driver, self.reads_frames, self.reads_yuv = driver, reads_frames, False
        self.model = onnx.load(path)
        spec = read_spec(self.model, path.stem)
        self.file = EngineFile(path, "onnxruntime", "fp32", spec, (), "")
        self.context_bytes = context_bytes
        self.lanes: list[int] = []
        self.scratch = next(self._scratch)

    @property
    def parts(self) -> tuple[EmulatedEngine, ...]:
        return (self,) if self.device is not None else ()

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> EmulatedContext:
        self.lanes.append(lane)
        return EmulatedContext(self, batch, lane)


class EmulatedContext:
    """Has scratch memory like a real context, so that two of them at once would be found out."""

    def __init__(self, engine: EmulatedEngine, batch: int, lane: int) -> None:
        self._engine = engine
        network = fixed_batch(engine.model, batch)
        self.batch = batch
        self.tensors: Mapping[str, TensorType] = tensor_types(network, engine.file.spec)
        self.input_pointer = 0
        self.output_pointers: Mapping[str, int] = {}
        spec = engine.file.spec
        image = self.tensors[spec.input_name]
        self._images = np.full(image.shape, np.nan, image.dtype)
        self._scratch = engine.scratch + lane  # an address that only the contexts of a lane share
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(network.SerializeToString(), options)
        self.source: FrameSource | None = None
        self._ran = False
        self._closed = False

    def begin(self, stream_handle: int, images: range) -> None:
        """Read some images from a frame, as the first layers of an engine that reads frames do."""
        source = self.source
        assert source is not None

        def work(op: Operation) -> None:
            for i in images:
                self._images[i] = self._read(op, source, i)
            # Marks in the scratch memory show whether all have begun before the rest runs.
            op.writes += [(self._mark(i), self._mark(i) + 1) for i in images]

        self._engine.driver.submit("begin", stream_handle, work)

    def resume(self, stream_handle: int) -> None:
        def work(op: Operation) -> None:
            op.reads += [(self._mark(i), self._mark(i) + 1) for i in range(self.batch)]
            assert not np.isnan(self._images).any(), "some images have not begun"
            self._infer(op, self._images, targets)
            self._images[:] = np.nan

        targets = dict(self.output_pointers)
        self._engine.driver.submit("infer", stream_handle, work)

    def _mark(self, image: int) -> int:
        return 10**9 * (1 + self._scratch) + image  # an address that only the contexts of a lane share

    def _read(self, op: Operation, source: FrameSource, image: int) -> np.ndarray:
        """Prepare one image with the references of the kernels that other engines need."""
        frame, kind = source.frame, self.tensors[self._engine.file.spec.input_name]
        _, _, height, width = kind.shape
        out = np.zeros((1, 3, height, width), np.float32)
        if isinstance(frame, YuvOnDevice):
            self._read_yuv(op, source, frame, image, out)
        elif isinstance(source, TilesOf):
            at = [source.origins + 8 * image, out.ctypes.data]
            where = [frame.address, frame.width, frame.height, *at, width, height, int(frame.bgr)]
            cut_tiles(op, {"HALF": 0}, where, (1, 1, 1))
        else:
            tables = [op.read(a, np.int32, n, 4) for a, n in ((source.across, width), (source.down, height))]
            image_wh = frame.width, frame.height
            box = Letterbox.fit(image_wh, (width, height))
            assert all((t == table_of(box, axis)).all() for axis, t in enumerate(tables))
            pixels = op.read(frame.address, np.uint8, frame.height, frame.width, 3)
            rgb = box.apply(pixels)[..., :: -1 if frame.bgr else 1]
            out[0] = (rgb.astype(np.float32) / np.float32(255)).transpose(2, 0, 1)
        op.writes = [w for w in op.writes if w[0] != out.ctypes.data]
        return out[0].astype(kind.dtype)

    def _read_yuv(
        self, op: Operation, source: FrameSource, frame: YuvOnDevice, image: int, out: np.ndarray
    ) -> None:
        _, _, height, width = out.shape
        defines, image_wh = {"HALF": 0, "WIDE": int(frame.wide)}, (frame.width, frame.height)
        colours = [*frame.site, frame.colours]
        if isinstance(source, TilesOf):
            at = [source.origins + 8 * image, out.ctypes.data, width, height]
            cut_tiles_yuv(op, defines, [frame.address, *image_wh, *at, *colours], (1, 1, 1))
            return
        box = Letterbox.fit(image_wh, (width, height))
        tables = (source.across_chroma, source.down_chroma)
        for axis, (table, size) in enumerate(zip(tables, (width, height), strict=True)):
            assert (op.read(table, np.int32, size, 4) == chroma_table_of(box, axis, frame.site)).all()
        scales = [image_wh[axis] / box.resized_wh[axis] for axis in (0, 1)]
        where = [out.ctypes.data, width, height, *box.pad_xy, *box.resized_wh, *scales]
        letterbox_yuv(op, defines, [frame.address, *image_wh, *where, *colours], (1, 1, 1))

    def close(self) -> None:
        assert not self._closed
        self._closed = True

    def enqueue(self, stream_handle: int) -> None:
        driver, spec = self._engine.driver, self._engine.file.spec
        if not self._ran and self._engine.context_bytes:
            if self._engine.context_bytes > driver.memory()[0]:
                raise OutOfDeviceMemory("Not enough memory for the context.")
            driver.allocate(self._engine.context_bytes)
        self._ran = True
        source, targets = self.input_pointer, dict(self.output_pointers)

        def work(op: Operation) -> None:
            image = self.tensors[spec.input_name]
            self._infer(op, op.read(source, image.dtype, *image.shape), targets)

        driver.submit("infer", stream_handle, work)

    def _infer(self, op: Operation, images: np.ndarray, targets: Mapping[str, int]) -> None:
        op.writes.append((self._scratch, self._scratch + 1))
        outputs = self._session.run(list(targets), {self._engine.file.spec.input_name: images})
        for (name, address), value in zip(targets.items(), outputs, strict=True):
            op.write(address, self.tensors[name].dtype, *value.shape)[:] = np.asarray(value)
