"""Every kind of JSON document that we write and read."""

from __future__ import annotations

from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.backends.sidecar_file import DOCUMENT as SIDECAR
from yolotrt.bench.result import DOCUMENT as RESULT
from yolotrt.quantization.cache_file import DOCUMENT as CALIBRATION
from yolotrt.workflow.tune.state_file import DOCUMENT as STATE

DOCUMENTS: tuple[Document[Any], ...] = (RESULT, SIDECAR, CALIBRATION, STATE)
