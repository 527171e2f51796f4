"""What the docs show of the fused engine: its network beside others, whole frames, missed bars, FP8."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.markdown import table_of
from yolotrt.report.figures import milliseconds

ONE_RUN = "three networks, FP16 and INT8, torch.compile and ONNX Runtime in one session, batches 1, 4 and 32"
FRAME, FRAME_INT8 = "FP16", "INT8"
IN_TURN = "FP16 and the build before the fused backend in turn"
PEERS = "other tools, ours and the build before the fused backend in turn"
EARLIER = "build before the fused backend, ONNX Runtime"
BARE = ("bare inference, one batch after another", 1)

EXECUTORS = {
    "fused": "fused, FP16",
    "fused INT8": "INT8",
    "onnxruntime": "ONNX Runtime, FP16",
    "torch.compile": "`torch.compile`, FP16",
}
NETWORKS = {
    "yolo11n-seg": "YOLO11n-seg",
    "yolo26n-seg-raw": "YOLO26n-seg, random weights",
    "yolo11s-seg": "YOLO11s-seg, random weights",
}


def network(fused: Any, name: str = "yolo11n-seg") -> dict[int, dict[str, float]]:
    """Return the seconds of each executor by batch size, of a run with all of them."""
    batches = fused["network"][ONE_RUN]["networks"][name]["batches"]
    return {
        int(batch): {name: float(np.median(ms)) / 1e3 for name, ms in found["samples_ms"].items()}
        for batch, found in sorted(batches.items(), key=lambda entry: int(entry[0]))
    }


def times(fused: Any) -> str:
    """Return the table of the network alone."""
    rows = []
    for key, name in NETWORKS.items():
        for n, of in network(fused, key).items():
            told = {executor: milliseconds(of[executor]) for executor in EXECUTORS}
            for peer in ("onnxruntime", "torch.compile"):
                told[peer] += f" ({of['fused'] / of[peer]:.2f}x)"
            rows.append((name, str(n), *told.values()))
    return table_of(("network", "images", *EXECUTORS.values()), rows, left=1)


def cases(frame: Any) -> dict[tuple[str, int], float]:
    """Return the median seconds of whole frames, by what was measured and its groups."""
    return {
        (case["engine"], case["groups"]): float(np.median(case["samples_s"]["end_to_end"]))
        for case in frame["cases"]
    }


def frames(fused: Any) -> str:
    """Return the table of whole frames against bare inference and the earlier build."""
    half, whole, in_turn = (cases(fused["frame"][n]["frame"]) for n in (FRAME, FRAME_INT8, IN_TURN))
    rows = []
    for name, key in {
        "bare inference: 32 tiles, then the frame": BARE,
        "1 group, pageable memory": ("frame", 1),
        "4 groups, pageable memory": ("frame", 4),
        "1 group, `frame_buffer`": ("frame, page-locked source", 1),
        "4 groups, `frame_buffer`": ("frame, page-locked source", 4),
    }.items():
        rows.append((name, *(f"{milliseconds(of[key])} ({of[key] / of[BARE]:.2f}x)" for of in (half, whole))))
    ours, earlier = in_turn["frame", 1], in_turn[EARLIER, 1]
    told = f"{milliseconds(ours)} beside {milliseconds(earlier)} ({ours / earlier:.2f}x)"
    rows.append(("1 group, pageable memory, in turn with the build before", told, ""))
    return table_of(("whole frame", "FP16, ms", "INT8, ms"), rows, left=1)


def tools(fused: Any) -> str:
    """Return the table of other tools on the same frame."""
    found = cases(fused["frame"][PEERS]["peers"])
    ours = found["frame", 1]
    named = {("frame", 1): "yolotrt, fused FP16"}
    rows = [(named.get(key, key[0]), milliseconds(s), f"{s / ours:.1f}") for key, s in found.items()]
    return table_of(("tool", "ms", "times ours"), rows, left=1)


def fp8(found: Any) -> str:
    """Return the table of convolutions in FP16, INT8 and FP8, microseconds for a batch."""
    kinds = next(iter(found["steps"].values()))
    medians = {
        k: {n: float(np.median(v["samples_us"])) for n, v in of.items()} for k, of in found["steps"].items()
    }
    rows = [(f"`{step}`", *(f"{of[kind]:.1f}" for kind in kinds)) for step, of in medians.items()]
    sums = {kind: sum(of[kind] for of in medians.values()) for kind in kinds}
    rows.append(("all five", *(f"{sums[kind]:.0f}" for kind in kinds)))
    return table_of(("convolution, us", *kinds), rows, left=1)


def bars(fused: Any) -> str:
    """Return the table of the bars that are missed, with what the hardware did and what comes next."""
    most = network(fused)[32]
    whole = cases(fused["frame"][FRAME]["frame"])
    copied = [whole["frame", n] / whole[BARE] for n in (4, 1)]
    buffered = [whole["frame, page-locked source", n] / whole[BARE] for n in (1, 4)]
    return table_of(
        ("", "what the hardware did", "next", "bar", "reached"),
        [
            ("INT8 against its own FP16, 32 images",
             "layers that stay FP16 take nearly half of the time, and the others read every input nine times",
             "3 x 3 convolutions that share their inputs in shared memory",
             "0.80x", f"{most['fused INT8'] / most['fused']:.2f}x"),
            ("a whole frame in pageable memory against bare inference",
             "the processor copies it first, and most of the work waits for the last rows",
             "more layers for each row of tiles as it arrives, which takes more memory",
             "1.30x", f"{copied[0]:.2f}x, as one group {copied[1]:.2f}x"),
            ("a whole frame in `frame_buffer`",
             "the first tiles have to arrive; search, masks and merging are twelve kernels in a row",
             "class convolutions that keep candidates, one kernel for merging",
             "1.10x", f"{min(buffered):.2f}x"),
        ],
        left=3,
    )  # fmt: skip
