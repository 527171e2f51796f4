"""What tiles and the global pass together find and cost, measured after the tiles alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from yolotrt.backends.base import Engine
from yolotrt.bench.result import Case, CaseResult, RunResult
from yolotrt.bench.rounds import Measurement, Running, measure_rounds
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import WarmupRule
from yolotrt.bench.sweep import SweepSettings, measured
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.settings import DISPATCHES, Dispatch
from yolotrt.pipeline.tiled import FrameResult, PassMode, PipelineSettings, TiledPipeline
from yolotrt.workflow.look import by_pass

BOTH_NOTE = "tiled+global was measured after the other cases, in the way that was fastest for the tiles."


@dataclass(frozen=True)
class BothPasses:
    """Tiles and global pass together.

    Attributes:
        case: What was measured.
        found: What each pass found in the last frame.
    """

    case: CaseResult
    found: dict[PassMode, Detections]


def fastest(result: RunResult, engine: str, mode: PassMode) -> CaseResult | None:
    """Return an engine's case with the least median latency in one mode, or None if there is none."""

    def median(entry: CaseResult) -> float:
        summary = summarize(entry.samples["end_to_end"])
        return float("inf") if summary is None else summary.p50

    cases = [c for c in result.cases if c.case.engine == engine and c.case.mode == mode]
    return min(cases, key=median, default=None)


def measure_both(
    engine: Engine, frame: npt.NDArray[np.uint8], result: RunResult, sweep: SweepSettings
) -> BothPasses:
    """Measure tiles and global pass together, in the way that was fastest for the tiles alone.

    Args:
        engine: Looks at both.
        frame: (h, w, 3) uint8 BGR.
        result: A sweep of this engine over tiled passes.
        sweep: How often to measure.

    Raises:
        ExecutionError: The engine failed.
    """
    best = fastest(result, engine.file.name, "tiled")
    assert best is not None
    pipeline = PipelineSettings(
        "tiled+global",
        best.case.groups,
        _dispatch(best.case),
        overlap=sweep.overlap,
        cpu_threads=sweep.threads,
        measure=True,
    )
    case = replace(best.case, mode=pipeline.mode)
    with TiledPipeline(engine, pipeline) as both:
        running = Running(subject := _Kept(case, both))
        measure_rounds([running], [frame], sweep.stop, WarmupRule(sweep.warmup))
    assert subject.last is not None
    wh = (frame.shape[1], frame.shape[0])
    return BothPasses(running.result(), by_pass(subject.last, wh, engine.file, pipeline))


def _dispatch(case: Case) -> Dispatch:
    return next(way for way in DISPATCHES if way == case.dispatch)


@dataclass
class _Kept:
    """A pipeline to be measured whose last result is wanted, too."""

    case: Case
    pipeline: TiledPipeline
    last: FrameResult | None = None

    def measure(self, frame: npt.NDArray[np.uint8]) -> Measurement:
        self.last = self.pipeline(frame)
        return measured(self.last)
