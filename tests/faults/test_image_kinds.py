"""Every kind of image file through every verb that reads images: it is handled, or the file is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask

from tests.faults.image_corpus import H, Sample, W, corpus, picture
from yolotrt.backends.base import EngineFile
from yolotrt.backends.loading import load_engine
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.data.images import list_images, read_image
from yolotrt.data.measured import read_frames
from yolotrt.data.sources import open_source
from yolotrt.errors import ImageError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.tiled import PipelineSettings, TiledPipeline
from yolotrt.quantization.cache import load_or_calibrate
from yolotrt.workflow.build import BuildRequest, build_engine
from yolotrt.workflow.evaluate import evaluate_engines
from yolotrt.workflow.predict import predict

pytestmark = pytest.mark.filterwarnings("ignore::yolotrt.errors.PictureWarning")

SAMPLES = corpus()
READABLE = [s for s in SAMPLES if s.wh]
REFUSED = [s for s in SAMPLES if not s.wh]


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineFile:
    folder = tmp_path_factory.mktemp("engine")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder)
    return build_engine(request, say=lambda _message: None).file


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.param
    return found


@pytest.fixture
def path(sample: Sample, tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / sample.name
    path.write_bytes(sample.data)
    return path


def bench(engine: EngineFile, path: Path) -> None:
    frames = read_frames(str(path))
    loaded = load_engine(engine)
    settings = SweepSettings(("global",), ("serial",), (1,), 0.2, threads=1, iterations=1, warmup=0)
    result = run_bench([EnginePair(loaded)], frames, RunRequest(settings, str(path)))
    loaded.close()
    assert result.settings.frame_px == "{1}x{0}".format(*frames[0].shape)


def calibrate(engine: EngineFile, path: Path) -> None:
    load_or_calibrate(engine.path, engine.spec, [path], path.parent / "c.json", threads=1)


def evaluate(engine: EngineFile, path: Path, wh: tuple[int, int]) -> None:
    width, height = wh
    everything = mask.encode(np.ones((height, width), np.uint8, order="F"))
    annotations = path.parent / "instances.json"
    annotations.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": path.name, "width": width, "height": height}],
                "annotations": [
                    {
                        "id": 1,
                        "image_id": 1,
                        "category_id": 1,
                        "bbox": [0, 0, width, height],
                        "area": width * height,
                        "iscrowd": 0,
                        "segmentation": {"size": [height, width], "counts": everything["counts"].decode()},
                    }
                ],
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    )
    (found,) = evaluate_engines([engine], load_ground_truth(annotations), path.parent)
    assert found.evaluation.accuracy.images == 1


def find(engine: EngineFile, path: Path) -> tuple[int, int]:
    settings = PipelineSettings("tiled+global", cpu_threads=1, decode=DecodeSettings(conf=0.001, max_det=5))
    loaded = load_engine(engine)
    with TiledPipeline(loaded, settings) as pipeline:
        (found,) = predict(
            pipeline,
            open_source(str(path)),
            lambda frame, _detections: frame,
            save=path.parent.parent / "drawn",
        )
    loaded.close()
    return found.frame_wh


def test_what_can_be_read_goes_through_every_verb(sample: Sample, path: Path, engine: EngineFile) -> None:
    if sample.wh is None:
        for verb in (bench, calibrate, lambda e, p: evaluate(e, p, (W, H)), find):
            with pytest.raises(ImageError, match=sample.name) as caught:
                verb(engine, path)
            assert sample.reason in caught.value.message
            assert caught.value.hint
        return
    assert find(engine, path) == sample.wh
    bench(engine, path)
    evaluate(engine, path, sample.wh)  # calibrate takes all of them at once, below


def test_the_pixels_are_right_whatever_holds_them(tmp_path: Path) -> None:
    turned = {"rotated.jpg": np.rot90(picture(), 3), "mirrored.jpg": picture()[:, ::-1]}
    for sample in READABLE:
        if sample.wh not in ((W, H), (H, W)):
            continue
        expected = turned.get(sample.name, picture())
        if "gray" in sample.name:
            channel = 2 if sample.name.startswith("white") else 0
            expected = np.dstack([expected[..., channel]] * 3)
        (tmp_path / sample.name).write_bytes(sample.data)
        difference = read_image(tmp_path / sample.name).astype(int) - expected
        assert np.abs(difference).mean() < (12 if sample.name.endswith(("jpg", "gif")) else 1), sample.name


def test_a_folder_of_all_of_them_calibrates_and_predicts_on_what_can_be_read(
    tmp_path: Path, engine: EngineFile
) -> None:
    for sample in SAMPLES:
        (tmp_path / sample.name).write_bytes(sample.data)
    _, status = load_or_calibrate(
        engine.path, engine.spec, list_images(tmp_path), tmp_path / "c.json", threads=1
    )
    assert status.images == len(READABLE)
    assert len(status.skipped) == len(REFUSED)
    said: list[str] = []
    with TiledPipeline(load_engine(engine), PipelineSettings("global", cpu_threads=1)) as pipeline:
        source = open_source(str(tmp_path))
        found = list(predict(pipeline, source, lambda frame, _detections: frame, say=said.append))
    assert sorted(f.name for f in found) == sorted(s.name for s in READABLE)
    for sample in REFUSED:
        assert sum(sample.name in line for line in said) == 1
