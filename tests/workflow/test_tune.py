from __future__ import annotations

from pathlib import Path

import pytest

from yolotrt.backends.base import EngineFile
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.result import Case, CaseResult
from yolotrt.bench.statistics import summarize
from yolotrt.model.spec import ModelSpec
from yolotrt.workflow.tune_choice import Candidate, choose, reasons

RIPPLE = [1.0, 1.001, 0.999, 1.002, 0.998] * 4
SPEC = ModelSpec("m", ("cat",), "images", (64, 64), None, "raw", "output0", "output1", 4, 32)


def _candidate(
    ms: float, *, groups: int = 1, dispatch: str = "serial", accuracy: float | None = 0.3, memory: int = 100,
    misses: tuple[str, ...] = (),
) -> Candidate:  # fmt: skip
    samples = [ms / 1e3 * r for r in RIPPLE]
    latency = summarize(samples)
    assert latency is not None
    case = Case("m.onnx", "fp32", "tiled", dispatch, groups)
    file = EngineFile(Path("m.onnx"), "onnxruntime", "fp32", SPEC, (), "0")
    return Candidate(
        CaseResult(case, {"end_to_end": list(samples)}, [], 0), file, latency, accuracy, memory, misses
    )


def test_the_fastest_that_keeps_everything_is_chosen() -> None:
    fast = _candidate(5, misses=("end_to_end is over",))
    good, slow = _candidate(10), _candidate(12)
    assert choose([fast, good, slow]) is good
    assert choose([fast]) is fast


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (_candidate(10.1, accuracy=0.31), _candidate(10.0)),
        (_candidate(10.1), _candidate(10.0, groups=8)),
        (_candidate(10.1), _candidate(10.0, dispatch="threads")),
        (_candidate(10.0, groups=8), _candidate(10.5, accuracy=0.31)),  # certainly slower than 3 %
    ],
)
def test_among_equally_fast_ones_accuracy_and_simplicity_decide(better: Candidate, worse: Candidate) -> None:
    assert choose([worse, better]) is better
    assert choose([better, worse]) is better


def test_what_is_worse_in_nothing_and_better_in_something_dominates() -> None:
    base = _candidate(10)
    assert _candidate(11).dominated_by(base)
    assert _candidate(10, memory=101).dominated_by(base)
    assert not _candidate(11, accuracy=0.4).dominated_by(base)
    assert not _candidate(11, memory=50).dominated_by(base)
    assert not base.dominated_by(_candidate(10))


def test_reasons_say_what_is_missed() -> None:
    missed = _candidate(10, misses=("tiles p50 10.0 ms is over 5.0 ms",))
    text = " ".join(reasons(missed, [missed], [], Budgets({"tiles": 0.005}), None))
    assert "nothing keeps every budget" in text
    assert "over 5.0 ms" in text
