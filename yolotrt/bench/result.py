"""What a benchmark run leaves behind: raw samples, and the machine they were taken on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import read_document, write_document
from yolotrt.errors import ArtifactError

FORMAT = "yolotrt.result"
VERSION = 1


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        engine: The engine's file name.
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


@dataclass(frozen=True)
class CaseResult:
    """Raw samples of one case.

    Attributes:
        case: What was measured.
        samples: Seconds per stage and frame; None where a stage was not measured. All lists are as
            long as the number of measured frames; the same index in two cases is the same round.
        warmup: Seconds of ``end_to_end`` of the frames before the measured ones.
        detections: Number of detections in the last frame.
    """

    case: Case
    samples: Mapping[str, list[float | None]]
    warmup: list[float | None]
    detections: int


@dataclass(frozen=True)
class RunResult:
    """One benchmark run.

    Attributes:
        settings: What was asked for.
        environment: The machine, the libraries and the engines.
        cases: Results in the order of the table.
        notes: What a reader must know to read the numbers right.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    cases: tuple[CaseResult, ...]
    notes: tuple[str, ...] = ()


def to_json(result: RunResult) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {"format": FORMAT, "version": VERSION, **asdict(result)}


def write_result(target: Path, result: RunResult) -> Path:
    """Write a result file atomically.

    Raises:
        StorageError: The file cannot be written.
    """
    return write_document(target, format=FORMAT, version=VERSION, body=asdict(result))


def read_result(path: Path) -> RunResult:
    """Read a result file.

    Raises:
        InputError: The file is missing.
        ArtifactError: It is not a complete result file.
    """
    body = read_document(path, format=FORMAT, version=VERSION)
    try:
        cases = tuple(
            CaseResult(
                Case(**entry["case"]),
                {str(stage): list(values) for stage, values in entry["samples"].items()},
                list(entry["warmup"]),
                int(entry["detections"]),
            )
            for entry in body["cases"]
        )
        return RunResult(dict(body["settings"]), dict(body["environment"]), cases, tuple(body["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ArtifactError(
            f"{path} is not a complete result file ({exc}).", hint="Run the bench again."
        ) from exc
