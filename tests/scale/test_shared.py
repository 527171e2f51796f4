"""Images of several cameras in one batch: the same results, no larger batches than time and engine allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.test_tiled import DECODE, on_cpu, on_gpu
from yolotrt.backends.onnxruntime.cpu import OnnxRuntimeEngine
from yolotrt.errors import ExecutionError, UsageError
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.shared import SharedBatches

SETTINGS = PipelineSettings(decode=DECODE)


def together(shared: SharedBatches, works: list[Callable[[], Any]]) -> list[Any]:
    """Do works in threads that all wait before the first may run."""
    found: list[Any] = [None] * len(works)

    def run(place: int) -> None:
        try:
            found[place] = works[place]()
        except Exception as exc:
            found[place] = exc

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    with shared._turn:
        for place, thread in enumerate(threads):
            thread.start()
            while len(shared._waiting) <= place:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return found


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (100, 151, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("mode", ["global", "tiled+global"])
def test_cameras_find_what_they_find_alone(tiny_onnx: Path, mode: Any) -> None:
    settings, pictures = replace(SETTINGS, mode=mode), frames(3)
    with TiledPipeline(on_cpu(tiny_onnx), settings) as alone:
        wanted = [alone(picture).detections for picture in pictures]
    shared = SharedBatches(on_cpu(tiny_onnx))
    pipelines = [TiledPipeline(shared.seat(), settings) for _ in pictures]
    works = [lambda p=p, picture=picture: p(picture) for p, picture in zip(pipelines, pictures, strict=True)]
    for result, right in zip(together(shared, works), wanted, strict=True):
        np.testing.assert_allclose(result.detections.boxes, right.boxes, atol=1e-3)
        np.testing.assert_array_equal(result.detections.classes, right.classes)
        np.testing.assert_allclose(result.detections.scores, right.scores, atol=1e-5)
    if mode == "global":
        assert (shared.images, shared.batches) == (3, 1)
    else:
        assert shared.batches <= 4, "the tiles of all, and the global passes as they come"


def images(engine: OnnxRuntimeEngine, value: float) -> np.ndarray:
    width, height = engine.file.spec.input_wh
    return np.full((1, 3, height, width), value, np.float32)


def asked(shared: SharedBatches, engine: OnnxRuntimeEngine, count: int) -> list[Any]:
    return together(shared, [lambda k=k: shared._call(images(engine, k / 10)) for k in range(count)])


def test_batches_are_those_that_the_engine_takes(tiny_onnx: Path) -> None:
    engine = on_cpu(tiny_onnx)
    engine.file = replace(engine.file, batches=(1, 2))
    shared = SharedBatches(engine)
    found = asked(shared, engine, 5)
    assert (shared.images, shared.batches) == (5, 3)
    context = engine.new_context(1)
    for k, (head, _prototypes) in enumerate(found):
        context.images[:] = images(engine, k / 10)
        np.testing.assert_allclose(head, context.run()[0], atol=1e-4)


def test_a_camera_may_ask_while_a_batch_is_put_together(tiny_onnx: Path) -> None:
    engine = on_cpu(tiny_onnx)
    shared = SharedBatches(engine)
    late = threading.Thread(target=lambda: shared._call(images(engine, 0.5)))

    class Counted(np.ndarray[Any, Any]):
        def __len__(self) -> int:
            if late.ident is None:
                late.start()
                while len(shared._waiting) < 3:
                    time.sleep(0.001)
            return super().__len__()

    first = images(engine, 0.1).view(Counted)
    found = together(shared, [lambda: shared._call(first), lambda: shared._call(images(engine, 0.2))])
    late.join()
    assert not [one for one in found if isinstance(one, Exception)]
    assert shared.images == 3


def test_no_frame_waits_longer_than_it_may(tiny_onnx: Path) -> None:
    """An image takes 10 ms by this clock; those that came together have 25 ms."""
    engine, times = on_cpu(tiny_onnx), [0]
    new = engine.new_context

    def ticking(batch: int, **keywords: Any) -> Any:
        context = new(batch, **keywords)
        run = context.run

        def slow() -> Any:
            times[0] += 10_000_000 * batch
            return run()

        context.run = slow  # type: ignore[method-assign]
        return context

    engine.new_context = ticking  # type: ignore[method-assign]
    shared = SharedBatches(engine, deadline_s=0.025, clock=lambda: times[0])
    asked(shared, engine, 1)
    asked(shared, engine, 4)
    assert (shared.images, shared.batches) == (5, 4), "two at first; the others are late already and go alone"


def test_a_failure_is_that_of_each(tiny_onnx: Path) -> None:
    engine = on_cpu(tiny_onnx)

    def broken(*_: Any, **__: Any) -> Any:
        raise ExecutionError("The engine failed.")

    shared = SharedBatches(engine)
    engine.new_context = broken  # type: ignore[method-assign]
    assert [str(exc) for exc in asked(shared, engine, 2)] == ["The engine failed."] * 2
    with pytest.raises(UsageError, match="on a processor only"):
        SharedBatches(on_gpu(tiny_onnx))
