"""What a benchmark run leaves behind: raw samples, and the machine they were taken on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import Document, read_json
from yolotrt.artifacts.fields import Count, Seconds
from yolotrt.artifacts.kinds import document
from yolotrt.bench.budgets import NO_BUDGETS, Budgets, from_flat
from yolotrt.bench.case import Case as Case
from yolotrt.bench.case import CaseResult as CaseResult
from yolotrt.bench.case import TimelineSpan as TimelineSpan
from yolotrt.bench.case import require_even, with_order_and_depth
from yolotrt.bench.case import timeline as timeline
from yolotrt.bench.settings import Settings
from yolotrt.bench.stopping import Stopped
from yolotrt.errors import ArtifactError
from yolotrt.machine.environment import EngineRecord, Environment
from yolotrt.machine.watch import During
from yolotrt.text import shell_words

FORMAT = "yolotrt.result"
REPORTED = document("what yolotrt report --json wrote", FORMAT, listed=True)
"""One result, or a list of them."""

EVAL = "yolotrt eval --json"

_OTHERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"counts", "processed"}), "yolotrt run --json"),
    (frozenset({"mode", "engines"}), EVAL),
    (frozenset({"changes", "regressions"}), "yolotrt compare --json"),
    (frozenset({"candidates", "recommended"}), "yolotrt tune --json"),
    (frozenset({"key", "gone"}), "yolotrt tune --state"),
    (frozenset({"category_id", "bbox", "score"}), "yolotrt predict --json"),
    (frozenset({"images", "annotations", "categories"}), "yolotrt predict --coco"),
)
"""Keys by which JSON of other verbs is recognised."""


@dataclass(frozen=True)
class Endings:
    """Why a run ended.

    Attributes:
        measure: Why measuring stopped.
        warmup: Why warming up did.
    """

    measure: Stopped
    warmup: Stopped | None = None


@dataclass(frozen=True)
class RunResult:
    """Raw samples of every case, and the machine they were taken on. What was not measured is null, never 0.

    Attributes:
        settings: What was asked for.
        environment: The machine, the libraries and the engines, before the first frame.
        cases: Results in the order of the table.
        notes: What a reader must know to read the numbers right.
        during: What else the machine did meanwhile; None while the run is not complete.
        measured_s: Seconds spent in measured rounds.
        resumed_at: Rounds at which an interrupted run was continued.
        stopped: Why it ended; None while the run is not complete.
        budgets: What the stages may take.
    """

    settings: Settings
    environment: Environment
    cases: tuple[CaseResult, ...]
    notes: tuple[str, ...] = ()
    during: During | None = None
    measured_s: Seconds = 0.0
    resumed_at: tuple[Count, ...] = ()
    stopped: Endings | None = None
    budgets: Budgets = NO_BUDGETS

    @property
    def complete(self) -> bool:
        """Whether the run reached its end."""
        return self.stopped is not None

    @property
    def rounds(self) -> int:
        """Measured frames per case; of an interrupted round, only some cases have one more."""
        return min((len(entry.samples["end_to_end"]) for entry in self.cases), default=0)


def _check(result: RunResult) -> None:
    for entry in result.cases:
        require_even(entry)
    cases = [entry.case for entry in result.cases]
    if doubled := [case for case in cases if cases.count(case) > 1]:
        raise ValueError(f"the case {doubled[0]} is there twice")


def _with_metrics(result: RunResult) -> RunResult:
    return replace(result, cases=tuple(entry.with_metrics() for entry in result.cases))


def _from_2(found: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had flat engines and budgets, and one text for dispatch, order and depth."""
    environment = dict(found["environment"])
    if "engines" in environment:
        environment["engines"] = {n: _engine(about) for n, about in environment["engines"].items()}
    return {
        **found,
        "environment": environment,
        "cases": [{**entry, "case": with_order_and_depth(entry["case"])} for entry in found["cases"]],
        "during": found["during"] or None,
        "stopped": found["stopped"] or None,
        "budgets": from_flat(found["budgets"]),
    }


def _engine(about: Mapping[str, Any]) -> dict[str, Any]:
    own = EngineRecord.__dataclass_fields__.keys() - {"environment"}
    return {
        **{key: value for key, value in about.items() if key in own},
        "environment": {key: value for key, value in about.items() if key not in own},
    }


DOCUMENT = Document(
    FORMAT,
    3,
    RunResult,
    "a benchmark result",
    again="Run the bench again.",
    older={2: _from_2},
    check=_check,
    prepare=_with_metrics,
)
RESULT = DOCUMENT.kind


def to_json(result: RunResult) -> dict[str, Any]:
    """Return the result as JSON values."""
    return DOCUMENT.to_json(result)


def write_result(target: Path, result: RunResult) -> Path:
    """Write a result file atomically.

    Raises:
        StorageError: The file cannot be written.
    """
    return DOCUMENT.write(target, result)


def read_result(path: Path) -> RunResult:
    """Read a result file.

    Raises:
        InputError: The file is missing.
        ArtifactError: It is damaged, or of another version.
    """
    (found,) = read_results(path, most=1)
    return found


def read_results(path: Path, *, most: int | None = None) -> list[RunResult]:
    """Read a result file, or a list of results as ``yolotrt report --json`` writes it.

    Args:
        path: The file.
        most: A longer list is refused; None takes any.

    Raises:
        InputError: The file is missing.
        ArtifactError: It is damaged, of another version, or has too many results.
    """
    found = read_json(path)
    entries = found if isinstance(found, list) and found else [found]
    _refuse_others(path, entries[0])  # a list of other things is not too long: it is something else
    if most is not None and len(entries) > most:
        raise ArtifactError(
            f"{path} has {len(entries)} results, and one is wanted.", hint="Give the file that bench wrote."
        )
    for entry in entries:
        _refuse_others(path, entry)
    return [DOCUMENT.parse(path, entry) for entry in entries]


def _refuse_others(path: Path, document: Any) -> None:
    """Call JSON that other verbs wrote what it is: the names of such files are easily mixed up."""
    if not isinstance(document, dict) or document.get("format") == FORMAT:
        return
    found = next((what for keys, what in _OTHERS if keys <= document.keys()), None)
    if found is None:
        return
    hint = "Expected is the file that yolotrt bench wrote with -o FILE (or --json FILE)."
    if found == EVAL:
        hint += f" Accuracy goes beside it: yolotrt report RESULT --accuracy {shell_words(str(path))}"
    raise ArtifactError(f"{path} is what {found} wrote, not a result of yolotrt bench.", hint=hint)
