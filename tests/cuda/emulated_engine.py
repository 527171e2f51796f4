"""An engine for the emulated GPU: ONNX Runtime on the CPU, reading and writing emulated memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from tests.cuda.emulator import HostDriver, Operation
from yolotrt.backends.base import EngineFile
from yolotrt.backends.onnxruntime.fixed import fixed_batch, tensor_types
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.tensor import TensorType
from yolotrt.model.onnxfile import read_spec


class EmulatedEngine:
    """See :class:`yolotrt.backends.base.DeviceEngine`."""

    capturable = True
    reads_frames = False
    device: Device | None = None
    _scratch = count(1, 1000)

    def __init__(self, driver: HostDriver, path: Path, *, context_bytes: int = 0) -> None:
        self.driver = driver
        self.model = onnx.load(path)
        spec = read_spec(self.model, path.stem)
        self.file = EngineFile(path, "emulator", "fp32", spec, (), "")
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
        self._scratch = engine.scratch + lane  # an address that only the contexts of a lane share
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(network.SerializeToString(), options)
        self._ran = False
        self._closed = False

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
            op.writes.append((self._scratch, self._scratch + 1))
            images = op.read(source, image.dtype, *image.shape)
            outputs = self._session.run(list(targets), {spec.input_name: images})
            for (name, address), value in zip(targets.items(), outputs, strict=True):
                op.write(address, self.tensors[name].dtype, *value.shape)[:] = np.asarray(value)

        driver.submit("infer", stream_handle, work)
