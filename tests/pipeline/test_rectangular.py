"""Networks that are wider than high: tiles, letterbox, calibration and drawing follow their shape."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.tiny_yolo import write_tiny_yolo
from yolotrt import TiledPipeline
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.workflow.build import BuildRequest, build_engine

HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    write_tiny_yolo(folder / "wide.onnx", HEIGHT, width=WIDTH)
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for k in range(10):
        small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "pictures" / f"{k}.png"), cv2.resize(small, (256, 144)))
    return folder


def _built(folder: Path, precision: str) -> Path:
    request = BuildRequest(
        folder / "wide.onnx",
        precision,  # type: ignore[arg-type]
        "onnxruntime",
        images=folder / "pictures",
        tile_overlap=0.2,
        engines=folder,
        calib_data=folder,
    )
    return build_engine(request, say=lambda _: None).file.path


def test_tiles_and_letterbox_have_the_shape_of_the_network(folder: Path) -> None:
    frame = cv2.imread(str(folder / "pictures" / "0.png"))
    assert frame is not None
    settings = PipelineSettings("tiled+global", decode=DecodeSettings(conf=0.3))
    grid = settings.grid((256, 144), (WIDTH, HEIGHT))
    assert (len(grid.origins), grid.tile_wh) == (9, (WIDTH, HEIGHT))
    with TiledPipeline.open(_built(folder, "fp32"), **vars(settings)) as pipeline:
        assert pipeline.input_wh == (WIDTH, HEIGHT)
        result = pipeline(frame)
    assert len(result.tiles) == 9
    for tile, (x, y) in zip(result.tiles, grid.origins, strict=True):
        assert (tile.boxes >= [x, y, x, y]).all()
        assert (tile.boxes <= [x + WIDTH, y + HEIGHT, x + WIDTH, y + HEIGHT]).all()
    assert result.global_pass is not None
    assert result.masks_array().shape[1:] == (144, 256)


def test_int8_is_calibrated_on_that_shape(folder: Path, cli: Cli) -> None:
    engine = _built(folder, "int8")
    done = cli("predict", engine, folder / "pictures" / "1.png", "--save", "drawn", "--show-tiles")
    assert done.code == 0, done.err
    assert cli("bench", engine, "--imgsz", "640", "--source", folder / "pictures").code == 2
    done = cli("bench", engine, "--imgsz", "64x128", "--source", folder / "pictures", "-n", 1, "--warmup", 0,
               "--groups", 1, "--dispatch", "serial")  # fmt: skip
    assert done.code == 0, done.err
