"""The report of a long run as a document: what ``yolotrt run --json`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.bench.sustain import Sustained


@dataclass(frozen=True)
class Delivery:
    """What became of results that were handed on.

    Attributes:
        target: Where they went.
        written: Results that are there.
        dropped: Results that are not: the target was too slow, or had failed.
        complaint: Why it took no more; None while it does.
    """

    target: str
    written: Count
    dropped: Count
    complaint: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunReport(Sustained):
    """A run at its end, seconds.

    Attributes:
        remarks: What makes the figures doubtful.
        packages: Versions of the libraries that the figures depend on.
        deliveries: What became of the results, by target.
    """

    remarks: tuple[str, ...] = ()
    packages: Mapping[str, str | None] = field(default_factory=dict)
    deliveries: tuple[Delivery, ...] = ()


DOCUMENT = Document(
    "yolotrt.run",
    1,
    RunReport,
    "what yolotrt run --json wrote",
    again="Run it again.",
    older={0: lambda found: found},  # did not say what it is
    unmarked=frozenset({"counts", "processed"}),
)
