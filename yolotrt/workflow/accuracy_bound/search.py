"""INT8 within an accuracy bound: quantise less until the measured loss is within a bound.

Layers go back to high precision in the order of damage prevented per multiply-add, so the exclusion that
is found costs little time. The budget for it doubles from attempt to attempt. An engine of which less than
was asked for is INT8 is no success: the bound is not kept, and no network in high precision is called INT8.

The measured loss itself must be within the bound. That is stricter than the gate of ``eval``, which lets
pass what may be noise (:mod:`yolotrt.bench.verdict`): a search has other attempts to go to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import exclusive, scratch_folder
from yolotrt.backends.base import EngineFile
from yolotrt.backends.sidecar import finish_interrupted, read_sidecar
from yolotrt.data.formats.reader import images_of, require_images
from yolotrt.errors import CalibrationError, GateFailed, ModelError, UsageError, YoloTrtError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.settings import PassMode
from yolotrt.progress import Progress, Say, no_progress
from yolotrt.workflow.accuracy_bound.criterion import AnnotatedCriterion, Criterion
from yolotrt.workflow.accuracy_bound.likeness import LEAST_BOUND, AgreementCriterion
from yolotrt.workflow.accuracy_bound.thresholds import as_source, threshold_text
from yolotrt.workflow.accuracy_bound.trial import Attempt, Trial, attempt_of, excluding, int8_share, ladder
from yolotrt.workflow.build import plan_build
from yolotrt.workflow.evaluate import MaxDrop
from yolotrt.workflow.plan import BuildPlan, BuildRequest, up_to_date

RECIPE = 5
"""Version of the search; part of what makes such an engine up to date."""

LEAST_INT8 = 0.5

Step = tuple[float, tuple[str, ...]]


@dataclass(frozen=True)
class BoundRequest:
    """An INT8 engine and what it may lose.

    Attributes:
        build: The engine; its precision is INT8, and its exclusions are found here.
        max_drop: Largest accepted loss.
        annotations: COCO instances JSON or a ``data.yaml``; None judges by agreement with FP32.
        eval_images: Images to judge on; None takes the calibration images.
        threads: CPU threads of an engine while it is judged.
        mode: Which passes look at an image while it is judged: those that the engine is meant for.
        least_int8: Least part of the convolutions' multiply-adds that must be INT8, in (0, 1].
        max_drop_small: Largest accepted loss of the box mAP of small objects; needs annotations.

    Raises:
        UsageError: The options exclude each other.
    """

    build: BuildRequest
    max_drop: MaxDrop
    annotations: Path | None = None
    eval_images: Path | None = None
    threads: int = 1
    mode: PassMode = "global"
    least_int8: float = LEAST_INT8
    max_drop_small: MaxDrop | None = None

    def __post_init__(self) -> None:
        if self.build.precision != "int8":
            raise UsageError(
                f"--max-drop bounds what INT8 may lose, and this builds {self.build.precision.upper()}.",
                hint="Use --int8, or --precision auto, which judges FP16, too; yolotrt eval measures any.",
            )
        if self.build.implicit:
            raise UsageError(
                "--max-drop chooses layers, and --implicit leaves the choice to TensorRT.",
                hint="Drop one of them.",
            )
        if not 0 < self.least_int8 <= 1:
            raise UsageError(
                f"--least-int8 {self.least_int8:.0%} makes no sense.", hint="Like this: --least-int8 50%"
            )
        if self.max_drop_small is not None and self.annotations is None:
            raise UsageError(
                "--max-drop-small is measured on annotated images.",
                hint="Add --annotations FILE and --eval-images DIR.",
            )
        if self.annotations is None and self.max_drop.value < LEAST_BOUND:
            raise UsageError(
                f"--max-drop {self.max_drop} cannot be judged without annotations: so little is lost in what "
                "rounding does to any engine.",
                hint=f"Choose {LEAST_BOUND:.1%} or more, or measure it: --annotations FILE --eval-images DIR",
            )
        if self.annotations is not None:
            require_images(self.annotations, self.eval_images, option="--eval-images")


@dataclass(frozen=True)
class BoundOutcome:
    """An INT8 engine that keeps a bound, and what was tried to get there.

    Attributes:
        file: The engine.
        cached: It was up to date, so nothing was measured.
        criterion: What was judged by.
        mode: Which passes looked at an image.
        bound: The largest accepted loss.
        reference: Figures of the FP32 network; by their names as in the attempts.
        attempts: In the order they were made; the last one is the engine.
    """

    file: EngineFile
    cached: bool
    criterion: str
    mode: PassMode
    bound: str
    reference: dict[str, float]
    attempts: tuple[Attempt, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what was tried as JSON values."""
        names = ("criterion", "mode", "bound", "reference")
        return {n: getattr(self, n) for n in names} | {"attempts": [asdict(a) for a in self.attempts]}


Try = Callable[[float, tuple[str, ...]], Attempt]


def build_within_bound(
    request: BoundRequest, *, progress: Progress = no_progress, say: Say = print
) -> BoundOutcome:
    """Build an INT8 engine that loses no more than the bound allows.

    Attempts are built beside; the engine's own place only ever holds one that keeps the bound.

    Args:
        request: What to build and what it may lose.
        progress: Told about long steps.
        say: Told one line about each decision and step.

    Raises:
        GateFailed: The bound does not hold with as much in INT8 as was asked for.
        YoloTrtError: A step failed.
    """
    plan = plan_build(request.build, progress, say, bounded=True)
    if plan.as_held:
        raise ModelError(
            f"{plan.onnx_path} is already quantised, so there is no FP32 to hold it against and nothing to "
            "quantise less.",
            hint="Leave out --max-drop, or build from the FP32 network that it was made from.",
        )
    criterion = criterion_of(request, say)
    runs_here = plan.backend.availability().usable
    terms = _terms(request, criterion, runs_here)
    engine = plan.engine().path
    with exclusive(engine, say):
        finish_interrupted(engine)
    if not request.build.force and (kept := _kept(plan, terms, request.mode)):
        say(f"engine: {kept.file.path} is up to date and keeps --max-drop {kept.bound}")
        return kept
    if not runs_here:
        say(
            f"judging: {plan.backend.name} cannot run here, so its Q/DQ graph is judged by fake "
            "quantisation in ONNX Runtime; what is not INT8 counts as FP32."
        )
    with scratch_folder(engine) as folder:
        trial = Trial(plan, criterion, request.max_drop, folder, runs_here, progress)
        reference = trial.reference()
        if isinstance(criterion, AgreementCriterion):
            say(criterion.caveat)
        steps = [
            step
            for step in ladder(plan, request.least_int8)
            if int8_share(plan, step[1]) >= request.least_int8
        ]
        if not steps:
            raise GateFailed(
                f"Only {int8_share(plan, ()):.1%} of the multiply-adds of "
                f"{plan.onnx_path.name} can be INT8, less than the {request.least_int8:.0%} asked for.",
                hint="Build it with --fp16 or --fp32, or accept less with --least-int8.",
            )
        *others, last = climb(steps, trial.attempt, request.max_drop, say, request.least_int8)
        attempts = (*others, trial.weighed(trial.aligned(last)))
        found = (dict(reference.figures), attempts)
        judged = (criterion.name, request.mode, str(request.max_drop))
        outcome = BoundOutcome(plan.engine(), False, *judged, *found)
        file = trial.publish(attempts[-1], {**terms, **_record(outcome)}, say)
    if attempts[-1].threshold is not None:
        say(threshold_text(attempts[-1].threshold))
    say(f"engine: {file.path} ({file.path.stat().st_size / 1e6:.1f} MB)")
    return replace(outcome, file=file)


def climb(
    steps: Sequence[Step], attempt: Try, bound: MaxDrop, say: Say, least: float = LEAST_INT8
) -> tuple[Attempt, ...]:
    """Attempt one choice of exclusions after the other until one keeps the bound.

    Args:
        steps: At least one budget and what it excludes.
        attempt: Builds and judges one.
        bound: What may be lost.
        say: Told the outcome of each attempt.
        least: Part of the multiply-adds that is INT8 in each of them at least.

    Raises:
        GateFailed: None does.
    """
    attempts: list[Attempt] = []
    for budget, excluded in steps:
        attempts.append(attempt(budget, excluded))
        last = attempts[-1]
        worst = last.judgement.worst(bound.value)
        chance = f" (larger with a probability of {last.chances[worst]:.0%})" if worst in last.chances else ""
        of = f"{last.limits[worst] * 100:g}" if worst in last.limits else str(bound)
        say(
            f"attempt: {last.quantized} of {last.convolutions} convolutions in INT8 ({last.work:.1%} of the "
            f"work): {worst} counts as a loss of {last.losses[worst] * 100:.2f} of {of}{chance}: "
            f"{'held' if last.held else 'not held'}"
        )
        if last.held:
            return tuple(attempts)
    losses = [(a.work, a.judgement.worst_loss(bound.value)) for a in attempts]
    tried = "; ".join(f"{work:.1%} in INT8 loses {loss * 100:.2f}" for work, loss in losses)
    doubt = " These losses may be noise: so few images cannot tell." if attempts[0].noise else ""
    raise GateFailed(
        f"--max-drop {bound} is not kept with {least:.0%} or more of the multiply-adds in INT8 ({tried}): "
        f"no engine was made.{doubt}",
        hint="Judge on more images. "
        * attempts[0].noise
        + "Calibrate on more pictures like those of your camera, accept a larger loss or less INT8 "
        "(--max-drop, --least-int8), or build with --fp16 or --fp32.",
    )


def criterion_of(request: BoundRequest, say: Say) -> Criterion:
    """Return how engines are judged; a YoloTrtError says that there is nothing to judge on."""
    looks, folder = (request.threads, request.mode), request.eval_images
    if request.annotations is not None:
        truth = load_ground_truth(request.annotations, folder)
        for note in truth.notes:
            say(f"warning: {note}")
        return AnnotatedCriterion(truth, folder, request.max_drop, *looks, request.max_drop_small)
    if folder is not None:
        return AgreementCriterion(images_of(folder, "val"), *looks)
    if request.build.images is None:
        raise CalibrationError(
            "--max-drop needs images to judge on, and none were named.",
            hint="Add --images DIR again, or --eval-images DIR (with --annotations FILE to measure mAP).",
        )
    return AgreementCriterion(images_of(request.build.images)[: request.build.limit], *looks)


def _terms(request: BoundRequest, criterion: Criterion, runs_here: bool) -> dict[str, str]:
    """Return the bound and how it is judged, as the sidecar records it."""
    return {
        "bound_max_drop": str(request.max_drop),
        "bound_criterion": criterion.name,
        "bound_mode": request.mode,
        "bound_judged_on": criterion.key(),
        "bound_judged_by": "engine" if runs_here else "Q/DQ graph",
        "bound_least_int8": f"{request.least_int8 * 100:g}%",
        "bound_max_drop_small": "" if request.max_drop_small is None else str(request.max_drop_small),
        "bound_recipe": str(RECIPE),
    }


def _record(outcome: BoundOutcome) -> dict[str, str]:
    """Return what was found, as the sidecar records it."""
    found = outcome.as_json()
    last = outcome.attempts[-1]
    return {
        "bound_budget": f"{last.budget:g}",
        **({} if last.threshold is None else as_source(last.threshold)),
        "bound_outcome": json.dumps({name: found[name] for name in ("reference", "attempts")}),
    }


def _kept(plan: BuildPlan, terms: dict[str, str], mode: PassMode) -> BoundOutcome | None:
    """Return the engine on disk if it was built from the same for the same bound."""
    try:
        known = read_sidecar(plan.engine().path)
        if not terms.items() <= known.sources.items():
            return None
        found = json.loads(known.sources["bound_outcome"])
        attempts = tuple(attempt_of(entry) for entry in found["attempts"])
        reference = dict(found["reference"])
    except (YoloTrtError, KeyError, TypeError, ValueError):
        return None
    if not attempts:
        return None
    again = excluding(plan, attempts[-1].excluded, shift=attempts[-1].score_shift).engine()
    recorded = {k: v for k, v in known.sources.items() if k.startswith("bound_")}
    ready = up_to_date(replace(again, sources={**again.sources, **recorded}))
    if ready is None:
        return None
    judged = (terms["bound_criterion"], mode, terms["bound_max_drop"])
    return BoundOutcome(ready, True, *judged, reference, attempts)
