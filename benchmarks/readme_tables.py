"""Write what was measured as README and docs show it, between marks that name the file it comes from.

<!-- figures: NAME -->
...
<!-- end of figures -->
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    accuracy_tables,
    adaptive_table,
    batch_gpus,
    fused_tables,
    scaling_tables,
    speed_tables,
    video_table,
)
from benchmarks.bound_tables import (
    command_table,
    command_times,
    engines_table,
    errors_table,
    lost,
    within_table,
)
from benchmarks.markdown import points, rows_table, table_of
from benchmarks.peer_tables import beside
from yolotrt.report.figures import milliseconds

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


def summary(*found: Any) -> str:
    """Return the README's table: one line for each question, with what it was measured on."""
    small, tiled, bounded, fused, video, on_gpu, on_cpu = found
    passes = {entry["mode"]: entry["engines"][0]["box"]["ap"] for entry in tiled["modes"]}
    losses, measured_on = lost(bounded)
    times = {name: milliseconds(spent) for name, spent in fused_tables.network(fused)[32].items()}
    frames = fused_tables.cases(fused["frame"][fused_tables.FRAME]["frame"])
    whole, page_locked = (milliseconds(frames[name, 1]) for name in ("frame", "frame, page-locked source"))
    card = fused["network"][fused_tables.ONE_RUN]["gpu_before"]["name"]
    recall = {mode: f"{share * 100:.1f} %" for mode, share in small["recall"].items()}
    return table_of(
        ("question", "the frame alone, or others", "yolotrt", "measured on"),
        [
            ("small objects found in 4K scenes", recall["global"], recall["tiled+global"],
             f"{small['scenes']} drawn scenes, demo model"),
            ("box mAP50-95 of 4K mosaics", points(passes["global"]), points(passes["tiled+global"]),
             "YOLO11n-seg, COCO photographs, a processor"),
            ("mAP lost by INT8 with `--max-drop 1%`", "", losses, measured_on),
            ("32 tiles through the network, ms",
             f"ONNX Runtime {times['onnxruntime']}, torch.compile {times['torch.compile']}",
             f"{times['fused']} (fused)", f"YOLO11n-seg FP16, {card}"),
            ("a 4K frame, upload to masks, ms", "", f"{whole}, {page_locked} with `frame_buffer` (fused)",
             f"YOLO11n-seg FP16, {card}"),
            ("the same beside other tools, ms", *beside(on_gpu), f"YOLO11n-seg, {card}"),
            ("the same on a processor, ms", *beside(on_cpu), "YOLO11n-seg, 2 cores that others used, too"),
            video_table.row(video),
        ],
        left=4,
    )  # fmt: skip


def block(name: str, results: Path) -> str | None:
    """Return a block as the results say it; None if one of them was not measured."""
    sources, render = RENDERERS[name]
    paths = [results / f"{source}.json" for source in sources.split()]
    if not all(path.exists() for path in paths):
        return None
    return render(*(json.loads(path.read_text()) for path in paths))


RENDERERS: dict[str, tuple[str, Callable[..., str]]] = {
    "summary": ("small-objects tiling int8-bound fused video-gpu peers-gpu peers", summary),
    "quick-start-commands": ("quick-start", speed_tables.transcript),
    "quick-start": ("quick-start", speed_tables.sweep),
    "accuracy": ("accuracy", accuracy_tables.accuracy),
    "int8": ("int8-comparison", accuracy_tables.int8),
    "calibration": ("calibration-cost", accuracy_tables.calibration),
    "int8-bound-errors": ("int8-bound", errors_table),
    "int8-bound-within": ("int8-bound", within_table),
    "bound-command": ("bound-command", command_table),
    "bound-command-times": ("bound-command", command_times),
    "int8-bound-engines": ("int8-bound", engines_table),
    "tiling": ("tiling", accuracy_tables.tiling),
    "whole-objects": ("whole-objects", accuracy_tables.whole_objects),
    "whole-objects-small": ("whole-objects", accuracy_tables.whole_objects_small),
    "merging": ("merge-comparison", accuracy_tables.merging),
    "demo-model": ("demo-model", accuracy_tables.demo),
    "small-objects": ("small-objects", accuracy_tables.small_objects),
    "download": ("download", speed_tables.download),
    "rtx-layers": ("rtx-layers", speed_tables.rtx_layers),
    "rtx-sizes": ("rtx-layers", speed_tables.rtx_sizes),
    "gpu-modes": ("gpu", speed_tables.gpu_modes),
    "gpu-frames": ("gpu", speed_tables.gpu_frames),
    "fused": ("fused", fused_tables.times),
    "fused-frames": ("fused", fused_tables.frames),
    "fused-tools": ("fused", fused_tables.tools),
    "fused-bars": ("fused", fused_tables.bars),
    "fused-fp8": ("fused-fp8", fused_tables.fp8),
    "paced": ("paced", speed_tables.paced),
    "adaptive-looks": ("adaptive", lambda found: rows_table(adaptive_table.looks_rows(found))),
    "adaptive": ("adaptive", lambda found: rows_table(adaptive_table.network_rows(found))),
    "adaptive-gpu": ("adaptive-gpu", lambda found: rows_table(adaptive_table.gpu_latency_rows(found))),
    "adaptive-gpu-parts": ("adaptive-gpu", lambda found: rows_table(adaptive_table.gpu_parts_rows(found))),
    "adaptive-gpu-slower": ("adaptive-gpu", lambda found: rows_table(adaptive_table.slower_rows(found))),
    "adaptive-gpu-videos": ("adaptive-gpu", lambda found: rows_table(adaptive_table.gpu_video_rows(found))),
    "measuring": ("measuring measuring-gpu", speed_tables.measuring),
    "peers": ("peers", speed_tables.peers),
    "peers-gpu": ("peers-gpu", speed_tables.peers),
    "session-options": ("session-options", speed_tables.session_options),
    "batch-kills": ("batch-kills", scaling_tables.kills),
    "batch-overhead": ("batch-overhead", scaling_tables.overhead),
    "service-load": ("service-load", scaling_tables.service),
    "two-gpus-batch": ("two-gpus", lambda found: f"{batch_gpus.table(found['batch'])}\n"),
    "video-gpu": ("video-gpu", video_table.speeds),
    "video-asked": ("video-gpu video-gpu-first video-gpu-second video-cameras video-live", video_table.asked),
    "video-together": ("video-together", video_table.together),
    "video-agreement": ("video-gpu-fp16 video-gpu-second", video_table.agreement),
    "peer-networks": ("peers", speed_tables.peer_networks),
}
"""By the name of a block: the files in ``benchmarks/results/`` that it comes from, and what writes it."""
