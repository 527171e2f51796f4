"""Image files as they come: every kind that has to be read, and every kind that has to be named."""

from __future__ import annotations

import base64
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.faults.tiff import tiff

W, H = 40, 24

CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAQCwwODAoQDg0OEhEQExgoGhgWFhgxIyUdKDozPTw5Mzg3QEhcTkBEV0U3OFBtUVdfYmdoZz5N"
    "cXlwZHhcZWdj/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAHBv/EABgQAQADAQAAAAAAAAAAAAAAAAAF"
    "FUJi/9oADgRDAE0AWQBLAAA/AM7B5Z2l5T9QFEg8lLyCdweVEpeQUSDyUvIP/9k="
)
"""16 x 16 px; red grows to the right, green downwards. Written by Pillow, since OpenCV writes no CMYK."""


@dataclass(frozen=True)
class Sample:
    """An image file.

    Attributes:
        name: Its file name.
        data: Its bytes.
        wh: Width and height of what is to be read, px; None if it has to be refused.
        reason: What the refusal has to say, besides the file's name.
    """

    name: str
    data: bytes
    wh: tuple[int, int] | None = (W, H)
    reason: str = ""


def corpus() -> list[Sample]:
    """Return the files; each is one kind of trouble."""
    jpeg, png = encoded(".jpg"), encoded(".png")
    return [
        Sample("plain.jpg", jpeg),
        Sample("progressive.jpg", encoded(".jpg", picture(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        Sample("cmyk.jpg", base64.b64decode(CMYK_JPEG), (16, 16)),
        Sample("gray.jpg", encoded(".jpg", picture()[..., 0])),
        Sample("gray.png", encoded(".png", picture()[..., 0])),
        Sample("alpha.png", encoded(".png", np.dstack([picture(), picture()[..., :1]]))),
        Sample("gray-16-bit.png", encoded(".png", picture()[..., 0].astype(np.uint16) * 257)),
        Sample("colour-16-bit.tiff", encoded(".tiff", picture().astype(np.uint16) * 257)),
        Sample("rotated.jpg", with_orientation(jpeg, 6), (H, W)),
        Sample("mirrored.jpg", with_orientation(jpeg, 2)),
        Sample("pixel.png", encoded(".png", picture()[:1, :1]), (1, 1)),
        Sample("pixel.jpg", encoded(".jpg", picture()[:1, :1]), (1, 1)),
        Sample("line.png", encoded(".png", np.zeros((1, 3000, 3), np.uint8)), (3000, 1)),
        Sample("column.png", encoded(".png", np.zeros((3000, 1, 3), np.uint8)), (1, 3000)),
        Sample("a-png-by-content.jpg", png),
        Sample("a-jpeg-by-content.png", jpeg),
        Sample("animated.png", animated_png()),
        Sample("animated.webp", animated_webp()),
        Sample("pages.tiff", two_pages()),
        Sample("still.gif", gif(1)),
        Sample("animated.jpg", gif(2)),
        Sample("linear.png", linear_png()),
        *_tiffs(),
        Sample("empty.jpg", b"", None, "empty"),
        Sample("truncated.jpg", jpeg[: len(jpeg) // 2], None, "truncated"),
        Sample("truncated.png", png[: len(png) // 2], None, "truncated"),
        Sample("truncated.webp", encoded(".webp")[:-20], None, "truncated"),
        Sample("damaged.png", damaged(png), None, "damaged"),
        Sample("huge.png", huge_png(20_000), None, "20000x20000"),
        Sample("truncated.gif", gif(1)[:900], None, "truncated"),
        Sample("phone.jpg", b"\0\0\0\x18ftypheic" + bytes(60), None, "HEIC"),
        Sample("camera.tif", tiff(rgb(), {254: (1,)}), None, "RAW"),
        Sample("half.tif", tiff((rgb() / 255).astype(np.float16)), None, "16 bits"),
        Sample("hdr.tif", tiff((rgb() / 50).astype(np.float32)), None, "0 to 5.1"),
        Sample("measured.tif", tiff(rgb().astype(np.int16) - 100), None, "-100"),
        Sample("long.tif", tiff(rgb().astype(np.uint32) << 20), None, "integers of 32 bits"),
        Sample("cut.tif", tiff(rgb())[:-1500], None, "truncated"),
        Sample("text.png", b"no image at all", None, "not a JPEG"),
    ]


def picture() -> np.ndarray:
    """Return (H, W, 3) uint8 BGR: red grows to the right, green downwards."""
    image = np.full((H, W, 3), 60, np.uint8)
    image[..., 2] = np.linspace(0, 255, W, dtype=np.uint8)[None]
    image[..., 1] = np.linspace(0, 255, H, dtype=np.uint8)[:, None]
    return image


def rgb() -> np.ndarray:
    """Return :func:`picture` as TIFF has it."""
    return np.ascontiguousarray(picture()[..., ::-1])


def _tiffs() -> list[Sample]:
    """Return TIFF files of samples that have to be scaled, each the same picture."""
    unit, straight = rgb() / 255, np.dstack([rgb(), np.full((H, W), 128, np.uint8)])
    return [
        Sample("float32.tif", tiff(unit.astype(np.float32))),
        Sample("float64.tif", tiff(unit)),
        Sample("float-of-8-bits.tif", tiff(rgb().astype(np.float32))),
        Sample("big.tif", tiff(rgb(), big=True)),
        Sample("big-endian-float.tif", tiff(unit.astype(np.float32), order=">", big=True)),
        Sample("int16-of-8-bits.tif", tiff(rgb().astype(np.int16))),
        Sample("uint16-of-8-bits.tif", tiff(rgb().astype(np.uint16))),
        Sample("int32-of-8-bits.tif", tiff(rgb().astype(np.int32))),
        Sample("int16.tif", tiff(rgb().astype(np.int16) * 128)),
        Sample("int8.tif", tiff((rgb() // 2).astype(np.int8))),
        Sample("12-in-16.tif", tiff(rgb().astype(np.uint16) * 16, {281: (4095,) * 3})),
        Sample("12-packed.tif", tiff(rgb().astype(np.uint16) * 16, packed=12)),
        Sample("alpha-beside.tif", tiff(straight, {338: (2,)})),
        Sample("white-is-zero-gray.tif", tiff(65535 - rgb()[..., 0].astype(np.uint16) * 257, {262: (0,)})),
        Sample("planes-16-bit.tif", tiff(rgb().transpose(2, 0, 1).astype(np.uint16) * 257, {284: (2,)})),
        Sample("turned.tif", tiff(np.rot90(unit).astype(np.float32), {274: (6,)})),
    ]


def encoded(ending: str, image: np.ndarray | None = None, *options: int) -> bytes:
    done, data = cv2.imencode(ending, picture() if image is None else image, options)
    assert done
    return bytes(data)


def two_pages() -> bytes:
    """Return a TIFF of two pictures; through a file, as OpenCV before 4.11 has no other way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.tiff"
        assert cv2.imwritemulti(str(path), [picture(), picture()])
        return path.read_bytes()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment that holds nothing but the orientation tag."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + b"\0" * 4
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def linear_png() -> bytes:
    """Return a PNG of 16 bits whose samples are linear light, as its gAMA chunk says."""
    light = np.rint((picture() / 255) ** 2.2 * 65535).astype(np.uint16)
    chunks = _png_chunks(encoded(".png", light))
    return PNG + b"".join(
        _png_chunk(kind, body) + (_png_chunk(b"gAMA", struct.pack(">I", 100_000)) if kind == b"IHDR" else b"")
        for kind, body in chunks
    )


def gif(frames: int) -> bytes:
    """Return a GIF of 64 colours (GIF89a; codes of 8 bits, and a clear code before they would grow)."""
    red, green = (picture()[..., channel] // 32 for channel in (2, 1))
    colours = bytes(v for r in range(8) for g in range(8) for v in (r * 32 + 16, g * 32 + 16, 60))
    codes, block = (red * 8 + green).ravel().tolist(), b""
    for begin in range(0, len(codes), 100):
        block += bytes([128, *codes[begin : begin + 100]])
    block += bytes([129])
    rows = b"".join(
        bytes([len(part)]) + part for part in (block[i : i + 255] for i in range(0, len(block), 255))
    )
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, W, H, 0) + b"\x07" + rows + b"\0"
    head = b"GIF89a" + struct.pack("<HHBBB", W, H, 0xF6, 0, 0) + colours + bytes(3 * 64)
    return head + (b"\x21\xf9\x04\0\x0a\0\0\0" + image) * frames + b"\x3b"


def damaged(png: bytes) -> bytes:
    """Return a PNG whose compressed pixels are noise, with checksums that fit."""
    return PNG + b"".join(
        _png_chunk(kind, bytes(len(body)) if kind == b"IDAT" else body) for kind, body in _png_chunks(png)
    )


def huge_png(side: int) -> bytes:
    """Return a black and white square that is small as a file, valid, and hundreds of megabytes decoded."""
    packer = zlib.compressobj(1)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return PNG + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", pixels) + _png_chunk(b"IEND", b"")


def animated_png() -> bytes:
    """Return two frames (https://wiki.mozilla.org/APNG_Specification)."""
    chunks = dict(_png_chunks(encoded(".png")))

    def control(sequence: int) -> bytes:
        return _png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, W, H, 0, 0, 1, 10, 0, 0))

    return b"".join(
        (
            PNG,
            _png_chunk(b"IHDR", chunks[b"IHDR"]),
            _png_chunk(b"acTL", struct.pack(">II", 2, 0)),
            control(0),
            _png_chunk(b"IDAT", chunks[b"IDAT"]),
            control(1),
            _png_chunk(b"fdAT", struct.pack(">I", 2) + chunks[b"IDAT"]),
            _png_chunk(b"IEND", b""),
        )
    )


def animated_webp() -> bytes:
    """Return two frames (WebP container specification, "Animation")."""
    frame = encoded(".webp")[12:]
    size = struct.pack("<I", W - 1)[:3] + struct.pack("<I", H - 1)[:3]
    body = _riff_chunk(b"VP8X", b"\x02\0\0\0" + size) + _riff_chunk(b"ANIM", bytes(6))
    for _ in range(2):
        body += _riff_chunk(b"ANMF", bytes(6) + size + b"\x64\0\0\0" + frame)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


PNG = b"\x89PNG\r\n\x1a\n"


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
