"""ONNX Runtime's CUDA provider: the same ONNX files as on the CPU, on any NVIDIA GPU.

Contexts run on buffers and streams that the caller owns, so that they share frames, kernels and CUDA
graphs with everything else that is on the GPU.

ONNX Runtime has a CUDA graph mode of its own. It is not used: it replays and then waits on the host, so
that sessions never overlap, and it captures in the mode in which an allocation anywhere in the process
invalidates the capture (which is why several sessions could only be captured one by one, the device
idle). A session that leaves synchronisation to its caller is captured from outside instead, together
with the kernels before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.agreement import adapted_network, require_precision
from yolotrt.backends.base import EngineFile
from yolotrt.backends.onnxruntime.fixed import fixed_batch, tensor_types
from yolotrt.backends.onnxruntime.provider import availability as availability
from yolotrt.backends.onnxruntime.session import Session
from yolotrt.backends.sidecar import require_unchanged
from yolotrt.cuda.device import Device
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ArtifactError, DeviceError
from yolotrt.model.onnxfile import require_whole
from yolotrt.model.wire import outline

if TYPE_CHECKING:
    import onnx

MOST_IDLE = 8
"""Sessions that are kept though nobody uses them."""


def load(file: EngineFile, device: Device) -> OnnxRuntimeCudaEngine:
    """Load an engine of the ONNX Runtime backend on a GPU.

    Raises:
        ArtifactError: The file is not a network that ONNX Runtime can read.
        DeviceError: The CUDA provider does not work here.
    """
    state = availability(device.info.index)
    if not state.usable:
        raise DeviceError(f"ONNX Runtime cannot use a GPU: {state.reason}.", hint="See: yolotrt doctor")
    return OnnxRuntimeCudaEngine(file, device)


class OnnxRuntimeCudaEngine:
    """One network on one GPU.

    Attributes:
        file: The engine on disk.
        device: The GPU.
        capturable: Contexts may be captured in a CUDA graph once they have run.
        reads_frames: Its contexts want prepared input.
        reads_yuv: Likewise.
    """

    capturable = True
    reads_frames = reads_yuv = False

    def __init__(self, file: EngineFile, device: Device) -> None:
        import onnx

        self.file = file
        self.device = device
        data = require_unchanged(file, file.path.read_bytes())
        outlined = outline(data)
        require_whole(data, outlined, file.path)
        try:
            model = onnx.load_model_from_string(data)
        except Exception as exc:  # protobuf's own error class moved between its versions
            raise ArtifactError(
                f"{file.path} is not a valid ONNX model ({exc}).", hint="Build it again."
            ) from exc
        self._model: onnx.ModelProto = adapted_network(file, model)
        require_precision(file, data, outlined)
        self._networks: dict[int, tuple[bytes, dict[str, TensorType]]] = {}
        self._sessions: dict[tuple[int, int], Session] = {}  # the longest unused first

    @property
    def parts(self) -> tuple[OnnxRuntimeCudaEngine]:
        """Itself: it is on one GPU."""
        return (self,)

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> OnnxRuntimeCudaContext:
        """Return a context; see :meth:`yolotrt.backends.base.Engine.new_context`.

        Contexts of one batch size and lane share a session. Starting one takes seconds, so the last few
        that nobody uses are kept.
        """
        spec = self.file.spec
        if spec.batch not in (None, batch):
            raise ArtifactError(
                f"{self.file.path} takes batches of exactly {spec.batch}, not of {batch}.",
                hint="Export the weights with yolotrt export: its ONNX files take any batch size.",
            )
        if batch not in self._networks:
            network = fixed_batch(self._model, batch, channels_last=self.file.precision == "fp16")
            self._networks[batch] = (network.SerializeToString(), tensor_types(network, spec))
        key = (batch, lane)
        session = self._sessions.pop(key, None) or Session(self.file, self.device, *self._networks[batch])
        self._sessions[key] = session
        context = OnnxRuntimeCudaContext(session, batch)
        self._drop_idle()
        return context

    def close(self) -> None:
        """Free sessions and networks; no context may be used afterwards. To be called before the device's."""
        while self._sessions:
            self._sessions.popitem()[1].close()
        self._networks.clear()

    def _drop_idle(self) -> None:
        idle = [key for key, session in self._sessions.items() if not session.users]
        for key in idle[:-MOST_IDLE]:
            self._sessions.pop(key).close()


class OnnxRuntimeCudaContext:
    """Runs batches of one size on the caller's memory.

    Attributes:
        batch: Number of images in a batch.
        tensors: Type of the input and of each output, by name.
        input_pointer: Device address of the input, to be set before :meth:`enqueue`.
        output_pointers: Device addresses by output name, to be set before :meth:`enqueue`.
    """

    def __init__(self, session: Session, batch: int) -> None:
        self.batch = batch
        self.tensors = session.tensors
        self.input_pointer = 0
        self.output_pointers: Mapping[str, int] = {}
        self._session = session
        self._bindings: dict[tuple[int, ...], Any] = {}
        self._images: F32 | None = None
        self._closed = False
        session.users += 1

    @property
    def takes_host_images(self) -> bool:
        """Whether the network takes FP32 images."""
        return self.tensors[self._session.spec.input_name].dtype == np.float32

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch in a stream; see :meth:`yolotrt.backends.base.DeviceContext.enqueue`.

        Raises:
            OutOfDeviceMemory: The session does not fit into the GPU's memory.
            ExecutionError: ONNX Runtime refused the work.
        """
        addresses = {self._session.spec.input_name: self.input_pointer, **self.output_pointers}
        key = tuple(addresses.values())
        if key not in self._bindings:
            self._bindings[key] = self._session.bind(addresses)
        self._session.enqueue(self._bindings[key], stream_handle)

    @property
    def images(self) -> F32:
        """(batch, 3, height, width) float32 input on the host, for :meth:`run`."""
        if self._images is None:
            self._images = np.zeros(self.tensors[self._session.spec.input_name].shape, np.float32)
        return self._images

    def run(self) -> tuple[F32, F32]:
        """Run the batch in :attr:`images` and wait; see :meth:`yolotrt.backends.base.Context.run`.

        The copies over PCIe make this the slow way; it is there for calibration and evaluation.
        """
        return self._session.run(self.images)

    def close(self) -> None:
        """Let go of the session; the memory it was bound to is still there. Does nothing the second time."""
        if not self._closed:
            self._closed = True
            self._session.users -= 1
            # While others use the session, their graphs copy from what it has staged.
            if self._bindings and not self._session.users:
                self._session.tidy(self._bindings.popitem()[1])
            self._bindings.clear()
