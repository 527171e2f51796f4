"""Say what files are that are none of our JSON documents: weights, pictures, labels, pages, tables."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from yolotrt.artifacts.hashing import sha256_file
from yolotrt.artifacts.kinds import HTML, JUNIT, MARKDOWN, head_of, is_binary_of_no_known_kind
from yolotrt.cuda.probe import has_driver
from yolotrt.data.foreign import VIDEO_ENDINGS
from yolotrt.data.formats.reader import SPLITS, names_images, read_annotations
from yolotrt.data.formats.yolo_files import find_split
from yolotrt.data.images import EXTENSIONS, read_image
from yolotrt.data.video_file import VideoFile
from yolotrt.errors import ArtifactError, YoloTrtError
from yolotrt.model.peek import peek
from yolotrt.text import shell_words

_LONGEST = 64 << 20
"""Bytes of the longest line that is read."""

WEIGHTS_ENDINGS = (".pt", ".pth")

OTHER_KINDS = (
    "weights (PyTorch)",
    "predictions, a frame a line",
    "COCO annotations",
    "YOLO data set",
    "pipeline of an application",
    "picture",
    "video",
    "page of yolotrt",
    "Markdown of yolotrt",
    "JUnit XML of yolotrt",
    "table (CSV)",
    "calibration table of TensorRT",
    "timing cache",
)
"""What these descriptions say under ``kind``."""


def describe_other(path: Path) -> dict[str, Any] | None:
    """Return what is in a file, as JSON values, or None if it is not known.

    Raises:
        InputError: It is known by its ending or beginning, and damaged.
    """
    ending = path.suffix.lower()
    found: dict[str, Any] | None = None
    if ending in WEIGHTS_ENDINGS:
        found = _weights(path)
    elif ending == ".jsonl":
        return describe_lines(path)
    elif ending in (".yaml", ".yml"):
        found = _yaml(path)
    elif ending in EXTENSIONS:
        height, width = read_image(path).shape[:2]
        found = {"kind": "picture", "size_wh": [width, height]}
    elif ending in VIDEO_ENDINGS:
        found = _video(path)
    elif HTML.is_own(path):
        found = {"kind": "page of yolotrt", "open_with": "any browser; it needs no network"}
    elif MARKDOWN.is_own(path):
        found = {"kind": "Markdown of yolotrt", "lines": len(path.read_text("utf-8").splitlines())}
    elif JUNIT.is_own(path):
        found = {"kind": "JUnit XML of yolotrt", "open_with": "whatever shows the tests of a CI job"}
    elif head_of(path).startswith(b"TRT-"):
        lines = path.read_text("utf-8", errors="replace").splitlines()
        found = {"kind": "calibration table of TensorRT", "made_for": lines[0], "tensors": len(lines) - 1}
    elif ending == ".csv":
        rows = path.read_text("utf-8", errors="replace").splitlines()
        found = {"kind": "table (CSV)", "rows": max(0, len(rows) - 1), "columns": rows[:1]}
    elif ending == ".cache" and is_binary_of_no_known_kind(path):
        found = {"kind": "timing cache", "of": "the GPU and library that wrote it; it only saves time"}
    return None if found is None else {**found, "bytes": path.stat().st_size}


def describe_annotations(found: Any) -> dict[str, Any] | None:
    """Return what is in a COCO dataset that was read from a file, or None if it is none."""
    if not (isinstance(found, dict) and isinstance(found.get("images"), list) and "categories" in found):
        return None
    names = {entry.get("id"): str(entry.get("name")) for entry in found["categories"]}
    objects = found.get("annotations") or []
    counts = Counter(names.get(entry.get("category_id"), "?") for entry in objects)
    return {
        "kind": "COCO annotations",
        "images": len(found["images"]),
        "annotations": len(objects),
        "categories": dict(counts.most_common()),
    }


def _weights(path: Path) -> dict[str, Any]:
    seen = peek(path)
    segments = seen.network is not None and seen.network.endswith("SegmentationModel")
    hint = "weights of a segmentation network are needed here, such as yolo26n-seg.pt"
    return {
        "kind": "weights (PyTorch)",
        "network": seen.network or "none: tensors, or a class that is not Ultralytics'",
        "made_by": " ".join(["Ultralytics", *seen.facts.values()]) if seen.facts else None,
        "classes": list(seen.classes),
        "asks_for_code_of": list(seen.imports),
        "sha256": sha256_file(path),
        "next": f"yolotrt build {shell_words(str(path))} {_worthwhile()}" if segments else hint,
    }


def _worthwhile() -> str:
    """Return the precision that mostly pays on this machine, as options of build."""
    return "--fp16" if has_driver() else "--int8 --images DIR"


def is_lines(path: Path) -> bool:
    """Return whether a file holds a frame a line, as ``predict --jsonl`` writes it, whatever it is called."""
    try:
        with path.open("rb") as lines:
            first = json.loads(lines.readline(_LONGEST))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and first.keys() >= {"image", "objects", "width", "height"}


def describe_lines(path: Path) -> dict[str, Any]:
    """Return what is in a file with a frame a line.

    Raises:
        ArtifactError: A line is no frame.
    """
    frames, counts = 0, Counter[str]()
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                entry = json.loads(line)
                counts.update(str(o.get("category", o.get("category_id"))) for o in entry.get("objects", ()))
                frames += 1
    except (ValueError, AttributeError, TypeError, RecursionError) as exc:
        raise ArtifactError(f"{path}:{frames + 1} is no frame of objects.", hint="Is it complete?") from exc
    return {
        "kind": "predictions, a frame a line",
        "frames": frames,
        "objects": counts.total(),
        "categories": dict(counts.most_common()),
        "bytes": path.stat().st_size,
    }


def _yaml(path: Path) -> dict[str, Any] | None:
    from yolotrt.workflow.pipeline_yaml import read_pipeline

    if names_images(path):
        found: dict[str, Any] = {"kind": "YOLO data set"}
        for split in SPLITS:
            try:
                found[split] = f"{len(find_split(path, split).images)} images"
            except YoloTrtError:
                found[split] = None
        found["classes"] = list(read_annotations(path).categories.values()) if found.get("val") else []
        return found
    try:
        wanted = read_pipeline(path)
    except YoloTrtError:
        return None
    return {
        "kind": "pipeline of an application",
        "mode": wanted.mode,
        "dispatch": wanted.dispatch,
        "groups": wanted.groups,
        "engines": [str(engine) for engine in wanted.engines],
    }


def _video(path: Path) -> dict[str, Any]:
    with closing(VideoFile(path)) as video:
        first = next(iter(video.frames()))
        height, width = first.image.shape[:2]
        return {
            "kind": "video",
            "size_wh": [width, height],
            "fps": None if video.fps is None else round(video.fps, 3),
            "frames": video.announced,
        }
