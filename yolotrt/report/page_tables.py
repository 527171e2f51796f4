"""The tables of the page: every case, accuracy, machine and settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yolotrt.bench.result import RunResult
from yolotrt.bench.statistics import median
from yolotrt.machine.environment import EngineRecord
from yolotrt.report.accuracy import matches
from yolotrt.report.accuracy_tables import ACCURACY, accuracy_rows
from yolotrt.report.columns import Column, RowTable
from yolotrt.report.markup import heading, table
from yolotrt.report.tables import latencies, stage_medians
from yolotrt.text import html_text
from yolotrt.timing.trace import COPIES, DEVICE, STAGES
from yolotrt.workflow.accuracy_file import EngineFigures


def cases_table(result: RunResult, index: int) -> str:
    """Return every case; each figure carries ``result/case/column`` so that it can be found."""
    engines = dict.fromkeys(e.case.engine for e in result.cases)
    note = f'<p class="muted">engine {html_text(next(iter(engines)))}</p>' if len(engines) == 1 else ""
    return note + table(latencies(result), place=str(index), wrap_head=True)


def stages_table(result: RunResult, index: int) -> str:
    """Return the median of every stage that any case measured; empty if there is none but the frame."""
    order = [s for prefix in ("", DEVICE) for s in (prefix + stage for stage in (*COPIES, *STAGES))]
    stages = [s for s in order if any(median(entry.samples.get(s, ())) is not None for entry in result.cases)]
    if stages in ([], ["end_to_end"]):
        return ""
    shown = table(stage_medians(result, stages), place=str(index), wrap_head=True)
    return heading("Medians of every stage, milliseconds") + shown


def accuracy_table(result: RunResult, accuracy: Sequence[EngineFigures]) -> str:
    """Return the accuracy of the engines that were timed; empty without any."""
    found = [a for entry in result.cases for a in matches(result, entry, accuracy)]
    timed = [a for k, a in enumerate(found) if all(a is not other for other in found[:k])]
    title = "Accuracy, mAP in points"
    return heading(title) + table(RowTable(title, ACCURACY, accuracy_rows(timed))) if timed else ""


def machine_table(result: RunResult) -> str:
    """Return everything that the numbers depend on."""
    environment = result.environment
    skipped = {"packages", "engines", "gpu"}
    rows: list[tuple[str, Any]] = []
    rows += [(k.replace("_", " "), v) for k, v in vars(environment).items() if k not in skipped]
    if environment.gpu is not None:
        rows += [(f"GPU {k.replace('_', ' ')}", v) for k, v in vars(environment.gpu).items()]
    rows += [(k, v) for k, v in environment.packages.items() if v]
    rows += [(f"settings: {k.replace('_', ' ')}", v) for k, v in vars(result.settings).items()]
    if result.during is not None:
        rows += [
            (f"meanwhile: {k.replace('_', ' ')}", v) for k, v in vars(result.during).items() if k != "gpu"
        ]
    rows += [(f"engine {name}", _about(about)) for name, about in environment.engines.items()]
    shown = [(str(k), _value(v)) for k, v in rows if v not in (None, [], (), "")]
    return heading("Machine and settings") + table(RowTable("", FACTS, shown), kind="facts")


FACTS: tuple[Column[tuple[str, str]], ...] = (
    Column("", lambda fact: fact[0], words=True, key=True),
    Column("", lambda fact: fact[1], words=True),
)


def _about(engine: EngineRecord) -> str:
    about = {k: v for k, v in vars(engine).items() if k != "environment" and v not in (None, ())}
    return ", ".join(
        f"{k} {str(v)[:12] if k == 'sha256' else list(v) if isinstance(v, tuple) else v}"
        for k, v in {**about, **engine.environment}.items()
    )


def _value(value: Any) -> str:
    return ", ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
