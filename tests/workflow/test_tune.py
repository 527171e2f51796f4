from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.table import Table

from yolotrt.backends.base import Availability, EngineFile, Precision
from yolotrt.backends.onnxruntime import provider
from yolotrt.backends.registry import backend as backend_named
from yolotrt.bench.budgets import NO_BUDGETS, Budgets
from yolotrt.bench.halving import Dropped
from yolotrt.bench.result import Case, CaseResult
from yolotrt.bench.statistics import summarize
from yolotrt.bench.sweep import SweepSettings
from yolotrt.errors import UsageError
from yolotrt.machine.memory import Memory
from yolotrt.model.spec import ModelSpec
from yolotrt.report.tune_tables import given_up_table, tune_table
from yolotrt.workflow.evaluate import MaxDrop
from yolotrt.workflow.plan import BuildRequest
from yolotrt.workflow.tune.choice import Candidate, TuneOutcome, choose, reasons
from yolotrt.workflow.tune.outcome_file import outcome_file
from yolotrt.workflow.tune.request import TuneRequest

RIPPLE = [1.0, 1.001, 0.999, 1.002, 0.998] * 4
SPEC = ModelSpec("m", ("cat",), "images", (64, 64), None, "raw", "output0", "output1", 4, 32)


def _candidate(
    ms: float, *, groups: int = 1, dispatch: str = "serial", accuracy: float | None = 0.3, memory: int = 100,
    gpu: int | None = None, misses: tuple[str, ...] = (), engine: str = "m.onnx",
) -> Candidate:  # fmt: skip
    samples = [ms / 1e3 * r for r in RIPPLE]
    latency = summarize(samples)
    assert latency is not None
    case = Case(engine, "fp32", "tiled", dispatch, groups)
    file = EngineFile(Path("m.onnx"), "onnxruntime", "fp32", SPEC, (), "0")
    return Candidate(
        CaseResult(case, {"end_to_end": list(samples)}, [], 0),
        file,
        latency,
        accuracy,
        Memory(memory, gpu),
        misses,
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
    assert _candidate(10, gpu=2).dominated_by(_candidate(10, gpu=1))
    assert not _candidate(10, gpu=1).dominated_by(_candidate(10, gpu=2))


@pytest.mark.parametrize(
    ("precisions", "images", "why"),
    [
        (("fp32",), Path("street"), "neither is tried"),
        (("int8", "fp8"), Path("street"), "FP8 may lose as much"),
        (("int8",), None, "needs images"),
    ],
)
def test_without_annotations_no_precision_escapes_the_bound(
    precisions: tuple[Precision, ...], images: Path | None, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        TuneRequest(
            BuildRequest(Path("m.onnx"), images=images), precisions, SweepSettings(("global",)), NO_BUDGETS,
            MaxDrop(0.01, True), None, None, None, Path("tune.json"),
        )  # fmt: skip


def _headers(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def _cells(table: Table) -> list[tuple[str, ...]]:
    return [tuple(map(str, row)) for row in zip(*(column.cells for column in table.columns), strict=True)]


def test_the_tables_show_what_was_given_up_and_why() -> None:
    best = _candidate(10, gpu=300 << 20, memory=200 << 20, engine="m.fp16.onnx")
    slow = Case("m.fp16.onnx", "fp16", "tiled", "threads", 4)
    dropped = Dropped(slow, "m.fp16.onnx tiled serial groups=1 is 1.30x as fast", 8, 0.013)
    refused = ("m.int8.onnx", "loses 2.00 points, more than 1%")
    outcome = TuneOutcome((best,), (best,), (dropped,), (refused,), best, ())
    table = tune_table(outcome_file(outcome), 120)
    assert {"host MiB", "GPU MiB"} <= set(_headers(table))
    assert {"200", "300", "*>"} <= set(_cells(table)[0])
    assert _cells(given_up_table(outcome_file(outcome), 120)) == [
        ("int8", "-", "0", "-", "loses 2.00 points, more than 1%"),
        ("fp16", "tiled threads groups=4", "8", "13.0", "tiled serial groups=1 is 1.30x as fast"),
    ]
    here = replace(best, memory=Memory(200 << 20))
    on_cpu = replace(outcome, candidates=(here,), best=here)
    assert "GPU MiB" not in _headers(tune_table(outcome_file(on_cpu)))


@pytest.mark.parametrize(
    ("backend", "device", "usable", "expected"),
    [
        ("tensorrt", "auto", False, ("fp32", "fp16", "int8")),
        ("tensorrt-rtx", "cuda:1", False, ("fp32", "fp16", "int8")),
        ("onnxruntime", "cpu", True, ("fp32", "int8")),
        ("onnxruntime", "cuda:0,1", False, ("fp32", "fp16")),
        ("onnxruntime", "auto", True, ("fp32", "fp16")),
        ("onnxruntime", "auto", False, ("fp32", "int8")),
    ],
)
def test_precisions_are_those_that_may_win_on_the_device(
    backend: str, device: str, usable: bool, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        provider, "availability", lambda: Availability(usable, "as the test says", builds=usable)
    )
    assert backend_named(backend).worthwhile(device) == expected


def test_reasons_say_what_is_missed() -> None:
    missed = _candidate(10, misses=("tiles p50 10.0 ms is over 5.0 ms",))
    text = " ".join(reasons(missed, [missed], [], Budgets({"tiles": 0.005}), None))
    assert "it comes nearest, and misses" in text
    assert "over 5.0 ms" in text


def test_a_loss_that_nobody_measured_is_called_an_estimate() -> None:
    best = _candidate(10, accuracy=None)
    best = replace(best, file=replace(best.file, precision="int8"))
    kept = Budgets({}), MaxDrop.parse("1%")
    assert "within 1% by an estimate" in " ".join(reasons(best, [best], [], *kept))
    measured = " ".join(reasons(replace(best, accuracy=0.3), [best], [], *kept))
    assert "estimate" not in measured
    assert "keeps within 1%" in measured
