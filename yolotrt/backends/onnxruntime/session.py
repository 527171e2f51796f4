"""Sessions of ONNX Runtime's CUDA provider, on the caller's memory and streams."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.base import EngineFile
from yolotrt.backends.onnxruntime.provider import PROVIDER
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import LOST, DeviceLost, OutOfDeviceMemory
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import ArtifactError, DeviceError, EnvironmentFault, ExecutionError

_FAILURE = re.compile(r"cuda failure (\d+)")
"""How ONNX Runtime quotes one of CUDA's errors, in lower case."""


class Session:
    """A session, the stream that it belongs to for life, and ties to the streams of its callers.

    ONNX Runtime stages small arrays in page-locked memory and frees it when it synchronises. Since it is
    told not to, a run that does is slipped in now and then, and before the session goes: what is staged
    then would be freed by a callback that may come too late and end the process. Staged memory that a
    captured graph copies from stays until then, which is what the graph needs.

    Attributes:
        spec: The network's interface.
        tensors: Type of the input and of each output, by name.
        users: Contexts that share it.
    """

    TIDY_EVERY = 64

    def __init__(
        self, file: EngineFile, device: Device, network: bytes, tensors: Mapping[str, TensorType]
    ) -> None:
        self.spec = file.spec
        self.tensors = tensors
        self.users = 0
        self._file, self._device, self._network = file, device, network
        self._native: Any = None
        self._untidied, self._captured, self._lost = 0, False, False

    def bind(self, addresses: Mapping[str, int]) -> Any:
        """Return a binding of input and outputs to device memory; the first call starts the session."""
        if self._native is None:
            self._open()
        binding = self._native.io_binding()
        index = self._device.info.index
        for name, tensor in self.tensors.items():
            bind = binding.bind_input if name == self.spec.input_name else binding.bind_output
            bind(name, "cuda", index, tensor.dtype.type, tensor.shape, addresses[name])
        return binding

    def enqueue(self, binding: Any, stream_handle: int) -> None:
        """Start a batch behind what is in the caller's stream; what comes next there comes after it."""
        caller = self._device.foreign_stream(stream_handle)
        caller.record(self._begin)
        self._stream.wait(self._begin)
        self._captured = self._captured or self._stream.capturing
        tidy = self._untidied >= self.TIDY_EVERY and not self._captured
        self._run(binding, self._waits if tidy else self._returns)
        self._untidied = 0 if tidy else self._untidied + 1
        self._stream.record(self._end)
        caller.wait(self._end)

    def run(self, images: F32) -> tuple[F32, F32]:
        """Run a batch from and to host memory, and wait."""
        if self._native is None:
            self._open()
        spec = self.spec
        given = images.astype(self.tensors[spec.input_name].dtype, copy=False)
        with _mapped_gpu_errors(self._file, self._device):
            head, protos = self._native.run([spec.head_output, spec.proto_output], {spec.input_name: given})
        return head.astype(np.float32, copy=False), protos.astype(np.float32, copy=False)

    def tidy(self, binding: Any) -> None:
        """Free what is staged, by a run that synchronises; graphs of this session must not run any more."""
        if self._untidied and not self._lost:
            with contextlib.suppress(EnvironmentFault, ExecutionError):
                self._run(binding, self._waits)
        self._untidied, self._captured = 0, False

    def close(self) -> None:
        """Free the session. Its contexts must be closed."""
        if self._native is None:
            return
        with contextlib.suppress(DeviceError):
            self._watch(self._stream.synchronize)
        if self._lost:
            # Its destructor would end the process, because nothing can be freed on a lost GPU.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._native))
        self._native = None
        self._scope.close()

    def _open(self) -> None:
        import onnxruntime as ort

        self._device.bind()
        self._scope = self._device.scope()
        self._stream = self._scope.stream()
        self._begin, self._end = self._scope.event(), self._scope.event()
        try:
            self._native = _new_session(self._network, self._file, self._device, self._stream.handle)
        except BaseException:
            self._scope.close()
            raise
        self._returns, self._waits = ort.RunOptions(), ort.RunOptions()
        self._returns.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def _run(self, binding: Any, options: Any) -> None:
        def run() -> None:
            with _mapped_gpu_errors(self._file, self._device):
                self._native.run_with_iobinding(binding, options)

        self._watch(run)

    def _watch(self, work: Callable[[], None]) -> None:
        """Do the work, and remember if it found the GPU lost."""
        try:
            work()
        except DeviceLost:
            self._lost = True
            raise


def _new_session(network: bytes, file: EngineFile, device: Device, stream: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4  # cuDNN's refusals of single kernels are no errors of the user's
    options.intra_op_num_threads = 1  # nothing is computed on the CPU
    # A node on the CPU would wait for the GPU in the middle of the network.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    half = "1" if file.precision == "fp16" else "0"
    provider = {
        "device_id": str(device.info.index),
        "user_compute_stream": str(stream),
        "arena_extend_strategy": "kSameAsRequested",
        # Measured on an H200: the exhaustive search picks kernels that take twice as long.
        "cudnn_conv_algo_search": "HEURISTIC",
        "prefer_nhwc": half,  # the layout of tensor cores
        # One kernel for a convolution and its bias. Profiled on an H100: without it 118 kernels of a batch of
        # 32 only add a bias, which takes 2.8 of 10 ms.
        "fuse_conv_bias": half,
        # FP32 means FP32. But without TF32 the provider forbids tensor cores to FP16 as well, tries again
        # without the fused bias, and leaves some convolutions on kernels that do not use them.
        "use_tf32": half,
    }
    _load_libraries()
    with _mapped_gpu_errors(file, device):
        session = ort.InferenceSession(network, options, providers=[(PROVIDER, provider)])
    if PROVIDER not in session.get_providers():  # it falls back to the CPU with no more than a log line
        raise DeviceError(
            f"ONNX Runtime could not start its CUDA provider on {device.name}.",
            hint="CUDA 13's libraries or cuDNN are missing: pip install 'onnxruntime-gpu[cuda,cudnn]'",
        )
    return session


@cache
def _load_libraries() -> None:
    """Load the CUDA libraries that pip installed, which are on no library path."""
    import onnxruntime as ort

    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it misses
            ort.preload_dlls()


@contextlib.contextmanager
def _mapped_gpu_errors(file: EngineFile, device: Device) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions into ours, the GPU's own failures told apart by their text."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    refusals = (state.InvalidProtobuf, state.InvalidGraph, state.NotImplemented)
    # Runs on a binding raise Python's own RuntimeError.
    failures = (state.Fail, state.RuntimeException, state.InvalidArgument, state.EPFail, RuntimeError)
    name = device.name
    try:
        yield
    except refusals as exc:
        raise ArtifactError(
            f"ONNX Runtime cannot load {file.path} ({str(exc).splitlines()[0]}).",
            hint="The file is damaged or uses operators that this ONNX Runtime lacks; build it again.",
        ) from exc
    except (*failures, MemoryError) as exc:
        text = str(exc).lower()
        if "out of memory" in text or "failed to allocate memory" in text or isinstance(exc, MemoryError):
            raise OutOfDeviceMemory(
                f"Not enough memory on {name} for {file.path.name}.",
                hint="Use more --groups (smaller batches), or end other programs on this GPU.",
            ) from exc
        if any(int(code) in LOST for code in _FAILURE.findall(text)):
            raise DeviceLost(
                f"The GPU {name} failed while it ran {file.path.name}.",
                hint="Start the program again; if it happens twice, look for Xid messages in dmesg.",
            ) from exc
        raise ExecutionError(
            f"ONNX Runtime failed on {file.path} on {name} ({str(exc).splitlines()[0]})."
        ) from exc
