"""The report of a long run as a document: what ``yolotrt run --json`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yolotrt.artifacts.documents import Document
from yolotrt.bench.sustain import Sustained


@dataclass(frozen=True, kw_only=True)
class RunReport(Sustained):
    """A run at its end, seconds.

    Attributes:
        remarks: What makes the figures doubtful.
        packages: Versions of the libraries that the figures depend on.
    """

    remarks: tuple[str, ...] = ()
    packages: Mapping[str, str | None] = field(default_factory=dict)


DOCUMENT = Document(
    "yolotrt.run",
    1,
    RunReport,
    "what yolotrt run --json wrote",
    again="Run it again.",
    older={0: lambda found: found},  # did not say what it is
    unmarked=frozenset({"counts", "processed"}),
)
