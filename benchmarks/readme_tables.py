"""Write what was measured as README and docs show it, between marks that name the file it comes from.

<!-- figures: NAME -->
...
<!-- end of figures -->
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bound_tables import engines_table, errors_table
from benchmarks.paced_table import paced_rows
from benchmarks.peer_tables import beside, frame_rows, measuring_rows, network_rows, session_rows
from yolotrt.bench.statistics import paired_ratio, summarize
from yolotrt.report.figures import NOT_MEASURED, interval_text, milliseconds, ratio_text

Json = dict[str, Any]

_BLOCK = re.compile(
    r"(<!-- figures: (?P<name>[a-z0-9-]+) -->\n)(?P<body>.*?)(<!-- end of figures -->)", re.DOTALL
)


def replaced(text: str, blocks: dict[str, str]) -> str:
    """Return the README with every marked block of a known name replaced."""

    def block(match: re.Match[str]) -> str:
        body = blocks.get(match["name"], match["body"])
        return match[1] + body + match[4]

    return _BLOCK.sub(block, text)


def marked(text: str) -> dict[str, str]:
    """Return the marked blocks of the README by name."""
    return {match["name"]: match["body"] for match in _BLOCK.finditer(text)}


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
        assert summary.p50_interval is not None
        told = (milliseconds(summary.p50), interval_text(summary.p50_interval))
        shown = (case["precision"], case["mode"], case["dispatch"], str(case["groups"]))
        rows.append((*shown, *told, ratio_text(ratio)))
    head = ("engine", "pass", "dispatch", "groups", "median ms", "95 % interval", "paired vs groups=1")
    return _table(head, rows, left=3)


def _variant(entry: Json) -> tuple[str, ...]:
    case = entry["case"]
    way = (case["dispatch"], str(case.get("order")), str(case.get("depth")))
    return case["engine"], case["mode"], *way


def accuracy(found: Json) -> str:
    """Return mAP of the engines and the losses against the first."""
    rows = []
    for entry in found["engines"]:
        against = entry["comparison"] or {}
        rows.append(
            (
                entry["precision"],
                _points(entry["box"]["ap"]),
                _points(entry["mask"]["ap"]),
                _loss(against.get("box")),
                _loss(against.get("mask")),
            )
        )
    return _table(("engine", "box mAP50-95", "mask mAP50-95", "box loss", "mask loss"), rows, left=1)


def _loss(difference: Json | None) -> str:
    if difference is None:
        return ""
    return _lost(-difference["relative"], (difference["low"], difference["high"]))


def _lost(loss: float | None, interval: Sequence[float] | None) -> str:
    """Return a relative loss, and whether the interval around its difference contains none."""
    if loss is None or interval is None:
        return ""
    return f"{round(loss * 100, 2) + 0.0:.2f} %{' (noise)' if interval[0] <= 0 <= interval[1] else ''}"


def int8(found: Json) -> str:
    """Return mAP of each way to INT8, its losses, how much of the work is in INT8, and calibration."""
    rows = []
    for row in found["methods"]:
        if row["status"] != "done":
            continue
        losses = [_lost(row.get(f"{kind}_loss"), row.get(f"{kind}_interval_pt")) for kind in ("box", "mask")]
        cells = ["", "", ""]
        if "int8" in row:
            cells = [
                f"{row['int8']['share_of_multiply_adds'] * 100:.0f} %",
                f"{row['calibration_cpu_s'] / row['plain_cpu_s']:.1f}x",
                str(row["peak_rss_mib"]),
            ]
        name = row["name"].replace("ModelOpt", f"ModelOpt {found['modelopt']}")
        rows.append((name, _points(row["box"]), _points(row["mask"]), *losses, *cells))
    accuracy = ("method", "box mAP50-95", "mask mAP50-95", "box loss", "mask loss")
    head = (*accuracy, "work in INT8", "CPU time, of plain inference", "memory, MiB")
    return _table(head, rows, left=1)


def calibration(found: Json) -> str:
    """Return what calibrating costs in one sentence."""
    return (
        f"Calibrating by {found['method']} on {found['images']} images takes {found['cpu_ratio']:.2f} times "
        f"the CPU time of plain inference of the same images, and {found['peak_rss_mib']} MiB at its peak.\n"
    )


def tiling(found: Json) -> str:
    """Return box mAP by pass and size of the objects, and what a pass costs."""
    engines = {entry["mode"]: entry["engines"][0] for entry in found["modes"]}
    rows = []
    for mode, engine in engines.items():
        points = [_points(engine["box"][name]) for name in ("ap", "small", "medium", "large")]
        seconds = engine["median_seconds"]
        price = seconds / engines["global"]["median_seconds"]
        rows.append((mode, *points, milliseconds(seconds), f"{price:.1f}x"))
    return _table(("pass", "mAP50-95", "small", "medium", "large", "ms", "of global"), rows, left=1)


def merging(found: Json) -> str:
    """Return time and accuracy of merging by us and by SAHI, from the same detections."""
    boxes, masks = (next(t["ms"] for t in found["times"] if t["masks"] is drawn) for drawn in (False, True))
    rows = [
        (
            name.removeprefix("ours, "),
            f"{milliseconds(boxes[name] / 1e3)}",
            f"{milliseconds(masks[name] / 1e3)}",
            _points(found["accuracy"][name]["ap"]),
            _points(found["accuracy"][name]["small"]),
        )
        for name in boxes
    ]
    return _table(("merger", "boxes, ms", "with masks, ms", "mAP50-95", "small"), rows, left=1)


def demo(found: Json) -> str:
    """Return the accuracy of the carried model's engines, and what INT8 costs it."""
    images, against = found["engines"][0]["images"], found["engines"][1]["comparison"]
    lost = [
        f"{-against[kind]['high'] * 100:.2f} to {-against[kind]['low'] * 100:.2f} points of {kind} mAP"
        for kind in ("box", "mask")
    ]
    return (
        f"On {images:,} tiles of 50 held-out scenes:\n\n{accuracy(found)}\n"
        f"With 95 % confidence, paired over the tiles, INT8 loses {' and '.join(lost)}.\n"
    )


def small_objects(found: Json) -> str:
    """Return the recall of small objects on whole frames, by pass."""
    whole, both = (f"{found['recall'][mode] * 100:.1f} %" for mode in ("global", "tiled+global"))
    return (
        f"Small objects found on {found['scenes']} whole held-out scenes: {whole} by the frame letterboxed "
        f"to 640 px, {both} by tiles and frame together.\n"
    )


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
    return _table(head, rows, left=1)


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
    return _table(("groups", *modes), rows, left=0)


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
    return _table(("FP16, graph, one group", "ms", "against bare inference"), rows, left=1)


_SHOWN = {
    "bare inference, one batch after another": "bare inference: 32 tiles, then the frame",
    "frame, global beside the tiles": "upload, tiles beside the frame, masks, merge",
    "frame, global after the tiles": "the same, the frame after the tiles",
    "frame, page-locked source": "the same, beside, camera writes into `frame_buffer`",
}
"""Cases that the README shows, and its words for them."""


def whole_objects(found: Json) -> str:
    """Return box mAP by pass on the frames that judge the rule, and on those on which it was chosen."""
    words = {"mosaics": "mosaics", "single": "enlarged photographs"}
    rows = []
    for kind, entries in found["sets"]["judged"].items():
        for row, chosen in zip(entries, found["sets"]["chosen"][kind], strict=True):
            scores = [_points(row["box"][size]) for size in ("ap", "small", "large")]
            earlier = f"{chosen['frames']}: {' / '.join(_points(chosen['box'][s]) for s in ('ap', 'large'))}"
            low, high = (row["box_against_nothing_doubted"][end] for end in ("low", "high"))
            known = low is not None and row["way"] in ("tiled+global", "tiled+global, also what is not seen")
            against = f"{low * 100:+.1f} to {high * 100:+.1f}" if known else ""
            rows.append((f"{row['frames']} {words[kind]}", str(row["conf"]), row["way"], *scores,
                         _points(row["mask"]["large"]), against, earlier))  # fmt: skip
    head = ("frames", "conf", "pass", "box mAP50-95", "small", "large", "masks, large",
            "mAP against nothing doubted, 95 %", "chosen on: mAP / large")  # fmt: skip
    return _table(head, rows, left=3)


def whole_objects_small(found: Json) -> str:
    """Return the small objects of drawn scenes that are found at the confidence in use, by pass."""
    sizes = {(row["width"], row["height"]): row for row in found["scenes"]}
    shown = {(row["way"], row["width"]): f"{row['found']:,}" for row in found["scenes"]}
    rows = [(way, *(shown[way, width] for width, _ in sizes)) for way in dict.fromkeys(w for w, _ in shown)]
    head = (
        f"{row['scenes']} scenes of {width}x{height}: of {row['small_objects']:,}"
        for (width, height), row in sizes.items()
    )
    return _table(("small objects found, conf 0.25", *head), rows, left=1)


def summary(*found: Json) -> str:
    """Return the README's table: one line for each question, with what it was measured on."""
    small, tiled, accurate, fused, on_gpu, on_cpu = found
    passes = {entry["mode"]: entry["engines"][0]["box"]["ap"] for entry in tiled["modes"]}
    loss = accurate["engines"][1]["comparison"]["box"]
    run = fused["network"]["YOLO11n-seg, torch.compile and ONNX Runtime beside"]
    samples = run["networks"]["yolo11n-seg"]["batches"]["32"]["samples_ms"]
    times = {name: milliseconds(float(np.median(ms)) / 1e3) for name, ms in samples.items()}
    frames = fused["frame"]["masks leave as the GPU wrote them, threads copy and nothing else"]["frame"][
        "cases"
    ]
    whole, page_locked = (
        milliseconds(
            next(float(np.median(c["samples_s"]["end_to_end"])) for c in frames if c["engine"] == name)
        )
        for name in ("frame", "frame, page-locked source")
    )
    card = run["gpu_before"]["name"]
    recall = {mode: f"{share * 100:.1f} %" for mode, share in small["recall"].items()}
    return _table(
        ("question", "the frame alone, or others", "yolotrt", "measured on"),
        [
            ("small objects found in 4K scenes", recall["global"], recall["tiled+global"],
             f"{small['scenes']} drawn scenes, demo model"),
            ("box mAP50-95 of 4K mosaics", _points(passes["global"]), _points(passes["tiled+global"]),
             "YOLO11n-seg, COCO photographs, a processor"),
            ("box mAP lost by INT8", "", _lost(-loss["relative"], (loss["low"], loss["high"])),
             f"YOLO11n-seg, {accurate['engines'][0]['images']} photographs of COCO, a processor"),
            ("32 tiles through the network, ms",
             f"ONNX Runtime {times['onnxruntime']}, torch.compile {times['torch.compile']}",
             f"{times['fused']} (fused)", f"YOLO11n-seg FP16, {card}"),
            ("a 4K frame, upload to masks, ms", "", f"{whole}, {page_locked} with `frame_buffer` (fused)",
             f"YOLO11n-seg FP16, {card}"),
            ("the same beside other tools, ms", *beside(on_gpu), f"YOLO11n-seg, {card}"),
            ("the same on a processor, ms", *beside(on_cpu), "YOLO11n-seg, 2 cores that others used, too"),
        ],
        left=4,
    )  # fmt: skip


def paced(found: list[Json]) -> str:
    """Return the frame of a camera beside the same frame back to back."""
    head, *rows = paced_rows(found)
    return _table(head, rows, left=1)


def peers(found: Json) -> str:
    """Return whole frames by us and by other tools."""
    head, *rows = frame_rows(found)
    return _table(head, rows, left=3)


def peer_networks(found: Json) -> str:
    """Return the network alone by us and by other runtimes."""
    head, *rows = network_rows(found)
    return _table(head, rows, left=3)


def measuring(*found: Json) -> str:
    """Return what measuring adds to a frame, on each machine."""
    head, *rows = measuring_rows(*found)
    return _table(head, rows, left=1)


def session_options(found: Json) -> str:
    """Return settings of ONNX Runtime's sessions, and OpenVINO, against ours."""
    head, *rows = session_rows(found)
    return _table(head, rows, left=1)


def block(name: str, results: Path) -> str | None:
    """Return a block as the results say it; None if one of them was not measured."""
    sources, render = RENDERERS[name]
    paths = [results / f"{source}.json" for source in sources.split()]
    if not all(path.exists() for path in paths):
        return None
    return render(*(json.loads(path.read_text()) for path in paths))


RENDERERS: dict[str, tuple[str, Callable[..., str]]] = {
    "summary": ("small-objects tiling accuracy fused peers-gpu peers", summary),
    "quick-start-commands": ("quick-start", transcript),
    "quick-start": ("quick-start", sweep),
    "accuracy": ("accuracy", accuracy),
    "int8": ("int8-comparison", int8),
    "calibration": ("calibration-cost", calibration),
    "int8-bound-errors": ("int8-bound", errors_table),
    "int8-bound-engines": ("int8-bound", engines_table),
    "tiling": ("tiling", tiling),
    "whole-objects": ("whole-objects", whole_objects),
    "whole-objects-small": ("whole-objects", whole_objects_small),
    "merging": ("merge-comparison", merging),
    "demo-model": ("demo-model", demo),
    "small-objects": ("small-objects", small_objects),
    "download": ("download", download),
    "rtx-layers": ("rtx-layers", rtx_layers),
    "rtx-sizes": ("rtx-layers", rtx_sizes),
    "gpu-modes": ("gpu", gpu_modes),
    "gpu-frames": ("gpu", gpu_frames),
    "paced": ("paced", paced),
    "measuring": ("measuring measuring-gpu", measuring),
    "peers": ("peers", peers),
    "peers-gpu": ("peers-gpu", peers),
    "session-options": ("session-options", session_options),
    "peer-networks": ("peers", peer_networks),
}
"""By the name of a block: the files in ``benchmarks/results/`` that it comes from, and what writes it."""


def _points(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))
