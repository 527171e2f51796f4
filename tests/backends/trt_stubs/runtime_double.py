"""A stand-in for TensorRT's runtime, used like the module it replaces.

It has no member that the real bindings lack (tests/contract checks it against each supported version)
and is as strict as they are: no enqueue without memory, shapes and addresses, no memory that is too
small. Its engines are JSON; running one writes, per image, the image's mean to the head and its maximum
to the prototypes.
"""

from __future__ import annotations

import ctypes
import enum
import json
from typing import Any

import numpy as np

__version__ = "10.99.0.1"


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    INT32 = 3


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class LayerInformationFormat(enum.Enum):
    ONELINE = 0
    JSON = 1


class IProfiler:
    def __init__(self) -> None:
        pass

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


_TYPES = {DataType.FLOAT: np.float32, DataType.HALF: np.float16}


class Runtime:
    _made = 0
    engine_host_code_allowed = False

    def __init__(self, logger: ILogger) -> None:
        Runtime._made += 1
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        try:
            return ICudaEngine(self._logger, json.loads(serialized_engine))
        except ValueError:
            message = "Serialization assertion plan.header.size == blobSize failed."
            self._logger.log(ILogger.Severity.ERROR, message)
            return None


class ICudaEngine:
    """Made of ``{"tensors": {name: [mode, type, shape]}, "profiles": [[min, opt, max]], "memory": [..]}``."""

    _alive = 0

    def __init__(self, logger: ILogger, plan: dict[str, Any]) -> None:
        self._logger = logger
        self._plan = plan
        ICudaEngine._alive += 1

    def __del__(self) -> None:
        ICudaEngine._alive -= 1

    @property
    def num_io_tensors(self) -> int:
        return len(self._plan["tensors"])

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._plan["profiles"])

    def get_tensor_name(self, index: int) -> str:
        return list(self._plan["tensors"])[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._plan["tensors"][name][0]]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._plan["tensors"][name][1]]

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self._plan["tensors"][name][2])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[list[int]]:
        rest = self._plan["tensors"][name][2][1:]
        return [[n, *rest] for n in self._plan["profiles"][profile_index]]

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self._plan["memory"][profile_index]

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy
    ) -> IExecutionContext | None:
        if self._plan.get("no_context"):
            if self._plan["no_context"] != "silently":
                self._logger.log(ILogger.Severity.ERROR, "OutOfMemory: no memory for persistent weights")
            return None
        return IExecutionContext(self, strategy)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self._plan.get("layers", []))


class EngineInspector:
    def __init__(self, layers: list[Any]) -> None:
        self._layers = layers

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        assert format is LayerInformationFormat.JSON
        return json.dumps({"Layers": self._layers})


class IExecutionContext:
    profiler: IProfiler | None = None

    def __init__(self, engine: ICudaEngine, strategy: ExecutionContextAllocationStrategy) -> None:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        self._engine = engine
        self._profile: int | None = None
        self._shape: tuple[int, ...] | None = None
        self._inferred = False
        self._memory = (0, 0)
        self._addresses: dict[str, int] = {}
        self._streams: list[int] = []

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert stream_handle, "the default stream"
        self._profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert self._profile is not None, "shape before profile"
        smallest, _, largest = self._engine._plan["profiles"][self._profile]
        self._shape, self._inferred = shape, False
        return smallest <= shape[0] <= largest and list(shape[1:]) == self._engine.get_tensor_shape(name)[1:]

    def infer_shapes(self) -> list[str]:
        self._inferred = True
        return [] if self._shape else ["images"]

    def set_device_memory(self, memory: int, size: int) -> None:
        self._memory = (memory, size)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in self._engine._plan["tensors"] and memory != 0

    def execute_async_v3(self, stream_handle: int) -> bool:
        log = self._engine._logger.log
        needed = self._engine.get_device_memory_size_for_profile_v2(self._profile or 0)
        missing = set(self._engine._plan["tensors"]) - set(self._addresses)
        for wrong, why in (
            (not stream_handle, "the default stream was given"),
            (not self._inferred, "infer_shapes was not called"),
            (self._memory[1] < needed, "the device memory is too small"),
            (needed and not self._memory[0], "no device memory was set"),
            (missing, f"addresses are missing: {missing}"),
            (self._engine._plan.get("fails"), "Cuda Runtime (an illegal memory access was encountered)"),
        ):
            if wrong:
                log(ILogger.Severity.ERROR, f"IExecutionContext::enqueueV3: Error Code 1: {why}")
                return False
        self._streams.append(stream_handle)
        self._compute()
        if self.profiler is not None:
            for name, ms in (("conv", 3.0), ("silu", 1.0)):
                self.profiler.report_layer_time(name, ms)
        return True

    def _compute(self) -> None:
        assert self._shape is not None
        ctypes.memset(self._memory[0], 0xA5, self._memory[1])  # scratch is written to
        images = None
        for name, (mode, kind, shape) in self._engine._plan["tensors"].items():
            dtype = np.dtype(_TYPES[DataType[kind]])
            full = (self._shape[0], *shape[1:])
            nbytes = int(np.prod(full)) * dtype.itemsize
            memory = (ctypes.c_uint8 * nbytes).from_address(self._addresses[name])
            array = np.ctypeslib.as_array(memory).view(dtype).reshape(full)
            if mode == "INPUT":
                images = array.astype(np.float32)
            elif len(shape) == 3:
                array[:] = images.mean(axis=(1, 2, 3))[:, None, None]
            else:
                array[:] = images.max(axis=(1, 2, 3))[:, None, None, None]
