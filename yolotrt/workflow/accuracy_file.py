"""The accuracy of engines as a document: what ``yolotrt eval --json`` writes, and ``report`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.bench.verdict import Outcome
from yolotrt.evaluation.coco import Accuracy
from yolotrt.evaluation.comparison import AccuracyComparison
from yolotrt.pipeline.settings import PassMode


@dataclass(frozen=True, kw_only=True)
class EngineFigures(Accuracy):
    """One engine's accuracy, and how it compares with the reference.

    Attributes:
        engine: Its file name.
        precision: Its precision.
        sha256: Hash of its bytes: what was timed and what was evaluated must be the same.
        mode: Which passes looked at an image.
        median_seconds: Median time of an image; None if it was not measured.
        small_recall: Part of the small objects that is found; None if there are none.
        comparison: Against the reference; None for the reference itself.
    """

    engine: str
    precision: str
    sha256: str
    mode: PassMode
    median_seconds: float | None = None
    small_recall: float | None = None
    comparison: AccuracyComparison | None


@dataclass(frozen=True)
class HeldBound:
    """What the engines were held against.

    Attributes:
        bound: The largest accepted loss.
        outcome: The judgement of all engines together.
    """

    bound: str
    outcome: Outcome


@dataclass(frozen=True)
class AccuracyFile:
    """What an evaluation found out.

    Attributes:
        mode: The passes that were evaluated, separated by commas.
        engines: By pass and engine; of each pass the first is the reference.
        notes: What of the annotations was left out or mended.
        packages: Versions of the libraries that the figures depend on.
        max_drop: Bound of the loss and how it went; None without one.
    """

    mode: str
    engines: tuple[EngineFigures, ...]
    notes: tuple[str, ...] = ()
    packages: Mapping[str, str | None] = field(default_factory=dict)
    max_drop: HeldBound | None = None


def _from_0(found: dict[str, Any]) -> dict[str, Any]:
    """At first files did not say what they are, nor each engine's pass; one image had an interval."""
    return {**found, "engines": [_engine(found["mode"], entry) for entry in found["engines"]]}


def _engine(mode: str, entry: dict[str, Any]) -> dict[str, Any]:
    against = entry["comparison"]
    if against and entry["images"] < 2:  # nothing can be drawn from one: that interval had no width
        unknown = {"low": None, "high": None}
        against = {
            name: {**value, **unknown} if isinstance(value, dict) else value
            for name, value in against.items()
        }
    return {"mode": mode, **entry, "comparison": against}


def _check(found: AccuracyFile) -> None:
    if not found.engines:
        raise ValueError("it has no engine")


DOCUMENT = Document(
    "yolotrt.accuracy",
    1,
    AccuracyFile,
    "what yolotrt eval --json wrote",
    again="Write it again with: yolotrt eval ... --json FILE",
    older={0: _from_0},
    check=_check,
    unmarked=frozenset({"mode", "engines"}),
)
