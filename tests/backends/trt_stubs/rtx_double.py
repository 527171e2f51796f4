"""What TensorRT-RTX has and TensorRT lacks, for the runtime double; checked against its real bindings.

:func:`module` is the whole library. Its engines say with ``"capturable": false`` that they cannot be
captured.
"""

from __future__ import annotations

import enum
import json
from types import ModuleType
from typing import Any

from tests.backends.trt_stubs import runtime_double as base

__version__ = "1.99.0.1"


class ComputeCapability(enum.Enum):
    SM86 = 86
    SM120 = 120


class EngineValidity(enum.Enum):
    INVALID = 2


class EngineInvalidityDiagnostics(enum.IntFlag):
    VERSION_MISMATCH = 1
    OLD_CUDA_DRIVER = 4


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1


class IRuntimeConfig:
    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def __init__(self) -> None:
        self._allocation: Any = None

    def set_execution_context_allocation_strategy(
        self, strategy: base.ExecutionContextAllocationStrategy
    ) -> None:
        self._allocation = strategy


class IExecutionContext(base.IExecutionContext):
    def is_stream_capturable(self, stream: int) -> bool:
        assert stream, "the default stream"
        return bool(self._engine._plan.get("capturable", True))


class ICudaEngine(base.ICudaEngine):
    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, strategy: Any) -> IExecutionContext:
        assert isinstance(strategy, IRuntimeConfig)
        eager = DynamicShapesKernelSpecializationStrategy.EAGER
        assert strategy.dynamic_shapes_kernel_specialization_strategy is eager
        return IExecutionContext(self, strategy._allocation)


class Runtime(base.Runtime):
    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if not serialized_engine.startswith(b"{"):
            return None
        return ICudaEngine(self._logger, json.loads(serialized_engine))

    def get_engine_validity(self, buffer: bytes) -> tuple[EngineValidity, int]:
        found = EngineInvalidityDiagnostics.VERSION_MISMATCH | EngineInvalidityDiagnostics.OLD_CUDA_DRIVER
        return EngineValidity.INVALID, int(found)


def module() -> ModuleType:
    """Return the runtime double with everything above in it."""
    made = ModuleType("tensorrt_rtx")
    vars(made).update(vars(base))
    vars(made).update({k: v for k, v in globals().items() if k not in ("base", "module")})
    return made
