from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faults.tiff import tiff
from yolotrt.data.headers import HeaderError, image_size
from yolotrt.data.images import list_images, read_image
from yolotrt.errors import ImageError, PictureWarning

H, W = 24, 40


def gradient(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    """A picture whose corners all differ: red grows to the right, green downwards, blue is flat."""
    top = np.iinfo(dtype).max
    image = np.zeros((H, W, 3), dtype)
    image[..., 2] = np.linspace(0, top, W, dtype=dtype)[None, :]
    image[..., 1] = np.linspace(0, top, H, dtype=dtype)[:, None]
    image[..., 0] = top // 4
    if channels == 1:
        return image[..., 2]
    if channels == 4:
        return np.dstack([image, np.full((H, W), top // 2, dtype)])
    return image


def save(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
def test_every_format_reads_as_bgr(tmp_path: Path, extension: str) -> None:
    path = save(tmp_path / f"a{extension}", gradient())
    assert image_size(path.read_bytes()) == (W, H)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.shape == (H, W, 3)
    assert np.abs(read.astype(int) - gradient()).mean() < 6


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (4, np.uint8), (1, np.uint16), (3, np.uint16)]
)
def test_gray_alpha_and_16_bit_become_8_bit_bgr(
    tmp_path: Path, extension: str, channels: int, dtype: type
) -> None:
    read = read_image(save(tmp_path / f"a{extension}", gradient(channels, dtype)))
    expected = gradient() if channels > 1 else np.dstack([gradient(1)] * 3)
    assert read.shape == (H, W, 3)
    assert np.abs(read.astype(int) - expected).max() <= 1


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment that holds nothing but the orientation tag."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + b"\0" * 4
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, turns: int) -> None:
    jpeg = cv2.imencode(".jpg", gradient(), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(with_orientation(jpeg, orientation))
    read, expected = read_image(path).astype(int), np.rot90(gradient(), turns).astype(int)
    assert read.shape == expected.shape
    assert np.abs(read - expected).mean() < 8


def test_a_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "cmyk.jpg"
    pillow.fromarray(gradient()[..., ::-1]).convert("CMYK").save(path, quality=100)
    assert np.abs(read_image(path).astype(int) - gradient()).mean() < 10


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".tiff", ".webp"])
def test_truncated_files_are_refused(tmp_path: Path, extension: str) -> None:
    whole = save(tmp_path / f"a{extension}", gradient()).read_bytes()
    path = tmp_path / f"cut{extension}"
    for size in (0, 3, 12, 40, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ImageError, match="cut"):
            read_image(path)


def test_a_thumbnails_end_marker_does_not_hide_truncation(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", gradient())[1].tobytes()
    nested = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(jpeg) + 2) + jpeg + jpeg[2:]
    assert image_size(nested) == (W, H)
    with pytest.raises(HeaderError, match="truncated"):
        image_size(nested[:-40])


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(ImageError, match="60000x60000"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"GIF89a" + bytes(7), b"RIFF" + bytes(60), b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nope.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"nope\.jpg"):
        read_image(path)


def test_a_chunk_that_announces_gigabytes_never_reaches_the_decoder(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", gradient())[1].tobytes()
    for chunk in (b"IDAT", b"IEND"):
        at = whole.index(chunk) - 4
        (tmp_path / "a.png").write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with pytest.raises(ImageError, match="truncated"):
            read_image(tmp_path / "a.png")


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(ImageError):
            read_image(path)


def test_listing_is_recursive_sorted_and_skips_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", ".hidden/d.png", ".e.png", "notes.txt"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"x")
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == [
        "a.png",
        "b.JPG",
        "sub/c.webp",
    ]
    assert list_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_listing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        list_images(tmp_path / "gone")


def test_what_is_guessed_is_said(tmp_path: Path) -> None:
    dark = gradient(3, np.uint16) // 16
    low = gradient().astype(np.uint16)
    for image, expected, words in (
        (dark, gradient() // 16, "12 bits, it is read 16 times too dark"),
        (low, gradient(), "none is above 255"),
    ):
        for ending in (".png", ".tif"):
            path = save(tmp_path / f"a{ending}", image)
            with pytest.warns(PictureWarning, match=words) as said:
                found = read_image(path)
            assert np.abs(found.astype(int) - expected).max() <= 1
            assert str(path) in str(said[0].message)
    black = save(tmp_path / "black.png", np.zeros((H, W, 3), np.uint16))
    assert not read_image(black).any()  # nothing to be said: it is black either way


def test_only_the_first_of_several_pictures_is_read_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    path.write_bytes(tiff(gradient()[..., ::-1], pictures=3))
    with pytest.warns(PictureWarning, match="several pictures"):
        np.testing.assert_array_equal(read_image(path), gradient())
    path.write_bytes(tiff(gradient()[..., ::-1]))
    read_image(path)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"\0\0\0\x18ftypisom", "video"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "RAW"),
        (b"FUJIFILMCCD-RAW ", "Fujifilm"),
        (b"v/1\x01", "OpenEXR"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
    ],
)
def test_other_formats_are_refused_by_their_right_name(tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(head + bytes(40))
    with pytest.raises(ImageError, match=name) as error:
        read_image(path)
    assert error.value.hint
    assert "damaged" not in error.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tiff(np.zeros((H, W, 4), np.uint16), {262: (5,)}), "CMYK TIFF of 16 bits"),
        (tiff(np.zeros((H, W, 5), np.uint8)), "5 samples a pixel"),
        (tiff(np.zeros((H, W, 2), np.uint16)), "2 samples a pixel"),
        (tiff(np.zeros((3, H, W), np.float32), {284: (2,)}), "planes of their own"),
        (tiff(np.full((H, W, 3), np.nan, np.float32)), "NaN"),
        (tiff(np.zeros((H, W, 3), np.uint16), {339: (5,) * 3}), "complex"),
        (tiff(np.zeros((3, H, W), np.uint16), {284: (2,)}), "do not fill their scale"),
    ],
)
def test_samples_that_would_be_misread_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_in_a_tiff_or_webp_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    stored = tmp_path / "a.jpg"
    stored.write_bytes(with_orientation(cv2.imencode(".jpg", gradient())[1].tobytes(), orientation))
    expected = read_image(stored).astype(int)
    (tmp_path / "a.tif").write_bytes(tiff(gradient()[..., ::-1] / 255, {274: (orientation,)}))
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    webp = cv2.imencode(".webp", gradient(), [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()[12:]
    size = struct.pack("<I", W - 1)[:3] + struct.pack("<I", H - 1)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size + webp
    body += b"EXIF" + struct.pack("<I", len(exif)) + exif
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    for name in ("a.tif", "a.webp"):
        found = read_image(tmp_path / name).astype(int)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 6, name


def test_pictures_that_have_to_be_converted_are_not_left_out_in_silence(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.heic", "c.nef"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ImageError, match=r"2 \.heic, 1 \.nef"):
        list_images(tmp_path)
    (tmp_path / "d.jpg").write_bytes(b"x")
    with pytest.warns(PictureWarning, match=r"2 \.heic, 1 \.nef"):
        assert [p.name for p in list_images(tmp_path)] == ["d.jpg"]


def test_videos_in_a_folder_are_not_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "a.MP4").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"no images, but videos: 1 \.mp4"):
        list_images(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"x")
    with pytest.warns(PictureWarning, match=r"videos in a folder are left out \(1 \.mp4\)"):
        assert [p.name for p in list_images(tmp_path)] == ["b.jpg"]


def test_links_to_folders_are_not_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.jpg").write_bytes(b"x")
    (tmp_path / "day" / "cam1").mkdir(parents=True)
    (tmp_path / "day" / "cam2").symlink_to("../elsewhere")
    (tmp_path / "day" / "a.jpg").write_bytes(b"x")
    with pytest.warns(PictureWarning, match=r"not followed.* \(cam2\)"):
        assert [p.name for p in list_images(tmp_path / "day")] == ["a.jpg"]
    assert [p.name for p in list_images(tmp_path / "day" / "cam2")] == ["b.jpg"]
