"""Which ways of joining tiles there are; imports no other module, so that ``--help`` can name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MergeMethod = Literal["seams", "nmm", "nms"]


@dataclass(frozen=True)
class Method:
    """A way of joining what tiles, and the pass over the whole frame, found.

    Attributes:
        function: ``module:function``; it takes :class:`yolotrt.pipeline.merge.Candidates` and
            :class:`yolotrt.pipeline.merge.MergeSettings`, and returns one detection per object, best first,
            whatever the order of the candidates.
        summary: What ``--help`` says about it, in a few words.
        by_overlap: ``--merge-overlap`` says how it compares detections.
        on_gpu: :mod:`yolotrt.pipeline.device.merge` does the same on a GPU, to the bit.
    """

    function: str
    summary: str
    by_overlap: bool = True
    on_gpu: bool = False


METHODS: dict[MergeMethod, Method] = {
    "seams": Method("yolotrt.pipeline.merge:seams", "knows their borders", by_overlap=False, on_gpu=True),
    "nmm": Method("yolotrt.pipeline.merge:nmm", "joins overlaps"),
    "nms": Method("yolotrt.pipeline.merge:nms", "drops overlaps"),
}
"""A new method is its own module, one line here, and its name in :data:`MergeMethod`."""

MERGE_METHODS = tuple(METHODS)
