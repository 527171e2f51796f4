"""What a person should know of a network before its results are read."""

from __future__ import annotations

from yolotrt.model.names import numbered
from yolotrt.model.spec import ModelSpec

NOTICED = 0.001
"""Least threshold of suppression inside a network that an evaluation notices: its own."""


def lost_names(spec: ModelSpec) -> str | None:
    """Say that class numbers stand for names, and why, if they do."""
    if spec.names != numbered(len(spec.names)):
        return None
    return (
        f"{spec.name} carries no class names, so its classes are called class0, class1 and so on. Tools that "
        "rewrite ONNX files (ModelOpt, graphsurgeon, polygraphy) drop names, stride and task: copy "
        "metadata_props from the file that they were given."
    )


def own_suppression(spec: ModelSpec) -> str | None:
    """Say that the network itself drops detections that an evaluation needs, if it does."""
    if spec.own_nms is None or 0 < round(spec.own_nms, 6) <= NOTICED:
        return None
    threshold = f"a threshold of {spec.own_nms:g}" if spec.own_nms else "a threshold that is not known"
    return (
        f"{spec.name} has non-maximum suppression inside the graph with {threshold}: it drops detections of "
        "lower confidence, which mAP counts, so its mAP comes out too low beside others. Export it without: "
        "yolotrt export WEIGHTS.pt"
    )
