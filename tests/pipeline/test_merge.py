from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.crowds import FRAME_WH, GRID, crowd, ending_short, filled, seen_by_tiles, without_masks
from tests.pipeline.plain_merge import plain_merge
from yolotrt.errors import UsageError
from yolotrt.geometry import seams
from yolotrt.geometry.boxes import box_overlap
from yolotrt.geometry.detections import Detections, Mask
from yolotrt.geometry.packed import PackedMasks
from yolotrt.geometry.seams import GLOBAL_PASS, Views, continued, covered
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.merge import MergeSettings, merge_frame
from yolotrt.pipeline.merge_methods import MERGE_METHODS


@st.composite
def separate_objects(draw) -> tuple[np.ndarray, np.ndarray]:
    """Objects of any size, one per cell of a coarse lattice, so that none overlaps another."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    columns, rows = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    xs = np.linspace(0, FRAME_WH[0], columns + 1).astype(int)
    ys = np.linspace(0, FRAME_WH[1], rows + 1).astype(int)
    boxes = []
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            if rng.random() < 0.7:
                left, top = rng.integers(x0, x1 - 60), rng.integers(y0, y1 - 60)
                boxes.append([left, top, rng.integers(left + 40, x1), rng.integers(top + 40, y1)])
    objects = np.array(boxes, np.float32).reshape(-1, 4)
    return objects, rng.integers(0, 2, len(objects))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(separate_objects(), st.booleans())
def test_every_object_comes_back_as_one(case, masks) -> None:
    objects, classes = case
    merged = merge_frame(seen_by_tiles(objects, classes, masks=masks), GRID)
    assert len(merged) == len(objects)
    best = box_overlap(objects, merged.boxes) if len(objects) else np.ones((0, 0))
    assert (best.max(axis=1, initial=1 if not len(objects) else 0) > 0.9).all()
    if masks and len(objects):
        areas = [(merged.masks or ())[j].area for j in best.argmax(axis=1)]
        truth = (objects[:, 2] - objects[:, 0]) * (objects[:, 3] - objects[:, 1])
        np.testing.assert_allclose(areas, truth, rtol=0.1)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(separate_objects(), st.sampled_from(MERGE_METHODS), st.integers(0, 99))
def test_the_order_inside_the_tiles_does_not_matter(case, method, seed) -> None:
    objects, classes = case
    rng = np.random.default_rng(seed)
    tiles = [replace(t, boxes=ending_short(t.boxes, rng)) for t in seen_by_tiles(objects, classes)]
    shuffled = [t.take(rng.permutation(len(t))) for t in tiles]
    chosen = MergeSettings(method=method)
    a, b = merge_frame(tiles, GRID, None, chosen), merge_frame(shuffled, GRID, None, chosen)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.scores, b.scores)
    assert [m.area for m in a.masks or ()] == [m.area for m in b.masks or ()]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_each_fragment_is_kept_or_absorbed_exactly_once(seed, n) -> None:
    """On crowds of overlapping objects too, where nobody can say what the right answer is."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, [FRAME_WH[0] - 40, FRAME_WH[1] - 40], (n, 2))
    objects = np.concatenate([corner, np.minimum(corner + rng.integers(20, 500, (n, 2)), FRAME_WH)], axis=1)
    tiles = seen_by_tiles(objects.astype(np.float32), rng.integers(0, 2, n))
    tiles = [replace(t, boxes=ending_short(t.boxes, rng)) for t in tiles]
    tile = np.repeat(np.arange(len(tiles)), [len(t) for t in tiles])
    views = Views.of(Detections.concatenate(tiles), tile, GRID, 4)
    for owner in (covered(views, 0.5), continued(views, 0.5)):
        assert (owner[owner] == owner).all()
        assert (views.found.classes[owner] == views.found.classes).all()
    joined = continued(views, 0.5)
    for leader in np.unique(joined):
        members = np.flatnonzero(joined == leader)
        assert len(set(tile[members])) == len(members)
        assert views.found.scores[leader] == views.found.scores[members].max()


@st.composite
def crowds(draw) -> tuple[list[Detections], Detections | None]:
    seed, n = draw(st.integers(0, 10**6)), draw(st.integers(0, 40))
    return crowd(seed, n, global_pass=draw(st.booleans()))


def packed(parts: list[Detections]) -> list[Detections]:
    """The same detections with all their masks in one array, as a GPU gives them."""
    masks = PackedMasks.of(m for p in parts for m in p.masks or ())
    begins = np.cumsum([0, *map(len, parts)]).tolist()
    return [replace(p, masks=masks[a:b]) for p, (a, b) in zip(parts, pairwise(begins), strict=True)]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    crowds(),
    st.sampled_from([0.0, 0.4, 0.8]),
    st.sampled_from(["drawn", "packed", "none"]),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_it_is_the_plain_merge_to_the_bit(case, threshold, masks, conf) -> None:
    (tiles, whole), chosen = case, MergeSettings(threshold=threshold)
    if masks == "none":
        tiles, whole = without_masks(tiles, whole)
    expected = plain_merge(tiles, GRID, whole, chosen, conf)
    if masks == "packed":
        tiles, whole = packed(tiles), packed([whole])[0] if whole is not None else None
    found = merge_frame(tiles, GRID, whole, chosen, conf=conf)
    for name in ("boxes", "scores", "classes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for a, b in zip(found.masks or (), expected.masks or (), strict=True):
        assert (a.x, a.y) == (b.x, b.y)
        np.testing.assert_array_equal(a.bits, b.bits)


def test_an_object_over_three_tiles_comes_back_as_one() -> None:
    wide = np.array([[30, 100, 780, 180]], np.float32)
    assert len(merge_frame(seen_by_tiles(wide, np.array([0])), GRID, None, MergeSettings("nmm"))) > 1
    merged = merge_frame(seen_by_tiles(wide, np.array([0])), GRID)
    np.testing.assert_array_equal(merged.boxes, wide)
    assert (merged.masks or ())[0].area == 750 * 80


def test_the_global_pass_wins_over_its_fragments() -> None:
    big = np.array([[100, 50, 900, 650]], np.float32)
    tiles = seen_by_tiles(big, np.array([0]))
    global_ = filled(big + np.array([3, -2, 5, 4]), [0.4], [0])
    merged = merge_frame(tiles, GRID, global_)
    np.testing.assert_array_equal(merged.boxes, global_.boxes)


ABOVE_THE_BORDER = [400, 160, 600, 309]
"""Ends 11 px before the lower border, at 320, of the tile at (240, 0)."""


def merged_with_the_frame(found: list[int], score: float, whole: list[int], whole_score: float) -> Detections:
    """What is left of a detection of the tile at (240, 0) and one of the global pass."""
    tiles = [Detections.empty() for _ in GRID.origins]
    tiles[GRID.origins.index((240, 0))] = filled([found], [score], [0])
    return merge_frame(tiles, GRID, filled([whole], [whole_score], [0]))


def test_a_fragment_that_ends_short_of_its_border_does_not_win_over_the_whole() -> None:
    """As a network may see the upper part of a ring: its box is the better one, but for what it misses."""
    whole = [390, 158, 610, 400]
    assert box_overlap(np.array([ABOVE_THE_BORDER]), np.array([whole]))[0, 0] > 0.5
    assert merged_with_the_frame(ABOVE_THE_BORDER, 0.84, whole, 0.81).boxes.tolist() == [whole]


def test_a_whole_object_near_a_border_is_no_fragment_of_a_coarser_look_at_it() -> None:
    coarse = [392, 152, 610, 332]  # goes beyond the border, but hardly further than the object ends before it
    assert merged_with_the_frame(ABOVE_THE_BORDER, 0.9, coarse, 0.85).boxes.tolist() == [ABOVE_THE_BORDER]


def test_a_poor_detection_does_not_cover_a_good_one_near_a_border() -> None:
    poor = [390, 158, 610, 600]
    merged = merged_with_the_frame(ABOVE_THE_BORDER, 0.9, poor, 0.3)
    assert sorted(merged.boxes.tolist()) == [poor, ABOVE_THE_BORDER]


def test_the_global_pass_does_not_swallow_small_objects_inside_a_tile() -> None:
    people = np.array([[100 + 20 * k, 100, 114 + 20 * k, 150] for k in range(5)], np.float32)
    crowd = filled([[95, 95, 205, 155]], [0.3], [0])  # one coarse box for all of them
    merged = merge_frame(seen_by_tiles(people, np.zeros(5, np.int64)), GRID, crowd)
    assert len(merged) == 6


def test_another_class_is_another_object() -> None:
    big = np.array([[100, 50, 900, 650]], np.float32)
    tiles = seen_by_tiles(big, np.array([0]))
    merged = merge_frame(tiles, GRID, filled(big, [0.9], [1]))
    assert len(merged) == 2


FRAGMENT, WHOLE = [400, 246, 460, 320], [390, 246, 470, 400]
"""The upper part of an object, up to the lower border of the tile at (240, 0), and the object, which the
tile at (240, 240) sees as a whole."""


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, False),
        ({"fragment": [380, 246, 460, 320]}, False),  # 13 % of it lie outside
        ({"fragment": [360, 246, 460, 320]}, True),  # 30 %
        ({"fragment": [400, 246, 460, 310]}, True),  # not cut, so it is an object in front of the other
        ({"whole": [390, 246, 470, 320]}, True),  # does not go on
        ({"score": 0.95}, True),  # surer than the other
        ({"tile": None}, True),  # only the global pass saw the other
        ({"label": 0, "fragment": [360, 246, 460, 320]}, False),  # within a class less is enough
    ],
)
@pytest.mark.parametrize("masks", [True, False])
def test_a_fragment_taken_for_another_class_does_not_stay_beside_the_whole(changes, stays, masks) -> None:
    given = {"fragment": FRAGMENT, "whole": WHOLE, "score": 0.6, "tile": (240, 240), "label": 1, **changes}
    tiles = [Detections.empty(masks=masks) for _ in GRID.origins]
    part = filled([given["fragment"]], [given["score"]], [given["label"]], masks=masks)
    tiles[GRID.origins.index((240, 0))] = part
    seen = filled([given["whole"]], [0.9], [0], masks=masks)
    if given["tile"] is not None:
        tiles[GRID.origins.index(given["tile"])] = seen
    merged = merge_frame(tiles, GRID, None if given["tile"] else seen)
    assert len(merged) == 1 + stays
    assert given["whole"] in merged.boxes.tolist()


def test_fragments_are_looked_at_in_portions(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, [700, 400], (60, 2))
    objects = np.concatenate([corners, corners + rng.integers(20, 250, (60, 2))], axis=1)
    tiles = seen_by_tiles(objects.astype(np.float32), rng.integers(0, 5, 60))
    at_once = merge_frame(tiles, GRID)
    monkeypatch.setattr(seams, "_PAIRS_AT_ONCE", 1)
    np.testing.assert_array_equal(merge_frame(tiles, GRID).boxes, at_once.boxes)


def test_a_mask_that_leaves_room_for_a_fragment_of_another_class_does_not_take_it() -> None:
    tiles = [Detections.empty() for _ in GRID.origins]
    tiles[GRID.origins.index((240, 0))] = filled([FRAGMENT], [0.6], [1])
    bits = np.ones((154, 80), bool)
    bits[:74, 10:40] = False  # half of the fragment looks through
    hollow = replace(filled([WHOLE], [0.9], [0]), masks=(Mask(390, 246, bits),))
    tiles[GRID.origins.index((240, 240))] = hollow
    assert len(merge_frame(tiles, GRID)) == 2


def test_a_fragment_that_another_tile_continues_is_no_mistake() -> None:
    """Two parts of a person in front of a bus, say."""
    person = np.array([[400, 230, 440, 400]], np.float32)
    tiles = seen_by_tiles(person, np.array([1]))
    bus = filled([[385, 246, 470, 420]], [0.99], [0])
    at = GRID.origins.index((240, 240))
    tiles[at] = Detections.concatenate([tiles[at], bus])
    assert sorted(merge_frame(tiles, GRID).boxes.tolist()) == [[385, 246, 470, 420], person[0].tolist()]


def test_objects_that_meet_at_a_border_stay_two() -> None:
    """Both are cut by the same border, but where the tiles overlap they show different things."""
    upper, lower = [200, 40, 500, 100], [200, 104, 500, 160]
    merged = merge_frame(seen_by_tiles(np.array([upper, lower], np.float32), np.zeros(2, np.int64)), GRID)
    assert sorted(merged.boxes.tolist()) == [upper, lower]


def test_a_detection_at_the_edge_of_the_frame_is_not_cut() -> None:
    found = filled([[0, 0, 50, 50], [0, 300, 50, 320]], [0.5, 0.5], [0, 0])
    views = Views.of(found, np.array([0, GLOBAL_PASS]), GRID, 4)
    assert not views.cut.any()


def test_nothing_at_all() -> None:
    empty = [Detections.empty()] * len(GRID.origins)
    for method in MERGE_METHODS:
        assert len(merge_frame(empty, GRID, Detections.empty(), MergeSettings(method))) == 0


def test_another_number_of_tiles_is_a_bug() -> None:
    with pytest.raises(ValueError, match="tiles"):
        merge_frame([Detections.empty()], GRID)


@pytest.mark.parametrize(
    "options",
    [{"method": "wbf"}, {"metric": "giou"}, {"threshold": 1.0}, {"duplicate_iou": -0.1}, {"border": -1}],
)
def test_nonsense_is_refused(options) -> None:
    with pytest.raises(UsageError):
        MergeSettings(**options)


def test_without_overlap_every_border_cuts_an_object_in_two() -> None:
    """What the warning about an overlap of 0 says; with one, each object comes back as one."""
    grid = tile_grid((1280, 640), (640, 640), 0.0)
    rows = np.arange(20, 600, 60)
    across = np.stack([np.full(10, 600), rows, np.full(10, 690), rows + 40], axis=1).astype(np.float32)
    beside = across - [300, 0, 300, 0]
    objects, classes = np.concatenate([across, beside]).astype(np.float32), np.zeros(20, np.int64)
    for method in MERGE_METHODS:
        found = merge_frame(seen_by_tiles(objects, classes, grid), grid, None, MergeSettings(method))
        assert len(found) == 30, method
        assert (np.sort(box_overlap(across, found.boxes).max(axis=1)) < 0.6).all()
    for overlap in (0.1, 0.2, 0.5):
        joined = tile_grid((1280, 640), (640, 640), overlap)
        found = merge_frame(seen_by_tiles(objects, classes, joined), joined)
        assert len(found) == 20
        assert (box_overlap(across, found.boxes).max(axis=1) > 0.9).all()
    whole = filled(objects, np.full(20, 0.9), classes)
    both = merge_frame(seen_by_tiles(objects, classes, grid), grid, whole)
    assert len(both) == 20, "what the global pass sees whole is one again"
