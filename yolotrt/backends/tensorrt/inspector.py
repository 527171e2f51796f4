"""What is in an engine, told by TensorRT itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.backends.base import Layer
from yolotrt.backends.tensorrt.layers import from_inspector
from yolotrt.backends.tensorrt.library import Library
from yolotrt.cuda.probe import FoundGpu

if TYPE_CHECKING:
    import tensorrt as trt


def inspect_plan(library: Library, gpu: FoundGpu, data: bytes) -> tuple[Layer, ...]:
    """Return the layers of a serialised engine; empty if it cannot be loaded here."""
    engine = library.runtime(gpu).deserialize_cuda_engine(data)
    return inspect_layers(library, engine) if engine is not None else ()


def inspect_layers(library: Library, engine: trt.ICudaEngine) -> tuple[Layer, ...]:
    """Return the layers of a loaded engine, as far as it was built to tell."""
    inspector = engine.create_engine_inspector()
    return from_inspector(inspector.get_engine_information(library.trt.LayerInformationFormat.JSON))
