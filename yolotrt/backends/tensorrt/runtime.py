"""Loading engines: one TensorRT runtime per process, one loaded engine for all its contexts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from yolotrt.artifacts.files import require_file
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.backends.agreement import require_agreement
from yolotrt.backends.base import EngineFile, Layer, Precision
from yolotrt.backends.layers import is_convolution
from yolotrt.backends.profiles import Profile, batch_sizes
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.backends.tensorrt.context import Lane, TensorRtContext, failure
from yolotrt.backends.tensorrt.identity import check_fits
from yolotrt.backends.tensorrt.inspector import inspect_layers
from yolotrt.backends.tensorrt.library import Library
from yolotrt.backends.tensorrt.recorded import VERSION_COMPATIBLE, options_of
from yolotrt.backends.tensorrt.refusal import refusal
from yolotrt.backends.tensorrt.ultralytics import split
from yolotrt.cuda.device import Device
from yolotrt.cuda.probe import FoundGpu
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ArtifactError
from yolotrt.model.interface import Interface, Port
from yolotrt.model.reading import read_interface
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import tensorrt as trt


_PROBE_LANE = -1
"""Lane of a context that is made only to ask something."""


def load(library: Library, gpu: FoundGpu, device: Device, file: EngineFile) -> TensorRtEngine:
    """Load an engine that yolotrt built.

    Args:
        library: The library that built it.
        gpu: Proof that CUDA works, and what the engine must fit.
        device: That GPU; gives memory and streams, and outlives the engine.
        file: The engine.

    Raises:
        ArtifactError: It was built for another version or GPU, is damaged, or its sidecar contradicts it.
        DeviceError: The driver is too old, or the GPU's memory does not suffice.
    """
    check_fits(library, gpu, file)
    _, plan = split(require_unchanged(file, file.path.read_bytes()))
    trusted = VERSION_COMPATIBLE in options_of(file)
    native = _deserialize(library, gpu, device, file.path, plan, rebuild_command(file), host_code=trusted)
    return TensorRtEngine(library, native, device, file)


def load_foreign(library: Library, gpu: FoundGpu, device: Device, path: Path) -> TensorRtEngine:
    """Load an engine without a sidecar: one that Ultralytics or trtexec made.

    Its interface is read from the engine, class names and stride from Ultralytics' header if it has one.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: TensorRT cannot load it.
        ModelError: It is not a YOLO segmentation network with a fixed input size.
    """
    data = require_file(path, "a TensorRT engine").read_bytes()
    metadata, plan = split(data)
    native = _deserialize(library, gpu, device, path, plan, "yolotrt build MODEL", host_code=False)
    # Ultralytics' header tells more than is relied on here: its name is a description.
    told = {key: value for key, value in metadata.items() if key != "name"}
    spec = read_interface(_interface(library, native, told), path.stem)
    layers = inspect_layers(library, native)
    file = EngineFile(
        path=path,
        backend=library.product.backend,
        precision=_precision(layers),
        spec=spec,
        batches=(),
        sha256=sha256_bytes(data),
        layers=layers,
    )
    profiles = _profiles(native, spec)
    return TensorRtEngine(library, native, device, replace(file, batches=batch_sizes(profiles)))


class TensorRtEngine:
    """One loaded engine and what its contexts share.

    Attributes:
        file: The engine on disk.
        native: TensorRT's own object.
        library: The library it belongs to.
        device: The GPU.
        reads_frames: Its contexts want prepared input.
        reads_yuv: Likewise.
    """

    reads_frames = reads_yuv = False

    def __init__(self, library: Library, native: trt.ICudaEngine, device: Device, file: EngineFile) -> None:
        self.file = file
        self.native = native
        self.library = library
        self.device = device
        require_agreement(file, _interface(library, native, {}))
        self._profiles = _profiles(native, file.spec)
        self._tensors = _tensors(library, native, file)
        self._lanes: dict[int, Lane] = {}
        # Weak: a context that its user has dropped gives its memory back at once.
        self._contexts: WeakSet[TensorRtContext] = WeakSet()
        self._runtime_config: trt.IRuntimeConfig | None = None
        self._capturable: bool | None = None
        self._closed = False

    @property
    def parts(self) -> tuple[TensorRtEngine]:
        """Itself: it is on one GPU."""
        return (self,)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Batch sizes that the engine accepts, in TensorRT's order."""
        return self._profiles

    @property
    def capturable(self) -> bool:
        """Whether contexts can be captured in a CUDA graph once they have run.

        TensorRT-RTX is asked, on a context that is freed again: an engine of another tool may need to
        allocate while it runs. TensorRT can capture every network without data-dependent shapes.
        """
        if self._capturable is None:
            self._capturable = True
            if hasattr(self.library.trt.IExecutionContext, "is_stream_capturable"):
                context = self.new_context(self._profiles[0].smallest, lane=_PROBE_LANE)
                native: trt.IExecutionContext = context.native
                lane = self._lanes.pop(_PROBE_LANE)
                self._capturable = bool(native.is_stream_capturable(lane.stream.handle))
                context.close()
                lane.close()
        return self._capturable

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> TensorRtContext:
        """Return a context bound to the profile for ``batch``.

        See :meth:`yolotrt.backends.base.Engine.new_context`.

        Raises:
            ArtifactError: The engine has no profile for this batch size.
            OutOfDeviceMemory: The GPU's memory does not suffice.
            ExecutionError: TensorRT refused.
        """
        index = self._profile_for(batch)
        self.device.bind()
        self.library.log.forget()  # or a failure would be explained by the one before it
        native = self._native_context()
        if native is None:
            raise failure(self.library, f"make a context for a batch of {batch}")
        if lane not in self._lanes:
            self._lanes[lane] = Lane(self.device, self._tensors)
        context = TensorRtContext(
            self.library,
            native,
            self._lanes[lane],
            batch,
            index,
            self.native.get_device_memory_size_for_profile_v2(index),
        )
        self._contexts.add(context)
        return context

    def close(self) -> None:
        """Free contexts, buffers and the engine; the device stays its maker's. Once is enough."""
        if self._closed:
            return
        self._closed = True
        for context in list(self._contexts):
            context.close()
        for lane in self._lanes.values():
            lane.close()
        self._contexts.clear()
        self._lanes.clear()
        self._runtime_config = None
        del self.native

    def _native_context(self) -> trt.IExecutionContext | None:
        api = self.library.trt
        strategy = api.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(api, "DynamicShapesKernelSpecializationStrategy"):
            return self.native.create_execution_context(strategy)
        if self._runtime_config is None:
            # TensorRT-RTX compiles kernels for a batch size when it first runs: by default beside the
            # first runs, on slower kernels, which a captured graph would keep for good.
            self._runtime_config = config = self.native.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            eager = api.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = eager
        return self.native.create_execution_context(self._runtime_config)

    def _profile_for(self, batch: int) -> int:
        """Return the index of the narrowest profile that holds ``batch``: an exact one if there is one."""
        fitting = [
            (p.largest - p.smallest, i)
            for i, p in enumerate(self._profiles)
            if p.smallest <= batch <= p.largest
        ]
        if not fitting:
            have = ", ".join(map(str, self._profiles))
            wanted = ",".join(map(str, sorted({*self._profiles, Profile.fixed(batch)})))
            raise ArtifactError(
                f"{self.file.path} has no profile for batches of {batch} (it has {have}).",
                hint=f"Build one with it: {rebuild_command(self.file, batches=wanted)}",
            )
        return min(fitting)[1]


def _deserialize(
    library: Library, gpu: FoundGpu, device: Device, path: Path, plan: bytes, rebuild: str, *, host_code: bool
) -> trt.ICudaEngine:
    device.bind()
    runtime = library.runtime(gpu)
    # A version-compatible engine carries code for the host. Only one that we built is trusted that far.
    runtime.engine_host_code_allowed = host_code
    with library.log.session() as said:
        engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise refusal(library, gpu, path, plan, said.errors, rebuild)
    return engine


def _profiles(native: trt.ICudaEngine, spec: ModelSpec) -> tuple[Profile, ...]:
    fixed = native.get_tensor_shape(spec.input_name)[0]
    if fixed != -1:
        return (Profile.fixed(fixed),)
    shapes = (
        native.get_tensor_profile_shape(spec.input_name, i) for i in range(native.num_optimization_profiles)
    )
    return tuple(Profile(*(int(shape[0]) for shape in three)) for three in shapes)


def _tensors(library: Library, native: trt.ICudaEngine, file: EngineFile) -> dict[str, TensorType]:
    """Return input, head and prototypes as the engine has them, for one image."""
    types = {library.trt.DataType.FLOAT: np.float32, library.trt.DataType.HALF: np.float16}
    found = {}
    for name in (file.spec.input_name, file.spec.head_output, file.spec.proto_output):
        kind = native.get_tensor_dtype(name)
        if kind not in types:
            raise ArtifactError(
                f"{file.path} has {name!r} as {kind.name}; yolotrt reads FP32 and FP16.",
                hint=f"Build it again: {rebuild_command(file)}",
            )
        shape = (1, *(int(n) for n in native.get_tensor_shape(name)[1:]))
        found[name] = TensorType(np.dtype(types[kind]), shape)
    return found


def _interface(library: Library, native: trt.ICudaEngine, properties: Mapping[str, str]) -> Interface:
    """Return what the engine shows. Of types all count as FP32 here: :func:`_tensors` looks at them."""
    inputs: list[Port] = []
    outputs: list[Port] = []
    for i in range(native.num_io_tensors):
        tensor = native.get_tensor_name(i)
        dims = tuple(
            int(n) if n >= 0 else f"d{axis}" for axis, n in enumerate(native.get_tensor_shape(tensor))
        )
        is_input = native.get_tensor_mode(tensor) == library.trt.TensorIOMode.INPUT
        (inputs if is_input else outputs).append(Port(tensor, "float", dims))
    return Interface(tuple(inputs), tuple(outputs), properties)


def _precision(layers: tuple[Layer, ...]) -> Precision:
    """Return the narrowest type that convolutions read; FP32 where the engine does not tell."""
    types = {layer.inputs[0] for layer in layers if is_convolution(layer) and layer.inputs}
    names: tuple[tuple[str, Precision], ...] = (("FP8", "fp8"), ("INT8", "int8"), ("FP16", "fp16"))
    return next((precision for name, precision in names if name in types), "fp32")
