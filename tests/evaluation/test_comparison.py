from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.worlds import NAMES, detect, world
from yolotrt.errors import UsageError
from yolotrt.evaluation import precision as precision_module
from yolotrt.evaluation.coco import Evaluator, evaluate, mean_precision
from yolotrt.evaluation.comparison import compare
from yolotrt.evaluation.matching import ImageMatches
from yolotrt.evaluation.overlaps import match_boxes
from yolotrt.evaluation.precision import PrecisionTable


@pytest.fixture(scope="module")
def matches(tmp_path_factory) -> list[ImageMatches]:
    """Matches of six images, without equal scores: their order among repeated images is arbitrary."""
    _, truth = world(tmp_path_factory.mktemp("world"), 12, images=6)
    keys, rng = np.array(list(truth.categories)), np.random.default_rng(0)
    found = {
        i: dataclasses.replace(d, scores=rng.random(len(d)).astype(np.float32))
        for i, d in detect(truth, 4).items()
    }
    ordered = {i: d.take(np.lexsort((-d.scores, keys[d.classes]))) for i, d in found.items()}
    return [match_boxes(d, keys[d.classes], truth.objects[i]) for i, d in ordered.items()]


@pytest.mark.parametrize("area", ["all", "small"])
@pytest.mark.parametrize("seed", range(8))
def test_weights_are_repeated_images(matches, seed, area) -> None:
    """Drawing an image k times is giving it the weight k."""
    weights = np.random.default_rng(seed).integers(0, 1 + seed % 4, 6)
    weighted = PrecisionTable(matches, [3, 7, 9, 20]).per_class(area, weights[None])
    drawn = [m for m, k in zip(matches, weights, strict=True) for _ in range(k)]
    if not drawn:
        assert np.isnan(weighted).all()
        return
    np.testing.assert_allclose(weighted, PrecisionTable(drawn, [3, 7, 9, 20]).per_class(area), atol=1e-12)


def test_many_weightings_in_portions_are_the_same(matches, monkeypatch) -> None:
    weights = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=25)
    table = PrecisionTable(matches, [3, 7])
    at_once = table.per_class(weights=weights)
    monkeypatch.setattr(precision_module, "_AT_ONCE", 1)
    np.testing.assert_array_equal(table.per_class(weights=weights), at_once)


def test_equal_engines_differ_by_nothing(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    one = evaluate(truth, NAMES, detect(truth, 1).items())
    difference = compare(one, one, resamples=50).box
    assert difference.absolute == difference.low == difference.high == 0
    assert difference.within_noise
    assert difference.value == one.accuracy.box.ap


def test_a_much_worse_engine_is_no_noise(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 2, images=30)
    good = evaluate(truth, NAMES, detect(truth, 1, skill=1).items())
    bad = evaluate(truth, NAMES, detect(truth, 1, skill=0.2).items())
    comparison = compare(good, bad, resamples=200)
    for difference in (comparison.box, comparison.mask):
        assert difference is not None
        assert not difference.within_noise
        assert difference.low <= difference.absolute <= difference.high < 0
        assert difference.relative == pytest.approx(difference.value / difference.reference - 1)
    assert compare(good, bad, resamples=200) == comparison
    assert json.loads(json.dumps(dataclasses.asdict(comparison)))["resamples"] == 200


def test_how_likely_a_loss_is_and_how_sizes_differ(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 2, images=30)
    good = evaluate(truth, NAMES, detect(truth, 1, skill=1).items())
    other = evaluate(truth, NAMES, detect(truth, 2, skill=1).items())
    bad = evaluate(truth, NAMES, detect(truth, 1, skill=0.2).items())
    near, far = (compare(good, each, resamples=200) for each in (other, bad))
    assert far.box.chance_of_losing(0.0) == 1
    chances = [near.box.chance_of_losing(loss) for loss in (-1.0, 0.0, 0.01, 1.0)]
    assert chances[0] == 1 > chances[1] >= chances[2] >= chances[3] == 0
    assert compare(good, good, resamples=20).box.chance_of_losing(0.01) == 0
    sizes = {name: getattr(good.accuracy.box, name) for name in ("small", "medium", "large")}
    assert set(far.sizes) == {name for name, ap in sizes.items() if ap is not None}
    for name, difference in far.sizes.items():
        assert difference.reference == sizes[name]
        assert difference.value == getattr(bad.accuracy.box, name)


def test_a_slightly_different_engine_is_noise(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 2, images=30)
    one, other = (evaluate(truth, NAMES, detect(truth, seed).items()) for seed in (1, 2))
    assert compare(one, other, resamples=200).box.within_noise


def test_a_single_image_has_no_interval_and_decides_nothing(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 2, images=1)
    good = evaluate(truth, NAMES, detect(truth, 1, skill=1).items())
    bad = evaluate(truth, NAMES, detect(truth, 1, skill=0.2).items())
    box = compare(good, bad).box
    assert box.absolute < 0
    assert (box.low, box.high, box.within_noise) == (None, None, True)
    assert box.chance_of_losing(0.01) is None


def test_other_images_cannot_be_compared(tmp_path: Path) -> None:
    _, truth = world(tmp_path, 1)
    fewer = dataclasses.replace(truth, images=truth.images[:5])
    one = evaluate(truth, NAMES, detect(truth, 1).items())
    evaluator = Evaluator(fewer, NAMES)
    for image_id, found in detect(fewer, 1).items():
        evaluator.add(image_id, found)
    with pytest.raises(UsageError, match="different images"):
        compare(one, evaluator.result())


def test_mean_leaves_out_what_does_not_count() -> None:
    values = np.array([[[0.5, np.nan], [1.0, 0.0]], [[np.nan, np.nan], [np.nan, np.nan]]])
    np.testing.assert_allclose(mean_precision(values), [0.5, np.nan])
