from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolotrt.data.images import read_image
from yolotrt.errors import ArtifactError, ExecutionError, UsageError
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.model.spec import Head, ModelSpec
from yolotrt.pipeline.decode import DecodeSettings, decode

WHOLE = Letterbox.fit((64, 64), (64, 64))


def spec(head: Head, classes: int = 3) -> ModelSpec:
    names = tuple(f"c{i}" for i in range(classes))
    return ModelSpec("tiny", names, "images", (64, 64), None, head, "head0", "protos0", 2, 32)


def raw_head(*anchors: tuple[list[float], list[float], list[float]], batch: int = 1) -> np.ndarray:
    """A raw head whose first anchors are given as (xywh, class scores, coefficients); the rest is silent."""
    head = np.zeros((batch, 4 + 3 + 2, 84), np.float32)
    for k, (box, scores, coefficients) in enumerate(anchors):
        head[0, :, k] = [*box, *scores, *coefficients]
    return head


def end2end_head(*rows: list[float]) -> np.ndarray:
    head = np.zeros((1, 10, 8), np.float32)
    head[0, : len(rows)] = rows
    return head


@pytest.fixture
def prototypes() -> np.ndarray:
    """Prototype 0 is positive in the left half, prototype 1 everywhere."""
    protos = np.ones((1, 2, 16, 16), np.float32)
    protos[0, 0, :, 8:] = -1
    return protos


def test_raw_head_best_class_and_suppression(prototypes) -> None:
    head = raw_head(
        ([32, 32, 40, 20], [0.1, 0.8, 0.3], [1, 0]),
        ([33, 32, 40, 20], [0.0, 0.7, 0.0], [1, 0]),  # a duplicate
        ([33, 32, 40, 20], [0.6, 0.0, 0.0], [0, 1]),  # same place, another class
        ([10, 10, 8, 8], [0.0, 0.0, 0.2], [0, 1]),  # too faint
    )
    (found,) = decode(head, prototypes, spec("raw"), [WHOLE])
    np.testing.assert_allclose(found.boxes, [[12, 22, 52, 42], [13, 22, 53, 42]])
    np.testing.assert_allclose(found.scores, [0.8, 0.6])
    assert found.classes.tolist() == [1, 0]
    assert found.masks is not None
    assert [m.area for m in found.masks] == [20 * 20, 40 * 20]
    assert (found.masks[0].x, found.masks[0].y) == (12, 22)


def test_multi_label_gives_one_detection_per_class_and_one_mask(prototypes) -> None:
    head = raw_head(([32, 32, 40, 20], [0.1, 0.8, 0.3], [1, 0]))
    (found,) = decode(head, prototypes, spec("raw"), [WHOLE], DecodeSettings(multi_label=True))
    assert found.classes.tolist() == [1, 2]
    assert found.masks is not None
    assert found.masks[0] is found.masks[1]


def test_at_most_max_det(prototypes) -> None:
    head = raw_head(*[([8 + 8 * k, 32, 6, 6], [0.3 + 0.1 * k, 0, 0], [0, 1]) for k in range(6)])
    (found,) = decode(head, prototypes, spec("raw"), [WHOLE], DecodeSettings(max_det=2))
    np.testing.assert_allclose(found.scores, [0.8, 0.7], rtol=1e-6)


def test_the_best_candidates_enter_suppression_and_no_more(prototypes, monkeypatch) -> None:
    """84 anchors of 400 classes each, every one above the threshold: more than may enter."""
    import yolotrt.pipeline.decode as room

    many = spec("raw", classes=400)
    head = np.zeros((1, 4 + 400 + 2, 84), np.float32)
    head[0, :4] = 32
    head[0, 4:404] = np.random.default_rng(0).permutation(84 * 400).reshape(400, 84) / (84 * 400)
    entered = []

    def spy(boxes, scores, classes, iou, *, limit):
        entered.append(scores)
        return np.array([0])

    monkeypatch.setattr(room, "nms", spy)
    decode(head, prototypes, many, [WHOLE], DecodeSettings(conf=0.01, multi_label=True))
    (scores,) = entered
    assert len(scores) == room.MAX_CANDIDATES == 30_000
    assert scores.min() == np.sort(head[0, 4:404].ravel())[-30_000]
    assert (np.diff(scores) <= 0).all()


def test_end2end_head(prototypes) -> None:
    head = end2end_head(
        [12, 22, 52, 42, 0.9, 2, 1, 0], [0, 0, 90, 8, 0.5, 1, 0, 1], [0, 0, 9, 9, 0.2, 0, 0, 1]
    )
    (found,) = decode(head, prototypes, spec("end2end"), [WHOLE])
    np.testing.assert_allclose(found.boxes, [[12, 22, 52, 42], [0, 0, 64, 8]])  # clipped to the image
    assert found.classes.tolist() == [2, 1]
    assert [m.area for m in found.masks or ()] == [20 * 20, 64 * 8]
    (one,) = decode(head, prototypes, spec("end2end"), [WHOLE], DecodeSettings(max_det=1, masks=False))
    assert len(one) == 1
    assert one.masks is None


def test_a_letterboxed_image_gets_its_own_frame_back(prototypes) -> None:
    placement = Letterbox.fit((128, 64), (64, 64))
    head = raw_head(([16, 32, 32, 32], [0.9, 0, 0], [0, 1]))
    (found,) = decode(head, prototypes, spec("raw"), [placement])
    np.testing.assert_allclose(found.boxes, [[0, 0, 64, 64]])
    assert (found.masks or ())[0].area == 64 * 64


def test_padding_of_a_tile_is_clipped(prototypes) -> None:
    placement = tile_grid((40, 50), (64, 64)).placement
    head = raw_head(([30, 30, 60, 60], [0.9, 0, 0], [0, 1]))
    (found,) = decode(head, prototypes, spec("raw"), [placement])
    np.testing.assert_allclose(found.boxes, [[0, 0, 40, 50]])
    assert (found.masks or ())[0].bits.shape == (50, 40)


def test_a_filled_up_batch_gives_one_result_per_placement(prototypes) -> None:
    head = raw_head(([16, 32, 32, 32], [0.9, 0, 0], [0, 1]), batch=4)
    found = decode(head, np.repeat(prototypes, 4, axis=0), spec("raw"), [WHOLE, WHOLE])
    assert [len(f) for f in found] == [1, 0]
    assert found[1].masks == ()


def test_half_precision_outputs(prototypes) -> None:
    head = raw_head(([32, 32, 40, 20], [0.1, 0.75, 0.3], [1, 0])).astype(np.float16)
    (found,) = decode(head, prototypes.astype(np.float16), spec("raw"), [WHOLE])
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert (found.masks or ())[0].area == 20 * 20


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("row", "output"), [(0, "head0"), (5, "head0"), (7, "head0"), (None, "protos0")])
def test_broken_outputs_are_named(prototypes, bad, row, output) -> None:
    head = raw_head(([32, 32, 40, 20], [0.1, 0.8, 0.3], [1, 1]))
    if row is None:
        prototypes[0, 0, 8, 8] = bad
    else:
        head[0, row, 0] = bad
    with pytest.raises(ExecutionError, match=output):
        decode(head, prototypes, spec("raw"), [WHOLE])


@pytest.mark.parametrize("column", [0, 4, 6])
def test_broken_end2end_outputs_are_named(prototypes, column) -> None:
    head = end2end_head([12, 22, 52, 42, 0.9, 2, 1, 0])
    head[0, 0, column] = np.nan
    with pytest.raises(ExecutionError, match="head0"):
        decode(head, prototypes, spec("end2end"), [WHOLE])


def test_a_faint_nan_is_noticed_too(prototypes) -> None:
    head = raw_head()
    head[0, 4, 77] = np.nan
    with pytest.raises(ExecutionError, match="NaN"):
        decode(head, prototypes, spec("raw"), [WHOLE])


@pytest.mark.parametrize("options", [{"conf": -0.1}, {"iou": 1.5}, {"max_det": 0}, {"conf": float("nan")}])
def test_nonsense_is_refused(options) -> None:
    with pytest.raises(UsageError):
        DecodeSettings(**options)


@pytest.mark.real
@pytest.mark.export
def test_real_detections_match_ultralytics(test_data: Path, tmp_path: Path) -> None:
    """Boxes within 1 px, scores within 1e-3, masks with an IoU of at least 0.99, on 24 images."""
    pytest.importorskip("ultralytics")
    import onnxruntime as ort

    from yolotrt.model.export import export

    exported = export(test_data / "models" / "yolo11n-seg.pt", tmp_path / "m.onnx", head="raw")
    session = ort.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    compared = 0
    for path in sorted((test_data / "coco-mini" / "val" / "images").iterdir())[:24]:
        image = read_image(path)
        placement = Letterbox.fit((image.shape[1], image.shape[0]), exported.spec.input_wh)
        head, protos = session.run(None, {exported.spec.input_name: network_input([placement.apply(image)])})
        (ours,) = decode(head, protos, exported.spec, [placement])
        boxes, scores, classes, masks = _by_ultralytics(head, protos, image.shape[:2])
        assert len(ours) == len(scores)
        assert ours.classes.tolist() == classes.tolist()
        np.testing.assert_allclose(ours.boxes, boxes, atol=1)
        np.testing.assert_allclose(ours.scores, scores, atol=1e-3)
        for mask, reference in zip(ours.masks or (), masks, strict=True):
            height, width = mask.bits.shape
            inside = reference[mask.y : mask.y + height, mask.x : mask.x + width] > 0
            shared = np.count_nonzero(inside & mask.bits)
            assert shared >= 0.99 * (np.count_nonzero(reference) + mask.area - shared)
        compared += len(ours)
    assert compared > 50


def _by_ultralytics(
    head: np.ndarray, protos: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    import torch
    from ultralytics.utils import ops
    from ultralytics.utils.nms import non_max_suppression

    (found,) = non_max_suppression(torch.from_numpy(head), 0.25, 0.7, nc=80, max_det=300)
    boxes = ops.scale_boxes((640, 640), found[:, :4].clone(), shape)
    masks = ops.process_mask_native(torch.from_numpy(protos[0]), found[:, 6:], boxes, shape)
    return boxes.numpy(), found[:, 4].numpy(), found[:, 5].numpy().astype(int), masks.numpy()


def test_no_more_than_30_000_candidates_enter_suppression_the_best_first(prototypes) -> None:
    """As many as Ultralytics' ``max_nms``, so that mAP is counted on the same detections."""
    labels, anchors = 500, 84
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.linspace(0.01, 0.99, labels * anchors, dtype=np.float32))
    head = np.zeros((1, 4 + labels + 2, anchors), np.float32)
    head[0, :2] = rng.uniform(0, 64, (2, anchors))
    head[0, 2:4] = 1
    head[0, 4 : 4 + labels] = scores.reshape(labels, anchors)
    settings = DecodeSettings(conf=0.001, iou=1.0, max_det=50_000, multi_label=True, masks=False)
    (found,) = decode(head, prototypes, spec("raw", labels), [WHOLE], settings)
    assert len(found) == 30_000
    np.testing.assert_array_equal(found.scores, -np.sort(-scores)[:30_000])


@pytest.mark.parametrize("label", [3, -1, 1e12])
def test_a_class_without_a_name_is_no_detection(prototypes, label: float) -> None:
    head = end2end_head([10, 10, 20, 20, 0.9, 1, 0, 1], [30, 30, 40, 40, 0.8, label, 0, 1])
    with pytest.raises(ArtifactError, match="its class list has 3 names"):
        decode(head, prototypes, spec("end2end"), [WHOLE])
