from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.coco.world import instances_of, make_world
from yolotrt.data.coco.instances import CocoImage, Instances, parse_instances, read_instances
from yolotrt.data.coco.select import choose, split
from yolotrt.data.formats.annotated import Tally
from yolotrt.data.formats.coco_records import Records
from yolotrt.errors import UsageError

WORLD = parse_instances(instances_of(make_world(40)))


def skewed(count: int = 600, seed: int = 0) -> Instances:
    """Many images of one class, few of the twenty others, as in COCO."""
    draw = random.Random(seed)
    images = []
    for key in range(count):
        objects = {(0, draw.choice(["small", "medium", "large"]))} if draw.random() < 0.6 else set()
        while draw.random() < 0.5:
            category = min(int(draw.expovariate(0.25)) + 1, 20)
            objects.add((category, draw.choice(["small", "medium", "large"])))
        images.append(CocoImage(key, f"{key}.jpg", (10, 10), tuple(sorted(objects))))
    return Instances(tuple(images), Records((), {k: f"class{k}" for k in range(21)}, {}, Tally()), {})


def shown(images) -> Counter:
    return Counter(pair for image in images for pair in image.objects)


def test_the_list_is_this_one_on_every_machine() -> None:
    assert [i.id for i in choose(WORLD, 12, 0)] == GOLDEN


def test_the_list_does_not_depend_on_hash_seeds_or_input_order() -> None:
    code = (
        "import random; from tests.data.coco.world import *; from yolotrt.data.coco.instances import *\n"
        "from yolotrt.data.coco.select import choose\n"
        "d = instances_of(make_world(40))\n"
        "for key in ('images', 'annotations', 'categories'): random.shuffle(d[key])\n"
        "print([i.id for i in choose(parse_instances(d), 30, 7)])"
    )
    expected = str([i.id for i in choose(WORLD, 30, 7)])
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 40), st.integers(-3, 2**70))
def test_more_images_contain_the_fewer(count: int, seed: int) -> None:
    chosen = choose(WORLD, count, seed)
    assert len({i.id for i in chosen}) == count
    assert choose(WORLD, 40, seed)[:count] == chosen


def test_another_seed_gives_other_images() -> None:
    assert {i.id for i in choose(WORLD, 10, 0)} != {i.id for i in choose(WORLD, 10, 1)}


@pytest.mark.parametrize("seed", [0, 1])
def test_classes_and_sizes_are_balanced(seed: int) -> None:
    world = skewed()
    there = shown(world.images)
    chosen = shown(choose(world, 120, seed))
    at_random = shown(random.Random(seed).sample(world.images, 120))
    # Every pair is shown as often as it can be, up to a common level, which random images do not reach.
    level = 7
    assert all(chosen[pair] >= min(level, there[pair]) for pair in there)
    assert sum(at_random[pair] < min(level, there[pair]) for pair in there) > 30


def test_some_images_show_nothing() -> None:
    world = skewed()
    empty = sum(not image.objects for image in choose(world, 120, 0))
    assert 5 <= empty <= 20


def test_only_images_with_the_classes_are_chosen() -> None:
    chosen = choose(WORLD, 9, 0, ("Cat", "traffic light"))
    assert all({c for c, _ in image.objects} & {10, 17} for image in chosen)
    counts = Counter(c for image in chosen for c in {c for c, _ in image.objects} if c in (10, 17))
    assert min(counts.values()) >= 4


def test_an_unknown_class_suggests_close_ones() -> None:
    with pytest.raises(UsageError, match="no class 'trafic light'") as caught:
        choose(WORLD, 1, 0, ("person", "trafic light"))
    assert caught.value.hint == "Did you mean traffic light?"
    with pytest.raises(UsageError) as caught:
        choose(WORLD, 1, 0, ("xylophone",))
    assert "person, car, traffic light, cat, dog" in (caught.value.hint or "")


def test_more_images_than_there_are_is_an_error() -> None:
    with pytest.raises(UsageError, match="There are 40 images, fewer than the 41") as caught:
        choose(WORLD, 41, 0)
    assert "--images 40" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="images with dog"):
        choose(WORLD, 41, 0, ("dog",))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(2, 40), st.data())
def test_parts_are_disjoint_and_of_the_right_size(count: int, data) -> None:
    calib = data.draw(st.integers(1, count - 1))
    parts = split(choose(WORLD, count, 0), calib)
    assert Counter(parts) == Counter(calib=calib, eval=count - calib)
    # Both are spread over the order of choice: no stretch is all of one part longer than it must be.
    for start in range(count):
        there = parts[start:].count("calib")
        assert abs(there - (count - start) * calib / count) <= 1


def test_one_part_without_a_split() -> None:
    assert set(split(WORLD.images, 0)) == {"all"}


@pytest.mark.real
def test_real_annotations_are_balanced(test_data) -> None:
    world = read_instances(test_data / "coco-mini/val/instances.json")
    chosen = choose(world, 60, 0)
    at_random = random.Random(0).sample(world.images, 60)
    assert len({category for category, _ in shown(chosen)}) >= 74
    assert len(shown(chosen)) > len(shown(at_random)) * 1.1


GOLDEN = [100, 766, 1395, 1506, 433, 544, 1469, 581, 285, 1062, 507, 137]
