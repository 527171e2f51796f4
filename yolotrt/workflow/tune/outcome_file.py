"""What a search found as a document: what ``yolotrt tune --json`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.bench.case import Case, with_order_and_depth
from yolotrt.bench.statistics import Interval
from yolotrt.workflow.tune.choice import TuneOutcome
from yolotrt.workflow.tune.tiles_offer import TilesOffer


@dataclass(frozen=True, kw_only=True)
class FoundWay(Case):
    """A way to run the model that was measured to the end.

    Attributes:
        path: Its engine.
        p50_s: Median of ``end_to_end``, seconds.
        interval_s: The median's 95 % interval; None for too few frames.
        accuracy: mAP50-95 of the masks (of the boxes without masks); None if not measured.
        memory_bytes: Largest resident set of a process that runs it.
        gpu_memory_bytes: Memory of GPUs; None if it uses none.
        pareto: Whether no other one beats it in latency, accuracy and memory.
        misses: What it does not keep.
    """

    path: str
    p50_s: float
    interval_s: Interval | None
    accuracy: float | None
    memory_bytes: Count
    gpu_memory_bytes: Count | None
    pareto: bool
    misses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DroppedWay(Case):
    """A way that was given up early.

    Attributes:
        reason: Why it cannot win.
        rounds: Rounds it was measured.
        p50_s: Median of ``end_to_end`` by then, seconds.
    """

    reason: str
    rounds: Count
    p50_s: float


@dataclass(frozen=True)
class RefusedEngine:
    """An engine that loses too much accuracy to be timed.

    Attributes:
        engine: Its file name.
        reason: How much it loses.
    """

    engine: str
    reason: str


@dataclass(frozen=True)
class OutcomeFile:
    """What a search found.

    Attributes:
        kept: Whether the recommendation keeps budgets and accuracy.
        recommended: Which of the candidates it is, from 0.
        reasons: Why.
        candidates: Measured to the end, fastest first.
        dropped: Given up early.
        refused: Not timed.
        tiles: What choosing tiles would find and save; None if nobody asked.
    """

    kept: bool
    recommended: Count
    reasons: tuple[str, ...]
    candidates: tuple[FoundWay, ...]
    dropped: tuple[DroppedWay, ...]
    refused: tuple[RefusedEngine, ...]
    tiles: TilesOffer | None = None


def _check(found: OutcomeFile) -> None:
    if found.recommended >= len(found.candidates):
        raise ValueError("what is recommended is no candidate")


def _from_0(found: dict[str, Any]) -> dict[str, Any]:
    """Did not say what it is, and had one text for dispatch, order and depth."""
    return {
        **found,
        **{name: [*map(with_order_and_depth, found[name])] for name in ("candidates", "dropped")},
    }


DOCUMENT = Document(
    "yolotrt.tuned",
    1,
    OutcomeFile,
    "what yolotrt tune --json wrote",
    again="Tune again.",
    older={0: _from_0},
    check=_check,
    unmarked=frozenset({"kept", "recommended", "candidates"}),
)


def outcome_file(outcome: TuneOutcome, tiles: TilesOffer | None = None) -> OutcomeFile:
    """Return what is written of a search, and of the choice of tiles that was tried with it."""
    return OutcomeFile(
        outcome.kept,
        outcome.candidates.index(outcome.best),
        outcome.reasons,
        tuple(
            FoundWay(
                **vars(c.result.case),
                path=str(c.file.path),
                p50_s=c.latency.p50,
                interval_s=c.latency.p50_interval,
                accuracy=c.accuracy,
                memory_bytes=c.memory.host,
                gpu_memory_bytes=c.memory.gpu,
                pareto=c in outcome.pareto,
                misses=c.misses,
            )
            for c in outcome.candidates
        ),
        tuple(
            DroppedWay(**vars(d.case), reason=d.reason, rounds=d.rounds, p50_s=d.median_s)
            for d in outcome.dropped
        ),
        tuple(RefusedEngine(engine, reason) for engine, reason in outcome.refused),
        tiles,
    )
