from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.data.fetch.jpeg import jpeg_problem

PICTURE = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(*options: int) -> bytes:
    return bytes(cv2.imencode(".jpg", PICTURE, list(options))[1])


JPEG = encoded()


@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        (cv2.IMWRITE_JPEG_QUALITY, 5),
    ],
)
def test_whole_images_pass(options: tuple[int, ...]) -> None:
    assert jpeg_problem(encoded(*options), (60, 40)) is None


def test_a_greyscale_image_passes() -> None:
    data = bytes(cv2.imencode(".jpg", PICTURE[..., 0])[1])
    assert jpeg_problem(data, (60, 40)) is None


@settings(deadline=None, derandomize=True, max_examples=120)
@given(st.integers(0, len(JPEG) - 1))
def test_every_truncation_is_found(length: int) -> None:
    assert jpeg_problem(JPEG[:length], (60, 40)) is not None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a JPEG"),
        (b"<html>404</html>", "not a JPEG"),
        (JPEG + b"x", "1 bytes follow"),
        (JPEG[:2] + b"junk" + JPEG[2:], "not a JPEG"),
        (JPEG[:20] + b"\0" + JPEG[20:], "structure is damaged"),
        (b"\xff\xd8\xff\xd9", "has no picture"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, problem: str) -> None:
    found = jpeg_problem(data, (60, 40))
    assert found is not None
    assert problem in found


def test_another_size_is_found_before_anything_is_decoded() -> None:
    assert jpeg_problem(JPEG, (40, 60)) == "it is 60x40 px instead of 40x60"
    bomb = bytearray(JPEG)
    struct.pack_into(">HH", bomb, JPEG.index(b"\xff\xc0") + 5, 65000, 65000)
    assert jpeg_problem(bytes(bomb), (60, 40)) == "it is 65000x65000 px instead of 60x40"


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.data())
def test_damaged_headers_never_crash(data) -> None:
    raw = bytearray(JPEG)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    jpeg_problem(bytes(raw), (60, 40))
