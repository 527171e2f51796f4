"""Did it get slower? Two results held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from yolotrt.arrays import F64
from yolotrt.bench.advice import Advice, advise
from yolotrt.bench.alike import differences_apart, version_differences
from yolotrt.bench.crowding import crowding
from yolotrt.bench.evidence import apart
from yolotrt.bench.percentiles import STATISTICS, needed_count
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.source import unknown_source
from yolotrt.bench.statistics import CONFIDENCE, Ratio, measured, statistic, unpaired_ratio
from yolotrt.bench.verdict import GROSS, Outcome, outcome
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.timing.trace import PASSES, STAGES

Side = Literal["base", "new"]

DEFAULT_STAGES = PASSES


@dataclass(frozen=True)
class Change:
    """One stage of one case in both results.

    Attributes:
        case: The case as the new result names it.
        stage: The stage.
        base_s: Statistic of the base, seconds.
        new_s: Statistic of the new one, seconds.
        ratio: new / base; above 1 is slower. Its interval is wide enough that, if nothing changed, all
            intervals of the comparison together include 1 with 95 % probability.
        fail_on: A slow-down beyond this counts as a regression, such as 0.03.
        apart: Whether every frame of the slower run took longer than every frame of the other one, which is
            certain however wide the interval; see :func:`yolotrt.bench.evidence.apart`.
        frames: Number of frames, of the run that has fewer.
        needed: From how many frames on the statistic can be relied on.
        crowding: How many times longer the new frames may have taken than those of the base because other
            programs kept cores busy; below 1 if they did more so while the base was measured.
    """

    case: Case
    stage: str
    base_s: float
    new_s: float
    ratio: Ratio
    fail_on: float
    apart: bool = False
    frames: int = 0
    needed: int = 1
    crowding: float = 1.0

    @property
    def certain(self) -> bool:
        """Whether it is certain that something changed."""
        return self.apart or self.ratio.certain

    @property
    def outcome(self) -> Outcome:
        """What the gate says; see :mod:`yolotrt.bench.verdict`.

        What passes by a percentile of too few frames is undecided, unless it was held against itself. So is
        what other programs may explain, or hide.
        """
        found = self._by_interval()
        if self.crowded:
            return "undecided"
        few = self.frames < self.needed and self.ratio.interval != (1.0, 1.0)
        few = few and not (self.apart and self.ratio.value < 1)  # faster, one and all
        return "undecided" if found == "passed" and few else found

    @property
    def crowded(self) -> bool:
        """Whether the answer would be another one, had other programs been as busy in both runs."""
        return self.crowding != 1 and self._by_interval() != self._by_interval(self.crowding)

    def _by_interval(self, explained: float = 1.0) -> Outcome:
        return outcome(
            self.ratio.value / explained - 1,
            self.fail_on,
            certain=self.certain,
            known=self.ratio.interval is not None,
            reach=(self.ratio.reach or self.ratio.value) / explained - 1,
            gross=GROSS["time"],
        )

    @property
    def regressed(self) -> bool:
        """Whether the slow-down exceeds the limit, and it is certain that there is one."""
        return self.outcome == "failed"


@dataclass(frozen=True)
class Comparison:
    """Two results held against each other.

    Attributes:
        changes: By case and stage.
        differences: What else differs between the two runs: versions, engines, revision, and with
            ``across`` the machine.
        missing: Cases that only one of them has.
        lost: Cases, and stages of cases, that the base measured and that are not measured in every frame of
            both: nobody knows whether they got slower.
        notes: What limits the comparison itself: a source without a hash, a percentile of too few frames.
        doubts: What a reader should doubt about either result: ``base`` or ``new``, and the warning.
        stat: The statistic that was compared.
    """

    changes: tuple[Change, ...]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]
    doubts: tuple[tuple[Side, Advice], ...]
    stat: str

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What got slower."""
        return tuple(change for change in self.changes if change.regressed)

    @property
    def undecided(self) -> tuple[Change, ...]:
        """What cannot be told from these samples."""
        return tuple(change for change in self.changes if change.outcome == "undecided")

    @property
    def outcome(self) -> Outcome:
        """What the gate says as a whole."""
        if self.regressions:
            return "failed"
        return "undecided" if self.undecided or self.lost else "passed"

    @property
    def headline(self) -> str:
        """The whole in a line."""
        bad, open_ = len(self.regressions), len(self.undecided)
        parts = [f"{bad} significant regression{'s' * (bad != 1)}"] if bad else []
        parts += [f"{open_} of {len(self.changes)} figures cannot be told"] if open_ else []
        parts += [f"{len(self.lost)} of the base not measured in both"] if self.lost else []
        if self.outcome == "undecided":
            return f"Undecided: {', '.join(parts)}"
        return ", ".join(parts) or "No significant regression"


def compare(
    base: RunResult,
    new: RunResult,
    *,
    fail_on: float = 0.03,
    stat: str = "p50",
    stages: tuple[str, ...] = DEFAULT_STAGES,
    across: bool = False,
) -> Comparison:
    """Compare every case that both results have.

    The two were measured at different times, so nothing pairs their frames: the ratio of the statistic
    gets a bootstrap interval over both samples. All intervals of one comparison share the 5 % probability
    of a false alarm (Bonferroni), so a result with many cases is not flagged more often than one with few.
    What two runs without any overlap say needs no interval; what too few frames say is undecided, and so is
    a slow-down that other programs may have caused, which kept more cores busy in one run than in the other.

    Args:
        base: What to compare with.
        new: What is judged.
        fail_on: A slow-down beyond this counts as a regression if it is also significant.
        stat: ``p50``, ``p90``, ``p95``, ``p99`` or ``mean``.
        stages: Stages to compare.
        across: Compare even though machine or settings differ.

    Raises:
        UsageError: ``stat``, ``stages`` or ``fail_on`` make no sense.
        ArtifactError: Machine or settings differ, or no case is in both.
    """
    _check(fail_on, stat, stages)
    pairs, missing, lost = _pairs(base, new)
    different = list(differences_apart(base, new, pairs))
    if different and not across:
        raise ArtifactError(
            "The two results cannot be compared: " + "; ".join(different) + ".",
            hint="Measure both alike, or compare them all the same with --across.",
        )
    found, only_there = [], len(lost)
    for old, entry in pairs:
        for stage in stages:
            before, after = measured(old.taken(stage)), measured(entry.taken(stage))
            if before is not None and after is not None:
                found.append((entry.case, stage, before, after))
            elif any(sample is not None for sample in old.taken(stage)):
                lost.append(f"{stage} of {entry.case}, in every frame")
    if not found:
        raise ArtifactError(
            "The two results have no case in common.",
            hint="; ".join((*missing, *(f"not in both: {name}" for name in lost[only_there:]))) or None,
        )
    confidence = 1 - (1 - CONFIDENCE) / len(found)
    crowded = crowding(new) / crowding(base)
    changes = tuple(_change(*one, stat, confidence, fail_on, crowded) for one in found)
    differences = (*different, *version_differences(base, new))
    sides: tuple[tuple[Side, RunResult], ...] = (("base", base), ("new", new))
    doubts = tuple((which, a) for which, result in sides for a in advise(result))
    notes = (*unknown_source(base.settings, new.settings), *_few(changes, stat))
    return Comparison(changes, differences, missing, tuple(lost), notes, doubts, stat)


def _few(changes: Sequence[Change], stat: str) -> tuple[str, ...]:
    fewest = min(changes, key=lambda change: change.frames - change.needed)
    if fewest.frames >= fewest.needed:
        return ()
    return (f"{stat} of {fewest.frames} frames is not known well: {fewest.needed} are needed",)


def _check(fail_on: float, stat: str, stages: tuple[str, ...]) -> None:
    if not 0 <= fail_on < 10:
        raise UsageError(f"--fail-on {fail_on:.0%} makes no sense.", hint="Like this: --fail-on 5%")
    if stat not in STATISTICS:
        raise UsageError(f"The statistic {stat!r} is unknown.", hint=f"Choose from: {', '.join(STATISTICS)}.")
    for stage in stages:
        if stage not in STAGES:
            raise UsageError(f"There is no stage {stage!r}.", hint=f"Choose from: {', '.join(STAGES)}.")


def _change(
    case: Case, stage: str, base: F64, new: F64, stat: str, confidence: float, fail_on: float, crowded: float
) -> Change:
    ratio = unpaired_ratio(base, new, stat, confidence=confidence)
    ordered = (base, new) if ratio.value > 1 else (new, base)
    return Change(
        case,
        stage,
        statistic(base, stat),
        statistic(new, stat),
        ratio,
        fail_on,
        apart(*ordered, confidence),
        min(len(base), len(new)),
        needed_count(stat),
        1.0 if np.array_equal(base, new) else crowded,
    )


def _pairs(
    base: RunResult, new: RunResult
) -> tuple[list[tuple[CaseResult, CaseResult]], tuple[str, ...], list[str]]:
    """Match cases; one engine against one engine, whatever their files are called.

    Returns:
        The pairs, what only one of the two has, and what only the base has.
    """
    engines = {e.case.engine for e in base.cases}, {e.case.engine for e in new.cases}
    anonymous = all(len(names) == 1 for names in engines)

    def key(entry: CaseResult) -> Case:
        return replace(entry.case, engine="", precision="") if anonymous else entry.case

    old, other = ({key(e): e for e in result.cases} for result in (base, new))
    lost = [str(old[k].case) for k in old if k not in other]
    missing = [f"only in the base: {case}" for case in lost]
    missing += [f"only in the new one: {other[k].case}" for k in other if k not in old]
    return [(old[k], other[k]) for k in other if k in old], tuple(missing), lost
