"""Pictures whose annotations were made for another size or orientation are noticed."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolotrt.data.formats.annotated import AnnotatedImage
from yolotrt.data.formats.orientation import orientation
from yolotrt.data.formats.pictures import about_turned, read_annotated
from yolotrt.data.images import read_image
from yolotrt.errors import ArtifactError


def write(path: Path, wh: tuple[int, int], turned: int | None, order: str = ">") -> AnnotatedImage:
    """A JPEG of this stored size with an EXIF orientation; annotated in its stored size."""
    data = cv2.imencode(".jpg", np.zeros((wh[1], wh[0], 3), np.uint8))[1].tobytes()
    if turned is not None:
        mark = b"MM" if order == ">" else b"II"
        tiff = mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, turned, 0, 0)
        block = b"Exif\0\0" + tiff
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    path.write_bytes(data)
    return AnnotatedImage(1, path.name, wh, path)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_the_tag_is_read_as_opencv_reads_it(tmp_path: Path, turned: int, order: str) -> None:
    path = tmp_path / "a.jpg"
    write(path, (64, 48), turned, order)
    assert orientation(path.read_bytes()) == turned
    assert read_image(path).shape == ((64, 48, 3) if turned > 4 else (48, 64, 3))


@pytest.mark.parametrize("cut", [0, 2, 20, 30, 34, 40, 60])
def test_a_file_that_ends_early_is_upright(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "a.jpg", (64, 48), 6)
    assert orientation((tmp_path / "a.jpg").read_bytes()[:cut]) in (1, 6)


def test_a_picture_annotated_on_its_side_is_refused_by_its_tag(tmp_path: Path) -> None:
    image = write(tmp_path / "a.jpg", (64, 48), 6)
    with pytest.raises(ArtifactError, match=r"48x64 px, but 64x48 px .* EXIF"):
        read_annotated(image, tmp_path / "a.jpg")
    upright = AnnotatedImage(1, "a.jpg", (48, 64))
    assert read_annotated(upright, tmp_path / "a.jpg").shape == (64, 48, 3)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", (64, 48), None)
    with pytest.raises(ArtifactError, match="64x48 px, but 48x64 px") as caught:
        read_annotated(AnnotatedImage(1, "a.jpg", (48, 64)), tmp_path / "a.jpg")
    assert "EXIF" not in caught.value.message


@pytest.mark.parametrize(
    ("wh", "turned", "said"),
    [
        ((64, 48), 3, True),
        ((64, 64), 6, True),
        ((64, 48), 6, False),
        ((64, 48), 1, False),
        ((64, 64), None, False),
    ],
)
def test_what_the_size_cannot_tell_is_said(
    tmp_path: Path, wh: tuple[int, int], turned: int | None, said: bool
) -> None:
    notes = about_turned([write(tmp_path / "a.jpg", wh, turned)])
    assert bool(notes) == said
    assert all("1 of 1 images are turned" in note for note in notes)
