"""An earlier build of the package in a process of its own, which takes its turn among others' frames.

The folder holds the package alone, as ``git archive COMMIT yolotrt | tar -x -C FOLDER`` leaves it. Only one
process computes at a time; the times are what that package says of its frames itself.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from yolotrt.bench.result import Case
from yolotrt.bench.rounds import Measurement
from yolotrt.errors import ExecutionError

PROGRAM = """
import importlib, json, os, sys
engine, frame = sys.argv[1:]
replies, out = os.fdopen(os.dup(1), "w"), os.dup2(2, 1)
importlib.import_module("torch")  # whose cuDNN ONNX Runtime uses then
import numpy
from pathlib import Path
from yolotrt.backends.onnxruntime_cuda import load
from yolotrt.backends.sidecar import read_engine
from yolotrt.cuda.device import Device
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.pipeline.device import DevicePipeline
from yolotrt.pipeline.device_share import Gpu
from yolotrt.pipeline.settings import PipelineSettings
frame = numpy.load(frame)
device = Device(NvidiaDriver(0))
settings = PipelineSettings("tiled+global", 1, "graph")
with DevicePipeline([Gpu(device, load(read_engine(Path(engine)), device))], settings) as pipeline:
    for asked in sys.stdin:
        result = pipeline(frame)
        found = {"stages": result.trace.stages(), "detections": len(result.detections)}
        print(json.dumps(found), file=replies, flush=True)
"""
"""Written for the build with ONNX Runtime before the fused backend's first commit, and its names."""


class EarlierBuild:
    """Whole frames from pageable memory, tiles and global, as one group in a graph.

    Args:
        folder: With the earlier package.
        engine: That package's, FP16, for ONNX Runtime.
    """

    def __init__(self, folder: Path, engine: Path) -> None:
        self.case = Case("build before the fused backend, ONNX Runtime", "fp16", "tiled+global", "graph", 1)
        self._folder, self._engine = folder.resolve(), engine.resolve()
        self._frame = tempfile.NamedTemporaryFile(suffix=".npy")  # noqa: SIM115 - until it is closed
        self._process: Popen[bytes] | None = None

    def measure(self, frame: Any) -> Measurement:
        """Process one frame, the first one's content each time."""
        process = self._process = self._process or self._started(frame)
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        reply = process.stdout.readline()
        if not reply:
            raise ExecutionError(f"The earlier build ended with {process.wait()}.")
        found = json.loads(reply)
        return Measurement(found["stages"], (), found["detections"])

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.communicate()
            self._process = None
        self._frame.close()

    def _started(self, frame: Any) -> Popen[bytes]:
        known = [str(self._folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        np.save(self._frame, frame)
        self._frame.flush()
        return Popen(
            [sys.executable, "-c", PROGRAM, str(self._engine), self._frame.name],
            stdin=PIPE, stdout=PIPE, cwd=self._folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(known)},
        )  # fmt: skip
