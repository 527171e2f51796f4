"""What was measured of times, layers and downloads, as README and docs show it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.markdown import table_of
from benchmarks.paced_table import paced_rows
from benchmarks.peer_tables import frame_rows, measuring_rows, network_rows, session_rows
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.report.figures import NOT_MEASURED, interval_text, milliseconds, ratio_text

Json = dict[str, Any]


def transcript(found: Json) -> str:
    """Return what the quick start printed."""
    lines = []
    for step in found["transcript"]:
        lines += [f"$ yolotrt {step['command']}", *step["printed"].strip().splitlines()]
    return "\n".join(["```", *lines, f"$ yolotrt {found['sweep']}", "```", ""])


def sweep(found: Json) -> str:
    """Return the quick start's latencies."""
    cases = found["result"]["cases"]
    ones = {_variant(e): e for e in cases if e["case"]["groups"] == 1}
    rows = []
    for entry in cases:
        case, samples = entry["case"], entry["samples"]["end_to_end"]
        base = ones.get(_variant(entry)) if case["groups"] > 1 else None
        ratio = None if base is None else paired_ratio(base["samples"]["end_to_end"], samples)
        summary = summarize(samples)
        assert summary is not None
        interval = summary.p50_interval
        told = (milliseconds(summary.p50), NOT_MEASURED if interval is None else interval_text(interval))
        shown = (case["precision"], case["mode"], case["dispatch"], str(case["groups"]))
        rows.append((*shown, *told, ratio_text(ratio)))
    head = ("engine", "pass", "dispatch", "groups", "median ms", "95 % interval", "paired vs groups=1")
    return table_of(head, rows, left=3)


def _variant(entry: Json) -> tuple[str, ...]:
    case = entry["case"]
    way = (case["dispatch"], str(case.get("order")), str(case.get("depth")))
    return case["engine"], case["mode"], *way


def download(found: Json) -> str:
    """Return what a part of COCO costs to fetch."""
    ours, whole = (f"{found[name] / 1e6:,.0f} MB" for name in ("bytes_received", "bytes_whole_archives"))
    return (
        f"{found['images']} of 5,000 images and their annotations, verified: {ours} travel instead of "
        f"{whole}, and the images come {found['speedup_images']:.1f} times as fast as one by one.\n"
        "Not measured with COCO's server and images, but with the benchmark's own: a server on the same "
        f"machine that takes\n{found['latency_ms']:.0f} ms to answer, and stand-ins of about the size of "
        "COCO's images.\n"
    )


def rtx_layers(found: Json) -> str:
    """Return what the engines say of their layers."""
    rows = [
        (
            e["variant"],
            f"{e['moved_bytes'] / 1e6:.0f} MB",
            f"{e['bytes'] / 1e6:.1f} MB",
            str(e["layers"]),
            ", ".join(f"{count} {kind}" for kind, count in e["convolutions"].items()),
            str(e["writing_fp32"]),
            str(e["activations_not_fused"]),
        )
        for e in found["engines"]
    ]
    head = (
        "network",
        "moved for each frame",
        "engine",
        "layers",
        "convolutions",
        "8-bit ones that write FP32",
        "with a separate activation",
    )
    return table_of(head, rows, left=1)


def rtx_sizes(found: Json) -> str:
    """Return how large FP16 engines are, by their batch."""
    sizes = [f"{size / 1e6:.1f} MB for `{batch}`" for batch, size in found["fp16_bytes_by_batch"].items()]
    return f"FP16 engines by `--batch`: {', '.join(sizes)}.\n"


def gpu_modes(found: Json) -> str:
    """Return medians of the tiled pass, from frame to detections, over groups and dispatch modes."""
    cases = found["yolo26n-seg fp16, untrained weights, end2end head"]["sweep"]["cases"]
    medians = {(c["dispatch"], c["groups"]): float(np.median(c["samples_s"]["tiles"])) for c in cases}
    modes = list(dict.fromkeys(dispatch for dispatch, _ in medians))
    rows = [
        (str(groups), *(milliseconds(medians[mode, groups]) for mode in modes))
        for groups in dict.fromkeys(groups for _, groups in medians)
    ]
    return table_of(("groups", *modes), rows, left=0)


def gpu_frames(found: Json) -> str:
    """Return medians of whole frames, of bare inference and of other tools on the same frame."""
    networks = [v for k, v in found.items() if k.startswith("yolo") and "frame" in v]
    rows = []
    for network in networks:
        cases = {c["engine"]: c for c in network["frame"]["cases"]}
        medians = {name: float(np.median(c["samples_s"]["end_to_end"])) for name, c in cases.items()}
        bare = medians["bare inference, one batch after another"]
        ours = medians["frame, global beside the tiles"]
        count = cases["frame, global beside the tiles"]["detections"]
        for name, seconds in medians.items():
            peer = name.startswith(("ultralytics", "sahi"))
            ratio = f"{seconds / ours:.1f}x ours" if peer else f"{seconds / bare:.2f}x"
            if peer or name in _SHOWN:
                rows.append((f"{_SHOWN.get(name, name)} ({count} objects)", milliseconds(seconds), ratio))
    return table_of(("FP16, graph, one group", "ms", "against bare inference"), rows, left=1)


def paced(found: list[Json]) -> str:
    """Return the frame of a camera beside the same frame back to back."""
    head, *rows = paced_rows(found)
    return table_of(head, rows, left=1)


def peers(found: Json) -> str:
    """Return whole frames by us and by other tools."""
    head, *rows = frame_rows(found)
    return table_of(head, rows, left=3)


def peer_networks(found: Json) -> str:
    """Return the network alone by us and by other runtimes."""
    head, *rows = network_rows(found)
    return table_of(head, rows, left=3)


def measuring(*found: Json) -> str:
    """Return what measuring adds to a frame, on each machine."""
    head, *rows = measuring_rows(*found)
    return table_of(head, rows, left=1)


def session_options(found: Json) -> str:
    """Return settings of ONNX Runtime's sessions, and OpenVINO, against ours."""
    head, *rows = session_rows(found)
    return table_of(head, rows, left=1)


_SHOWN = {
    "bare inference, one batch after another": "bare inference: 32 tiles, then the frame",
    "frame, global beside the tiles": "upload, tiles beside the frame, masks, merge",
    "frame, global after the tiles": "the same, the frame after the tiles",
    "frame, page-locked source": "the same, beside, camera writes into `frame_buffer`",
}
"""Cases that the README shows, and its words for them."""
