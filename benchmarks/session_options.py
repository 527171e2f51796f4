"""ONNX Runtime's session options on a processor, beside those that yolotrt takes and beside OpenVINO.

Batches of one and of eight images, all settings in turn, round by round. ``one by one`` runs the images of a
batch one after another, as chunks of one tile do.

    python -m benchmarks.session_options ENGINE.onnx ... [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.output import emit
from benchmarks.peer_networks import BATCHES, OPENVINO_PRECISIONS, openvino_network
from benchmarks.tool_rows import THREADS, TILE, ToolRow, measured, named
from yolotrt.backends.onnxruntime.cpu import new_session
from yolotrt.backends.sidecar import read_engine
from yolotrt.machine.environment import environment

SPINNING = "session.intra_op.allow_spinning"
ENTRIES: dict[str, dict[str, str]] = {
    "idle threads spin": {SPINNING: "1"},
    "denormals are zero": {SPINNING: "0", "session.set_denormal_as_zero": "1"},
    "threads pinned to cores": {
        SPINNING: "0",
        "session.intra_op_thread_affinities": ";".join(str(core + 1) for core in range(1, THREADS)),
    },
    "idle threads spin, pinned, denormals are zero": {
        SPINNING: "1",
        "session.set_denormal_as_zero": "1",
        "session.intra_op_thread_affinities": ";".join(str(core + 1) for core in range(1, THREADS)),
    },
}
"""Settings by what they do; all else as yolotrt has it."""


def with_entries(data: bytes, entries: dict[str, str]) -> Any:
    """Return a session with further settings."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    options.log_severity_level = 3
    for name, value in entries.items():
        if value:
            options.add_session_config_entry(name, value)
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def call_of(session: Any, batches: list[np.ndarray]) -> Callable[[Any], int]:
    """Return a call that runs the batches one after another, from and into memory that stays."""
    binding = session.io_binding()
    name, kept = session.get_inputs()[0].name, []
    for output in session.get_outputs():
        shape = (len(batches[0]), *output.shape[1:])
        kept.append(np.empty(shape, np.float32))
        binding.bind_output(output.name, "cpu", 0, np.float32, shape, kept[-1].ctypes.data)

    def call(_frame: Any) -> int:
        for images in batches:
            binding.bind_input(name, "cpu", 0, np.float32, images.shape, images.ctypes.data)
            session.run_with_iobinding(binding)
        return len(kept)

    return call


def rows(path: Path, batch: int) -> Iterator[ToolRow]:
    """Yield yolotrt's session, then all others."""
    precision, data = read_engine(path).precision, path.read_bytes()
    images = np.random.default_rng(0).random((batch, 3, TILE, TILE), np.float32)
    tool = named("onnxruntime")
    ours = new_session(data, str(path), THREADS)
    yield ToolRow(tool, precision, batch, "as yolotrt has it", call_of(ours, [images]))
    if batch > 1:
        singles = [images[i : i + 1] for i in range(batch)]
        alone = new_session(data, str(path), THREADS)
        yield ToolRow(tool, precision, batch, "one by one", call_of(alone, singles))
    for note, entries in ENTRIES.items():
        yield ToolRow(tool, precision, batch, note, call_of(with_entries(data, entries), [images]))
    for floats in OPENVINO_PRECISIONS if find_spec("openvino") else ():
        call, computes = openvino_network(path, images, floats)
        yield ToolRow(named("openvino"), precision, batch, f"the same file, floats in {computes}", call)


def main() -> None:
    """Measure each engine at each batch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engines", type=Path, nargs="+", help="ONNX Runtime engines for the processor")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = [
        {"engine": path.name, "batch": batch, "rows": measured([*rows(path, batch)], None, arguments.rounds)}
        for path in arguments.engines
        for batch in BATCHES
    ]
    emit({"rounds": arguments.rounds, "runs": found, "environment": environment(THREADS)}, arguments.json)


if __name__ == "__main__":
    main()
