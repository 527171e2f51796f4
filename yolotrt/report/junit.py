"""JUnit XML, as CI systems read it: a test case for each budget and case, or each figure of a comparison."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from yolotrt.bench.compare import Comparison
from yolotrt.bench.crowding import crowding
from yolotrt.bench.judge import judge
from yolotrt.bench.result import RunResult
from yolotrt.report.figures import milliseconds, signed_percent
from yolotrt.text import visible

State = Literal["passed", "failure", "error"]


@dataclass(frozen=True)
class _Test:
    """A test case: where it belongs, its name, how it ended and why, and what took how long."""

    group: str
    name: str
    seconds: float
    state: State = "passed"
    why: str = ""


def budgets_junit(results: Sequence[RunResult]) -> str:
    """Return a suite for each result: a missed budget is a failure, one that cannot be judged an error.

    Raises:
        UsageError: A result has a budget on a stage that it did not measure.
        GateUndecided: It measured the stage in some of its frames only.
    """
    states: dict[str, State] = {"met": "passed", "missed": "failure", "undecided": "error"}
    suites = []
    for result in results:
        tests = []
        for verdict in judge(result.cases, result.budgets, crowding(result)):
            why = f"{milliseconds(verdict.seconds)} ms, budget {milliseconds(verdict.limit)} ms"
            if verdict.held == "undecided":
                why += f": {verdict.why_open}"
            name = f"{verdict.stage} {verdict.stat} within {milliseconds(verdict.limit)} ms"
            tests.append(_Test(str(verdict.case), name, verdict.seconds, states[verdict.held], why))
        suites.append(("budgets", tests))
    return _document("yolotrt budgets", suites)


def comparison_junit(found: Comparison) -> str:
    """Return a suite of one comparison: a regression is a failure, what cannot be told an error."""
    states: dict[str, State] = {"passed": "passed", "failed": "failure", "undecided": "error"}
    tests = [
        _Test(
            str(change.case),
            f"{change.stage} {found.stat} no slower than {change.fail_on * 100:g} %",
            change.new_s,
            states[change.outcome],
            f"{signed_percent(change.ratio.value)}: {milliseconds(change.base_s)} ms before, "
            f"{milliseconds(change.new_s)} ms now",
        )
        for change in found.changes
    ]
    tests += [_Test("lost", lost, 0.0, "error", "not measured in both") for lost in found.lost]
    return _document("yolotrt compare", [("regressions", tests)])


_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(text: str) -> str:
    """Return text without what XML 1.0 has no place for (section 2.2)."""
    return _NO_XML.sub("\ufffd", visible(text))


def _document(title: str, suites: Iterable[tuple[str, Sequence[_Test]]]) -> str:
    """Return the XML. Names come from files: characters that XML has no place for are written out."""
    root = ET.Element("testsuites", name=title)
    for name, tests in suites:
        counts = {state: sum(t.state == state for t in tests) for state in ("failure", "error")}
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(tests)),
            failures=str(counts["failure"]),
            errors=str(counts["error"]),
            time=f"{sum(t.seconds for t in tests):.6f}",
        )
        for test in tests:
            entry = ET.SubElement(
                suite,
                "testcase",
                classname=_text(test.group),
                name=_text(test.name),
                time=f"{test.seconds:.6f}",
            )
            if test.state != "passed":
                ET.SubElement(entry, test.state, message=_text(test.why))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
