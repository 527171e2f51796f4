"""A comparison of two results as a document: what ``yolotrt compare --json`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count
from yolotrt.bench.case import Case, with_order_and_depth
from yolotrt.bench.compare import Comparison, Side
from yolotrt.bench.percentiles import STATISTICS, Statistic
from yolotrt.bench.statistics import Interval
from yolotrt.bench.verdict import Outcome


@dataclass(frozen=True)
class Doubt:
    """What a reader should doubt about either result.

    Attributes:
        result: Which one.
        code: A word for it.
        message: What it is.
        remedy: What to do about it.
    """

    result: Side
    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class ComparedStage:
    """One stage of one case in both results.

    Attributes:
        case: The case as the new result names it.
        stage: The stage.
        base_s: Statistic of the base, seconds.
        new_s: Statistic of the new one, seconds.
        ratio: new / base; above 1 is slower.
        interval: The ratio's interval; None for too few frames.
        significant: Whether it is certain that something changed.
        regressed: Whether the slow-down exceeds the limit, and it is certain that there is one.
        reach: The largest ratio that the samples do not exclude.
        frames: Number of frames, of the run that has fewer.
        needed_frames: From how many frames on the statistic can be relied on.
        outcome: What the gate says; None in files of earlier versions.
        crowded: Whether it would say something else, had other programs been as busy in both runs.
    """

    case: Case
    stage: str
    base_s: float
    new_s: float
    ratio: float
    interval: Interval | None
    significant: bool
    regressed: bool
    reach: float | None = None
    frames: Count | None = None
    needed_frames: Count | None = None
    outcome: Outcome | None = None
    crowded: bool = False

    @property
    def word(self) -> str:
        """What a table says."""
        few = self.frames is not None and self.frames < (self.needed_frames or 1)
        known = self.interval is not None and not few
        if self.regressed:
            return "REGRESSION"
        if self.crowded:
            return "other load: cannot tell"
        if self.outcome == "undecided":
            return "too noisy to tell" if known else "too few frames to tell"
        if self.significant:
            return "slower, within tolerance" if self.ratio > 1 else "faster"
        return "no significant change" if known else "no change seen, few frames"


@dataclass(frozen=True)
class ComparisonFile:
    """Two results held against each other.

    Attributes:
        stat: The statistic that was compared.
        regressions: How many figures got slower.
        changes: By case and stage.
        differences: What else differs between the two runs.
        missing: Cases that only one of them has.
        warnings: What to doubt about either.
        outcome: What the gate says; None in files of earlier versions.
        headline: The same in a sentence.
        undecided: How many figures cannot be judged.
        lost: What the base measured and the new one did not.
        notes: What limits the comparison itself.
    """

    stat: Statistic
    regressions: Count
    changes: tuple[ComparedStage, ...]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[Doubt, ...]
    outcome: Outcome | None = None
    headline: str = ""
    undecided: Count = 0
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _from_0(found: dict[str, Any]) -> dict[str, Any]:
    """Did not say what it is, and had one text for dispatch, order and depth."""
    changes = [{**change, "case": with_order_and_depth(change["case"])} for change in found["changes"]]
    return {**found, "changes": changes}


DOCUMENT = Document(
    "yolotrt.comparison",
    1,
    ComparisonFile,
    "what yolotrt compare --json wrote",
    again="Compare again.",
    older={0: _from_0},
    unmarked=frozenset({"stat", "changes", "regressions"}),
)


def comparison_file(found: Comparison) -> ComparisonFile:
    """Return what is written of a comparison."""
    return ComparisonFile(
        stat=next(known for known in STATISTICS if known == found.stat),
        regressions=len(found.regressions),
        changes=tuple(
            ComparedStage(
                case=change.case,
                stage=change.stage,
                base_s=change.base_s,
                new_s=change.new_s,
                ratio=change.ratio.value,
                interval=change.ratio.interval,
                significant=change.certain,
                regressed=change.regressed,
                reach=change.ratio.reach,
                frames=change.frames,
                needed_frames=change.needed,
                outcome=change.outcome,
                crowded=change.crowded,
            )
            for change in found.changes
        ),
        differences=found.differences,
        missing=found.missing,
        warnings=tuple(Doubt(which, a.code, a.message, a.remedy) for which, a in found.doubts),
        outcome=found.outcome,
        headline=found.headline,
        undecided=len(found.undecided) + len(found.lost),
        lost=found.lost,
        notes=found.notes,
    )
