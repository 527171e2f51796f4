"""What a reader should doubt about a result, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from yolotrt.bench.crowding import OTHER_CORES
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import Summary, autocorrelation, measured, median, summarize
from yolotrt.machine.watch import During
from yolotrt.timing.trace import COPIES, DEVICE

UNSTABLE = 0.05
ENQUEUE_BOUND = 0.8
COPIES_DOMINATE = 0.3
DRIFTING = 0.5
DRIFT_ROUNDS = 20
FEW_ROUNDS = 10
FEW = "few rounds"


@dataclass(frozen=True)
class Advice:
    """One warning.

    Attributes:
        code: A stable name.
        message: What was seen, with its figures.
        remedy: What to do.
    """

    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


def advise(result: RunResult) -> tuple[Advice, ...]:
    """Return every warning that the result gives cause for; none if the figures can be trusted."""
    checks: tuple[Callable[[RunResult], Iterator[Advice]], ...] = (
        _incomplete, _few, _not_settled, _unstable, _drifting, _enqueue_bound, _copies, _throttled,
        _other_load, _gpu_shared, _governor,
    )  # fmt: skip
    return tuple(advice for check in checks for advice in check(result))


def _incomplete(result: RunResult) -> Iterator[Advice]:
    if not result.complete:
        yield Advice(
            "incomplete",
            f"The run was interrupted after {result.rounds} rounds.",
            "Continue it with the same options and --resume.",
        )


def _few(result: RunResult) -> Iterator[Advice]:
    if 0 < result.rounds < FEW_ROUNDS:
        yield Advice(
            FEW,
            f"{result.rounds} frame{'s' * (result.rounds != 1)} per case: too few for percentiles and "
            "intervals.",
            _more_frames(result),
        )


def _more_frames(result: RunResult) -> str:
    """Return what makes a run measure more frames, which depends on what ended it."""
    if not _until_stable(result):
        return "Use --until-stable 5%, or -n 20 or more."
    if result.stopped is not None and result.stopped.measure == "cap":
        return "Raise --duration, which ended --until-stable."
    return "Use a smaller share for --until-stable, or -n 20 or more instead."


def _until_stable(result: RunResult) -> bool:
    return result.settings.until_stable is not None


def _not_settled(result: RunResult) -> Iterator[Advice]:
    if result.stopped is not None and result.stopped.measure == "cap":
        yield Advice(
            "not stable",
            "The medians were not stable when the time was up.",
            "Raise --duration, or quieten the machine.",
        )
    if result.stopped is not None and result.stopped.warmup == "cap":
        yield Advice(
            "still warming up",
            "The machine had not settled when warming up ended.",
            "Use a larger --warmup, or quieten the machine.",
        )


def _unstable(result: RunResult) -> Iterator[Advice]:
    found = [(e, s) for e, s in _latencies(result) if s.variation > UNSTABLE]
    if found:
        worst, summary = max(found, key=lambda pair: pair[1].variation)
        outliers = f"{summary.outliers} outlier{'s' * (summary.outliers != 1)}"
        remedy = (
            "raise --duration or use a quieter machine" if _until_stable(result) else "use --until-stable 5%"
        )
        told = (
            f"Read the intervals, not the means; close other programs, or {remedy}."
            if all(each.p50_interval is not None for _, each in found)
            else f"Some tell no interval (- in the table): close other programs, or use "
            f"-n {3 * result.rounds}."
        )
        yield Advice(
            "unstable",
            f"{len(found)} of {len(result.cases)} cases vary by more than {UNSTABLE:.0%}; most: {worst.case} "
            f"(standard deviation {summary.variation:.0%} of the mean, {outliers}).",
            told,
        )


def _drifting(result: RunResult) -> Iterator[Advice]:
    drifting = [
        entry.case
        for entry in result.cases
        if (array := measured(entry.samples["end_to_end"])) is not None
        and len(array) >= DRIFT_ROUNDS
        and autocorrelation(array) > DRIFTING
    ]
    if drifting:
        yield Advice(
            "drifting",
            f"{len(drifting)} of {len(result.cases)} cases change slowly over time (neighbouring frames are "
            "alike); their intervals are widened for that, as far as so few frames can tell.",
            "Trust the ratios, which are paired by round; fix clocks, or measure longer.",
        )


def _enqueue_bound(result: RunResult) -> Iterator[Advice]:
    for entry in result.cases:
        enqueue, device = _median(entry, "enqueue"), _median(entry, f"{DEVICE}enqueue")
        if device is None:
            wait = _median(entry, "stream_sync")
            device = None if wait is None or enqueue is None else enqueue + wait
        if enqueue is not None and device and enqueue > ENQUEUE_BOUND * device:
            yield Advice(
                "enqueue-bound",
                f"{entry.case}: enqueueing takes {enqueue * 1e3:.2f} ms of {device * 1e3:.2f} ms on the GPU, "
                "so the processor is what limits it.",
                "Use --dispatch graph, or fewer groups.",
            )


def _copies(result: RunResult) -> Iterator[Advice]:
    for entry in result.cases:
        total = _median(entry, "end_to_end")
        parts = [_median(entry, f"{DEVICE}{s}") or _median(entry, s) or 0.0 for s in COPIES]
        if total and sum(parts) > COPIES_DOMINATE * total:
            yield Advice(
                "copies dominate",
                f"{entry.case}: copying to and from the GPU takes {sum(parts) * 1e3:.2f} of "
                f"{total * 1e3:.2f} ms.",
                "Hand over frames in pinned memory, or frames that are on the GPU already.",
            )


def _throttled(result: RunResult) -> Iterator[Advice]:
    during = result.during or During()
    if during.gpu is not None and during.gpu.throttled:
        yield Advice(
            "throttled",
            f"The GPU slowed down: {', '.join(during.gpu.throttled)} ({during.gpu.temperature_c} °C).",
            "Lock its clocks (nvidia-smi -lgc) or improve cooling, and measure again.",
        )
    if events := during.cpu_throttled:
        yield Advice(
            "throttled",
            f"The processor slowed down {events} times because of its temperature.",
            "Improve cooling or use fewer --threads, and measure again.",
        )


def _other_load(result: RunResult) -> Iterator[Advice]:
    others, cores = (result.during or During()).other_cores, result.environment.cores
    if others is not None and others > OTHER_CORES:
        yield Advice(
            "other load",
            f"Other programs kept {others:.1f} of {cores} cores busy meanwhile.",
            "Close them and measure again; until then trust ratios, not milliseconds.",
        )


def _gpu_shared(result: RunResult) -> Iterator[Advice]:
    if processes := (result.during or During()).gpu_processes:
        yield Advice(
            "GPU shared",
            f"Other processes use the GPU: {', '.join(processes)}.",
            "End them and measure again.",
        )


def _governor(result: RunResult) -> Iterator[Advice]:
    if (governor := result.environment.governor) in ("powersave", "ondemand", "conservative"):
        yield Advice(
            "governor",
            f"The processor's clock follows its load (governor {governor}).",
            "Fix it: sudo cpupower frequency-set -g performance",
        )


def _latencies(result: RunResult) -> Iterator[tuple[CaseResult, Summary]]:
    for entry in result.cases:
        if (summary := summarize(entry.samples["end_to_end"])) is not None:
            yield entry, summary


def _median(entry: CaseResult, stage: str) -> float | None:
    return median(entry.samples.get(stage, ()))
