"""Turn an engine's raw outputs into detections in the frame that the network looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32, I64
from yolotrt.errors import ArtifactError, ExecutionError, UsageError
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.masks import assemble_masks
from yolotrt.geometry.merge import nms
from yolotrt.model.spec import ModelSpec

Output = npt.NDArray[Any]

MAX_CANDIDATES = 30_000
"""Candidates of one image that enter suppression, the best first."""


@dataclass(frozen=True)
class DecodeSettings:
    """What counts as a detection.

    Attributes:
        conf: Least score, exclusive, in [0, 1].
        iou: Overlap with a better box of the same class above which a box is dropped, in [0, 1]. An
            ``end2end`` head has no duplicates and ignores it.
        max_det: Most detections of one image, at least 1.
        multi_label: Let one box carry several classes (for mAP) instead of its best class only. An
            ``end2end`` head has one class per box.
        masks: Draw the masks; without them decoding costs little more than reading the scores.

    Raises:
        UsageError: A value is out of range.
    """

    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    multi_label: bool = False
    masks: bool = True

    def __post_init__(self) -> None:
        for name, value in (("confidence", self.conf), ("IoU threshold", self.iou)):
            if not 0 <= value <= 1:
                raise UsageError(f"A {name} of {value} makes no sense.", hint="Choose a value from 0 to 1.")
        if self.max_det < 1:
            raise UsageError(
                f"At most {self.max_det} detections makes no sense.", hint="Choose 1 or more, such as 300."
            )


@dataclass(frozen=True)
class _Candidates:
    """Boxes of one image in px of the network's input; ``source`` tells equal boxes and masks."""

    boxes: F32
    scores: F32
    classes: I64
    source: I64
    coefficients: F32

    def take(self, index: npt.NDArray[Any]) -> _Candidates:
        return _Candidates(
            self.boxes[index],
            self.scores[index],
            self.classes[index],
            self.source[index],
            self.coefficients,
        )


def decode(
    head: Output,
    prototypes: Output,
    spec: ModelSpec,
    placements: Sequence[Letterbox],
    settings: DecodeSettings | None = None,
) -> list[Detections]:
    """Decode one batch.

    Args:
        head: Detection output of ``spec.head``'s shape, any float type, px of the network's input.
        prototypes: (batch, mask_coeffs, height, width), any float type.
        spec: The network's interface.
        placements: How each image of the batch lies in the network's input. Further items of the batch
            are ignored, so an engine of a fixed batch can be filled up.
        settings: Thresholds.

    Returns:
        One set of detections per placement, best first, in px of the placement's image frame: boxes
        clipped to the image, masks at full resolution inside their boxes.

    Raises:
        ExecutionError: An output that matters here holds NaN or infinity.
        ArtifactError: The head gives a class that has no name.
    """
    settings = settings or DecodeSettings()
    read = _from_raw if spec.head == "raw" else _from_end2end
    return [
        _finish(read(rows, spec, settings), protos, spec, placement, settings)
        for rows, protos, placement in zip(head, prototypes, placements, strict=False)
    ]


def _from_raw(rows: Output, spec: ModelSpec, settings: DecodeSettings) -> _Candidates:
    """Read the candidates of one image from (4 + classes + coefficients, anchors) and suppress duplicates."""
    first_coefficient = 4 + len(spec.names)
    scores = rows[4:first_coefficient]
    best = scores.max(axis=0)  # NaN wins any maximum, so none goes unnoticed
    _require_finite(best, spec.head_output)
    anchors = np.flatnonzero(best > settings.conf)
    chosen = scores[:, anchors].T.astype(np.float32)
    if settings.multi_label:
        source, classes = np.nonzero(chosen > settings.conf)
    else:
        source, classes = np.arange(len(anchors)), chosen.argmax(axis=1)
    centre_wh = rows[:4, anchors].T.astype(np.float32)
    half = centre_wh[:, 2:] / 2
    boxes = np.concatenate([centre_wh[:, :2] - half, centre_wh[:, :2] + half], axis=1)
    _require_finite(boxes, spec.head_output)
    coefficients = rows[first_coefficient:, anchors].T.astype(np.float32)
    found = _Candidates(boxes[source], chosen[source, classes], classes, source, coefficients)
    if len(found.scores) > MAX_CANDIDATES:
        found = found.take(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])
    return found.take(nms(found.boxes, found.scores, found.classes, settings.iou, limit=settings.max_det))


def _from_end2end(rows: Output, spec: ModelSpec, settings: DecodeSettings) -> _Candidates:
    """Read the candidates of one image from (detections, 6 + coefficients), which come best first."""
    _require_finite(rows[:, 4], spec.head_output)
    chosen = rows[rows[:, 4] > settings.conf][: settings.max_det].astype(np.float32)
    _require_finite(chosen[:, :6], spec.head_output)
    classes = np.clip(chosen[:, 5], -1, 2**31).astype(np.int64)
    require_named(classes, spec)
    return _Candidates(
        chosen[:, :4],
        chosen[:, 4],
        classes,
        np.arange(len(chosen)),
        chosen[:, 6:],
    )


def require_named(classes: npt.NDArray[Any], spec: ModelSpec) -> None:
    """Refuse detections of classes that the class list does not have.

    An end-to-end head does not show how many classes it knows, so the list can only be held against what
    it gives.

    Raises:
        ArtifactError: There is such a class.
    """
    count = len(spec.names)
    if len(classes) and not (int(classes.min()) >= 0 and int(classes.max()) < count):
        strange = next(int(c) for c in classes if not 0 <= c < count)
        raise ArtifactError(
            f"The engine found something of class {strange}, but its class list has {count} names.",
            hint="The list belongs to another network: export the weights again, and build from that.",
        )


def _finish(
    found: _Candidates, prototypes: Output, spec: ModelSpec, placement: Letterbox, settings: DecodeSettings
) -> Detections:
    """Move candidates to the image's frame and draw their masks."""
    boxes = placement.boxes_to_image(found.boxes)
    masks = _draw(found, boxes, prototypes, spec, placement) if settings.masks else None
    return Detections(boxes, found.scores, found.classes, masks)


def _draw(
    found: _Candidates, boxes: F32, prototypes: Output, spec: ModelSpec, placement: Letterbox
) -> tuple[Mask, ...]:
    """Draw each mask once, however many classes its box carries."""
    source, first, where = np.unique(found.source, return_index=True, return_inverse=True)
    if not len(source):
        return ()
    coefficients = found.coefficients[source]
    _require_finite(coefficients, spec.head_output)
    prototypes = prototypes.astype(np.float32, copy=False)
    try:
        drawn = assemble_masks(prototypes, coefficients, boxes[first], placement)
    except FloatingPointError as exc:
        raise _broken(spec.proto_output) from exc
    return tuple(drawn[i] for i in where)


def _require_finite(values: npt.NDArray[Any], output: str) -> None:
    if not np.isfinite(values).all():
        raise _broken(output)


def _broken(output: str) -> ExecutionError:
    return ExecutionError(
        f"The engine's output {output!r} holds NaN or infinity: the engine is broken.",
        hint="Build it again; if it was built in lower precision, compare with --fp32.",
    )
