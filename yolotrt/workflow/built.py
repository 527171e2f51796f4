"""What ``yolotrt build`` says of an engine with ``--json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from yolotrt.artifacts.fields import Few
from yolotrt.backends.files import Precision
from yolotrt.workflow.accuracy_bound.trial import Attempt
from yolotrt.workflow.replies import reply


@dataclass(frozen=True)
class BuiltWithinBound:
    """How an accuracy bound was kept.

    Attributes:
        criterion: What was judged by.
        mode: Which passes looked at an image.
        bound: The largest accepted loss.
        reference: Figures of the FP32 network; by their names as in the attempts.
        attempts: In the order they were made; the last one is the engine.
    """

    criterion: str
    mode: str
    bound: str
    reference: Mapping[str, float]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class BuiltPrecision:
    """A precision that ``--precision auto`` tried.

    Attributes:
        precision: The precision.
        path: Its engine; None if none is kept.
        device: What it was timed on.
        size: Size of the engine, bytes.
        p50_s: Median time of a frame, seconds.
        int8_work: Part of the convolutions' multiply-adds in INT8, where a bound was kept.
        loss: What counts against the bound, in its unit.
        refused: Why it is out of question, if it is.
    """

    precision: Precision
    path: str | None = None
    device: str | None = None
    size: int | None = None
    p50_s: float | None = None
    int8_work: float | None = None
    loss: float | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Built:
    """An engine that was built.

    Attributes:
        path: The engine.
        backend: What builds and runs it.
        precision: Its precision.
        batches: Batch sizes it has a profile for; empty means any.
        sha256: Hash of its bytes.
        cached: It was up to date, so nothing was built.
        sources: Content keys it was made from.
        accuracy_bound: How its accuracy bound was kept; None without one.
        precisions: What ``--precision auto`` tried; None without that.
        reason: Why it chose this one.
    """

    path: str
    backend: str
    precision: Precision
    batches: tuple[Few, ...]
    sha256: str
    cached: bool
    sources: Mapping[str, str]
    accuracy_bound: BuiltWithinBound | None = None
    precisions: tuple[BuiltPrecision, ...] | None = None
    reason: str | None = None


BUILT = reply(
    "build",
    Built,
    "path",
    "backend",
    "sha256",
    "cached",
    first=lambda found: {"accuracy_bound": found.get("promise"), **found},
)
