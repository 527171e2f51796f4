"""Measure cases against each other, interleaved round by round."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from yolotrt.bench.case import Case, CaseResult, Intake, TimelineSpan, timeline
from yolotrt.bench.stopping import Stopped, StopRule, WarmupRule
from yolotrt.machine.energy import Energy
from yolotrt.progress import Progress, no_progress
from yolotrt.timing.clock import Clock, now, seconds_between
from yolotrt.timing.trace import STAGES, Span

ORDER_SEED = 7
KEPT_TIMELINES = 64
"""Frames whose spans are held until the one nearest the median is chosen to be shown."""


@dataclass(frozen=True)
class Measurement:
    """One frame of one case.

    Attributes:
        stages: Seconds by stage.
        spans: Its spans.
        detections: How much it found.
        done_ns: When its result was there, before anything was read of the trace; None if nobody looked.
    """

    stages: dict[str, float | None]
    spans: Sequence[Span] = ()
    detections: int = 0
    done_ns: int | None = None


class Subject(Protocol):
    """Something that can be measured again and again."""

    @property
    def case(self) -> Case:
        """What it is called."""
        ...

    def measure(self, frame: Any) -> Measurement:
        """Process one frame."""
        ...


@dataclass
class Running:
    """A case while it is measured."""

    subject: Subject
    samples: dict[str, list[float | None]] = field(default_factory=lambda: {s: [] for s in STAGES})
    warmup: list[float | None] = field(default_factory=list)
    detections: int = 0
    recent: deque[tuple[float, Sequence[Span]]] = field(default_factory=lambda: deque(maxlen=KEPT_TIMELINES))
    arrived: Intake | None = None
    energy: Energy | None = None

    @classmethod
    def resume(cls, subject: Subject, earlier: CaseResult) -> Running:
        """Continue a case where an interrupted run left it."""
        samples = {stage: list(values) for stage, values in earlier.samples.items()}
        return cls(
            subject,
            samples,
            list(earlier.warmup),
            earlier.detections,
            arrived=earlier.arrived,
            energy=earlier.energy,
        )

    @property
    def rounds(self) -> int:
        """Rounds measured so far."""
        return len(self.samples["end_to_end"])

    def add(self, measurement: Measurement) -> None:
        """Append one frame; stages that only some frames have are None in the others."""
        rounds = self.rounds
        for stage in {**self.samples, **measurement.stages}:
            self.samples.setdefault(stage, [None] * rounds).append(measurement.stages.get(stage))
        self.detections = measurement.detections
        seconds = measurement.stages.get("end_to_end")
        if seconds is not None and measurement.spans:
            self.recent.append((seconds, measurement.spans))

    def result(self) -> CaseResult:
        """Return what was measured so far, in whole frames: Ctrl-C can come between two stages of one."""
        whole = min(map(len, self.samples.values()))
        samples = {
            stage: [None if v is None else round(v, 9) for v in values[:whole]]
            for stage, values in self.samples.items()
        }
        return CaseResult(
            self.subject.case,
            samples,
            self.warmup,
            self.detections,
            self._timeline(),
            arrived=self.arrived,
            energy=self.energy,
        )

    def _timeline(self) -> tuple[TimelineSpan, ...]:
        if not self.recent:
            return ()
        median = float(np.median([seconds for seconds, _ in self.recent]))
        _, spans = min(self.recent, key=lambda entry: abs(entry[0] - median))
        return timeline(spans)


@dataclass(frozen=True)
class Rounds:
    """How a measurement ended.

    Attributes:
        stopped: Why it stopped.
        warmup: Why warming up stopped.
        seconds: Time spent in measured rounds.
    """

    stopped: Stopped
    warmup: Stopped
    seconds: float


EachFrame = Callable[[list[Running], float], None]
"""Called as ``each_frame(cases, seconds measured so far)`` after each frame of each case."""


def measure_rounds(
    running: list[Running],
    frames: Sequence[Any],
    stop: StopRule,
    warmup: WarmupRule,
    *,
    spent_s: float = 0.0,
    each_frame: EachFrame = lambda _cases, _seconds: None,
    progress: Progress = no_progress,
    clock: Clock = now,
) -> Rounds:
    """Measure every case in every round until the rule says stop.

    Each round runs one frame through every case, in an order drawn anew for the round, so that a machine
    that slows down or warms up does so for all of them alike and no case always follows the same one.

    Args:
        running: The cases, new or resumed; they are changed. Of those of an interrupted round, the ones
            that were not measured in it come first, on its frame.
        frames: Round r uses frame r modulo their number.
        stop: When to stop.
        warmup: How many rounds to throw away first. They use the first frame.
        spent_s: Seconds that an interrupted run had measured.
        each_frame: Called after each frame of each case, such as to save; its time is not measured.
        progress: Told after each frame: on a processor a round of many cases takes minutes.
        clock: What the stop rules read.
    """
    settled = warm_up(running, frames[0], warmup, progress, clock)
    while True:
        rounds = min(entry.rounds for entry in running)
        _report_frames(progress, stop, running, spent_s)
        due = [entry for entry in running if entry.rounds == rounds]  # fewer where an interrupted run goes on
        if len(due) == len(running) and (
            stopped := stop.verdict(rounds, spent_s, [r.samples["end_to_end"] for r in running])
        ):
            return Rounds(stopped, settled, spent_s)
        for index in np.random.default_rng((ORDER_SEED, rounds)).permutation(len(due)):
            begin = clock()
            due[index].add(due[index].subject.measure(frames[rounds % len(frames)]))
            spent_s += seconds_between(begin, clock())
            each_frame(running, spent_s)
            _report_frames(progress, stop, running, spent_s)


def warm_up(
    running: list[Running], frame: Any, rule: WarmupRule, progress: Progress, clock: Clock
) -> Stopped:
    """Process the frame until the machine has settled, as the rule says; return why it ended."""
    begin, rounds = clock(), 0
    for entry in running:
        entry.warmup = []
    while True:
        elapsed = seconds_between(begin, clock())
        if stopped := rule.verdict(rounds, elapsed, [entry.warmup for entry in running]):
            progress("warm up", 1, 1)
            return stopped
        # Until stable nobody knows the rounds: the end of this one is told, which may be the last.
        total = (rule.rounds or rounds + 1) * len(running)
        for done, entry in enumerate(running, rounds * len(running)):
            progress("warm up", done, total)
            entry.warmup.append(entry.subject.measure(frame).stages["end_to_end"])
        rounds += 1


def _report_frames(progress: Progress, stop: StopRule, running: list[Running], spent: float) -> None:
    """Tell how far measuring has come, in frames of all cases."""
    if stop.seconds is None:
        progress("measure", sum(entry.rounds for entry in running), stop.iterations * len(running))
    else:
        report_progress(progress, stop, 0, spent)


def report_progress(progress: Progress, stop: StopRule, rounds: int, spent: float) -> None:
    """Tell how far measuring has come: frames, or seconds where those end it."""
    if stop.seconds is None:
        progress("measure", rounds, stop.iterations)
    else:
        progress("measure", min(int(spent), int(stop.seconds)), int(stop.seconds))
