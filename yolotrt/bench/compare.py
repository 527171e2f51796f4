"""Did it get slower? Two results held against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from yolotrt.bench.advice import Advice, advise
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.statistics import CONFIDENCE, Ratio, measured, unpaired_ratio
from yolotrt.errors import ArtifactError, UsageError
from yolotrt.timing.trace import STAGES

DEFAULT_STAGES = ("tiles", "global", "end_to_end")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MACHINE = ("cpu", "cores", "threads", "governor")
GPU = ("name", "driver", "power_limit_w")
SETTINGS = ("source", "frames", "frame_px", "overlap", "depth")
ENGINE = ("backend", "runs_on")


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
    """

    case: Case
    stage: str
    base_s: float
    new_s: float
    ratio: Ratio
    fail_on: float

    @property
    def regressed(self) -> bool:
        """Whether the ratio exceeds the limit, and its interval excludes "no difference".

        Not whether the whole interval lies beyond the limit: a slow-down of just the limit's size would
        then hardly ever be found.
        """
        return self.ratio.certain and self.ratio.value > 1 + self.fail_on

    @property
    def word(self) -> str:
        """What a table says."""
        if self.regressed:
            return "REGRESSION"
        if self.ratio.interval is None:
            return "too few frames to tell"
        if not self.ratio.certain:
            return "no significant change"
        return "slower, within tolerance" if self.ratio.value > 1 else "faster"


@dataclass(frozen=True)
class Comparison:
    """Two results held against each other.

    Attributes:
        changes: By case and stage.
        differences: What else differs between the two runs: versions, engines, revision, and with
            ``across`` the machine.
        missing: Cases that only one of them has.
        doubts: What a reader should doubt about either result: ``base`` or ``new``, and the warning.
        stat: The statistic that was compared.
    """

    changes: tuple[Change, ...]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    doubts: tuple[tuple[str, Advice], ...]
    stat: str

    @property
    def regressions(self) -> tuple[Change, ...]:
        """What got slower."""
        return tuple(change for change in self.changes if change.regressed)


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

    Args:
        base: What to compare with.
        new: What is judged.
        fail_on: A slow-down beyond this counts as a regression if it is also significant.
        stat: ``p50``, ``p90``, ``p95`` or ``p99``.
        stages: Stages to compare.
        across: Compare even though machine or settings differ.

    Raises:
        UsageError: ``stat``, ``stages`` or ``fail_on`` make no sense.
        ArtifactError: Machine or settings differ, or no case is in both.
    """
    _check(fail_on, stat, stages)
    pairs, missing = _pairs(base, new)
    apart = [
        *_machine_differences(base, new),
        *_differences("", base.settings, new.settings, SETTINGS),
        *_engine_differences(base, new, pairs),
    ]
    if apart and not across:
        raise ArtifactError(
            "The two results cannot be compared: " + "; ".join(apart) + ".",
            hint="Measure both alike, or compare them all the same with --across.",
        )
    found = [
        (old, entry, stage)
        for old, entry in pairs
        for stage in stages
        if measured(old.taken(stage)) is not None and measured(entry.taken(stage)) is not None
    ]
    if not found:
        raise ArtifactError("The two results have no case in common.", hint="; ".join(missing) or None)
    confidence = 1 - (1 - CONFIDENCE) / len(found)
    changes = tuple(_change(*triple, stat, confidence, fail_on) for triple in found)
    differences = (*apart, *_version_differences(base, new))
    doubts = tuple((which, a) for which, result in (("base", base), ("new", new)) for a in advise(result))
    return Comparison(changes, differences, missing, doubts, stat)


def _check(fail_on: float, stat: str, stages: tuple[str, ...]) -> None:
    if not 0 <= fail_on < 10:
        raise UsageError(f"--fail-on {fail_on:.0%} makes no sense.", hint="Like this: --fail-on 5%")
    if stat not in QUANTILES:
        raise UsageError(f"The statistic {stat!r} is unknown.", hint=f"Choose from: {', '.join(QUANTILES)}.")
    for stage in stages:
        if stage not in STAGES:
            raise UsageError(f"There is no stage {stage!r}.", hint=f"Choose from: {', '.join(STAGES)}.")


def _change(
    old: CaseResult, new: CaseResult, stage: str, stat: str, confidence: float, fail_on: float
) -> Change:
    base, other = measured(old.taken(stage)), measured(new.taken(stage))
    assert base is not None
    assert other is not None
    q = QUANTILES[stat]
    ratio = unpaired_ratio(base, other, q, confidence=confidence)
    before, after = (float(np.quantile(array, q)) for array in (base, other))
    return Change(new.case, stage, before, after, ratio, fail_on)


def _pairs(base: RunResult, new: RunResult) -> tuple[list[tuple[CaseResult, CaseResult]], tuple[str, ...]]:
    """Match cases; one engine against one engine, whatever their files are called."""
    engines = {e.case.engine for e in base.cases}, {e.case.engine for e in new.cases}
    anonymous = all(len(names) == 1 for names in engines)

    def key(entry: CaseResult) -> Case:
        return replace(entry.case, engine="", precision="") if anonymous else entry.case

    old, other = ({key(e): e for e in result.cases} for result in (base, new))
    missing = [f"only in the base: {old[k].case}" for k in old if k not in other]
    missing += [f"only in the new one: {other[k].case}" for k in other if k not in old]
    return [(old[k], other[k]) for k in other if k in old], tuple(missing)


def _machine_differences(base: RunResult, new: RunResult) -> Iterator[str]:
    yield from _differences("", base.environment, new.environment, MACHINE)
    gpus = base.environment.get("gpu") or {}, new.environment.get("gpu") or {}
    yield from _differences("GPU ", *gpus, GPU)


def _engine_differences(
    base: RunResult, new: RunResult, pairs: Sequence[tuple[CaseResult, CaseResult]]
) -> Iterator[str]:
    """Say which library runs the engines of paired cases, and on what, where that differs.

    A machine with a GPU also runs engines on its processor: that the machine is the same is not enough.
    """
    about = [result.environment.get("engines") or {} for result in (base, new)]
    names = dict.fromkeys(
        pair
        for old, entry in pairs
        for pair in zip(old.case.engine.split(" + "), entry.case.engine.split(" + "), strict=False)
    )
    for old, other in names:
        yield from _differences(f"{other} ", about[0].get(old) or {}, about[1].get(other) or {}, ENGINE)


def _version_differences(base: RunResult, new: RunResult) -> Iterator[str]:
    yield from _differences("", base.environment, new.environment, ("yolotrt", "python", "platform", "git"))
    packages = base.environment.get("packages") or {}, new.environment.get("packages") or {}
    yield from _differences("", *packages, tuple(sorted({**packages[0], **packages[1]})))
    hashes = [
        {e.get("sha256", "?")[:12] for e in (r.environment.get("engines") or {}).values()}
        for r in (base, new)
    ]
    if hashes[0] != hashes[1]:
        yield f"engine {', '.join(sorted(hashes[0]))} -> {', '.join(sorted(hashes[1]))}"


def _differences(
    prefix: str, old: Mapping[str, Any], new: Mapping[str, Any], keys: tuple[str, ...]
) -> Iterator[str]:
    for key in keys:
        if old.get(key) != new.get(key):
            yield f"{prefix}{key} {_text(old.get(key))} -> {_text(new.get(key))}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
