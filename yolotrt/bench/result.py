"""What a benchmark run leaves behind: raw samples, and the machine they were taken on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_json, require_document, write_document
from yolotrt.artifacts.kinds import document
from yolotrt.artifacts.schema import require_fit
from yolotrt.bench.metrics import flat_metrics, taken
from yolotrt.errors import ArtifactError
from yolotrt.text import shell_words
from yolotrt.timing.trace import Span

FORMAT = "yolotrt.result"
VERSION = 2
RESULT = document("a benchmark result", FORMAT)
REPORTED = document("what yolotrt report --json wrote", FORMAT, listed=True)
"""One result, or a list of them."""
SCHEMA = Path(__file__).with_name("result.schema.json")
"""JSON Schema of the files that :func:`write_result` makes."""

EVAL = "yolotrt eval --json"

_OTHERS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"counts", "processed"}), "yolotrt run --json"),
    (frozenset({"mode", "engines"}), EVAL),
    (frozenset({"changes", "regressions"}), "yolotrt compare --json"),
    (frozenset({"candidates", "recommended"}), "yolotrt tune --json"),
    (frozenset({"key", "gone"}), "yolotrt tune --state"),
)
"""Keys by which JSON of other verbs is recognised."""


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        engine: The engine's file name; two joined by `` + `` when tiles and frame have their own.
        precision: Its precision.
        mode: ``tiled``, ``global`` or ``tiled+global``.
        dispatch: How groups ran; ``-`` for a pass without groups.
        groups: Number of groups; 1 for a pass without groups.
    """

    engine: str
    precision: str
    mode: str
    dispatch: str
    groups: int

    def __str__(self) -> str:
        if self.mode == "global":
            return f"{self.engine} global"
        return f"{self.engine} {self.mode} {self.dispatch} groups={self.groups}"


@dataclass(frozen=True)
class TimelineSpan:
    """One interval of one frame, seconds since the frame's first span.

    Spans of the device lie where the pipeline put them on the host's clock, since the two clocks have no
    common zero: lengths and distances between them are exact, their distance to the host's spans is not.
    """

    stage: str
    group: int | None
    scope: str
    on: str
    begin_s: float
    end_s: float


def timeline(spans: Sequence[Span]) -> tuple[TimelineSpan, ...]:
    """Return the spans of one frame, counted from its beginning, in the order in which they began."""
    zero = min((s.begin_ns for s in spans), default=0)
    return tuple(
        TimelineSpan(s.stage, s.group, s.scope, s.on, (s.begin_ns - zero) / 1e9, (s.end_ns - zero) / 1e9)
        for s in sorted(spans, key=lambda s: (s.on, s.begin_ns, -s.end_ns))
    )


@dataclass(frozen=True)
class CaseResult:
    """Raw samples of one case.

    Attributes:
        case: What was measured.
        samples: Seconds per stage and frame; None where a stage was not measured. All lists are as
            long as the number of measured frames; the same index in two cases is the same round.
        warmup: Seconds of ``end_to_end`` of the frames before the measured ones.
        detections: Number of detections in the last frame.
        timeline: The spans of the frame whose latency is nearest the median.
        group_bytes: Device memory that a group's context took, bytes, by GPU; empty on a processor. A group
            that found its context already made took nothing.
    """

    case: Case
    samples: Mapping[str, list[float | None]]
    warmup: list[float | None]
    detections: int
    timeline: tuple[TimelineSpan, ...] = ()
    group_bytes: tuple[int, ...] = ()

    def taken(self, stage: str) -> Sequence[float | None]:
        """Return the samples of a stage; see :func:`yolotrt.bench.metrics.taken`."""
        return taken(self.samples, stage)


@dataclass(frozen=True)
class RunResult:
    """One benchmark run.

    Attributes:
        settings: What was asked for.
        environment: The machine, the libraries and the engines, before the first frame.
        cases: Results in the order of the table.
        notes: What a reader must know to read the numbers right.
        during: What else the machine did meanwhile; see :class:`yolotrt.machine.watch.Watch`.
        measured_s: Seconds spent in measured rounds.
        resumed_at: Rounds at which an interrupted run was continued.
        stopped: Why measuring stopped and why warming up did, by :data:`yolotrt.bench.stopping.Stopped`;
            empty while the run is not complete.
        budgets: Seconds allowed by stage, and the statistic they are put on under ``stat``.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    cases: tuple[CaseResult, ...]
    notes: tuple[str, ...] = ()
    during: Mapping[str, Any] = field(default_factory=dict)
    measured_s: float = 0.0
    resumed_at: tuple[int, ...] = ()
    stopped: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the run reached its end."""
        return bool(self.stopped)

    @property
    def rounds(self) -> int:
        """Measured frames per case; of an interrupted round, only some cases have one more."""
        return min((len(entry.samples["end_to_end"]) for entry in self.cases), default=0)


def to_json(result: RunResult) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {"format": FORMAT, "version": VERSION, **_body(result)}


def write_result(target: Path, result: RunResult) -> Path:
    """Write a result file atomically.

    Raises:
        StorageError: The file cannot be written.
    """
    return write_document(target, format=FORMAT, version=VERSION, body=_body(result))


def read_result(path: Path) -> RunResult:
    """Read a result file.

    Raises:
        InputError: The file is missing.
        ArtifactError: It is not a complete result file, or of another version.
    """
    document = read_json(path)
    _refuse_others(path, document)
    body = require_document(path, document, format=FORMAT, version=VERSION)
    try:
        require_fit(body, read_json(SCHEMA))
        return RunResult(
            dict(body["settings"]),
            dict(body["environment"]),
            tuple(_case(entry) for entry in body["cases"]),
            tuple(body["notes"]),
            dict(body["during"]),
            float(body["measured_s"]),
            tuple(body["resumed_at"]),
            dict(body["stopped"]),
            dict(body["budgets"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ArtifactError(
            f"{path} is not a complete result file ({type(exc).__name__}: {exc}).",
            hint="Run the bench again.",
        ) from exc


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


def _body(result: RunResult) -> dict[str, Any]:
    body = asdict(result)
    for written, entry in zip(body["cases"], result.cases, strict=True):
        written["metrics"] = flat_metrics(entry.samples)
    return body


def _case(entry: Mapping[str, Any]) -> CaseResult:
    samples = {str(stage): list(values) for stage, values in entry["samples"].items()}
    lengths = {len(values) for values in samples.values()}
    if "end_to_end" not in samples or len(lengths) != 1:
        raise ValueError("stages of a case have different numbers of samples")
    return CaseResult(
        Case(**entry["case"]),
        samples,
        list(entry["warmup"]),
        int(entry["detections"]),
        tuple(TimelineSpan(**span) for span in entry["timeline"]),
        tuple(entry.get("group_bytes", ())),
    )
