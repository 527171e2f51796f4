"""Fake quantisation: run a Q/DQ graph with every value rounded where it says so, everything else in FP32.

An INT8 CPU kernel does not always compute what its graph means: without VNNI it saturates sums of
products. An engine for a GPU is therefore judged by its graph (*fake quantisation*) wherever that GPU is
not at hand: by ONNX Runtime with graph optimisations off, so that no Q/DQ pair is fused into a kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import F32
from yolotrt.backends.base import EngineFile
from yolotrt.errors import ExecutionError
from yolotrt.model.spec import ModelSpec

if TYPE_CHECKING:
    import onnx


class FakeQuantizedEngine:
    """A network as an engine that exists in memory only.

    Args:
        model: The network; FP32 with Q/DQ pairs.
        file: Describes it; nothing is read from its path.
    """

    def __init__(self, model: onnx.ModelProto, file: EngineFile) -> None:
        self.file = file
        self._data: bytes = model.SerializeToString()
        self._sessions: dict[int, Any] = {}

    @property
    def parts(self) -> tuple[()]:
        """Nothing: it is fed from the host."""
        return ()

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> FakeQuantizedContext:
        """Return a context; see :meth:`yolotrt.backends.base.Engine.new_context`."""
        if threads not in self._sessions:
            self._sessions[threads] = _session(self._data, threads)
        return FakeQuantizedContext(self._sessions[threads], self.file.spec, batch)

    def close(self) -> None:
        """Free the sessions."""
        self._sessions.clear()


class FakeQuantizedContext:
    """Runs batches of one size.

    Attributes:
        batch: Number of images.
        images: (batch, 3, height, width) float32 input.
    """

    takes_host_images = True

    def __init__(self, session: Any, spec: ModelSpec, batch: int) -> None:
        self.batch = batch
        self.images: F32 = np.zeros((batch, 3, *reversed(spec.input_wh)), np.float32)
        self._session = session
        self._spec = spec

    def run(self) -> tuple[F32, F32]:
        """Run the batch; see :meth:`yolotrt.backends.base.Context.run`."""
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        spec = self._spec
        try:
            head, prototypes = self._session.run(
                [spec.head_output, spec.proto_output], {spec.input_name: self.images}
            )
        except (state.Fail, state.RuntimeException, state.InvalidArgument) as exc:
            raise ExecutionError(
                f"ONNX Runtime failed on {spec.name} ({str(exc).splitlines()[0]}).",
                hint="The network does not take batches of this size.",
            ) from exc
        return head, prototypes


def _session(data: bytes, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
