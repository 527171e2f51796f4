from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.data.scenes.draws import TURN, Draws, ramp
from yolotrt.data.scenes.instances import MIN_VISIBLE_PART, MIN_VISIBLE_PX
from yolotrt.data.scenes.scene import SIZES, Scene, cut_tile, make_scene, moving_scene
from yolotrt.data.scenes.shapes import _RADIUS, CLASS_NAMES, SUBPIXEL, _placed, _rasterise, outline
from yolotrt.geometry.letterbox import PADDING, Letterbox

SMALL_WH = (960, 540)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Three scenes of full size."""
    return [make_scene(seed) for seed in (3, 10, 16)]


def fingerprint(scene: Scene) -> str:
    digest = hashlib.sha256(scene.image.tobytes())
    for instance in scene.instances:
        digest.update(f"{instance.class_id} {instance.box.tolist()} {instance.whole_px}".encode())
        digest.update(np.packbits(instance.mask.bits).tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize(
    ("seed", "ms", "expected"),
    [
        (0, 0, "e4b6b93fe2ee3164"),
        (1, 0, "83bae24aa1759fec"),
        (2, 0, "84fc5ef021ab910f"),
        (3, 0, "4b42c952bd093bd4"),
        (4, 0, "b1c423d4082bcf91"),
        (5, 0, "5aa696b662165247"),
        (6, 0, "84e78e4cb4a7d27c"),
        (7, 1234, "fb7fe8ed871461e4"),
    ],
)
def test_a_seed_gives_the_same_scene_on_every_machine(seed: int, ms: int, expected: str) -> None:
    assert fingerprint(moving_scene(seed, SMALL_WH).at(ms)) == expected


def test_a_full_scene_is_the_same_on_every_machine(scenes: list[Scene]) -> None:
    assert fingerprint(scenes[0]) == "a1a716b5f9bac26f"


def test_instances_are_what_their_masks_show(scenes: list[Scene]) -> None:
    for scene in scenes:
        height, width = scene.image.shape[:2]
        shown = np.zeros((height, width), np.uint8)
        for instance in scene.instances:
            mask, bits = instance.mask, instance.mask.bits
            assert bits[0].any()
            assert bits[-1].any()
            assert bits[:, 0].any()
            assert bits[:, -1].any()
            assert instance.box.tolist() == [
                mask.x,
                mask.y,
                mask.x + bits.shape[1],
                mask.y + bits.shape[0],
            ]
            assert instance.box.min() >= 0
            assert instance.box[2] <= width
            assert instance.box[3] <= height
            assert mask.area >= max(MIN_VISIBLE_PX, MIN_VISIBLE_PART * instance.whole_px)
            assert mask.area <= instance.whole_px
            shown[mask.y : mask.y + bits.shape[0], mask.x : mask.x + bits.shape[1]] += bits
        assert shown.max() == 1, "a pixel belongs to at most one shape"


def test_scenes_show_every_class_in_sizes_that_need_tiles(scenes: list[Scene]) -> None:
    found = [instance for scene in scenes for instance in scene.instances]
    assert {instance.class_id for instance in found} == set(range(len(CLASS_NAMES)))
    sides = np.array([max(i.box[2:] - i.box[:2]) for i in found])
    assert sides.min() < 24
    assert 500 < sides.max() <= SIZES[1] + 2
    scale = Letterbox.fit((3840, 2160), (640, 640)).scale
    assert (sides * scale < 8).mean() > 0.25, "many are not resolved in the whole frame"
    assert all(len(scene.instances) > 40 for scene in scenes)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 10**9), st.integers(64, 300), st.integers(64, 300))
def test_any_seed_and_size_gives_a_scene(seed: int, width: int, height: int) -> None:
    scene = make_scene(seed, (width, height))
    assert scene.image.shape == (height, width, 3)
    assert scene.image.dtype == np.uint8
    assert scene.image.std() > 0


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, len(CLASS_NAMES) - 1), st.integers(0, TURN - 1))
def test_shapes_fit_their_circle_however_they_are_turned(seed: int, class_id: int, angle: int) -> None:
    shape = outline(class_id, Draws(seed))
    assert np.hypot(*shape.body.T).max() <= _RADIUS + 1
    turned = _placed(shape.body, 900, angle)
    assert np.abs(turned).max() <= 451 * SUBPIXEL


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.integers(-300, 4500), st.integers(-300, 4500)), min_size=3, max_size=9))
def test_rasterising_is_the_even_odd_rule_at_pixel_centres(corners: list[tuple[int, int]]) -> None:
    side = 16
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    expected = np.zeros((side, side), bool)
    for row, column in np.ndindex(side, side):
        x, y = column * SUBPIXEL + SUBPIXEL // 2, row * SUBPIXEL + SUBPIXEL // 2
        for (x0, y0), (x1, y1) in edges:
            if (y0 <= y) != (y1 <= y):
                crossing = (x0 + (y - y0) * (x1 - x0) // (y1 - y0)) if y1 > y0 else 0
                if y1 < y0:
                    crossing = x1 + (y - y1) * (x0 - x1) // (y0 - y1)
                expected[row, column] ^= crossing <= x
    assert (_rasterise(np.array(corners, np.int64), side) == expected).all()


def test_a_large_disc_has_the_area_of_a_circle() -> None:
    polygon = _placed(outline(0, Draws(0)).body, 800, 0) + 410 * SUBPIXEL
    assert _rasterise(polygon, 820).sum() == pytest.approx(np.pi * 400**2, rel=0.002)


def test_ramps_run_through_their_stops() -> None:
    colours = ramp([(0, 0, 0), (100, 50, 200), (255, 255, 255)])
    assert colours.shape == (256, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[255].tolist() == [255, 255, 255]
    assert np.abs(colours[127].astype(int) - [100, 50, 200]).max() <= 1


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**40), st.integers(-50, 50), st.integers(0, 100))
def test_draws_stay_in_their_range(seed: int, low: int, span: int) -> None:
    draws = Draws(seed, 5)
    values = [draws.between(low, low + span) for _ in range(50)]
    assert min(values) >= low
    assert max(values) <= low + span
    assert Draws(seed, 5).between(low, low + span) == values[0]


def test_a_tile_shows_its_part_of_the_scene(scenes: list[Scene]) -> None:
    scene, (x, y) = scenes[1], (512, 1024)
    tile = cut_tile(scene, (x, y), (640, 640))
    assert (tile.image == scene.image[y : y + 640, x : x + 640]).all()
    assert tile.instances
    whole = {(i.class_id, i.whole_px): i for i in scene.instances}
    for instance in tile.instances:
        before = whole[instance.class_id, instance.whole_px].mask
        after = instance.mask
        top, left = after.y + y - before.y, after.x + x - before.x
        height, width = after.bits.shape
        assert (before.bits[top : top + height, left : left + width] == after.bits).all()
        assert instance.box.min() >= 0
        assert instance.box.max() <= 640
        assert after.area >= MIN_VISIBLE_PART * instance.whole_px


def test_a_tile_beyond_the_scene_is_grey() -> None:
    scene = make_scene(0, (300, 200))
    tile = cut_tile(scene, (0, 0), (640, 640))
    assert (tile.image[:200, :300] == scene.image).all()
    assert (tile.image[200:] == PADDING).all()
    assert (tile.image[:, 300:] == PADDING).all()
    assert len(tile.instances) == len(scene.instances)


def test_moving_scenes_begin_with_the_scene_and_then_move() -> None:
    moving = moving_scene(5, SMALL_WH)
    assert fingerprint(moving.at(0)) == fingerprint(make_scene(5, SMALL_WH))
    first, later = moving.at(40), moving.at(2000)
    assert fingerprint(first) != fingerprint(later)
    assert fingerprint(moving.at(40)) == fingerprint(first), "the order of asking does not matter"
    assert later.instances
    middle = [tuple((i.box[:2] + i.box[2:]) / 2) for i in later.instances]
    assert all(0 <= x <= SMALL_WH[0] and 0 <= y <= SMALL_WH[1] for x, y in middle)
