"""What was measured of accuracy, as docs show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.markdown import points, table_of
from yolotrt.report.figures import milliseconds

Json = dict[str, Any]


def accuracy(found: Json) -> str:
    """Return mAP of the engines and the losses against the first."""
    rows = []
    for entry in found["engines"]:
        against = entry["comparison"] or {}
        rows.append(
            (
                entry["precision"],
                points(entry["box"]["ap"]),
                points(entry["mask"]["ap"]),
                _loss(against.get("box")),
                _loss(against.get("mask")),
            )
        )
    return table_of(("engine", "box mAP50-95", "mask mAP50-95", "box loss", "mask loss"), rows, left=1)


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
        rows.append((name, points(row["box"]), points(row["mask"]), *losses, *cells))
    accuracy = ("method", "box mAP50-95", "mask mAP50-95", "box loss", "mask loss")
    head = (*accuracy, "work in INT8", "CPU time, of plain inference", "memory, MiB")
    return table_of(head, rows, left=1)


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
        shares = [points(engine["box"][name]) for name in ("ap", "small", "medium", "large")]
        seconds = engine["median_seconds"]
        price = seconds / engines["global"]["median_seconds"]
        rows.append((mode, *shares, milliseconds(seconds), f"{price:.1f}x"))
    return table_of(("pass", "mAP50-95", "small", "medium", "large", "ms", "of global"), rows, left=1)


def merging(found: Json) -> str:
    """Return time and accuracy of merging by us and by SAHI, from the same detections."""
    boxes, masks = (next(t["ms"] for t in found["times"] if t["masks"] is drawn) for drawn in (False, True))
    rows = [
        (
            name.removeprefix("ours, "),
            f"{milliseconds(boxes[name] / 1e3)}",
            f"{milliseconds(masks[name] / 1e3)}",
            points(found["accuracy"][name]["ap"]),
            points(found["accuracy"][name]["small"]),
        )
        for name in boxes
    ]
    return table_of(("merger", "boxes, ms", "with masks, ms", "mAP50-95", "small"), rows, left=1)


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


AGAINST = ("box_against_nothing_doubted", "large_against_the_better_pass")


def whole_objects(found: Json) -> str:
    """Return box mAP by pass on the frames that judge the rule, and on those on which it was chosen."""
    words = {"mosaics": "mosaics", "single": "enlarged photographs"}
    rows = []
    for kind, entries in found["sets"]["judged"].items():
        for row, chosen in zip(entries, found["sets"]["chosen"][kind], strict=True):
            scores = [points(row["box"][size]) for size in ("ap", "small", "large")]
            earlier = f"{chosen['frames']}: {' / '.join(points(chosen['box'][s]) for s in ('ap', 'large'))}"
            both = row["way"].startswith("tiled+global")
            against = [_gain(row[name]) if both else "" for name in AGAINST]
            rows.append((f"{row['frames']} {words[kind]}", str(row["conf"]), row["way"], *scores,
                         points(row["mask"]["large"]), *against, earlier))  # fmt: skip
    head = ("frames", "conf", "pass", "box mAP50-95", "small", "large", "masks, large",
            "mAP against nothing doubted", "large against the better pass",
            "chosen on: mAP / large")  # fmt: skip
    return table_of(head, rows, left=3)


def _gain(of: Json) -> str:
    """Return a difference in points and its 95 % interval; nothing of a comparison with itself."""
    if of["low"] is None or of["low"] == of["high"] == 0:
        return ""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * of[end] for end in ("value", "low", "high")))


def whole_objects_small(found: Json) -> str:
    """Return the small objects of drawn scenes that are found at the confidence in use, by pass."""
    sizes = {(row["width"], row["height"]): row for row in found["scenes"]}
    shown = {(row["way"], row["width"]): f"{row['found']:,}" for row in found["scenes"]}
    rows = [(way, *(shown[way, width] for width, _ in sizes)) for way in dict.fromkeys(w for w, _ in shown)]
    head = (
        f"{row['scenes']} scenes of {width}x{height}: of {row['small_objects']:,}"
        for (width, height), row in sizes.items()
    )
    return table_of(("small objects found, conf 0.25", *head), rows, left=1)
