"""Every kind of JSON document that we write and read."""

from __future__ import annotations

from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.folders import DOCUMENT as FOLDER_LIST
from yolotrt.backends.sidecar_file import DOCUMENT as SIDECAR
from yolotrt.backends.timings_file import DOCUMENT as KERNEL_TIMINGS
from yolotrt.bench.compare_file import DOCUMENT as COMPARISON
from yolotrt.bench.result import DOCUMENT as RESULT
from yolotrt.bench.run_file import DOCUMENT as RUN
from yolotrt.data.coco.manifest import DOCUMENT as MANIFEST
from yolotrt.machine.examined import EXAMINED
from yolotrt.quantization.cache_file import DOCUMENT as CALIBRATION
from yolotrt.workflow.accuracy_file import DOCUMENT as ACCURACY
from yolotrt.workflow.batched import BATCH, PLAN
from yolotrt.workflow.built import BUILT
from yolotrt.workflow.replies import REPLIES
from yolotrt.workflow.tune.outcome_file import DOCUMENT as TUNED
from yolotrt.workflow.tune.state_file import DOCUMENT as STATE
from yolotrt.workflow.video_accuracy import DOCUMENT as VIDEO_ACCURACY

DOCUMENTS: tuple[Document[Any], ...] = (
    RESULT,
    SIDECAR,
    CALIBRATION,
    STATE,
    MANIFEST,
    ACCURACY,
    VIDEO_ACCURACY,
    RUN,
    COMPARISON,
    TUNED,
    EXAMINED,
    BUILT,
    FOLDER_LIST,
    KERNEL_TIMINGS,
    PLAN,
    BATCH,
    *REPLIES,
)


def document_in(found: Any) -> Document[Any] | None:
    """Return the kind of document that was read from a file, or None if it is none of ours."""
    return next((known for known in DOCUMENTS if known.is_in(found)), None)
