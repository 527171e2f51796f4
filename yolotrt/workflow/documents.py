"""Every kind of JSON document that we write and read."""

from __future__ import annotations

from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.bench.result import DOCUMENT as RESULT
from yolotrt.workflow.tune.state_file import DOCUMENT as STATE

DOCUMENTS: tuple[Document[Any], ...] = (RESULT, STATE)
