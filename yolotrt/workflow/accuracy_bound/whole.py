"""An engine of one precision as a whole against a bound: there are no layers to put back."""

from __future__ import annotations

from contextlib import closing

from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.workflow.accuracy_bound.criterion import Judgement
from yolotrt.workflow.accuracy_bound.search import BoundRequest, criterion_of
from yolotrt.workflow.accuracy_bound.trial import judged_fp32
from yolotrt.workflow.plan import BuildRequest


def judge_whole(
    bound: BoundRequest,
    request: BuildRequest,
    engine: EngineFile,
    *,
    progress: Progress = no_progress,
    say: Say = print,
) -> Judgement:
    """Return what an engine that runs here loses, measured or estimated as ``build --max-drop`` does it.

    Args:
        bound: How it is judged.
        request: What it was built by; its model is an ONNX file.
        engine: The engine.
        progress: Told about long steps.
        say: Told what else is to be known.

    Raises:
        YoloTrtError: There is nothing to judge on, or an engine failed.
    """
    criterion = criterion_of(bound, say)
    judged_fp32(criterion, request, progress)
    with closing(load_engine(engine)) as loaded:
        return criterion.judge(loaded, progress)
