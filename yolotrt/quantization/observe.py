"""Run images through the network once and learn how every tensor is distributed.

Only what cannot be derived is observed: the outputs of convolutions, additions, poolings and matrix
products. The distribution behind a SiLU, a concatenation or a reshape follows from its inputs'. Large maps
leave the network thinned out by an odd step in both directions (odd, so that all phases of an
upsampling are met); their exact extremes are reduced inside the network.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from yolotrt.arrays import F32, F64
from yolotrt.errors import CalibrationError
from yolotrt.progress import Progress, no_progress
from yolotrt.quantization.graph import RESHAPING, GraphView
from yolotrt.quantization.histogram import NotFinite, StreamingHistogram

Run = Callable[[list[str], dict[str, F32]], list[Any]]

STEP = 3
"""Every third row and column of a large map is looked at."""

LARGE = 64 * 64
"""Maps of at least this many positions are thinned out."""


def silu(x: F64) -> F64:
    """Return x * sigmoid(x), without overflow."""
    return x * sigmoid(x)


def sigmoid(x: F64) -> F64:
    """Return 1 / (1 + exp(-x)), without overflow."""
    result: F64 = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


FUNCTIONS: dict[str, Callable[[F64], F64]] = {
    "Sigmoid": sigmoid,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Tanh": np.tanh,
}
"""Activation functions without parameters, by operator."""


@dataclass(frozen=True)
class Tap:
    """A tensor that is observed.

    Attributes:
        tensor: Its name in the network.
        step: Step of the sampling in height and width; 1 takes everything.
        outputs: Names of the samples, the minimum and the maximum in the augmented network.
    """

    tensor: str
    step: int
    outputs: tuple[str, str, str]


def collect(
    model: onnx.ModelProto,
    batches: Iterable[F32],
    *,
    total: int = 0,
    progress: Progress = no_progress,
    threads: int | None = None,
    look: Callable[[Mapping[str, F32]], None] | None = None,
) -> dict[str, StreamingHistogram]:
    """Return the distribution of every tensor before the decoding tail.

    Histogramming runs in its own thread while the network computes the next batch.

    Args:
        model: The network in FP32.
        batches: (n, 3, h, w) float32 batches, RGB in [0, 1].
        total: Number of images, for progress.
        progress: Called after every batch.
        threads: Threads of the network; None leaves it to ONNX Runtime.
        look: Called with the network's outputs of every batch, in the thread that makes histograms.

    Raises:
        CalibrationError: There was no batch, or a tensor held a NaN or an infinity; it is named.
    """
    view = GraphView(model)
    taps = choose_taps(view)
    run = open_session(augmented(model, taps), threads)
    observed = {tap.tensor: StreamingHistogram() for tap in taps}
    names = [o for tap in taps for o in tap.outputs] + view.outputs
    done = 0

    def absorb(arrays: dict[str, F32]) -> None:
        _absorb(view, taps, observed, arrays)
        if look is not None:
            look(arrays)

    with _Worker(absorb) as worker:
        for batch in batches:
            worker.put(dict(zip(names, run(names, {view.inputs[0]: batch}), strict=True)))
            done += len(batch)
            progress("calibrate", done, total)
    if done == 0:
        raise CalibrationError("There was nothing to calibrate with.", hint="Give at least one image.")
    return derive(view, observed)


def choose_taps(view: GraphView) -> list[Tap]:
    """Return the tensors to observe: the input and what :func:`derive` cannot work out."""
    names = view.inputs[:1] + [n.output[0] for n in view.body if _derivable(view, n) is None]
    names += _from_tail(view)
    ends = {n.output[0] for n in view.head_convolutions}
    taps = []
    for i, name in enumerate(n for n in names if n not in ends or n in view.outputs):
        dims = view.shapes.get(name, [])
        large = len(dims) == 4 and None not in dims[2:] and (dims[2] or 0) * (dims[3] or 0) >= LARGE
        taps.append(Tap(name, STEP if large else 1, (f"tap{i}.samples", f"tap{i}.min", f"tap{i}.max")))
    return taps


def _from_tail(view: GraphView) -> list[str]:
    """Return what the decoding tail makes and the body reads, as where the tail reads the input, too."""
    body = {id(node) for node in view.body}
    read = dict.fromkeys(name for node in view.body for name in node.input)
    return [
        name
        for name in read
        if name in view.producer and id(view.producer[name]) not in body and view.is_float(name)
    ]


def augmented(model: onnx.ModelProto, taps: list[Tap]) -> onnx.ModelProto:
    """Return a copy of the network that also outputs samples and extremes of the tapped tensors."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, helper = result.graph, onnx.helper
    for name, values in (("zero", [0, 0]), ("end", [2**31 - 1] * 2), ("axes", [2, 3]), ("step", [STEP] * 2)):
        graph.initializer.append(helper.make_tensor(f"tap.{name}", onnx.TensorProto.INT64, [2], values))
    slicing = ["tap.zero", "tap.end", "tap.axes", "tap.step"]
    for tap in taps:
        samples, minimum, maximum = tap.outputs
        thin = helper.make_node("Slice", [tap.tensor, *slicing], [samples])
        graph.node.append(thin if tap.step > 1 else helper.make_node("Identity", [tap.tensor], [samples]))
        graph.node.append(helper.make_node("ReduceMin", [tap.tensor], [minimum], keepdims=0))
        graph.node.append(helper.make_node("ReduceMax", [tap.tensor], [maximum], keepdims=0))
        for name in tap.outputs:
            graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return result


def derive(view: GraphView, observed: dict[str, StreamingHistogram]) -> dict[str, StreamingHistogram]:
    """Return the observed distributions and those that follow from them, by tensor name."""
    known = dict(observed)
    for node in view.body:
        rule = _derivable(view, node)
        if rule is None or not all(name in known for name in rule.sources):
            continue
        if rule.function is not None:
            result = known[rule.sources[0]].mapped(rule.function)
        elif len(rule.sources) == 1:
            result = known[rule.sources[0]]
        else:
            result = StreamingHistogram()
            for name, weight in zip(rule.sources, _weights(view, rule.sources, known), strict=True):
                result.merge(known[name], weight)
        known.update(dict.fromkeys(node.output, result))
    return known


@dataclass(frozen=True)
class _Rule:
    """How a distribution follows from others: mapped by a function, passed on, or united."""

    sources: tuple[str, ...]
    function: Callable[[F64], F64] | None = None


def _derivable(view: GraphView, node: onnx.NodeProto) -> _Rule | None:
    if node.op_type in FUNCTIONS:
        return _Rule((node.input[0],), FUNCTIONS[node.op_type])
    if node.op_type in RESHAPING:
        return _Rule((node.input[0],))
    if node.op_type == "Concat":
        return _Rule(tuple(node.input))
    source = view.silu_source(node)
    return None if source is None else _Rule((source,), silu)


def _weights(view: GraphView, names: tuple[str, ...], known: dict[str, StreamingHistogram]) -> list[int]:
    """Return how often each part of a union counts, so that thinned out parts weigh what they are."""
    sizes = [float(np.prod([d or 0 for d in view.shapes.get(name, [])[1:]])) for name in names]
    shares = [size / max(known[name].count, 1) for size, name in zip(sizes, names, strict=True)]
    if min(shares) <= 0:
        return [1] * len(names)
    return [round(share / min(shares)) for share in shares]


def _absorb(
    view: GraphView, taps: list[Tap], observed: dict[str, StreamingHistogram], arrays: dict[str, F32]
) -> None:
    for tap in taps:
        samples, minimum, maximum = (arrays[name] for name in tap.outputs)
        try:
            observed[tap.tensor].widen(float(minimum), float(maximum))
            observed[tap.tensor].add(samples)
        except NotFinite as exc:
            raise _not_finite(view, tap.tensor) from exc
    for name in view.outputs:
        if not np.isfinite(arrays[name]).all():
            raise _not_finite(view, name)


def _not_finite(view: GraphView, tensor: str) -> CalibrationError:
    node = view.producer.get(tensor)
    origin = f"the output of {node.op_type} node {node.name!r}" if node is not None else "an input"
    return CalibrationError(
        f"Tensor {tensor!r} ({origin}) holds NaN or infinity.",
        hint="The weights are damaged or overflow; no range can be found. Check the FP32 model first.",
    )


def open_session(model: onnx.ModelProto, threads: int | None) -> Run:
    """Return the function that runs a model on the CPU: names of outputs and inputs to arrays.

    Threads that wait sleep: histograms are made meanwhile, and on a busy machine spinning cost as much again.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads:
        options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run: Run = session.run
    return run


class _Worker:
    """Applies a function to items in a thread of its own; its error is raised by the next put or the end."""

    def __init__(self, work: Callable[[dict[str, F32]], None]) -> None:
        self._work = work
        self._items: queue.Queue[dict[str, F32] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="calibration-histograms", daemon=True)

    def __enter__(self) -> _Worker:
        self._thread.start()
        return self

    def put(self, item: dict[str, F32]) -> None:
        self._items.put(item)
        if self._error is not None:
            raise self._error

    def __exit__(self, kind: object, *_: object) -> None:
        self._items.put(None)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def _loop(self) -> None:
        while (item := self._items.get()) is not None:
            if self._error is not None:
                continue
            try:
                self._work(item)
            except BaseException as exc:  # handed over to the thread that waits
                self._error = exc
