"""A small backend: ONNX's own reference evaluator, on a processor. It shows what a new one needs."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from yolotrt.backends.base import (
    Availability,
    BuildConfig,
    BuiltEngine,
    Engine,
    EngineFile,
    Figure,
    LayerTime,
    LoadedOnDevice,
    Placement,
    Precision,
    QdqStyle,
)
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.cuda.device import Device
from yolotrt.cuda.machine import Machine
from yolotrt.errors import ArtifactError, DeviceError, UsageError
from yolotrt.progress import Progress


class ToyBackend:
    name, suffix, foreign_suffixes, packages = "toy", ".toy", (), ("onnx",)
    qdq_style: QdqStyle = "cpu"
    runs_on_cpu = any_batch = True
    precisions: tuple[Precision, ...] = ("fp32",)
    retunes = False
    measured = ""
    triton = None

    def availability(self) -> Availability:
        return Availability(True, f"onnx {onnx.__version__} on {platform.machine()}", builds=True)

    def placement(self, precision: Precision) -> Placement:
        return Placement((), "it has no kernels for GPUs")

    def worthwhile(self, device: str) -> tuple[Precision, ...]:
        return ("fp32",)

    def check(self, config: BuildConfig) -> None:
        if config.precision == "fp8":
            raise UsageError("The toy has no FP8.")

    def environment(self, config: BuildConfig) -> dict[str, str]:
        return {"onnx": onnx.__version__}

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        return BuiltEngine(model.SerializeToString())

    def timings(self, cache: Path) -> None:
        return None

    def notes(self, file: EngineFile) -> tuple[str, ...]:
        return ()

    def remarks(self, file: EngineFile, of: Figure, *, on_gpu: bool) -> tuple[str, ...]:
        return ()

    def build_options(self, file: EngineFile, *, batches: str | None, here: bool) -> list[str]:
        return []

    def load(self, file: EngineFile) -> ToyEngine:
        return ToyEngine(file)

    def load_on(self, file: EngineFile, device: Device) -> LoadedOnDevice:
        raise DeviceError("The toy has no kernels for GPUs.")

    def adopt(self, path: Path, machine: Machine) -> EngineFile | None:
        return None

    def describe(self, file: EngineFile, machine: Machine) -> dict[str, Any]:
        return {}

    def network(self, file: EngineFile) -> onnx.ModelProto | None:
        return onnx.load(file.path)

    def layer_times(self, engine: Engine, batch: int | None, iterations: int) -> tuple[int, list[LayerTime]]:
        raise UsageError("The toy does not time layers.")

    def roofline(
        self, file: EngineFile, gpu: str | None, batch: int | None, machine: Machine
    ) -> dict[str, Any]:
        raise UsageError("The toy does not know what its layers do.")


class ToyEngine:
    parts = ()

    def __init__(self, file: EngineFile) -> None:
        self.file = file
        try:
            self._model = onnx.load_from_string(require_unchanged(file, file.path.read_bytes()))
        except Exception as exc:  # protobuf's own error class moved between its versions
            raise ArtifactError(f"{file.path} is not a valid ONNX model.") from exc

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> ToyContext:
        return ToyContext(self, batch)

    def close(self) -> None:
        pass


class ToyContext:
    takes_host_images = True

    def __init__(self, engine: ToyEngine, batch: int) -> None:
        self.batch, self._spec = batch, engine.file.spec
        self.images = np.zeros((batch, 3, *reversed(self._spec.input_wh)), np.float32)
        self._evaluator = ReferenceEvaluator(engine._model)

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        wanted = [self._spec.head_output, self._spec.proto_output]
        head, protos = self._evaluator.run(wanted, {self._spec.input_name: self.images})
        return head, protos
