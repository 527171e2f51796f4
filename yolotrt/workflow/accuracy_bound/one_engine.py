"""An engine of one precision as a whole against a bound: there are no layers to put back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from yolotrt.backends.base import EngineFile, Precision
from yolotrt.backends.loading import load_engine
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.workflow.accuracy_bound.likeness import AgreementCriterion
from yolotrt.workflow.accuracy_bound.search import BoundRequest, criterion_of
from yolotrt.workflow.accuracy_bound.trial import judged_fp32
from yolotrt.workflow.plan import BuildRequest

ESTIMATED: tuple[Precision, ...] = ("int8", "fp16")
"""Precisions whose loss is estimated where nothing is annotated."""


@dataclass(frozen=True)
class EngineLoss:
    """What an engine loses.

    Attributes:
        value: What counts most against the bound, in its unit.
        held: Whether it is within the bound.
        text: Both in words.
    """

    value: float
    held: bool
    text: str


def judge_engine(
    bound: BoundRequest,
    request: BuildRequest,
    engine: EngineFile,
    *,
    progress: Progress = no_progress,
    say: Say = print,
) -> EngineLoss:
    """Return what an engine that runs here loses, measured or estimated as ``build --max-drop`` does it.

    Args:
        bound: How it is judged.
        request: What it was built by; its model is an ONNX file.
        engine: The engine.
        progress: Told about long steps.
        say: Told what an estimate is worth, and what else is to be known.

    Raises:
        YoloTrtError: There is nothing to judge on, or an engine failed.
    """
    criterion = criterion_of(bound, say)
    judged_fp32(criterion, request, progress)
    if isinstance(criterion, AgreementCriterion):
        say(criterion.caveat)
    with closing(load_engine(engine)) as loaded:
        judged = criterion.judge(loaded, progress)
    limit = bound.max_drop.value
    worst = judged.worst(limit)
    loss, held = judged.losses[worst], not judged.beyond(limit)
    of = f"{judged.limits[worst] * 100:g}" if worst in judged.limits else str(bound.max_drop)
    verdict = "held" if held else "not held"
    return EngineLoss(loss, held, f"{worst} counts as a loss of {loss * 100:.2f} of {of}: {verdict}")
