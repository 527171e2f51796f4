"""Choose among ways to run a model that were measured to the end, and say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolotrt.backends.base import EngineFile
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.halving import Dropped
from yolotrt.bench.percentiles import needed_count
from yolotrt.bench.result import CaseResult
from yolotrt.bench.statistics import Summary, paired_ratio
from yolotrt.machine.memory import Memory
from yolotrt.workflow.accuracy_bound.one_engine import ESTIMATED
from yolotrt.workflow.evaluate import MaxDrop

CLOSE, UNCERTAIN = 0.03, 0.10
"""Cases are called equally fast if they differ by less than the first, or by less than the second and the
interval of their paired ratio does not exclude "no difference"."""


@dataclass(frozen=True)
class Candidate:
    """One way to run the model that was measured to the end.

    Attributes:
        result: Its samples.
        file: Its engine.
        latency: Statistics of ``end_to_end``.
        accuracy: mAP50-95 of the masks (of the boxes without masks), in [0, 1]; None if not measured.
        memory: Of a process that runs it.
        misses: What it does not keep.
    """

    result: CaseResult
    file: EngineFile
    latency: Summary
    accuracy: float | None
    memory: Memory
    misses: tuple[str, ...]

    def dominated_by(self, other: Candidate) -> bool:
        """Whether another one is at least as good in everything, and better in something."""
        mine, others = self._costs, other._costs
        return others != mine and all(o <= m for o, m in zip(others, mine, strict=True))

    @property
    def _costs(self) -> tuple[float, ...]:
        return self.latency.p50, -(self.accuracy or 0), self.memory.host, self.memory.gpu or 0


@dataclass(frozen=True)
class TuneOutcome:
    """What the search found.

    Attributes:
        candidates: Measured to the end, fastest first.
        pareto: Those of them that no other one beats in latency, accuracy and memory.
        dropped: Given up early.
        refused: Engines that lose too much accuracy to be timed, and how much.
        best: The recommendation; the nearest miss if nothing keeps everything.
        reasons: Why.
    """

    candidates: tuple[Candidate, ...]
    pareto: tuple[Candidate, ...]
    dropped: tuple[Dropped, ...]
    refused: tuple[tuple[str, str], ...]
    best: Candidate
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the recommendation keeps budgets and accuracy."""
        return not self.best.misses


def choose(found: Sequence[Candidate]) -> Candidate:
    """Return the fastest that keeps everything; among equally fast ones the most accurate, then simplest."""
    fit = [c for c in found if not c.misses] or list(found)
    fastest = min(fit, key=lambda c: (len(c.misses), c.latency.p50))
    equal = [c for c in fit if len(c.misses) == len(fastest.misses) and _as_fast(c, fastest)]
    return min(equal, key=_simplicity)


def _simplicity(candidate: Candidate) -> tuple[float, int, bool, float]:
    case = candidate.result.case
    return -(candidate.accuracy or 0), case.groups, case.dispatch != "serial", candidate.latency.p50


def _as_fast(one: Candidate, fastest: Candidate) -> bool:
    if one is fastest:
        return True
    ratio = paired_ratio(one.result.samples["end_to_end"], fastest.result.samples["end_to_end"])
    if ratio is None:
        return False
    return ratio.value < 1 + (CLOSE if ratio.certain else UNCERTAIN)


def _ways(count: int) -> str:
    return f"{count} way was" if count == 1 else f"{count} ways were"


def reasons(
    best: Candidate,
    found: Sequence[Candidate],
    dropped: Sequence[Dropped],
    budgets: Budgets,
    max_drop: MaxDrop | None,
) -> tuple[str, ...]:
    """Return why ``best`` is recommended, or was the nearest miss, one sentence each."""
    lines = []
    if best.misses:
        lines.append(f"it comes nearest, and misses: {'; '.join(best.misses)}")
    elif budgets.limits:
        frames, needed = best.latency.count, needed_count(budgets.stat)
        lines.append(
            "it keeps every budget"
            if frames >= needed
            else f"it misses no budget for certain, but {frames} frames cannot tell {budgets.stat}: "
            f"{needed} are needed"
        )
    if best.accuracy is not None and max_drop is not None:
        lines.append(f"its mAP of {best.accuracy * 100:.2f} points keeps within {max_drop} of FP32's")
    elif best.file.precision in ESTIMATED and max_drop is not None:
        lines.append(f"its loss of mAP is within {max_drop} by an estimate: nothing was annotated")
    fastest = found[0]
    if best is fastest:
        lines.append(f"nothing measured is faster than its {best.latency.p50 * 1e3:.1f} ms")
    else:
        lines.append(
            f"{fastest.result.case} is hardly faster ({fastest.latency.p50 * 1e3:.1f} against "
            f"{best.latency.p50 * 1e3:.1f} ms), and this one is more accurate or simpler"
        )
    lines.append(f"{_ways(len(found))} measured to the end, {len(dropped)} given up early")
    return tuple(lines)
