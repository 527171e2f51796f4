"""One choice of INT8 layers after the other: which, and what each is measured to lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from yolotrt.artifacts.files import exclusive
from yolotrt.backends.base import Engine, EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.backends.names import EMBEDDED
from yolotrt.backends.onnxruntime.fake_quantized import FakeQuantizedEngine
from yolotrt.backends.own import mind_another_network
from yolotrt.backends.sidecar import write_engine
from yolotrt.model.scores import score_convolutions
from yolotrt.progress import Progress, Say
from yolotrt.quantization.graph import WEIGHTED, GraphView
from yolotrt.quantization.qdq import CAREFUL, careful_exclusions, quantize, quantized_convolutions
from yolotrt.quantization.sensitivity import LayerNoise, choose_exclusions, damages, layers_of
from yolotrt.quantization.styles import measured_as
from yolotrt.workflow.accuracy_bound.criterion import DRIFT, Criterion, Judgement
from yolotrt.workflow.accuracy_bound.thresholds import Threshold
from yolotrt.workflow.build import build_engine, build_planned
from yolotrt.workflow.evaluate import MaxDrop
from yolotrt.workflow.plan import BuildPlan, BuildRequest

DRIFTS = 0.002
"""Mean difference of scores from FP32's from which they are moved back."""


@dataclass(frozen=True)
class Attempt:
    """One choice of layers, measured.

    Attributes:
        budget: Share of the convolutions' multiply-adds allowed in high precision; 1 quantises nothing.
        excluded: Convolutions that could be INT8 and are not.
        quantized: Number of convolutions in INT8.
        convolutions: Number of all convolutions.
        work: Share of all convolutions' multiply-adds that is in INT8.
        size: Size of the engine, bytes; None if it was judged by its graph and not built.
        figures: As in :class:`~yolotrt.workflow.accuracy_bound.criterion.Judgement`.
        losses: As there.
        held: Whether every loss is within the bound.
        noise: Whether every loss beyond it may be noise.
        chances: As in the judgement, and so are the limits.
        limits: As there.
        threshold: As there.
        score_shift: What was added to the logits of all classes.
        shift: As in the judgement.
    """

    budget: float
    excluded: tuple[str, ...]
    quantized: int
    convolutions: int
    work: float
    size: int | None
    figures: dict[str, float]
    losses: dict[str, float]
    held: bool
    noise: bool = False
    chances: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    threshold: Threshold | None = None
    score_shift: float = 0.0
    shift: float | None = None

    @property
    def judgement(self) -> Judgement:
        """What it was judged to be."""
        return Judgement(self.figures, self.losses, frozenset(), self.chances, self.limits, self.threshold)


def attempt_of(record: Mapping[str, Any]) -> Attempt:
    """Return an attempt as a sidecar remembers it.

    Raises:
        KeyError, TypeError: It is damaged.
    """
    at = record.get("threshold")
    known = {"excluded": tuple(record["excluded"]), "threshold": None if at is None else Threshold(**at)}
    return Attempt(**{**record, **known})


def exclusions(layers: Sequence[LayerNoise], budget: float) -> list[str]:
    """Return the layers to leave in high precision: those that stand out, then the next best for the rest.

    Args:
        layers: All quantised convolutions.
        budget: Share of all convolutions' multiply-adds that may stay in high precision.
    """
    chosen = choose_exclusions(layers, budget)
    left = [layer for layer in layers if layer.name not in chosen]
    budget -= sum(layer.cost for layer in layers if layer.name in chosen)
    shares = damages(left) if left else ()
    worth = {layer.name: s / max(layer.cost, 1e-6) for layer, s in zip(left, shares, strict=True)}
    for layer in sorted(left, key=lambda layer: -worth[layer.name]):
        if layer.cost <= budget:
            budget -= layer.cost
            chosen.append(layer.name)
    return chosen


def ladder(plan: BuildPlan, least: float = 0.0) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Yield budgets and exclusions: a careful choice, ever larger budgets, everything; no choice twice.

    Args:
        plan: What is to be built.
        least: Share of the multiply-adds that must be INT8, which the first choice keeps if that can be.
    """
    style, ranges = plan.backend.qdq_style, plan.ranges
    assert ranges is not None
    budget = CAREFUL
    layers = layers_of(plan.model, ranges.noise.get(measured_as(style), {}))
    last = tuple(careful_exclusions(plan.model, ranges, style, least))
    yield budget, last
    while (budget := 2 * budget) < 1:
        chosen = tuple(exclusions(layers, budget))
        if set(chosen) != set(last):
            last = chosen
            yield budget, chosen
    everything = tuple(_quantized(plan, ()))
    if set(everything) != set(last):
        yield 1.0, everything


def int8_share(plan: BuildPlan, excluded: Sequence[str]) -> float:
    """Return which part of all convolutions' multiply-adds is INT8 without the excluded ones, in [0, 1]."""
    work = _work(plan)
    return sum(work[name] for name in _quantized(plan, excluded)) / (sum(work.values()) or 1)


def _work(plan: BuildPlan) -> dict[str, int]:
    view = GraphView(plan.model)
    return {n.name: view.multiply_adds(n) for n in view.nodes if n.op_type in WEIGHTED}


def _quantized(plan: BuildPlan, excluded: Sequence[str]) -> list[str]:
    found = quantized_convolutions(GraphView(plan.model), plan.backend.qdq_style, excluded)
    return [node.name for node in found]


def excluding(
    plan: BuildPlan, excluded: tuple[str, ...], output: Path | None = None, *, shift: float = 0.0
) -> BuildPlan:
    """Return the plan with these convolutions in high precision, another place, and scores moved so far."""
    request = replace(plan.request, exclude=excluded, output=output or plan.request.output, score_shift=shift)
    return replace(plan, request=request)


def judged_fp32(criterion: Criterion, request: BuildRequest, progress: Progress) -> Judgement:
    """Judge the FP32 network of a request, which all others are compared with.

    Args:
        criterion: Has judged nothing yet.
        request: What is to be built from it; its model is an ONNX file.
        progress: Told about long steps.
    """
    request = replace(
        request, precision="fp32", backend=EMBEDDED, output=None, force=False, implicit=False, options={}
    )
    file = build_engine(request, progress=progress, say=quiet).file
    with closing(load_engine(file)) as engine:
        return criterion.judge(engine, progress)


@dataclass(frozen=True)
class Trial:
    """Builds and judges one choice of exclusions after the other.

    Attributes:
        plan: The engine to be.
        criterion: How engines are judged.
        bound: Largest accepted loss.
        folder: For engines on trial.
        runs_here: The engine itself is judged; otherwise its Q/DQ graph is.
        progress: Told about long steps.
    """

    plan: BuildPlan
    criterion: Criterion
    bound: MaxDrop
    folder: Path
    runs_here: bool
    progress: Progress

    def reference(self) -> Judgement:
        """Judge the FP32 network, which the others are compared with."""
        request = replace(self.plan.request, model=self.plan.onnx_path)
        return judged_fp32(self.criterion, request, self.progress)

    def attempt(self, budget: float, excluded: tuple[str, ...]) -> Attempt:
        """Quantise all but ``excluded`` and judge the result."""
        plan = excluding(self.plan, excluded)
        size: int | None = None
        engine: Engine
        if self.runs_here:
            file = self._build(excluded, 0.0)
            size = file.path.stat().st_size
            engine = load_engine(file)
        else:
            assert plan.ranges is not None
            graph = quantize(plan.model, plan.ranges, plan.backend.qdq_style, exclude=excluded)
            described = EngineFile(plan.onnx_path, plan.backend.name, "int8", plan.spec, (), "")
            engine = FakeQuantizedEngine(graph, described)
        with closing(engine):
            found = self.criterion.judge(engine, self.progress)
        return self._judged(budget, excluded, 0.0, size, found)

    def _judged(
        self, budget: float, excluded: tuple[str, ...], shift: float, size: int | None, found: Judgement
    ) -> Attempt:
        return Attempt(
            budget=budget,
            excluded=excluded,
            quantized=len(_quantized(self.plan, excluded)),
            convolutions=len(_work(self.plan)),
            work=int8_share(self.plan, excluded),
            size=size,
            figures=dict(found.figures),
            losses=dict(found.losses),
            held=not (beyond := found.beyond(self.bound.value)),
            noise=bool(beyond) and beyond <= found.noise,
            chances=dict(found.chances),
            limits=dict(found.limits),
            threshold=found.threshold,
            score_shift=shift,
            shift=found.shift,
        )

    def aligned(self, chosen: Attempt) -> Attempt:
        """Return the attempt with scores where FP32's are, if they were elsewhere and can be moved.

        One number is added to the logits of all classes, in biases that are not quantised. So the order of
        scores stays, and with it mAP, and no network has to run to see where they go.
        """
        drift, shift = chosen.figures.get(DRIFT, 0.0), chosen.shift
        if shift is None or abs(drift) <= DRIFTS or not score_convolutions(self.plan.model, self.plan.spec):
            return chosen
        found = self.criterion.moved(round(shift, 4))
        moved = self._judged(chosen.budget, chosen.excluded, round(shift, 4), chosen.size, found)
        return moved if moved.held and abs(moved.figures[DRIFT]) < abs(drift) else chosen

    def weighed(self, chosen: Attempt) -> Attempt:
        """Return the attempt with the size of its engine, which is built now if only its graph was judged."""
        return replace(chosen, size=self._built(chosen).path.stat().st_size)

    def publish(self, chosen: Attempt, recorded: Mapping[str, str], say: Say) -> EngineFile:
        """Put the chosen engine in its place, with its bound in the sidecar."""
        built = self._built(chosen)
        final = excluding(self.plan, chosen.excluded, shift=chosen.score_shift).engine()
        data = built.path.read_bytes()
        with exclusive(final.path, say) as waited:
            mind_another_network(final, waited=waited, say=say)
            return write_engine(
                replace(final, sources={**final.sources, **recorded}, layers=built.layers), data
            )

    def _built(self, chosen: Attempt) -> EngineFile:
        return self._build(chosen.excluded, chosen.score_shift)

    def _build(self, excluded: tuple[str, ...], shift: float) -> EngineFile:
        place = self.folder / self.plan.engine().path.name
        plan = excluding(self.plan, excluded, place, shift=shift)
        options = plan.request.options
        if place.exists() and options.get("retune"):  # timed once: other times would choose other INT8 layers
            options = {**options, "retune": False}
        plan = replace(plan, request=replace(plan.request, force=False, options=options))
        return build_planned(plan, progress=self.progress, say=quiet).file


def quiet(_message: str) -> None:
    """Say nothing: engines on trial are no news."""
