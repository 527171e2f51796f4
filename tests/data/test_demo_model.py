"""The carried model, run by plain ONNX Runtime: what it is, and that it finds what a scene shows."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from yolotrt.data.scenes.scene import CLASS_NAMES, cut_tile, make_scene
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.letterbox import network_input
from yolotrt.geometry.mask import shared_pixels
from yolotrt.geometry.tiles import tile_grid
from yolotrt.model.onnxfile import metadata, read_spec
from yolotrt.model.spec import ModelSpec
from yolotrt.pipeline.decode import decode

WH = (1664, 1152)
"""Six tiles of 640 px: enough shapes for a verdict, few enough for a fast test."""


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    carried = (files("yolotrt.data") / "assets" / "demo-yolo26-seg.onnx").read_bytes()
    assert len(carried) <= 4_000_000
    return onnx.load_model_from_string(carried)


@pytest.fixture(scope="module")
def spec(model: onnx.ModelProto) -> ModelSpec:
    return read_spec(model, "demo-yolo26-seg")


@pytest.fixture(scope="module")
def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_it_says_what_it_is(model: onnx.ModelProto, spec: ModelSpec) -> None:
    onnx.checker.check_model(model)
    assert spec.names == CLASS_NAMES
    assert spec.input_wh == (640, 640)
    assert spec.batch is None
    assert (spec.head, spec.mask_coeffs, spec.stride) == ("raw", 32, 32)
    properties = metadata(model)
    assert properties["task"] == "segment"
    assert properties["license"] == "AGPL-3.0"
    assert properties["untrained"] == "false"


def test_a_batch_gives_what_its_images_give_alone(session: ort.InferenceSession, spec: ModelSpec) -> None:
    scene = make_scene(11, WH)
    tiles = [cut_tile(scene, origin, (640, 640)).image for origin in tile_grid(WH).origins[:3]]
    together = session.run(None, {spec.input_name: network_input(tiles)})
    for index, tile in enumerate(tiles):
        alone = session.run(None, {spec.input_name: network_input([tile])})
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[index], b[0], rtol=1e-3, atol=2e-3)


def test_it_finds_what_the_tiles_of_a_scene_show(session: ort.InferenceSession, spec: ModelSpec) -> None:
    grid = tile_grid(WH)
    found = shown = 0
    overlaps = []
    for seed in (11, 12, 13):
        scene = make_scene(seed, WH)
        tiles = [cut_tile(scene, origin, (640, 640)) for origin in grid.origins]
        head, prototypes = session.run(
            [spec.head_output, spec.proto_output],
            {spec.input_name: network_input([t.image for t in tiles])},
        )
        results = decode(head, prototypes, spec, [grid.placement] * len(tiles))
        for tile, detections in zip(tiles, results, strict=True):
            assert detections.masks is not None
            for instance in tile.instances:
                if max(instance.box[2:] - instance.box[:2]) < 32:
                    continue
                shown += 1
                same = np.flatnonzero(detections.classes == instance.class_id)
                boxes = box_overlap(instance.box[None], detections.boxes[same])[0]
                if not len(same) or boxes.max() < 0.5:
                    continue
                found += 1
                mask = detections.masks[same[boxes.argmax()]]
                shared = shared_pixels(mask, instance.mask)
                overlaps.append(shared / (mask.area + instance.mask.area - shared))
    assert shown > 50
    assert found / shown >= 0.85
    assert np.mean(overlaps) >= 0.88
