"""A stand-in for TensorRT's builder, used like the module it replaces; see :mod:`.runtime_double`.

It behaves like TensorRT 10, which has a calibrator; :func:`without` makes newer ones of it. Its engines
are the runtime double's, with what was configured written into them.
"""

from __future__ import annotations

import enum
import json
from types import ModuleType
from typing import Any, ClassVar

import onnx

from tests.backends.trt_stubs.runtime_double import (
    DataType,
    EngineInspector,
    ExecutionContextAllocationStrategy,
    ICudaEngine,
    IExecutionContext,
    ILogger,
    IProfiler,
    LayerInformationFormat,
    Runtime,
    TensorIOMode,
    __version__,
)

__all__ = [
    "DataType", "EngineInspector", "ExecutionContextAllocationStrategy", "ICudaEngine", "IExecutionContext",
    "ILogger", "IProfiler", "LayerInformationFormat", "Runtime", "TensorIOMode", "__version__",
]  # fmt: skip


class BuilderFlag(enum.Enum):
    VERSION_COMPATIBLE = enum.auto()


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class ProfilingVerbosity(enum.Enum):
    DETAILED = 2


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class HardwareCompatibilityLevel(enum.Enum):
    NONE = 0
    AMPERE_PLUS = 1


class IProgressMonitor:
    def __init__(self) -> None:
        pass


class IInt8EntropyCalibrator2:
    def __init__(self) -> None:
        pass


class IHostMemory(bytes):
    pass


class ITimingCache:
    def __init__(self, entries: set[str]) -> None:
        self._entries = entries

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self._entries |= input_cache._entries
        return True

    def serialize(self) -> IHostMemory:
        return IHostMemory(json.dumps(sorted(self._entries)).encode())


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        self._shapes[input] = [min, opt, max]


class IBuilderConfig:
    profiling_verbosity: Any = None
    builder_optimization_level = 3
    hardware_compatibility_level = HardwareCompatibilityLevel.NONE
    progress_monitor: Any = None
    int8_calibrator: Any = None

    def __init__(self) -> None:
        self._flags: set[str] = set()
        self._limits: dict[str, int] = {}
        self._profiles: list[IOptimizationProfile] = []
        self._calibration: IOptimizationProfile | None = None
        self._cache: ITimingCache | None = None

    def set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self._limits[pool.name] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def set_calibration_profile(self, profile: IOptimizationProfile) -> bool:
        self._calibration = profile
        return True

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        if serialized_timing_cache == b"":
            return ITimingCache(set())
        try:
            return ITimingCache(set(json.loads(serialized_timing_cache)))
        except ValueError as exc:  # the bindings raise where the library gives no object
            raise TypeError("factory function returned nullptr") from exc

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if "other GPU" in cache._entries:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._tensors: dict[str, list[Any]] = {}


class OnnxParser:
    num_errors = 0

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        graph = onnx.load_model_from_string(model).graph
        for mode, values in (("INPUT", graph.input), ("OUTPUT", graph.output)):
            for value in values:
                shape = [d.dim_value or -1 for d in value.type.tensor_type.shape.dim]
                self._network._tensors[value.name] = [mode, "FLOAT", shape]
        return True


class Builder:
    _fails: str | None = None
    _networks: ClassVar[list[INetworkDefinition]] = []
    _configs: ClassVar[list[IBuilderConfig]] = []

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        if self._fails == "start":
            logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        self._networks.append(INetworkDefinition(flags))
        return self._networks[-1]

    def create_builder_config(self) -> IBuilderConfig:
        self._configs.append(IBuilderConfig())
        return self._configs[-1]

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        if self._fails is not None:
            self._logger.log(ILogger.Severity.ERROR, self._fails)
            return None
        if config._cache is not None:
            config._cache._entries.add("new timing")
        conv = {"Name": "/conv", "LayerType": "CaskConvolution", "Inputs": [], "Outputs": []}
        batches = [[shape[0] for shape in p._shapes["images"]] for p in config._profiles]
        memory = [1000 * largest for _, _, largest in batches]
        plan = {"tensors": network._tensors, "profiles": batches, "memory": memory, "layers": [conv]}
        return IHostMemory(json.dumps(plan).encode())


def without(*names: str) -> ModuleType:
    """Return this module as a newer TensorRT would be: without some names."""
    module = ModuleType("tensorrt")
    vars(module).update({k: v for k, v in globals().items() if k not in names})
    return module
