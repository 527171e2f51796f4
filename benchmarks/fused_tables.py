"""What the docs show of the fused engine: its network beside others', and which bars are missed."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.markdown import table_of
from yolotrt.report.figures import milliseconds

ONE_RUN = "YOLO11n-seg, FP16 and INT8, torch.compile and ONNX Runtime in one run, batches 1, 4 and 32"
FRAME = "masks leave as the GPU wrote them, threads copy and nothing else"

EXECUTORS = {
    "fused": "fused, FP16",
    "fused INT8": "INT8",
    "onnxruntime": "ONNX Runtime, FP16",
    "torch.compile": "`torch.compile`, FP16",
}


def network(fused: Any) -> dict[int, dict[str, float]]:
    """Return the seconds of each executor by batch size, of a run with all of them."""
    batches = fused["network"][ONE_RUN]["networks"]["yolo11n-seg"]["batches"]
    return {
        int(batch): {name: float(np.median(ms)) / 1e3 for name, ms in found["samples_ms"].items()}
        for batch, found in sorted(batches.items(), key=lambda entry: int(entry[0]))
    }


def times(fused: Any) -> str:
    """Return the table of the network alone."""
    return table_of(
        ("images", *EXECUTORS.values()),
        [(str(n), *(milliseconds(of[name]) for name in EXECUTORS)) for n, of in network(fused).items()],
        left=0,
    )


def bars(fused: Any) -> str:
    """Return the table of the bars that are missed, with what the hardware did and what comes next."""
    most = network(fused)[32]
    against = fused["frame"][FRAME]["frame"]["against_bare_inference"]
    copied = [against[f"frame, groups={n}"] for n in (4, 1)]
    return table_of(
        ("", "what the hardware did", "next", "bar", "reached"),
        [
            ("INT8 against its own FP16, 32 images",
             "layers that stay FP16 take nearly half of the time, and the others read every input nine times",
             "3 x 3 convolutions that share their inputs in shared memory",
             "0.80x", f"{most['fused INT8'] / most['fused']:.2f}x"),
            ("a whole frame in pageable memory against bare inference",
             "the processor copies it before the last tiles can start",
             "a copier outside of the interpreter",
             "1.30x", f"{copied[0]:.2f}x, as one group {copied[1]:.2f}x"),
            ("a whole frame in `frame_buffer`",
             "the first tiles have to arrive; search, masks and merging are twelve kernels in a row",
             "class convolutions that keep candidates, one kernel for merging",
             "1.10x", f"{against['frame, page-locked source, groups=1']:.2f}x"),
        ],
        left=3,
    )  # fmt: skip
