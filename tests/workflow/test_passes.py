"""One look at a frame, merged for each pass, is what each pass finds by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolotrt.artifacts.files import write_bytes
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.data.images import list_images, read_image
from yolotrt.data.scenes.files import write_scenes
from yolotrt.data.scenes.scene import make_scene
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.tiled import PASS_MODES, PassMode, PipelineSettings, TiledPipeline
from yolotrt.report.demo_table import demo_table
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.demo import HELD_OUT_SEED, are_found, demo_model, small_objects
from yolotrt.workflow.evaluate import evaluate_engines, evaluate_modes
from yolotrt.workflow.passes import fastest, measure_both

WH = (960, 640)
"""Two tiles."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EngineFile:
    folder = tmp_path_factory.mktemp("engine")
    model = write_bytes(folder / "demo.onnx", demo_model())
    return build_engine(BuildRequest(model, engines=folder), say=lambda _m: None).file


def _small_recall(engine: EngineFile, mode: PassMode, images: Path) -> float:
    """Return the part of the two scenes' small objects that are found at the confidence in use."""
    hits: list[bool] = []
    with TiledPipeline.open(engine.path, mode=mode) as pipeline:
        for seed, path in enumerate(list_images(images), HELD_OUT_SEED):
            small = small_objects(make_scene(seed, WH))
            hits += are_found(small, pipeline(read_image(path)).detections).tolist()
    return sum(hits) / len(hits)


def test_each_pass_is_as_accurate_as_alone_and_every_row_is_complete(
    engine: EngineFile, tmp_path: Path
) -> None:
    truth = load_ground_truth(write_scenes(tmp_path, 2, HELD_OUT_SEED, WH))
    looks: list[tuple[int, int]] = []
    passes = evaluate_modes(
        [engine],
        truth,
        tmp_path / "images",
        modes=PASS_MODES,
        progress=lambda _name, done, total: looks.append((done, total)),
    )
    assert looks == [(1, 2), (2, 2)], "each image is looked at once"
    assert list(passes) == list(PASS_MODES)
    for mode, (found,) in passes.items():
        (alone,) = evaluate_engines([engine], truth, tmp_path / "images", mode=mode)
        assert found.evaluation.accuracy == alone.evaluation.accuracy
        assert found.small_recall == _small_recall(engine, mode, tmp_path / "images")
        assert len(found.seconds) == 2
        assert min(found.seconds) > 0

    frame = make_scene(HELD_OUT_SEED, WH).image
    settings = SweepSettings(groups=(1, 2), iterations=2, warmup=0)
    loaded = load_engine(engine)
    try:
        result = run_bench([EnginePair(loaded)], [frame], RunRequest(settings, "scene"))
        both = measure_both(loaded, frame, result, settings)
        best = fastest(result, engine.path.name, "tiled")
        assert best is not None
        assert (both.case.case.dispatch, both.case.case.groups) == (best.case.dispatch, best.case.groups)
        assert len(both.case.samples["end_to_end"]) == 2
        for mode, found in both.found.items():
            with TiledPipeline(loaded, PipelineSettings(mode)) as pipeline:
                alone = pipeline(frame).detections
            np.testing.assert_array_equal(found.boxes, alone.boxes)
            np.testing.assert_array_equal(found.scores, alone.scores)
    finally:
        loaded.close()
    whole = replace(result, cases=(*result.cases, both.case))
    table = demo_table(whole, passes)
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns["pass"] == list(PASS_MODES)
    small = [f"{found.small_recall or 0:.1%}"[:-1] for (found,) in passes.values()]
    assert columns["small found, %"] == small
    for name in ("median ms", "box mAP", "mask mAP"):
        assert all(cell[0].isdigit() for cell in columns[name])
