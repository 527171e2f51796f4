"""What was measured of videos on a GPU, as README and docs show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.markdown import table_of
from yolotrt.report.figures import milliseconds

Json = dict[str, Any]

SETTLED_S = 6.0
"""From here on memory is compared, seconds."""

_CLIPS = {"h264": "H.264", "hevc": "HEVC", "hevc10": "HEVC 10 bit"}
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
        ways = ("nvdec", "pyav", "opencv", "decoder alone", "network alone")
        times = [milliseconds(clip["mean_ms"][way] / 1e3) for way in ways]
        rows.append((f"{_CLIPS[name]}, {kilobytes} a frame", *times))
    head = ("clip", "NVDEC", "PyAV and upload", "OpenCV and upload", "NVDEC alone", "network alone")
    return table_of(head, rows, left=1)


def agreement(fp16: Json, int8: Json) -> str:
    """Return how many objects agree, of those found both ways."""

    def cell(found: Json, rgb: str) -> str:
        ways = (clip["agreement"][rgb] for clip in found["clips"].values())
        return ", ".join(f"{way['agree']} of {len(way['mask_iou'])}" for way in ways)

    names = ", ".join(_CLIPS[name] for name in fp16["clips"])
    rows = [(words, cell(fp16, rgb), cell(int8, rgb)) for rgb, words in _RGB.items()]
    return table_of(("RGB", f"FP16: {names}", f"INT8: {names}"), rows, left=3)


def asked(found: Json, before: Json, cameras: Json) -> str:
    """Return what was asked of video on a GPU, and what was found.

    Args:
        found: Of ``benchmarks.video_gpu``.
        before: Likewise, of another session.
        cameras: Of ``benchmarks.video_cameras``.
    """
    clips, run, memory = found["clips"], cameras["run"], cameras["memory"]

    def each(figure: Callable[[Json], float], of: Json = clips) -> str:
        return ", ".join(f"{_CLIPS[name]} {figure(clip):.2f}" for name, clip in of.items())

    def against(way: str) -> Callable[[Json], float]:
        return lambda clip: clip["mean_ms"]["nvdec"] / clip["mean_ms"][way]

    def kept_up(clip: Json) -> float:
        mean = clip["mean_ms"]
        return float(max(mean["decoder alone"], mean["network alone"]) / mean["nvdec"])

    other = [_uploaded(clip) for clip in clips.values()]
    late, read = run["late"], run["counts"]["read"]
    besides = ", ".join(f"{ours:.0f}" for ours, _ in other)
    settled = [entry for entry in memory if entry[0] >= SETTLED_S]
    rows = [
        ("packet to detections, at most 0.75x of decoding by OpenCV on the host, as it was before",
         f"{each(against('opencv'))}; in a session before {each(against('opencv'), before['clips'])}"),
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
    ]  # fmt: skip
    return table_of(("asked", "found"), rows, left=2)


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
