"""Accuracy beside latency: the figures that ``yolotrt eval --json`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolotrt.artifacts.documents import read_json
from yolotrt.bench.result import CaseResult, RunResult
from yolotrt.bench.statistics import summarize
from yolotrt.errors import ArtifactError
from yolotrt.report.figures import milliseconds
from yolotrt.report.labels import Look, case_label, highlights, legend, looks, short_names
from yolotrt.report.svg import WIDTH, Scale, SvgCanvas, round_ticks, x_axis, y_axis
from yolotrt.workflow.accuracy_file import DOCUMENT, EngineFigures


def read_accuracy(path: Path) -> list[EngineFigures]:
    """Read what ``yolotrt eval --json`` wrote.

    Raises:
        InputError: The file is missing.
        ArtifactError: It is something else.
    """
    found = read_json(path)
    if not DOCUMENT.is_in(found):
        raise ArtifactError(
            f"{path} holds no accuracy figures.", hint="Write them with: yolotrt eval ... --json FILE"
        )
    return list(DOCUMENT.parse(path, found).engines)


def matches(result: RunResult, entry: CaseResult, accuracy: Sequence[EngineFigures]) -> list[EngineFigures]:
    """Return the accuracy figures of the very engine that a case timed."""
    about = result.environment.engines.get(entry.case.engine)
    return [a for a in accuracy if about is not None and a.sha256 == about.sha256]


def accuracy_chart(result: RunResult, accuracy: Sequence[EngineFigures]) -> str:
    """Return mask mAP (box mAP without masks) over latency: up and to the left is better.

    Empty with fewer than two points: one cannot be further up or left.
    """
    names, look = short_names([e.case.engine for e in result.cases]), looks(result)
    points: list[tuple[float, float, str, Look]] = []
    for entry in highlights(result):
        summary = summarize(entry.samples["end_to_end"])
        for found in matches(result, entry, accuracy):
            score = (found.mask or found.box).ap
            if summary is not None and score is not None and found.mode == entry.case.mode:
                points.append((summary.p50, score, case_label(entry.case, names), look[entry.case]))
    if len(points) < 2:
        return ""
    left, bottom = 44.0, 190.0
    x_ticks = round_ticks(max(point[0] for point in points) * 1e3)
    y_ticks = round_ticks(max(point[1] for point in points) * 100)
    x, y = Scale(0, x_ticks[-1], left, WIDTH - 12), Scale(0, y_ticks[-1], bottom, 12)
    canvas = SvgCanvas(bottom + 34)
    y_axis(canvas, y, y_ticks, left, WIDTH - 12)
    x_axis(canvas, x, x_ticks, 12, bottom)
    canvas.text((left + WIDTH) / 2, bottom + 31, "median ms per frame", anchor="middle", style="axis")
    keys = []
    for seconds, score, label, drawn in points:
        tip = f"{label}: {milliseconds(seconds)} ms, {score * 100:.1f} points"
        canvas.mark(x(seconds * 1e3), y(score * 100), drawn.color, tip, radius=5, kind=drawn.kind)
        keys.append((drawn.color, tip, f"mark{drawn.kind}"))
    return canvas.render("Accuracy over latency") + legend(keys)
