"""What was measured of videos on a GPU, as README and docs show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.markdown import table_of
from yolotrt.report.figures import milliseconds

Json = dict[str, Any]

SETTLED_S = 6.0
"""From here on memory is compared, seconds."""

_CLIPS = {"h264": "H.264", "hevc": "HEVC", "hevc10": "HEVC 10 bit"}
_WAYS = {
    "nvdec": "NVDEC",
    "one session": "NVDEC, one session",
    "pyav": "PyAV and upload",
    "opencv": "OpenCV and upload",
    "decoder alone": "NVDEC alone",
    "one session alone": "one session alone",
    "network alone": "network alone",
}
_RGB = {
    "same RGB": "NumPy's, by the kernels' formula",
    "exact RGB": "FFmpeg's exact conversion",
    "usual RGB": "FFmpeg's usual conversion, which `pyav` takes",
}


def speeds(found: Json) -> str:
    """Return the mean times between two results, by clip and way."""
    rows = []
    for name, clip in found["clips"].items():
        kilobytes = f"{clip['packet_bytes_per_frame'] / 1e3:.0f} KB"
        mean = {way: milliseconds(ms / 1e3) for way, ms in clip["mean_ms"].items()}
        times = (mean.get(way, "") for way in _WAYS)
        rows.append((f"{_CLIPS[name]}, {kilobytes} a frame", *times))
    return table_of(("clip", *_WAYS.values()), rows, left=1)


def agreement(fp16: Json, int8: Json) -> str:
    """Return how many objects agree, of those found both ways."""

    def cell(found: Json, rgb: str) -> str:
        ways = (clip["agreement"][rgb] for clip in found["clips"].values())
        return ", ".join(f"{way['agree']} of {len(way['mask_iou'])}" for way in ways)

    names = ", ".join(_CLIPS[name] for name in fp16["clips"])
    rows = [(words, cell(fp16, rgb), cell(int8, rgb)) for rgb, words in _RGB.items()]
    return table_of(("RGB", f"FP16: {names}", f"INT8: {names}"), rows, left=3)


def asked(found: Json, first: Json, second: Json, cameras: Json, live: Json) -> str:
    """Return what was asked of video on a GPU, and what was found.

    Args:
        found: Of ``benchmarks.video_gpu``.
        first: Likewise, of a run before, when one session of NVDEC decoded a file.
        second: Likewise, of another one.
        cameras: Of ``benchmarks.video_cameras``.
        live: Of ``benchmarks.video_live``.
    """
    clips, run, memory = found["clips"], cameras["run"], cameras["memory"]

    def each(figure: Callable[[Json], float]) -> str:
        return ", ".join(f"{_CLIPS[name]} {figure(clip):.2f}" for name, clip in clips.items())

    def against(way: str) -> Callable[[Json], float]:
        return lambda clip: clip["mean_ms"]["nvdec"] / clip["mean_ms"][way]

    def kept_up(clip: Json) -> float:
        mean = clip["mean_ms"]
        return float(max(mean["decoder alone"], mean["network alone"]) / mean["nvdec"])

    def of_h264(of: Json, way: str = "nvdec") -> str:
        mean = of["clips"]["h264"]["mean_ms"]
        return f"{mean[way] / mean['opencv']:.2f}"

    other = [_uploaded(clip) for clip in clips.values()]
    late, read = run["late"], run["counts"]["read"]
    besides = ", ".join(f"{ours:.0f}" for ours, _ in other)
    settled = [entry for entry in memory if entry[0] >= SETTLED_S]
    rows = [
        ("packet to detections, at most 0.75x of decoding by OpenCV on the host, as it was before",
         f"{each(against('opencv'))}; H.264 by one session {of_h264(found, 'one session')}, in runs before "
         f"{of_h264(first)} and {of_h264(second)}"),
        ("the same against PyAV, which takes all cores", each(against("pyav"))),
        ("copied to the GPU a frame: nothing but packets",
         f"{besides} bytes besides; by OpenCV {other[0][1] / 1e6:.0f} MB"),
        ("end to end at least 0.9x of the slower of decoder and network", each(kept_up)),
        ("four cameras at 30 frames a second for ten minutes, at most 0.1 % later than 33 ms",
         f"in {run['seconds']:.0f} s {late} of {read} frames ({late / read * 100:.2f} %), "
         f"{run['counts']['dropped']} of them dropped; 99 % within {run['age']['p99'] * 1e3:.0f} ms"),
        ("memory stays",
         f"{settled[0][1]:.1f} MiB after {settled[0][0]:.0f} s, {settled[-1][1]:.1f} at the end; "
         f"of the GPU {settled[0][2]:.1f}, {settled[-1][2]:.1f}"),
        ("a live camera over RTSP, HEVC", _live(live)),
    ]  # fmt: skip
    return table_of(("asked", "found"), rows, left=2)


def _live(found: Json) -> str:
    delays, age = np.array(found["sent_to_decoded_ms"]), found["run"]["age"]
    median, slow = (milliseconds(float(np.quantile(delays, q)) / 1e3) for q in (0.5, 0.99))
    return (
        f"{found['equal']} of {found['compared']} frames hold what they do in the file, to the bit; "
        f"{median} ms (p99 {slow}) from sending to decoded, {milliseconds(age['p50'])} on to the result; "
        f"away for {found['longest_step_s']:.1f} s, and back"
    )


def together(found: Json) -> str:
    """Return what sharing a batch gains, by frames and cameras."""
    kinds = {"decoded": "decoded by NVDEC", "pictures": "pictures, uploaded"}
    rows = []
    for case in found["cases"]:
        shared, alone = (case["ms"][way] for way in ("together", "one by one"))
        agreed = case["agreement"]
        rows.append((
            kinds[case["frames"]], str(case["cameras"]), f"{shared['all_p50']:.2f}",
            f"{alone['first_p50']:.2f}", f"{alone['all_p50']:.2f}",
            f"{agreed['agree']} of {len(agreed['mask_iou'])}",
        ))  # fmt: skip
    head = ("4K frames", "cameras", "one batch, ms", "one by one: first", "last", "objects agree")
    return table_of(head, rows, left=1)


def _uploaded(clip: Json) -> tuple[float, float]:
    found = clip["uploaded_bytes_per_frame"]
    return found["nvdec"], found["opencv"]


def row(found: Json) -> tuple[str, str, str, str]:
    """Return the README's row."""
    mean = {way: milliseconds(ms / 1e3) for way, ms in found["clips"]["hevc"]["mean_ms"].items()}
    return (
        "between two results of a 4K HEVC video, packets to masks, ms",
        f"decoded on the host: OpenCV {mean['opencv']}, PyAV {mean['pyav']}",
        f"{mean['nvdec']} (NVDEC, fused)",
        f"YOLO11n-seg INT8, {found['gpu_before']['name']}",
    )
