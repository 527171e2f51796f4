from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolotrt.data.images import read_image
from yolotrt.errors import ImageError
from yolotrt.geometry.letterbox import Letterbox, network_input
from yolotrt.geometry.tiles import tile_grid
from yolotrt.quantization.batches import ImageFeed, Preprocessing, spread

SQUARE = Preprocessing((32, 32))


def write(folder: Path, sizes_wh: list[tuple[int, int]]) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for i, (width, height) in enumerate(sizes_wh):
        paths.append(folder / f"{i}.png")
        cv2.imwrite(str(paths[-1]), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    return paths


def test_pictures_are_letterboxed_as_at_inference(tmp_path: Path) -> None:
    paths = write(tmp_path, [(40, 20), (7, 90), (32, 32), (1, 1), (500, 30)])
    fed = np.concatenate(list(ImageFeed(paths, SQUARE)))
    for path, picture in zip(paths, fed, strict=True):
        image = read_image(path)
        wanted = network_input([Letterbox.fit((image.shape[1], image.shape[0]), (32, 32)).apply(image)])
        assert np.array_equal(picture, wanted[0])


def test_larger_images_feed_their_tiles_too(tmp_path: Path) -> None:
    paths = write(tmp_path, [(90, 40), (20, 20)])
    fed = np.concatenate(list(ImageFeed(paths, Preprocessing((32, 32), 0.2), batch=3)))
    tiles = tile_grid((90, 40), (32, 32), 0.2).cut(read_image(paths[0]))
    assert len(fed) == 1 + len(tiles) + 1
    assert np.array_equal(fed[1 : 1 + len(tiles)], network_input(tiles))


def test_unreadable_images_are_skipped_and_remembered(tmp_path: Path) -> None:
    paths = write(tmp_path, [(40, 20)] * 3)
    paths[1].write_bytes(b"")
    feed = ImageFeed([*paths, tmp_path / "gone.png"], SQUARE)
    assert sum(map(len, feed)) == 2
    assert feed.read == 2
    assert len(feed.skipped) == 2
    assert "1.png" in feed.skipped[0]
    assert "gone.png" in feed.skipped[1]


def test_no_readable_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"None of 1 .*a\.jpg"):
        list(ImageFeed([tmp_path / "a.jpg"], SQUARE))


@pytest.mark.parametrize(("full", "sizes"), [(False, [3, 2]), (True, [3, 3])])
def test_only_networks_of_fixed_batch_get_a_filled_up_last_batch(
    tmp_path: Path, full: bool, sizes: list[int]
) -> None:
    batches = list(ImageFeed(write(tmp_path, [(8, 8)] * 5), SQUARE, batch=3, full=full))
    assert [len(b) for b in batches] == sizes
    if full:
        assert np.array_equal(batches[-1][2], batches[-1][1])


def test_leaving_early_ends_the_reader(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in ImageFeed(write(tmp_path, [(8, 8)] * 30), SQUARE, batch=1):
        break
    assert threading.active_count() == before


def test_a_limit_takes_images_from_everywhere() -> None:
    paths = [Path(str(i)) for i in range(10)]
    assert spread(paths, None) == paths
    assert spread(paths, 99) == paths
    assert [int(p.name) for p in spread(paths, 4)] == [0, 2, 5, 7]
