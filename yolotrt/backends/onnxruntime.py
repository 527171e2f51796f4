"""ONNX Runtime's CPU provider: the embedded backend that makes every command work anywhere."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolotrt.backends.admission import require_unchanged
from yolotrt.backends.base import Availability, BuildConfig, BuiltEngine, EngineFile, QdqStyle
from yolotrt.errors import ArtifactError, BuildError, ExecutionError, UsageError
from yolotrt.model.finite import first_not_finite
from yolotrt.model.onnxfile import require_whole
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx

    from yolotrt.backends.onnxruntime_cuda import OnnxRuntimeCudaEngine
    from yolotrt.cuda.device import Device

Floats = npt.NDArray[np.float32]

ROUNDS_FP16 = (1, 30)
"""First ONNX Runtime whose QuantizeLinear rounds FP16 values on a processor."""


@contextlib.contextmanager
def _mapped_errors(what: str) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions into ours; the only place that meets them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile, state.NotImplemented) as exc:
        raise ArtifactError(
            f"ONNX Runtime cannot load {what} ({str(exc).splitlines()[0]}).",
            hint="The file is damaged or uses operators that this ONNX Runtime lacks; build it again.",
        ) from exc
    except (state.Fail, state.RuntimeException, state.InvalidArgument, state.EPFail, MemoryError) as exc:
        raise ExecutionError(
            f"ONNX Runtime failed on {what} ({str(exc).splitlines()[0]}).",
            hint="If memory ran out, use more --groups (smaller batches).",
        ) from exc


class OnnxRuntimeBackend:
    """Engines are ONNX files; any batch size runs on any of them."""

    name = "onnxruntime"
    suffix = ".onnx"
    qdq_style: QdqStyle = "cpu"

    def availability(self) -> Availability:
        """ONNX Runtime is a core dependency: it is there, and its CPU provider always works."""
        import onnxruntime as ort

        return Availability(True, f"{ort.__version__} on {_device()}", builds=True)

    def check(self, config: BuildConfig) -> None:
        """Refuse what only TensorRT has: an engine without it would be another than was asked for."""
        asked = {
            "--fp8": config.precision == "fp8",
            "--implicit": config.implicit,
            "--version-compatible": config.version_compatible,
            "--hardware-compatible": config.hardware_compatible,
            "--compute-capability": config.compute_capabilities,
        }
        for option, value in asked.items():
            if value:
                raise UsageError(
                    f"ONNX Runtime has no {option}.",
                    hint="Add --backend tensorrt, or --backend tensorrt-rtx.",
                )

    def environment(self, config: BuildConfig) -> dict[str, str]:
        """Return the library version and the processor architecture."""
        import onnxruntime as ort

        return {"onnxruntime": ort.__version__, "device": _device()}

    def build(self, model: onnx.ModelProto, config: BuildConfig, progress: Progress) -> BuiltEngine:
        """Return the network as it is, after ONNX Runtime has run it once.

        Raises:
            BuildError: Its outputs hold NaN or infinity, or this ONNX Runtime would quantise FP16 wrongly.
        """
        progress("check with ONNX Runtime", 0, 1)
        _require_rounding(model, config)
        data: bytes = model.SerializeToString()
        _require_finite_outputs(_new_session(data, "the network", threads=1), model, config)
        progress("check with ONNX Runtime", 1, 1)
        return BuiltEngine(data)

    def load(self, file: EngineFile) -> OnnxRuntimeEngine:
        """Load an engine on the processor.

        Raises:
            ArtifactError: ONNX Runtime cannot read it.
        """
        return OnnxRuntimeEngine(file)

    def load_on(self, file: EngineFile, device: Device) -> OnnxRuntimeCudaEngine:
        """Load an engine on a GPU; see :func:`yolotrt.backends.onnxruntime_cuda.load`."""
        from yolotrt.backends.onnxruntime_cuda import load

        return load(file, device)


def _require_finite_outputs(session: Any, model: onnx.ModelProto, config: BuildConfig) -> None:
    """Run a random picture; a network that overflows in this precision is refused with the layer's name."""
    spec = config.spec
    width, height = spec.input_wh
    picture = np.random.default_rng(0).random((spec.batch or 1, 3, height, width), np.float32)
    inputs = {spec.input_name: picture}
    with _mapped_errors("the network"):
        outputs = session.run([spec.head_output, spec.proto_output], inputs)
    for name, values in zip((spec.head_output, spec.proto_output), outputs, strict=True):
        if not np.isfinite(values).all():
            layer = first_not_finite(model, inputs) or "a layer that only overflows when layers are fused"
            raise BuildError(
                f"The output {name!r} of {spec.name} in {config.precision} holds NaN or infinity; "
                f"the first to make one is {layer}.",
                hint="Build it with --fp32; if that says the same, the weights are broken.",
            )


def _require_rounding(model: onnx.ModelProto, config: BuildConfig) -> None:
    """Refuse FP16 values before a QuantizeLinear where they would be cut off instead of rounded.

    ONNX Runtime before 1.30 does so on a processor; it doubled the loss of a network's integers. Only
    networks that came with Q/DQ nodes of their own have both: ours stay FP32 on a processor.
    """
    import onnxruntime as ort

    version = tuple(int(part) for part in ort.__version__.split(".")[:2])
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if config.precision == "fp16" and quantized and version < ROUNDS_FP16:
        raise BuildError(
            f"ONNX Runtime {ort.__version__} cuts FP16 values off where {config.spec.name} quantises them.",
            hint="Build it with --fp32, or with onnxruntime 1.30 or newer, which rounds them.",
        )


def _device() -> str:
    return f"cpu ({platform.machine()})"


@functools.cache
def _share_memory() -> None:
    """Give all sessions of the process one arena.

    A sweep opens many sessions that take turns. With an arena each, and each growing in powers of two to
    its largest batch, two engines over four group counts held 15 GB.
    """
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import OrtAllocatorType, OrtMemType

    memory = ort.OrtMemoryInfo("Cpu", OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, OrtMemType.DEFAULT)
    same_as_requested = 1
    arena = ort.OrtArenaCfg({"arena_extend_strategy": same_as_requested})
    ort.create_and_register_allocator(memory, arena)


def _new_session(data: bytes, what: str, threads: int) -> Any:
    import onnxruntime as ort

    _share_memory()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads of an idle session would steal the cores from the one being measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _mapped_errors(what):
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class OnnxRuntimeEngine:
    """One loaded engine. Sessions are made on demand and shared as far as threads allow.

    A session with one thread has no pool of its own and may be entered by many threads at once; a
    session with a pool of n threads must be entered by one lane only, or more than n would compute.
    """

    def __init__(self, file: EngineFile) -> None:
        self.file = file
        self._data: bytes = require_whole(require_unchanged(file, file.path.read_bytes()), file.path)
        self._sessions: dict[tuple[int, int], Any] = {}
        self._lanes: dict[tuple[int, int], _Lane] = {}

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> OnnxRuntimeContext:
        """Return a context; see :meth:`yolotrt.backends.base.Engine.new_context`."""
        spec = self.file.spec
        if spec.batch not in (None, batch):
            raise ArtifactError(
                f"{self.file.path} takes batches of exactly {spec.batch}, not of {batch}.",
                hint="Export the weights with yolotrt export: its ONNX files take any batch size.",
            )
        session_key = (threads, lane if threads > 1 else 0)
        if session_key not in self._sessions:
            self._sessions[session_key] = _new_session(self._data, str(self.file.path), threads)
        key = (threads, lane)
        if key not in self._lanes:
            self._lanes[key] = _Lane(self._sessions[session_key], spec)
        self._lanes[key].grow(batch)
        return OnnxRuntimeContext(self._lanes[key], batch)

    def close(self) -> None:
        """Free sessions and buffers."""
        self._lanes.clear()
        self._sessions.clear()


@functools.cache
def _shrinking() -> Any:
    """Return how the first batch of a size is run: what it took is given back to the system.

    From its memory ONNX Runtime plans one block for all later batches of the size. Without this it would
    keep both, twice of what a batch needs.
    """
    import onnxruntime as ort

    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


class _Lane:
    """A session and the buffers of its largest batch; smaller batches use their first rows.

    ``planned`` holds the batch sizes that were run before.
    """

    def __init__(self, session: Any, spec: ModelSpec) -> None:
        self.session = session
        self.spec = spec
        self.images: Floats = np.empty((0, 3, *reversed(spec.input_wh)), np.float32)
        shapes = {o.name: o.shape[1:] for o in session.get_outputs()}
        self.head: Floats = np.empty((0, *shapes[spec.head_output]), np.float32)
        self.protos: Floats = np.empty((0, *shapes[spec.proto_output]), np.float32)
        self.planned: set[int] = set()

    def grow(self, batch: int) -> None:
        if batch > len(self.images):
            self.images = np.zeros((batch, *self.images.shape[1:]), np.float32)
            self.head = np.zeros((batch, *self.head.shape[1:]), np.float32)
            self.protos = np.zeros((batch, *self.protos.shape[1:]), np.float32)


class OnnxRuntimeContext:
    """Runs batches of one size on one lane."""

    def __init__(self, lane: _Lane, batch: int) -> None:
        self.batch = batch
        self._lane = lane
        self._bound: tuple[Floats, Any] | None = None  # the buffers that were bound, and the binding

    @property
    def images(self) -> Floats:
        """The lane's input buffer, first ``batch`` rows."""
        return self._lane.images[: self.batch]

    def run(self) -> tuple[Floats, Floats]:
        """Run the batch; see :meth:`yolotrt.backends.base.Context.run`."""
        lane = self._lane
        with _mapped_errors(lane.spec.name):
            if self._bound is None or self._bound[0] is not lane.images:
                self._bound = (lane.images, self._bind())
            if self.batch in lane.planned:
                lane.session.run_with_iobinding(self._bound[1])
            else:
                lane.session.run_with_iobinding(self._bound[1], _shrinking())
                lane.planned.add(self.batch)
        return lane.head[: self.batch], lane.protos[: self.batch]

    def _bind(self) -> Any:
        """Bind the lane's buffers, which stay where they are until the lane grows."""
        lane, images = self._lane, self.images
        head, protos = lane.head[: self.batch], lane.protos[: self.batch]
        binding = lane.session.io_binding()
        binding.bind_input(lane.spec.input_name, "cpu", 0, np.float32, images.shape, images.ctypes.data)
        for name, array in ((lane.spec.head_output, head), (lane.spec.proto_output, protos)):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding
