"""ONNX Runtime's CPU provider: an engine that works on any machine."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.agreement import adapted_bytes, interface_of_session, is_plain, require_precision
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.errors import ArtifactError, ExecutionError
from yolotrt.model.onnxfile import require_whole
from yolotrt.model.spec import ModelSpec
from yolotrt.model.wire import outline


@contextlib.contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions into ours; the only place that meets them."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile, state.NotImplemented) as exc:
        raise ArtifactError(
            f"ONNX Runtime cannot load {what} ({str(exc).splitlines()[0]}).",
            hint="The file is damaged or uses operators that this ONNX Runtime lacks; build it again.",
        ) from exc
    # Runs on a binding raise Python's own RuntimeError.
    except (
        state.Fail,
        state.RuntimeException,
        state.InvalidArgument,
        state.EPFail,
        RuntimeError,
        MemoryError,
    ) as exc:
        reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        hint = "The network does not compute what it declares; export it again: yolotrt export WEIGHTS.pt"
        if isinstance(exc, MemoryError) or re.search(r"alloc|memory", reason, re.I):
            hint = "If memory ran out, use more --groups (smaller batches)."
        elif re.search(r"opset|ir.version", reason, re.I):
            hint = (
                "The file is newer than this ONNX Runtime: pip install -U onnxruntime, or export to opset 19."
            )
        raise ExecutionError(f"ONNX Runtime failed on {what} ({reason}).", hint=hint) from exc


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


def new_session(data: bytes, what: str, threads: int) -> Any:
    """Return a session on the processor.

    Args:
        data: The network.
        what: What to call it in errors.
        threads: Threads that one run may use.

    Raises:
        ArtifactError: ONNX Runtime cannot load it.
    """
    import onnxruntime as ort

    _share_memory()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads of an idle session would steal the cores from the one being measured.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with mapped_errors(what):
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class OnnxRuntimeEngine:
    """One loaded engine. Sessions are made on demand and shared as far as threads allow.

    A session with one thread has no pool of its own and may be entered by many threads at once; a
    session with a pool of n threads must be entered by one lane only, or more than n would compute.
    """

    def __init__(self, file: EngineFile) -> None:
        self.file = file
        self._data: bytes = require_unchanged(file, file.path.read_bytes())
        outlined = outline(self._data)
        require_whole(self._data, outlined, file.path)
        require_precision(file, self._data, outlined)
        self._sessions: dict[tuple[int, int], Any] = {}
        self._lanes: dict[tuple[int, int], _Lane] = {}

    @property
    def parts(self) -> tuple[()]:
        """Nothing: it is fed from the host."""
        return ()

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
            self._sessions[session_key] = self._open(threads)
        key = (threads, lane)
        if key not in self._lanes:
            self._lanes[key] = _Lane(self._sessions[session_key], spec)
        self._lanes[key].grow(batch)
        return OnnxRuntimeContext(self._lanes[key], batch)

    def _open(self, threads: int) -> Any:
        """Return a session of a network that is what the sidecar says.

        Built engines are; a foreign file may have to be adapted first, which costs parsing it.
        """
        what = str(self.file.path)
        try:
            session = new_session(self._data, what, threads)
            if is_plain(self.file, interface_of_session(session)):
                return session
            refusal = None
        except (ArtifactError, ExecutionError) as exc:
            refusal = exc
        data = adapted_bytes(self.file, self._data)
        if data is None or data == self._data:
            assert refusal is not None
            raise refusal
        self._data = data
        return new_session(data, what, threads)

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
        self.images: F32 = np.empty((0, 3, *reversed(spec.input_wh)), np.float32)
        shapes = {o.name: o.shape[1:] for o in session.get_outputs()}
        self.head: F32 = np.empty((0, *shapes[spec.head_output]), np.float32)
        self.protos: F32 = np.empty((0, *shapes[spec.proto_output]), np.float32)
        self.planned: set[int] = set()

    def grow(self, batch: int) -> None:
        if batch > len(self.images):
            self.images = np.zeros((batch, *self.images.shape[1:]), np.float32)
            self.head = np.zeros((batch, *self.head.shape[1:]), np.float32)
            self.protos = np.zeros((batch, *self.protos.shape[1:]), np.float32)


class OnnxRuntimeContext:
    """Runs batches of one size on one lane."""

    takes_host_images = True

    def __init__(self, lane: _Lane, batch: int) -> None:
        self.batch = batch
        self._lane = lane
        self._bound: tuple[F32, Any] | None = None  # the buffers that were bound, and the binding

    @property
    def images(self) -> F32:
        """The lane's input buffer, first ``batch`` rows."""
        return self._lane.images[: self.batch]

    def run(self) -> tuple[F32, F32]:
        """Run the batch; see :meth:`yolotrt.backends.base.Context.run`."""
        lane = self._lane
        with mapped_errors(lane.spec.name):
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
