"""ONNX Runtime's CUDA provider: the same ONNX files as on the CPU, on any NVIDIA GPU.

Contexts run on buffers and streams that the caller owns, so that they share frames, kernels and CUDA
graphs with everything else that is on the GPU.

ONNX Runtime has a CUDA graph mode of its own. It is not used: it replays and then waits on the host, so
that sessions never overlap, and it captures in the mode in which an allocation anywhere in the process
invalidates the capture (which is why several sessions could only be captured one by one, the device
idle). A session that leaves synchronisation to its caller can be captured from outside instead, together
with the kernels before and after it; what that needs of a graph is said at
:meth:`yolotrt.cuda.driver.Driver.end_capture`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import Availability, EngineFile
from yolotrt.backends.onnxruntime_fixed import fixed_batch, tensor_types
from yolotrt.cuda.compile import INSTALL
from yolotrt.cuda.driver import DeviceLost, OutOfDeviceMemory
from yolotrt.cuda.nvidia import device_count
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ArtifactError, DeviceError, ExecutionError, MissingDependency

if TYPE_CHECKING:
    import onnx

PROVIDER = "CUDAExecutionProvider"

Floats = npt.NDArray[np.float32]

_LOST = (700, 702, 709, 715, 716, 719)
"""CUDA's errors, as ONNX Runtime quotes them, after which the process can use the GPU no more."""


def availability(device_index: int = 0) -> Availability:
    """Say whether the CUDA provider works here; never raises."""
    import onnxruntime as ort

    if PROVIDER not in ort.get_available_providers():
        return Availability(False, f"{ort.__version__} has no CUDA provider: {INSTALL}", builds=True)
    try:
        count = device_count()
    except MissingDependency as exc:
        return Availability(False, exc.message, builds=True)
    if device_index >= count:
        return Availability(False, f"{ort.__version__}, but there is no GPU cuda:{device_index}", builds=True)
    return Availability(True, f"{ort.__version__} on cuda:{device_index}", builds=True)


def load(file: EngineFile, device_index: int = 0) -> OnnxRuntimeCudaEngine:
    """Load an engine of the ONNX Runtime backend on a GPU.

    Raises:
        ArtifactError: The file is not a network that ONNX Runtime can read.
        DeviceError: The CUDA provider does not work here.
    """
    state = availability(device_index)
    if not state.usable:
        raise DeviceError(f"ONNX Runtime cannot use a GPU: {state.reason}.", hint="See: yolotrt doctor")
    return OnnxRuntimeCudaEngine(file, device_index)


class OnnxRuntimeCudaEngine:
    """One network on one GPU.

    Attributes:
        file: The engine on disk.
        device_index: The GPU.
        capturable: Contexts may be captured in a CUDA graph once they have run.
    """

    capturable = True

    def __init__(self, file: EngineFile, device_index: int) -> None:
        import onnx

        self.file = file
        self.device_index = device_index
        try:
            self._model: onnx.ModelProto = onnx.load_model_from_string(file.path.read_bytes())
        except Exception as exc:  # protobuf's own error class moved between its versions
            raise ArtifactError(
                f"{file.path} is not a valid ONNX model ({exc}).", hint="Build it again."
            ) from exc
        self._networks: dict[int, tuple[bytes, dict[str, TensorType]]] = {}

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> OnnxRuntimeCudaContext:
        """Return a context; see :meth:`yolotrt.backends.base.Engine.new_context`.

        Each context has a session of its own, so lanes need not be told apart.
        """
        spec = self.file.spec
        if spec.batch not in (None, batch):
            raise ArtifactError(
                f"{self.file.path} takes batches of exactly {spec.batch}, not of {batch}.",
                hint="Export the weights with yolotrt export: its ONNX files take any batch size.",
            )
        if batch not in self._networks:
            network = fixed_batch(self._model, batch)
            self._networks[batch] = (network.SerializeToString(), tensor_types(network, spec))
        data, tensors = self._networks[batch]
        return OnnxRuntimeCudaContext(self, batch, data, tensors)

    def close(self) -> None:
        """Free the networks; contexts free their sessions when they go."""
        self._networks.clear()


class OnnxRuntimeCudaContext:
    """Runs batches of one size on one stream, on the caller's memory.

    Attributes:
        batch: Number of images in a batch.
        tensors: Type of the input and of each output, by name.
        input_pointer: Device address of the input, to be set before :meth:`enqueue`.
        output_pointers: Device addresses by output name, to be set before :meth:`enqueue`.
    """

    def __init__(
        self, engine: OnnxRuntimeCudaEngine, batch: int, network: bytes, tensors: Mapping[str, TensorType]
    ) -> None:
        self.batch = batch
        self.tensors = tensors
        self.input_pointer = 0
        self.output_pointers: Mapping[str, int] = {}
        self._engine = engine
        self._network = network
        self._stream: int | None = None
        self._session: Any = None
        self._options: Any = None
        self._bindings: dict[tuple[int, ...], Any] = {}
        self._images: Floats | None = None

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch in a stream; see :meth:`yolotrt.backends.base.DeviceContext.enqueue`.

        A session belongs to the stream of its first run.

        Raises:
            OutOfDeviceMemory: The session does not fit into the GPU's memory.
            ExecutionError: ONNX Runtime refused the work.
        """
        if self._session is None or self._stream != stream_handle:
            self._open(stream_handle)
        binding = self._binding()
        with _mapped_gpu_errors(self._engine):
            self._session.run_with_iobinding(binding, self._options)

    @property
    def images(self) -> Floats:
        """(batch, 3, height, width) float32 input on the host, for :meth:`run`."""
        if self._images is None:
            shape = self.tensors[self._engine.file.spec.input_name].shape
            self._images = np.zeros(shape, np.float32)
        return self._images

    def run(self) -> tuple[Floats, Floats]:
        """Run the batch in :attr:`images` and wait; see :meth:`yolotrt.backends.base.Context.run`.

        The copies over PCIe make this the slow way; it is there for calibration and evaluation.
        """
        spec = self._engine.file.spec
        if self._session is None or self._stream is not None:
            self._open(None)
        images = self.images.astype(self.tensors[spec.input_name].dtype, copy=False)
        with _mapped_gpu_errors(self._engine):
            head, protos = self._session.run([spec.head_output, spec.proto_output], {spec.input_name: images})
        return head.astype(np.float32, copy=False), protos.astype(np.float32, copy=False)

    def _open(self, stream: int | None) -> None:
        import onnxruntime as ort

        self._bindings.clear()
        self._session = None  # frees the old session's memory first
        self._session = _new_session(self._network, self._engine, stream)
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._stream = stream

    def _binding(self) -> Any:
        """Return the binding for the addresses that are set; made once for each set of addresses."""
        addresses = {self._engine.file.spec.input_name: self.input_pointer, **self.output_pointers}
        key = tuple(addresses.values())
        if key not in self._bindings:
            binding = self._session.io_binding()
            for name, tensor in self.tensors.items():
                bind = (
                    binding.bind_input if name == self._engine.file.spec.input_name else binding.bind_output
                )
                bind(
                    name,
                    "cuda",
                    self._engine.device_index,
                    tensor.dtype.type,
                    tensor.shape,
                    addresses[name],
                )
            self._bindings[key] = binding
        return self._bindings[key]


def _new_session(network: bytes, engine: OnnxRuntimeCudaEngine, stream: int | None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # nothing is computed on the CPU
    # A node on the CPU would wait for the GPU in the middle of the network.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = {
        "device_id": str(engine.device_index),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "use_tf32": "0",  # FP32 means FP32
    }
    if stream is not None:
        provider["user_compute_stream"] = str(stream)
    with _mapped_gpu_errors(engine):
        session = ort.InferenceSession(network, options, providers=[(PROVIDER, provider)])
    if PROVIDER not in session.get_providers():  # it falls back to the CPU with no more than a log line
        raise DeviceError(
            f"ONNX Runtime could not start its CUDA provider on cuda:{engine.device_index}.",
            hint="CUDA 13's libraries or cuDNN are missing: pip install 'onnxruntime-gpu[cuda,cudnn]'",
        )
    return session


@contextlib.contextmanager
def _mapped_gpu_errors(engine: OnnxRuntimeCudaEngine) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions into ours, the GPU's own failures told apart by their text."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (state.InvalidProtobuf, state.InvalidGraph, state.NotImplemented)
    failures = (state.Fail, state.RuntimeException, state.InvalidArgument, state.EPFail)
    name = f"cuda:{engine.device_index}"
    try:
        yield
    except refusals as exc:
        raise ArtifactError(
            f"ONNX Runtime cannot load {engine.file.path} ({str(exc).splitlines()[0]}).",
            hint="The file is damaged or uses operators that this ONNX Runtime lacks; build it again.",
        ) from exc
    except (*failures, MemoryError) as exc:
        text = str(exc).lower()
        if "out of memory" in text or "failed to allocate memory" in text or isinstance(exc, MemoryError):
            raise OutOfDeviceMemory(
                f"Not enough memory on {name} for {engine.file.path.name}.",
                hint="Use more --groups (smaller batches), or end other programs on this GPU.",
            ) from exc
        if any(f"cuda failure {code}" in text for code in _LOST):
            raise DeviceLost(
                f"The GPU {name} failed while it ran {engine.file.path.name}.",
                hint="Start the program again; if it happens twice, look for Xid messages in dmesg.",
            ) from exc
        raise ExecutionError(
            f"ONNX Runtime failed on {engine.file.path} on {name} ({str(exc).splitlines()[0]})."
        ) from exc
